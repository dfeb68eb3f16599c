//! A device whose service and state machine are the real ones, and whose adapters cost nothing: for questions that need
//! many thousand sessions.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use zmon_domain::audit::{AuditEntry, AuditHead, AuditRecord, AuditVerdict};
use zmon_domain::certificate::BundleFacts;
use zmon_domain::checks::{Demands, Installation};
use zmon_domain::error::ProvisioningError;
use zmon_domain::identity::{DeviceId, SerialNumber};
use zmon_domain::machine::Persisted;
use zmon_domain::pairing::{PairingCode, SessionPrivateKey, SessionPublicKey, Sha256Digest, TlsPin};
use zmon_domain::payload::{Members, SignedText};
use zmon_domain::qr::QrImages;
use zmon_domain::result::{
    ActiveConfiguration, ActiveCredentials, DestructionClaims, DestructionRecord, InstalledConfiguration, Receipt,
    ReceiptClaims,
};
use zmon_domain::secret::SecretText;
use zmon_domain::status::{PersistedStatus, Retirement};
use zmon_domain::time::Timestamp;
use zmon_https_outbound::HttpsConnectionTest;
use zmon_payload_envelope::sha256;
use zmon_ports::{
    AuditStore, CertificateBundle, CertificateFacts, ConfigurationStore, EnvelopeFault, ListenerFault, ListenerOpened,
    Opened, PairingInbound, PairingListener, PayloadEnvelope, ProvisioningStore, QrRenderer, ReceiptFault, RenderFault,
    SealDestruction, SealReceipt, SignatureFault, StoreFault, StoredState,
};
use zmon_service::{Adapters, CentralStationProvisioningService, DeviceProfile};
use zmon_testkit::fakes::{FakeAnchor, ManualClock, SeededEntropy};
use zmon_testkit::payload::{good_facts, good_members};
use zmon_testkit::pki::NOW;

use crate::device::{OnePin, RELEASE_DATE};

/// The real service on adapters that cost nothing.
pub type QuickDevice = CentralStationProvisioningService<
    Adapters<
        NoStore,
        GlassEnvelope,
        GoodFacts,
        NoPictures,
        NoListener,
        Arc<ManualClock>,
        SeededEntropy,
        OnePin,
        FakeAnchor,
        HttpsConnectionTest,
        (),
    >,
>;

/// The id of these devices.
#[must_use]
pub fn device_id() -> DeviceId {
    DeviceId::parse("ZM-QUICK").unwrap_or_else(|rule| unreachable!("{rule}"))
}

/// Starts a device; what chance brings follows from `seed`.
///
/// # Errors
/// None, with these adapters.
pub async fn start(seed: u64) -> Result<QuickDevice, ProvisioningError> {
    let adapters = Adapters {
        store: NoStore,
        envelope: GlassEnvelope,
        certificates: GoodFacts,
        renderer: NoPictures,
        listener: NoListener,
        clock: Arc::new(ManualClock::new(NOW, true)),
        entropy: SeededEntropy::new(seed),
        administrators: OnePin,
        anchor: FakeAnchor::default(),
        connection: HttpsConnectionTest::default(),
        measurements: (),
    };
    let profile = DeviceProfile {
        device_id: device_id(),
        serial_number: SerialNumber::parse("SN-1").unwrap_or_else(|rule| unreachable!("{rule}")),
        pairing_time: Duration::from_secs(600),
        demands: Demands::default(),
        release_date: RELEASE_DATE,
    };
    CentralStationProvisioningService::start(adapters, profile).await
}

/// A body that opens in the session with this key, is rightly signed, and brings this code.
#[must_use]
pub fn body(key: &SessionPublicKey, code: &str) -> Vec<u8> {
    [
        key.as_bytes().as_slice(),
        key.to_base64url().as_bytes(),
        code.as_bytes(),
    ]
    .concat()
}

/// Length of a key in base64url.
const KEY_CHARACTERS: usize = 43;

/// An envelope that everybody can look through: the session's key in front of the text.
pub struct GlassEnvelope;

impl PayloadEnvelope for GlassEnvelope {
    fn session_public_key(&self, private: &SessionPrivateKey) -> SessionPublicKey {
        SessionPublicKey::new(*private.expose())
    }

    fn qr_mac(&self, _text: &str) -> Option<[u8; 16]> {
        None
    }

    fn digest(&self, body: &[u8]) -> Sha256Digest {
        sha256(body)
    }

    fn open(&self, body: &[u8], key: &SessionPrivateKey) -> Result<Opened, EnvelopeFault> {
        let text = body.strip_prefix(key.expose().as_slice());
        text.and_then(|text| String::from_utf8(text.into()).ok())
            .map(|text| Opened(SecretText::new(text)))
            .ok_or(EnvelopeFault {
                cause: "another session's key".into(),
            })
    }

    fn verify(&self, opened: Opened) -> Result<SignedText, SignatureFault> {
        Ok(SignedText::after_verification(opened.0))
    }

    fn members(&self, text: &SignedText) -> Result<Members, ProvisioningError> {
        let (key, code) = text.expose().split_at(KEY_CHARACTERS);
        let key = SessionPublicKey::from_base64url(key).unwrap_or(SessionPublicKey::new([0; 32]));
        Ok(good_members(&device_id(), &key, code, NOW))
    }

    fn sign_receipt(&self, _claims: &ReceiptClaims, _key: &SecretText) -> Result<Receipt, ReceiptFault> {
        Ok(Receipt("receipt".into()))
    }

    fn sign_destruction(
        &self,
        _claims: &DestructionClaims,
        _key: &SecretText,
    ) -> Result<DestructionRecord, ReceiptFault> {
        Ok(DestructionRecord("record".into()))
    }
}

/// Certificates that no rule objects to.
pub struct GoodFacts;

impl CertificateFacts for GoodFacts {
    fn examine(&self, _bundle: CertificateBundle<'_>) -> BundleFacts {
        good_facts(&device_id(), NOW)
    }

    fn key_belongs(&self, _client_certificate: &str, _client_private_key: &SecretText) -> bool {
        true
    }
}

/// Draws nothing.
pub struct NoPictures;

impl QrRenderer for NoPictures {
    fn render(&self, _content: &str) -> Result<QrImages, RenderFault> {
        Ok(QrImages {
            png: Vec::new(),
            svg: String::new(),
            text: String::new(),
        })
    }
}

/// Listens to nobody.
pub struct NoListener;

impl PairingListener for NoListener {
    async fn open<S: PairingInbound>(
        &self,
        _inbound: S,
        _address: IpAddr,
        _code: PairingCode,
    ) -> Result<ListenerOpened, ListenerFault> {
        Ok(ListenerOpened {
            pin: TlsPin::new([1; 32]),
            port: 8443,
        })
    }

    async fn close(&self) {}

    async fn is_open(&self) -> bool {
        false
    }
}

/// Forgets at once what it is told, but gives others their turn while it installs.
pub struct NoStore;

impl ProvisioningStore for NoStore {
    async fn load(&self) -> Result<StoredState, StoreFault> {
        Ok(StoredState {
            persisted: Persisted::Unprovisioned,
            time_floor: None,
            audit: AuditHead::EMPTY,
            pin_misses: 0,
            destruction: None,
            retirement: None,
        })
    }

    async fn record(
        &self,
        _at: Timestamp,
        _entries: &[AuditEntry],
        _status: Option<PersistedStatus>,
    ) -> Result<AuditHead, StoreFault> {
        Ok(AuditHead::EMPTY)
    }

    async fn install(
        &self,
        installation: &Installation,
        _entries: &[AuditEntry],
        seal: SealReceipt<'_>,
    ) -> Result<InstalledConfiguration, StoreFault> {
        tokio::task::yield_now().await;
        Ok(InstalledConfiguration {
            settings: installation.settings().clone(),
            certificates: installation.certificates().clone(),
            completed_at: installation.completed_at(),
            body_sha256: installation.body_sha256(),
            receipt: seal(AuditHead::EMPTY).map_err(|fault| StoreFault { cause: fault.cause })?,
        })
    }

    async fn erase(
        &self,
        _at: Timestamp,
        _entries: &[AuditEntry],
        _retire: bool,
        seal: SealDestruction<'_>,
    ) -> Result<DestructionRecord, StoreFault> {
        seal(AuditHead::EMPTY, &SecretText::default()).map_err(|fault| StoreFault { cause: fault.cause })
    }

    async fn set_retirement(
        &self,
        _at: Timestamp,
        _retirement: Option<Retirement>,
        _entries: &[AuditEntry],
    ) -> Result<(), StoreFault> {
        Ok(())
    }

    async fn count_pin_miss(&self) -> Result<u32, StoreFault> {
        Ok(1)
    }

    async fn forget_pin_misses(&self, _at: Timestamp, _entries: &[AuditEntry]) -> Result<(), StoreFault> {
        Ok(())
    }

    async fn rotate_key(&self, _at: Timestamp, _entries: &[AuditEntry]) -> Result<(), StoreFault> {
        Ok(())
    }

    async fn destroy_former_key(&self) -> Result<bool, StoreFault> {
        Ok(false)
    }

    async fn set_time_floor(
        &self,
        _at: Timestamp,
        _floor: Option<Timestamp>,
        _entries: &[AuditEntry],
    ) -> Result<(), StoreFault> {
        Ok(())
    }
}

impl ConfigurationStore for NoStore {
    async fn active_configuration(&self) -> Result<Option<ActiveConfiguration>, StoreFault> {
        Ok(None)
    }

    async fn active_credentials(&self) -> Result<Option<ActiveCredentials>, StoreFault> {
        Ok(None)
    }
}

impl AuditStore for NoStore {
    async fn audit_head(&self) -> Result<AuditHead, StoreFault> {
        Ok(AuditHead::EMPTY)
    }

    async fn audit_records(&self, _from: u64, _limit: u32) -> Result<Vec<AuditRecord>, StoreFault> {
        Ok(Vec::new())
    }

    async fn verify_audit(&self) -> Result<AuditVerdict, StoreFault> {
        Ok(AuditVerdict::Intact(AuditHead::EMPTY))
    }
}
