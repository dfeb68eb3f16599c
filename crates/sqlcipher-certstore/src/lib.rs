//! Encrypted store for certificates, key, settings, status and audit on SQLCipher.
//!
//! # Format
//! One SQLCipher 4 database (AES-256-CBC with HMAC-SHA512 for each page) under a raw 32-byte key, mode 0600, in WAL
//! mode with `synchronous=FULL`: what was committed survives a power cut. The schema stands in `migrations/`; a
//! database with a newer schema is refused. The audit's hash chain is described at
//! [`AuditRecord::encoded`].
//!
//! Beside the database lie, each with mode 0600:
//!
//! - `<database>-key`: its key, random, wrapped by the key of a [`KeySource`](zmon_ports::KeySource); its format is
//!   described at [`wrap`]. Database and wrapped key belong together in a backup.
//! - `<database>-key-next`: only while the key is being changed
//! - `<database>-reserve`: room for one provisioning, kept free
//! - `<database>-lock`: an advisory lock (`flock`) that lets one process at a time have the store open
//! - `<database>-wal`, `<database>-shm`: SQLite's, while the database is open
//!
//! # Changing the key
//! The new wrapped key is durable first; then one commit encrypts every page anew; then the former wrapped key is
//! overwritten in place. [`erase`](zmon_ports::ProvisioningStore::erase) removes rows in that same commit, so there is no
//! moment between the two. After a crash the database itself tells which of the two keys it has, and opening the store
//! finishes or undoes the rest. While the key is being changed, the whole database is in memory.
//!
//! # What stays behind
//! - Keys are in memory while the store is open: here ([`DatabaseKey`] and the source's key, erased when the store is
//!   dropped) and in SQLCipher's context (locked memory, erased when the connection closes). SQLCipher takes a key as
//!   text in a statement; this crate erases its copy of that text, and SQLite's copies are erased by
//!   `cipher_memory_security`, but one copy that sqlx makes while it prepares the statement is freed without being
//!   erased, as is the copy of the client's private key that sqlx makes when it is read. Keep core dumps and swap off.
//! - Flash storage writes elsewhere what is overwritten in place, and so do file systems that copy on write (btrfs, and
//!   f2fs): cells or blocks where no file can reach them may keep a former wrapped key for a while. Whoever reads them
//!   out *and* has the source's key can unwrap it and read old pages that were kept as well. Where the source is
//!   hardware, or a credential that hardware seals, the cells alone are worth nothing; where it is a file on the same
//!   card, only a secure erasure of the card is final.
//! - A holder of the key can rewrite the audit to its end, or put back an older copy of all files. Receipts carry
//!   the audit's head, so that the Central Station can tell.

mod administration;
mod audit;
mod connection;
mod fault;
mod files;
mod installed;
mod key;
mod keyring;
mod lock;
mod reading;
mod reserve;
mod store;
mod wrapped;

pub use audit::record_hash;
pub use key::{CommandKeySource, CredentialKeySource, FileKeySource};
pub use keyring::wrapped_key_files;
pub use store::SqlcipherStore;
pub use wrapped::{DatabaseKey, UnwrapFault, WRAPPED_KEY_LENGTH, unwrap, wrap};
pub use zmon_domain::audit::{AuditRecord, AuditVerdict};
