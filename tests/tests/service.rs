//! The provisioning service with its real adapters: each way a session can go.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails as the test itself")]

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use zmon_domain::audit::AuditEvent;
use zmon_domain::error::ErrorCode;
use zmon_domain::identity::DeviceId;
use zmon_domain::machine::Persisted;
use zmon_domain::payload::SignedText;
use zmon_domain::secret::SecretText;
use zmon_domain::signal::ProvisioningSignal;
use zmon_domain::status::{Phase, ProvisioningStatus as Status};
use zmon_payload_envelope::JoseEnvelope;
use zmon_payload_envelope::receipt::verify_receipt;
use zmon_ports::{
    AuditStore, EventSubscription, PayloadEnvelope, ProvisioningService, ProvisioningStore, SimulateProvisioning,
    SubscriptionEvent,
};
use zmon_testkit::https_client::{HttpAnswer, HttpsClient};
use zmon_testkit::pki::NOW;
use zmon_tests::bench::{Bench, address, assert_refused, is_closed, push, until};
use zmon_tests::device::{LOOPBACK, PEER, PIN, administrator};
use zmon_tests::station::Station;

#[tokio::test(flavor = "multi_thread")]
async fn a_push_over_https_provisions_and_the_receipt_verifies() {
    for station in [Station::hmac as fn(&DeviceId) -> Station, Station::ed25519] {
        let bench = Bench::with(station).await;
        let qr = bench.open().await;
        let body = bench.body(&qr);
        let answer = push(&qr, body.clone()).await;
        assert_eq!(answer.status, 200, "{}", answer.json());
        assert_eq!(answer.json()["status"], "PROVISIONED");

        let key = bench.station.receipt_key(&bench.blueprint.device_id);
        let claims = verify_receipt(answer.json()["receipt"].as_str().unwrap(), &key).unwrap();
        assert_eq!(claims.device_id, bench.blueprint.device_id);
        let installed = bench.device.get_status().await.installed.unwrap();
        assert_eq!(claims.body_sha256, installed.body_sha256);
        assert_eq!(claims.certificate_sha256, installed.certificates.leaf().sha256);

        let (persisted, events) = bench.stored().await;
        let Persisted::Provisioned(stored) = persisted else {
            panic!("not persisted")
        };
        assert_eq!(*stored, installed);
        use AuditEvent as E;
        let expected = [
            E::StoreCreated,
            E::ServiceStarted,
            E::ProvisioningModeEntered,
            E::PairingCodeGenerated,
            E::ConfigurationReceived,
            E::PairingCodeValidated,
            E::CertificatesInstalled,
            E::ConfigurationApplied,
            E::ProvisioningCompleted,
        ];
        assert_eq!(events, expected);
        assert_eq!(claims.audit.count, events.len() as u64);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_it_is_provisioned_with_no_port_open_and_refuses_pairing() {
    let mut bench = Bench::new().await;
    let qr = bench.open().await;
    assert_eq!(push(&qr, bench.body(&qr)).await.status, 200);
    let before = bench.device.get_status().await;
    bench.restart().await;
    let after = bench.device.get_status().await;
    assert_eq!(after, before);
    assert_eq!(
        after.installed.unwrap().settings.server_url.as_str(),
        "https://central.example.org:8444"
    );
    assert!(is_closed(&qr).await);
    let refused = bench
        .device
        .generate_provisioning_qr_code(&bench.blueprint.device_id, LOOPBACK)
        .await;
    assert_eq!(refused.unwrap_err().code(), ErrorCode::AlreadyProvisioned);
    assert!(is_closed(&qr).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_body_gets_the_same_receipt_during_grace_and_any_other_is_refused() {
    let bench = Bench::new().await;
    let qr = bench.open().await;
    let body = bench.body(&qr);
    let first = push(&qr, body.clone()).await;
    for _ in 0..5 {
        assert_eq!(push(&qr, body.clone()).await.json(), first.json());
    }
    assert_refused(&push(&qr, bench.body(&qr)).await, 409, ErrorCode::AlreadyProvisioned);
    assert_refused(
        &push(&qr, b"garbage".to_vec()).await,
        409,
        ErrorCode::AlreadyProvisioned,
    );
    bench.blueprint.clock.advance(Duration::from_secs(119));
    assert_eq!(push(&qr, body).await.json(), first.json());
    bench.blueprint.clock.advance(Duration::from_secs(1));
    until(async || is_closed(&qr).await).await;
    let (_, events) = bench.stored().await;
    assert!(events.contains(&AuditEvent::RequestsRefused), "{events:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_not_seen_the_screen_changes_nothing() {
    let bench = Bench::new().await;
    let qr = bench.open().await;
    let to = address(&qr);
    let client = |last: u8| HttpsClient::new(qr.fields().pin).from([127, 0, 0, last].into());
    use http_request as request;
    let large = vec![b'a'; 65_537];
    let cases: [(HttpAnswer, u16, ErrorCode); 6] = [
        (
            request(&client(2), to, "GET", "/", None, vec![]).await,
            404,
            ErrorCode::NotFound,
        ),
        (
            request(&client(3), to, "GET", "/provisioning/configure", None, vec![]).await,
            405,
            ErrorCode::MethodNotAllowed,
        ),
        (
            request(
                &client(4),
                to,
                "POST",
                "/provisioning/configure",
                Some("application/json"),
                b"{}".to_vec(),
            )
            .await,
            415,
            ErrorCode::UnsupportedMediaType,
        ),
        (
            request(
                &client(5),
                to,
                "POST",
                "/provisioning/configure",
                Some("application/jose"),
                large,
            )
            .await,
            413,
            ErrorCode::PayloadTooLarge,
        ),
        (
            client(6).push(to, b"garbage".to_vec()).await.unwrap(),
            400,
            ErrorCode::EnvelopeInvalid,
        ),
        (
            client(7).push(to, vec![0xff; 65_536]).await.unwrap(),
            400,
            ErrorCode::EnvelopeInvalid,
        ),
    ];
    for (answer, status, code) in cases {
        assert_refused(&answer, status, code);
    }
    assert_eq!(bench.status().await, Status::ReadyToPair);
    let status = client(8).get(to, "/provisioning/status").await.unwrap();
    assert_eq!(
        status.json(),
        json!({ "status": "READY_TO_PAIR", "expiresInSeconds": 600 })
    );
    assert!(matches!(bench.stored().await.0, Persisted::Unprovisioned));
    assert_eq!(
        push(&qr, bench.body(&qr)).await.status,
        200,
        "the session is undisturbed"
    );
}

async fn http_request(
    client: &HttpsClient,
    to: SocketAddr,
    method: &str,
    path: &str,
    media_type: Option<&str>,
    body: Vec<u8>,
) -> HttpAnswer {
    let media_type = media_type.map_or_else(String::new, |value| format!("Content-Type: {value}\r\n"));
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {to}\r\n{media_type}Content-Length: {}\r\n\r\n",
        body.len()
    );
    HttpAnswer::parse(&client.raw(to, &[head.as_bytes(), &body].concat()).await.unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_payload_that_fails_ends_the_session_and_leaves_nothing() {
    type Change = fn(&mut serde_json::Map<String, Value>);
    let cases: [(Change, u16, ErrorCode); 7] = [
        (
            |payload| drop(payload.remove("deviceLabel")),
            422,
            ErrorCode::PayloadInvalid,
        ),
        (
            |payload| payload["deviceId"] = json!("ZM-OTHER"),
            403,
            ErrorCode::DeviceIdMismatch,
        ),
        (
            |payload| payload["sessionKey"] = json!("x"),
            403,
            ErrorCode::SessionMismatch,
        ),
        (
            |payload| payload["expiresAt"] = json!(1),
            410,
            ErrorCode::PayloadExpired,
        ),
        (
            |payload| payload["pairingCode"] = json!("AAAAAA"),
            403,
            ErrorCode::InvalidPairingCode,
        ),
        (
            |payload| payload["caCertificate"] = json!("none"),
            422,
            ErrorCode::InvalidCertificate,
        ),
        (
            |payload| payload["serverUrl"] = json!("https://other.example.org"),
            422,
            ErrorCode::InvalidCertificate,
        ),
    ];
    for (change, status, code) in cases {
        let bench = Bench::new().await;
        let qr = bench.open().await;
        let mut payload = bench.station.payload(qr.fields(), NOW);
        change(&mut payload);
        assert_refused(
            &push(&qr, bench.station.seal(qr.fields(), &payload)).await,
            status,
            code,
        );
        let report = bench.device.get_status().await;
        assert_eq!(report.status, Status::ProvisioningFailed);
        assert_eq!(report.failure.unwrap().code(), code);
        assert_refused(&push(&qr, bench.body(&qr)).await, 409, ErrorCode::NotPairing);
        let (persisted, events) = bench.stored().await;
        assert!(matches!(persisted, Persisted::Unprovisioned));
        assert_eq!(
            events.contains(&AuditEvent::PairingCodeMismatch),
            code == ErrorCode::InvalidPairingCode
        );
        assert!(events.contains(&AuditEvent::ProvisioningFailed));

        bench.device.acknowledge().await.unwrap();
        assert_eq!(bench.status().await, Status::Unprovisioned);
        let qr = bench.open().await;
        assert_eq!(
            push(&qr, bench.body(&qr)).await.status,
            200,
            "a new session works after {code}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_after_ten_minutes_whatever_the_wall_clock_says() {
    let bench = Bench::new().await;
    let qr = bench.open().await;
    let mut events = bench.device.subscribe();
    bench.blueprint.clock.advance(Duration::from_secs(599));
    assert_eq!(bench.status().await, Status::ReadyToPair);
    bench
        .blueprint
        .clock
        .set_wall(zmon_domain::time::Timestamp::from_millis(0), false);
    bench.blueprint.clock.advance(Duration::from_secs(1));
    assert_eq!(
        events.next().await,
        Some(SubscriptionEvent::Signal(ProvisioningSignal::QrCodeExpired))
    );
    assert_refused(&push(&qr, bench.body(&qr)).await, 410, ErrorCode::SessionExpired);
    assert_eq!(bench.status().await, Status::Unprovisioned);
    assert!(bench.device.current_qr_code().await.is_none());
    bench.blueprint.clock.advance(Duration::from_secs(30));
    until(async || is_closed(&qr).await).await;
    assert!(bench.stored().await.1.contains(&AuditEvent::PairingExpired));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_qr_code_ends_the_old_session() {
    let bench = Bench::new().await;
    let old = bench.open().await;
    let body = bench.body(&old);
    let new = bench.open().await;
    assert_ne!(old.fields().pin, new.fields().pin);
    assert_ne!(old.fields().key, new.fields().key);
    assert!(is_closed(&old).await);
    assert_refused(&push(&new, body).await, 400, ErrorCode::EnvelopeInvalid);
    assert_eq!(push(&new, bench.body(&new)).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_of_another_session_is_answered_as_a_wrong_one() {
    let bench = Bench::new().await;
    let old = bench.open().await;
    let new = bench.open().await;
    let outcome = bench
        .device
        .apply_configuration(bench.body(&new), &old.fields().pairing_code, None)
        .await;
    assert_eq!(outcome.unwrap_err().code(), ErrorCode::InvalidPairingCode);
    assert_eq!(bench.status().await, Status::ReadyToPair);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_many_racing_payloads_wins_and_the_others_hear_conflict() {
    for _ in 0..20 {
        let bench = Bench::new().await;
        let qr = bench.open().await;
        let code = qr.fields().pairing_code.clone();
        let bodies: Vec<_> = (0..8).map(|_| bench.body(&qr)).collect();
        let racers: Vec<_> = bodies
            .into_iter()
            .map(|body| {
                let (device, code) = (bench.device.clone(), code.clone());
                tokio::spawn(async move { device.apply_configuration(body, &code, None).await })
            })
            .collect();
        let mut winners = 0;
        for racer in racers {
            match racer.await.unwrap() {
                Ok(_) => winners += 1,
                Err(error) => {
                    let conflict = [ErrorCode::PairingInProgress, ErrorCode::AlreadyProvisioned];
                    assert!(conflict.contains(&error.code()), "{error}");
                }
            }
        }
        assert_eq!(winners, 1);
        assert_eq!(bench.status().await, Status::Provisioned);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_stops_waiting_does_not_stop_the_installation() {
    let bench = Bench::new().await;
    let qr = bench.open().await;
    let mut events = bench.device.subscribe();
    let code = qr.fields().pairing_code.clone();
    let call = bench.device.apply_configuration(bench.body(&qr), &code, None);
    assert!(
        tokio::time::timeout(Duration::ZERO, call).await.is_err(),
        "the caller gave up"
    );
    loop {
        let event = events.next().await.unwrap();
        if matches!(
            event,
            SubscriptionEvent::Signal(ProvisioningSignal::ProvisioningCompleted(_))
        ) {
            break;
        }
    }
    assert_eq!(bench.status().await, Status::Provisioned);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_six_signals_come_in_order_and_carry_no_secret() {
    let bench = Bench::new().await;
    let mut events = bench.device.subscribe();
    let qr = bench.open().await;
    assert_eq!(push(&qr, bench.body(&qr)).await.status, 200);
    let mut seen = Vec::new();
    while seen.last() != Some(&("statusChanged", Some(Status::Provisioned), None)) {
        let Some(SubscriptionEvent::Signal(signal)) = events.next().await else {
            panic!("missed")
        };
        let text = format!("{signal:?}");
        for secret in ["PRIVATE", qr.fields().pairing_code.expose()] {
            assert!(!text.contains(secret), "{text}");
        }
        seen.push(match &signal {
            ProvisioningSignal::StatusChanged { status, phase } => (signal.name(), Some(*status), *phase),
            other => (other.name(), None, None),
        });
    }
    let phase = |phase| ("statusChanged", Some(Status::PairingReceived), Some(phase));
    let expected = [
        ("qrCodeGenerated", None, None),
        ("statusChanged", Some(Status::ReadyToPair), None),
        phase(Phase::VerifyingSignature),
        ("configurationReceived", None, None),
        phase(Phase::CheckingPayload),
        phase(Phase::CheckingCertificates),
        phase(Phase::Applying),
        ("provisioningCompleted", None, None),
        ("statusChanged", Some(Status::Provisioned), None),
    ];
    assert_eq!(seen, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_database_key_changes_nothing_else_in_any_state() {
    let mut bench = Bench::new().await;
    let wrapped_key = |bench: &Bench| std::fs::read(bench.directory.path().join("store.db-key")).unwrap();
    let mut before = wrapped_key(&bench);
    let mut rotate = async |bench: &Bench| {
        bench.device.rotate_database_key().await.unwrap();
        assert_ne!(std::mem::replace(&mut before, wrapped_key(bench)), before);
    };
    rotate(&bench).await;
    let qr = bench.open().await;
    rotate(&bench).await;
    assert_eq!(bench.status().await, Status::ReadyToPair);
    assert_eq!(push(&qr, bench.body(&qr)).await.status, 200);
    rotate(&bench).await;
    assert_eq!(bench.status().await, Status::Provisioned);
    bench.restart().await;
    assert_eq!(bench.status().await, Status::Provisioned);
    let (_, events) = bench.stored().await;
    let rotations = events.iter().filter(|event| **event == AuditEvent::DatabaseKeyRotated);
    assert_eq!(rotations.count(), 3);
    bench.device.stop().await;
    let refused = bench.device.rotate_database_key().await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::ShuttingDown);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_an_administrator_takes_it_all_away() {
    let mut bench = Bench::new().await;
    let refused = bench.device.deprovision_device(administrator(PIN)).await;
    assert_eq!(refused.unwrap_err().code(), ErrorCode::NotProvisioned);
    let qr = bench.open().await;
    assert_eq!(push(&qr, bench.body(&qr)).await.status, 200);
    let refused = bench.device.deprovision_device(administrator("0000")).await;
    assert_eq!(refused.unwrap_err().code(), ErrorCode::AdminRequired);
    assert_eq!(bench.status().await, Status::Provisioned);

    bench.device.deprovision_device(administrator(PIN)).await.unwrap();
    assert_eq!(bench.status().await, Status::Deprovisioned);
    assert!(is_closed(&qr).await);
    bench.restart().await;
    assert_eq!(bench.status().await, Status::Deprovisioned);
    assert!(bench.store.credentials().await.unwrap().is_none());
    assert_eq!(bench.store.load().await.unwrap().time_floor, None);

    let qr = bench.open().await;
    assert_eq!(push(&qr, bench.body(&qr)).await.status, 200);
    let events = bench.stored().await.1;
    for event in [
        AuditEvent::AdministratorRefused,
        AuditEvent::Deprovisioned,
        AuditEvent::ReprovisioningStarted,
    ] {
        assert!(events.contains(&event), "{event:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_ends_the_session_and_refuses_new_work() {
    let bench = Bench::new().await;
    let qr = bench.open().await;
    bench.device.stop().await;
    assert!(is_closed(&qr).await);
    let refused = bench
        .device
        .generate_provisioning_qr_code(&bench.blueprint.device_id, LOOPBACK)
        .await;
    assert_eq!(refused.unwrap_err().code(), ErrorCode::ShuttingDown);
    let refused = bench
        .device
        .apply_configuration(bench.body(&qr), &qr.fields().pairing_code, None)
        .await;
    assert_eq!(refused.unwrap_err().code(), ErrorCode::ShuttingDown);
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_ends_the_session() {
    let bench = Bench::new().await;
    let qr = bench.open().await;
    bench.device.cancel().await.unwrap();
    assert_eq!(bench.status().await, Status::Unprovisioned);
    assert_refused(&push(&qr, bench.body(&qr)).await, 409, ErrorCode::NotPairing);
    assert_eq!(bench.device.cancel().await.unwrap_err().code(), ErrorCode::NotPairing);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_qr_code_for_another_device_is_refused() {
    let bench = Bench::new().await;
    let other = DeviceId::parse("ZM-OTHER").unwrap();
    let refused = bench.device.generate_provisioning_qr_code(&other, LOOPBACK).await;
    assert_eq!(refused.unwrap_err().code(), ErrorCode::DeviceIdMismatch);
}

#[tokio::test(flavor = "multi_thread")]
async fn replays_are_refused_in_every_later_situation() {
    let mut bench = Bench::new().await;
    let qr = bench.open().await;
    let body = bench.body(&qr);
    assert_eq!(push(&qr, body.clone()).await.status, 200);
    bench.restart().await;
    let outcome = bench
        .device
        .apply_configuration(body.clone(), &qr.fields().pairing_code, None)
        .await;
    assert_eq!(outcome.unwrap_err().code(), ErrorCode::AlreadyProvisioned);
    bench.device.deprovision_device(administrator(PIN)).await.unwrap();
    let outcome = bench
        .device
        .apply_configuration(body.clone(), &qr.fields().pairing_code, None)
        .await;
    assert_eq!(outcome.unwrap_err().code(), ErrorCode::NotPairing);
    let qr = bench.open().await;
    for _ in 0..100 {
        let outcome = bench
            .device
            .apply_configuration(body.clone(), &qr.fields().pairing_code, None)
            .await;
        assert_eq!(outcome.unwrap_err().code(), ErrorCode::EnvelopeInvalid);
    }
    assert_eq!(bench.status().await, Status::ReadyToPair);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_simulated_payload_goes_through_the_same_checks() {
    let bench = Bench::new().await;
    let envelope = JoseEnvelope::new(bench.station.key.trust_anchor(), &bench.blueprint.device_id);
    let members = |payload: &serde_json::Map<String, Value>| {
        let text = SecretText::new(serde_json::to_string(payload).unwrap());
        envelope.members(&SignedText::after_verification(text)).unwrap()
    };
    let qr = bench.open().await;
    let mut payload = bench.station.payload(qr.fields(), NOW);
    payload["caCertificate"] = json!("none");
    let simulated = async |payload: &serde_json::Map<String, Value>| {
        let outcome = bench
            .device
            .simulate_provisioning(members(payload), PEER, Duration::ZERO);
        outcome.await.map_err(|refusal| refusal.code())
    };
    assert_eq!(simulated(&payload).await.unwrap_err(), ErrorCode::InvalidCertificate);
    assert_eq!(
        simulated(&payload).await.unwrap_err(),
        ErrorCode::NotPairing,
        "the session is used up"
    );
    let earlier = bench.station.payload(qr.fields(), NOW);
    let qr = bench.open().await;
    assert_eq!(simulated(&earlier).await.unwrap_err(), ErrorCode::SessionMismatch);
    bench.open().await;
    // What every station says in the same way is not asked of a developer.
    let mut payload = bench.station.payload(qr.fields(), NOW);
    for name in [
        "version",
        "deviceId",
        "sessionKey",
        "pairingCode",
        "timestamp",
        "expiresAt",
    ] {
        payload.remove(name).unwrap();
    }
    simulated(&payload).await.unwrap();
    assert_eq!(bench.status().await, Status::Provisioned);
    assert_eq!(simulated(&payload).await.unwrap_err(), ErrorCode::AlreadyProvisioned);
    let records = bench.store.audit_records(1, 1000).await.unwrap();
    let simulated = records.iter().filter(|record| record.event == "provisioning simulated");
    let details: Vec<_> = simulated.map(|record| record.detail.clone().unwrap()).collect();
    assert_eq!(details, vec![format!("by {PEER}"); 3], "each one that was looked at");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_simulated_payload_stays_in_each_phase_for_as_long_as_it_is_told() {
    let bench = Bench::new().await;
    let envelope = JoseEnvelope::new(bench.station.key.trust_anchor(), &bench.blueprint.device_id);
    let qr = bench.open().await;
    let text = serde_json::to_string(&bench.station.payload(qr.fields(), NOW)).unwrap();
    let members = envelope
        .members(&SignedText::after_verification(SecretText::new(text)))
        .unwrap();
    let (device, pause) = (bench.device.clone(), Duration::from_secs(7));
    let simulated = tokio::spawn(async move { device.simulate_provisioning(members, PEER, pause).await });
    for phase in [
        "VERIFYING_SIGNATURE",
        "CHECKING_PAYLOAD",
        "CHECKING_CERTIFICATES",
        "APPLYING",
    ] {
        let in_phase = async || bench.device.get_status().await.phase.map(Phase::as_str) == Some(phase);
        while !in_phase().await {
            tokio::task::yield_now().await;
        }
        // Nobody says when the service has begun to wait: the clock goes on in steps, of which it may miss one.
        let (step, mut waited) = (Duration::from_secs(1), Duration::ZERO);
        while in_phase().await {
            assert!(waited < pause * 3, "{phase} does not end");
            bench.blueprint.clock.advance(step);
            waited += step;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(waited + step >= pause, "{phase} ended after {waited:?}");
    }
    simulated.await.unwrap().unwrap();
    assert_eq!(bench.status().await, Status::Provisioned);
}
