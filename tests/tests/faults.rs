//! When a part of the device breaks down, nothing half-done remains and the service lives on.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails as the test itself")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use zmon_domain::access::Peer;
use zmon_domain::audit::AuditEvent as E;
use zmon_domain::certificate::BundleFacts;
use zmon_domain::checks::Demands;
use zmon_domain::error::ErrorCode;
use zmon_domain::identity::{DeviceId, SerialNumber};
use zmon_domain::qr::{QrCodeData, QrImages};
use zmon_domain::secret::SecretText;
use zmon_domain::status::ProvisioningStatus as Status;
use zmon_https_inbound::{HttpsInbound, HttpsInboundConfig};
use zmon_https_outbound::HttpsConnectionTest;
use zmon_payload_envelope::JoseEnvelope;
use zmon_ports::{
    CertificateBundle, CertificateFacts, ConfigurationAccess, ProvisioningService, QrRenderer, RenderFault,
    StorageWarning,
};
use zmon_qr_render::QrImageRenderer;
use zmon_service::{Adapters, CentralStationProvisioningService, DeviceProfile};
use zmon_testkit::fake_store::FakeStore;
use zmon_testkit::fakes::{FakeAnchor, ManualClock};
use zmon_testkit::https_client::HttpsClient;
use zmon_testkit::pki::NOW;
use zmon_tests::device::{LOOPBACK, OnePin, PIN, RELEASE_DATE, ScriptedEntropy, administrator};
use zmon_tests::station::Station;
use zmon_x509_facts::WebpkiCertificateFacts;

/// The real facts, until it is told to break.
#[derive(Clone, Default)]
struct FragileFacts(Arc<AtomicBool>);

impl CertificateFacts for FragileFacts {
    fn examine(&self, bundle: CertificateBundle<'_>) -> BundleFacts {
        assert!(!self.0.load(Ordering::SeqCst), "a defect in a parser");
        WebpkiCertificateFacts.examine(bundle)
    }

    fn key_belongs(&self, client_certificate: &str, client_private_key: &SecretText) -> bool {
        WebpkiCertificateFacts.key_belongs(client_certificate, client_private_key)
    }
}

/// The real renderer, until it is told to break.
#[derive(Clone, Default)]
struct FragileRenderer(Arc<AtomicBool>);

impl QrRenderer for FragileRenderer {
    fn render(&self, content: &str) -> Result<QrImages, RenderFault> {
        if self.0.load(Ordering::SeqCst) {
            let cause = "no symbol is large enough".into();
            return Err(RenderFault { cause });
        }
        QrImageRenderer.render(content)
    }
}

type FragileAdapters = Adapters<
    FakeStore,
    JoseEnvelope,
    FragileFacts,
    FragileRenderer,
    HttpsInbound<ManualClock>,
    Arc<ManualClock>,
    ScriptedEntropy,
    OnePin,
    FakeAnchor,
    HttpsConnectionTest,
    (),
>;

struct Bench {
    device_id: DeviceId,
    station: Station,
    store: FakeStore,
    facts: FragileFacts,
    renderer: FragileRenderer,
    clock: Arc<ManualClock>,
    device: CentralStationProvisioningService<FragileAdapters>,
}

impl Bench {
    async fn new() -> Self {
        let device_id = DeviceId::parse("ZM-1").unwrap();
        let station = Station::hmac(&device_id);
        let (store, facts) = (FakeStore::default(), FragileFacts::default());
        let renderer = FragileRenderer::default();
        let clock = Arc::new(ManualClock::new(NOW, true));
        let config = HttpsInboundConfig {
            port: 0,
            ..HttpsInboundConfig::default()
        };
        let adapters = Adapters {
            store: store.clone(),
            envelope: JoseEnvelope::new(station.key.trust_anchor(), &device_id),
            certificates: facts.clone(),
            renderer: renderer.clone(),
            listener: HttpsInbound::new(config, Arc::clone(&clock)),
            clock: Arc::clone(&clock),
            entropy: ScriptedEntropy::default(),
            administrators: OnePin,
            anchor: FakeAnchor::default(),
            connection: HttpsConnectionTest::default(),
            measurements: (),
        };
        let profile = DeviceProfile {
            device_id: device_id.clone(),
            serial_number: SerialNumber::parse("SN-1").unwrap(),
            pairing_time: Duration::from_secs(600),
            demands: Demands::default(),
            release_date: RELEASE_DATE,
        };
        let device = CentralStationProvisioningService::start(adapters, profile)
            .await
            .unwrap();
        Self {
            device_id,
            station,
            store,
            facts,
            renderer,
            clock,
            device,
        }
    }

    async fn open(&self) -> QrCodeData {
        self.device
            .generate_provisioning_qr_code(&self.device_id, LOOPBACK)
            .await
            .unwrap()
    }

    /// Pushes a good payload over HTTPS; status and code of the answer.
    async fn push(&self, qr: &QrCodeData) -> (u16, Option<String>) {
        let client = HttpsClient::new(qr.fields().pin);
        let to = (qr.fields().ip_address, qr.fields().port).into();
        let answer = client.push(to, self.station.body(qr.fields(), NOW)).await.unwrap();
        (answer.status, answer.json()["code"].as_str().map(ToOwned::to_owned))
    }

    /// Whether the audit has this event with this code.
    fn recorded(&self, event: E, code: ErrorCode) -> bool {
        let audit = self.store.audit();
        audit
            .iter()
            .any(|(_, entry)| entry.event == event && entry.code == Some(code))
    }

    async fn status(&self) -> Status {
        self.device.get_status().await.status
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_a_check_is_an_internal_error_and_the_service_lives_on() {
    let bench = Bench::new().await;
    bench.facts.0.store(true, Ordering::SeqCst);
    let qr = bench.open().await;
    assert_eq!(bench.push(&qr).await, (500, Some("UnknownError".into())));
    assert_eq!(bench.status().await, Status::ProvisioningFailed);
    assert!(bench.store.credentials().is_none());
    assert!(bench.recorded(E::ProvisioningFailed, ErrorCode::UnknownError));
    bench.facts.0.store(false, Ordering::SeqCst);
    let qr = bench.open().await;
    assert_eq!(bench.push(&qr).await, (200, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_fails_leaves_the_device_unprovisioned() {
    let bench = Bench::new().await;
    let qr = bench.open().await;
    bench.store.break_down("no space left on device");
    assert_eq!(bench.push(&qr).await, (500, Some("StorageError".into())));
    assert_eq!(bench.status().await, Status::ProvisioningFailed);
    bench.store.repair();
    assert!(bench.store.credentials().is_none());
    let qr = bench.open().await;
    assert_eq!(bench.push(&qr).await, (200, None));
    assert_eq!(bench.status().await, Status::Provisioned);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_audit_record_there_is_no_pairing() {
    let bench = Bench::new().await;
    bench.store.break_down("no space left on device");
    let refused = bench
        .device
        .generate_provisioning_qr_code(&bench.device_id, LOOPBACK)
        .await;
    assert_eq!(refused.unwrap_err().code(), ErrorCode::StorageError);
    assert_eq!(bench.status().await, Status::Unprovisioned);
    assert!(bench.device.current_qr_code().await.is_none());
    // The refusal is recorded once that can be, at the latest when the service stops.
    bench.store.repair();
    assert!(!bench.recorded(E::ActRefused, ErrorCode::StorageError));
    bench.device.stop().await;
    assert!(bench.recorded(E::ActRefused, ErrorCode::StorageError));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_qr_code_that_cannot_be_drawn_opens_no_pairing_and_is_recorded() {
    let bench = Bench::new().await;
    bench.renderer.0.store(true, Ordering::SeqCst);
    let refused = bench
        .device
        .generate_provisioning_qr_code(&bench.device_id, LOOPBACK)
        .await;
    assert_eq!(refused.unwrap_err().code(), ErrorCode::QrContentTooLong);
    assert_eq!(bench.status().await, Status::Unprovisioned);
    assert!(bench.recorded(E::ActRefused, ErrorCode::QrContentTooLong));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_cannot_count_misses_lets_nobody_guess_and_no_administrator_in() {
    let bench = Bench::new().await;
    bench.store.break_down("no space left on device");
    for pin in ["0000", PIN, "0001"] {
        let refused = bench.device.reset_time_floor(administrator(pin)).await;
        assert_eq!(
            refused.unwrap_err().code(),
            ErrorCode::StorageError,
            "the same for every PIN"
        );
    }
    bench.store.repair();
    bench.device.reset_time_floor(administrator(PIN)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_is_done_also_where_the_former_key_cannot_be_destroyed_and_that_is_said_until_it_is() {
    let bench = Bench::new().await;
    let qr = bench.open().await;
    bench.push(&qr).await;
    bench.store.keep_former_keys(true);
    bench.device.deprovision_device(administrator(PIN)).await.unwrap();
    for _ in 0..3 {
        let report = bench.device.get_status().await;
        assert_eq!(report.status, Status::Deprovisioned);
        assert!(report.destruction.is_some());
        assert_eq!(report.storage, Some(StorageWarning::FormerKeyKept));
    }
    bench.store.keep_former_keys(false);
    let report = bench.device.get_status().await;
    assert_eq!((report.status, report.storage), (Status::Deprovisioned, None));
    let events = bench.store.events();
    assert_eq!(
        events[events.len() - 3..],
        [E::Deprovisioned, E::FormerKeyKept, E::FormerKeyDestroyed]
    );
    // Likewise for a rotation.
    bench.store.keep_former_keys(true);
    bench.device.rotate_database_key().await.unwrap();
    assert_eq!(
        bench.device.get_status().await.storage,
        Some(StorageWarning::FormerKeyKept)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_of_which_nobody_knows_is_told_so_and_the_store_is_read_again_without_a_restart() {
    let bench = Bench::new().await;
    let qr = bench.open().await;
    bench.push(&qr).await;
    bench.store.break_down_after_erasure();
    let refusal = bench.device.deprovision_device(administrator(PIN)).await.unwrap_err();
    assert_eq!(refusal.code(), ErrorCode::StorageError);
    assert!(refusal.message().contains("not known"), "{refusal}");
    let report = bench.device.get_status().await;
    assert_eq!(report.storage, Some(StorageWarning::StatusUncertain));
    let peer = Peer {
        uid: 990,
        gid: 991,
        pid: None,
    };
    let refused = bench.device.read_credentials(peer).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::StorageError);
    bench.store.repair();
    let report = bench.device.get_status().await;
    assert_eq!((report.status, report.storage), (Status::Deprovisioned, None));
    assert!(report.destruction.is_some());
    let qr = bench.open().await;
    assert_eq!(bench.push(&qr).await, (200, None), "and it can be provisioned again");
}

#[tokio::test]
async fn what_the_audit_cannot_take_is_tried_again_after_a_while_and_not_without_end() {
    let bench = Bench::new().await;
    let driven = bench.device.clone();
    tokio::spawn(async move { driven.drive().await });
    bench.store.break_down("the disk is full");
    assert!(bench.device.cancel().await.is_err());
    // Everybody has had a thousand turns.
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    let refused = bench.store.refused_writes();
    assert!((1..=3).contains(&refused), "{refused} writes");
    bench.store.repair();
    for _ in 0..61 {
        bench.clock.advance(Duration::from_secs(1));
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    }
    let acts = bench.store.events().into_iter().filter(|event| *event == E::ActRefused);
    assert_eq!(acts.count(), 1, "recorded once, after a minute");
}
