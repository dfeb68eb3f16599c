//! Use cases: give the monitor application what is installed, and let people look at the audit.

use tracing::{error, info};
use zmon_domain::access::{Peer, ReadOf};
use zmon_domain::audit::{AuditEntry, AuditEvent, AuditVerdict, RepeatLedger, Subject};
use zmon_domain::error::{ErrorCode, ProvisioningError};
use zmon_domain::machine::Event;
use zmon_domain::result::{ActiveConfiguration, ActiveCredentials};
use zmon_domain::status::ProvisioningStatus;
use zmon_domain::time::{Monotonic, Timestamp};
use zmon_ports::{
    AuditAccess, AuditPage, AuditStore, Clock, ConfigurationAccess, ConfigurationStore, Health, HealthAccess,
    ListenerHealth, Measurements, MetricsAccess, PairingListener, ProvisioningService, ProvisioningStore, StoreFault,
};

use crate::adapters::Ports;
use crate::effects::{Core, Held};
use crate::provisioning::CentralStationProvisioningService;

impl<P: Ports> Core<P> {
    /// Records what the ledger gives.
    pub(crate) async fn record_repeats(
        &self,
        held: &Held,
        of: impl FnOnce(&mut RepeatLedger, Monotonic) -> Vec<AuditEntry> + Send,
    ) {
        let now = self.adapters().clock.monotonic();
        let entries = of(&mut self.repeats(), now);
        if !entries.is_empty() {
            self.record_or_keep(self.time_view(held).now(), entries).await;
        }
    }

    /// A store that cannot take the entries now is given them again later: a full disk does not keep the monitor application
    /// from its server.
    pub(crate) async fn record_or_keep(&self, at: Timestamp, entries: Vec<AuditEntry>) {
        if let Err(fault) = self.adapters().store.record(at, &entries, None).await {
            let lost = self.repeats().take_back(entries);
            error!(
                cause = fault.cause,
                lost, "the audit could not be written; it is tried again later"
            );
        }
    }

    /// Lets the machine decide about an act and carries it out; a refusal is recorded.
    pub(crate) async fn act(&self, held: &mut Held, act: &'static str, event: Event) -> Result<(), ProvisioningError> {
        self.tick(held).await;
        let outcome = self.advance(held, event).await;
        let outcome = outcome.and_then(|to_do| to_do.fault.map_or(Ok(()), Err));
        self.record_refused_act(held, act, &outcome).await;
        outcome
    }

    /// An act at the screen that was refused is a record.
    pub(crate) async fn record_refused_act<T: Sync>(
        &self,
        held: &Held,
        act: &'static str,
        outcome: &Result<T, ProvisioningError>,
    ) {
        let Err(refusal) = outcome else { return };
        let entry = AuditEntry::new(AuditEvent::ActRefused)
            .with_code(refusal.code())
            .with_detail(act);
        self.record_repeats(held, |ledger, now| ledger.note(Subject::Act(act), entry, now))
            .await;
        self.deadlines_changed.notify_one();
    }

    /// Something to be read while nothing else happens: what is installed does not change between record and answer.
    async fn read<T>(
        &self,
        reader: Option<(ReadOf, Peer)>,
        read: impl Future<Output = Result<Option<T>, StoreFault>> + Send,
    ) -> Result<T, ProvisioningError> {
        let held = self.held.lock().await;
        if held.state.installed().is_none() {
            let why = "There is nothing to read: the device is not provisioned.";
            return Err(ProvisioningError::new(ErrorCode::NotProvisioned, why));
        }
        if let Some((what, peer)) = reader {
            info!(
                ?what,
                uid = peer.uid,
                gid = peer.gid,
                pid = peer.pid,
                "read by a local program"
            );
            self.record_repeats(&held, |ledger, now| {
                ledger.note(Subject::User(peer.uid), what.entry(peer), now)
            })
            .await;
            self.deadlines_changed.notify_one();
        }
        read.await?.ok_or_else(|| {
            ProvisioningError::from(ErrorCode::StorageError).with_cause("the store says that nothing is installed")
        })
    }
}

impl<P: Ports> ConfigurationAccess for CentralStationProvisioningService<P> {
    async fn read_configuration(&self, reader: Peer) -> Result<ActiveConfiguration, ProvisioningError> {
        self.to_its_end(move |core| async move {
            let reader = Some((ReadOf::Configuration, reader));
            core.read(reader, core.adapters().store.active_configuration()).await
        })
        .await
    }

    async fn read_credentials(&self, reader: Peer) -> Result<ActiveCredentials, ProvisioningError> {
        self.to_its_end(move |core| async move {
            let reader = Some((ReadOf::Credentials, reader));
            core.read(reader, core.adapters().store.active_credentials()).await
        })
        .await
    }

    async fn show_configuration(&self) -> Result<ActiveConfiguration, ProvisioningError> {
        let store = &self.0.adapters().store;
        self.0.read(None, store.active_configuration()).await
    }
}

impl<P: Ports> HealthAccess for CentralStationProvisioningService<P> {
    async fn health(&self) -> Health {
        let adapters = self.0.adapters();
        let store_open = adapters.store.audit_head().await.is_ok();
        // Held, so that nobody opens or closes the listener in between.
        let held = self.0.held.lock().await;
        let listener = match (adapters.listener.is_open().await, held.state.status()) {
            (true, _) => ListenerHealth::Open,
            (false, ProvisioningStatus::ReadyToPair | ProvisioningStatus::PairingReceived) => ListenerHealth::Missing,
            (false, _) => ListenerHealth::Closed,
        };
        Health {
            store_open,
            listener,
            time_synchronised: adapters.clock.wall().synchronised,
        }
    }
}

impl<P: Ports> MetricsAccess for CentralStationProvisioningService<P> {
    async fn metrics(&self) -> String {
        let report = self.get_status().await;
        self.0.adapters().measurements.exposition(&report)
    }
}

impl<P: Ports> AuditAccess for CentralStationProvisioningService<P> {
    async fn audit_page(&self, from: u64, limit: u32) -> Result<AuditPage, ProvisioningError> {
        let store = &self.0.adapters().store;
        Ok(AuditPage {
            head: store.audit_head().await?,
            records: store.audit_records(from, limit).await?,
        })
    }

    async fn verify_audit(&self) -> Result<AuditVerdict, ProvisioningError> {
        Ok(self.0.adapters().store.verify_audit().await?)
    }
}
