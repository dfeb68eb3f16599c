//! The mock service says what a device says: the same contract for both.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails as the test itself")]

use std::net::IpAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use zmon_domain::error::ErrorCode;
use zmon_domain::identity::{DeviceId, SerialNumber};
use zmon_domain::qr::QrCodeData;
use zmon_domain::status::{Phase, ProvisioningStatus as Status};
use zmon_ports::{ConfigurationAccess, ProvisioningService};
use zmon_qr_render::QrImageRenderer;
use zmon_service::mock::MOCK_PIN;
use zmon_service::{MockOptions, MockProvisioningService};
use zmon_testkit::fakes::{ManualClock, SeededEntropy};
use zmon_testkit::pki::NOW;
use zmon_testkit::service::{fails_as_the_contract_says, lives_as_the_contract_says};
use zmon_tests::bench::{Bench, push, until};
use zmon_tests::device::{LOOPBACK, PIN};
use zmon_tests::programs::{Service, program, said};

type Mock = MockProvisioningService<QrImageRenderer, Arc<ManualClock>, SeededEntropy>;

const DELAY: Duration = Duration::from_secs(1);

fn device_id() -> DeviceId {
    DeviceId::parse("ZM-MOCK").unwrap()
}

async fn mock(options: MockOptions) -> (Mock, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(NOW, true));
    let serial = SerialNumber::parse("SN-1").unwrap();
    let parts = (QrImageRenderer, Arc::clone(&clock), SeededEntropy::new(1));
    let mock = Mock::start(device_id(), serial, parts.0, parts.1, parts.2, options)
        .await
        .unwrap();
    let driven = mock.clone();
    tokio::spawn(async move { driven.drive().await });
    (mock, clock)
}

/// A mock that takes no time.
async fn prompt(failure: Option<ErrorCode>) -> Mock {
    let options = MockOptions {
        delay: Duration::ZERO,
        failure,
        ..MockOptions::default()
    };
    mock(options).await.0
}

async fn apply<S: ProvisioningService>(service: &S, qr: &QrCodeData) -> Result<(), ErrorCode> {
    let code = &qr.fields().pairing_code;
    let applied = service
        .apply_configuration(b"whatever".to_vec(), code, Some(LOOPBACK))
        .await;
    applied.map(drop).map_err(|error| error.code())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_lives_as_the_contract_says() {
    let bench = Bench::new().await;
    let push = async |qr: &QrCodeData| {
        let answer = push(qr, bench.body(qr)).await;
        assert_eq!(answer.status, 200, "{}", answer.json());
        Ok(())
    };
    lives_as_the_contract_says(&bench.device, &bench.blueprint.device_id, PIN, push).await;

    let bench = Bench::new().await;
    let garbled = async |qr: &QrCodeData| {
        let mut payload = bench.station.payload(qr.fields(), NOW);
        payload["caCertificate"] = serde_json::json!("none");
        let body = bench.station.seal(qr.fields(), &payload);
        let code = &qr.fields().pairing_code;
        let applied = bench.device.apply_configuration(body, code, None).await;
        applied.map(drop).map_err(|error| error.code())
    };
    fails_as_the_contract_says(
        &bench.device,
        &bench.blueprint.device_id,
        ErrorCode::InvalidCertificate,
        garbled,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mock_lives_as_the_contract_says() {
    let service = prompt(None).await;
    let push = async |qr: &QrCodeData| apply(&service, qr).await;
    lives_as_the_contract_says(&service, &device_id(), MOCK_PIN, push).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mock_fails_with_the_code_that_it_was_given() {
    for code in [
        ErrorCode::SignatureInvalid,
        ErrorCode::PayloadExpired,
        ErrorCode::InvalidPairingCode,
        ErrorCode::InvalidCertificate,
        ErrorCode::NetworkError,
        ErrorCode::ConfirmationRefused,
        ErrorCode::StorageError,
    ] {
        let service = prompt(Some(code)).await;
        let push = async |qr: &QrCodeData| apply(&service, qr).await;
        fails_as_the_contract_says(&service, &device_id(), code, push).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mock_takes_its_time_and_provisions_itself_where_it_was_told_to() {
    let options = MockOptions {
        auto_provision: true,
        ..MockOptions::default()
    };
    assert_eq!(options.delay, DELAY, "the specification's default");
    let (service, clock) = mock(options).await;
    service
        .generate_provisioning_qr_code(&device_id(), LOOPBACK)
        .await
        .unwrap();
    assert_eq!(service.get_status().await.status, Status::ReadyToPair);
    until(async || clock.sleepers() > 1).await;
    clock.advance(DELAY);
    until(async || service.get_status().await.phase == Some(Phase::TestingConnection)).await;
    clock.advance(DELAY - Duration::from_millis(1));
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(service.get_status().await.status, Status::PairingReceived);
    clock.advance(Duration::from_millis(1));
    until(async || service.get_status().await.status == Status::Provisioned).await;
    let shown = service.show_configuration().await.unwrap();
    assert_eq!(shown.settings.values().device_label.as_str(), "ICU-MON-04");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mock_asks_a_person_where_it_was_told_to() {
    let options = MockOptions {
        delay: Duration::ZERO,
        auto_provision: true,
        confirmation: true,
        ..MockOptions::default()
    };
    let (service, _) = mock(options).await;
    service
        .generate_provisioning_qr_code(&device_id(), LOOPBACK)
        .await
        .unwrap();
    until(async || service.get_status().await.confirmation.is_some()).await;
    let asked = service.get_status().await.confirmation.unwrap();
    assert_eq!(asked.request.sender, Some(IpAddr::from([127, 0, 0, 1])));
    service.answer_confirmation(true, None).await.unwrap();
    until(async || service.get_status().await.status == Status::Provisioned).await;
}

#[test]
fn the_program_serves_a_mock_without_configuration_key_or_store() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("control.sock");
    let log = directory.path().join("log");
    let command = || {
        let mut command = Command::new(program("zmon-provision"));
        command.env_clear().current_dir(directory.path());
        command
    };
    let set = format!("control.socket={}", socket.display());
    let mut serve = command();
    serve.args(["--set", &set, "serve", "--mock", "--mock-delay", "1500", "--mock-auto"]);
    let output = std::fs::File::create(&log).unwrap();
    let _service = Service(serve.stdout(Stdio::null()).stderr(output).spawn().unwrap());
    for _ in 0..400 {
        if socket.exists() {
            break;
        }
        std::thread::sleep(Duration::from_millis(25));
    }
    let shown = said(command().args(["pair", "--socket"]).arg(&socket));
    assert!(shown.contains("Pairing code: "), "{shown}");
    assert!(shown.contains("Status: PROVISIONED"), "{shown}");
    let log = std::fs::read_to_string(&log).unwrap();
    assert!(log.contains("MOCK: nothing here is real"), "{log}");
    let files: Vec<_> = std::fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(files.len(), 2, "a socket and this test's log: {files:?}");
    let usage = command()
        .args(["serve", "--mock", "--mock-fail", "NoSuchCode"])
        .output()
        .unwrap();
    assert_eq!(usage.status.code(), Some(2));
}
