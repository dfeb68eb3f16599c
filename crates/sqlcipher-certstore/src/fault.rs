//! What goes wrong inside, until a method of the store says what it was about.

use std::fmt;

use zmon_domain::time::Timestamp;

/// Never holds a stored value.
#[derive(Debug)]
pub(crate) enum Fault {
    /// SQLite or the layer above it.
    Database(sqlx::Error),
    /// The database does not open with the key that was tried.
    AnotherKey,
    /// Something that no version of the store writes, or that the store refuses to do.
    Refused(String),
}

impl Fault {
    pub(crate) fn refused(why: impl Into<String>) -> Self {
        Self::Refused(why.into())
    }
}

/// SQLite's result codes (<https://www.sqlite.org/rescode.html>).
const READ_ONLY: u8 = 8;
const IO: u8 = 10;
const CORRUPT: u8 = 11;
const FULL: u8 = 13;
const CANNOT_OPEN: u8 = 14;
/// With SQLCipher: not under this key.
pub(crate) const NOT_A_DATABASE: u8 = 26;

/// The primary code, which is the last byte of an extended one.
pub(crate) fn result_code(error: &sqlx::Error) -> Option<u8> {
    let extended: u32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(extended.to_le_bytes()[0])
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Database(error) => match result_code(error) {
                Some(CORRUPT) => f.write_str(
                    "the file is damaged: a page is not what was written. Check the storage, then restore database and \
                     key from the same backup, or remove the database to start as an unprovisioned device",
                ),
                Some(FULL) => f.write_str("the storage is full; make room and try again"),
                Some(IO) => write!(
                    f,
                    "the storage failed to read or write ({error}). What was there before is kept. See whether the \
                     storage is full, then check it and its file system, and try again"
                ),
                Some(READ_ONLY) => f.write_str(
                    "the file system takes no writes, as when its storage fails. Check the storage, mount it for \
                     writing, and try again",
                ),
                Some(CANNOT_OPEN) => write!(
                    f,
                    "it or a file beside it cannot be opened or made ({error}). See whether the storage is full, and that \
                     directory and files are the service's own"
                ),
                _ => error.fmt(f),
            },
            Self::AnotherKey => f.write_str(
                "it does not open with this device's database key: it belongs to another key, or its beginning is \
                 damaged. Restore database, wrapped key and key source from the same backup, or remove the database and \
                 its wrapped key to start as an unprovisioned device",
            ),
            Self::Refused(why) => f.write_str(why),
        }
    }
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

/// SQLite's integers are signed.
pub(crate) fn to_millis(at: Timestamp) -> Result<i64, Fault> {
    i64::try_from(at.as_millis()).map_err(|_| Fault::refused("a time lies beyond the range of the store"))
}

pub(crate) fn from_millis(stored: i64) -> Result<Timestamp, Fault> {
    u64::try_from(stored)
        .map(Timestamp::from_millis)
        .map_err(|_| Fault::refused("a stored time is negative"))
}
