//! Every pair of state and event, decided. No wildcard: a new variant does not compile until every pair is decided.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use super::checking;
use super::checking::{failed, unanswered};
use super::state::{Grace, Inner, Session, State, Work};
use super::{Effect, Event};
use crate::admin::AdministratorAuthorised;
use crate::audit::{AuditEntry, AuditEvent};
use crate::error::{ErrorCode, ProvisioningError};
use crate::result::{Destruction, InstalledConfiguration};
use crate::signal::ProvisioningSignal;
use crate::status::{PersistedStatus, Phase, ProvisioningStatus};
use crate::time::Monotonic;

/// What an event leads to.
#[derive(Debug)]
pub struct Step {
    /// The next state; after a refusal the same as before.
    pub state: State,
    /// What the world has to do, or why the event was refused.
    pub outcome: Result<Vec<Effect>, ProvisioningError>,
}

pub(super) type Decision = (Inner, Result<Vec<Effect>, ProvisioningError>);

/// The transition function of the provisioning state machine (`docs/decisions.md`, "States and transitions").
#[must_use]
pub fn step(state: State, event: Event, now: Monotonic) -> Step {
    let state = state.0;
    let (state, outcome) = match event {
        Event::PairingOpened(session) => pairing_opened(state, session),
        Event::Cancelled => cancelled(state, now),
        Event::TimePassed => (time_passed(state, now)).with_ok(),
        Event::EnvelopeOpened(session) => checking::envelope_opened(state, session, now),
        Event::SignatureVerified(id) => checking::signature_verified(state, id),
        Event::PayloadAccepted(id) => checking::payload_accepted(state, id),
        Event::ConnectionTestBegun(id) => checking::connection_test_begun(state, id),
        Event::ConfirmationAsked {
            unconfirmed,
            sender,
            body_sha256,
        } => checking::confirmation_asked(state, *unconfirmed, sender, body_sha256, now),
        Event::ConfirmationAnswered { accept, by, wall } => {
            checking::confirmation_answered(state, accept, by, wall, now)
        }
        Event::PayloadRefused(id, error) => checking::payload_refused(state, id, error, now),
        Event::PayloadApproved {
            approved,
            wall,
            body_sha256,
        } => checking::payload_approved(state, *approved, wall, body_sha256),
        Event::Installed(installed) => checking::installed_now(state, installed, now),
        Event::InstallationFailed(error) => checking::installation_failed(state, error, now),
        Event::Acknowledged => acknowledged(state),
        Event::DeprovisioningRequested(by) => deprovisioning_requested(state, &by),
        Event::RetirementRequested(by) => retirement_requested(state, &by),
        Event::Erased(_) => match state {
            Inner::Provisioned { .. } => {
                let effects = vec![
                    Effect::SummariseRefusals(None),
                    status_changed(ProvisioningStatus::Deprovisioned),
                ];
                (Inner::Deprovisioned, Ok(effects))
            }
            Inner::Unprovisioned { .. }
            | Inner::ReadyToPair { .. }
            | Inner::PairingReceived { .. }
            | Inner::ProvisioningFailed { .. }
            | Inner::Deprovisioned => refuse(state, ErrorCode::NotProvisioned),
        },
        Event::Stopping => stopping(state, now),
    };
    Step {
        state: State(state),
        outcome,
    }
}

pub(super) trait WithOk {
    fn with_ok(self) -> Decision;
}

impl WithOk for (Inner, Vec<Effect>) {
    fn with_ok(self) -> Decision {
        (self.0, Ok(self.1))
    }
}

pub(super) fn refuse(state: Inner, code: ErrorCode) -> Decision {
    (state, Err(code.into()))
}

pub(super) fn announce(signal: ProvisioningSignal) -> Effect {
    Effect::Announce(signal)
}

pub(super) fn status_changed(status: ProvisioningStatus) -> Effect {
    announce(ProvisioningSignal::StatusChanged { status, phase: None })
}

pub(super) fn phase_changed(phase: Phase) -> Effect {
    let status = ProvisioningStatus::PairingReceived;
    announce(ProvisioningSignal::StatusChanged {
        status,
        phase: Some(phase),
    })
}

/// `Unprovisioned` becomes the persisted status where it is not.
fn persist_unprovisioned(was: PersistedStatus) -> Option<PersistedStatus> {
    match was {
        PersistedStatus::Unprovisioned => None,
        PersistedStatus::Provisioned | PersistedStatus::Deprovisioned => Some(PersistedStatus::Unprovisioned),
    }
}

fn pairing_opened(state: Inner, session: Box<Session>) -> Decision {
    let (was, first) = match state {
        Inner::Unprovisioned { .. } => (PersistedStatus::Unprovisioned, AuditEvent::ProvisioningModeEntered),
        Inner::ProvisioningFailed { was, .. } => (was, AuditEvent::ProvisioningModeEntered),
        Inner::Deprovisioned => (PersistedStatus::Deprovisioned, AuditEvent::ReprovisioningStarted),
        Inner::ReadyToPair { .. } | Inner::PairingReceived { .. } => {
            return refuse(state, ErrorCode::PairingInProgress);
        }
        Inner::Provisioned { .. } => return refuse(state, ErrorCode::AlreadyProvisioned),
    };
    let entries = [first, AuditEvent::PairingCodeGenerated].map(|event| AuditEntry::new(event).in_session(session.id));
    let effects = vec![
        // What came too late for the session before does not belong to this one.
        Effect::SummariseRefusals(None),
        Effect::Record(entries.into(), None),
        announce(ProvisioningSignal::QrCodeGenerated {
            session: session.id,
            expires_at: session.expires_at,
        }),
        status_changed(ProvisioningStatus::ReadyToPair),
    ];
    (Inner::ReadyToPair { session, was }, Ok(effects))
}

/// The session ends without a payload. Its keys and code go with it.
fn end_session(session: &Session, was: PersistedStatus, entry: AuditEntry) -> Vec<Effect> {
    vec![
        Effect::Record(vec![entry.in_session(session.id)], persist_unprovisioned(was)),
        Effect::SummariseRefusals(Some(session.id)),
    ]
}

fn cancelled(state: Inner, now: Monotonic) -> Decision {
    match state {
        Inner::ReadyToPair { session, was } => {
            let mut effects = end_session(&session, was, AuditEntry::new(AuditEvent::PairingCancelled));
            effects.push(status_changed(ProvisioningStatus::Unprovisioned));
            let grace = Some(Grace::after_end(now, ErrorCode::NotPairing));
            (Inner::Unprovisioned { grace }, Ok(effects))
        }
        Inner::PairingReceived {
            work: Work::Applying, ..
        } => {
            let why = "The configuration is being installed; it cannot be cancelled any more.";
            (state, Err(ProvisioningError::new(ErrorCode::PairingInProgress, why)))
        }
        Inner::PairingReceived {
            payload,
            work:
                Work::VerifyingSignature
                | Work::CheckingPayload
                | Work::CheckingCertificates
                | Work::TestingConnection
                | Work::AwaitingConfirmation(_),
        } => failed(payload, ErrorCode::Cancelled.into(), now).with_ok(),
        Inner::Unprovisioned { .. } | Inner::ProvisioningFailed { .. } | Inner::Deprovisioned => {
            refuse(state, ErrorCode::NotPairing)
        }
        Inner::Provisioned { .. } => refuse(state, ErrorCode::AlreadyProvisioned),
    }
}

fn time_passed(state: Inner, now: Monotonic) -> (Inner, Vec<Effect>) {
    let close = || vec![Effect::SummariseRefusals(None), Effect::CloseListener];
    match state {
        Inner::PairingReceived {
            payload,
            work: Work::AwaitingConfirmation(mut question),
        } => {
            if question.until.reached(now) {
                failed(payload, unanswered(), now)
            } else {
                let work = Work::AwaitingConfirmation(question);
                let state = Inner::PairingReceived { payload, work };
                (state, Vec::new())
            }
        }
        Inner::ReadyToPair { mut session, was } => {
            if !session.deadline.reached(now) {
                return (Inner::ReadyToPair { session, was }, Vec::new());
            }
            let mut effects = end_session(&session, was, AuditEntry::new(AuditEvent::PairingExpired));
            effects.push(announce(ProvisioningSignal::QrCodeExpired));
            effects.push(status_changed(ProvisioningStatus::Unprovisioned));
            let grace = Some(Grace::after_end(now, ErrorCode::SessionExpired));
            (Inner::Unprovisioned { grace }, effects)
        }
        Inner::Unprovisioned { grace: Some(mut grace) } => {
            if grace.until.reached(now) {
                (Inner::Unprovisioned { grace: None }, close())
            } else {
                (Inner::Unprovisioned { grace: Some(grace) }, Vec::new())
            }
        }
        Inner::ProvisioningFailed {
            error,
            grace: Some(mut grace),
            was,
        } => {
            if grace.until.reached(now) {
                (
                    Inner::ProvisioningFailed {
                        error,
                        grace: None,
                        was,
                    },
                    close(),
                )
            } else {
                (
                    Inner::ProvisioningFailed {
                        error,
                        grace: Some(grace),
                        was,
                    },
                    Vec::new(),
                )
            }
        }
        Inner::Provisioned {
            installed,
            grace: Some(mut grace),
        } => {
            if grace.until.reached(now) {
                (Inner::Provisioned { installed, grace: None }, close())
            } else {
                (
                    Inner::Provisioned {
                        installed,
                        grace: Some(grace),
                    },
                    Vec::new(),
                )
            }
        }
        Inner::Unprovisioned { grace: None }
        | Inner::ProvisioningFailed { grace: None, .. }
        | Inner::Provisioned { grace: None, .. }
        | Inner::PairingReceived {
            work:
                Work::VerifyingSignature
                | Work::CheckingPayload
                | Work::CheckingCertificates
                | Work::TestingConnection
                | Work::Applying,
            ..
        }
        | Inner::Deprovisioned => (state, Vec::new()),
    }
}

fn acknowledged(state: Inner) -> Decision {
    let (was, grace) = match state {
        Inner::ProvisioningFailed { was, grace, .. } => (was, grace),
        Inner::Deprovisioned => (PersistedStatus::Deprovisioned, None),
        Inner::Unprovisioned { .. } => return (state, Ok(Vec::new())),
        Inner::ReadyToPair { .. } | Inner::PairingReceived { .. } => {
            return refuse(state, ErrorCode::PairingInProgress);
        }
        Inner::Provisioned { .. } => return refuse(state, ErrorCode::AlreadyProvisioned),
    };
    let entry = AuditEntry::new(AuditEvent::OutcomeAcknowledged);
    let effects = vec![
        Effect::Record(vec![entry], persist_unprovisioned(was)),
        status_changed(ProvisioningStatus::Unprovisioned),
    ];
    (Inner::Unprovisioned { grace }, Ok(effects))
}

fn deprovisioning_requested(state: Inner, by: &AdministratorAuthorised) -> Decision {
    match state {
        Inner::Provisioned { installed, grace } => {
            let effects = erase(&installed, by, false);
            (Inner::Provisioned { installed, grace }, Ok(effects))
        }
        Inner::PairingReceived { .. } => refuse(state, ErrorCode::PairingInProgress),
        Inner::Unprovisioned { .. }
        | Inner::ReadyToPair { .. }
        | Inner::ProvisioningFailed { .. }
        | Inner::Deprovisioned => refuse(state, ErrorCode::NotProvisioned),
    }
}

fn retirement_requested(state: Inner, by: &AdministratorAuthorised) -> Decision {
    let bare = |grace| {
        let mut effects = end_grace(grace);
        effects.push(Effect::Retire(vec![retired(by)]));
        Ok(effects)
    };
    match state {
        Inner::Provisioned { installed, grace } => {
            let effects = erase(&installed, by, true);
            (Inner::Provisioned { installed, grace }, Ok(effects))
        }
        Inner::Unprovisioned { grace } => (Inner::Unprovisioned { grace: None }, bare(grace)),
        Inner::ProvisioningFailed { error, grace, was } => (
            Inner::ProvisioningFailed {
                error,
                grace: None,
                was,
            },
            bare(grace),
        ),
        Inner::Deprovisioned => (state, bare(None)),
        Inner::ReadyToPair { .. } | Inner::PairingReceived { .. } => refuse(state, ErrorCode::PairingInProgress),
    }
}

/// The listener first: nobody shall get a receipt for what is being removed.
fn erase(installed: &InstalledConfiguration, by: &AdministratorAuthorised, retire: bool) -> Vec<Effect> {
    let leaf = installed.certificates.leaf();
    let destruction = Destruction {
        certificate_sha256: leaf.sha256,
        certificate_serial: leaf.serial.clone(),
        authorised_by: by.by().into(),
        retired: retire,
    };
    let mut entries = vec![AuditEntry::new(AuditEvent::Deprovisioned).with_detail(format!(
        "by {}: client certificate sha256 {}",
        by.by(),
        leaf.sha256.to_hex()
    ))];
    if retire {
        entries.push(retired(by));
    }
    vec![Effect::CloseListener, Effect::Erase(Box::new(destruction), entries)]
}

fn retired(by: &AdministratorAuthorised) -> AuditEntry {
    AuditEntry::new(AuditEvent::DeviceRetired).with_detail(format!("by {}", by.by()))
}

fn stopping(state: Inner, now: Monotonic) -> Decision {
    match state {
        Inner::ReadyToPair { session, was } => {
            let entry = AuditEntry::new(AuditEvent::PairingCancelled).with_detail("the service is stopping");
            let mut effects = end_session(&session, was, entry);
            effects.push(Effect::CloseListener);
            effects.push(status_changed(ProvisioningStatus::Unprovisioned));
            (Inner::Unprovisioned { grace: None }, Ok(effects))
        }
        Inner::PairingReceived {
            work: Work::Applying, ..
        } => refuse(state, ErrorCode::PairingInProgress),
        Inner::PairingReceived {
            payload,
            work:
                Work::VerifyingSignature
                | Work::CheckingPayload
                | Work::CheckingCertificates
                | Work::TestingConnection
                | Work::AwaitingConfirmation(_),
        } => failed(payload, ErrorCode::ShuttingDown.into(), now).with_ok(),
        Inner::Unprovisioned { grace } => (Inner::Unprovisioned { grace: None }, Ok(end_grace(grace))),
        Inner::ProvisioningFailed { error, grace, was } => (
            Inner::ProvisioningFailed {
                error,
                grace: None,
                was,
            },
            Ok(end_grace(grace)),
        ),
        Inner::Provisioned { installed, grace } => {
            (Inner::Provisioned { installed, grace: None }, Ok(end_grace(grace)))
        }
        Inner::Deprovisioned => (state, Ok(Vec::new())),
    }
}

fn end_grace(grace: Option<Grace>) -> Vec<Effect> {
    grace.map_or_else(Vec::new, |_| {
        vec![Effect::SummariseRefusals(None), Effect::CloseListener]
    })
}
