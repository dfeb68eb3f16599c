//! `--json`: one object in a line for each thing that is said, one problem document for what goes wrong.

use std::fs;

use serde_json::Value;

use crate::support::{Site, bare, finish};

fn one(text: &str) -> Value {
    assert_eq!(text.lines().count(), 1, "{text}");
    let value: Value = serde_json::from_str(text).unwrap_or_else(|fault| panic!("{fault}: {text}"));
    assert!(value.is_object(), "{text}");
    value
}

#[test]
fn every_command_says_one_object() {
    let site = Site::new();
    let said = |arguments: &[&str], input: &str| {
        let (code, text, errors) = site.run_with_input(&[arguments, &["--json"]].concat(), input);
        assert_eq!((code, errors.as_str()), (0, ""), "{arguments:?}: {text}");
        one(&text)
    };
    let keys = said(&["check-config"], "")["keys"].clone();
    let port = keys
        .as_array()
        .unwrap()
        .iter()
        .find(|key| key["key"] == "listener.port")
        .unwrap();
    assert_eq!(port["value"], site.port.to_string());
    assert!(port["source"].as_str().unwrap().ends_with("config.toml"), "{port}");
    let pin = said(&["admin", "set-pin", "--pin-stdin"], "314159\n");
    assert_eq!(pin["file"], site.path("admin.pin").to_str().unwrap());

    let _device = site.serve();
    assert_eq!(said(&["status"], "")["status"], "UNPROVISIONED");
    let check = said(&["check"], "");
    assert_eq!(check["serviceRuns"], true);
    assert!(said(&["pair", "--no-wait"], "")["expiresInSeconds"].is_u64());
    assert_eq!(said(&["cancel"], "")["status"], "UNPROVISIONED");
    assert_eq!(said(&["acknowledge"], "")["status"], "UNPROVISIONED");
    assert_eq!(said(&["store", "rotate-key"], "")["formerKeyDestroyed"], true);
    assert_eq!(said(&["audit", "verify"], "")["intact"], true);
    let export = site.path("audit.jsonl");
    let exported = said(&["audit", "export", "--out", export.to_str().unwrap()], "");
    let records = exported["records"].as_u64().unwrap();
    assert_eq!(fs::read_to_string(&export).unwrap().lines().count() as u64, records + 1);
    assert_eq!(
        said(&["audit", "list", "--limit", "1"], "")["sequence"]
            .as_u64()
            .unwrap(),
        records
    );
    assert_eq!(
        said(&["time", "reset", "--pin-stdin"], "314159\n")["status"],
        "UNPROVISIONED"
    );
    let record = site.path("record");
    let retire = [
        "deprovision",
        "--retire",
        "--record",
        record.to_str().unwrap(),
        "--pin-stdin",
    ];
    let retired = said(&retire, "314159\n");
    assert_eq!(
        (&retired["trustAnchorErased"], &retired["recordFile"]),
        (&true.into(), &Value::Null)
    );
    assert_eq!(retired["status"], "UNPROVISIONED");
}

#[test]
fn what_goes_wrong_is_a_problem_with_the_code_that_the_command_ends_with() {
    let site = Site::new();
    let fails = |arguments: &[&str]| {
        let (code, text, errors) = site.run(&[arguments, &["--json"]].concat());
        assert_eq!(text, "", "{arguments:?}");
        let problem = one(&errors);
        assert_eq!(problem["exitCode"], code, "{problem}");
        for member in ["type", "title", "detail", "nextAction"] {
            assert!(
                problem[member].as_str().is_some_and(|text| !text.is_empty()),
                "{member} in {problem}"
            );
        }
        let detail = problem["detail"].as_str().unwrap();
        assert!(!detail.contains("next: ") && !detail.contains("Usage:"), "{detail}");
        (code, problem["code"].as_str().unwrap().to_owned(), problem)
    };
    assert_eq!(fails(&["status"]).1, "ServiceUnreachable");
    assert_eq!(fails(&["fly"]).1, "UsageInvalid");
    assert_eq!(fails(&["apply", "/nonexistent"]).1, "CommandFailed");
    assert_eq!(fails(&["watch", "--once"]).1, "ServiceUnreachable");
    let (code, name, problem) = fails(&[
        "--set",
        "listener.port=0",
        "--set",
        "pairing.minutes=99",
        "check-config",
    ]);
    assert_eq!((code, name.as_str()), (78, "ConfigurationInvalid"));
    assert_eq!(problem["faults"].as_array().unwrap().len(), 2, "{problem}");
    let _device = site.serve();
    let (code, name, problem) = fails(&["cancel"]);
    assert_eq!((code, name.as_str()), (1, "NotPairing"));
    assert_eq!(problem["status"], 409, "the service's own document: {problem}");
    assert_eq!(fails(&["status", "--receipt"]).1, "NotProvisioned");
    let (code, text, errors) = finish(bare(&["--json", "--version"]).output().unwrap());
    assert_eq!((code, errors.as_str()), (0, ""));
    assert!(text.starts_with("zmon-provision "), "{text}");
}
