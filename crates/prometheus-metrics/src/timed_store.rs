//! A store of which every access is timed.

use std::sync::Arc;

use zmon_domain::audit::{AuditEntry, AuditHead, AuditRecord, AuditVerdict};
use zmon_domain::checks::Installation;
use zmon_domain::result::{ActiveConfiguration, ActiveCredentials, DestructionRecord, InstalledConfiguration};
use zmon_domain::status::{PersistedStatus, Retirement};
use zmon_domain::time::{Monotonic, Timestamp};
use zmon_ports::{
    AuditStore, Clock, ConfigurationStore, ProvisioningStore, SealDestruction, SealReceipt, StoreFault, StoredState,
};

use crate::metrics::PrometheusMetrics;

macro_rules! operations {
    ($($operation:ident = $name:literal,)*) => {
        /// A method of the store's ports.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Operation { $($operation,)* }

        impl Operation {
            pub(crate) const ALL: &[Self] = &[$(Self::$operation,)*];

            pub(crate) const fn as_str(self) -> &'static str {
                match self { $(Self::$operation => $name,)* }
            }
        }
    };
}

operations! {
    Load = "load",
    Record = "record",
    Install = "install",
    Erase = "erase",
    SetRetirement = "set_retirement",
    CountPinMiss = "count_pin_miss",
    ForgetPinMisses = "forget_pin_misses",
    RotateKey = "rotate_key",
    DestroyFormerKey = "destroy_former_key",
    SetTimeFloor = "set_time_floor",
    ActiveConfiguration = "active_configuration",
    ActiveCredentials = "active_credentials",
    AuditHead = "audit_head",
    AuditRecords = "audit_records",
    VerifyAudit = "verify_audit",
}

/// The store `S`, timed by the clock `C`.
#[derive(Debug)]
pub struct TimedStore<S, C> {
    store: S,
    clock: C,
    metrics: Arc<PrometheusMetrics>,
}

impl<S, C: Clock> TimedStore<S, C> {
    /// Stands in front of `store`.
    pub const fn new(store: S, clock: C, metrics: Arc<PrometheusMetrics>) -> Self {
        Self { store, clock, metrics }
    }

    fn note(&self, operation: Operation, begun: Monotonic, failed: bool) {
        let took = self.clock.monotonic().since(begun);
        self.metrics.note_store(operation.as_str(), took, failed);
    }
}

/// One access.
macro_rules! timed {
    ($timed:ident, $operation:path, $access:expr) => {{
        let begun = $timed.clock.monotonic();
        let result = $access.await;
        $timed.note($operation, begun, result.is_err());
        result
    }};
}

impl<S: ProvisioningStore, C: Clock> ProvisioningStore for TimedStore<S, C> {
    async fn load(&self) -> Result<StoredState, StoreFault> {
        timed!(self, Operation::Load, self.store.load())
    }

    async fn record(
        &self,
        at: Timestamp,
        entries: &[AuditEntry],
        status: Option<PersistedStatus>,
    ) -> Result<AuditHead, StoreFault> {
        timed!(self, Operation::Record, self.store.record(at, entries, status))
    }

    async fn install(
        &self,
        installation: &Installation,
        entries: &[AuditEntry],
        seal: SealReceipt<'_>,
    ) -> Result<InstalledConfiguration, StoreFault> {
        timed!(
            self,
            Operation::Install,
            self.store.install(installation, entries, seal)
        )
    }

    async fn erase(
        &self,
        at: Timestamp,
        entries: &[AuditEntry],
        retire: bool,
        seal: SealDestruction<'_>,
    ) -> Result<DestructionRecord, StoreFault> {
        timed!(self, Operation::Erase, self.store.erase(at, entries, retire, seal))
    }

    async fn set_retirement(
        &self,
        at: Timestamp,
        retirement: Option<Retirement>,
        entries: &[AuditEntry],
    ) -> Result<(), StoreFault> {
        timed!(
            self,
            Operation::SetRetirement,
            self.store.set_retirement(at, retirement, entries)
        )
    }

    async fn count_pin_miss(&self) -> Result<u32, StoreFault> {
        timed!(self, Operation::CountPinMiss, self.store.count_pin_miss())
    }

    async fn forget_pin_misses(&self, at: Timestamp, entries: &[AuditEntry]) -> Result<(), StoreFault> {
        timed!(
            self,
            Operation::ForgetPinMisses,
            self.store.forget_pin_misses(at, entries)
        )
    }

    async fn rotate_key(&self, at: Timestamp, entries: &[AuditEntry]) -> Result<(), StoreFault> {
        timed!(self, Operation::RotateKey, self.store.rotate_key(at, entries))
    }

    async fn destroy_former_key(&self) -> Result<bool, StoreFault> {
        timed!(self, Operation::DestroyFormerKey, self.store.destroy_former_key())
    }

    async fn set_time_floor(
        &self,
        at: Timestamp,
        floor: Option<Timestamp>,
        entries: &[AuditEntry],
    ) -> Result<(), StoreFault> {
        timed!(
            self,
            Operation::SetTimeFloor,
            self.store.set_time_floor(at, floor, entries)
        )
    }
}

impl<S: ConfigurationStore, C: Clock> ConfigurationStore for TimedStore<S, C> {
    async fn active_configuration(&self) -> Result<Option<ActiveConfiguration>, StoreFault> {
        timed!(self, Operation::ActiveConfiguration, self.store.active_configuration())
    }

    async fn active_credentials(&self) -> Result<Option<ActiveCredentials>, StoreFault> {
        timed!(self, Operation::ActiveCredentials, self.store.active_credentials())
    }
}

impl<S: AuditStore, C: Clock> AuditStore for TimedStore<S, C> {
    async fn audit_head(&self) -> Result<AuditHead, StoreFault> {
        timed!(self, Operation::AuditHead, self.store.audit_head())
    }

    async fn audit_records(&self, from: u64, limit: u32) -> Result<Vec<AuditRecord>, StoreFault> {
        timed!(self, Operation::AuditRecords, self.store.audit_records(from, limit))
    }

    async fn verify_audit(&self) -> Result<AuditVerdict, StoreFault> {
        timed!(self, Operation::VerifyAudit, self.store.verify_audit())
    }
}
