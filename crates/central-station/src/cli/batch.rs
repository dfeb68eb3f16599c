//! `batch`: a list of devices.

use std::io::IsTerminal;
use std::path::PathBuf;

use crate::batch::{Defaults, Options, Progress, Waiting, run, validate};
use crate::push::Patience;
use crate::values::{language, server_url, sync_interval, unit};
use crate::{Fault, FaultCode, Station};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use zmon_domain::settings::{Language, MeasurementUnit, ServerUrl, SyncInterval};

use super::{Failure, Outcome, Report, printable};

/// Some devices are not provisioned.
const SOME_FAILED: u8 = 9;
/// Ended by a second SIGINT or SIGTERM, as a shell says it.
const CUT_SHORT: i32 = 130;

#[derive(Args)]
pub(super) struct Batch {
    /// The list, CSV with a header: picture, label, and optionally device_id, server_url, sync_interval, unit,
    /// language, server_cert. Files in it are relative to its folder.
    list: PathBuf,
    /// Folder for journal, receipts, certificates and report. The same folder again: goes on where it stopped.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Devices at work at the same time.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    parallel: u16,
    /// How often a device is tried where trying again can help.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=20))]
    attempts: u32,
    /// The central server, where the list names none.
    #[arg(long, value_parser = server_url)]
    server_url: Option<ServerUrl>,
    /// Seconds between synchronisations, where the list says nothing.
    #[arg(long, default_value = "10", value_parser = sync_interval)]
    sync_interval: SyncInterval,
    /// METRIC or IMPERIAL, where the list says nothing.
    #[arg(long, default_value = "METRIC", value_parser = unit)]
    unit: MeasurementUnit,
    /// Two or three letters such as EN or ES, where the list says nothing.
    #[arg(long, default_value = "EN", value_parser = language)]
    language: Language,
    /// The server's certificate to pin, where the list names none.
    #[arg(long, value_name = "FILE")]
    server_cert: Option<PathBuf>,
}

#[expect(clippy::print_stderr, reason = "progress, while the command runs")]
pub(super) async fn batch(station: Station, arguments: &Batch, quiet: bool) -> Outcome {
    let defaults = Defaults {
        server_url: arguments.server_url.clone(),
        sync_interval: arguments.sync_interval,
        measurement_unit: arguments.unit,
        language: arguments.language.clone(),
        server_certificate: arguments.server_cert.clone(),
    };
    let devices = match validate(&arguments.list, &defaults)? {
        Ok(devices) => devices,
        Err(faults) => {
            let mut text = format!("{} has faults; nothing was sent.", arguments.list.display());
            for fault in &faults {
                let column = fault.column.map(|column| format!(", {column}")).unwrap_or_default();
                text.push_str(&format!("\nLine {}{column}: {}", fault.line, fault.detail));
            }
            return Err(Failure::Many(Fault::new(FaultCode::FleetInvalid, text), json!(faults)));
        }
    };
    let bar = if quiet || !std::io::stderr().is_terminal() {
        ProgressBar::hidden()
    } else {
        let style = ProgressStyle::with_template("{bar:40} {pos}/{len} devices, {elapsed} {msg}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        ProgressBar::new(devices as u64).with_style(style)
    };
    let lines = !quiet && bar.is_hidden();
    let mut failed = 0;
    let tell = |progress: Progress<'_>| {
        let outcome = match progress {
            Progress::Waits(waiting) => {
                let text = waits(waiting);
                // Beside a bar, above it.
                if lines {
                    eprintln!("{text}");
                } else {
                    bar.println(text);
                }
                return;
            }
            Progress::Ended(outcome) => outcome,
        };
        failed += usize::from(!outcome.provisioned);
        bar.set_message(format!("{failed} not provisioned"));
        bar.inc(1);
        if lines {
            let (line, word, device) = (outcome.line, outcome.word(), printable(&outcome.device_id));
            if outcome.provisioned {
                eprintln!("Line {line}: {device} {word}");
            } else {
                let (code, detail) = (printable(&outcome.code), printable(&outcome.detail));
                eprintln!("Line {line}: {device} {word} ({code}). {detail}");
            }
        }
    };
    let options = Options {
        parallel: arguments.parallel.into(),
        attempts: arguments.attempts,
        patience: Patience::default(),
    };
    let stop = asked_to_stop(bar.clone())?;
    let (summary, outcomes) = run(station, &arguments.list, &defaults, &arguments.out, options, stop, tell).await?;
    bar.finish();
    let out = arguments.out.display();
    let mut text = format!(
        "{} devices: {} provisioned ({} of them earlier), {} not provisioned. The report is {out}/report.html.",
        summary.devices, summary.provisioned, summary.earlier, summary.failed
    );
    if summary.not_begun > 0 {
        text.push_str(&format!(
            "\nThe run was stopped before the turn of {} devices. Run the same command again: it goes on from there.",
            summary.not_begun
        ));
    }
    Ok(Report {
        text,
        json: json!({ "summary": summary, "devices": outcomes }),
        exit_code: if summary.failed == 0 { 0 } else { SOME_FAILED },
    })
}

fn waits(waiting: &Waiting) -> String {
    let (line, device, label) = (waiting.line, printable(&waiting.device_id), printable(&waiting.label));
    let value = &waiting.comparison_value;
    format!("Line {line}: {device} ({label}): waiting for a person at the monitor to compare {value}.")
}

/// Returns at the first SIGINT or SIGTERM; the second one ends the program at once, which loses nothing either.
#[expect(
    clippy::print_stderr,
    reason = "whoever asks to stop wants to hear that it was understood"
)]
fn asked_to_stop(bar: ProgressBar) -> Result<impl Future<Output = ()>, Fault> {
    let listen = |kind| signal(kind).map_err(|error| Fault::local(format!("Cannot wait for signals: {error}.")));
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    let (asked, is_asked) = oneshot::channel();
    tokio::spawn(async move {
        either(&mut interrupt, &mut terminate).await;
        bar.suspend(|| {
            eprintln!(
                "Stopping: pushes under way come to their end, nothing further is begun. Once more ends it at once."
            );
        });
        let _ = asked.send(());
        either(&mut interrupt, &mut terminate).await;
        std::process::exit(CUT_SHORT);
    });
    Ok(async {
        // The task above never ends without having sent.
        let _ = is_asked.await;
    })
}

async fn either(one: &mut Signal, other: &mut Signal) {
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}
