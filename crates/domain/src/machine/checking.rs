//! What becomes of a payload, from the opened envelope to the end of its installation (steps 4 to 12).

use alloc::boxed::Box;
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;
use core::net::IpAddr;

use super::Effect;
use super::state::{GRACE_AFTER_SUCCESS, Grace, Inner, Question, Received, Session, Work};
use super::step::{Decision, WithOk, announce, phase_changed, refuse, status_changed};
use crate::access::Peer;
use crate::audit::{AuditEntry, AuditEvent};
use crate::checks::{Approved, Claim, Unconfirmed};
use crate::confirmation::CONFIRMATION_TIME;
use crate::error::{ErrorCode, ProvisioningError};
use crate::pairing::{SessionId, Sha256Digest};
use crate::result::{InstalledConfiguration, ProvisioningResult};
use crate::signal::ProvisioningSignal;
use crate::status::{Phase, ProvisioningStatus};
use crate::time::{Deadline, Monotonic, Timestamp};

/// From these phases a payload goes on to a person or to its installation.
const STEP_10_OR_11: [Phase; 2] = [Phase::CheckingCertificates, Phase::TestingConnection];

/// Step 4: compare and set. One winner per session; the code and the key leave the state with it.
pub(super) fn envelope_opened(state: Inner, id: SessionId, now: Monotonic) -> Decision {
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
                demands,
                ..
            } = *session;
            let work = Work::VerifyingSignature;
            let entered = phase_changed(work.phase());
            let claim = Claim {
                session: id,
                pairing_code,
                session_key: public_key,
                demands,
            };
            let payload = Received {
                session: id,
                was,
                passed: Vec::new(),
            };
            let state = Inner::PairingReceived { payload, work };
            (state, Ok(vec![entered, Effect::Check(claim)]))
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

pub(super) fn signature_verified(state: Inner, id: SessionId) -> Decision {
    in_phase(state, Some(id), &[Phase::VerifyingSignature], |mut payload| {
        payload.pass(AuditEntry::new(AuditEvent::ConfigurationReceived));
        let session = payload.session;
        let received = announce(ProvisioningSignal::ConfigurationReceived { session });
        go_on(payload, Work::CheckingPayload, vec![received])
    })
}

pub(super) fn payload_accepted(state: Inner, id: SessionId) -> Decision {
    in_phase(state, Some(id), &[Phase::CheckingPayload], |mut payload| {
        payload.pass(AuditEntry::new(AuditEvent::PairingCodeValidated));
        go_on(payload, Work::CheckingCertificates, Vec::new())
    })
}

pub(super) fn connection_test_begun(state: Inner, id: SessionId) -> Decision {
    in_phase(state, Some(id), &[Phase::CheckingCertificates], |payload| {
        go_on(payload, Work::TestingConnection, Vec::new())
    })
}

/// The next phase of the same payload: everybody is told after these effects.
fn go_on(payload: Received, work: Work, mut effects: Vec<Effect>) -> Decision {
    effects.push(phase_changed(work.phase()));
    let state = Inner::PairingReceived { payload, work };
    (state, Ok(effects))
}

/// Step 11: from now on a person decides, for a minute.
pub(super) fn confirmation_asked(
    state: Inner,
    unconfirmed: Unconfirmed,
    sender: Option<IpAddr>,
    body_sha256: Sha256Digest,
    now: Monotonic,
) -> Decision {
    in_phase(state, Some(unconfirmed.session()), &STEP_10_OR_11, |mut payload| {
        payload.pass_connection_test(unconfirmed.tested());
        let question = Question {
            request: unconfirmed.request(sender, &body_sha256),
            unconfirmed,
            body_sha256,
            until: Deadline::new(now, CONFIRMATION_TIME),
        };
        let work = Work::AwaitingConfirmation(Box::new(question));
        go_on(payload, work, Vec::new())
    })
}

pub(super) fn confirmation_answered(
    state: Inner,
    accept: bool,
    by: Option<Peer>,
    wall: Timestamp,
    now: Monotonic,
) -> Decision {
    match state {
        Inner::PairingReceived {
            mut payload,
            work: Work::AwaitingConfirmation(mut question),
        } => {
            if question.until.reached(now) {
                let work = Work::AwaitingConfirmation(question);
                let state = Inner::PairingReceived { payload, work };
                return (state, Err(unanswered()));
            }
            let by = by.map_or_else(|| "at the screen".into(), |peer| format!("by {peer}"));
            if accept {
                payload.pass(AuditEntry::new(AuditEvent::ConfirmationAccepted).with_detail(by));
                let Question {
                    unconfirmed,
                    body_sha256,
                    ..
                } = *question;
                apply(payload, unconfirmed.confirmed(), wall, body_sha256)
            } else {
                payload.pass(AuditEntry::new(AuditEvent::ConfirmationRefused).with_detail(by));
                let why = "The person at the monitor refused the configuration.";
                let refused = ProvisioningError::new(ErrorCode::ConfirmationRefused, why);
                failed(payload, refused, now).with_ok()
            }
        }
        Inner::PairingReceived {
            work:
                Work::VerifyingSignature
                | Work::CheckingPayload
                | Work::CheckingCertificates
                | Work::TestingConnection
                | Work::Applying,
            ..
        } => nothing_to_confirm(state, ErrorCode::PairingInProgress),
        Inner::Provisioned { .. } => nothing_to_confirm(state, ErrorCode::AlreadyProvisioned),
        Inner::Unprovisioned { .. }
        | Inner::ReadyToPair { .. }
        | Inner::ProvisioningFailed { .. }
        | Inner::Deprovisioned => nothing_to_confirm(state, ErrorCode::NotPairing),
    }
}

fn nothing_to_confirm(state: Inner, code: ErrorCode) -> Decision {
    let why = "No configuration waits for a person's answer.";
    (state, Err(ProvisioningError::new(code, why)))
}

pub(super) fn unanswered() -> ProvisioningError {
    let why = "Nobody at the monitor accepted the configuration within a minute.";
    ProvisioningError::new(ErrorCode::ConfirmationTimeout, why)
}

/// The end of a session whose payload was not installed.
pub(super) fn failed(payload: Received, error: ProvisioningError, now: Monotonic) -> (Inner, Vec<Effect>) {
    let Received {
        session,
        was,
        passed: mut entries,
    } = payload;
    if error.code() == ErrorCode::InvalidPairingCode {
        entries.push(AuditEntry::new(AuditEvent::PairingCodeMismatch).in_session(session));
    }
    entries.push(
        AuditEntry::new(AuditEvent::ProvisioningFailed)
            .in_session(session)
            .with_code(error.code())
            .with_detail(error.message()),
    );
    let effects = vec![
        Effect::Record(entries, None),
        Effect::SummariseRefusals(Some(session)),
        announce(ProvisioningSignal::ProvisioningFailed(error.clone())),
        status_changed(ProvisioningStatus::ProvisioningFailed),
    ];
    let grace = Some(Grace::after_end(now, ErrorCode::NotPairing));
    (Inner::ProvisioningFailed { error, grace, was }, effects)
}

pub(super) fn payload_refused(state: Inner, id: SessionId, error: ProvisioningError, now: Monotonic) -> Decision {
    let checks = [
        Phase::VerifyingSignature,
        Phase::CheckingPayload,
        Phase::CheckingCertificates,
        Phase::TestingConnection,
    ];
    in_phase(state, Some(id), &checks, |payload| {
        failed(payload, error, now).with_ok()
    })
}

pub(super) fn payload_approved(
    state: Inner,
    approved: Approved,
    wall: Timestamp,
    body_sha256: Sha256Digest,
) -> Decision {
    in_phase(state, Some(approved.session), &STEP_10_OR_11, |mut payload| {
        payload.pass_connection_test(approved.tested);
        apply(payload, approved, wall, body_sha256)
    })
}

/// Step 12 begins.
fn apply(payload: Received, approved: Approved, wall: Timestamp, body_sha256: Sha256Digest) -> Decision {
    let installation = approved.into_installation(wall, body_sha256);
    let settings = installation.settings();
    let installed = [
        AuditEntry::new(AuditEvent::CertificatesInstalled).with_detail(format!(
            "client certificate sha256 {}",
            installation.certificates().leaf().sha256.to_hex()
        )),
        AuditEntry::new(AuditEvent::ConfigurationApplied).with_detail(format!(
            "by the Central Station: server {}, label {}",
            settings.server_url.as_str(),
            settings.device_label.as_str()
        )),
        AuditEntry::new(AuditEvent::ProvisioningCompleted),
    ]
    .map(|entry| entry.in_session(payload.session));
    let entries = payload.passed.iter().cloned().chain(installed).collect();
    let work = Work::Applying;
    let effects = vec![
        phase_changed(work.phase()),
        Effect::Install(Box::new(installation), entries),
    ];
    let state = Inner::PairingReceived { payload, work };
    (state, Ok(effects))
}

pub(super) fn installed_now(state: Inner, installed: Box<InstalledConfiguration>, now: Monotonic) -> Decision {
    in_phase(state, None, &[Phase::Applying], |payload| {
        let result = ProvisioningResult {
            installed: (*installed).clone(),
        };
        let effects = vec![
            Effect::SummariseRefusals(Some(payload.session)),
            announce(ProvisioningSignal::ProvisioningCompleted(Box::new(result))),
            status_changed(ProvisioningStatus::Provisioned),
        ];
        let until = Deadline::new(now, GRACE_AFTER_SUCCESS);
        let grace = Some(Grace {
            until,
            refusal: ErrorCode::AlreadyProvisioned,
        });
        (Inner::Provisioned { installed, grace }, Ok(effects))
    })
}

pub(super) fn installation_failed(state: Inner, error: ProvisioningError, now: Monotonic) -> Decision {
    in_phase(state, None, &[Phase::Applying], |payload| {
        failed(payload, error, now).with_ok()
    })
}

/// Goes on with the payload of session `id` (none: of whichever) in one of these phases. Everything else comes too late: the check was
/// cancelled, or the service is stopping.
fn in_phase(
    state: Inner,
    id: Option<SessionId>,
    phases: &[Phase],
    proceed: impl FnOnce(Received) -> Decision,
) -> Decision {
    let error = match state {
        Inner::PairingReceived { payload, work }
            if phases.contains(&work.phase()) && id.is_none_or(|id| payload.session == id) =>
        {
            return proceed(payload);
        }
        Inner::PairingReceived { .. } => ErrorCode::PairingInProgress.into(),
        Inner::ProvisioningFailed { ref error, .. } => error.clone(),
        Inner::Unprovisioned { .. } | Inner::ReadyToPair { .. } | Inner::Provisioned { .. } | Inner::Deprovisioned => {
            ErrorCode::Cancelled.into()
        }
    };
    (state, Err(error))
}
