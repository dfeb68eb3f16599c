//! What commands write.

use std::ffi::OsStr;
use std::fmt::{Display, Write as _};
use std::io::{self, IsTerminal, Write as _};

use rustix::termios::tcgetwinsize;
use serde::Serialize;
use zmon_local_api::{FailureView, InstalledView, StatusView};

use super::Failure;
use crate::text::{minutes, shown, utc};

/// How a command speaks: sentences for people, or with `--json` documents for programs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Voice {
    pub(super) json: bool,
    /// Whether standard output is a terminal that can move its cursor and show colours.
    pub(super) live: bool,
}

impl Voice {
    /// A terminal says by `TERM` what it is; `dumb`, or none, can do nothing but write one line after the other.
    pub(super) fn new(json: bool, term: Option<&OsStr>) -> Self {
        let able = term.is_some_and(|term| !term.is_empty() && term != "dumb");
        Self {
            json,
            live: !json && able && io::stdout().is_terminal(),
        }
    }

    /// How many columns the terminal has, where standard output is one that tells.
    pub(super) fn columns() -> Option<usize> {
        let size = tcgetwinsize(io::stdout()).ok()?;
        Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
    }

    /// One line of JSON, or the words.
    pub(super) fn say(self, document: &impl Serialize, words: impl FnOnce() -> String) {
        if self.json {
            print_json(document);
        } else {
            print(&words());
        }
    }

    /// Where the device stands.
    pub(super) fn say_status(self, view: &StatusView) {
        self.say(view, || status(view));
    }

    /// What went wrong, to standard error.
    pub(super) fn complain(self, failure: &Failure) {
        if self.json {
            let _ = writeln!(io::stderr(), "{}", failure.problem());
        } else {
            complain(failure);
        }
    }
}

/// Writes to standard output at once. A reader that has gone away is no fault of the command.
pub(super) fn print(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Writes one line of JSON.
pub(super) fn print_json(document: &impl Serialize) {
    if let Ok(json) = serde_json::to_string(document) {
        print(&format!("{json}\n"));
    }
}

/// Writes to standard error what went wrong.
fn complain(what: &impl Display) {
    let _ = writeln!(io::stderr(), "zmon-provision: {what}");
}

/// Writes to standard error what nobody may overlook.
#[cfg(feature = "simulation")]
pub(super) fn shout(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

/// Where the device stands, for a person.
pub(super) fn status(view: &StatusView) -> String {
    let mut text = format!("Status: {}\n", shown(&view.status));
    // Writing to a `String` cannot fail.
    if let Some(phase) = &view.phase {
        let _ = writeln!(text, "Phase: {}", shown(phase));
    }
    if let Some(seconds) = view.expires_in_seconds {
        let _ = writeln!(text, "Pairing ends in: {} min", minutes(seconds));
    }
    if let Some(view) = &view.confirmation {
        text.push_str(&super::confirm::question(view));
    }
    if let Some(view) = &view.installed {
        text.push_str(&installed(view));
    }
    if let Some(view) = &view.failure {
        text.push_str(&failure(view));
    }
    if let Some(warning) = &view.storage_warning {
        let _ = writeln!(text, "Warning: {}", shown(&warning.message));
    }
    text
}

/// What is installed, for a person.
pub(super) fn installed(view: &InstalledView) -> String {
    let settings = &view.settings;
    let mut text = format!(
        "Device: {}, labelled {}\nServer: {}, every {} s\nUnits and language: {}, {}\nCompleted: {}\n",
        shown(&settings.device_id),
        shown(&settings.device_label),
        shown(&settings.server_url),
        settings.sync_interval,
        shown(&settings.measurement_unit),
        shown(&settings.language),
        utc(view.completed_at),
    );
    let lists = [
        ("Client certificate", &view.certificates.client),
        ("CA certificate", &view.certificates.ca),
        ("Server certificate", &view.certificates.server),
    ];
    for (name, list) in lists {
        for certificate in list {
            let _ = writeln!(
                text,
                "{name}: {}, serial {}, until {}, SHA-256 {}",
                shown(&certificate.subject),
                shown(&certificate.serial),
                utc(certificate.not_after),
                shown(&certificate.sha256),
            );
        }
    }
    text
}

fn failure(view: &FailureView) -> String {
    format!(
        "Failed: {}: {}\nNext: {}\n",
        shown(&view.code),
        shown(&view.message),
        shown(&view.next_action)
    )
}
