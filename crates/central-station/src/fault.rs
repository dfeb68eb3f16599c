//! What can go wrong at the station, in families that programs can tell apart.

use std::fmt;

/// Who or what has to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// A file or a setting on this machine.
    Local,
    /// The picture, or what it says.
    Scan,
    /// The connection, or the certificate at its other end.
    Network,
    /// The receipt.
    Receipt,
}

/// A fault: what failed, why, and what to do next. Holds no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Its family.
    pub family: Family,
    message: String,
}

impl Fault {
    pub(crate) fn new(family: Family, message: impl Into<String>) -> Self {
        Self {
            family,
            message: message.into(),
        }
    }

    /// A fault of this machine's files or settings.
    pub fn local(message: impl Into<String>) -> Self {
        Self::new(Family::Local, message)
    }

    pub(crate) fn scan(message: impl Into<String>) -> Self {
        Self::new(Family::Scan, message)
    }

    pub(crate) fn network(message: impl Into<String>) -> Self {
        Self::new(Family::Network, message)
    }

    pub(crate) fn receipt(message: impl Into<String>) -> Self {
        Self::new(Family::Receipt, message)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}
