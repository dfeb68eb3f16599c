//! A running device with its station: what most system tests start from.
#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a helper of a test fails as the test itself"
)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use zmon_domain::audit::AuditEvent;
use zmon_domain::checks::Demands;
use zmon_domain::error::ErrorCode;
use zmon_domain::identity::DeviceId;
use zmon_domain::machine::Persisted;
use zmon_domain::qr::QrCodeData;
use zmon_domain::status::ProvisioningStatus as Status;
use zmon_ports::{Clock, ProvisioningService, ProvisioningStore};
use zmon_sqlcipher_certstore::SqlcipherStore;
use zmon_testkit::fakes::{FakeAnchor, ManualClock};
use zmon_testkit::https_client::{HttpAnswer, HttpsClient};
use zmon_testkit::pki::NOW;

use crate::device::{Blueprint, Device, LOOPBACK, ScriptedEntropy};
use crate::station::Station;

/// Of a device that asks a person.
pub const CONFIRMATION: Demands = Demands {
    confirmation: true,
    connection_test: false,
};

/// A device with its station, and what a test looks at.
pub struct Bench {
    /// Holds the store.
    pub directory: TempDir,
    /// What the device is made of, its clock too.
    pub blueprint: Blueprint,
    /// Its other side.
    pub station: Station,
    /// The store, which the device has open.
    pub store: Arc<SqlcipherStore>,
    /// The running service.
    pub device: Device,
}

impl Bench {
    /// On an HMAC anchor, with a right and synchronised clock.
    pub async fn new() -> Self {
        Self::with(Station::hmac).await
    }

    /// With the station that is made for its device id.
    pub async fn with(station: fn(&DeviceId) -> Station) -> Self {
        Self::in_directory(tempfile::tempdir().unwrap(), station).await
    }

    /// On a device that demands this in step 11.
    pub async fn demanding(demands: Demands) -> Self {
        Self::build(tempfile::tempdir().unwrap(), Station::hmac, demands).await
    }

    /// With its store in this folder.
    pub async fn in_directory(directory: TempDir, station: fn(&DeviceId) -> Station) -> Self {
        Self::build(directory, station, Demands::default()).await
    }

    async fn build(directory: TempDir, station: fn(&DeviceId) -> Station, demands: Demands) -> Self {
        let device_id = DeviceId::parse("ZM-ICU-MON-04").unwrap();
        let station = station(&device_id);
        let blueprint = Blueprint {
            anchor: station.key.trust_anchor(),
            device_id,
            clock: Arc::new(ManualClock::new(NOW, true)),
            entropy: ScriptedEntropy::default(),
            demands,
            anchor_place: FakeAnchor::default(),
        };
        let (store, device) = start(&blueprint, &directory).await;
        Self {
            directory,
            blueprint,
            station,
            store,
            device,
        }
    }

    /// Opens pairing.
    pub async fn open(&self) -> QrCodeData {
        self.device
            .generate_provisioning_qr_code(&self.blueprint.device_id, LOOPBACK)
            .await
            .unwrap()
    }

    /// A good body, made at the device's time.
    #[must_use]
    pub fn body(&self, qr: &QrCodeData) -> Vec<u8> {
        self.station.body(qr.fields(), self.blueprint.clock.wall().now)
    }

    /// Pairs and installs a good configuration.
    pub async fn provision(&self) {
        let qr = self.open().await;
        let answer = push(&qr, self.body(&qr)).await;
        assert_eq!(answer.status, 200, "{}", answer.json());
    }

    /// Pushes a body to a device that demands a confirmation; returns when the person is asked.
    pub async fn push_to_confirm(&self, qr: &QrCodeData, body: Vec<u8>) -> JoinHandle<HttpAnswer> {
        let qr = qr.clone();
        let pushed = tokio::spawn(async move { push(&qr, body).await });
        until(async || self.device.get_status().await.confirmation.is_some()).await;
        pushed
    }

    /// Where the device stands.
    pub async fn status(&self) -> Status {
        self.device.get_status().await.status
    }

    /// Stops the service, closes its store and starts anew on the same folder.
    pub async fn restart(&mut self) {
        self.device.stop().await;
        self.store.close().await;
        (self.store, self.device) = start(&self.blueprint, &self.directory).await;
    }

    /// What the store holds.
    pub async fn stored(&self) -> (Persisted, Vec<AuditEvent>) {
        let records = self.store.audit_records(0, 10_000).await.unwrap();
        let persisted = self.store.load().await.unwrap().persisted;
        let known = |name: &str| {
            AuditEvent::ALL
                .iter()
                .copied()
                .find(|event| event.as_str() == name)
                .unwrap()
        };
        (persisted, records.iter().map(|record| known(&record.event)).collect())
    }
}

async fn start(blueprint: &Blueprint, directory: &TempDir) -> (Arc<SqlcipherStore>, Device) {
    let store = blueprint.store(directory.path()).await.unwrap();
    let device = blueprint.start(Arc::clone(&store)).await.unwrap();
    let driven = device.clone();
    tokio::spawn(async move { driven.drive().await });
    (store, device)
}

/// Where the session listens.
#[must_use]
pub fn address(qr: &QrCodeData) -> SocketAddr {
    SocketAddr::new(qr.fields().ip_address, qr.fields().port)
}

/// Pushes a body to the session's listener, with the pin checked.
pub async fn push(qr: &QrCodeData, body: Vec<u8>) -> HttpAnswer {
    HttpsClient::new(qr.fields().pin).push(address(qr), body).await.unwrap()
}

/// Whether nothing listens there.
pub async fn is_closed(qr: &QrCodeData) -> bool {
    tokio::net::TcpStream::connect(address(qr)).await.is_err()
}

/// The answer is this refusal, in the form of RFC 9457, and says what to do next.
pub fn assert_refused(answer: &HttpAnswer, status: u16, code: ErrorCode) {
    let problem = answer.json();
    assert_eq!(
        (answer.status, problem["code"].as_str()),
        (status, Some(code.as_str())),
        "{problem}"
    );
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert_eq!(problem["status"], json!(status));
    assert!(
        problem["nextAction"].as_str().is_some_and(|text| text.len() > 10),
        "{problem}"
    );
    assert!(
        problem["detail"].as_str().is_some_and(|text| text.len() > 10),
        "{problem}"
    );
}

/// Waits for what a background task brings about.
pub async fn until(condition: impl AsyncFn() -> bool) {
    for _ in 0..1_000 {
        if condition().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it did not come to pass");
}
