//! The store in memory.

use std::sync::{Arc, Mutex, PoisonError};

use zmon_domain::audit::{AuditEntry, AuditEvent, AuditHead, AuditRecord, AuditVerdict, AuditWalk};
use zmon_domain::checks::{Credentials, Installation};
use zmon_domain::machine::Persisted;
use zmon_domain::pairing::Sha256Digest;
use zmon_domain::result::{
    ActiveConfiguration, ActiveCredentials, CertificateTexts, DestructionRecord, InstalledConfiguration,
};
use zmon_domain::settings::{RecordedSettings, SettingChange};
use zmon_domain::status::{PersistedStatus, Retirement};
use zmon_domain::time::Timestamp;
use zmon_ports::{
    AuditStore, ConfigurationStore, ProvisioningStore, SealDestruction, SealReceipt, StoreFault, StoredState,
};

/// Keeps everything in memory, under the same contract as a real store. A handle: clones share one store.
#[derive(Clone, Debug)]
pub struct FakeStore(Arc<Mutex<Content>>);

#[derive(Clone, Debug)]
struct Content {
    status: PersistedStatus,
    installed: Option<(InstalledConfiguration, Credentials)>,
    time_floor: Option<Timestamp>,
    audit: Vec<(Timestamp, AuditEntry)>,
    records: Vec<AuditRecord>,
    change: Option<SettingChange>,
    key_rotations: u32,
    pin_misses: u32,
    destruction: Option<DestructionRecord>,
    retirement: Option<Retirement>,
    breakdown: Option<StoreFault>,
    /// How many writes the breakdown refused.
    refused: u32,
    /// Whether erasures and rotations leave the former key behind, and whether one is there.
    keeps_former_key: bool,
    former_key: bool,
    breaks_after_erasure: bool,
}

impl Default for FakeStore {
    /// A store that was just created, at the very beginning of 1970.
    fn default() -> Self {
        let mut content = Content {
            status: PersistedStatus::Unprovisioned,
            installed: None,
            time_floor: None,
            audit: Vec::new(),
            records: Vec::new(),
            change: None,
            key_rotations: 0,
            pin_misses: 0,
            destruction: None,
            retirement: None,
            breakdown: None,
            refused: 0,
            keeps_former_key: false,
            former_key: false,
            breaks_after_erasure: false,
        };
        content.append(Timestamp::default(), &[AuditEntry::new(AuditEvent::StoreCreated)]);
        Self(Arc::new(Mutex::new(content)))
    }
}

impl FakeStore {
    /// From now on every call fails with this cause, until [`Self::repair`].
    pub fn break_down(&self, cause: &str) {
        self.with(|content| content.breakdown = Some(fault(cause)));
    }

    /// Ends [`Self::break_down`]; nothing was lost.
    pub fn repair(&self) {
        self.with(|content| content.breakdown = None);
    }

    /// From now on erasures and rotations cannot destroy the former key, until this is called with false.
    pub fn keep_former_keys(&self, keeps: bool) {
        self.with(|content| content.keeps_former_key = keeps);
    }

    /// The next erasure is done, but its call and all that follow fail, until [`Self::repair`].
    pub fn break_down_after_erasure(&self) {
        self.with(|content| content.breaks_after_erasure = true);
    }

    /// Every audit record so far; the first is "store created".
    #[must_use]
    pub fn audit(&self) -> Vec<(Timestamp, AuditEntry)> {
        self.with(|content| content.audit.clone())
    }

    /// The event of every audit record so far.
    #[must_use]
    pub fn events(&self) -> Vec<AuditEvent> {
        self.with(|content| content.audit.iter().map(|(_, entry)| entry.event).collect())
    }

    /// How many writes failed since [`Self::break_down`] was called first.
    #[must_use]
    pub fn refused_writes(&self) -> u32 {
        self.with(|content| content.refused)
    }

    /// How often the database key was changed, by erasures too.
    #[must_use]
    pub fn key_rotations(&self) -> u32 {
        self.with(|content| content.key_rotations)
    }

    /// What is installed for mTLS.
    #[must_use]
    pub fn credentials(&self) -> Option<Credentials> {
        self.with(|content| content.installed.as_ref().map(|(_, credentials)| credentials.clone()))
    }

    fn with<T>(&self, look: impl FnOnce(&mut Content) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// All or nothing: changes a copy, which takes the content's place where the work succeeds.
    fn transaction<T>(&self, work: impl FnOnce(&mut Content) -> Result<T, StoreFault>) -> Result<T, StoreFault> {
        self.with(|content| {
            if let Some(fault) = &content.breakdown {
                content.refused += 1;
                return Err(fault.clone());
            }
            let mut copy = content.clone();
            let outcome = work(&mut copy)?;
            let erased = copy.installed.is_none() && content.installed.is_some();
            *content = copy;
            if erased && std::mem::take(&mut content.breaks_after_erasure) {
                let fault = fault("the storage broke after the commit");
                content.breakdown = Some(fault.clone());
                return Err(fault);
            }
            Ok(outcome)
        })
    }
}

impl Content {
    fn change_key(&mut self) {
        self.key_rotations += 1;
        self.former_key = self.keeps_former_key;
    }

    fn append(&mut self, at: Timestamp, entries: &[AuditEntry]) -> AuditHead {
        for entry in entries {
            let record = AuditRecord::following(self.audit_head(), at, entry, sha256);
            self.records.push(record);
            self.audit.push((at, entry.clone()));
        }
        self.audit_head()
    }

    fn audit_head(&self) -> AuditHead {
        self.records.last().map_or(AuditHead::EMPTY, AuditRecord::as_head)
    }
}

/// SHA-256, as the audit's chain takes it.
#[must_use]
pub fn sha256(bytes: &[u8]) -> Sha256Digest {
    let mut hash = [0; 32];
    hash.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref());
    Sha256Digest::new(hash)
}

impl ProvisioningStore for FakeStore {
    async fn load(&self) -> Result<StoredState, StoreFault> {
        self.transaction(|content| {
            let persisted = match (content.status, &content.installed) {
                (PersistedStatus::Unprovisioned, _) => Persisted::Unprovisioned,
                (PersistedStatus::Deprovisioned, _) => Persisted::Deprovisioned,
                (PersistedStatus::Provisioned, Some((installed, _))) => {
                    Persisted::Provisioned(Box::new(installed.clone()))
                }
                (PersistedStatus::Provisioned, None) => return Err(fault("PROVISIONED without an installation")),
            };
            Ok(StoredState {
                persisted,
                time_floor: content.time_floor,
                audit: content.audit_head(),
                pin_misses: content.pin_misses,
                destruction: content.destruction.clone(),
                retirement: content.retirement,
            })
        })
    }

    async fn record(
        &self,
        at: Timestamp,
        entries: &[AuditEntry],
        status: Option<PersistedStatus>,
    ) -> Result<AuditHead, StoreFault> {
        self.transaction(|content| {
            if let Some(status) = status {
                if [status, content.status].contains(&PersistedStatus::Provisioned) {
                    return Err(fault(
                        "PROVISIONED begins with an installation and ends with an erasure",
                    ));
                }
                content.status = status;
            }
            Ok(content.append(at, entries))
        })
    }

    async fn install(
        &self,
        installation: &Installation,
        entries: &[AuditEntry],
        seal: SealReceipt<'_>,
    ) -> Result<InstalledConfiguration, StoreFault> {
        self.transaction(|content| {
            if content.status == PersistedStatus::Provisioned {
                return Err(fault("the device is provisioned"));
            }
            let head = content.append(installation.completed_at(), entries);
            let installed = InstalledConfiguration {
                settings: installation.settings().clone(),
                certificates: installation.certificates().clone(),
                completed_at: installation.completed_at(),
                body_sha256: installation.body_sha256(),
                receipt: seal(head).map_err(|error| fault(&error.cause))?,
            };
            content.status = PersistedStatus::Provisioned;
            content.change = Some(installation.change());
            content.installed = Some((installed.clone(), installation.credentials().clone()));
            content.time_floor = Some(installation.time_floor());
            Ok(installed)
        })
    }

    async fn erase(
        &self,
        at: Timestamp,
        entries: &[AuditEntry],
        retire: bool,
        seal: SealDestruction<'_>,
    ) -> Result<DestructionRecord, StoreFault> {
        self.transaction(|content| {
            let Some((_, credentials)) = content.installed.take() else {
                return Err(fault("nothing is installed"));
            };
            let head = content.append(at, entries);
            let record = seal(head, &credentials.client_private_key).map_err(|error| fault(&error.cause))?;
            content.status = PersistedStatus::Deprovisioned;
            content.time_floor = None;
            content.change_key();
            content.destruction = Some(record.clone());
            if retire {
                content.retirement = Some(Retirement::Begun);
            }
            Ok(record)
        })
    }

    async fn set_retirement(
        &self,
        at: Timestamp,
        retirement: Option<Retirement>,
        entries: &[AuditEntry],
    ) -> Result<(), StoreFault> {
        self.transaction(|content| {
            content.retirement = retirement;
            content.append(at, entries);
            Ok(())
        })
    }

    async fn rotate_key(&self, at: Timestamp, entries: &[AuditEntry]) -> Result<(), StoreFault> {
        self.transaction(|content| {
            content.change_key();
            content.append(at, entries);
            Ok(())
        })
    }

    async fn destroy_former_key(&self) -> Result<bool, StoreFault> {
        self.transaction(|content| {
            if content.former_key && content.keeps_former_key {
                return Err(fault("the former key cannot be destroyed"));
            }
            Ok(std::mem::take(&mut content.former_key))
        })
    }

    async fn count_pin_miss(&self) -> Result<u32, StoreFault> {
        self.transaction(|content| {
            content.pin_misses = content.pin_misses.saturating_add(1);
            Ok(content.pin_misses)
        })
    }

    async fn forget_pin_misses(&self, at: Timestamp, entries: &[AuditEntry]) -> Result<(), StoreFault> {
        self.transaction(|content| {
            content.pin_misses = 0;
            content.append(at, entries);
            Ok(())
        })
    }

    async fn set_time_floor(
        &self,
        at: Timestamp,
        floor: Option<Timestamp>,
        entries: &[AuditEntry],
    ) -> Result<(), StoreFault> {
        self.transaction(|content| {
            content.time_floor = floor;
            content.append(at, entries);
            Ok(())
        })
    }
}

impl ConfigurationStore for FakeStore {
    async fn active_configuration(&self) -> Result<Option<ActiveConfiguration>, StoreFault> {
        self.transaction(|content| {
            let active = content.installed.as_ref().zip(content.change.as_ref());
            Ok(active.map(|((installed, credentials), change)| ActiveConfiguration {
                settings: RecordedSettings::changed_together(installed.settings.clone(), change),
                certificates: installed.certificates.clone(),
                texts: CertificateTexts {
                    client: credentials.client_certificate.clone(),
                    ca: credentials.ca_certificate.clone(),
                    server: credentials.server_certificate.clone(),
                },
                completed_at: installed.completed_at,
            }))
        })
    }

    async fn active_credentials(&self) -> Result<Option<ActiveCredentials>, StoreFault> {
        self.transaction(|content| {
            Ok(content
                .installed
                .clone()
                .map(|(installed, credentials)| ActiveCredentials {
                    credentials,
                    completed_at: installed.completed_at,
                }))
        })
    }
}

impl AuditStore for FakeStore {
    async fn audit_head(&self) -> Result<AuditHead, StoreFault> {
        self.transaction(|content| Ok(content.audit_head()))
    }

    async fn audit_records(&self, from: u64, limit: u32) -> Result<Vec<AuditRecord>, StoreFault> {
        self.transaction(|content| {
            let wanted = content.records.iter().filter(|record| record.sequence >= from);
            Ok(wanted.take(limit as usize).cloned().collect())
        })
    }

    async fn verify_audit(&self) -> Result<AuditVerdict, StoreFault> {
        self.transaction(|content| {
            let mut walk = AuditWalk::new(sha256);
            let recorded = content.audit_head();
            let mut records = content.records.iter();
            let walked = records.try_for_each(|record| walk.step(record, recorded).map(drop));
            let verdict = walked.and_then(|()| walk.end(recorded));
            Ok(verdict.map_or_else(AuditVerdict::from, AuditVerdict::Intact))
        })
    }
}

fn fault(cause: &str) -> StoreFault {
    StoreFault {
        cause: cause.to_owned(),
    }
}
