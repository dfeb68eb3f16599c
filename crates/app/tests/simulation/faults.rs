//! Each fault does what its name says, and nothing else.

use std::sync::Arc;

use rustix::process::Signal;
use zmon_central_station::Family;
use zmon_central_station::home::AnchorKind::{Ed25519, Hmac};
use zmon_domain::error::ErrorCode;

use crate::support::Simulator;

#[tokio::test]
async fn without_a_fault_it_is_a_monitor() {
    for anchor in [Hmac, Ed25519] {
        let mut simulator = Simulator::start(anchor, &["--until-done"]);
        let sealed = simulator.seal("SIM");
        simulator.verify(&sealed, sealed.push().await.unwrap());
        simulator.wait_for_status("SIM", "PROVISIONED");
        simulator.end();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_installs_late_and_says_so_meanwhile() {
    let simulator = Simulator::start(Hmac, &["--fault", "slow:3000"]);
    let sealed = Arc::new(simulator.seal("SIM"));
    let pushing = tokio::spawn({
        let sealed = Arc::clone(&sealed);
        async move { sealed.push().await }
    });
    simulator.wait_for(|event| event["phase"] == "APPLYING");
    assert_eq!(sealed.refusal().await, ("PairingInProgress".into(), 409));
    assert!(!pushing.is_finished());
    simulator.verify(&sealed, pushing.await.unwrap().unwrap());
}

#[tokio::test]
async fn drop_answer_installs_and_gives_the_receipt_to_the_same_body_pushed_again() {
    let mut simulator = Simulator::start(Hmac, &["--fault", "drop-answer", "--until-done"]);
    let sealed = simulator.seal("SIM");
    let fault = sealed.push().await.unwrap_err();
    assert_eq!(fault.family(), Family::Network);
    simulator.wait_for_status("SIM", "PROVISIONED");
    let other = simulator.seal("SIM");
    assert_eq!(other.refusal().await, ("AlreadyProvisioned".into(), 409));
    simulator.verify(&sealed, sealed.push().await.unwrap());
    simulator.end();
}

#[tokio::test]
async fn wrong_pin_keeps_the_station_from_sending_anything() {
    let mut simulator = Simulator::start(Hmac, &["--fault", "wrong-pin"]);
    let fault = simulator.seal("SIM").push().await.unwrap_err();
    assert!(
        fault.to_string().contains("not the one that the QR code pins"),
        "{fault}"
    );
    let (said, _) = simulator.stop(Signal::TERM);
    assert!(said.is_empty(), "{said:?}");
}

#[tokio::test]
async fn full_disk_ends_in_a_storage_error() {
    let simulator = Simulator::start(Hmac, &["--fault", "full-disk"]);
    assert_eq!(simulator.seal("SIM").refusal().await, ("StorageError".into(), 500));
    let failed = simulator.wait_for_status("SIM", "PROVISIONING_FAILED");
    assert_eq!(failed["code"], "StorageError");
}

#[tokio::test]
async fn a_clock_of_1970_does_no_harm_unless_it_calls_itself_synchronised() {
    let simulator = Simulator::start(Hmac, &["--fault", "clock:1970"]);
    let sealed = simulator.seal("SIM");
    simulator.verify(&sealed, sealed.push().await.unwrap());
    let simulator = Simulator::start(Hmac, &["--fault", "clock:1970:synchronised"]);
    assert_eq!(simulator.seal("SIM").refusal().await, ("PayloadExpired".into(), 410));
}

#[tokio::test]
async fn a_clock_in_2100_finds_every_payload_expired() {
    let simulator = Simulator::start(Hmac, &["--fault", "clock:4102444800000"]);
    let sealed = simulator.seal("SIM");
    assert!(sealed.qr.timestamp.as_millis() >= 4_102_444_800_000);
    assert_eq!(sealed.refusal().await, ("PayloadExpired".into(), 410));
}

#[tokio::test]
async fn refuse_answers_every_code_of_the_catalogue_and_ends_the_session_from_step_5_on() {
    let count = ErrorCode::ALL.len().to_string();
    let faults: Vec<String> = ErrorCode::ALL.iter().map(|code| format!("refuse:{code}")).collect();
    let mut arguments = vec!["--count", &count, "--faulty-every", "1"];
    arguments.extend(faults.iter().flat_map(|fault| ["--fault", fault]));
    let mut simulator = Simulator::start(Hmac, &arguments);
    for (number, code) in (1..).zip(ErrorCode::ALL) {
        let (answered, status) = simulator.seal(&format!("SIM-{number:03}")).refusal().await;
        assert_eq!(answered, code.as_str());
        if let Some((_, expected)) = STATUSES.iter().find(|(listed, _)| listed == code) {
            assert_eq!(status, *expected, "{code}");
        }
    }
    let (said, _) = simulator.stop(Signal::TERM);
    for (number, code) in (1..).zip(ErrorCode::ALL) {
        let failed = said
            .iter()
            .find(|event| event["deviceId"] == format!("SIM-{number:03}") && event["status"] == "PROVISIONING_FAILED");
        let early = *code <= ErrorCode::EnvelopeInvalid || *code == ErrorCode::ShuttingDown;
        assert_eq!(failed.is_none(), early, "{code}: {failed:?}");
        assert!(
            failed.is_none_or(|event| event["code"] == code.as_str()),
            "{code}: {failed:?}"
        );
    }
}

/// One code for each place at which a refusal can be brought about (`protocol.md`, "Validation order").
const STATUSES: &[(ErrorCode, u16)] = &[
    (ErrorCode::RateLimited, 429),
    (ErrorCode::EnvelopeInvalid, 400),
    (ErrorCode::SignatureInvalid, 401),
    (ErrorCode::NetworkError, 502),
];
