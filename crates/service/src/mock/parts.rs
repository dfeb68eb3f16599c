//! What a mock is made of in place of adapters.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use zmon_domain::admin::AdministratorAuthorised;
use zmon_domain::audit::{AuditEntry, AuditHead, AuditRecord, AuditVerdict};
use zmon_domain::certificate::BundleFacts;
use zmon_domain::checks::{ConnectionTarget, Credentials, Installation, ServerReached};
use zmon_domain::error::{ErrorCode, ProvisioningError};
use zmon_domain::identity::DeviceId;
use zmon_domain::machine::Persisted;
use zmon_domain::pairing::{PairingCode, SessionPrivateKey, SessionPublicKey, Sha256Digest, TlsPin};
use zmon_domain::payload::{Members, SignedText};
use zmon_domain::result::{
    ActiveConfiguration, ActiveCredentials, CertificateTexts, DestructionClaims, DestructionRecord,
    InstalledConfiguration, Receipt, ReceiptClaims,
};
use zmon_domain::secret::SecretText;
use zmon_domain::settings::RecordedSettings;
use zmon_domain::status::{PersistedStatus, Retirement};
use zmon_domain::time::Timestamp;
use zmon_ports::{
    AdministratorCheck, AnchorFault, AnchorKeeper, AuditStore, CertificateBundle, CertificateFacts, Clock,
    ConfigurationStore, ConnectionFault, ConnectionStage, ConnectionTest, EnvelopeFault, ListenerFault, ListenerOpened,
    Opened, PairingInbound, PairingListener, PayloadEnvelope, ProvisioningStore, ReceiptFault, SealDestruction,
    SealReceipt, SignatureFault, StoreFault, StoredState,
};

use super::MOCK_PIN;
use super::sample::{good_facts, good_members};

/// Characters of a session key in base64url.
const KEY_CHARACTERS: usize = 43;
/// Characters of a pairing code.
const CODE_CHARACTERS: usize = 6;

/// A body that only a mock understands: session key, pairing code, time.
pub(super) fn body(key: &SessionPublicKey, code: &PairingCode, now: Timestamp) -> Vec<u8> {
    format!("{}{}{}", key.to_base64url(), code.expose(), now.as_millis()).into_bytes()
}

/// Whether a payload fails with this code before the part that takes its time is reached.
pub(super) fn comes_before_the_delay(failure: ErrorCode) -> bool {
    !matches!(failure, ErrorCode::NetworkError | ErrorCode::StorageError)
}

/// Opens the bodies of [`body`].
pub(super) struct MockEnvelope {
    pub(super) device_id: DeviceId,
    pub(super) failure: Option<ErrorCode>,
}

impl MockEnvelope {
    fn fails_with(&self, code: ErrorCode) -> bool {
        self.failure == Some(code)
    }
}

fn told() -> String {
    "the mock was told to".into()
}

impl PayloadEnvelope for MockEnvelope {
    fn session_public_key(&self, private: &SessionPrivateKey) -> SessionPublicKey {
        SessionPublicKey::new(*private.expose())
    }

    fn qr_mac(&self, _text: &str) -> Option<[u8; 16]> {
        None
    }

    /// No SHA-256, but as different for different bodies as a mock needs.
    fn digest(&self, body: &[u8]) -> Sha256Digest {
        let mut hasher = DefaultHasher::new();
        body.hash(&mut hasher);
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&hasher.finish().to_be_bytes());
        Sha256Digest::new(bytes)
    }

    fn open(&self, body: &[u8], key: &SessionPrivateKey) -> Result<Opened, EnvelopeFault> {
        let own = self.session_public_key(key).to_base64url();
        let text = String::from_utf8(body.into()).ok();
        text.filter(|text| text.starts_with(&own) && !self.fails_with(ErrorCode::EnvelopeInvalid))
            .map(|text| Opened(SecretText::new(text)))
            .ok_or_else(|| EnvelopeFault { cause: told() })
    }

    fn verify(&self, opened: Opened) -> Result<SignedText, SignatureFault> {
        if self.fails_with(ErrorCode::SignatureInvalid) {
            return Err(SignatureFault { cause: told() });
        }
        Ok(SignedText::after_verification(opened.0))
    }

    fn members(&self, text: &SignedText) -> Result<Members, ProvisioningError> {
        if let Some(failure) = self.failure.filter(|failure| comes_before_the_delay(*failure)) {
            return Err(failure.into());
        }
        let text = text.expose();
        let (key, rest) = text.split_at(KEY_CHARACTERS.min(text.len()));
        let (code, now) = rest.split_at(CODE_CHARACTERS.min(rest.len()));
        let key = SessionPublicKey::from_base64url(key).ok_or(ErrorCode::SessionMismatch)?;
        let now = Timestamp::from_millis(now.parse().unwrap_or_default());
        Ok(good_members(&self.device_id, &key, code, now))
    }

    fn sign_receipt(&self, _: &ReceiptClaims, _: &SecretText) -> Result<Receipt, ReceiptFault> {
        Ok(Receipt("mock.mock.mock".into()))
    }

    fn sign_destruction(&self, _: &DestructionClaims, _: &SecretText) -> Result<DestructionRecord, ReceiptFault> {
        Ok(DestructionRecord("mock.mock.mock".into()))
    }
}

/// What is asked of the world besides: everything is well.
pub(super) struct Invented(pub(super) DeviceId);

impl CertificateFacts for Invented {
    fn examine(&self, bundle: CertificateBundle<'_>) -> BundleFacts {
        good_facts(&self.0, bundle.at)
    }

    fn key_belongs(&self, _client_certificate: &str, _client_private_key: &SecretText) -> bool {
        true
    }
}

/// Listens to nobody, and says that it does.
#[derive(Default)]
pub(super) struct MockListener(AtomicBool);

impl PairingListener for MockListener {
    async fn open<S: PairingInbound>(&self, _: S, _: IpAddr, _: PairingCode) -> Result<ListenerOpened, ListenerFault> {
        self.0.store(true, Ordering::Relaxed);
        Ok(ListenerOpened {
            pin: TlsPin::new([0; 32]),
            port: 8443,
        })
    }

    async fn close(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    async fn is_open(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl AdministratorCheck for Invented {
    async fn authorise(&self, pin: &SecretText) -> Result<AdministratorAuthorised, ProvisioningError> {
        if pin.expose() == MOCK_PIN {
            Ok(AdministratorAuthorised::after_check("administrator"))
        } else {
            Err(ErrorCode::AdminRequired.into())
        }
    }
}

impl AnchorKeeper for Invented {
    async fn is_there(&self) -> bool {
        false
    }

    async fn erase(&self) -> Result<(), AnchorFault> {
        Ok(())
    }
}

/// Reaches a server that is not there, after a while.
pub(super) struct Delay<C> {
    pub(super) clock: Arc<C>,
    pub(super) time: Duration,
    pub(super) failure: Option<ErrorCode>,
}

impl<C: Clock> ConnectionTest for Delay<C> {
    async fn reach(&self, _: ConnectionTarget<'_>) -> Result<ServerReached, ConnectionFault> {
        self.clock.sleep_until(self.clock.monotonic().plus(self.time)).await;
        if self.failure == Some(ErrorCode::NetworkError) {
            return Err(ConnectionFault {
                stage: ConnectionStage::Connect,
                reason: "the mock was told to fail here. Start it without --mock-fail.".into(),
                cause: told(),
            });
        }
        Ok(ServerReached::after_test())
    }
}

/// Holds one configuration, and forgets what it is told to record.
pub(super) struct MockStore {
    failure: Option<ErrorCode>,
    installed: Mutex<Option<Installed>>,
}

struct Installed {
    configuration: InstalledConfiguration,
    recorded: RecordedSettings,
    credentials: Credentials,
}

impl MockStore {
    pub(super) const fn new(failure: Option<ErrorCode>) -> Self {
        Self {
            failure,
            installed: Mutex::new(None),
        }
    }

    fn installed(&self) -> MutexGuard<'_, Option<Installed>> {
        self.installed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ProvisioningStore for MockStore {
    async fn load(&self) -> Result<StoredState, StoreFault> {
        let installed = self.installed();
        let persisted = installed.as_ref().map_or(Persisted::Unprovisioned, |installed| {
            Persisted::Provisioned(Box::new(installed.configuration.clone()))
        });
        Ok(StoredState {
            persisted,
            time_floor: None,
            audit: AuditHead::EMPTY,
            pin_misses: 0,
            destruction: None,
            retirement: None,
        })
    }

    async fn record(
        &self,
        _: Timestamp,
        _: &[AuditEntry],
        _: Option<PersistedStatus>,
    ) -> Result<AuditHead, StoreFault> {
        Ok(AuditHead::EMPTY)
    }

    async fn install(
        &self,
        installation: &Installation,
        _: &[AuditEntry],
        seal: SealReceipt<'_>,
    ) -> Result<InstalledConfiguration, StoreFault> {
        if self.failure == Some(ErrorCode::StorageError) {
            return Err(StoreFault { cause: told() });
        }
        let configuration = InstalledConfiguration {
            settings: installation.settings().clone(),
            certificates: installation.certificates().clone(),
            completed_at: installation.completed_at(),
            body_sha256: installation.body_sha256(),
            receipt: seal(AuditHead::EMPTY).map_err(|fault| StoreFault { cause: fault.cause })?,
        };
        *self.installed() = Some(Installed {
            configuration: configuration.clone(),
            recorded: RecordedSettings::changed_together(configuration.settings.clone(), &installation.change()),
            credentials: installation.credentials().clone(),
        });
        Ok(configuration)
    }

    async fn erase(
        &self,
        _: Timestamp,
        _: &[AuditEntry],
        _: bool,
        seal: SealDestruction<'_>,
    ) -> Result<DestructionRecord, StoreFault> {
        *self.installed() = None;
        seal(AuditHead::EMPTY, &SecretText::default()).map_err(|fault| StoreFault { cause: fault.cause })
    }

    async fn set_retirement(&self, _: Timestamp, _: Option<Retirement>, _: &[AuditEntry]) -> Result<(), StoreFault> {
        Ok(())
    }

    async fn count_pin_miss(&self) -> Result<u32, StoreFault> {
        Ok(1)
    }

    async fn forget_pin_misses(&self, _: Timestamp, _: &[AuditEntry]) -> Result<(), StoreFault> {
        Ok(())
    }

    async fn rotate_key(&self, _: Timestamp, _: &[AuditEntry]) -> Result<(), StoreFault> {
        Ok(())
    }

    async fn destroy_former_key(&self) -> Result<bool, StoreFault> {
        Ok(false)
    }

    async fn set_time_floor(&self, _: Timestamp, _: Option<Timestamp>, _: &[AuditEntry]) -> Result<(), StoreFault> {
        Ok(())
    }
}

impl ConfigurationStore for MockStore {
    async fn active_configuration(&self) -> Result<Option<ActiveConfiguration>, StoreFault> {
        Ok(self.installed().as_ref().map(|installed| {
            let credentials = &installed.credentials;
            ActiveConfiguration {
                settings: installed.recorded.clone(),
                certificates: installed.configuration.certificates.clone(),
                texts: CertificateTexts {
                    client: credentials.client_certificate.clone(),
                    ca: credentials.ca_certificate.clone(),
                    server: credentials.server_certificate.clone(),
                },
                completed_at: installed.configuration.completed_at,
            }
        }))
    }

    async fn active_credentials(&self) -> Result<Option<ActiveCredentials>, StoreFault> {
        Ok(self.installed().as_ref().map(|installed| ActiveCredentials {
            credentials: installed.credentials.clone(),
            completed_at: installed.configuration.completed_at,
        }))
    }
}

impl AuditStore for MockStore {
    async fn audit_head(&self) -> Result<AuditHead, StoreFault> {
        Ok(AuditHead::EMPTY)
    }

    async fn audit_records(&self, _: u64, _: u32) -> Result<Vec<AuditRecord>, StoreFault> {
        Ok(Vec::new())
    }

    async fn verify_audit(&self) -> Result<AuditVerdict, StoreFault> {
        Ok(AuditVerdict::Intact(AuditHead::EMPTY))
    }
}
