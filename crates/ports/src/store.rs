//! The encrypted store.

use core::fmt;
use std::future::Future;

use zmon_domain::audit::{AuditEntry, AuditHead, AuditRecord, AuditVerdict};
use zmon_domain::checks::Installation;
use zmon_domain::error::{ErrorCode, ProvisioningError};
use zmon_domain::machine::Persisted;
use zmon_domain::result::{ActiveConfiguration, ActiveCredentials, DestructionRecord, InstalledConfiguration, Receipt};
use zmon_domain::secret::{SecretBytes, SecretText};
use zmon_domain::status::{PersistedStatus, Retirement};
use zmon_domain::time::Timestamp;

use crate::driven::ReceiptFault;

/// What a store found when it was read.
#[derive(Debug)]
pub struct StoredState {
    /// Status, and what is installed.
    pub persisted: Persisted,
    /// The time floor, where one was written since the last reset.
    pub time_floor: Option<Timestamp>,
    /// Where the audit stands.
    pub audit: AuditHead,
    /// How many administrator PINs in a row were begun to be checked and not found right.
    pub pin_misses: u32,
    /// The record of the last destruction.
    pub destruction: Option<DestructionRecord>,
    /// Where an administrator retired the device, and it was not commissioned since.
    pub retirement: Option<Retirement>,
}

/// A fault of the store. `cause` names file and reason, never a stored value or a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreFault {
    /// What failed and why, for the device's log.
    pub cause: String,
}

impl fmt::Display for StoreFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause)
    }
}

impl std::error::Error for StoreFault {}

impl From<StoreFault> for ProvisioningError {
    fn from(fault: StoreFault) -> Self {
        Self::from(ErrorCode::StorageError).with_cause(fault.cause)
    }
}

/// Signs the receipt inside the transaction that it speaks of: it is given the audit head that the transaction will
/// leave behind.
pub type SealReceipt<'a> = &'a (dyn Fn(AuditHead) -> Result<Receipt, ReceiptFault> + Send + Sync);

/// Signs the record of a destruction inside the transaction that destroys: it is given the audit head that the
/// transaction will leave behind, and the client's private key for the last time.
pub type SealDestruction<'a> =
    &'a (dyn Fn(AuditHead, &SecretText) -> Result<DestructionRecord, ReceiptFault> + Send + Sync);

/// Certificates, private key, settings, status, time floor and audit, in one encrypted place.
///
/// # Contract
/// - Each method is one transaction: after an error, or a crash at any point, everything is as it was before.
/// - A method that returned `Ok` is durable.
/// - Audit records form a hash chain in the order of the calls; none is ever changed or removed.
/// - Every audit record gets the wall-clock time `at`.
/// - Nothing secret appears in an error, a log line or a file in the clear.
pub trait ProvisioningStore: Send + Sync + 'static {
    /// Reads what is there.
    ///
    /// # Errors
    /// Where the store cannot be read or holds something that no version of it writes.
    fn load(&self) -> impl Future<Output = Result<StoredState, StoreFault>> + Send;

    /// Appends to the audit and, where given, persists a status.
    ///
    /// # Errors
    /// Nothing was written.
    fn record(
        &self,
        at: Timestamp,
        entries: &[AuditEntry],
        status: Option<PersistedStatus>,
    ) -> impl Future<Output = Result<AuditHead, StoreFault>> + Send;

    /// Installs: credentials, settings, certificate facts, status `PROVISIONED`, time floor, audit entries, receipt.
    /// Refuses where the store is `PROVISIONED` already.
    ///
    /// # Errors
    /// Nothing was written.
    fn install(
        &self,
        installation: &Installation,
        entries: &[AuditEntry],
        seal: SealReceipt<'_>,
    ) -> impl Future<Output = Result<InstalledConfiguration, StoreFault>> + Send;

    /// Removes credentials, settings, certificate facts, receipt and time floor; the status becomes `DEPROVISIONED`;
    /// the audit stays and grows by the entries; the record of the destruction takes the place of an older one. With
    /// `retire` the retirement begins. In the same transaction the database key is changed, and the former one destroyed:
    /// what older pages, logs and copies hold is unreadable from then on. Refuses where the store is not `PROVISIONED`.
    ///
    /// Done is what the transaction did. Storage that then fails to destroy the former key is no error here:
    /// [`Self::destroy_former_key`] tells.
    ///
    /// # Errors
    /// Nothing was removed; or, where the store cannot be read any more, nobody knows: [`Self::load`] tells once it can.
    fn erase(
        &self,
        at: Timestamp,
        entries: &[AuditEntry],
        retire: bool,
        seal: SealDestruction<'_>,
    ) -> impl Future<Output = Result<DestructionRecord, StoreFault>> + Send;

    /// Writes how far a retirement has come, or with `None` that the device was commissioned again, and records the
    /// entries.
    ///
    /// # Errors
    /// Nothing was written.
    fn set_retirement(
        &self,
        at: Timestamp,
        retirement: Option<Retirement>,
        entries: &[AuditEntry],
    ) -> impl Future<Output = Result<(), StoreFault>> + Send;

    /// Counts one more wrong administrator PIN and gives the new count. To be called *before* a PIN is looked at, so
    /// that a power cut gives nobody a free guess.
    ///
    /// # Errors
    /// Nothing was counted, and no PIN may be looked at.
    fn count_pin_miss(&self) -> impl Future<Output = Result<u32, StoreFault>> + Send;

    /// Returns the count of wrong PINs to zero, and records the entries.
    ///
    /// # Errors
    /// Nothing was written.
    fn forget_pin_misses(
        &self,
        at: Timestamp,
        entries: &[AuditEntry],
    ) -> impl Future<Output = Result<(), StoreFault>> + Send;

    /// Changes the database key, destroys the former one, and records the entries, in one transaction. Everything else
    /// stays as it is.
    ///
    /// # Errors
    /// As for [`Self::erase`].
    fn rotate_key(&self, at: Timestamp, entries: &[AuditEntry]) -> impl Future<Output = Result<(), StoreFault>> + Send;

    /// Destroys a former database key that an earlier change could not destroy, as every other call tries, too. Whether
    /// one was destroyed since this was last asked, in this call or before it, by a start after a crash as well.
    ///
    /// # Errors
    /// It is still there, or the store cannot be read.
    fn destroy_former_key(&self) -> impl Future<Output = Result<bool, StoreFault>> + Send;

    /// Writes the time floor, or with `None` returns it to the release date, and records the entries.
    ///
    /// # Errors
    /// Nothing was written.
    fn set_time_floor(
        &self,
        at: Timestamp,
        floor: Option<Timestamp>,
        entries: &[AuditEntry],
    ) -> impl Future<Output = Result<(), StoreFault>> + Send;
}

/// What is installed, for whoever works with it.
///
/// # Contract
/// - What is given was installed together: one transaction reads it.
/// - Nothing is given where nothing is installed, also right after an erasure.
/// - Reading leaves no record; who reads for whom, and what of it is audited, is decided above.
pub trait ConfigurationStore: Send + Sync + 'static {
    /// Settings with their last changes, and certificates.
    ///
    /// # Errors
    /// Where the store cannot be read or is incomplete.
    fn active_configuration(&self) -> impl Future<Output = Result<Option<ActiveConfiguration>, StoreFault>> + Send;

    /// Certificates and private key, byte for byte as they were received.
    ///
    /// # Errors
    /// Where the store cannot be read or is incomplete.
    fn active_credentials(&self) -> impl Future<Output = Result<Option<ActiveCredentials>, StoreFault>> + Send;
}

/// The audit, to be read and verified. Records are appended by [`ProvisioningStore`] alone.
///
/// # Contract
/// - Every record is `AuditRecord::following` the one before it.
/// - Reading takes turns with writing, a few hundred records at a time, so that nobody waits for a long audit.
pub trait AuditStore: Send + Sync + 'static {
    /// Where the audit stands, as it was written last.
    ///
    /// # Errors
    /// Where the store cannot be read.
    fn audit_head(&self) -> impl Future<Output = Result<AuditHead, StoreFault>> + Send;

    /// Up to `limit` records in their order, the first of them number `from` or the next that exists (the very first
    /// has number 1).
    ///
    /// # Errors
    /// Where the store cannot be read.
    fn audit_records(&self, from: u64, limit: u32)
    -> impl Future<Output = Result<Vec<AuditRecord>, StoreFault>> + Send;

    /// Walks the audit from its first record to its last.
    ///
    /// # Errors
    /// Where the store cannot be read. A broken chain is not an error but a verdict.
    fn verify_audit(&self) -> impl Future<Output = Result<AuditVerdict, StoreFault>> + Send;
}

/// The key of a key source: it wraps the key of the encrypted database, and nothing else.
pub type WrappingKey = SecretBytes<32>;

/// Why there is no key. The cause never holds key material.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySourceFault {
    /// What failed, why, and what to do next.
    pub cause: String,
}

impl fmt::Display for KeySourceFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause)
    }
}

impl std::error::Error for KeySourceFault {}

/// Where the key comes from that wraps the database key.
///
/// # Contract
/// - The same key on every call. A source need not be able to change its key: the store makes database keys itself.
/// - A key that cannot be had is an error, never a new key for an existing store: `may_create` is true only where
///   there is neither database nor wrapped key yet. A source that makes no keys gives the one it has, or an error.
/// - The key is in no log, error, argument or environment.
pub trait KeySource: Send + Sync {
    /// The key. May take some seconds; blocks.
    ///
    /// # Errors
    /// Where it cannot be had, or is not 32 bytes.
    fn wrapping_key(&self, may_create: bool) -> Result<WrappingKey, KeySourceFault>;
}
