//! What is noted is read again; a timed store is still a store.

use std::sync::Arc;
use std::time::Duration;

use zmon_domain::error::ErrorCode;
use zmon_domain::status::{Phase, ProvisioningStatus};
use zmon_domain::time::Timestamp;
use zmon_ports::{AuditStore as _, Measurement, Measurements as _, ProvisioningStore as _, SessionEnd, StorageWarning};
use zmon_prometheus_metrics::{About, PrometheusMetrics, TimedStore};
use zmon_testkit::fake_service::report;
use zmon_testkit::fake_store::FakeStore;
use zmon_testkit::fakes::ManualClock;

fn metrics() -> Arc<PrometheusMetrics> {
    Arc::new(PrometheusMetrics::new(About {
        version: "1.2.3",
        commit: "0123abcd",
        started: Timestamp::from_millis(1_793_491_200_999),
    }))
}

fn text(metrics: &PrometheusMetrics) -> String {
    metrics.exposition(&report(ProvisioningStatus::Unprovisioned))
}

#[track_caller]
fn has(text: &str, line: &str) {
    assert!(text.lines().any(|found| found == line), "no {line}\n{text}");
}

#[test]
fn it_begins_with_every_count_at_zero() {
    let text = text(&metrics());
    has(&text, "zmon_pairing_sessions_opened_total 0");
    has(&text, "zmon_pairing_sessions_ended_total{outcome=\"expired\"} 0");
    has(&text, "zmon_store_failures_total{operation=\"install\"} 0");
    for code in ErrorCode::ALL {
        has(&text, &format!("zmon_refusals_total{{code=\"{code}\"}} 0"));
    }
    has(&text, "zmon_process_start_time_seconds 1793491200");
    has(&text, "zmon_build_info{version=\"1.2.3\",commit=\"0123abcd\"} 1");
    assert!(!text.contains("zmon_certificate_expiry_timestamp_seconds{"), "{text}");
}

#[test]
fn it_counts_and_times_what_is_noted() {
    let metrics = metrics();
    for measurement in [
        Measurement::SessionOpened,
        Measurement::SessionOpened,
        Measurement::SessionEnded(SessionEnd::Failed),
        Measurement::Refused(ErrorCode::SignatureInvalid),
        Measurement::AdministratorRefused(ErrorCode::AdminLocked),
        Measurement::PhaseFinished(Phase::Applying, Duration::from_millis(50)),
        Measurement::PhaseFinished(Phase::Applying, Duration::from_millis(51)),
        Measurement::Provisioned(Duration::from_secs(4)),
    ] {
        metrics.note(measurement);
    }
    let text = text(&metrics);
    has(&text, "zmon_pairing_sessions_opened_total 2");
    has(&text, "zmon_pairing_sessions_ended_total{outcome=\"failed\"} 1");
    has(&text, "zmon_pairing_sessions_ended_total{outcome=\"cancelled\"} 0");
    has(&text, "zmon_refusals_total{code=\"SignatureInvalid\"} 1");
    has(&text, "zmon_administrator_refusals_total{code=\"AdminLocked\"} 1");
    has(&text, "zmon_administrator_refusals_total{code=\"SignatureInvalid\"} 0");
    let phase = |le: &str| format!("zmon_phase_duration_seconds_bucket{{phase=\"APPLYING\",le=\"{le}\"}}");
    has(&text, &format!("{} 1", phase("0.05")));
    has(&text, &format!("{} 2", phase("0.1")));
    has(&text, "zmon_provisioning_duration_seconds_bucket{le=\"2\"} 0");
    has(&text, "zmon_provisioning_duration_seconds_bucket{le=\"5\"} 1");
    has(&text, "zmon_provisioning_duration_seconds_sum 4.000000000");
}

#[test]
fn it_says_where_the_device_stands() {
    let mut provisioned = report(ProvisioningStatus::Provisioned);
    provisioned.storage = Some(StorageWarning::FormerKeyKept);
    let text = metrics().exposition(&provisioned);
    has(&text, "zmon_status{status=\"PROVISIONED\"} 1");
    has(&text, "zmon_status{status=\"UNPROVISIONED\"} 0");
    has(&text, "zmon_storage_warning{warning=\"FormerKeyKept\"} 1");
    has(&text, "zmon_storage_warning{warning=\"StatusUncertain\"} 0");
    for certificate in ["client", "ca"] {
        let expiry = format!("zmon_certificate_expiry_timestamp_seconds{{certificate=\"{certificate}\"}} 1900000000");
        has(&text, &expiry);
    }
    assert!(!text.contains("certificate=\"server\""), "none is pinned\n{text}");
    assert!(!text.contains("ICU"), "whose it is is nobody's business here\n{text}");
}

#[tokio::test]
async fn it_keeps_the_contracts_of_a_store() {
    let timed = async || TimedStore::new(FakeStore::default(), ManualClock::default(), metrics());
    zmon_testkit::store::contract(timed).await;
    zmon_testkit::reading::contract(timed).await;
}

#[tokio::test]
async fn it_times_each_access_by_its_own_name_and_counts_those_that_fail() {
    let (store, metrics) = (FakeStore::default(), metrics());
    let timed = TimedStore::new(store.clone(), ManualClock::default(), Arc::clone(&metrics));
    timed.load().await.expect("it loads");
    timed.load().await.expect("it loads again");
    timed.audit_head().await.expect("it has a head");
    store.break_down("the card is gone");
    timed.count_pin_miss().await.expect_err("it is broken");
    let text = text(&metrics);
    let count = |operation: &str, count: u32| {
        format!("zmon_store_operation_duration_seconds_count{{operation=\"{operation}\"}} {count}")
    };
    has(&text, &count("load", 2));
    has(&text, &count("audit_head", 1));
    has(&text, &count("count_pin_miss", 1));
    has(&text, "zmon_store_failures_total{operation=\"count_pin_miss\"} 1");
    has(&text, "zmon_store_failures_total{operation=\"load\"} 0");
    assert!(
        !text.contains("duration_seconds_count{operation=\"install\"}"),
        "{text}"
    );
}
