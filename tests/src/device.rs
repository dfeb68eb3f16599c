//! A device put together from the real adapters, with time and chance under the test's control.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use zmon_domain::access::Peer;
use zmon_domain::admin::{AdministratorAuthorised, AdministratorRequest, Requester};
use zmon_domain::checks::Demands;
use zmon_domain::error::{ErrorCode, ProvisioningError};
use zmon_domain::identity::{DeviceId, SerialNumber};
use zmon_domain::secret::SecretText;
use zmon_domain::time::Timestamp;
use zmon_https_inbound::{HttpsInbound, HttpsInboundConfig};
use zmon_https_outbound::HttpsConnectionTest;
use zmon_payload_envelope::{JoseEnvelope, TrustAnchor};
use zmon_ports::{AdministratorCheck, Clock, Entropy, EntropyUnavailable};
use zmon_prometheus_metrics::{About, PrometheusMetrics, TimedStore};
use zmon_qr_render::QrImageRenderer;
use zmon_service::{Adapters, CentralStationProvisioningService, DeviceProfile};
use zmon_sqlcipher_certstore::{FileKeySource, SqlcipherStore};
use zmon_testkit::fakes::{FakeAnchor, ManualClock};
use zmon_x509_facts::WebpkiCertificateFacts;

/// The release date that these devices were built with: 2026-11-01.
pub const RELEASE_DATE: Timestamp = Timestamp::from_millis(1_793_491_200_000);
/// The PIN of [`OnePin`].
pub const PIN: &str = "administrator-pin-4711";
/// A PIN that [`OnePin`] never gets done with: what a power cut in the middle of a check looks like.
pub const ENDLESS_PIN: &str = "endless";
/// Where these devices listen.
pub const LOOPBACK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

/// The real adapters, but for time, chance and the administrator.
pub type DeviceAdapters = Adapters<
    TimedStore<Arc<SqlcipherStore>, Arc<ManualClock>>,
    JoseEnvelope,
    WebpkiCertificateFacts,
    QrImageRenderer,
    HttpsInbound<ManualClock>,
    Arc<ManualClock>,
    ScriptedEntropy,
    OnePin,
    FakeAnchor,
    HttpsConnectionTest,
    Arc<PrometheusMetrics>,
>;

/// A service on them.
pub type Device = CentralStationProvisioningService<DeviceAdapters>;

/// What a device is made of.
#[derive(Clone)]
pub struct Blueprint {
    /// Its id.
    pub device_id: DeviceId,
    /// What it trusts.
    pub anchor: TrustAnchor,
    /// Its clocks.
    pub clock: Arc<ManualClock>,
    /// Its chance.
    pub entropy: ScriptedEntropy,
    /// What step 11 demands.
    pub demands: Demands,
    /// Where its trust anchor stands.
    pub anchor_place: FakeAnchor,
}

impl Blueprint {
    /// Opens the store in `directory`, creating it where there is none.
    ///
    /// # Errors
    /// Where the store does not open.
    pub async fn store(&self, directory: &Path) -> anyhow::Result<Arc<SqlcipherStore>> {
        let keys = FileKeySource::new(directory.join("store.key"));
        let at = self.clock.wall().now;
        let store = SqlcipherStore::open(&directory.join("store.db"), &keys, at).await;
        store.map(Arc::new).context("opening the store")
    }

    /// Starts a device on a store. Who keeps a hold on the store sees what the device writes; nobody else can open it.
    ///
    /// # Errors
    /// Where it does not start.
    pub async fn start(&self, store: Arc<SqlcipherStore>) -> anyhow::Result<Device> {
        let config = HttpsInboundConfig {
            port: 0,
            ..HttpsInboundConfig::default()
        };
        let metrics = Arc::new(PrometheusMetrics::new(About {
            version: "0.0.0",
            commit: "test",
            started: self.clock.wall().now,
        }));
        let adapters = Adapters {
            store: TimedStore::new(store, Arc::clone(&self.clock), Arc::clone(&metrics)),
            envelope: JoseEnvelope::new(self.anchor.clone(), &self.device_id),
            certificates: WebpkiCertificateFacts,
            renderer: QrImageRenderer,
            listener: HttpsInbound::new(config, Arc::clone(&self.clock)),
            clock: self.clock.clone(),
            entropy: self.entropy.clone(),
            administrators: OnePin,
            anchor: self.anchor_place.clone(),
            connection: HttpsConnectionTest::default(),
            measurements: metrics,
        };
        let profile = DeviceProfile {
            device_id: self.device_id.clone(),
            serial_number: SerialNumber::parse("SN-1")?,
            pairing_time: Duration::from_secs(600),
            demands: self.demands,
            release_date: RELEASE_DATE,
        };
        Ok(CentralStationProvisioningService::start(adapters, profile).await?)
    }
}

/// Chance from the operating system, but for the pairing code and the session key where a vector prescribes them.
#[derive(Clone, Default)]
pub struct ScriptedEntropy {
    /// Six characters of the pairing alphabet.
    pub pairing_code: Option<String>,
    /// The X25519 private key.
    pub session_key: Option<[u8; 32]>,
}

impl Entropy for ScriptedEntropy {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyUnavailable> {
        let code = self.pairing_code.as_deref().map(|code| {
            let place = |c| {
                zmon_domain::pairing::PAIRING_ALPHABET
                    .iter()
                    .position(|letter| *letter == c)
            };
            code.bytes()
                .map(|c| place(c).unwrap_or_default() as u8)
                .collect::<Vec<_>>()
        });
        match (bytes.len(), code, self.session_key) {
            (6, Some(code), _) if code.len() == 6 => bytes.copy_from_slice(&code),
            (32, _, Some(key)) => bytes.copy_from_slice(&key),
            _ => std::io::Read::read_exact(
                &mut std::fs::File::open("/dev/urandom").map_err(|error| unavailable(&error))?,
                bytes,
            )
            .map_err(|error| unavailable(&error))?,
        }
        Ok(())
    }
}

fn unavailable(error: &std::io::Error) -> EntropyUnavailable {
    EntropyUnavailable {
        cause: error.to_string(),
    }
}

/// A program at the other end of a socket, of user 1000.
pub const PEER: Peer = Peer {
    uid: 1000,
    gid: 1001,
    pid: Some(1002),
};

/// A request for an administrator's act with this PIN, from [`PEER`].
#[must_use]
pub fn administrator(pin: &str) -> AdministratorRequest {
    AdministratorRequest {
        pin: SecretText::new(pin.into()),
        by: Requester::Process(PEER),
    }
}

/// An administrator with the PIN [`PIN`].
pub struct OnePin;

impl AdministratorCheck for OnePin {
    async fn authorise(&self, pin: &SecretText) -> Result<AdministratorAuthorised, ProvisioningError> {
        if pin.expose() == ENDLESS_PIN {
            std::future::pending::<()>().await;
        }
        if pin.expose() == PIN {
            Ok(AdministratorAuthorised::after_check("administrator"))
        } else {
            Err(ErrorCode::AdminRequired.into())
        }
    }
}
