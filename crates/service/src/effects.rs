//! Carries out what the state machine decided.

use std::collections::BTreeMap;
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, broadcast, oneshot};
use tracing::{error, info, warn};
use zmon_domain::audit::{AuditEntry, AuditEvent, RepeatLedger};
use zmon_domain::checks::{Claim, Installation};
use zmon_domain::error::{ErrorCode, ProvisioningError};
use zmon_domain::machine::{Effect, Event, Persisted, State, step};
use zmon_domain::pairing::SessionId;
use zmon_domain::qr::QrCodeData;
use zmon_domain::result::{Destruction, DestructionClaims, DestructionRecord};
use zmon_domain::secret::SecretText;
use zmon_domain::signal::ProvisioningSignal;
use zmon_domain::status::{Phase, Retirement};
use zmon_domain::time::{TimeView, Timestamp};
use zmon_ports::{
    Clock, Measurement, Measurements, PairingListener, PayloadEnvelope, ProvisioningStore, StorageWarning, StoredState,
};

use crate::adapters::{AdaptersOf, DeviceProfile, Ports};
use crate::administration::Administration;
use crate::phases;

/// Everything that one device's use cases share.
pub(crate) struct Core<P: Ports> {
    pub(crate) ports: P,
    pub(crate) profile: DeviceProfile,
    /// Held while an event's effects are carried out, so that effects happen in the order of the decisions.
    pub(crate) held: tokio::sync::Mutex<Held>,
    pub(crate) signals: broadcast::Sender<ProvisioningSignal>,
    /// Wakes the timer: deadlines may have changed.
    pub(crate) deadlines_changed: Notify,
    /// One PIN at a time.
    pub(crate) administration: tokio::sync::Mutex<Administration>,
    refusals: Mutex<BTreeMap<ErrorCode, u32>>,
    /// What local programs and people may repeat as often as they like.
    repeats: Mutex<RepeatLedger>,
}

pub(crate) struct Held {
    pub(crate) state: State,
    /// What the screen shows; gone with its session.
    pub(crate) qr_code: Option<QrCodeData>,
    pub(crate) time_floor: Option<Timestamp>,
    /// The record of the last destruction.
    pub(crate) destruction: Option<DestructionRecord>,
    /// An administrator retired the device.
    pub(crate) retired: bool,
    pub(crate) storage: Option<StorageWarning>,
    pub(crate) stopping: bool,
    /// The use case that waits for a person's answer.
    pub(crate) asking: Option<oneshot::Sender<Answer>>,
}

/// What the use case that waits for a person hears: what is to be installed, or why nothing is.
pub(crate) type Answer = Result<Installing, ProvisioningError>;

/// An installation, with its audit entries.
pub(crate) type Installing = (Box<Installation>, Vec<AuditEntry>);

/// What is left for the use case to do after the other effects were carried out.
#[derive(Default)]
pub(crate) struct ToDo {
    pub(crate) check: Option<Claim>,
    pub(crate) install: Option<Installing>,
    /// The first effect that failed.
    pub(crate) fault: Option<ProvisioningError>,
}

impl<P: Ports> Core<P> {
    pub(crate) fn new(ports: P, profile: DeviceProfile, stored: StoredState) -> Self {
        let administration = Administration::after_start(stored.pin_misses, ports.adapters().clock.monotonic());
        Self {
            ports,
            profile,
            held: tokio::sync::Mutex::new(Held {
                state: State::from(stored.persisted),
                qr_code: None,
                time_floor: stored.time_floor,
                destruction: stored.destruction,
                retired: stored.retirement.is_some(),
                storage: None,
                stopping: false,
                asking: None,
            }),
            administration: tokio::sync::Mutex::new(administration),
            signals: broadcast::channel(crate::events::BACKLOG).0,
            deadlines_changed: Notify::new(),
            refusals: Mutex::default(),
            repeats: Mutex::default(),
        }
    }

    pub(crate) fn adapters(&self) -> &AdaptersOf<P> {
        self.ports.adapters()
    }

    pub(crate) fn time_view(&self, held: &Held) -> TimeView {
        let release_date = self.profile.release_date;
        TimeView::new(
            self.adapters().clock.wall(),
            held.time_floor.unwrap_or(release_date),
            release_date,
        )
    }

    pub(crate) fn count_refusal(&self, code: ErrorCode) {
        self.note(Measurement::Refused(code));
        self.count_refusals(code, 1);
    }

    pub(crate) fn note(&self, measurement: Measurement) {
        self.adapters().measurements.note(measurement);
    }

    fn count_refusals(&self, code: ErrorCode, more: u32) {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        let count = refusals.entry(code).or_default();
        *count = count.saturating_add(more);
    }

    pub(crate) fn repeats(&self) -> MutexGuard<'_, RepeatLedger> {
        self.repeats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the machine know the time, and sees after the storage.
    pub(crate) async fn tick(&self, held: &mut Held) {
        self.tend_storage(held).await;
        // The event is never refused, and a fault of one of its effects is in the log.
        let _ = self.advance(held, Event::TimePassed).await;
    }

    /// Feeds the machine one event and carries out the effects.
    ///
    /// Fails where the machine refuses the event; the state is then as before.
    pub(crate) async fn advance(&self, held: &mut Held, event: Event) -> Result<ToDo, ProvisioningError> {
        let time_passed = matches!(event, Event::TimePassed);
        let was = held.state.status();
        let before = mem::replace(&mut held.state, State::from(Persisted::Unprovisioned));
        let next = step(before, event, self.adapters().clock.monotonic());
        held.state = next.state;
        if let Some(measurement) = phases::of_sessions(was, &held.state, time_passed) {
            self.note(measurement);
        }
        if held.state.session().is_none() {
            held.qr_code = None;
        }
        let mut to_do = ToDo::default();
        for effect in next.outcome? {
            if let Err(fault) = self.carry_out(effect, held, &mut to_do).await {
                error!(code = %fault.code(), cause = fault.cause(), "an effect could not be carried out");
                to_do.fault.get_or_insert(fault);
            }
        }
        // Whatever ends the wait for a person: an answer, the end of the minute, a cancellation, the stop.
        if held.state.phase() != Some(Phase::AwaitingConfirmation)
            && let Some(asking) = held.asking.take()
        {
            let failure = || held.state.failure().cloned().unwrap_or(ErrorCode::Cancelled.into());
            // A use case that is gone needs no answer.
            let _ = asking.send(to_do.install.take().ok_or_else(failure));
        }
        if !time_passed {
            self.deadlines_changed.notify_one();
        }
        Ok(to_do)
    }

    async fn carry_out(&self, effect: Effect, held: &mut Held, to_do: &mut ToDo) -> Result<(), ProvisioningError> {
        let at = self.time_view(held).now();
        let store = &self.adapters().store;
        match effect {
            Effect::Record(entries, status) => {
                store.record(at, &entries, status).await?;
            }
            Effect::SummariseRefusals(session) => {
                let refusals = mem::take(&mut *self.refusals.lock().unwrap_or_else(PoisonError::into_inner));
                let entries = summaries(&refusals, session);
                if !entries.is_empty()
                    && let Err(fault) = store.record(at, &entries, None).await
                {
                    // What strangers did stops nobody's act. They stay counted, and come with the next summary.
                    warn!(cause = fault.cause, "refused requests could not be recorded yet");
                    for (code, count) in refusals {
                        self.count_refusals(code, count);
                    }
                }
            }
            Effect::Check(claim) => to_do.check = Some(claim),
            Effect::Install(installation, entries) => to_do.install = Some((installation, entries)),
            Effect::Erase(destruction, mut entries) => {
                // What is removed was read so often until now.
                let repeated = self.repeats().end();
                entries.splice(0..0, repeated.iter().cloned());
                match self.erase(at, *destruction, &entries, held).await {
                    Ok(record) => held.destruction = Some(record),
                    Err(fault) => {
                        self.repeats().take_back(repeated);
                        return Err(fault);
                    }
                }
                held.time_floor = None;
                self.look_for_former_key(held).await;
            }
            Effect::Retire(entries) => {
                store.set_retirement(at, Some(Retirement::Begun), &entries).await?;
            }
            Effect::CloseListener => self.adapters().listener.close().await,
            Effect::Announce(signal) => {
                log(&signal);
                // Nobody listening is no fault.
                let _ = self.signals.send(signal);
            }
        }
        Ok(())
    }

    async fn erase(
        &self,
        at: Timestamp,
        destruction: Destruction,
        entries: &[AuditEntry],
        held: &mut Held,
    ) -> Result<DestructionRecord, ProvisioningError> {
        let store = &self.adapters().store;
        let retire = destruction.retired;
        let seal = |audit, key: &SecretText| {
            let claims = DestructionClaims {
                device_id: self.profile.device_id.clone(),
                destruction: destruction.clone(),
                destroyed_at: at,
                audit,
            };
            self.adapters().envelope.sign_destruction(&claims, key)
        };
        let fault = match store.erase(at, entries, retire, &seal).await {
            Ok(record) => return Ok(record),
            Err(fault) => fault,
        };
        match store.load().await.map(|stored| (stored.persisted, stored.destruction)) {
            // A fault after the commit still means that everything is gone.
            Ok((Persisted::Deprovisioned, Some(record))) => Ok(record),
            Ok(_) => Err(fault.into()),
            Err(unreadable) => {
                error!(cause = unreadable.cause, "the store cannot be read back");
                held.storage = Some(StorageWarning::StatusUncertain);
                let why = "The storage failed, and it is not known whether what was installed is gone.";
                Err(ProvisioningError::new(ErrorCode::StorageError, why).with_cause(fault.cause))
            }
        }
    }
}

/// One entry for each code.
fn summaries(refusals: &BTreeMap<ErrorCode, u32>, session: Option<SessionId>) -> Vec<AuditEntry> {
    let summary = |(code, count): (&ErrorCode, &u32)| {
        let entry = AuditEntry::new(AuditEvent::RequestsRefused).with_code(*code);
        let entry = entry.with_detail(format!("{count} refused before their envelope opened"));
        session.map_or(entry.clone(), |session| entry.in_session(session))
    };
    refusals.iter().map(summary).collect()
}

fn log(signal: &ProvisioningSignal) {
    match signal {
        ProvisioningSignal::StatusChanged { status, phase } => {
            info!(%status, phase = phase.map(Phase::as_str), "status changed");
        }
        ProvisioningSignal::ProvisioningFailed(failure) => {
            info!(code = %failure.code(), reason = failure.message(), cause = failure.cause(), "provisioning failed");
        }
        ProvisioningSignal::QrCodeGenerated { session, .. } => info!(%session, "pairing opened"),
        ProvisioningSignal::ConfigurationReceived { session } => info!(%session, "configuration received"),
        ProvisioningSignal::QrCodeExpired => info!("qr code expired"),
        // The use case says it, with its timing.
        ProvisioningSignal::ProvisioningCompleted(_) => {}
    }
}
