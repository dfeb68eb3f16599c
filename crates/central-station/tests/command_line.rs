//! `zmon-station` as a person types it, and as a program calls it.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails as the test itself")]

use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use zmon_central_station::{Family, FaultCode};

struct Site(TempDir);

impl Site {
    /// With a station in `home`.
    fn new() -> Self {
        let site = Self(tempfile::tempdir().unwrap());
        let made = site.run(&["init", "--name", "Ward"]);
        assert!(made.status.success(), "{made:?}");
        site
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_zmon-station"));
        command.current_dir(self.0.path()).env_clear();
        command.args(["--home", "home"]).args(arguments).stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A command that fails, its exit code, family and code.
const FAULTS: &[(&[&str], i32, &str, &str)] = &[
    (&["fly"], 2, "usage", "ArgumentInvalid"),
    (&["derive", "ZM_1", "--out", "x"], 2, "usage", "ArgumentInvalid"),
    (&["scan", "missing.png"], 3, "local", "FileUnusable"),
    (&["init"], 3, "local", "FileUnusable"),
    (&["issue", "ZM-9", "--out", "x"], 3, "local", "DeviceRetired"),
    (&["batch", "fleet.csv", "--out", "out"], 3, "local", "FleetInvalid"),
    (&["scan", "fleet.csv"], 4, "scan", "PictureUnreadable"),
    (
        &["verify-receipt", "fleet.csv", "--device-id", "ZM-1"],
        7,
        "receipt",
        "ReceiptInvalid",
    ),
];

#[test]
fn it_says_what_failed_and_what_to_do_next_in_words_and_in_json() {
    let site = Site::new();
    std::fs::write(site.0.path().join("fleet.csv"), "picture,label\nmissing.png,\n").unwrap();
    assert!(site.run(&["retire", "ZM-9", "--reason", "lost"]).status.success());
    for (arguments, exit_code, family, code) in FAULTS {
        let words = site.run(arguments);
        let said = text(&words.stderr);
        assert_eq!(words.status.code(), Some(*exit_code), "{arguments:?}: {said}");
        assert!(words.stdout.is_empty() && !said.contains(".."), "{arguments:?}: {said}");
        let json = site.run(&[arguments, &["--json"][..]].concat());
        assert_eq!(json.status.code(), Some(*exit_code), "{arguments:?}");
        assert!(json.stderr.is_empty(), "{arguments:?}");
        let error = serde_json::from_slice::<Value>(&json.stdout).unwrap()["error"].clone();
        assert_eq!(
            (&error["family"], &error["code"]),
            (&(*family).into(), &(*code).into()),
            "{error}"
        );
        for member in ["title", "detail", "nextAction"] {
            let value = error[member].as_str().unwrap();
            assert!(value.len() > 10 && !value.contains("Usage:"), "{error}");
        }
        // clap has words of its own for wrong usage.
        if *exit_code != 2 {
            assert!(said.contains(error["nextAction"].as_str().unwrap()), "{said}");
            assert!(said.starts_with(error["detail"].as_str().unwrap()), "{said}");
        }
    }
}

#[test]
fn it_tells_every_faulty_cell_of_a_list_to_a_program() {
    let site = Site::new();
    std::fs::write(
        site.0.path().join("fleet.csv"),
        "picture,label\nmissing.png,\na.png,Bed,x\n",
    )
    .unwrap();
    let output = site.run(&["batch", "fleet.csv", "--out", "out", "--json"]);
    let error = serde_json::from_slice::<Value>(&output.stdout).unwrap()["error"].clone();
    let faults = error["faults"].as_array().unwrap();
    assert!(
        faults
            .iter()
            .any(|fault| fault["line"] == 2 && fault["column"] == "label"),
        "{error}"
    );
    assert!(faults.iter().any(|fault| fault["line"] == 3), "{error}");
    assert!(!site.0.path().join("out").exists(), "nothing was begun");
}

#[test]
fn it_does_not_mind_a_reader_that_has_seen_enough() {
    let site = Site::new();
    let mut child = site
        .command(&["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
}

#[test]
fn it_completes_every_command_in_every_shell() {
    let site = Site::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = text(&site.run(&["completions", shell]).stdout);
        for command in [
            "init",
            "derive",
            "scan",
            "issue-server",
            "provision",
            "push",
            "verify-receipt",
            "batch",
            "retired",
        ] {
            assert!(script.contains(command), "{shell} does not know {command}");
        }
    }
}

#[test]
fn it_issues_for_a_name_or_an_address_and_nothing_else() {
    let site = Site::new();
    for (number, good) in ["central.example.org", "Central.Example.ORG", "10.1.2.3", "2001:db8::7"]
        .iter()
        .enumerate()
    {
        let output = site.run(&["issue-server", good, "--out", &format!("server-{number}")]);
        assert!(output.status.success(), "{good}: {output:?}");
    }
    let output = site.run(&["issue-server", "central_1.example.org", "--out", "bad"]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(text(&output.stderr).contains("an underscore"), "{output:?}");
    for bad in [
        "",
        "a b",
        "central:8443",
        "central:",
        "10.1.2.3:",
        "10.1.2.3:8443",
        "2001:db8::7:/",
        "central/path",
        "central?query",
        "central#fragment",
        "user@central",
        "[::1]",
        "https://central",
    ] {
        let output = site.run(&["issue-server", bad, "--out", "bad"]);
        assert_eq!(output.status.code(), Some(2), "{bad}");
        assert!(
            text(&output.stderr).contains("a DNS name or an IP address"),
            "{output:?}"
        );
    }
}

/// The exit codes in the help are those of the families.
#[test]
fn it_says_its_exit_codes_in_the_help() {
    let help = text(&Site::new().run(&["--help"]).stdout).replace('\n', " ");
    for (family, what) in [
        (Family::Usage, "wrong usage"),
        (Family::Local, "a file or setting of this machine"),
        (Family::Scan, "the QR code"),
        (Family::Network, "the network or the pin"),
        (Family::Receipt, "the receipt"),
    ] {
        assert!(help.contains(&format!("{} {what}", family.exit_code())), "{help}");
    }
}

#[test]
fn it_has_every_fault_in_the_guide() {
    let guide = include_str!("../../../docs/central-station.md");
    for code in FaultCode::ALL {
        let (name, family) = (code.as_str(), code.family());
        let row = format!(
            "| `{name}` | {} | {} | {} | {} |\n",
            family.as_str(),
            family.exit_code(),
            code.title(),
            code.next_action()
        );
        assert!(guide.contains(&row), "docs/central-station.md lacks: {row}");
    }
}
