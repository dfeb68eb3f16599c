//! The states. What a state needs belongs to its value, so leaving the state destroys it.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use crate::audit::{AuditEntry, AuditEvent};
use crate::checks::{Demands, Unconfirmed};
use crate::confirmation::ConfirmationRequest;
use crate::error::{ErrorCode, ProvisioningError};
use crate::pairing::{PairingCode, SessionId, SessionPrivateKey, SessionPublicKey, Sha256Digest};
use crate::result::InstalledConfiguration;
use crate::status::{PersistedStatus, Phase, ProvisioningStatus};
use crate::time::{Deadline, Monotonic, Timestamp};

/// How long the listener answers after success.
pub const GRACE_AFTER_SUCCESS: Duration = Duration::from_secs(120);
/// How long the listener answers after any other end of a session.
pub const GRACE_AFTER_END: Duration = Duration::from_secs(30);

/// A pairing session: everything that dies with it.
#[derive(Debug)]
pub struct Session {
    /// Its name.
    pub id: SessionId,
    /// The code on the screen.
    pub pairing_code: PairingCode,
    /// Opens envelopes. Shared with requests that are opening one at this moment.
    pub private_key: Arc<SessionPrivateKey>,
    /// Stands in the QR code.
    pub public_key: SessionPublicKey,
    /// For display.
    pub expires_at: Timestamp,
    /// What counts.
    pub deadline: Deadline,
    /// What step 11 demands of its payload.
    pub demands: Demands,
}

/// The listener still answers after a session's end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grace {
    pub(crate) until: Deadline,
    /// What it answers to whoever comes too late.
    pub(crate) refusal: ErrorCode,
}

impl Grace {
    pub(crate) fn after_end(now: Monotonic, refusal: ErrorCode) -> Self {
        Self {
            until: Deadline::new(now, GRACE_AFTER_END),
            refusal,
        }
    }
}

/// Where the device stands. Only [`step`](super::step) makes a new one from an old one.
#[derive(Debug)]
pub struct State(pub(crate) Inner);

#[derive(Debug)]
pub(crate) enum Inner {
    Unprovisioned {
        grace: Option<Grace>,
    },
    ReadyToPair {
        session: alloc::boxed::Box<Session>,
        was: PersistedStatus,
    },
    PairingReceived {
        payload: Received,
        work: Work,
    },
    Provisioned {
        installed: alloc::boxed::Box<InstalledConfiguration>,
        grace: Option<Grace>,
    },
    ProvisioningFailed {
        error: ProvisioningError,
        grace: Option<Grace>,
        was: PersistedStatus,
    },
    Deprovisioned,
}

/// A payload that has claimed its session.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) session: SessionId,
    pub(crate) was: PersistedStatus,
    /// For the audit: the checks that it has passed.
    pub(crate) passed: Vec<AuditEntry>,
}

impl Received {
    pub(crate) fn pass(&mut self, entry: AuditEntry) {
        self.passed.push(entry.in_session(self.session));
    }

    pub(crate) fn pass_connection_test(&mut self, tested: bool) {
        if tested {
            self.pass(AuditEntry::new(AuditEvent::ConnectionTested));
        }
    }
}

/// What is being done with a payload, and what that needs.
#[derive(Debug)]
pub(crate) enum Work {
    VerifyingSignature,
    CheckingPayload,
    CheckingCertificates,
    TestingConnection,
    AwaitingConfirmation(alloc::boxed::Box<Question>),
    Applying,
}

impl Work {
    pub(crate) const fn phase(&self) -> Phase {
        match self {
            Self::VerifyingSignature => Phase::VerifyingSignature,
            Self::CheckingPayload => Phase::CheckingPayload,
            Self::CheckingCertificates => Phase::CheckingCertificates,
            Self::TestingConnection => Phase::TestingConnection,
            Self::AwaitingConfirmation(_) => Phase::AwaitingConfirmation,
            Self::Applying => Phase::Applying,
        }
    }

    /// What a person was asked, while nobody answered.
    pub(crate) fn question(&self) -> Option<&Question> {
        match self {
            Self::AwaitingConfirmation(question) => Some(question),
            Self::VerifyingSignature
            | Self::CheckingPayload
            | Self::CheckingCertificates
            | Self::TestingConnection
            | Self::Applying => None,
        }
    }
}

/// What a person was asked, and the payload that waits for the answer.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) unconfirmed: Unconfirmed,
    pub(crate) request: ConfirmationRequest,
    pub(crate) body_sha256: Sha256Digest,
    pub(crate) until: Deadline,
}

/// What was persisted, for starting.
#[derive(Debug)]
pub enum Persisted {
    /// Nothing is installed.
    Unprovisioned,
    /// This is installed.
    Provisioned(alloc::boxed::Box<InstalledConfiguration>),
    /// An administrator removed what was installed.
    Deprovisioned,
}

impl From<Persisted> for State {
    /// The state after a restart: the last persisted one, with no session and no listener.
    fn from(persisted: Persisted) -> Self {
        Self(match persisted {
            Persisted::Unprovisioned => Inner::Unprovisioned { grace: None },
            Persisted::Provisioned(installed) => Inner::Provisioned { installed, grace: None },
            Persisted::Deprovisioned => Inner::Deprovisioned,
        })
    }
}

impl State {
    /// The status that the specification names.
    #[must_use]
    pub const fn status(&self) -> ProvisioningStatus {
        match &self.0 {
            Inner::Unprovisioned { .. } => ProvisioningStatus::Unprovisioned,
            Inner::ReadyToPair { .. } => ProvisioningStatus::ReadyToPair,
            Inner::PairingReceived { .. } => ProvisioningStatus::PairingReceived,
            Inner::Provisioned { .. } => ProvisioningStatus::Provisioned,
            Inner::ProvisioningFailed { .. } => ProvisioningStatus::ProvisioningFailed,
            Inner::Deprovisioned => ProvisioningStatus::Deprovisioned,
        }
    }

    /// The phase, while a payload is being checked.
    #[must_use]
    pub const fn phase(&self) -> Option<Phase> {
        match &self.0 {
            Inner::PairingReceived { work, .. } => Some(work.phase()),
            Inner::Unprovisioned { .. }
            | Inner::ReadyToPair { .. }
            | Inner::Provisioned { .. }
            | Inner::ProvisioningFailed { .. }
            | Inner::Deprovisioned => None,
        }
    }

    /// The open session, while the device is `READY_TO_PAIR`.
    #[must_use]
    pub fn session(&self) -> Option<&Session> {
        match &self.0 {
            Inner::ReadyToPair { session, .. } => Some(session),
            Inner::Unprovisioned { .. }
            | Inner::PairingReceived { .. }
            | Inner::Provisioned { .. }
            | Inner::ProvisioningFailed { .. }
            | Inner::Deprovisioned => None,
        }
    }

    /// What a person is asked, and for how long still, while the phase is `AWAITING_CONFIRMATION`.
    #[must_use]
    pub fn confirmation(&self, now: Monotonic) -> Option<(&ConfirmationRequest, Duration)> {
        match &self.0 {
            Inner::PairingReceived { work, .. } => work
                .question()
                .map(|question| (&question.request, question.until.remaining(now))),
            Inner::Unprovisioned { .. }
            | Inner::ReadyToPair { .. }
            | Inner::Provisioned { .. }
            | Inner::ProvisioningFailed { .. }
            | Inner::Deprovisioned => None,
        }
    }

    /// What is installed, while the device is `PROVISIONED`.
    #[must_use]
    pub fn installed(&self) -> Option<&InstalledConfiguration> {
        match &self.0 {
            Inner::Provisioned { installed, .. } => Some(installed),
            Inner::Unprovisioned { .. }
            | Inner::ReadyToPair { .. }
            | Inner::PairingReceived { .. }
            | Inner::ProvisioningFailed { .. }
            | Inner::Deprovisioned => None,
        }
    }

    /// Why the last provisioning failed, while the device is `PROVISIONING_FAILED`.
    #[must_use]
    pub const fn failure(&self) -> Option<&ProvisioningError> {
        match &self.0 {
            Inner::ProvisioningFailed { error, .. } => Some(error),
            Inner::Unprovisioned { .. }
            | Inner::ReadyToPair { .. }
            | Inner::PairingReceived { .. }
            | Inner::Provisioned { .. }
            | Inner::Deprovisioned => None,
        }
    }

    /// When the machine wants to be told the time again.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Monotonic> {
        match &self.0 {
            Inner::ReadyToPair { session, .. } => Some(session.deadline.at()),
            Inner::Unprovisioned { grace }
            | Inner::Provisioned { grace, .. }
            | Inner::ProvisioningFailed { grace, .. } => grace.as_ref().map(|grace| grace.until.at()),
            Inner::PairingReceived { work, .. } => work.question().map(|question| question.until.at()),
            Inner::Deprovisioned => None,
        }
    }

    /// Step 1 of the validation order, for a request that has just arrived.
    ///
    /// # Errors
    /// `NotPairing`, `SessionExpired`, `PairingInProgress`, `AlreadyProvisioned`.
    pub fn admit(&self, now: Monotonic) -> Result<Admission, ErrorCode> {
        match &self.0 {
            Inner::ReadyToPair { session, .. } if session.deadline.remaining(now).is_zero() => {
                Err(ErrorCode::SessionExpired)
            }
            Inner::ReadyToPair { .. } => Ok(Admission::Pairing),
            Inner::PairingReceived { .. } => Err(ErrorCode::PairingInProgress),
            Inner::Provisioned { grace: Some(_), .. } => Ok(Admission::Grace),
            Inner::Provisioned { grace: None, .. } => Err(ErrorCode::AlreadyProvisioned),
            Inner::Unprovisioned { grace } | Inner::ProvisioningFailed { grace, .. } => {
                Err(grace.as_ref().map_or(ErrorCode::NotPairing, |grace| grace.refusal))
            }
            Inner::Deprovisioned => Err(ErrorCode::NotPairing),
        }
    }
}

/// Why a request may be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// A session is open.
    Pairing,
    /// The device was provisioned a moment ago: the same body gets the same receipt, any other is refused.
    Grace,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.status().fmt(f)
    }
}
