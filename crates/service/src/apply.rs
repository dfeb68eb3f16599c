//! Use case: check a POST body and install what is in it (steps 4 to 12 of the validation order).

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::oneshot;
use tracing::{error, info, warn};
use zmon_domain::audit::AuditEntry;
use zmon_domain::checks::{Approved, Certified, Claim, Installation, Paired, Signed, Tested, Unconfirmed, Untested};
use zmon_domain::error::{ErrorCode, ProvisioningError};
use zmon_domain::machine::{Admission, Event, Persisted, State};
use zmon_domain::pairing::{PairingCode, SessionId, SessionPrivateKey, Sha256Digest};
use zmon_domain::payload::Members;
use zmon_domain::result::{InstalledConfiguration, ProvisioningResult, ReceiptClaims};
use zmon_domain::status::Phase;
use zmon_domain::time::Monotonic;
use zmon_ports::{
    CertificateBundle, CertificateFacts, Clock, ConnectionTest, Measurement, Opened, PayloadEnvelope,
    ProvisioningStore, StorageWarning,
};

use crate::adapters::Ports;
use crate::effects::{Core, Held, Installing};
use crate::phases;

/// What opened the session's one check.
pub(crate) enum Source {
    /// A sealed payload.
    Sealed(Opened),
    /// A developer's payload, neither sealed nor signed.
    #[cfg(feature = "simulation")]
    Simulated {
        members: Members,
        /// How long each phase is held up.
        pause: Duration,
    },
}

impl Source {
    const fn pause(&self) -> Duration {
        match self {
            Self::Sealed(_) => Duration::ZERO,
            #[cfg(feature = "simulation")]
            Self::Simulated { pause, .. } => *pause,
        }
    }
}

/// Where, as what and when a payload arrived.
#[derive(Clone, Copy)]
pub(crate) struct Arrival {
    /// The address it came from.
    pub(crate) sender: Option<IpAddr>,
    /// SHA-256 of the POST body.
    pub(crate) digest: Sha256Digest,
    pub(crate) started: Monotonic,
}

/// What becomes of a body that was admitted.
enum Way {
    /// It is opened with the session's key, and checked if that succeeds.
    Check(SessionId, Arc<SessionPrivateKey>),
    /// It is the body that was installed a moment ago: the same answer again.
    Repeat(Box<InstalledConfiguration>),
    /// It came too late.
    Refuse(ErrorCode),
}

impl Way {
    fn through(state: &State, code: &PairingCode, digest: Sha256Digest) -> Self {
        match (state.session(), state.installed()) {
            (Some(session), _) if session.pairing_code == *code => {
                Self::Check(session.id, Arc::clone(&session.private_key))
            }
            // The session in which the body arrived is no longer current.
            (Some(_), _) => Self::Refuse(ErrorCode::InvalidPairingCode),
            (None, Some(installed)) if installed.body_sha256 == digest => Self::Repeat(Box::new(installed.clone())),
            (None, _) => Self::Refuse(ErrorCode::AlreadyProvisioned),
        }
    }
}

impl<P: Ports> Core<P> {
    /// Step 1. `look` sees the state that admitted the request, before any other event can change it.
    pub(crate) async fn admit<T>(&self, look: impl FnOnce(Admission, &State) -> T) -> Result<T, ProvisioningError> {
        let mut held = self.held.lock().await;
        let refused = if held.stopping {
            ErrorCode::ShuttingDown
        } else {
            self.tick(&mut held).await;
            match held.state.admit(self.adapters().clock.monotonic()) {
                Ok(admission) => return Ok(look(admission, &held.state)),
                Err(code) => code,
            }
        };
        Err(self.refuse_early(refused.into()))
    }

    /// A refusal of steps 1 to 4: counted for the audit's summary.
    fn refuse_early(&self, refusal: ProvisioningError) -> ProvisioningError {
        self.count_refusal(refusal.code());
        refusal
    }

    pub(crate) async fn apply(
        &self,
        body: &[u8],
        code: &PairingCode,
        sender: Option<IpAddr>,
    ) -> Result<ProvisioningResult, ProvisioningError> {
        let started = self.adapters().clock.monotonic();
        let digest = self.adapters().envelope.digest(body);
        let (session, key) = match self.admit(|_, state| Way::through(state, code, digest)).await? {
            Way::Check(session, key) => (session, key),
            Way::Repeat(installed) => return Ok(ProvisioningResult { installed: *installed }),
            Way::Refuse(refused) => return Err(self.refuse_early(refused.into())),
        };
        // Step 4, without holding up others.
        let opened = self.adapters().envelope.open(body, &key).map_err(|fault| {
            self.refuse_early(ProvisioningError::from(ErrorCode::EnvelopeInvalid).with_cause(fault.cause))
        })?;
        drop(key);
        let claimed = self
            .advance(&mut *self.held.lock().await, Event::EnvelopeOpened(session))
            .await;
        let claim = claimed
            .map_err(|refused| self.refuse_early(refused))?
            .check
            .ok_or(ErrorCode::UnknownError)?;
        let source = Source::Sealed(opened);
        self.process(
            claim,
            source,
            Arrival {
                sender,
                digest,
                started,
            },
        )
        .await
    }

    /// Steps 5 to 12 for the payload that won the session. Leaves the state in `PROVISIONED` or
    /// `PROVISIONING_FAILED`, whatever happens on the way.
    pub(crate) async fn process(
        &self,
        claim: Claim,
        source: Source,
        arrival: Arrival,
    ) -> Result<ProvisioningResult, ProvisioningError> {
        phases::in_attempt(claim.session(), self.attempt(claim, source, arrival))
            .await
            .inspect_err(|refusal| self.note(Measurement::Refused(refusal.code())))
    }

    async fn attempt(
        &self,
        claim: Claim,
        source: Source,
        arrival: Arrival,
    ) -> Result<ProvisioningResult, ProvisioningError> {
        let session = claim.session();
        let clock = &self.adapters().clock;
        let pause = source.pause();
        let checked = AssertUnwindSafe(self.check(claim, source)).catch_unwind().await;
        let tested = checked.unwrap_or_else(|_| Err(broken("a check panicked")));
        let begun = clock.monotonic();
        let installing = match tested {
            Ok(Tested::Confirm(unconfirmed)) => {
                self.in_phase(Phase::AwaitingConfirmation, self.confirmed(unconfirmed, arrival))
                    .await?
            }
            Ok(Tested::Done(approved)) => self.approve(approved, arrival.digest).await?,
            Err(refusal) => {
                let event = Event::PayloadRefused(session, refusal.clone());
                self.advance(&mut *self.held.lock().await, event).await?;
                return Err(refusal);
            }
        };
        self.linger(pause).await;
        // While a person decides, the device's own time stands still.
        let decided = clock.monotonic();
        let installed = self.install(installing, arrival.digest).await?;
        let elapsed = begun.since(arrival.started) + clock.monotonic().since(decided);
        self.note(Measurement::Provisioned(elapsed));
        info!(
            elapsed_us = elapsed.as_micros() as u64,
            server_url = installed.settings.server_url.as_str(),
            device_label = installed.settings.device_label.as_str(),
            "provisioning completed"
        );
        Ok(ProvisioningResult { installed })
    }

    /// Steps 5 to 10, and step 11 as far as no person is asked.
    async fn check(&self, claim: Claim, source: Source) -> Result<Tested, ProvisioningError> {
        let session = claim.session();
        let pause = source.pause();
        let (signed, members) = self
            .in_phase(Phase::VerifyingSignature, self.signed(claim, source, pause))
            .await?;
        let paired = self
            .in_phase(Phase::CheckingPayload, self.paired(session, signed, members, pause))
            .await?;
        let certified = self
            .in_phase(Phase::CheckingCertificates, self.certified(session, paired, pause))
            .await?;
        match certified {
            Certified::Test(untested) => {
                self.in_phase(Phase::TestingConnection, self.tested(session, untested, pause))
                    .await
            }
            Certified::NoTest(tested) => Ok(tested),
        }
    }

    /// Step 5. The members, too, where they are known already.
    async fn signed(
        &self,
        claim: Claim,
        source: Source,
        pause: Duration,
    ) -> Result<(Signed, Option<Members>), ProvisioningError> {
        self.linger(pause).await;
        let (text, members) = match source {
            Source::Sealed(opened) => {
                let text = self.adapters().envelope.verify(opened);
                let text =
                    text.map_err(|fault| ProvisioningError::from(ErrorCode::SignatureInvalid).with_cause(fault.cause))?;
                (text, None)
            }
            #[cfg(feature = "simulation")]
            Source::Simulated { members, .. } => (
                zmon_domain::payload::SignedText::after_verification(Default::default()),
                Some(members),
            ),
        };
        Ok((claim.signed(text), members))
    }

    /// Steps 6 to 9.
    async fn paired(
        &self,
        session: SessionId,
        signed: Signed,
        members: Option<Members>,
        pause: Duration,
    ) -> Result<Paired, ProvisioningError> {
        self.advance(&mut *self.held.lock().await, Event::SignatureVerified(session))
            .await?;
        self.linger(pause).await;
        let envelope = &self.adapters().envelope;
        let members = members.map_or_else(|| envelope.members(signed.text()), Ok)?;
        let addressed = signed.parsed(members)?.addressed_to(&self.profile.device_id)?;
        let time = self.time_view(&*self.held.lock().await);
        addressed.in_time(time)?.paired()
    }

    /// Step 10.
    async fn certified(
        &self,
        session: SessionId,
        paired: Paired,
        pause: Duration,
    ) -> Result<Certified, ProvisioningError> {
        self.advance(&mut *self.held.lock().await, Event::PayloadAccepted(session))
            .await?;
        self.linger(pause).await;
        let expected = paired.expectation();
        let bundle = CertificateBundle {
            payload: paired.payload(),
            at: expected.now,
            synchronised: expected.synchronised,
        };
        let facts = self.adapters().certificates.examine(bundle);
        paired.certified(&facts)
    }

    /// Step 11: the server answers.
    async fn tested(
        &self,
        session: SessionId,
        untested: Untested,
        pause: Duration,
    ) -> Result<Tested, ProvisioningError> {
        self.advance(&mut *self.held.lock().await, Event::ConnectionTestBegun(session))
            .await?;
        self.linger(pause).await;
        let reached = self.adapters().connection.reach(untested.target()).await?;
        Ok(untested.tested(reached))
    }

    /// Holds a phase up for whoever looks at the screen; no time at all for what comes from a station.
    async fn linger(&self, pause: Duration) {
        if !pause.is_zero() {
            let clock = &self.adapters().clock;
            clock.sleep_until(clock.monotonic().plus(pause)).await;
        }
    }

    /// Step 11: returns when a person has accepted.
    async fn confirmed(&self, unconfirmed: Unconfirmed, arrival: Arrival) -> Result<Installing, ProvisioningError> {
        let (asking, answer) = oneshot::channel();
        let event = Event::ConfirmationAsked {
            unconfirmed: Box::new(unconfirmed),
            sender: arrival.sender,
            body_sha256: arrival.digest,
        };
        {
            let mut held = self.held.lock().await;
            self.advance(&mut held, event).await?;
            held.asking = Some(asking);
        }
        answer
            .await
            .unwrap_or_else(|_| Err(broken("nobody is left to pass on an answer")))
    }

    /// Step 12 begins.
    async fn approve(&self, approved: Approved, body_sha256: Sha256Digest) -> Result<Installing, ProvisioningError> {
        let wall = self.adapters().clock.wall().now;
        let event = Event::PayloadApproved {
            approved: Box::new(approved),
            wall,
            body_sha256,
        };
        let to_do = self.advance(&mut *self.held.lock().await, event).await?;
        to_do.install.ok_or_else(|| ErrorCode::UnknownError.into())
    }

    /// Step 12. Once it has begun, the outcome is what the store says.
    async fn install(
        &self,
        (installation, entries): Installing,
        body_sha256: Sha256Digest,
    ) -> Result<InstalledConfiguration, ProvisioningError> {
        let storing = AssertUnwindSafe(self.store_installation(&installation, &entries)).catch_unwind();
        let stored = async { storing.await.unwrap_or_else(|_| Err(broken("the store panicked"))) };
        let stored = self.in_phase(Phase::Applying, stored).await;

        let mut held = self.held.lock().await;
        match self.settle(stored, body_sha256, &mut held).await {
            Ok(installed) => {
                held.time_floor = Some(installation.time_floor());
                self.advance(&mut held, Event::Installed(Box::new(installed.clone())))
                    .await?;
                Ok(installed)
            }
            Err(fault) => {
                self.advance(&mut held, Event::InstallationFailed(fault.clone()))
                    .await?;
                Err(fault)
            }
        }
    }

    async fn store_installation(
        &self,
        installation: &Installation,
        entries: &[AuditEntry],
    ) -> Result<InstalledConfiguration, ProvisioningError> {
        let seal = |audit| {
            let claims = ReceiptClaims {
                device_id: installation.settings().device_id.clone(),
                body_sha256: installation.body_sha256(),
                certificate_sha256: installation.certificates().leaf().sha256,
                completed_at: installation.completed_at(),
                audit,
            };
            self.adapters()
                .envelope
                .sign_receipt(&claims, &installation.credentials().client_private_key)
        };
        Ok(self.adapters().store.install(installation, entries, &seal).await?)
    }

    /// A fault of the store may come after its commit: then the payload is installed all the same.
    async fn settle(
        &self,
        stored: Result<InstalledConfiguration, ProvisioningError>,
        body_sha256: Sha256Digest,
        held: &mut Held,
    ) -> Result<InstalledConfiguration, ProvisioningError> {
        let fault = match stored {
            Ok(installed) => return Ok(installed),
            Err(fault) => fault,
        };
        error!(
            cause = fault.cause(),
            "the installation failed; reading back what the store holds"
        );
        match self.adapters().store.load().await.map(|stored| stored.persisted) {
            Ok(Persisted::Provisioned(installed)) if installed.body_sha256 == body_sha256 => Ok(*installed),
            Ok(_) => Err(fault),
            Err(unreadable) => {
                warn!(cause = unreadable.cause, "the store cannot be read back");
                held.storage = Some(StorageWarning::StatusUncertain);
                Err(fault)
            }
        }
    }
}

fn broken(cause: &str) -> ProvisioningError {
    ProvisioningError::from(ErrorCode::UnknownError).with_cause(cause)
}
