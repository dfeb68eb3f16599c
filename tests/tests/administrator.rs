//! The administrator's acts, through the real service and store: who is let in, and what is left behind.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails as the test itself")]

use std::time::Duration;

use zmon_domain::audit::AuditEvent as E;
use zmon_domain::error::{ErrorCode, ProvisioningError};
use zmon_domain::status::{ProvisioningStatus as Status, Retirement};
use zmon_domain::time::Timestamp;
use zmon_payload_envelope::destruction::verify_destruction;
use zmon_payload_envelope::receipt::verify_receipt;
use zmon_ports::{Clock, ProvisioningService, ProvisioningStore};
use zmon_service::may_start;
use zmon_sqlcipher_certstore::{AuditRecord, AuditVerdict};
use zmon_testkit::pki::NOW;
use zmon_tests::bench::{Bench, is_closed, push, until};
use zmon_tests::device::{ENDLESS_PIN, LOOPBACK, PIN, RELEASE_DATE, administrator};
use zmon_tests::station::Station;

const WRONG: &str = "0000";

/// A PIN, presented for an act that is possible in every state.
async fn attempt(bench: &Bench, pin: &str) -> Result<(), ProvisioningError> {
    bench.device.reset_time_floor(administrator(pin)).await
}

async fn wrong(bench: &Bench) -> ErrorCode {
    attempt(bench, WRONG).await.unwrap_err().code()
}

/// How many seconds even the right PIN is refused.
async fn locked_for(bench: &Bench) -> u64 {
    let refusal = attempt(bench, PIN).await.unwrap_err();
    assert_eq!(refusal.code(), ErrorCode::AdminLocked);
    let wait = refusal.retry_after().unwrap();
    let told = format!("looked at in {} s.", wait.as_millis().div_ceil(1000));
    assert!(refusal.message().contains(&told), "{refusal}");
    wait.as_secs()
}

fn pass(bench: &Bench, seconds: u64) {
    bench.blueprint.clock.advance(Duration::from_secs(seconds));
}

async fn records(bench: &Bench) -> Vec<AuditRecord> {
    assert!(matches!(
        bench.store.verify_audit().await.unwrap(),
        AuditVerdict::Intact(_)
    ));
    bench.store.audit_records(0, 10_000).await.unwrap()
}

/// Code and detail of every refusal of an administrator.
async fn refusals(bench: &Bench) -> Vec<(String, String)> {
    let refused = |record: &AuditRecord| record.event == E::AdministratorRefused.as_str();
    let told = |record: AuditRecord| (record.code.unwrap(), record.detail.unwrap());
    records(bench).await.into_iter().filter(refused).map(told).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn five_wrong_pins_lock_for_a_minute_and_each_further_one_doubles_it() {
    let bench = Bench::new().await;
    let mut answers = Vec::new();
    for _ in 0..5 {
        answers.push(attempt(&bench, WRONG).await.unwrap_err());
    }
    assert!(
        answers.iter().all(|answer| *answer == ErrorCode::AdminRequired.into()),
        "{answers:?}"
    );
    for delay in [60, 120, 240] {
        assert_eq!(locked_for(&bench).await, delay);
        pass(&bench, delay - 1);
        assert_eq!(locked_for(&bench).await, 1);
        pass(&bench, 1);
        assert_eq!(
            wrong(&bench).await,
            ErrorCode::AdminRequired,
            "one guess for each delay"
        );
    }
    pass(&bench, 480);
    attempt(&bench, PIN).await.unwrap();
    for _ in 0..4 {
        assert_eq!(
            wrong(&bench).await,
            ErrorCode::AdminRequired,
            "the right PIN ends the count"
        );
    }
    attempt(&bench, PIN).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_a_restart_nor_the_wall_clock_shortens_a_lock() {
    let mut bench = Bench::new().await;
    for _ in 0..3 {
        wrong(&bench).await;
    }
    bench.restart().await;
    for _ in 0..2 {
        assert_eq!(wrong(&bench).await, ErrorCode::AdminRequired);
    }
    assert_eq!(locked_for(&bench).await, 60, "misses before the restart count");
    pass(&bench, 50);
    for wall in [0, NOW.as_millis() + 1_000_000_000_000] {
        bench.blueprint.clock.set_wall(Timestamp::from_millis(wall), true);
        assert_eq!(locked_for(&bench).await, 10);
    }
    bench.restart().await;
    assert_eq!(
        locked_for(&bench).await,
        60,
        "after a restart the whole delay begins again"
    );
    pass(&bench, 60);
    attempt(&bench, PIN).await.unwrap();
    bench.restart().await;
    assert_eq!(wrong(&bench).await, ErrorCode::AdminRequired);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_requests_at_once_are_five_guesses_and_no_more() {
    let bench = Bench::new().await;
    let racers: Vec<_> = (0..40)
        .map(|_| {
            let device = bench.device.clone();
            tokio::spawn(async move { device.deprovision_device(administrator(WRONG)).await })
        })
        .collect();
    let mut looked_at = 0;
    for racer in racers {
        match racer.await.unwrap().unwrap_err().code() {
            ErrorCode::AdminRequired => looked_at += 1,
            code => assert_eq!(code, ErrorCode::AdminLocked),
        }
    }
    assert_eq!(looked_at, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_power_cut_in_the_middle_of_a_check_has_cost_its_guess() {
    let bench = Bench::new().await;
    let device = bench.device.clone();
    let checking = tokio::spawn(async move { device.reset_time_floor(administrator(ENDLESS_PIN)).await });
    let misses_after_a_cut_now = async || {
        let cut = tempfile::tempdir().unwrap();
        for entry in std::fs::read_dir(bench.directory.path()).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), cut.path().join(entry.file_name())).unwrap();
        }
        let store = bench.blueprint.store(cut.path()).await.ok()?;
        let misses = store.load().await.ok()?.pin_misses;
        store.close().await;
        Some(misses)
    };
    until(async || misses_after_a_cut_now().await == Some(1)).await;
    assert!(!checking.is_finished());
    checking.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_is_audited_with_who_asked_and_a_flood_of_them_is_two_records() {
    let mut bench = Bench::new().await;
    let refused = bench.device.deprovision_device(administrator(PIN)).await;
    assert_eq!(refused.unwrap_err().code(), ErrorCode::NotProvisioned);
    for _ in 0..5 {
        wrong(&bench).await;
    }
    for _ in 0..100 {
        locked_for(&bench).await;
    }
    bench.restart().await;
    let who = "uid 1000, gid 1001, pid 1002";
    let required = |miss| {
        let detail = format!("time floor reset, {who}; miss {miss}");
        ("AdminRequired".to_owned(), detail)
    };
    let mut expected: Vec<_> = (1..=5).map(required).collect();
    expected.push(("AdminLocked".to_owned(), format!("time floor reset, {who}")));
    expected.push((
        "AdminLocked".to_owned(),
        "99 more while no PIN was looked at".to_owned(),
    ));
    assert_eq!(refusals(&bench).await, expected);
    for _ in 0..3 {
        locked_for(&bench).await;
    }
    pass(&bench, 60);
    attempt(&bench, PIN).await.unwrap();
    let told = refusals(&bench).await;
    assert_eq!(told.len(), expected.len() + 2);
    assert_eq!(told.last().unwrap().1, "2 more while no PIN was looked at");
    let not_provisioned = |record: &AuditRecord| record.code.as_deref() == Some("NotProvisioned");
    assert!(
        records(&bench).await.iter().any(not_provisioned),
        "the right PIN, and the act refused"
    );
    let authorised: Vec<_> = records(&bench)
        .await
        .into_iter()
        .filter(|record| record.event == E::AdministratorAuthorised.as_str())
        .filter_map(|record| record.detail)
        .collect();
    assert_eq!(authorised[0], format!("de-provisioning, by administrator, {who}"));
    assert_eq!(authorised[1], format!("time floor reset, by administrator, {who}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn deprovisioning_leaves_a_signed_record_and_pairing_may_start_again() {
    for station in [Station::hmac as fn(&_) -> Station, Station::ed25519] {
        let mut bench = Bench::with(station).await;
        bench.provision().await;
        let status = bench.device.get_status().await;
        assert_eq!(status.destruction, None);
        let leaf = status.installed.unwrap().certificates.leaf().clone();
        pass(&bench, 7);
        bench.device.deprovision_device(administrator(PIN)).await.unwrap();
        let record = bench.device.get_status().await.destruction.unwrap();

        let key = bench.station.receipt_key(&bench.blueprint.device_id);
        let claims = verify_destruction(&record.0, &key).unwrap();
        assert_eq!(claims.device_id, bench.blueprint.device_id);
        assert_eq!(claims.destruction.certificate_sha256, leaf.sha256);
        assert_eq!(claims.destruction.certificate_serial, leaf.serial);
        assert_eq!(
            claims.destruction.authorised_by,
            "administrator, uid 1000, gid 1001, pid 1002"
        );
        assert!(!claims.destruction.retired);
        assert_eq!(claims.destroyed_at, bench.blueprint.clock.wall().now);
        let at_the_head = &records(&bench).await[claims.audit.count as usize - 1];
        assert_eq!(at_the_head.event, E::Deprovisioned.as_str());
        assert_eq!(at_the_head.hash, claims.audit.head);
        assert!(at_the_head.detail.as_deref().unwrap().contains(&leaf.sha256.to_hex()));
        verify_receipt(&record.0, &key).expect_err("a record of destruction is no receipt");

        bench.restart().await;
        let report = bench.device.get_status().await;
        assert_eq!((report.status, report.installed), (Status::Deprovisioned, None));
        assert_eq!(report.destruction, Some(record.clone()));
        bench.provision().await;
        assert_eq!(bench.device.get_status().await.destruction, Some(record.clone()));
        bench.device.deprovision_device(administrator(PIN)).await.unwrap();
        assert_ne!(bench.device.get_status().await.destruction, Some(record));
        bench.device.acknowledge().await.unwrap();
        bench.provision().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_floor_returns_to_the_release_date_and_the_audit_says_from_where() {
    let bench = Bench::new().await;
    bench.blueprint.clock.set_wall(Timestamp::default(), false);
    let qr = bench.open().await;
    let body = bench.station.body(qr.fields(), NOW);
    assert_eq!(push(&qr, body).await.status, 200);
    let floor = async || bench.store.load().await.unwrap().time_floor;
    assert_eq!(floor().await, Some(NOW));
    assert_eq!(wrong(&bench).await, ErrorCode::AdminRequired);
    assert_eq!(floor().await, Some(NOW));
    attempt(&bench, PIN).await.unwrap();
    assert_eq!(floor().await, None);
    assert_eq!(bench.status().await, Status::Provisioned, "nothing else changes");
    let last = records(&bench).await.pop().unwrap();
    let detail = format!(
        "by administrator, uid 1000, gid 1001, pid 1002: from {} to {} ms since 1970",
        NOW.as_millis(),
        RELEASE_DATE.as_millis()
    );
    assert_eq!((last.event.as_str(), last.detail), ("time floor reset", Some(detail)));
    // The service counts from there too: a new session shows it.
    bench.device.deprovision_device(administrator(PIN)).await.unwrap();
    assert_eq!(bench.open().await.fields().timestamp, RELEASE_DATE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retired_device_has_no_trust_anchor_and_pairs_with_nobody_until_it_is_commissioned() {
    for provisioned in [true, false] {
        let mut bench = Bench::new().await;
        if provisioned {
            bench.provision().await;
        } else {
            let qr = bench.open().await;
            let refused = bench.device.retire_device(administrator(PIN)).await;
            assert_eq!(refused.unwrap_err().code(), ErrorCode::PairingInProgress);
            bench.device.cancel().await.unwrap();
            assert!(!is_closed(&qr).await, "it is in its grace period");
        }
        let refused = bench.device.retire_device(administrator(WRONG)).await;
        assert_eq!(refused.unwrap_err().code(), ErrorCode::AdminRequired);
        assert!(bench.blueprint.anchor_place.stands());
        bench.device.retire_device(administrator(PIN)).await.unwrap();
        assert!(!bench.blueprint.anchor_place.stands());
        let report = bench.device.get_status().await;
        if provisioned {
            assert_eq!((report.status, &report.installed), (Status::Deprovisioned, &None));
            let key = bench.station.receipt_key(&bench.blueprint.device_id);
            let claims = verify_destruction(&report.destruction.unwrap().0, &key).unwrap();
            assert!(claims.destruction.retired);
        } else {
            assert_eq!((report.status, report.destruction), (Status::Unprovisioned, None));
        }
        for _ in 0..2 {
            let device_id = &bench.blueprint.device_id;
            let refused = bench.device.generate_provisioning_qr_code(device_id, LOOPBACK).await;
            assert_eq!(refused.unwrap_err().code(), ErrorCode::DeviceRetired);
            bench.restart().await;
        }
        bench.device.stop().await;

        let store = &bench.store;
        let refused = may_start(store, &bench.blueprint.anchor_place, NOW).await;
        assert_eq!(refused.unwrap_err().code(), ErrorCode::DeviceRetired);
        bench.blueprint.anchor_place.put(true);
        may_start(store, &bench.blueprint.anchor_place, NOW).await.unwrap();
        assert_eq!(store.load().await.unwrap().retirement, None);
        assert!(bench.blueprint.anchor_place.stands());
        bench.restart().await;
        bench.provision().await;
        let events: Vec<_> = records(&bench).await.into_iter().map(|record| record.event).collect();
        let order = [E::DeviceRetired, E::TrustAnchorErased, E::DeviceCommissioned];
        let places = order.map(|event| events.iter().position(|found| found == event.as_str()));
        assert!(places.is_sorted() && places[0].is_some(), "{events:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_finishes_a_retirement_that_a_power_cut_interrupted() {
    // The anchor whole or overwritten: it stands. Or gone, and only the store does not know yet.
    for stands in [true, false] {
        let bench = Bench::new().await;
        bench.device.stop().await;
        let store = &bench.store;
        store.set_retirement(NOW, Some(Retirement::Begun), &[]).await.unwrap();
        let place = &bench.blueprint.anchor_place;
        place.put(stands);
        let refused = may_start(store, place, NOW).await;
        assert_eq!(refused.unwrap_err().code(), ErrorCode::DeviceRetired);
        assert!(!place.stands());
        assert_eq!(store.load().await.unwrap().retirement, Some(Retirement::Done));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trust_anchor_that_cannot_be_erased_is_named_and_keeps_the_device_from_starting() {
    let bench = Bench::new().await;
    bench.provision().await;
    let place = &bench.blueprint.anchor_place;
    place.refuse(Some("remove the credential device.key"));
    let refusal = bench.device.retire_device(administrator(PIN)).await.unwrap_err();
    assert_eq!(refusal.code(), ErrorCode::TrustAnchorKept);
    assert_eq!(refusal.message(), "remove the credential device.key");
    assert_eq!(bench.status().await, Status::Deprovisioned, "everything else is done");
    let device_id = &bench.blueprint.device_id;
    let refused = bench.device.generate_provisioning_qr_code(device_id, LOOPBACK).await;
    assert_eq!(refused.unwrap_err().code(), ErrorCode::DeviceRetired);
    bench.device.stop().await;

    let store = &bench.store;
    let refused = may_start(store, place, NOW).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::TrustAnchorKept);
    // A person removes it, starts once, and commissions anew.
    place.put(false);
    let refused = may_start(store, place, NOW).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::DeviceRetired);
    place.put(true);
    may_start(store, place, NOW).await.unwrap();
}
