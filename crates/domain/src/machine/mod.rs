//! The machine decides and does nothing: [`step`] takes a state, an event and the time, and gives the next state
//! with a list of effects, or a refusal.

mod checking;
mod state;
mod step;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::IpAddr;

pub use state::{Admission, GRACE_AFTER_END, GRACE_AFTER_SUCCESS, Persisted, Session, State};
pub use step::{Step, step};

use crate::access::Peer;
use crate::admin::AdministratorAuthorised;
use crate::audit::AuditEntry;
use crate::checks::{Approved, Claim, Installation, Unconfirmed};
use crate::error::ProvisioningError;
use crate::pairing::{SessionId, Sha256Digest};
use crate::result::{Destruction, InstalledConfiguration};
use crate::signal::ProvisioningSignal;
use crate::status::PersistedStatus;
use crate::time::Timestamp;

/// What happens to the device.
#[derive(Debug)]
pub enum Event {
    /// A person enabled provisioning mode, and a QR code was made.
    PairingOpened(Box<Session>),
    /// A person cancelled.
    Cancelled,
    /// The clock moved.
    TimePassed,
    /// Step 4: an envelope opened with this session's key.
    EnvelopeOpened(SessionId),
    /// Step 5 succeeded.
    SignatureVerified(SessionId),
    /// Steps 6 to 9 succeeded.
    PayloadAccepted(SessionId),
    /// Steps 5 to 10 succeeded; the server is tried with the new credentials (step 11).
    ConnectionTestBegun(SessionId),
    /// Steps 5 to 10 succeeded, and the connection test where one is demanded; a person at the device has to accept (step 11).
    ConfirmationAsked {
        /// The evidence so far.
        unconfirmed: Box<Unconfirmed>,
        /// Where the payload came from.
        sender: Option<IpAddr>,
        /// SHA-256 of the POST body.
        body_sha256: Sha256Digest,
    },
    /// A person at the device answered.
    ConfirmationAnswered {
        /// Whether they accept.
        accept: bool,
        /// The program through which they did; none for the device's own screen.
        by: Option<Peer>,
        /// The wall clock, now.
        wall: Timestamp,
    },
    /// A check of steps 5 to 11 failed, or checking itself broke down.
    PayloadRefused(SessionId, ProvisioningError),
    /// Steps 5 to 11 succeeded; step 12 begins.
    PayloadApproved {
        /// The evidence.
        approved: Box<Approved>,
        /// The wall clock, now.
        wall: Timestamp,
        /// SHA-256 of the POST body.
        body_sha256: Sha256Digest,
    },
    /// Step 12 succeeded: this is durable.
    Installed(Box<InstalledConfiguration>),
    /// Step 12 failed; nothing was changed.
    InstallationFailed(ProvisioningError),
    /// A person took note of a failure or of a de-provisioning.
    Acknowledged,
    /// An administrator wants to de-provision.
    DeprovisioningRequested(AdministratorAuthorised),
    /// An administrator wants to retire the device.
    RetirementRequested(AdministratorAuthorised),
    /// What was installed is gone for good.
    Erased(AdministratorAuthorised),
    /// The service is stopping.
    Stopping,
}

/// What the world has to do. In this order.
#[derive(Debug)]
pub enum Effect {
    /// Append to the audit; with a status, persist that status in the same transaction.
    Record(Vec<AuditEntry>, Option<PersistedStatus>),
    /// Record one summary for each code of the requests refused so far, and forget them.
    SummariseRefusals(Option<SessionId>),
    /// The payload that opened the envelope is to be checked.
    Check(Claim),
    /// One transaction: certificates, key, settings, status, time floor, these audit entries, receipt.
    Install(Box<Installation>, Vec<AuditEntry>),
    /// One transaction: remove certificates, key and settings, return the time floor, record these audit entries, leave
    /// a signed record of the destruction, and where it says so begin the retirement.
    Erase(Box<Destruction>, Vec<AuditEntry>),
    /// Begin the retirement of a device on which nothing is installed, in one transaction with these audit entries.
    Retire(Vec<AuditEntry>),
    /// The listener ends.
    CloseListener,
    /// Tell subscribers.
    Announce(ProvisioningSignal),
}
