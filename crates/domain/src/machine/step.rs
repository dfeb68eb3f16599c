//! Every pair of state and event, decided. No wildcard: a new variant does not compile until every pair is decided.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use super::state::{GRACE_AFTER_SUCCESS, Grace, Inner, Session, State};
use super::{Effect, Event};
use crate::admin::AdministratorAuthorised;
use crate::audit::{AuditEntry, AuditEvent};
use crate::checks::{Approved, Claim};
use crate::error::{ErrorCode, ProvisioningError};
use crate::pairing::{SessionId, Sha256Digest};
use crate::result::{Destruction, InstalledConfiguration, ProvisioningResult};
use crate::signal::ProvisioningSignal;
use crate::status::{PersistedStatus, Phase, ProvisioningStatus};
use crate::time::{Deadline, Monotonic, Timestamp};

/// What an event leads to.
#[derive(Debug)]
pub struct Step {
    /// The next state; after a refusal the same as before.
    pub state: State,
    /// What the world has to do, or why the event was refused.
    pub outcome: Result<Vec<Effect>, ProvisioningError>,
}

type Decision = (Inner, Result<Vec<Effect>, ProvisioningError>);

/// The transition function of the provisioning state machine (`docs/decisions.md`, "States and transitions").
#[must_use]
pub fn step(state: State, event: Event, now: Monotonic) -> Step {
    let state = state.0;
    let (state, outcome) = match event {
        Event::PairingOpened(session) => pairing_opened(state, session),
        Event::Cancelled => cancelled(state, now),
        Event::TimePassed => (time_passed(state, now)).with_ok(),
        Event::EnvelopeOpened(session) => envelope_opened(state, session, now),
        Event::SignatureVerified(id) => phase_passed(state, id, Phase::VerifyingSignature, Phase::CheckingPayload),
        Event::PayloadAccepted(id) => phase_passed(state, id, Phase::CheckingPayload, Phase::CheckingCertificates),
        Event::PayloadRefused(id, error) => payload_refused(state, id, error, now),
        Event::PayloadApproved {
            approved,
            wall,
            body_sha256,
        } => payload_approved(state, *approved, wall, body_sha256),
        Event::Installed(installed) => installed_now(state, installed, now),
        Event::InstallationFailed(error) => installation_failed(state, error, now),
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

trait WithOk {
    fn with_ok(self) -> Decision;
}

impl WithOk for (Inner, Vec<Effect>) {
    fn with_ok(self) -> Decision {
        (self.0, Ok(self.1))
    }
}

fn refuse(state: Inner, code: ErrorCode) -> Decision {
    (state, Err(code.into()))
}

fn announce(signal: ProvisioningSignal) -> Effect {
    Effect::Announce(signal)
}

fn status_changed(status: ProvisioningStatus) -> Effect {
    announce(ProvisioningSignal::StatusChanged { status, phase: None })
}

fn phase_changed(phase: Phase) -> Effect {
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

/// Why an event of a payload's check comes too late: the check was cancelled, or the service is stopping.
fn too_late(state: Inner) -> Decision {
    let error = match &state {
        Inner::ProvisioningFailed { error, .. } => error.clone(),
        Inner::PairingReceived { .. } => ErrorCode::PairingInProgress.into(),
        Inner::Unprovisioned { .. } | Inner::ReadyToPair { .. } | Inner::Provisioned { .. } | Inner::Deprovisioned => {
            ErrorCode::Cancelled.into()
        }
    };
    (state, Err(error))
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
            phase: Phase::Applying, ..
        } => {
            let why = "The configuration is being installed; it cannot be cancelled any more.";
            (state, Err(ProvisioningError::new(ErrorCode::PairingInProgress, why)))
        }
        Inner::PairingReceived {
            session,
            phase: phase @ (Phase::VerifyingSignature | Phase::CheckingPayload | Phase::CheckingCertificates),
            was,
        } => failed(session, phase, was, ErrorCode::Cancelled.into(), now),
        Inner::Unprovisioned { .. } | Inner::ProvisioningFailed { .. } | Inner::Deprovisioned => {
            refuse(state, ErrorCode::NotPairing)
        }
        Inner::Provisioned { .. } => refuse(state, ErrorCode::AlreadyProvisioned),
    }
}

fn time_passed(state: Inner, now: Monotonic) -> (Inner, Vec<Effect>) {
    let close = || vec![Effect::SummariseRefusals(None), Effect::CloseListener];
    match state {
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
        | Inner::PairingReceived { .. }
        | Inner::Deprovisioned => (state, Vec::new()),
    }
}

/// Step 4: compare and set. One winner per session; the code and the key leave the state with it.
fn envelope_opened(state: Inner, id: SessionId, now: Monotonic) -> Decision {
    match state {
        Inner::ReadyToPair { mut session, was } => {
            if session.id != id {
                return refuse(Inner::ReadyToPair { session, was }, ErrorCode::InvalidPairingCode);
            }
            if session.deadline.reached(now) {
                return refuse(Inner::ReadyToPair { session, was }, ErrorCode::SessionExpired);
            }
            let Session {
                id,
                pairing_code,
                public_key,
                ..
            } = *session;
            let phase = Phase::VerifyingSignature;
            let claim = Claim {
                session: id,
                pairing_code,
                session_key: public_key,
            };
            (
                Inner::PairingReceived {
                    session: id,
                    phase,
                    was,
                },
                Ok(vec![phase_changed(phase), Effect::Check(claim)]),
            )
        }
        Inner::PairingReceived { .. } => refuse(state, ErrorCode::PairingInProgress),
        Inner::Provisioned { .. } => refuse(state, ErrorCode::AlreadyProvisioned),
        Inner::Unprovisioned { grace } | Inner::ProvisioningFailed { grace, .. } => {
            let code = grace.map_or(ErrorCode::NotPairing, |grace| grace.refusal);
            refuse(state, code)
        }
        Inner::Deprovisioned => refuse(state, ErrorCode::NotPairing),
    }
}

fn phase_passed(state: Inner, id: SessionId, passed: Phase, next: Phase) -> Decision {
    match state {
        Inner::PairingReceived { session, phase, was } if session == id && phase == passed => {
            let mut effects = Vec::new();
            if passed == Phase::VerifyingSignature {
                effects.push(announce(ProvisioningSignal::ConfigurationReceived { session }));
            }
            effects.push(phase_changed(next));
            (
                Inner::PairingReceived {
                    session,
                    phase: next,
                    was,
                },
                Ok(effects),
            )
        }
        Inner::PairingReceived { .. }
        | Inner::Unprovisioned { .. }
        | Inner::ReadyToPair { .. }
        | Inner::Provisioned { .. }
        | Inner::ProvisioningFailed { .. }
        | Inner::Deprovisioned => too_late(state),
    }
}

/// The end of a session whose payload was not installed.
fn failed(
    session: SessionId,
    phase: Phase,
    was: PersistedStatus,
    error: ProvisioningError,
    now: Monotonic,
) -> Decision {
    let mut events = Vec::new();
    if phase > Phase::VerifyingSignature {
        events.push(AuditEntry::new(AuditEvent::ConfigurationReceived));
    }
    if phase > Phase::CheckingPayload {
        events.push(AuditEntry::new(AuditEvent::PairingCodeValidated));
    }
    if error.code() == ErrorCode::InvalidPairingCode {
        events.push(AuditEntry::new(AuditEvent::PairingCodeMismatch));
    }
    events.push(
        AuditEntry::new(AuditEvent::ProvisioningFailed)
            .with_code(error.code())
            .with_detail(error.message()),
    );
    let effects = vec![
        Effect::Record(
            events.into_iter().map(|entry| entry.in_session(session)).collect(),
            None,
        ),
        Effect::SummariseRefusals(Some(session)),
        announce(ProvisioningSignal::ProvisioningFailed(error.clone())),
        status_changed(ProvisioningStatus::ProvisioningFailed),
    ];
    let grace = Some(Grace::after_end(now, ErrorCode::NotPairing));
    (Inner::ProvisioningFailed { error, grace, was }, Ok(effects))
}

fn payload_refused(state: Inner, id: SessionId, error: ProvisioningError, now: Monotonic) -> Decision {
    match state {
        Inner::PairingReceived {
            session,
            phase: phase @ (Phase::VerifyingSignature | Phase::CheckingPayload | Phase::CheckingCertificates),
            was,
        } if session == id => failed(session, phase, was, error, now),
        Inner::PairingReceived { .. }
        | Inner::Unprovisioned { .. }
        | Inner::ReadyToPair { .. }
        | Inner::Provisioned { .. }
        | Inner::ProvisioningFailed { .. }
        | Inner::Deprovisioned => too_late(state),
    }
}

fn payload_approved(state: Inner, approved: Approved, wall: Timestamp, body_sha256: Sha256Digest) -> Decision {
    match state {
        Inner::PairingReceived {
            session,
            phase: Phase::CheckingCertificates,
            was,
        } if session == approved.session => {
            let phase = Phase::Applying;
            let installation = approved.into_installation(wall, body_sha256);
            let settings = installation.settings();
            let entries = vec![
                AuditEntry::new(AuditEvent::ConfigurationReceived).in_session(session),
                AuditEntry::new(AuditEvent::PairingCodeValidated).in_session(session),
                AuditEntry::new(AuditEvent::CertificatesInstalled)
                    .in_session(session)
                    .with_detail(format!(
                        "client certificate sha256 {}",
                        installation.certificates().leaf().sha256.to_hex()
                    )),
                AuditEntry::new(AuditEvent::ConfigurationApplied)
                    .in_session(session)
                    .with_detail(format!(
                        "by the Central Station: server {}, label {}",
                        settings.server_url.as_str(),
                        settings.device_label.as_str()
                    )),
                AuditEntry::new(AuditEvent::ProvisioningCompleted).in_session(session),
            ];
            (
                Inner::PairingReceived { session, phase, was },
                Ok(vec![
                    phase_changed(phase),
                    Effect::Install(Box::new(installation), entries),
                ]),
            )
        }
        Inner::PairingReceived { .. }
        | Inner::Unprovisioned { .. }
        | Inner::ReadyToPair { .. }
        | Inner::Provisioned { .. }
        | Inner::ProvisioningFailed { .. }
        | Inner::Deprovisioned => too_late(state),
    }
}

fn installed_now(state: Inner, installed: Box<InstalledConfiguration>, now: Monotonic) -> Decision {
    match state {
        Inner::PairingReceived {
            session,
            phase: Phase::Applying,
            ..
        } => {
            let result = ProvisioningResult {
                installed: (*installed).clone(),
            };
            let effects = vec![
                Effect::SummariseRefusals(Some(session)),
                announce(ProvisioningSignal::ProvisioningCompleted(Box::new(result))),
                status_changed(ProvisioningStatus::Provisioned),
            ];
            let until = Deadline::new(now, GRACE_AFTER_SUCCESS);
            let grace = Some(Grace {
                until,
                refusal: ErrorCode::AlreadyProvisioned,
            });
            (Inner::Provisioned { installed, grace }, Ok(effects))
        }
        Inner::PairingReceived { .. }
        | Inner::Unprovisioned { .. }
        | Inner::ReadyToPair { .. }
        | Inner::Provisioned { .. }
        | Inner::ProvisioningFailed { .. }
        | Inner::Deprovisioned => too_late(state),
    }
}

fn installation_failed(state: Inner, error: ProvisioningError, now: Monotonic) -> Decision {
    match state {
        Inner::PairingReceived {
            session,
            phase: phase @ Phase::Applying,
            was,
        } => failed(session, phase, was, error, now),
        Inner::PairingReceived { .. }
        | Inner::Unprovisioned { .. }
        | Inner::ReadyToPair { .. }
        | Inner::Provisioned { .. }
        | Inner::ProvisioningFailed { .. }
        | Inner::Deprovisioned => too_late(state),
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
            phase: Phase::Applying, ..
        } => refuse(state, ErrorCode::PairingInProgress),
        Inner::PairingReceived {
            session,
            phase: phase @ (Phase::VerifyingSignature | Phase::CheckingPayload | Phase::CheckingCertificates),
            was,
        } => failed(session, phase, was, ErrorCode::ShuttingDown.into(), now),
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
