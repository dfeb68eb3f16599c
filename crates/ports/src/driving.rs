//! How the use cases are driven: the specification's `IProvisioningService`, and what a transport needs beside it.

use std::future::Future;
use std::net::IpAddr;

use zmon_domain::access::Peer;
use zmon_domain::admin::AdministratorRequest;
use zmon_domain::audit::{AuditHead, AuditRecord, AuditVerdict};
use zmon_domain::confirmation::ConfirmationRequest;
use zmon_domain::error::{ErrorCode, ProvisioningError};
use zmon_domain::identity::DeviceId;
use zmon_domain::machine::Admission;
use zmon_domain::pairing::PairingCode;
use zmon_domain::qr::QrCodeData;
use zmon_domain::result::{
    ActiveConfiguration, ActiveCredentials, DestructionRecord, InstalledConfiguration, ProvisioningResult,
};
use zmon_domain::signal::ProvisioningSignal;
use zmon_domain::status::{Phase, ProvisioningStatus};

/// Device provisioning (specification 2.1). A handle: clones drive the same device.
///
/// Every method runs to its end once called, even where the caller stops waiting for it.
pub trait ProvisioningService: Clone + Send + Sync + 'static {
    /// What [`Self::subscribe`] gives.
    type Subscription: EventSubscription;

    /// `generateProvisioningQRCode`: opens pairing and makes its QR code. An open session is cancelled first.
    ///
    /// # Errors
    /// `DeviceIdMismatch`, `AlreadyProvisioned`, `PairingInProgress`, `QrContentTooLong`, `NetworkError` (the
    /// listener cannot be opened), `DeviceRetired`, `StorageError`, `ShuttingDown`.
    fn generate_provisioning_qr_code(
        &self,
        device_id: &DeviceId,
        device_ip: IpAddr,
    ) -> impl Future<Output = Result<QrCodeData, ProvisioningError>> + Send;

    /// `applyConfiguration`: checks a POST body and installs what is in it, all or nothing.
    ///
    /// `pairing_code` is that of the session in which the body arrived; where that session is no longer current, the
    /// answer is `InvalidPairingCode`. A byte-identical body within the grace period gets the stored result. `sender` is
    /// the address that it came from, for the person who may have to confirm; none where it was carried by hand.
    ///
    /// Where a confirmation is configured, this takes as long as the person does, a minute at most.
    ///
    /// # Errors
    /// Every code of the validation order in `protocol.md`.
    fn apply_configuration(
        &self,
        payload: Vec<u8>,
        pairing_code: &PairingCode,
        sender: Option<IpAddr>,
    ) -> impl Future<Output = Result<ProvisioningResult, ProvisioningError>> + Send;

    /// `getStatus`, with what a screen shows beside it.
    fn get_status(&self) -> impl Future<Output = StatusReport> + Send;

    /// `deprovisionDevice`: removes what is installed, and leaves a signed record of the destruction
    /// ([`StatusReport::destruction`]).
    ///
    /// # Errors
    /// `AdminRequired`, `AdminLocked`, `NotProvisioned`, `PairingInProgress`, `StorageError`.
    fn deprovision_device(
        &self,
        request: AdministratorRequest,
    ) -> impl Future<Output = Result<(), ProvisioningError>> + Send;

    /// Removes what is installed, if anything is, and the trust anchor with it. From then on the device pairs with
    /// nobody until it is commissioned again.
    ///
    /// # Errors
    /// `AdminRequired`, `AdminLocked`, `PairingInProgress`, `StorageError`; `TrustAnchorKept` where everything was done
    /// but the trust anchor stands where the service cannot erase it.
    fn retire_device(
        &self,
        request: AdministratorRequest,
    ) -> impl Future<Output = Result<(), ProvisioningError>> + Send;

    /// Returns the time floor to the release date (`protocol.md`, "Time without a clock").
    ///
    /// # Errors
    /// `AdminRequired`, `AdminLocked`, `StorageError`.
    fn reset_time_floor(
        &self,
        request: AdministratorRequest,
    ) -> impl Future<Output = Result<(), ProvisioningError>> + Send;

    /// Changes the key of the encrypted store and destroys the former one; what is stored stays as it is.
    ///
    /// # Errors
    /// `StorageError`, `ShuttingDown`.
    fn rotate_database_key(&self) -> impl Future<Output = Result<(), ProvisioningError>> + Send;

    /// Ends the open session, or stops the checks of a payload until its installation begins.
    ///
    /// # Errors
    /// `NotPairing`, `AlreadyProvisioned`, `PairingInProgress` (the installation has begun), `StorageError`.
    fn cancel(&self) -> impl Future<Output = Result<(), ProvisioningError>> + Send;

    /// Answers what [`StatusReport::confirmation`] asks (step 11). `by` is the program through which the person does; none
    /// for the device's own screen.
    ///
    /// # Errors
    /// Where nothing waits for an answer: `NotPairing`, `PairingInProgress`, `AlreadyProvisioned`; `ConfirmationTimeout`
    /// where the minute is over; `StorageError`.
    fn answer_confirmation(
        &self,
        accept: bool,
        by: Option<Peer>,
    ) -> impl Future<Output = Result<(), ProvisioningError>> + Send;

    /// Takes note of a failure or of a de-provisioning: the status becomes `UNPROVISIONED`.
    ///
    /// # Errors
    /// `AlreadyProvisioned`, `PairingInProgress`, `StorageError`.
    fn acknowledge(&self) -> impl Future<Output = Result<(), ProvisioningError>> + Send;

    /// The QR code on the screen, while the status is `READY_TO_PAIR`.
    fn current_qr_code(&self) -> impl Future<Output = Option<QrCodeData>> + Send;

    /// The specification's signals, from now on.
    fn subscribe(&self) -> Self::Subscription;
}

/// What a transport that takes payloads needs beside [`ProvisioningService`].
pub trait PairingInbound: ProvisioningService {
    /// Step 1 of the validation order, for a request whose head has arrived.
    ///
    /// # Errors
    /// `NotPairing`, `SessionExpired`, `PairingInProgress`, `AlreadyProvisioned`, `ShuttingDown`.
    fn admit(&self) -> impl Future<Output = Result<Admission, ProvisioningError>> + Send;

    /// Counts a refusal of steps 2 and 3 for the audit's summary; refusals of [`Self::admit`] and
    /// [`ProvisioningService::apply_configuration`] are counted already.
    fn count_refusal(&self, code: ErrorCode);
}

/// What the monitor application is given. Every read comes into the audit, by the rule of `zmon_domain::access`.
pub trait ConfigurationAccess: ProvisioningService {
    /// Settings and certificates.
    ///
    /// # Errors
    /// `NotProvisioned`, `StorageError`.
    fn read_configuration(
        &self,
        reader: Peer,
    ) -> impl Future<Output = Result<ActiveConfiguration, ProvisioningError>> + Send;

    /// Certificates and private key.
    ///
    /// # Errors
    /// `NotProvisioned`, `StorageError`.
    fn read_credentials(
        &self,
        reader: Peer,
    ) -> impl Future<Output = Result<ActiveCredentials, ProvisioningError>> + Send;

    /// What [`Self::read_configuration`] gives, for the administrator of the device, who sees it as part of the status
    /// anyway: without a record.
    ///
    /// # Errors
    /// `NotProvisioned`, `StorageError`.
    fn show_configuration(&self) -> impl Future<Output = Result<ActiveConfiguration, ProvisioningError>> + Send;
}

/// How the service is, for watchdogs.
pub trait HealthAccess: ProvisioningService {
    /// Looks at store, listener and clock now.
    fn health(&self) -> impl Future<Output = Health> + Send;
}

/// How the service is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    /// Whether the store answers.
    pub store_open: bool,
    /// Whether the listener is as the status wants it.
    pub listener: ListenerHealth,
    /// Whether the kernel says that the clock is synchronised. The device works without; it is not at fault.
    pub time_synchronised: bool,
}

impl Health {
    /// Whether nothing is at fault.
    #[must_use]
    pub const fn is_good(&self) -> bool {
        self.store_open && !matches!(self.listener, ListenerHealth::Missing)
    }
}

/// The HTTPS listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenerHealth {
    /// It takes connections.
    Open,
    /// It does not, and need not.
    Closed,
    /// A session is open, and it does not.
    Missing,
}

impl ListenerHealth {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Open, Self::Closed, Self::Missing];

    /// As it stands in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "OPEN",
            Self::Closed => "CLOSED",
            Self::Missing => "MISSING",
        }
    }
}

/// Counts and timings, for programs that watch many devices.
pub trait MetricsAccess: ProvisioningService {
    /// What [`Measurements::exposition`](crate::Measurements::exposition) gives now.
    fn metrics(&self) -> impl Future<Output = String> + Send;
}

/// The audit, for people and programs that watch the device.
pub trait AuditAccess: ProvisioningService {
    /// Up to `limit` records, the first of them number `from`, and where the audit stood before they were read.
    ///
    /// # Errors
    /// `StorageError`.
    fn audit_page(&self, from: u64, limit: u32) -> impl Future<Output = Result<AuditPage, ProvisioningError>> + Send;

    /// Walks the whole chain.
    ///
    /// # Errors
    /// `StorageError`. A broken chain is a verdict.
    fn verify_audit(&self) -> impl Future<Output = Result<AuditVerdict, ProvisioningError>> + Send;
}

/// A piece of the audit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditPage {
    /// Where the audit stood.
    pub head: AuditHead,
    /// Records in their order. Some may have been written after `head` was read.
    pub records: Vec<AuditRecord>,
}

/// `simulateProvisioning`: for development; compiled with the feature `simulation` alone.
#[cfg(feature = "simulation")]
pub trait SimulateProvisioning: ProvisioningService {
    /// Installs a payload that was neither sealed nor signed, through the checks of steps 6 to 12. Needs an open
    /// session. Members that a station takes from the QR code and its clock are made where they are left out.
    ///
    /// `by` is told in the audit. Each phase is held up for `pause`, so that a person sees it on the screen.
    ///
    /// # Errors
    /// Every code of steps 6 to 12; before that those of a push that finds no open session.
    fn simulate_provisioning(
        &self,
        mock_payload: zmon_domain::payload::Members,
        by: Peer,
        pause: core::time::Duration,
    ) -> impl Future<Output = Result<ProvisioningResult, ProvisioningError>> + Send;
}

/// Where the device stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusReport {
    /// The specification's status.
    pub status: ProvisioningStatus,
    /// The phase, while the status is `PAIRING_RECEIVED`.
    pub phase: Option<Phase>,
    /// Whole seconds left, while the status is `READY_TO_PAIR`.
    pub expires_in_seconds: Option<u64>,
    /// What a person is asked, while the phase is `AWAITING_CONFIRMATION`.
    pub confirmation: Option<PendingConfirmation>,
    /// What is installed, while the status is `PROVISIONED`.
    pub installed: Option<InstalledConfiguration>,
    /// Why it failed, while the status is `PROVISIONING_FAILED`.
    pub failure: Option<ProvisioningError>,
    /// The record of the last destruction, whatever the status is now; the next destruction replaces it.
    pub destruction: Option<DestructionRecord>,
    /// What is wrong with the storage while the device goes on.
    pub storage: Option<StorageWarning>,
}

/// What is wrong with the storage while the device goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorageWarning {
    /// The database has a new key, but the former one still lies beside it. Destroying it is tried again all the time.
    FormerKeyKept,
    /// The storage failed during an act, and the store could not be read since: the status may have changed with it.
    StatusUncertain,
}

impl StorageWarning {
    /// Every one.
    pub const ALL: [Self; 2] = [Self::FormerKeyKept, Self::StatusUncertain];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FormerKeyKept => "FormerKeyKept",
            Self::StatusUncertain => "StatusUncertain",
        }
    }

    /// What it means, and what to do next.
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self {
            Self::FormerKeyKept => {
                "The former database key could not be destroyed: older copies of what was stored may still be readable. \
                 Check the storage; the device tries again by itself. Do not give the monitor away before this is gone."
            }
            Self::StatusUncertain => {
                "The storage failed during an act, and it is not known whether that was done: the status may be another. \
                 Check the storage; the device reads the store again by itself. What is installed is given to nobody \
                 until then."
            }
        }
    }
}

/// A question that waits for a person's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingConfirmation {
    /// What it is about.
    pub request: ConfirmationRequest,
    /// Whole seconds left; then the payload is refused.
    pub expires_in_seconds: u64,
}

/// What a subscriber hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubscriptionEvent {
    /// A signal.
    Signal(ProvisioningSignal),
    /// The subscriber was too slow; this many signals are gone.
    Missed(u64),
}

/// A stream of signals. A slow reader never delays provisioning; it learns that it missed something.
pub trait EventSubscription: Send + 'static {
    /// The next event; none after the service has ended.
    fn next(&mut self) -> impl Future<Output = Option<SubscriptionEvent>> + Send;
}
