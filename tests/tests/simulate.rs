//! `zmon-provision simulate`: a developer's configuration on a running program, real or mock, through every phase of a screen.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails as the test itself")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use zmon_tests::programs::{DEVICE, Programs, Service, program, run, said};

/// What the command ends with, and its document on standard output or its problem on standard error.
fn ended(output: &Output) -> (i32, Value) {
    let code = output.status.code().unwrap();
    let text = if code == 0 { &output.stdout } else { &output.stderr };
    let text = String::from_utf8(text.clone()).unwrap();
    let line = text
        .lines()
        .find(|line| line.starts_with('{'))
        .unwrap_or_else(|| panic!("{text}"));
    (code, serde_json::from_str(line).unwrap())
}

fn problem(output: &Output) -> String {
    let (code, problem) = ended(output);
    assert_eq!(code, 1, "{problem}");
    problem["code"].as_str().unwrap().to_owned()
}

/// Simulates this file, and gives the phases that a screen shows meanwhile.
fn phases(device: impl Fn() -> Command, file: &Path) -> BTreeSet<String> {
    let mut simulate = device();
    simulate.args(["simulate", "--json", "--pause", "400"]).arg(file);
    let mut simulate = simulate.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut phases = BTreeSet::new();
    while simulate.try_wait().unwrap().is_none() {
        let status: Value = serde_json::from_str(&said(device().args(["status", "--json"]))).unwrap();
        phases.extend(status["phase"].as_str().map(str::to_owned));
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(simulate.wait().unwrap().success());
    phases
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn it_shows_every_phase_on_a_device_and_installs_what_keeps_the_rules() {
    let programs = Programs::commissioned();
    let client = programs.at("client");
    run(programs.station().args(["issue", DEVICE, "--out"]).arg(&client));
    let text = |path: &Path| fs::read_to_string(path).unwrap();
    let mut payload = json!({
        "serverUrl": "https://central.example.org",
        "clientCertificate": text(&client.join("certificate.pem")),
        "clientPrivateKey": text(&client.join("key.pem")),
        "caCertificate": text(&programs.at("station/ca.pem")),
        "deviceLabel": "ICU-MON-04",
        "measurementUnit": "METRIC",
        "language": "EN",
    });
    let file = programs.at("payload.json");
    fs::write(&file, payload.to_string()).unwrap();
    let simulate = || {
        programs
            .device()
            .args(["simulate", "--json"])
            .arg(&file)
            .output()
            .unwrap()
    };

    let _service = programs.serve();
    assert_eq!(problem(&simulate()), "NotPairing");
    run(programs.device().args(["pair", "--no-wait"]));
    let application = programs.at("run/application.sock");
    let mut elsewhere = programs.device();
    elsewhere
        .args(["simulate", "--json", "--socket"])
        .arg(application)
        .arg(&file);
    assert_eq!(problem(&elsewhere.output().unwrap()), "NotFound");

    let shown = phases(|| programs.device(), &file);
    let all = [
        "VERIFYING_SIGNATURE",
        "CHECKING_PAYLOAD",
        "CHECKING_CERTIFICATES",
        "APPLYING",
    ];
    assert_eq!(shown, set(&all));
    let status: Value = serde_json::from_str(&said(programs.device().args(["status", "--json"]))).unwrap();
    assert_eq!(status["status"], "PROVISIONED");
    assert_eq!(status["installed"]["settings"]["deviceLabel"], "ICU-MON-04");
    assert_eq!(problem(&simulate()), "AlreadyProvisioned");

    programs.deprovision();
    run(programs.device().args(["pair", "--no-wait"]));
    payload["deviceId"] = json!("ZM-ANOTHER");
    fs::write(&file, payload.to_string()).unwrap();
    assert_eq!(problem(&simulate()), "DeviceIdMismatch");

    let audit = said(programs.device().args(["audit", "list"]));
    assert_eq!(audit.matches("provisioning simulated").count(), 2, "{audit}");
    assert!(audit.contains("act refused NotPairing"), "{audit}");
    let log = fs::read_to_string(programs.at("log")).unwrap();
    assert!(log.contains("it must never be on a monitor"), "at the start");
    assert_eq!(
        log.matches("SIMULATED PROVISIONING").count(),
        4,
        "at each one, also in vain"
    );
    let key = text(&client.join("key.pem"));
    let secret = key.lines().nth(1).unwrap();
    assert!(!log.contains(secret) && !audit.contains(secret));
}

#[test]
fn it_shows_every_phase_on_a_mock_which_takes_any_certificate_and_refuses_as_it_was_told() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("control.sock");
    let file = directory.path().join("payload.json");
    let payload = json!({
        "serverUrl": "https://central.example.org",
        "clientCertificate": "none",
        "clientPrivateKey": "none",
        "caCertificate": "none",
        "deviceLabel": "Bed 7",
        "measurementUnit": "METRIC",
        "language": "ES",
    });
    fs::write(&file, payload.to_string()).unwrap();
    let device = || {
        let mut command = Command::new(program("zmon-provision"));
        command.arg("--set").arg(format!("control.socket={}", socket.display()));
        command
    };
    let serve = |options: &[&str]| {
        let mut command = device();
        command.args(["serve", "--mock", "--mock-delay", "400"]).args(options);
        let service = Service(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        for _ in 0..1200 {
            if device().arg("status").output().unwrap().status.success() {
                return service;
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        panic!("the mock does not start");
    };

    let service = serve(&[]);
    run(device().args(["pair", "--no-wait"]));
    let shown = phases(device, &file);
    let all = [
        "VERIFYING_SIGNATURE",
        "CHECKING_PAYLOAD",
        "CHECKING_CERTIFICATES",
        "TESTING_CONNECTION",
        "APPLYING",
    ];
    assert_eq!(shown, set(&all));
    let status: Value = serde_json::from_str(&said(device().args(["status", "--json"]))).unwrap();
    assert_eq!(status["installed"]["settings"]["language"], "ES");
    drop(service);

    for code in ["SignatureInvalid", "NetworkError"] {
        let _service = serve(&["--mock-fail", code]);
        run(device().args(["pair", "--no-wait"]));
        let output = device()
            .args(["simulate", "--json", "--pause", "0"])
            .arg(&file)
            .output()
            .unwrap();
        assert_eq!(problem(&output), code);
    }
}
