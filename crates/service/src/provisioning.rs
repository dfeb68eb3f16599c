//! `CentralStationProvisioningService`: the driving ports, implemented.

use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;

use tracing::{error, info};
use zmon_domain::access::Peer;
use zmon_domain::admin::AdministratorRequest;
use zmon_domain::audit::{AuditEntry, AuditEvent, RepeatLedger};
use zmon_domain::error::{ErrorCode, ProvisioningError};
use zmon_domain::identity::DeviceId;
use zmon_domain::machine::{Admission, Event};
use zmon_domain::pairing::PairingCode;
use zmon_domain::qr::QrCodeData;
use zmon_domain::result::ProvisioningResult;
use zmon_ports::{
    Clock, Measurement, PairingInbound, PairingListener, PendingConfirmation, ProvisioningService, ProvisioningStore,
    StatusReport,
};

use crate::adapters::{DeviceProfile, Ports};
use crate::effects::Core;
use crate::events::Subscription;

/// The production implementation of [`ProvisioningService`] (specification 4.1). A handle: clones share one device.
pub struct CentralStationProvisioningService<P: Ports>(pub(crate) Arc<Core<P>>);

impl<P: Ports> Clone for CentralStationProvisioningService<P> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<P: Ports> CentralStationProvisioningService<P> {
    /// Starts in the last persisted state. A session that was open before a restart is gone, and the audit says so.
    ///
    /// # Errors
    /// `StorageError` where the store cannot be read. A store that cannot be written does not keep a provisioned
    /// device from starting.
    pub async fn start(ports: P, profile: DeviceProfile) -> Result<Self, ProvisioningError> {
        let stored = ports.adapters().store.load().await?;
        let this = Self(Arc::new(Core::new(ports, profile, stored)));
        let status = this.0.held.lock().await.state.status();
        let entry = AuditEntry::new(AuditEvent::ServiceStarted)
            .with_detail(format!("in status {status}; a session does not survive a restart"));
        let at = this.0.time_view(&*this.0.held.lock().await).now();
        if let Err(fault) = this.0.adapters().store.record(at, &[entry], None).await {
            error!(cause = fault.cause, "the start could not be recorded");
        }
        // A crash may have come between a change of the key and the destruction of the former one.
        this.0.look_for_former_key(&mut *this.0.held.lock().await).await;
        info!(%status, "provisioning service started");
        Ok(this)
    }

    /// Runs the timer: ends sessions and grace periods when their time is over. Returns after [`Self::stop`].
    pub async fn drive(&self) {
        let core = &self.0;
        loop {
            let next = {
                let mut held = core.held.lock().await;
                if held.stopping {
                    return;
                }
                core.tick(&mut held).await;
                core.record_repeats(&held, RepeatLedger::due).await;
                let windows = core.repeats().next_deadline();
                let storage = core.storage_deadline(&held);
                let deadlines = held.state.next_deadline().into_iter();
                deadlines.chain(windows).chain(storage).min()
            };
            match next {
                Some(deadline) => tokio::select! {
                    () = core.adapters().clock.sleep_until(deadline) => {}
                    () = core.deadlines_changed.notified() => {}
                },
                None => core.deadlines_changed.notified().await,
            }
        }
    }

    /// Takes no more work, lets an installation that has begun finish, ends session and listener.
    pub async fn stop(&self) {
        let core = &self.0;
        let mut signals = core.signals.subscribe();
        loop {
            let mut held = core.held.lock().await;
            held.stopping = true;
            core.record_repeats(&held, |ledger, _| ledger.end()).await;
            let installing = core.advance(&mut held, Event::Stopping).await.is_err();
            drop(held);
            if !installing {
                break;
            }
            // The installation ends with a signal.
            let _ = signals.recv().await;
        }
        core.summarise_locked_refusals().await;
        core.adapters().listener.close().await;
        core.deadlines_changed.notify_one();
    }

    /// Runs a use case to its end, even where the caller stops waiting for it.
    pub(crate) async fn to_its_end<T, F>(
        &self,
        use_case: impl FnOnce(Arc<Core<P>>) -> F,
    ) -> Result<T, ProvisioningError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, ProvisioningError>> + Send + 'static,
    {
        match tokio::spawn(use_case(Arc::clone(&self.0))).await {
            Ok(outcome) => outcome,
            Err(panicked) => {
                error!(cause = %panicked, "a use case ended abnormally");
                Err(ErrorCode::UnknownError.into())
            }
        }
    }

    /// An act that needs the administrator's PIN.
    async fn administrative<F>(&self, act: impl FnOnce(Arc<Core<P>>) -> F) -> Result<(), ProvisioningError>
    where
        F: Future<Output = Result<(), ProvisioningError>> + Send + 'static,
    {
        self.to_its_end(act)
            .await
            .inspect_err(|refusal| self.0.note(Measurement::AdministratorRefused(refusal.code())))
    }

    async fn simple(&self, act: &'static str, event: Event) -> Result<(), ProvisioningError> {
        self.to_its_end(move |core| async move {
            let mut held = core.held.lock().await;
            core.act(&mut held, act, event).await
        })
        .await
    }
}

impl<P: Ports> ProvisioningService for CentralStationProvisioningService<P> {
    type Subscription = Subscription;

    async fn generate_provisioning_qr_code(
        &self,
        device_id: &DeviceId,
        device_ip: IpAddr,
    ) -> Result<QrCodeData, ProvisioningError> {
        let (handle, device_id) = (self.clone(), device_id.clone());
        self.to_its_end(|core| async move {
            let outcome = core.generate(handle, device_id, device_ip).await;
            if outcome.is_err() {
                let held = core.held.lock().await;
                core.record_refused_act(&held, "open pairing", &outcome).await;
            }
            outcome
        })
        .await
    }

    async fn apply_configuration(
        &self,
        payload: Vec<u8>,
        pairing_code: &PairingCode,
        sender: Option<IpAddr>,
    ) -> Result<ProvisioningResult, ProvisioningError> {
        let pairing_code = pairing_code.clone();
        self.to_its_end(|core| async move { core.apply(&payload, &pairing_code, sender).await })
            .await
    }

    async fn get_status(&self) -> StatusReport {
        let mut held = self.0.held.lock().await;
        self.0.tick(&mut held).await;
        let now = self.0.adapters().clock.monotonic();
        StatusReport {
            status: held.state.status(),
            phase: held.state.phase(),
            expires_in_seconds: held
                .state
                .session()
                .map(|session| session.deadline.remaining(now).as_secs()),
            confirmation: held.state.confirmation(now).map(|(request, left)| PendingConfirmation {
                request: request.clone(),
                expires_in_seconds: left.as_secs(),
            }),
            installed: held.state.installed().cloned(),
            failure: held.state.failure().cloned(),
            destruction: held.destruction.clone(),
            storage: held.storage,
        }
    }

    async fn deprovision_device(&self, request: AdministratorRequest) -> Result<(), ProvisioningError> {
        self.administrative(|core| async move { core.deprovision(&request).await })
            .await
    }

    async fn retire_device(&self, request: AdministratorRequest) -> Result<(), ProvisioningError> {
        self.administrative(|core| async move { core.retire(&request).await })
            .await
    }

    async fn reset_time_floor(&self, request: AdministratorRequest) -> Result<(), ProvisioningError> {
        self.administrative(|core| async move { core.reset_time_floor(&request).await })
            .await
    }

    async fn rotate_database_key(&self) -> Result<(), ProvisioningError> {
        self.to_its_end(|core| async move {
            let mut held = core.held.lock().await;
            if held.stopping {
                return Err(ErrorCode::ShuttingDown.into());
            }
            let entry = AuditEntry::new(AuditEvent::DatabaseKeyRotated).with_detail("by the running service");
            let at = core.time_view(&held).now();
            core.adapters().store.rotate_key(at, &[entry]).await?;
            info!("the database key was rotated");
            core.look_for_former_key(&mut held).await;
            Ok(())
        })
        .await
    }

    async fn cancel(&self) -> Result<(), ProvisioningError> {
        self.simple("cancel", Event::Cancelled).await
    }

    async fn answer_confirmation(&self, accept: bool, by: Option<Peer>) -> Result<(), ProvisioningError> {
        let wall = self.0.adapters().clock.wall().now;
        let event = Event::ConfirmationAnswered { accept, by, wall };
        self.simple("answer the confirmation", event).await
    }

    async fn acknowledge(&self) -> Result<(), ProvisioningError> {
        self.simple("acknowledge", Event::Acknowledged).await
    }

    async fn current_qr_code(&self) -> Option<QrCodeData> {
        let mut held = self.0.held.lock().await;
        self.0.tick(&mut held).await;
        held.qr_code.clone()
    }

    fn subscribe(&self) -> Subscription {
        Subscription(self.0.signals.subscribe())
    }
}

impl<P: Ports> PairingInbound for CentralStationProvisioningService<P> {
    async fn admit(&self) -> Result<Admission, ProvisioningError> {
        self.0.admit(|admission, _| admission).await
    }

    fn count_refusal(&self, code: ErrorCode) {
        self.0.count_refusal(code);
    }
}
