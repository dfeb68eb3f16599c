//! What is read out of the store: by the monitor application, and by whoever looks at the audit.

use zmon_domain::audit::{AuditHead, AuditRecord, AuditVerdict};
use zmon_domain::checks::Credentials;
use zmon_domain::result::{ActiveConfiguration, ActiveCredentials};
use zmon_domain::status::PersistedStatus;
use zmon_ports::{AuditStore, ConfigurationStore, StoreFault};

use crate::audit::{self, Verification};
use crate::installed;
use crate::store::{SqlcipherStore, read_status};

impl SqlcipherStore {
    /// The installed certificates and the private key; none where nothing is installed.
    ///
    /// # Errors
    /// Where the store cannot be read or is incomplete.
    pub async fn credentials(&self) -> Result<Option<Credentials>, StoreFault> {
        Ok(self.active_credentials().await?.map(|active| active.credentials))
    }

    /// [`AuditStore::verify_audit`].
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn verify_audit(&self) -> Result<AuditVerdict, StoreFault> {
        AuditStore::verify_audit(self).await
    }

    /// [`AuditStore::audit_records`].
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn audit_records(&self, from: u64, limit: u32) -> Result<Vec<AuditRecord>, StoreFault> {
        AuditStore::audit_records(self, from, limit).await
    }
}

impl ConfigurationStore for SqlcipherStore {
    async fn active_configuration(&self) -> Result<Option<ActiveConfiguration>, StoreFault> {
        let read = async {
            let mut transaction = self.begin().await?;
            let connection = &mut transaction.connection;
            let active = match read_status(connection).await? {
                PersistedStatus::Provisioned => Some(installed::read_active(connection).await?),
                PersistedStatus::Unprovisioned | PersistedStatus::Deprovisioned => None,
            };
            transaction.commit(active).await
        };
        read.await.map_err(self.fault("read the configuration"))
    }

    async fn active_credentials(&self) -> Result<Option<ActiveCredentials>, StoreFault> {
        let read = async {
            let mut transaction = self.begin().await?;
            let connection = &mut transaction.connection;
            let active = match read_status(connection).await? {
                PersistedStatus::Provisioned => Some(ActiveCredentials {
                    completed_at: installed::read_completion(connection).await?.0,
                    credentials: installed::read_credentials(connection).await?,
                }),
                PersistedStatus::Unprovisioned | PersistedStatus::Deprovisioned => None,
            };
            transaction.commit(active).await
        };
        read.await.map_err(self.fault("read the credentials"))
    }
}

impl AuditStore for SqlcipherStore {
    async fn audit_head(&self) -> Result<AuditHead, StoreFault> {
        let read = async {
            let mut transaction = self.begin().await?;
            let head = audit::recorded_head(&mut transaction.connection).await?;
            transaction.commit(head).await
        };
        read.await.map_err(self.fault("read the audit"))
    }

    async fn audit_records(&self, from: u64, limit: u32) -> Result<Vec<AuditRecord>, StoreFault> {
        let read = async {
            let mut transaction = self.begin().await?;
            let records = audit::read_from(&mut transaction.connection, from, limit).await?;
            transaction.commit(records).await
        };
        read.await.map_err(self.fault("read the audit"))
    }

    async fn verify_audit(&self) -> Result<AuditVerdict, StoreFault> {
        let walk = async {
            let mut verification = Verification::new();
            loop {
                let mut transaction = self.begin().await?;
                let verdict = verification.page(&mut transaction.connection).await?;
                if let Some(verdict) = transaction.commit(verdict).await? {
                    return Ok(verdict);
                }
            }
        };
        walk.await.map_err(self.fault("verify the audit"))
    }
}
