//! Use case: simulate an incoming provisioning. Development only.

use tracing::warn;
use zmon_domain::error::{ErrorCode, ProvisioningError};
use zmon_domain::machine::Event;
use zmon_domain::payload::Members;
use zmon_domain::result::ProvisioningResult;
use zmon_ports::{Clock, PayloadEnvelope, SimulateProvisioning};

use crate::adapters::Ports;
use crate::apply::{Arrival, Source};
use crate::provisioning::CentralStationProvisioningService;

impl<P: Ports> SimulateProvisioning for CentralStationProvisioningService<P> {
    async fn simulate_provisioning(&self, mock_payload: Members) -> Result<ProvisioningResult, ProvisioningError> {
        self.to_its_end(|core| async move {
            warn!("SIMULATED PROVISIONING: this payload was neither sealed nor signed. Never ship a build that can do this.");
            let started = core.adapters().clock.monotonic();
            let session = core.admit(|_, state| state.session().map(|session| session.id)).await?;
            let session = session.ok_or(ErrorCode::AlreadyProvisioned)?;
            let claim = {
                let mut held = core.held.lock().await;
                core.advance(&mut held, Event::EnvelopeOpened(session)).await?.check.ok_or(ErrorCode::UnknownError)?
            };
            let digest = core.adapters().envelope.digest(b"simulated");
            let source = Source::Simulated(mock_payload);
            core.process(claim, source, Arrival { sender: None, digest, started }).await
        })
        .await
    }
}
