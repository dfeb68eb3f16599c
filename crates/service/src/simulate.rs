//! Use case: simulate an incoming provisioning. Development only.

use std::time::Duration;

use tracing::warn;
use zmon_domain::access::Peer;
use zmon_domain::audit::{AuditEntry, AuditEvent};
use zmon_domain::checks::Claim;
use zmon_domain::error::{ErrorCode, ProvisioningError};
use zmon_domain::machine::Event;
use zmon_domain::payload::{MemberValue, Members};
use zmon_domain::qr::QrFields;
use zmon_domain::result::ProvisioningResult;
use zmon_domain::secret::SecretText;
use zmon_domain::time::{MAX_PAYLOAD_LIFETIME, Timestamp};
use zmon_ports::{Clock, PayloadEnvelope, ProvisioningStore, SimulateProvisioning};

use crate::adapters::Ports;
use crate::apply::{Arrival, Source};
use crate::effects::Core;
use crate::provisioning::CentralStationProvisioningService;

impl<P: Ports> SimulateProvisioning for CentralStationProvisioningService<P> {
    async fn simulate_provisioning(
        &self,
        mut mock_payload: Members,
        by: Peer,
        pause: Duration,
    ) -> Result<ProvisioningResult, ProvisioningError> {
        self.to_its_end(move |core| async move {
            warn!(
                uid = by.uid,
                gid = by.gid,
                pid = by.pid,
                "SIMULATED PROVISIONING: this payload was neither sealed nor signed. Never ship a build that can do this."
            );
            let started = core.adapters().clock.monotonic();
            let claimed = core.claim_simulated(&mut mock_payload, by).await;
            core.record_refused_act(&*core.held.lock().await, "simulate a provisioning", &claimed)
                .await;
            let digest = core.adapters().envelope.digest(b"simulated");
            let arrival = Arrival {
                sender: None,
                digest,
                started,
            };
            let source = Source::Simulated {
                members: mock_payload,
                pause,
            };
            core.process(claimed?, source, arrival).await
        })
        .await
    }
}

impl<P: Ports> Core<P> {
    /// Takes the one check of the open session, as the first sealed payload that opens does.
    async fn claim_simulated(&self, members: &mut Members, by: Peer) -> Result<Claim, ProvisioningError> {
        let session = self
            .admit(|_, state| state.session().map(|session| session.id))
            .await?
            .ok_or(ErrorCode::AlreadyProvisioned)?;
        let mut held = self.held.lock().await;
        let at = self.time_view(&held).now();
        if let Some(qr_code) = &held.qr_code {
            complete(members, qr_code.fields(), at);
        }
        let entry = AuditEntry::new(AuditEvent::ProvisioningSimulated)
            .in_session(session)
            .with_detail(format!("by {by}"));
        self.adapters().store.record(at, &[entry], None).await?;
        let claimed = self.advance(&mut held, Event::EnvelopeOpened(session)).await?.check;
        claimed.ok_or_else(|| ErrorCode::UnknownError.into())
    }
}

/// Adds what every station says in the same way, where it is left out.
fn complete(members: &mut Members, qr: &QrFields, now: Timestamp) {
    let text = |text: &str| MemberValue::Text(SecretText::new(text.into()));
    let time = |time: Timestamp| MemberValue::Integer(time.as_millis().into());
    for (name, value) in [
        ("version", MemberValue::Integer(1)),
        ("deviceId", text(qr.device_id.as_str())),
        ("sessionKey", text(&qr.key.to_base64url())),
        ("pairingCode", text(qr.pairing_code.expose())),
        ("timestamp", time(now)),
        ("expiresAt", time(now.plus(MAX_PAYLOAD_LIFETIME))),
    ] {
        if members.0.iter().all(|(given, _)| given != name) {
            members.0.push((name.into(), value));
        }
    }
}
