//! The contract of `ProvisioningService`, as far as states and signals go: what holds for a real device holds for a mock.
//!
//! How a payload reaches the service is the caller's affair: `push` brings one that is good, with this QR code.

use std::net::{IpAddr, Ipv4Addr};

use zmon_domain::admin::AdministratorRequest;
use zmon_domain::error::{ErrorCode, ProvisioningError};
use zmon_domain::identity::DeviceId;
use zmon_domain::qr::QrCodeData;
use zmon_domain::secret::SecretText;
use zmon_domain::signal::ProvisioningSignal;
use zmon_domain::status::ProvisioningStatus as Status;
use zmon_ports::{EventSubscription, ProvisioningService, SubscriptionEvent};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// What a subscriber heard: a signal's name, and the status where it tells one.
type Heard = (&'static str, Option<Status>);

/// From unprovisioned through a whole life and back, on a fresh service of this device.
///
/// # Panics
/// Where the contract is broken.
pub async fn lives_as_the_contract_says<S: ProvisioningService>(
    service: &S,
    device_id: &DeviceId,
    pin: &str,
    push: impl AsyncFn(&QrCodeData) -> Result<(), ErrorCode>,
) {
    let code = |outcome: Result<(), ProvisioningError>| outcome.err().map(|error| error.code());
    let request = |pin: &str| AdministratorRequest::with_pin(SecretText::new(pin.into()));
    let open = async || service.generate_provisioning_qr_code(device_id, LOOPBACK).await;
    let mut events = service.subscribe();

    assert_eq!(service.get_status().await.status, Status::Unprovisioned);
    assert_eq!(code(service.cancel().await), Some(ErrorCode::NotPairing));
    assert_eq!(
        code(service.answer_confirmation(true, None).await),
        Some(ErrorCode::NotPairing)
    );
    assert_eq!(code(service.acknowledge().await), None);
    assert!(service.current_qr_code().await.is_none());
    let stranger = DeviceId::parse("ANOTHER-DEVICE").expect("a device id");
    let refused = service.generate_provisioning_qr_code(&stranger, LOOPBACK).await;
    assert_eq!(code(refused.map(drop)), Some(ErrorCode::DeviceIdMismatch));

    let first = open().await.expect("pairing opens");
    let report = service.get_status().await;
    assert_eq!(report.status, Status::ReadyToPair);
    assert!(report.expires_in_seconds.is_some_and(|left| (1..=600).contains(&left)));
    assert!(service.current_qr_code().await.is_some());
    assert_eq!(code(service.acknowledge().await), Some(ErrorCode::PairingInProgress));
    let opened = [("qrCodeGenerated", None), ("statusChanged", Some(Status::ReadyToPair))];
    hears(&mut events, &opened).await;
    assert_eq!(code(service.cancel().await), None);
    hears(&mut events, &[("statusChanged", Some(Status::Unprovisioned))]).await;

    let second = open().await.expect("pairing opens again");
    assert_ne!(first.fields().key, second.fields().key, "a session key is used once");
    hears(&mut events, &opened).await;
    assert_eq!(push(&second).await, Ok(()));
    let report = service.get_status().await;
    assert_eq!(report.status, Status::Provisioned);
    assert!(report.installed.is_some() && report.phase.is_none() && report.expires_in_seconds.is_none());
    assert!(service.current_qr_code().await.is_none(), "the code vanishes");
    let received = Some(Status::PairingReceived);
    let mut heard = heard_until(&mut events, Status::Provisioned).await;
    // Which phases there are is the configuration's affair; that they come first is not.
    heard.retain(|signal| *signal != ("statusChanged", received));
    let expected = [
        ("configurationReceived", None),
        ("provisioningCompleted", None),
        ("statusChanged", Some(Status::Provisioned)),
    ];
    assert_eq!(heard, expected);

    let provisioned = Some(ErrorCode::AlreadyProvisioned);
    assert_eq!(code(open().await.map(drop)), provisioned);
    assert_eq!(code(service.cancel().await), provisioned);
    assert_eq!(code(service.acknowledge().await), provisioned);
    let wrong = service.deprovision_device(request("not the PIN")).await;
    assert_eq!(code(wrong), Some(ErrorCode::AdminRequired));
    assert_eq!(service.get_status().await.status, Status::Provisioned);
    assert_eq!(code(service.deprovision_device(request(pin)).await), None);
    hears(&mut events, &[("statusChanged", Some(Status::Deprovisioned))]).await;
    assert!(service.get_status().await.destruction.is_some());
    assert_eq!(code(service.acknowledge().await), None);
    hears(&mut events, &[("statusChanged", Some(Status::Unprovisioned))]).await;
}

/// A payload that is refused with this code: on a fresh service of this device.
///
/// # Panics
/// Where the contract is broken.
pub async fn fails_as_the_contract_says<S: ProvisioningService>(
    service: &S,
    device_id: &DeviceId,
    failure: ErrorCode,
    push: impl AsyncFn(&QrCodeData) -> Result<(), ErrorCode>,
) {
    let mut events = service.subscribe();
    let qr_code = service.generate_provisioning_qr_code(device_id, LOOPBACK).await;
    assert_eq!(push(&qr_code.expect("pairing opens")).await, Err(failure));
    let report = service.get_status().await;
    assert_eq!(report.status, Status::ProvisioningFailed);
    assert_eq!(report.failure.map(|error| error.code()), Some(failure));
    let heard = heard_until(&mut events, Status::ProvisioningFailed).await;
    assert_eq!(heard[heard.len() - 2].0, "provisioningFailed");
    assert!(service.current_qr_code().await.is_none(), "the code is used up");
    let again = service.generate_provisioning_qr_code(device_id, LOOPBACK).await;
    assert!(again.is_ok(), "a new QR code leads out of a failure");
    assert_eq!(service.get_status().await.status, Status::ReadyToPair);
}

async fn hears<S: EventSubscription>(events: &mut S, expected: &[Heard]) {
    for expected in expected {
        assert_eq!(next(events).await, *expected);
    }
}

async fn heard_until<S: EventSubscription>(events: &mut S, last: Status) -> Vec<Heard> {
    let mut heard = Vec::new();
    while heard.last() != Some(&("statusChanged", Some(last))) {
        heard.push(next(events).await);
    }
    heard
}

async fn next<S: EventSubscription>(events: &mut S) -> Heard {
    match events.next().await {
        Some(SubscriptionEvent::Signal(signal)) => {
            let status = match &signal {
                ProvisioningSignal::StatusChanged { status, .. } => Some(*status),
                _ => None,
            };
            (signal.name(), status)
        }
        other => panic!("a signal, not {other:?}"),
    }
}
