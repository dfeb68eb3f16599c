//! JWS in JWE: opens and verifies what a Central Station pushes, seals and signs it on the station's side, signs and
//! verifies receipts, and derives the keys for all of it.
//!
//! Source: `protocol.md`, "Keys", "Push" and "Answers". One crate serves both sides, so that they cannot drift apart.
//!
//! # What does what
//! - `josekit` (on OpenSSL): key agreement, key wrap and content encryption; every signature that is *made*.
//! - `ring`: HKDF, SHA-256, HMAC in constant time; every signature that is *verified*.
//! - This crate: which message may reach them. Headers are read here, against the exact list of members, before any
//!   key is used; `josekit` gets a header built from the checked values and never sees a received one, so that nothing
//!   in a message can make it choose an algorithm or inflate anything.
//!
//! # Copies of secrets
//! Keys, the content key, the opened JWS and the payload are erased when dropped. Out of reach, freed without being
//! erased: `josekit`'s shared secret and key-encryption key of one message, its signing copies of an RSA client key,
//! the plaintext of a message whose tag turns out wrong, `ring`'s HMAC contexts, and the buffer in which
//! `serde_json` resolves escapes. OpenSSL erases its own keys and cipher contexts.

mod anchor;
mod compact;
mod der;
pub mod destruction;
mod envelope;
mod header;
mod jwe;
mod jws;
pub mod keys;
pub mod members;
pub mod receipt;
mod refusal;
pub mod seal;

pub use anchor::TrustAnchor;
pub use envelope::{JoseEnvelope, sha256};
pub use jwe::MAX_BODY;
pub use refusal::Refusal;
