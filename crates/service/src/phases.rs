//! What whoever watches a device learns of its work: a span for every attempt and every phase of it, and what is counted.

use std::future::Future;

use tracing::field::Empty;
use tracing::{Instrument, Span, info, info_span};
use zmon_domain::error::{ErrorCode, ProvisioningError};
use zmon_domain::machine::State;
use zmon_domain::pairing::SessionId;
use zmon_domain::status::{Phase, ProvisioningStatus};
use zmon_domain::time::Monotonic;
use zmon_ports::{Clock, Measurement, SessionEnd};

use crate::adapters::Ports;
use crate::effects::Core;

/// In the span of an attempt to provision: what is logged within says of which session it is.
pub(crate) async fn in_attempt<T>(
    session: SessionId,
    attempt: impl Future<Output = Result<T, ProvisioningError>> + Send,
) -> Result<T, ProvisioningError> {
    let span = info_span!("provisioning", %session, outcome = Empty);
    let attempt = async {
        let result = attempt.await;
        record_outcome(result.as_ref().err());
        result
    };
    attempt.instrument(span).await
}

impl<P: Ports> Core<P> {
    /// Carries out a phase in its span; how long it took is said and noted, also where it ends in a refusal.
    pub(crate) async fn in_phase<T: Send>(
        &self,
        phase: Phase,
        work: impl Future<Output = Result<T, ProvisioningError>> + Send,
    ) -> Result<T, ProvisioningError> {
        let begun = self.adapters().clock.monotonic();
        let timed = async {
            let result = work.await;
            record_outcome(result.as_ref().err());
            self.finished(phase, begun);
            result
        };
        let span = info_span!("phase", phase = phase.as_str(), outcome = Empty);
        timed.instrument(span).await
    }

    fn finished(&self, phase: Phase, begun: Monotonic) {
        let took = self.adapters().clock.monotonic().since(begun);
        info!(elapsed_us = took.as_micros() as u64, "phase finished");
        self.note(Measurement::PhaseFinished(phase, took));
    }
}

/// In the current span: the code of a refusal, or `ok`.
fn record_outcome(refusal: Option<&ProvisioningError>) {
    let outcome = refusal.map_or("ok", |refusal| refusal.code().as_str());
    Span::current().record("outcome", outcome);
}

/// What becomes of sessions in a step of the machine, which came from the status `was` and was taken because time passed or
/// not.
pub(crate) fn of_sessions(was: ProvisioningStatus, is: &State, time_passed: bool) -> Option<Measurement> {
    use ProvisioningStatus::{PairingReceived, Provisioned, ProvisioningFailed, ReadyToPair, Unprovisioned};
    let end = match (was, is.status()) {
        (ReadyToPair, Unprovisioned) if time_passed => SessionEnd::Expired,
        (ReadyToPair, Unprovisioned) => SessionEnd::Cancelled,
        (PairingReceived, Provisioned) => SessionEnd::Provisioned,
        (PairingReceived, ProvisioningFailed) => match is.failure().map(ProvisioningError::code) {
            Some(ErrorCode::Cancelled | ErrorCode::ShuttingDown) => SessionEnd::Cancelled,
            _ => SessionEnd::Failed,
        },
        (was, ReadyToPair) if was != ReadyToPair => return Some(Measurement::SessionOpened),
        _ => return None,
    };
    Some(Measurement::SessionEnded(end))
}
