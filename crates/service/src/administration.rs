//! Use cases: what an administrator does, and what stands between a guessed PIN and all of it.

use tracing::{info, warn};
use zmon_domain::admin::{AdministratorAct, AdministratorAuthorised, AdministratorRequest, PinLock};
use zmon_domain::audit::{AuditEntry, AuditEvent};
use zmon_domain::error::{ErrorCode, ProvisioningError};
use zmon_domain::machine::Event;
use zmon_domain::status::ProvisioningStatus;
use zmon_domain::time::{Monotonic, Timestamp};
use zmon_ports::{AdministratorCheck, Clock, ProvisioningStore, StoreFault};

use crate::adapters::Ports;
use crate::effects::Core;
use crate::retirement;

/// How many wrong PINs are allowed, and when. What has to survive a restart is in the store.
pub(crate) struct Administration {
    lock: PinLock,
    /// Requests since the lock began. The first is a record of its own; the others become one, so that nobody can fill
    /// the store with them.
    refused_while_locked: u32,
}

impl Administration {
    /// After a restart the whole delay begins again: there is no clock that tells how long the device was off.
    pub(crate) fn after_start(misses: u32, now: Monotonic) -> Self {
        Self {
            lock: PinLock::after(misses, now),
            refused_while_locked: 0,
        }
    }

    /// One record for what was refused while it was locked, beyond the first.
    fn take_summary(&mut self) -> Option<AuditEntry> {
        let unrecorded = std::mem::take(&mut self.refused_while_locked).checked_sub(1)?;
        (unrecorded > 0).then(|| {
            AuditEntry::new(AuditEvent::AdministratorRefused)
                .with_code(ErrorCode::AdminLocked)
                .with_detail(format!("{unrecorded} more while no PIN was looked at"))
        })
    }
}

impl<P: Ports> Core<P> {
    pub(crate) async fn deprovision(&self, request: &AdministratorRequest) -> Result<(), ProvisioningError> {
        let by = self.authorise(request, AdministratorAct::Deprovision).await?;
        let mut held = self.held.lock().await;
        let event = Event::DeprovisioningRequested(by.clone());
        self.act(&mut held, AdministratorAct::Deprovision.as_str(), event)
            .await?;
        self.advance(&mut held, Event::Erased(by)).await?;
        info!(status = %ProvisioningStatus::Deprovisioned, "de-provisioned");
        Ok(())
    }

    pub(crate) async fn retire(&self, request: &AdministratorRequest) -> Result<(), ProvisioningError> {
        let by = self.authorise(request, AdministratorAct::Retire).await?;
        let mut held = self.held.lock().await;
        let event = Event::RetirementRequested(by.clone());
        self.act(&mut held, AdministratorAct::Retire.as_str(), event).await?;
        // From here on the device is retired, whatever becomes of the trust anchor: a start finishes what is left.
        held.retired = true;
        if held.state.installed().is_some() {
            self.advance(&mut held, Event::Erased(by)).await?;
        }
        info!(status = %held.state.status(), "retired");
        let at = self.time_view(&held).now();
        retirement::finish(&self.adapters().store, &self.adapters().anchor, at).await
    }

    pub(crate) async fn reset_time_floor(&self, request: &AdministratorRequest) -> Result<(), ProvisioningError> {
        let by = self.authorise(request, AdministratorAct::ResetTimeFloor).await?;
        let mut held = self.held.lock().await;
        let at = self.time_view(&held).now();
        let was = held.time_floor.unwrap_or(self.profile.release_date);
        let entry = AuditEntry::new(AuditEvent::TimeFloorReset).with_detail(format!(
            "by {}: from {} to {} ms since 1970",
            by.by(),
            was.as_millis(),
            self.profile.release_date.as_millis()
        ));
        self.adapters().store.set_time_floor(at, None, &[entry]).await?;
        held.time_floor = None;
        info!("the time floor is the release date again");
        Ok(())
    }

    /// One request at a time, so that many at once are no more guesses than one after the other.
    async fn authorise(
        &self,
        request: &AdministratorRequest,
        act: AdministratorAct,
    ) -> Result<AdministratorAuthorised, ProvisioningError> {
        let mut administration = self.administration.lock().await;
        let adapters = self.adapters();
        let at = self.now().await;
        let refused = |code, more: &str| {
            AuditEntry::new(AuditEvent::AdministratorRefused)
                .with_code(code)
                .with_detail(format!("{act}, {}{more}", request.by))
        };
        if let Some(wait) = administration.lock.remaining(adapters.clock.monotonic()) {
            let recorded = match administration.refused_while_locked {
                0 => adapters
                    .store
                    .record(at, &[refused(ErrorCode::AdminLocked, "")], None)
                    .await
                    .inspect_err(|fault| warn!(cause = fault.cause, "a refusal could not be recorded"))
                    .is_ok(),
                _ => true,
            };
            if recorded {
                administration.refused_while_locked = administration.refused_while_locked.saturating_add(1);
            }
            let seconds = wait.as_millis().div_ceil(1000);
            let why = format!("Too many wrong PINs; the next one is looked at in {seconds} s.");
            return Err(ProvisioningError::new(ErrorCode::AdminLocked, why).with_retry_after(wait));
        }
        // Durable before the PIN is looked at: neither a power cut nor a full disk gives a free guess.
        let misses = adapters.store.count_pin_miss().await?;
        let summary = administration.take_summary();
        let checked = adapters.administrators.authorise(&request.pin).await;
        let outcome = match checked {
            Ok(authorised) => {
                let authorised = authorised.asked_by(request.by);
                let entry = AuditEntry::new(AuditEvent::AdministratorAuthorised)
                    .with_detail(format!("{act}, by {}", authorised.by()));
                let entries: Vec<_> = summary.clone().into_iter().chain([entry]).collect();
                self.or_keep(summary, adapters.store.forget_pin_misses(at, &entries).await)?;
                return Ok(authorised);
            }
            Err(refusal) => refusal,
        };
        // Counted from now: the check takes its time.
        administration.lock = PinLock::after(misses, adapters.clock.monotonic());
        warn!(code = %outcome.code(), misses, "an administrator's act was refused");
        let entry = refused(outcome.code(), &format!("; miss {misses}"));
        let entries: Vec<_> = summary.clone().into_iter().chain([entry]).collect();
        self.or_keep(summary, adapters.store.record(at, &entries, None).await)?;
        Err(outcome)
    }

    /// Where the store did not take a summary, it is recorded with what comes next.
    fn or_keep<T>(&self, summary: Option<AuditEntry>, stored: Result<T, StoreFault>) -> Result<T, StoreFault> {
        if stored.is_err() {
            self.repeats().take_back(summary.into_iter().collect());
        }
        stored
    }

    /// At the stop: the service may not come back before the lock is over.
    pub(crate) async fn summarise_locked_refusals(&self) {
        let summary = self.administration.lock().await.take_summary();
        let at = self.now().await;
        if let Some(entry) = summary
            && let Err(fault) = self.adapters().store.record(at, &[entry], None).await
        {
            warn!(
                cause = fault.cause,
                "refused administrator's acts could not be recorded"
            );
        }
    }

    async fn now(&self) -> Timestamp {
        self.time_view(&*self.held.lock().await).now()
    }
}
