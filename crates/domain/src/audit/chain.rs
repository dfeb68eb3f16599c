//! The hash chain: what a record is, what is hashed, and how the chain is walked.
//!
//! SHA-256 itself is an argument, so that the store, a Central Station and a test walk the same chain.

use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::{AuditEntry, AuditHead};
use crate::pairing::Sha256Digest;
use crate::time::Timestamp;

/// Names what is hashed, and the version of its encoding; exports carry it as their format.
pub const AUDIT_FORMAT: &str = "z-monitor/audit/v1";

/// SHA-256.
pub type Sha256 = fn(&[u8]) -> Sha256Digest;

/// One record as it is stored. Texts are kept as they were found, so that a changed one can be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRecord {
    /// Its position; the first has 1.
    pub sequence: u64,
    /// When, by the wall clock.
    pub at: Timestamp,
    /// The name of an [`AuditEvent`](super::AuditEvent).
    pub event: String,
    /// The session it happened in: 16 hexadecimal digits.
    pub session: Option<String>,
    /// The name of an [`ErrorCode`](crate::error::ErrorCode), for refusals.
    pub code: Option<String>,
    /// More, in words.
    pub detail: Option<String>,
    /// Hash of the record before it; 32 zero bytes for the first.
    pub previous: Sha256Digest,
    /// Its own hash: SHA-256 of [`Self::encoded`].
    pub hash: Sha256Digest,
}

impl AuditRecord {
    /// The record that follows `head`.
    #[must_use]
    pub fn following(head: AuditHead, at: Timestamp, entry: &AuditEntry, sha256: Sha256) -> Self {
        let mut record = Self {
            sequence: head.count + 1,
            at,
            event: entry.event.as_str().to_owned(),
            session: entry.session.map(|session| session.to_string()),
            code: entry.code.map(|code| code.as_str().to_owned()),
            detail: entry.detail.clone(),
            previous: head.head,
            hash: AuditHead::EMPTY.head,
        };
        record.hash = sha256(&record.encoded());
        record
    }

    /// What is hashed: these fields, each with its length in bytes before it (eight bytes, big-endian):
    ///
    /// 1. the text [`AUDIT_FORMAT`]
    /// 2. `previous`, 32 bytes
    /// 3. `sequence`, eight bytes, big-endian
    /// 4. `at` in milliseconds since 1970, eight bytes, big-endian
    /// 5. `event`, UTF-8
    /// 6. `session`, 7. `code`, 8. `detail`: UTF-8; for one that is absent, eight bytes `FF` stand in place of length
    ///    and text
    ///
    /// `hash` is not part of it.
    #[must_use]
    pub fn encoded(&self) -> Vec<u8> {
        fn put(bytes: &mut Vec<u8>, field: &[u8]) {
            bytes.extend_from_slice(&(field.len() as u64).to_be_bytes());
            bytes.extend_from_slice(field);
        }
        let mut bytes = Vec::new();
        put(&mut bytes, AUDIT_FORMAT.as_bytes());
        put(&mut bytes, self.previous.as_bytes());
        put(&mut bytes, &self.sequence.to_be_bytes());
        put(&mut bytes, &self.at.as_millis().to_be_bytes());
        put(&mut bytes, self.event.as_bytes());
        for field in [&self.session, &self.code, &self.detail] {
            match field {
                Some(text) => put(&mut bytes, text.as_bytes()),
                None => bytes.extend_from_slice(&u64::MAX.to_be_bytes()),
            }
        }
        bytes
    }

    /// The head that this record makes.
    #[must_use]
    pub const fn as_head(&self) -> AuditHead {
        AuditHead {
            count: self.sequence,
            head: self.hash,
        }
    }
}

/// What walking the chain found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditVerdict {
    /// Every record is as it was written, and none is missing.
    Intact(AuditHead),
    /// From this position on, nothing can be relied upon.
    Broken {
        /// The first record that is wrong or missing.
        sequence: u64,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// The first record of a chain that is wrong or missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditBreak {
    /// Its position.
    pub sequence: u64,
    /// What is wrong with it; follows "record N: ".
    pub why: &'static str,
}

impl From<AuditBreak> for AuditVerdict {
    fn from(AuditBreak { sequence, why }: AuditBreak) -> Self {
        Self::Broken { sequence, why }
    }
}

/// A walk along the chain from its first record, in as many pieces as one likes.
#[derive(Clone, Debug)]
pub struct AuditWalk {
    head: AuditHead,
    sha256: Sha256,
}

impl AuditWalk {
    /// Before the first record.
    #[must_use]
    pub const fn new(sha256: Sha256) -> Self {
        Self {
            head: AuditHead::EMPTY,
            sha256,
        }
    }

    /// Where the walk stands.
    #[must_use]
    pub const fn head(&self) -> AuditHead {
        self.head
    }

    /// The position of the record that comes next.
    #[must_use]
    pub const fn next_sequence(&self) -> u64 {
        self.head.count + 1
    }

    /// Goes on over this record, where it is the right one of a chain that ends with `recorded`.
    ///
    /// # Errors
    /// What is wrong; the walk stands where it stood.
    pub fn step(&mut self, record: &AuditRecord, recorded: AuditHead) -> Result<AuditHead, AuditBreak> {
        if self.head.count >= recorded.count {
            // Whatever it says of itself: the chain has ended.
            self.end(recorded)?;
            Err(self.broken("it was not written by the store"))
        } else if record.sequence != self.next_sequence() {
            Err(self.broken("it is missing"))
        } else if record.previous != self.head.head {
            Err(self.broken("it does not continue the record before it"))
        } else if record.hash != (self.sha256)(&record.encoded()) {
            Err(self.broken("its content is not what was written"))
        } else {
            self.head = record.as_head();
            Ok(self.head)
        }
    }

    /// The verdict at the end, where the last record should have made `recorded`.
    ///
    /// # Errors
    /// Where records are missing at the end, or the last is another, or the walk went further.
    pub fn end(&self, recorded: AuditHead) -> Result<AuditHead, AuditBreak> {
        if self.head.count < recorded.count {
            Err(self.broken("it is missing"))
        } else if self.head.count > recorded.count {
            Err(AuditBreak {
                sequence: recorded.count + 1,
                why: "it was not written by the store",
            })
        } else if self.head.head != recorded.head {
            Err(AuditBreak {
                // Nothing is before the first record.
                sequence: self.head.count.max(1),
                why: "it is not the record that was written last",
            })
        } else {
            Ok(self.head)
        }
    }

    /// The next record is there, but is nothing that was ever written.
    #[must_use]
    pub const fn unreadable(&self) -> AuditBreak {
        self.broken("it holds values that are never written")
    }

    const fn broken(&self, why: &'static str) -> AuditBreak {
        AuditBreak {
            sequence: self.next_sequence(),
            why,
        }
    }
}
