//! The log: entries with fields in systemd's journal where it reads along, lines on standard error elsewhere.

mod journal;

use tracing::level_filters::LevelFilter;
use tracing::{error, warn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry;
use tracing_subscriber::util::SubscriberInitExt;

use crate::configuration::{Log, LogFormat};
use journal::Journal;
pub use journal::JournalStream;

/// From now on events of at least this level are written; panics, too, by their place alone, since a message can hold
/// what was being worked on.
///
/// Does nothing where a subscriber is installed already.
pub fn start(log: Log) {
    let level = LevelFilter::from_level(log.level);
    let journal = match (log.format, log.journal_stream) {
        (LogFormat::Auto, Some(stream)) if stream.is(std::io::stderr()) => Some(Journal::open()),
        _ => None,
    };
    let (journal, unreachable) = match journal.transpose() {
        Ok(journal) => (journal, None),
        Err(fault) => (None, Some(fault)),
    };
    let _ = match journal {
        Some(journal) => registry().with(level).with(journal).try_init(),
        None => on_standard_error(log.format, level),
    };
    if let Some(fault) = unreachable {
        warn!(cause = %fault, "the journal takes no entries with fields; it gets lines");
    }
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        error!(place, "a task panicked");
    }));
}

/// One line for each event.
fn on_standard_error(format: LogFormat, level: LevelFilter) -> Result<(), tracing_subscriber::util::TryInitError> {
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(false);
    match format {
        LogFormat::Auto | LogFormat::Json => registry().with(level).with(lines.json().flatten_event(true)).try_init(),
        LogFormat::Text => registry().with(level).with(lines).try_init(),
    }
}
