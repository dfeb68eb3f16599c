//! Log lines on standard error.

use tracing::error;
use tracing::level_filters::LevelFilter;

use crate::configuration::{Log, LogFormat};

/// From now on events of at least this level are written, one line each; panics, too, by their place alone, since a
/// message can hold what was being worked on.
///
/// Does nothing where a subscriber is installed already.
pub fn start(log: Log) {
    let lines = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::from_level(log.level))
        .with_writer(std::io::stderr)
        .with_ansi(false);
    let _ = match log.format {
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
        LogFormat::Text => lines.try_init(),
    };
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        error!(place, "a task panicked");
    }));
}
