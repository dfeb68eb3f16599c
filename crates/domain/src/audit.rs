//! What the audit records.
//!
//! Source: `docs/decisions.md`, "Audit events"; `protocol.md`, "Audit".

mod chain;
mod repeats;

use alloc::string::String;

use crate::error::ErrorCode;
use crate::pairing::{SessionId, Sha256Digest};

pub use chain::{AUDIT_FORMAT, AuditBreak, AuditRecord, AuditVerdict, AuditWalk, Sha256};
pub use repeats::{REPEAT_WINDOW, RepeatLedger, Subject};

macro_rules! audit_events {
    ($($(#[$doc:meta])* $event:ident = $name:literal,)*) => {
        /// What happened.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum AuditEvent { $($(#[$doc])* $event,)* }

        impl AuditEvent {
            /// Every event.
            pub const ALL: &'static [Self] = &[$(Self::$event,)*];

            /// The name that stands in the store and in exports.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$event => $name,)* }
            }

            /// The event of that name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|event| event.as_str() == name)
            }
        }
    };
}

audit_events! {
    /// The store was created.
    StoreCreated = "store created",
    /// The service started; the detail says in which status.
    ServiceStarted = "service started",
    /// A person opened pairing.
    ProvisioningModeEntered = "provisioning mode entered",
    /// A QR code is on the screen.
    PairingCodeGenerated = "pairing code generated",
    /// The session ended without a payload.
    PairingExpired = "pairing expired",
    /// A person cancelled.
    PairingCancelled = "pairing cancelled",
    /// Requests that were refused before their envelope opened: one record per code and session, with a count.
    RequestsRefused = "requests refused",
    /// An envelope opened and its signature is good.
    ConfigurationReceived = "configuration received",
    /// The pairing code in the payload is the session's.
    PairingCodeValidated = "pairing code validated",
    /// The pairing code in the payload is another.
    PairingCodeMismatch = "pairing code mismatch",
    /// Certificates and key are in the store.
    CertificatesInstalled = "certificates installed",
    /// Settings are in the store.
    ConfigurationApplied = "configuration applied",
    /// The server was reached with the new credentials (step 11). Where it was not, provisioning failed with `NetworkError`.
    ConnectionTested = "connection tested",
    /// A person at the device accepted the configuration (step 11); the detail says who answered.
    ConfirmationAccepted = "confirmation accepted",
    /// A person at the device refused the configuration; the detail says who answered. Nobody answering is a failed
    /// provisioning with the code `ConfirmationTimeout`.
    ConfirmationRefused = "confirmation refused",
    /// The device is provisioned.
    ProvisioningCompleted = "provisioning completed",
    /// The device refused a payload.
    ProvisioningFailed = "provisioning failed",
    /// A person took note of a failure or of a de-provisioning.
    OutcomeAcknowledged = "outcome acknowledged",
    /// An act at the screen or on the control socket was refused; the detail names the act.
    ActRefused = "act refused",
    /// A de-provisioned device is being provisioned again.
    ReprovisioningStarted = "re-provisioning started",
    /// An administrator took everything away.
    Deprovisioned = "de-provisioned",
    /// Everything is encrypted with a new key, and the former one is destroyed, where no next record says otherwise.
    DatabaseKeyRotated = "database key rotated",
    /// The storage let a former database key not be destroyed: whoever reads it and has the key source's can read older
    /// copies of what was stored. It is tried again at every access.
    FormerKeyKept = "former database key not destroyed",
    /// A former database key was destroyed after its change: the storage let it, or the start after a crash did.
    FormerKeyDestroyed = "former database key destroyed",
    /// The PIN was right; the detail says for which act, and who presented it.
    AdministratorAuthorised = "administrator authorised",
    /// An administrator's act was refused for its PIN.
    AdministratorRefused = "administrator refused",
    /// An administrator returned the time floor to the release date.
    TimeFloorReset = "time floor reset",
    /// The configuration was given to a local program; the detail says to whom.
    ConfigurationRead = "configuration read",
    /// Certificates and private key were given to a local program; the detail says to whom.
    CredentialsRead = "credentials read",
    /// An administrator retired the device: without a new trust anchor it never pairs again.
    DeviceRetired = "device retired",
    /// The trust anchor of a retired device was overwritten and removed.
    TrustAnchorErased = "trust anchor erased",
    /// The trust anchor of a retired device could not be erased; the detail says what to remove.
    TrustAnchorKept = "trust anchor not erased",
    /// A retired device was given a trust anchor again.
    DeviceCommissioned = "device commissioned",
    /// A payload that was neither sealed nor signed was taken; the detail says from whom. A program for development did it:
    /// none for devices can.
    ProvisioningSimulated = "provisioning simulated",
}

impl AuditEvent {
    /// Whether a person at the device is behind it, or somebody who was let in by one. Others' records, which strangers
    /// on the network, local programs and restarts can repeat, never take the room that is kept free for people.
    #[must_use]
    pub const fn is_of_a_person(self) -> bool {
        !matches!(
            self,
            Self::RequestsRefused
                | Self::ConfigurationRead
                | Self::CredentialsRead
                | Self::StoreCreated
                | Self::ServiceStarted
        )
    }
}

/// One event to be recorded. The store adds position, time and hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// What happened.
    pub event: AuditEvent,
    /// The session it happened in.
    pub session: Option<SessionId>,
    /// The error, for refusals.
    pub code: Option<ErrorCode>,
    /// More, in words; never a secret, never a received value that was not checked.
    pub detail: Option<String>,
}

impl AuditEntry {
    /// An event by itself.
    #[must_use]
    pub const fn new(event: AuditEvent) -> Self {
        Self {
            event,
            session: None,
            code: None,
            detail: None,
        }
    }

    /// Of this session.
    #[must_use]
    pub fn in_session(self, session: SessionId) -> Self {
        Self {
            session: Some(session),
            ..self
        }
    }

    /// With this error.
    #[must_use]
    pub fn with_code(self, code: ErrorCode) -> Self {
        Self {
            code: Some(code),
            ..self
        }
    }

    /// With more words.
    #[must_use]
    pub fn with_detail(self, detail: impl Into<String>) -> Self {
        Self {
            detail: Some(detail.into()),
            ..self
        }
    }
}

/// Where the audit stands: how many records, and the hash of the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditHead {
    /// Number of records.
    pub count: u64,
    /// Hash of the last record; 32 zero bytes for an empty audit.
    pub head: Sha256Digest,
}

impl AuditHead {
    /// Before the first record.
    pub const EMPTY: Self = Self {
        count: 0,
        head: Sha256Digest::new([0; 32]),
    };
}
