//! Who reads what is installed.

use alloc::format;
use core::fmt;

use crate::audit::{AuditEntry, AuditEvent};

/// The program at the other end of a local socket, as the kernel says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Its process, where the kernel knows.
    pub pid: Option<u32>,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "uid {}, gid {}", self.uid, self.gid)?;
        self.pid.map_or(Ok(()), |pid| write!(f, ", pid {pid}"))
    }
}

/// What is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadOf {
    /// Settings and certificates.
    Configuration,
    /// Certificates and private key.
    Credentials,
}

impl ReadOf {
    /// The audit's entry for a read; `reader` follows "by".
    #[must_use]
    pub fn entry(self, reader: impl fmt::Display) -> AuditEntry {
        let event = match self {
            Self::Configuration => AuditEvent::ConfigurationRead,
            Self::Credentials => AuditEvent::CredentialsRead,
        };
        AuditEntry::new(event).with_detail(format!("by {reader}"))
    }
}
