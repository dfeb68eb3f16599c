//! Confirmation against the wrong bed (step 11), with the real service, its HTTPS listener and a real push.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails as the test itself")]

use std::fs;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinHandle;
use zmon_domain::audit::AuditEvent;
use zmon_domain::confirmation::CONFIRMATION_TIME;
use zmon_domain::error::ErrorCode;
use zmon_domain::machine::Persisted;
use zmon_domain::qr::QrCodeData;
use zmon_domain::status::{Phase, ProvisioningStatus as Status};
use zmon_payload_envelope::sha256;
use zmon_ports::{PendingConfirmation, ProvisioningService};
use zmon_testkit::https_client::HttpAnswer;
use zmon_testkit::skip::skip;
use zmon_tests::bench::{Bench, CONFIRMATION, assert_refused, push, until};
use zmon_tests::device::PEER;
use zmon_tests::programs::{Programs, Service, program, run, said};

/// A device that asks, a push that waits for the answer, and what the person sees.
struct Asked {
    bench: Bench,
    qr: QrCodeData,
    body: Vec<u8>,
    push: JoinHandle<HttpAnswer>,
    pending: PendingConfirmation,
}

async fn asked() -> Asked {
    let bench = Bench::demanding(CONFIRMATION).await;
    let qr = bench.open().await;
    let body = bench.body(&qr);
    let push = bench.push_to_confirm(&qr, body.clone()).await;
    let report = bench.device.get_status().await;
    assert_eq!(
        (report.status, report.phase),
        (Status::PairingReceived, Some(Phase::AwaitingConfirmation))
    );
    Asked {
        qr,
        body,
        push,
        pending: report.confirmation.unwrap(),
        bench,
    }
}

impl Asked {
    /// The events of the audit from this one on.
    async fn recorded_since(&self, first: AuditEvent) -> Vec<AuditEvent> {
        let (_, events) = self.bench.stored().await;
        let from = events.iter().rposition(|event| *event == first).unwrap();
        events[from..].to_vec()
    }

    /// The push was refused with this code, and nothing of it was kept.
    async fn assert_refused(self, status: u16, code: ErrorCode, recorded: &[AuditEvent]) {
        let events = self.recorded_since(AuditEvent::PairingCodeValidated).await;
        assert_eq!(&events[1..], recorded);
        assert_refused(&self.push.await.unwrap(), status, code);
        let report = self.bench.device.get_status().await;
        assert_eq!(report.status, Status::ProvisioningFailed);
        assert_eq!(report.failure.unwrap().code(), code);
        assert_eq!(report.confirmation, None);
        let (persisted, _) = self.bench.stored().await;
        assert!(matches!(persisted, Persisted::Unprovisioned));
        assert!(self.bench.store.credentials().await.unwrap().is_none());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_sees_what_the_station_sees_accepts_and_the_push_succeeds() {
    let asked = asked().await;
    let request = &asked.pending.request;
    assert_eq!(request.sender, Some("127.0.0.1".parse().unwrap()));
    assert_eq!(request.server_url.as_str(), "https://central.example.org:8444");
    assert_eq!(request.device_label.as_str(), "ICU-MON-04");
    let first = u64::from_be_bytes(sha256(&asked.body).as_bytes()[..8].try_into().unwrap());
    assert_eq!(request.comparison.to_string(), format!("{:04}", first % 10_000));
    assert_eq!(asked.pending.expires_in_seconds, 60);
    assert!(!asked.push.is_finished());

    let device = &asked.bench.device;
    device.answer_confirmation(true, Some(PEER)).await.unwrap();
    let answer = (&mut { asked.push }).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.json());
    assert_eq!(device.get_status().await.status, Status::Provisioned);
    let again = device.answer_confirmation(false, None).await.unwrap_err();
    assert_eq!(again.code(), ErrorCode::AlreadyProvisioned);

    let records = asked.bench.store.audit_records(0, 1_000).await.unwrap();
    let accepted = records
        .iter()
        .find(|record| record.event == "confirmation accepted")
        .unwrap();
    assert_eq!(accepted.detail.as_deref(), Some("by uid 1000, gid 1001, pid 1002"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_refuses() {
    let asked = asked().await;
    asked.bench.device.answer_confirmation(false, None).await.unwrap();
    let recorded = [AuditEvent::ConfirmationRefused, AuditEvent::ProvisioningFailed];
    asked
        .assert_refused(403, ErrorCode::ConfirmationRefused, &recorded)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_answers_within_a_minute_of_the_monotonic_clock() {
    let asked = asked().await;
    let clock = &asked.bench.blueprint.clock;
    clock.advance(CONFIRMATION_TIME - Duration::from_secs(1));
    let left = asked.bench.device.get_status().await.confirmation.unwrap();
    assert_eq!(left.expires_in_seconds, 1);
    // A wall clock that jumps means nothing.
    clock.set_wall(zmon_domain::time::Timestamp::from_millis(0), false);
    assert!(asked.bench.device.get_status().await.confirmation.is_some());
    clock.advance(Duration::from_secs(1));
    // The timer ends it, without anybody asking.
    until(async || asked.push.is_finished()).await;
    let late = asked.bench.device.answer_confirmation(true, None).await.unwrap_err();
    assert_eq!(late.code(), ErrorCode::NotPairing);
    let recorded = [AuditEvent::ProvisioningFailed];
    let events = asked.recorded_since(AuditEvent::PairingCodeValidated).await;
    assert_eq!(&events[1..2], &recorded);
    assert_refused(&asked.push.await.unwrap(), 408, ErrorCode::ConfirmationTimeout);
    let report = asked.bench.device.get_status().await;
    assert_eq!(report.failure.unwrap().code(), ErrorCode::ConfirmationTimeout);
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_ends_the_wait() {
    let asked = asked().await;
    asked.bench.device.cancel().await.unwrap();
    asked
        .assert_refused(409, ErrorCode::Cancelled, &[AuditEvent::ProvisioningFailed])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_ends_the_wait() {
    let asked = asked().await;
    asked.bench.device.stop().await;
    let answer = (&mut { asked.push }).await.unwrap();
    assert_refused(&answer, 503, ErrorCode::ShuttingDown);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_push_while_a_person_decides_is_refused_and_disturbs_nothing() {
    let asked = asked().await;
    for body in [asked.body.clone(), asked.bench.body(&asked.qr), b"garbage".to_vec()] {
        assert_refused(&push(&asked.qr, body).await, 409, ErrorCode::PairingInProgress);
    }
    let report = asked.bench.device.get_status().await;
    assert_eq!(report.confirmation.as_ref(), Some(&asked.pending));
    // Longer than the session, and than the payload has to live: both stand still.
    asked.bench.device.answer_confirmation(true, None).await.unwrap();
    assert_eq!(asked.push.await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_station_that_went_away_while_a_person_decided_gets_its_receipt_with_the_same_body() {
    let asked = asked().await;
    asked.push.abort();
    asked.bench.device.answer_confirmation(true, None).await.unwrap();
    until(async || asked.bench.status().await == Status::Provisioned).await;
    let answer = push(&asked.qr, asked.body.clone()).await;
    assert_eq!(answer.status, 200, "{}", answer.json());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_session_s_own_end_passes_while_a_person_decides() {
    let bench = Bench::demanding(CONFIRMATION).await;
    let qr = bench.open().await;
    bench.blueprint.clock.advance(Duration::from_secs(570));
    let pushed = bench.push_to_confirm(&qr, bench.body(&qr)).await;
    bench.blueprint.clock.advance(Duration::from_secs(59));
    bench.device.answer_confirmation(true, None).await.unwrap();
    assert_eq!(pushed.await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_asked_about_what_the_checks_refuse() {
    let bench = Bench::demanding(CONFIRMATION).await;
    let qr = bench.open().await;
    let mut payload = bench.station.payload(qr.fields(), zmon_testkit::pki::NOW);
    payload["caCertificate"] = serde_json::json!("none");
    let answer = push(&qr, bench.station.seal(qr.fields(), &payload)).await;
    assert_refused(&answer, 422, ErrorCode::InvalidCertificate);
}

/// A running device that asks, and what it runs in.
fn asking_device() -> (Programs, Service) {
    let programs = Programs::commissioned();
    let path = programs.at("config.toml");
    let configuration = fs::read_to_string(&path).unwrap() + "[pairing]\nconfirm = true\n";
    fs::write(&path, configuration).unwrap();
    let service = programs.serve();
    (programs, service)
}

fn provision(programs: &Programs) -> Child {
    let mut station = programs.station();
    let push = [
        "--server-url",
        "https://central.example.org",
        "--label",
        "ICU 4",
        "--json",
    ];
    station.arg("provision").arg(programs.at("qr.png")).args(push);
    station.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// What the device asks, when it does.
fn question(programs: &Programs) -> Value {
    for _ in 0..400 {
        let status: Value = serde_json::from_str(&said(programs.device().args(["status", "--json"]))).unwrap();
        if !status["confirmation"].is_null() {
            return status["confirmation"].clone();
        }
        std::thread::sleep(Duration::from_millis(25));
    }
    panic!("nobody was asked: {}", fs::read_to_string(programs.at("log")).unwrap());
}

#[test]
fn the_programs_show_the_same_value_and_the_answer_decides() {
    let (programs, _service) = asking_device();
    let device = || programs.device();
    for accept in [false, true] {
        run(device().args(["pair", "--no-wait", "--png"]).arg(programs.at("qr.png")));
        let station = provision(&programs);
        let question = question(&programs);
        assert_eq!(question["deviceLabel"], "ICU 4");
        assert_eq!(question["senderAddress"], "127.0.0.1");
        let value = question["comparisonValue"].as_str().unwrap();
        let shown = said(device().arg("status"));
        assert!(shown.contains(&format!("Comparison value: {value} ")), "{shown}");

        let unasked = device().arg("confirm").stdin(Stdio::null()).output().unwrap();
        assert_eq!(unasked.status.code(), Some(1), "no terminal, no answer");
        if accept {
            // Longer than a device takes by itself.
            std::thread::sleep(Duration::from_millis(5500));
        }
        run(device()
            .arg("confirm")
            .arg(if accept { "--accept" } else { "--refuse" }));
        let ended = station.wait_with_output().unwrap();
        let (told, report) = (
            String::from_utf8_lossy(&ended.stderr),
            String::from_utf8_lossy(&ended.stdout),
        );
        assert!(told.contains(&format!("Comparison value: {value}.")), "{told}");
        let waits = format!("Waiting for a person at the monitor to compare {value}.");
        assert_eq!(told.contains(&waits), accept, "{told}");
        assert_eq!(ended.status.success(), accept, "{report}");
        let report: Value = serde_json::from_str(&report).unwrap();
        if accept {
            assert_eq!(report["comparisonValue"], value);
        } else {
            assert!(report.to_string().contains("ConfirmationRefused"), "{report}");
        }
    }
    let late = device().args(["confirm", "--accept"]).output().unwrap();
    let told = String::from_utf8_lossy(&late.stderr);
    assert_eq!(late.status.code(), Some(1));
    assert!(told.contains("No configuration waits for a person's answer."), "{told}");
}

#[test]
fn who_pairs_at_a_terminal_is_asked_there() {
    if Command::new("script").arg("--version").output().is_err() {
        skip("asks at a terminal", "there is no `script` to make a terminal with");
        return;
    }
    let (programs, _service) = asking_device();
    for (typed, accept) in [("n", false), ("", false), ("y", true)] {
        let pair = format!(
            "{} --config {} pair --png {}",
            program("zmon-provision").display(),
            programs.at("config.toml").display(),
            programs.at("qr.png").display()
        );
        let mut terminal = Command::new("script");
        terminal.args(["-qefc", &pair, "/dev/null"]);
        let mut terminal = terminal.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        for _ in 0..400 {
            let status = said(programs.device().arg("status"));
            if status.contains("READY_TO_PAIR") && programs.at("qr.png").exists() {
                break;
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        let station = provision(&programs);
        let question = question(&programs);
        let mut keyboard = terminal.stdin.take().unwrap();
        writeln!(keyboard, "{typed}").unwrap();
        let mut shown = String::new();
        terminal.stdout.take().unwrap().read_to_string(&mut shown).unwrap();
        assert_eq!(terminal.wait().unwrap().code(), Some(i32::from(!accept)), "{shown}");
        for fact in [
            "Sender:           127.0.0.1",
            "Server:           https://central.example.org",
            "Device label:     ICU 4",
            &format!("Comparison value: {}", question["comparisonValue"].as_str().unwrap()),
            "Accept? [y/N]",
        ] {
            assert!(shown.contains(fact), "{fact} in {shown}");
        }
        let ended = station.wait_with_output().unwrap();
        assert_eq!(ended.status.success(), accept);
        fs::remove_file(programs.at("qr.png")).unwrap();
    }
}
