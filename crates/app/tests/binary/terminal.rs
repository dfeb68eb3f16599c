//! `pair` at a terminal: a real one, made by `script`, and what is none.

use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use zmon_testkit::skip::skip;

use crate::device::status_of;
use crate::support::Site;

/// A command line at a terminal of this kind, which does not say how wide it is; none without `script`.
fn at_a_terminal(site: &Site, term: Option<&str>, arguments: &str) -> Option<Child> {
    at_a_terminal_made_by("true", site, term, arguments)
}

/// The same, after another command has changed it.
fn at_a_terminal_made_by(before: &str, site: &Site, term: Option<&str>, arguments: &str) -> Option<Child> {
    let config = site.path("config.toml");
    let line = format!(
        "{before}; {} --config {} {arguments}",
        env!("CARGO_BIN_EXE_zmon-provision"),
        config.display()
    );
    let mut command = Command::new("script");
    command.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
    command.env_clear().env("PATH", "/usr/bin:/bin").env("SHELL", "/bin/sh");
    command.envs(term.map(|term| ("TERM", term)));
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command.spawn().ok()
}

/// What somebody sees who pairs at a terminal of this kind, and cancels a little later.
fn seen(term: Option<&str>) -> Option<String> {
    let site = Site::new();
    let _device = site.serve();
    let mut child = at_a_terminal(&site, term, "pair")?;
    let ready = (0..400).any(|_| {
        thread::sleep(Duration::from_millis(50));
        status_of(&site)["status"] == "READY_TO_PAIR"
    });
    assert!(ready);
    // Some seconds of the countdown.
    thread::sleep(Duration::from_millis(2500));
    assert_eq!(site.run(&["cancel"]).0, 0);
    let _stdin = child.stdin.take();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn counts_down_in_one_line_that_moves_on_a_terminal() {
    let Some(text) = seen(Some("xterm")) else {
        return skip("counts down on a terminal", "`script` of util-linux is not installed");
    };
    let moves = text.matches("\r\u{1b}[2KWaiting for the Central Station, 9:5").count();
    assert!(moves >= 2, "{text:?}");
    assert!(
        text.contains("Pairing code: ") && text.ends_with("Next: open pairing again.\r\n"),
        "{text:?}"
    );
}

#[test]
fn moves_nothing_on_a_terminal_that_cannot() {
    for term in [Some("dumb"), None] {
        let Some(text) = seen(term) else {
            return skip(
                "moves nothing on a dumb terminal",
                "`script` of util-linux is not installed",
            );
        };
        assert!(!text.contains('\u{1b}'), "{term:?}: {text:?}");
        let waits = text.matches("Waiting for the Central Station, ").count();
        assert!((1..=2).contains(&waits), "{term:?}: {text:?}");
    }
}

#[test]
fn lists_the_audit_in_colours_where_there_are_any() {
    let site = Site::new();
    assert_eq!(site.run_with_input(&["admin", "set-pin", "--pin-stdin"], "314159").0, 0);
    let _device = site.serve();
    assert_eq!(site.run_with_input(&["deprovision", "--pin-stdin"], "000000").0, 1);
    for (term, coloured) in [(Some("xterm"), true), (Some("dumb"), false), (None, false)] {
        let Some(child) = at_a_terminal(&site, term, "audit list") else {
            return skip("lists the audit in colours", "`script` of util-linux is not installed");
        };
        let text = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
        assert!(text.contains("AdminRequired"), "{term:?}: {text:?}");
        assert_eq!(text.contains('\u{1b}'), coloured, "{term:?}: {text:?}");
    }
}

#[test]
fn draws_the_qr_code_where_the_terminal_is_wide_enough() {
    let site = Site::new();
    let _device = site.serve();
    for (columns, drawn) in [(200, true), (40, false)] {
        let size = format!("stty cols {columns}");
        let Some(child) = at_a_terminal_made_by(&size, &site, Some("xterm"), "pair --no-wait") else {
            return skip(
                "draws the QR code where it fits",
                "`script` of util-linux is not installed",
            );
        };
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && text.contains("Pairing code: "), "{text}");
        assert_eq!(text.contains('\u{2580}'), drawn, "{text}");
        assert_eq!(text.contains("this terminal has 40 columns."), !drawn, "{text}");
    }
}
