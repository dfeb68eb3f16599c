//! Every event and every refusal comes into the audit of a real device.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails as the test itself")]

use std::time::Duration;

use serde_json::{Map, Value, json};
use zmon_domain::access::Peer;
use zmon_domain::audit::{AuditEvent as E, AuditVerdict, REPEAT_WINDOW};
use zmon_domain::confirmation::CONFIRMATION_TIME;
use zmon_domain::error::ErrorCode as C;
use zmon_domain::payload::Members;
use zmon_domain::settings::SettingKey;
use zmon_domain::status::ProvisioningStatus as Status;
use zmon_ports::{
    AuditAccess, Clock, ConfigurationAccess, PairingInbound, ProvisioningService, SimulateProvisioning, StorageWarning,
};
use zmon_sqlcipher_certstore::AuditRecord;
use zmon_testkit::https_client::HttpsClient;
use zmon_testkit::pki::NOW;
use zmon_tests::bench::{Bench, CONFIRMATION, address, push, until};
use zmon_tests::device::{LOOPBACK, PIN, administrator};

/// Events that need more than a device and its station, and are brought about elsewhere.
const ELSEWHERE: [E; 1] = [E::ConnectionTested];
const PEER: Peer = Peer {
    uid: 990,
    gid: 991,
    pid: Some(4711),
};

async fn records(bench: &Bench) -> Vec<AuditRecord> {
    bench.device.audit_page(1, 10_000).await.unwrap().records
}

fn has(records: &[AuditRecord], event: E, code: Option<C>) -> bool {
    let code = code.map(C::as_str);
    records
        .iter()
        .any(|record| record.event == event.as_str() && (code.is_none() || record.code.as_deref() == code))
}

async fn push_changed(bench: &Bench, change: impl FnOnce(&mut Map<String, Value>)) -> u16 {
    let qr = bench.open().await;
    let mut payload = bench.station.payload(qr.fields(), bench.blueprint.clock.wall().now);
    change(&mut payload);
    push(&qr, bench.station.seal(qr.fields(), &payload)).await.status
}

/// A person answers the question of step 11; returns when the push was answered, too.
async fn answer(bench: &Bench, accept: bool) {
    let qr = bench.open().await;
    let pushed = bench.push_to_confirm(&qr, bench.body(&qr)).await;
    bench.device.answer_confirmation(accept, Some(PEER)).await.unwrap();
    pushed.await.unwrap();
}

async fn deprovision(bench: &Bench, pin: &str) -> Result<(), C> {
    let outcome = bench.device.deprovision_device(administrator(pin)).await;
    outcome.map_err(|refusal| refusal.code())
}

/// Does what has to bring the event about; false where that needs more than a device and its station.
async fn bring_about(bench: &Bench, event: E) -> bool {
    match event {
        // By starting alone.
        E::StoreCreated | E::ServiceStarted => {}
        E::ProvisioningModeEntered | E::PairingCodeGenerated => drop(bench.open().await),
        E::PairingExpired => {
            bench.open().await;
            bench.blueprint.clock.advance(Duration::from_secs(600));
            assert_eq!(bench.status().await, Status::Unprovisioned);
        }
        E::PairingCancelled => {
            bench.open().await;
            bench.device.cancel().await.unwrap();
        }
        E::RequestsRefused => {
            let qr = bench.open().await;
            assert_eq!(push(&qr, b"garbage".to_vec()).await.status, 400);
            bench.device.cancel().await.unwrap();
        }
        E::ConfigurationReceived
        | E::PairingCodeValidated
        | E::CertificatesInstalled
        | E::ConfigurationApplied
        | E::ProvisioningCompleted => bench.provision().await,
        E::PairingCodeMismatch => {
            let refused = push_changed(bench, |payload| payload["pairingCode"] = json!("AAAAAA")).await;
            assert_eq!(refused, 403);
        }
        E::ProvisioningFailed => {
            let refused = push_changed(bench, |payload| payload["deviceId"] = json!("ZM-OTHER")).await;
            assert_eq!(refused, 403);
        }
        E::ConfirmationAccepted => {
            answer(bench, true).await;
            assert_eq!(bench.status().await, Status::Provisioned);
        }
        E::ConfirmationRefused => answer(bench, false).await,
        E::OutcomeAcknowledged => {
            push_changed(bench, |payload| payload["deviceId"] = json!("ZM-OTHER")).await;
            bench.device.acknowledge().await.unwrap();
        }
        E::ProvisioningSimulated => {
            bench.open().await;
            let simulated = bench
                .device
                .simulate_provisioning(Members(Vec::new()), PEER, Duration::ZERO);
            assert_eq!(simulated.await.unwrap_err().code(), C::PayloadInvalid);
        }
        E::ActRefused => drop(bench.device.cancel().await.unwrap_err()),
        E::ReprovisioningStarted => {
            bench.provision().await;
            deprovision(bench, PIN).await.unwrap();
            bench.open().await;
        }
        E::Deprovisioned => {
            bench.provision().await;
            deprovision(bench, PIN).await.unwrap();
        }
        E::AdministratorRefused => {
            assert_eq!(deprovision(bench, "wrong").await, Err(C::AdminRequired));
        }
        E::ConfigurationRead => {
            bench.provision().await;
            bench.device.read_configuration(PEER).await.unwrap();
        }
        E::CredentialsRead => {
            bench.provision().await;
            bench.device.read_credentials(PEER).await.unwrap();
        }
        E::FormerKeyKept | E::FormerKeyDestroyed => {
            let wrapped = bench.directory.path().join("store.db-key");
            let aside = wrapped.with_extension("aside");
            std::fs::rename(&wrapped, &aside).unwrap();
            std::fs::create_dir(&wrapped).unwrap();
            bench.device.rotate_database_key().await.unwrap();
            assert_eq!(
                bench.device.get_status().await.storage,
                Some(StorageWarning::FormerKeyKept)
            );
            std::fs::remove_dir(&wrapped).unwrap();
            std::fs::rename(&aside, &wrapped).unwrap();
            assert_eq!(bench.device.get_status().await.storage, None);
        }
        E::DatabaseKeyRotated => bench.device.rotate_database_key().await.unwrap(),
        E::AdministratorAuthorised | E::TimeFloorReset => {
            bench.device.reset_time_floor(administrator(PIN)).await.unwrap();
        }
        E::DeviceRetired | E::TrustAnchorErased => {
            bench.device.retire_device(administrator(PIN)).await.unwrap();
        }
        E::TrustAnchorKept => {
            bench.blueprint.anchor_place.refuse(Some("remove it"));
            bench.device.retire_device(administrator(PIN)).await.unwrap_err();
        }
        E::DeviceCommissioned => {
            bench.device.retire_device(administrator(PIN)).await.unwrap();
            bench.blueprint.anchor_place.put(true);
            let place = &bench.blueprint.anchor_place;
            zmon_service::may_start(&bench.store, place, NOW).await.unwrap();
        }
        // Needs a server: `tests/tests/connection_test.rs` brings it about.
        E::ConnectionTested => return false,
    }
    true
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_is_brought_about_and_found_in_the_audit() {
    for event in E::ALL.iter().copied() {
        let bench = match event {
            E::ConfirmationAccepted | E::ConfirmationRefused => Bench::demanding(CONFIRMATION).await,
            _ => Bench::new().await,
        };
        let before = records(&bench).await;
        let fresh = matches!(event, E::StoreCreated | E::ServiceStarted);
        assert_eq!(has(&before, event, None), fresh, "{}", event.as_str());
        let done = bring_about(&bench, event).await;
        assert_eq!(!done, ELSEWHERE.contains(&event), "{}", event.as_str());
        if done {
            let after = records(&bench).await;
            assert!(has(&after, event, None), "{} is not in {after:#?}", event.as_str());
            let AuditVerdict::Intact(head) = bench.device.verify_audit().await.unwrap() else {
                panic!("{} broke the chain", event.as_str())
            };
            assert_eq!(head.count, after.len() as u64);
        }
    }
}

/// Where a refusal is recorded.
enum Found {
    /// As a summary: it came before the envelope opened.
    Summary,
    /// As the end of its session.
    Failed,
    /// As an act that was refused.
    Act,
    /// As an administrator who was not one.
    Administrator,
    /// This needs a broken part of the device: see `tests/tests/faults.rs`, and `crates/domain/tests/machine.rs`.
    WithABrokenPart,
}

/// Brings a refusal about, and says where it has to be found.
async fn refuse(bench: &Bench, code: C) -> Found {
    match code {
        C::NotPairing => {
            let qr = bench.open().await;
            bench.device.cancel().await.unwrap();
            assert_eq!(push(&qr, bench.body(&qr)).await.status, 409);
            bench.open().await;
            Found::Summary
        }
        C::SessionExpired => {
            let qr = bench.open().await;
            bench.blueprint.clock.advance(Duration::from_secs(600));
            assert_eq!(push(&qr, bench.body(&qr)).await.status, 410);
            bench.open().await;
            Found::Summary
        }
        C::NotFound | C::MethodNotAllowed | C::UnsupportedMediaType | C::PayloadTooLarge | C::EnvelopeInvalid => {
            let qr = bench.open().await;
            let (line, length) = match code {
                C::NotFound => ("POST /elsewhere HTTP/1.1\r\nContent-Type: application/jose", 1),
                C::MethodNotAllowed => (
                    "PUT /provisioning/configure HTTP/1.1\r\nContent-Type: application/jose",
                    1,
                ),
                C::UnsupportedMediaType => ("POST /provisioning/configure HTTP/1.1\r\nContent-Type: text/plain", 1),
                C::PayloadTooLarge => (
                    "POST /provisioning/configure HTTP/1.1\r\nContent-Type: application/jose",
                    65_537,
                ),
                _ => (
                    "POST /provisioning/configure HTTP/1.1\r\nContent-Type: application/jose",
                    1,
                ),
            };
            let head = format!("{line}\r\nHost: monitor\r\nContent-Length: {length}\r\n\r\n");
            let request = [head.as_bytes(), &vec![b'a'; length]].concat();
            let client = HttpsClient::new(qr.fields().pin);
            client.raw(address(&qr), &request).await.unwrap();
            bench.device.cancel().await.unwrap();
            Found::Summary
        }
        C::RateLimited => {
            let qr = bench.open().await;
            for _ in 0..4 {
                push(&qr, b"garbage".to_vec()).await;
            }
            bench.device.cancel().await.unwrap();
            Found::Summary
        }
        // The listener counts these; when it does is tried in its own tests.
        C::RequestTimeout | C::PairingInProgress => {
            bench.open().await;
            bench.device.count_refusal(code);
            bench.device.cancel().await.unwrap();
            Found::Summary
        }
        C::SignatureInvalid => {
            let qr = bench.open().await;
            let other = zmon_tests::station::Station::ed25519(&bench.blueprint.device_id);
            assert_eq!(
                push(&qr, other.body(qr.fields(), bench.blueprint.clock.wall().now))
                    .await
                    .status,
                401
            );
            Found::Failed
        }
        C::PayloadInvalid => {
            push_changed(bench, |payload| drop(payload.remove("language"))).await;
            Found::Failed
        }
        C::DeviceIdMismatch => {
            push_changed(bench, |payload| payload["deviceId"] = json!("ZM-OTHER")).await;
            Found::Failed
        }
        C::SessionMismatch => {
            push_changed(bench, |payload| payload["sessionKey"] = json!("x")).await;
            Found::Failed
        }
        C::PayloadExpired => {
            push_changed(bench, |payload| payload["expiresAt"] = json!(1)).await;
            Found::Failed
        }
        C::InvalidPairingCode => {
            push_changed(bench, |payload| payload["pairingCode"] = json!("AAAAAA")).await;
            Found::Failed
        }
        C::InvalidCertificate => {
            push_changed(bench, |payload| payload["caCertificate"] = json!("none")).await;
            Found::Failed
        }
        C::AlreadyProvisioned => {
            bench.provision().await;
            let id = &bench.blueprint.device_id;
            let refused = bench.device.generate_provisioning_qr_code(id, LOOPBACK).await;
            assert_eq!(refused.unwrap_err().code(), code);
            Found::Act
        }
        C::NetworkError => {
            // Documentation's own network (RFC 5737): no interface has this address.
            let nowhere = [192, 0, 2, 1].into();
            let id = &bench.blueprint.device_id;
            let refused = bench.device.generate_provisioning_qr_code(id, nowhere).await;
            assert_eq!(refused.unwrap_err().code(), code);
            Found::Act
        }
        C::ShuttingDown => {
            bench.device.stop().await;
            let id = &bench.blueprint.device_id;
            let refused = bench.device.generate_provisioning_qr_code(id, LOOPBACK).await;
            assert_eq!(refused.unwrap_err().code(), code);
            Found::Act
        }
        C::NotProvisioned => {
            assert_eq!(deprovision(bench, PIN).await, Err(code));
            Found::Act
        }
        C::AdminRequired => {
            assert_eq!(deprovision(bench, "wrong").await, Err(code));
            Found::Administrator
        }
        C::AdminLocked => {
            for _ in 0..5 {
                assert_eq!(deprovision(bench, "wrong").await, Err(C::AdminRequired));
            }
            assert_eq!(deprovision(bench, PIN).await, Err(code));
            Found::Administrator
        }
        C::DeviceRetired => {
            bench.device.retire_device(administrator(PIN)).await.unwrap();
            let id = &bench.blueprint.device_id;
            let refused = bench.device.generate_provisioning_qr_code(id, LOOPBACK).await;
            assert_eq!(refused.unwrap_err().code(), code);
            Found::Act
        }
        // It has an event of its own.
        C::StorageError | C::UnknownError | C::QrContentTooLong | C::TrustAnchorKept => Found::WithABrokenPart,
        C::Cancelled => {
            let qr = bench.open().await;
            let pushed = bench.push_to_confirm(&qr, bench.body(&qr)).await;
            bench.device.cancel().await.unwrap();
            assert_eq!(pushed.await.unwrap().json()["code"], "Cancelled");
            Found::Failed
        }
        C::ConfirmationRefused => {
            answer(bench, false).await;
            Found::Failed
        }
        C::ConfirmationTimeout => {
            let qr = bench.open().await;
            let pushed = bench.push_to_confirm(&qr, bench.body(&qr)).await;
            bench.blueprint.clock.advance(CONFIRMATION_TIME);
            pushed.await.unwrap();
            Found::Failed
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_is_in_the_audit_with_its_code() {
    for code in C::ALL.iter().copied() {
        let bench = match code {
            C::Cancelled | C::ConfirmationRefused | C::ConfirmationTimeout => Bench::demanding(CONFIRMATION).await,
            _ => Bench::new().await,
        };
        let event = match refuse(&bench, code).await {
            Found::Summary => E::RequestsRefused,
            Found::Failed => E::ProvisioningFailed,
            Found::Act => E::ActRefused,
            Found::Administrator => E::AdministratorRefused,
            Found::WithABrokenPart => continue,
        };
        let records = records(&bench).await;
        assert!(has(&records, event, Some(code)), "{code} is not in {records:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_that_was_right_is_recorded_also_where_a_later_check_fails() {
    let bench = Bench::new().await;
    push_changed(&bench, |payload| payload["caCertificate"] = json!("none")).await;
    let records = records(&bench).await;
    let names: Vec<_> = records[records.len() - 3..]
        .iter()
        .map(|record| record.event.as_str())
        .collect();
    assert_eq!(
        names,
        [
            "configuration received",
            "pairing code validated",
            "provisioning failed"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_read_with_who_changed_them_and_when() {
    let bench = Bench::new().await;
    bench.provision().await;
    let installed = bench.device.get_status().await.installed.unwrap();
    let active = bench.device.read_configuration(PEER).await.unwrap();
    assert_eq!(active.settings.values(), &installed.settings);
    let completed = records(&bench).await;
    let completed = completed
        .iter()
        .find(|record| record.event == "provisioning completed")
        .unwrap();
    for key in SettingKey::ALL {
        let change = active.settings.change(key);
        assert_eq!(change.at, installed.completed_at);
        let by = format!("Central Station, session {}", completed.session.as_deref().unwrap());
        assert_eq!(change.by, by, "{key:?}");
    }
    let credentials = bench.device.read_credentials(PEER).await.unwrap();
    assert_eq!(credentials.completed_at, active.completed_at);
    let texts = bench.station.pki.texts();
    assert_eq!(
        credentials.credentials.client_private_key.expose(),
        texts.client_private_key
    );
    assert_eq!(active.texts.client, texts.client_certificate);
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_are_recorded_before_they_are_answered_and_do_not_fill_the_audit() {
    let bench = Bench::new().await;
    let refused = bench.device.read_credentials(PEER).await.unwrap_err();
    assert_eq!(refused.code(), C::NotProvisioned);
    bench.provision().await;
    let before = records(&bench).await.len();
    for _ in 0..200 {
        bench.device.read_credentials(PEER).await.unwrap();
    }
    let after = records(&bench).await;
    assert_eq!(after.len(), before + 1);
    let record = after.last().unwrap();
    assert_eq!(record.detail.as_deref(), Some("by uid 990, gid 991, pid 4711"));
    // The number of the others comes when the hour is over, by the timer alone.
    bench.blueprint.clock.advance(REPEAT_WINDOW);
    until(async || records(&bench).await.len() == before + 2).await;
    let summary = records(&bench).await.pop().unwrap();
    let expected = "by uid 990, gid 991, pid 4711; the last of 199 more within an hour";
    assert_eq!(summary.detail.as_deref(), Some(expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_counted_is_recorded_when_the_service_stops_and_when_everything_is_taken_away() {
    let bench = Bench::new().await;
    bench.provision().await;
    for _ in 0..3 {
        bench.device.read_credentials(PEER).await.unwrap();
    }
    deprovision(&bench, PIN).await.unwrap();
    let names = |records: &[AuditRecord]| -> Vec<String> {
        records[records.len() - 2..]
            .iter()
            .map(|record| record.event.clone())
            .collect()
    };
    let after = records(&bench).await;
    assert_eq!(names(&after), ["credentials read", "de-provisioned"]);
    assert!(
        after[after.len() - 2]
            .detail
            .as_deref()
            .unwrap()
            .contains("the last of 2 more")
    );

    for _ in 0..3 {
        bench.device.acknowledge().await.unwrap();
        bench.device.cancel().await.unwrap_err();
    }
    let count = records(&bench).await.len();
    bench.device.stop().await;
    let after = records(&bench).await;
    assert_eq!(after.len(), count + 1);
    let last = after.last().unwrap();
    assert_eq!(
        (last.event.as_str(), last.code.as_deref()),
        ("act refused", Some("NotPairing"))
    );
    assert_eq!(
        last.detail.as_deref(),
        Some("cancel; the last of 2 more within an hour")
    );
}
