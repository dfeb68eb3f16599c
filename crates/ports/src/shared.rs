//! A port behind an `Arc` is that port, so that whoever puts the device together can keep a hold on an adapter that the
//! service owns.

use std::net::IpAddr;
use std::sync::Arc;

use zmon_domain::audit::{AuditEntry, AuditHead, AuditRecord, AuditVerdict};
use zmon_domain::checks::Installation;
use zmon_domain::pairing::PairingCode;
use zmon_domain::result::{ActiveConfiguration, ActiveCredentials, DestructionRecord, InstalledConfiguration};
use zmon_domain::status::{PersistedStatus, Retirement};
use zmon_domain::time::{Monotonic, Timestamp, WallClock};

use crate::driven::{Clock, ListenerFault, ListenerOpened, PairingListener};
use crate::driving::PairingInbound;
use crate::store::{
    AuditStore, ConfigurationStore, ProvisioningStore, SealDestruction, SealReceipt, StoreFault, StoredState,
};

impl<T: ProvisioningStore> ProvisioningStore for Arc<T> {
    async fn load(&self) -> Result<StoredState, StoreFault> {
        T::load(self).await
    }

    async fn record(
        &self,
        at: Timestamp,
        entries: &[AuditEntry],
        status: Option<PersistedStatus>,
    ) -> Result<AuditHead, StoreFault> {
        T::record(self, at, entries, status).await
    }

    async fn install(
        &self,
        installation: &Installation,
        entries: &[AuditEntry],
        seal: SealReceipt<'_>,
    ) -> Result<InstalledConfiguration, StoreFault> {
        T::install(self, installation, entries, seal).await
    }

    async fn erase(
        &self,
        at: Timestamp,
        entries: &[AuditEntry],
        retire: bool,
        seal: SealDestruction<'_>,
    ) -> Result<DestructionRecord, StoreFault> {
        T::erase(self, at, entries, retire, seal).await
    }

    async fn set_retirement(
        &self,
        at: Timestamp,
        retirement: Option<Retirement>,
        entries: &[AuditEntry],
    ) -> Result<(), StoreFault> {
        T::set_retirement(self, at, retirement, entries).await
    }

    async fn count_pin_miss(&self) -> Result<u32, StoreFault> {
        T::count_pin_miss(self).await
    }

    async fn forget_pin_misses(&self, at: Timestamp, entries: &[AuditEntry]) -> Result<(), StoreFault> {
        T::forget_pin_misses(self, at, entries).await
    }

    async fn rotate_key(&self, at: Timestamp, entries: &[AuditEntry]) -> Result<(), StoreFault> {
        T::rotate_key(self, at, entries).await
    }

    async fn destroy_former_key(&self) -> Result<bool, StoreFault> {
        T::destroy_former_key(self).await
    }

    async fn set_time_floor(
        &self,
        at: Timestamp,
        floor: Option<Timestamp>,
        entries: &[AuditEntry],
    ) -> Result<(), StoreFault> {
        T::set_time_floor(self, at, floor, entries).await
    }
}

impl<T: ConfigurationStore> ConfigurationStore for Arc<T> {
    async fn active_configuration(&self) -> Result<Option<ActiveConfiguration>, StoreFault> {
        T::active_configuration(self).await
    }

    async fn active_credentials(&self) -> Result<Option<ActiveCredentials>, StoreFault> {
        T::active_credentials(self).await
    }
}

impl<T: AuditStore> AuditStore for Arc<T> {
    async fn audit_head(&self) -> Result<AuditHead, StoreFault> {
        T::audit_head(self).await
    }

    async fn audit_records(&self, from: u64, limit: u32) -> Result<Vec<AuditRecord>, StoreFault> {
        T::audit_records(self, from, limit).await
    }

    async fn verify_audit(&self) -> Result<AuditVerdict, StoreFault> {
        T::verify_audit(self).await
    }
}

impl<T: PairingListener> PairingListener for Arc<T> {
    async fn open<S: PairingInbound>(
        &self,
        inbound: S,
        address: IpAddr,
        pairing_code: PairingCode,
    ) -> Result<ListenerOpened, ListenerFault> {
        T::open(self, inbound, address, pairing_code).await
    }

    async fn close(&self) {
        T::close(self).await;
    }

    async fn is_open(&self) -> bool {
        T::is_open(self).await
    }
}

impl<T: Clock> Clock for Arc<T> {
    fn monotonic(&self) -> Monotonic {
        T::monotonic(self)
    }

    fn wall(&self) -> WallClock {
        T::wall(self)
    }

    async fn sleep_until(&self, deadline: Monotonic) {
        T::sleep_until(self, deadline).await;
    }
}
