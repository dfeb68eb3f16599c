//! Encrypted store for certificates, key, settings, status and audit on SQLCipher.
//!
//! # Format
//! One SQLCipher 4 database (AES-256-CBC with HMAC-SHA512 for each page) under a raw 32-byte key, mode 0600, in WAL
//! mode with `synchronous=FULL`: what was committed survives a power cut. The schema stands in `migrations/`; a
//! database with a newer schema is refused. The audit's hash chain is described at [`record_hash`].
//!
//! # What stays behind
//! - The key is in memory while the store is open: here ([`DatabaseKey`](zmon_ports::DatabaseKey), erased when the
//!   store is dropped) and in SQLCipher's context (locked memory, erased when the connection closes). SQLCipher takes
//!   it as text in a statement; this crate erases its copy of that text, and SQLite's copies are erased by
//!   `cipher_memory_security`, but one copy that sqlx makes while it prepares the statement is freed without being
//!   erased, as is the copy of the client's private key that sqlx makes when it is read. Keep core dumps and swap off.
//! - [`erase`](zmon_ports::ProvisioningStore::erase) overwrites what it removes (`secure_delete`) and empties the
//!   write-ahead log. Flash storage may keep old pages where no file can reach them; these are encrypted, so they are
//!   worth nothing without the database key.
//! - A holder of the key can rewrite the audit to its end, or put back an older copy of the whole file. Receipts carry
//!   the audit's head, so that the Central Station can tell.

mod audit;
mod connection;
mod fault;
mod files;
mod installed;
mod key;
mod store;

pub use audit::{AuditRecord, AuditVerdict, record_hash};
pub use key::FileKeySource;
pub use store::SqlcipherStore;
