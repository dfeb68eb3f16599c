//! The real adapters, each behind a thin wrapper that can do one thing wrong.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use zmon_domain::access::Peer;
use zmon_domain::admin::AdministratorRequest;
use zmon_domain::audit::{AuditEntry, AuditHead, AuditRecord, AuditVerdict};
use zmon_domain::checks::Installation;
use zmon_domain::error::{ErrorCode, ProvisioningError};
use zmon_domain::identity::DeviceId;
use zmon_domain::machine::Admission;
use zmon_domain::pairing::{PairingCode, SessionPrivateKey, SessionPublicKey, Sha256Digest, TlsPin};
use zmon_domain::payload::{Members, SignedText};
use zmon_domain::qr::QrCodeData;
use zmon_domain::result::{
    ActiveConfiguration, ActiveCredentials, DestructionClaims, DestructionRecord, InstalledConfiguration,
    ProvisioningResult, Receipt, ReceiptClaims,
};
use zmon_domain::secret::SecretText;
use zmon_domain::status::{PersistedStatus, Retirement};
use zmon_domain::time::{Monotonic, Timestamp, WallClock};
use zmon_https_inbound::HttpsInbound;
use zmon_payload_envelope::JoseEnvelope;
use zmon_ports::{
    AuditStore, Clock, ConfigurationStore, EnvelopeFault, ListenerFault, ListenerOpened, Opened, PairingInbound,
    PairingListener, PayloadEnvelope, ProvisioningService, ProvisioningStore, ReceiptFault, SealDestruction,
    SealReceipt, SignatureFault, StatusReport, StoreFault, StoredState,
};
use zmon_sqlcipher_certstore::SqlcipherStore;

use super::cutter::AnswerCutter;
use crate::clock::SystemClock;

/// The system's clocks; the wall clock may have been set wrong.
#[derive(Clone, Copy, Debug)]
pub(super) struct SimulatedClock {
    started: Monotonic,
    wrong: Option<WallClock>,
}

impl SimulatedClock {
    pub(super) fn new(wrong: Option<WallClock>) -> Self {
        let started = SystemClock.monotonic();
        Self { started, wrong }
    }
}

impl Clock for SimulatedClock {
    fn monotonic(&self) -> Monotonic {
        SystemClock.monotonic()
    }

    fn wall(&self) -> WallClock {
        self.wrong.map_or_else(
            || SystemClock.wall(),
            |wrong| WallClock {
                now: wrong.now.plus(self.monotonic().since(self.started)),
                ..wrong
            },
        )
    }

    async fn sleep_until(&self, deadline: Monotonic) {
        SystemClock.sleep_until(deadline).await;
    }
}

/// The encrypted store; installing may take long, or find the disk full.
pub(super) struct SimulatedStore {
    pub(super) inner: Arc<SqlcipherStore>,
    pub(super) delay: std::time::Duration,
    pub(super) full: bool,
}

impl ProvisioningStore for SimulatedStore {
    async fn load(&self) -> Result<StoredState, StoreFault> {
        self.inner.load().await
    }

    async fn record(
        &self,
        at: Timestamp,
        entries: &[AuditEntry],
        status: Option<PersistedStatus>,
    ) -> Result<AuditHead, StoreFault> {
        self.inner.record(at, entries, status).await
    }

    async fn install(
        &self,
        installation: &Installation,
        entries: &[AuditEntry],
        seal: SealReceipt<'_>,
    ) -> Result<InstalledConfiguration, StoreFault> {
        tokio::time::sleep(self.delay).await;
        if self.full {
            let cause = "simulated: database or disk is full".into();
            return Err(StoreFault { cause });
        }
        self.inner.install(installation, entries, seal).await
    }

    async fn erase(
        &self,
        at: Timestamp,
        entries: &[AuditEntry],
        retire: bool,
        seal: SealDestruction<'_>,
    ) -> Result<DestructionRecord, StoreFault> {
        self.inner.erase(at, entries, retire, seal).await
    }

    async fn set_retirement(
        &self,
        at: Timestamp,
        retirement: Option<Retirement>,
        entries: &[AuditEntry],
    ) -> Result<(), StoreFault> {
        self.inner.set_retirement(at, retirement, entries).await
    }

    async fn count_pin_miss(&self) -> Result<u32, StoreFault> {
        self.inner.count_pin_miss().await
    }

    async fn forget_pin_misses(&self, at: Timestamp, entries: &[AuditEntry]) -> Result<(), StoreFault> {
        self.inner.forget_pin_misses(at, entries).await
    }

    async fn rotate_key(&self, at: Timestamp, entries: &[AuditEntry]) -> Result<(), StoreFault> {
        self.inner.rotate_key(at, entries).await
    }

    async fn destroy_former_key(&self) -> Result<bool, StoreFault> {
        self.inner.destroy_former_key().await
    }

    async fn set_time_floor(
        &self,
        at: Timestamp,
        floor: Option<Timestamp>,
        entries: &[AuditEntry],
    ) -> Result<(), StoreFault> {
        self.inner.set_time_floor(at, floor, entries).await
    }
}

impl ConfigurationStore for SimulatedStore {
    async fn active_configuration(&self) -> Result<Option<ActiveConfiguration>, StoreFault> {
        self.inner.active_configuration().await
    }

    async fn active_credentials(&self) -> Result<Option<ActiveCredentials>, StoreFault> {
        self.inner.active_credentials().await
    }
}

impl AuditStore for SimulatedStore {
    async fn audit_head(&self) -> Result<AuditHead, StoreFault> {
        self.inner.audit_head().await
    }

    async fn audit_records(&self, from: u64, limit: u32) -> Result<Vec<AuditRecord>, StoreFault> {
        self.inner.audit_records(from, limit).await
    }

    async fn verify_audit(&self) -> Result<AuditVerdict, StoreFault> {
        self.inner.verify_audit().await
    }
}

/// Where a refusal with this code is brought about, so that all that follows from it is real.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Steps 1 to 3: the request is not admitted; the session stays open.
    Admission,
    /// Step 4: the envelope does not open; the session stays open.
    Envelope,
    /// Step 5: the signature does not verify; the session ends.
    Signature,
    /// Step 6, also for the codes of later steps: the session ends.
    Payload,
}

const fn place(code: ErrorCode) -> Place {
    match code {
        ErrorCode::NotPairing
        | ErrorCode::SessionExpired
        | ErrorCode::PairingInProgress
        | ErrorCode::AlreadyProvisioned
        | ErrorCode::RateLimited
        | ErrorCode::NotFound
        | ErrorCode::MethodNotAllowed
        | ErrorCode::UnsupportedMediaType
        | ErrorCode::PayloadTooLarge
        | ErrorCode::RequestTimeout
        | ErrorCode::ShuttingDown => Place::Admission,
        ErrorCode::EnvelopeInvalid => Place::Envelope,
        ErrorCode::SignatureInvalid => Place::Signature,
        ErrorCode::PayloadInvalid
        | ErrorCode::DeviceIdMismatch
        | ErrorCode::SessionMismatch
        | ErrorCode::PayloadExpired
        | ErrorCode::InvalidPairingCode
        | ErrorCode::InvalidCertificate
        | ErrorCode::NetworkError
        | ErrorCode::ConfirmationRefused
        | ErrorCode::ConfirmationTimeout
        | ErrorCode::StorageError
        | ErrorCode::Cancelled
        | ErrorCode::UnknownError
        | ErrorCode::AdminRequired
        | ErrorCode::AdminLocked
        | ErrorCode::DeviceRetired
        | ErrorCode::TrustAnchorKept
        | ErrorCode::NotProvisioned
        | ErrorCode::QrContentTooLong => Place::Payload,
    }
}

/// The refusal, where it belongs to this place.
fn refused_at(here: Place, refuse: Option<ErrorCode>) -> Result<(), ProvisioningError> {
    match refuse {
        Some(code) if place(code) == here => Err(ProvisioningError::from(code).with_cause("simulated")),
        _ => Ok(()),
    }
}

fn simulated() -> String {
    "simulated".into()
}

/// The real envelope; it may refuse what is in order.
pub(super) struct SimulatedEnvelope {
    pub(super) inner: JoseEnvelope,
    pub(super) refuse: Option<ErrorCode>,
}

impl PayloadEnvelope for SimulatedEnvelope {
    fn session_public_key(&self, private: &SessionPrivateKey) -> SessionPublicKey {
        self.inner.session_public_key(private)
    }

    fn qr_mac(&self, text: &str) -> Option<[u8; 16]> {
        self.inner.qr_mac(text)
    }

    fn digest(&self, body: &[u8]) -> Sha256Digest {
        self.inner.digest(body)
    }

    fn open(&self, body: &[u8], key: &SessionPrivateKey) -> Result<Opened, EnvelopeFault> {
        refused_at(Place::Envelope, self.refuse).map_err(|_| EnvelopeFault { cause: simulated() })?;
        self.inner.open(body, key)
    }

    fn verify(&self, opened: Opened) -> Result<SignedText, SignatureFault> {
        refused_at(Place::Signature, self.refuse).map_err(|_| SignatureFault { cause: simulated() })?;
        self.inner.verify(opened)
    }

    fn members(&self, text: &SignedText) -> Result<Members, ProvisioningError> {
        refused_at(Place::Payload, self.refuse)?;
        self.inner.members(text)
    }

    fn sign_receipt(&self, claims: &ReceiptClaims, client_private_key: &SecretText) -> Result<Receipt, ReceiptFault> {
        self.inner.sign_receipt(claims, client_private_key)
    }

    fn sign_destruction(
        &self,
        claims: &DestructionClaims,
        client_private_key: &SecretText,
    ) -> Result<DestructionRecord, ReceiptFault> {
        self.inner.sign_destruction(claims, client_private_key)
    }
}

/// The real listener; the QR code may tell another pin, and answers may get lost.
pub(super) struct SimulatedListener {
    pub(super) inner: HttpsInbound<SimulatedClock>,
    /// In front of the listener, at this port.
    pub(super) cutter: Option<(Arc<AnswerCutter>, u16)>,
    pub(super) wrong_pin: bool,
    pub(super) refuse: Option<ErrorCode>,
}

impl SimulatedListener {
    /// Returns when no connection is left.
    pub(super) async fn drained(&self) {
        self.inner.drained().await;
        if let Some((cutter, _)) = &self.cutter {
            cutter.drained().await;
        }
    }
}

impl PairingListener for SimulatedListener {
    async fn open<S: PairingInbound>(
        &self,
        inbound: S,
        address: IpAddr,
        pairing_code: PairingCode,
    ) -> Result<ListenerOpened, ListenerFault> {
        let inbound = SimulatedInbound {
            inner: inbound,
            cutter: self.cutter.as_ref().map(|(cutter, _)| Arc::clone(cutter)),
            refuse: self.refuse,
        };
        let mut opened = self.inner.open(inbound, address, pairing_code).await?;
        if let Some((cutter, port)) = &self.cutter {
            let front = SocketAddr::new(address, *port);
            opened.port = cutter.open(front, opened.port).await.map_err(|fault| ListenerFault {
                cause: format!("could not listen on {front}: {fault}"),
            })?;
        }
        if self.wrong_pin {
            opened.pin = TlsPin::new(opened.pin.as_bytes().map(|byte| !byte));
        }
        Ok(opened)
    }

    async fn close(&self) {
        if let Some((cutter, _)) = &self.cutter {
            cutter.close();
        }
        self.inner.close().await;
    }

    async fn is_open(&self) -> bool {
        self.inner.is_open().await
    }
}

/// The real service as the listener sees it.
#[derive(Clone)]
struct SimulatedInbound<S> {
    inner: S,
    cutter: Option<Arc<AnswerCutter>>,
    refuse: Option<ErrorCode>,
}

impl<S: PairingInbound> ProvisioningService for SimulatedInbound<S> {
    type Subscription = S::Subscription;

    async fn generate_provisioning_qr_code(
        &self,
        device_id: &DeviceId,
        device_ip: IpAddr,
    ) -> Result<QrCodeData, ProvisioningError> {
        self.inner.generate_provisioning_qr_code(device_id, device_ip).await
    }

    async fn apply_configuration(
        &self,
        payload: Vec<u8>,
        pairing_code: &PairingCode,
        sender: Option<IpAddr>,
    ) -> Result<ProvisioningResult, ProvisioningError> {
        let outcome = self.inner.apply_configuration(payload, pairing_code, sender).await;
        if let (Ok(_), Some(cutter)) = (&outcome, &self.cutter) {
            cutter.installed().await;
        }
        outcome
    }

    async fn get_status(&self) -> StatusReport {
        self.inner.get_status().await
    }

    async fn deprovision_device(&self, request: AdministratorRequest) -> Result<(), ProvisioningError> {
        self.inner.deprovision_device(request).await
    }

    async fn retire_device(&self, request: AdministratorRequest) -> Result<(), ProvisioningError> {
        self.inner.retire_device(request).await
    }

    async fn reset_time_floor(&self, request: AdministratorRequest) -> Result<(), ProvisioningError> {
        self.inner.reset_time_floor(request).await
    }

    async fn rotate_database_key(&self) -> Result<(), ProvisioningError> {
        self.inner.rotate_database_key().await
    }

    async fn cancel(&self) -> Result<(), ProvisioningError> {
        self.inner.cancel().await
    }

    async fn answer_confirmation(&self, accept: bool, by: Option<Peer>) -> Result<(), ProvisioningError> {
        self.inner.answer_confirmation(accept, by).await
    }

    async fn acknowledge(&self) -> Result<(), ProvisioningError> {
        self.inner.acknowledge().await
    }

    async fn current_qr_code(&self) -> Option<QrCodeData> {
        self.inner.current_qr_code().await
    }

    fn subscribe(&self) -> S::Subscription {
        self.inner.subscribe()
    }
}

impl<S: PairingInbound> PairingInbound for SimulatedInbound<S> {
    async fn admit(&self) -> Result<Admission, ProvisioningError> {
        let admission = self.inner.admit().await?;
        refused_at(Place::Admission, self.refuse).inspect_err(|refusal| self.inner.count_refusal(refusal.code()))?;
        Ok(admission)
    }

    fn count_refusal(&self, code: ErrorCode) {
        self.inner.count_refusal(code);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_each_code_at_one_place() {
        for code in ErrorCode::ALL {
            let places = [Place::Admission, Place::Envelope, Place::Signature, Place::Payload];
            let refusals = places.iter().filter(|here| refused_at(**here, Some(*code)).is_err());
            assert_eq!(refusals.count(), 1, "{code}");
        }
    }

    #[test]
    fn starts_a_wrong_clock_where_it_was_told_to_and_lets_it_run() {
        let wrong = WallClock {
            now: Timestamp::default(),
            synchronised: false,
        };
        let mut clock = SimulatedClock::new(Some(wrong));
        assert!(clock.wall().now < Timestamp::from_millis(60_000));
        assert!(!clock.wall().synchronised);
        // It was started when the machine was.
        clock.started = Monotonic::default();
        assert!(clock.wall().now > Timestamp::default());
    }
}
