//! `pair`: opens pairing, shows the QR code, waits for the outcome.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use tokio::sync::oneshot;
use zmon_domain::status::ProvisioningStatus;
use zmon_local_api::StatusView;

use super::confirm;
use super::output::{self, Voice, print, print_json};
use super::{Exit, Failure, ServiceArgs};
use crate::control_client::{ClientFault, ControlClient, Events};
use crate::text::{minutes, shown};

/// How often the countdown moves.
const TICK: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub(super) struct PairArgs {
    #[command(flatten)]
    pub(super) service: ServiceArgs,
    /// Write the QR code as a picture of 300x300 pixels, too
    #[arg(long, value_name = "FILE")]
    png: Option<PathBuf>,
    /// Write the QR code as SVG, too
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Leave as soon as the QR code is shown; pairing stays open
    #[arg(long)]
    no_wait: bool,
}

pub(super) async fn pair(client: &ControlClient, arguments: &PairArgs, voice: Voice) -> Result<Exit, Failure> {
    // Subscribed before anything can happen.
    let events = if arguments.no_wait {
        None
    } else {
        Some(client.events().await?)
    };
    let pairing = client.open_pairing().await?;
    if let Some(path) = &arguments.png {
        save(client, "png", path).await?;
    }
    if let Some(path) = &arguments.svg {
        save(client, "svg", path).await?;
    }
    if voice.json {
        print_json(&pairing);
    } else {
        let text = client.qr_code("txt").await?;
        print(&screen(
            &String::from_utf8_lossy(&text),
            Voice::columns(),
            arguments.png.as_deref(),
        ));
        print(&format!("Valid for: {} min\n", minutes(pairing.expires_in_seconds)));
    }
    match events {
        Some(events) => wait(client, events, voice).await,
        None => Ok(Exit::Done),
    }
}

/// The symbol with the code below it. A terminal that is too narrow would break each of its lines: it says so instead.
fn screen(text: &str, columns: Option<usize>, picture: Option<&Path>) -> String {
    let (symbol, below) = text.trim_end().rsplit_once('\n').unwrap_or(("", text));
    let wide = symbol.lines().map(|line| line.chars().count()).max().unwrap_or(0);
    let Some(columns) = columns.filter(|columns| *columns < wide) else {
        return text.into();
    };
    let next = picture.map_or_else(
        || {
            "make it larger, or its letters smaller, and repeat the command; or have a picture written: `zmon-provision pair --png \
             FILE`. Either shows a new code."
                .into()
        },
        |path| format!("show the picture {} to the station.", path.display()),
    );
    format!(
        "The QR code is not drawn: it needs {wide} columns and {} lines, and this terminal has {columns} columns.\nNext: \
         {next}\n{below}\n",
        symbol.lines().count()
    )
}

/// The picture holds the pairing code: the process's file mode mask keeps it for the owner.
async fn save(client: &ControlClient, kind: &str, path: &Path) -> Result<(), Failure> {
    let picture = client.qr_code(kind).await?;
    std::fs::write(path, picture).map_err(|fault| {
        Failure::Other(format!(
            "{} cannot be written: {fault}; pairing is open, `zmon-provision cancel` ends it",
            path.display()
        ))
    })
}

async fn wait(client: &ControlClient, mut events: Events, voice: Voice) -> Result<Exit, Failure> {
    let mut progress = Progress {
        voice,
        last: String::new(),
    };
    // The person's answer to the question of step 11, while it is awaited here.
    let mut question = None;
    let mut asked = false;
    loop {
        let view = client.status().await?;
        let Some(status) = ProvisioningStatus::from_name(&view.status) else {
            return Err(Failure::Other(
                "the service is of another version than this program".into(),
            ));
        };
        let exit = match status {
            ProvisioningStatus::ReadyToPair => {
                progress.count_down(view.expires_in_seconds.unwrap_or_default());
                None
            }
            ProvisioningStatus::PairingReceived if view.confirmation.is_some() => {
                if !std::mem::replace(&mut asked, true) {
                    progress.end();
                    question = put(&view, voice);
                }
                None
            }
            ProvisioningStatus::PairingReceived => {
                let phase = view.phase.as_deref().unwrap_or_default();
                let step = format!("Received: {}", shown(phase).replace('_', " ").to_lowercase());
                progress.say(&step, &step);
                None
            }
            ProvisioningStatus::Provisioned => Some(Exit::Done),
            ProvisioningStatus::ProvisioningFailed
            | ProvisioningStatus::Unprovisioned
            | ProvisioningStatus::Deprovisioned => Some(Exit::Refused),
        };
        if let Some(exit) = exit {
            progress.end();
            conclude(&view, status, voice);
            return Ok(exit);
        }
        tokio::select! {
            open = events.changed() => if !open {
                progress.end();
                return Err(Failure::Client(ClientFault::Ended));
            },
            accept = async { question.as_mut()?.await.ok() }, if question.is_some() => {
                question = None;
                // Somebody may have answered elsewhere, or too late: the status tells.
                if let Err(fault @ ClientFault::Unreachable { .. }) = client.answer_confirmation(accept == Some(true)).await {
                    return Err(fault.into());
                }
            },
            () = tokio::time::sleep(TICK) => {}
        }
    }
}

/// Shows what the person has to compare, and asks where there is a terminal to ask at.
fn put(view: &StatusView, voice: Voice) -> Option<oneshot::Receiver<bool>> {
    if voice.json {
        print_json(view);
        return None;
    }
    let asked = view.confirmation.as_ref()?;
    if confirm::at_a_terminal() {
        print(&confirm::facts(asked));
        return Some(confirm::ask());
    }
    print(&confirm::question(asked));
    None
}

fn conclude(view: &StatusView, status: ProvisioningStatus, voice: Voice) {
    if voice.json {
        print_json(view);
        return;
    }
    print(&output::status(view));
    if matches!(
        status,
        ProvisioningStatus::Unprovisioned | ProvisioningStatus::Deprovisioned
    ) {
        print("Pairing ended without a payload: it was cancelled, or its time is over.\nNext: open pairing again.\n");
    }
}

/// One line that moves on a terminal that can do that; elsewhere one line after the other.
struct Progress {
    voice: Voice,
    last: String,
}

impl Progress {
    fn count_down(&mut self, seconds: u64) {
        let line = format!("Waiting for the Central Station, {} min left", minutes(seconds));
        self.say(&mark(seconds).to_string(), &line);
    }

    /// Where lines do not move, only for a step that is another than the last.
    fn say(&mut self, step: &str, line: &str) {
        if self.voice.live {
            // Back to the start of the line, and erase it.
            print(&format!("\r\u{1b}[2K{line}"));
        } else if !self.voice.json && self.last != step {
            print(&format!("{line}\n"));
        }
        step.clone_into(&mut self.last);
    }

    fn end(&self) {
        if self.voice.live {
            print("\n");
        }
    }
}

/// How many seconds are said to be left where not each of them is said: whole minutes, then 30 and 10.
fn mark(seconds: u64) -> u64 {
    match seconds {
        0..=10 => 10,
        11..=30 => 30,
        _ => seconds.div_ceil(60) * 60,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_no_symbol_that_the_terminal_would_break() {
        let text = "\u{2588}\u{2580}\u{2588}\u{2580}\n\u{2588}\u{2580}\u{2588}\u{2580}\nPairing code: X7Y9Z2\n";
        for wide_enough in [None, Some(4), Some(200)] {
            assert_eq!(screen(text, wide_enough, None), text);
        }
        let narrow = screen(text, Some(3), None);
        assert!(!narrow.contains('\u{2580}'), "{narrow}");
        assert!(narrow.starts_with(
            "The QR code is not drawn: it needs 4 columns and 2 lines, and this terminal has 3 columns.\n"
        ));
        assert!(
            narrow.contains("pair --png FILE") && narrow.ends_with("\nPairing code: X7Y9Z2\n"),
            "{narrow}"
        );
        let narrow = screen(text, Some(3), Some(Path::new("qr.png")));
        assert!(narrow.contains("show the picture qr.png"), "{narrow}");
    }

    #[test]
    fn counts_down_in_few_lines_where_lines_do_not_move() {
        let mut marks: Vec<_> = (0..=600).rev().map(mark).collect();
        marks.dedup();
        assert_eq!(marks, [600, 540, 480, 420, 360, 300, 240, 180, 120, 60, 30, 10]);
    }
}
