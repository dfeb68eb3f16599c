//! The one connection: how it is opened, and how it is taken and given back.

use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_executor::block_on;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _};
use tokio::sync::{Mutex, MutexGuard};
use zeroize::Zeroize as _;

use crate::fault::{Fault, NOT_A_DATABASE, result_code};
use crate::keyring::Keyring;
use crate::lock::StoreLock;
use crate::reserve::Reserve;
use crate::wrapped::DatabaseKey;

/// How long to wait for another connection: the one that a dropped call left behind, or a person's tool.
const BUSY: Duration = Duration::from_secs(5);

/// Memory security before the key, so that SQLite's copies of the key's text are erased. And SQLCipher would write to
/// standard error what its result codes say as well.
const BEFORE_THE_KEY: &str = "PRAGMA cipher_memory_security = ON; PRAGMA cipher_log_level = NONE;";
/// After the key. The journal mode comes apart from these, because SQLite may refuse it without an error. Changed pages
/// stay in memory until the commit: one that went to the log while the key is being changed could not be read again.
const SETTINGS: &str = "
    PRAGMA synchronous = FULL;
    PRAGMA foreign_keys = ON;
    PRAGMA secure_delete = ON;
    PRAGMA temp_store = MEMORY;
    PRAGMA trusted_schema = OFF;
    PRAGMA cache_spill = OFF;
";

/// A connection that is closed once it has been dropped, whatever it was dropped for.
///
/// Dropping waits for the connection's thread, a few milliseconds as a rule: SQLCipher takes itself down when the
/// process ends, and a thread that was still closing its database would then crash.
pub(crate) struct Connection(Option<SqliteConnection>);

impl Connection {
    /// Closes the database without holding up anybody else.
    pub(crate) async fn close(mut self) {
        if let Some(connection) = self.0.take() {
            // Everything is durable already; what this leaves undone the next opening does.
            connection.close().await.ok();
        }
    }
}

impl Deref for Connection {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        self.0.as_ref().expect("taken only when it is closed or dropped")
    }
}

impl DerefMut for Connection {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        self.0.as_mut().expect("taken only when it is closed or dropped")
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            block_on(connection.close()).ok();
        }
    }
}

/// Opens the database that is at `path`; an empty file becomes an empty database.
pub(crate) async fn open(path: &Path, key: &DatabaseKey) -> Result<Connection, Fault> {
    // SQLCipher's OpenSSL would take itself down when the process ends, while SQLite's thread may still decrypt: a
    // crash at the very end. The first to initialise it decides, and this one leaves it standing.
    openssl_sys::init();
    // Statements are never logged: the first one is the key.
    let options = SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(BUSY)
        .disable_statement_logging();
    let mut connection = Connection(Some(options.connect().await?));
    connection.execute(BEFORE_THE_KEY).await?;
    execute_with_key(&mut connection, "key", key).await?;
    let version = sqlx::query_scalar("PRAGMA cipher_version")
        .fetch_optional(&mut *connection)
        .await?;
    require_encryption(version)?;
    read_header(&mut connection).await?;
    let journal: String = sqlx::query_scalar("PRAGMA journal_mode = WAL")
        .fetch_one(&mut *connection)
        .await?;
    if journal != "wal" {
        return Err(Fault::refused(
            "the file system does not support SQLite's write-ahead log; put the database on a local file system",
        ));
    }
    connection.execute(SETTINGS).await?;
    Ok(connection)
}

/// A pragma with a raw key in hexadecimal: nothing is derived from it, so opening is quick.
async fn execute_with_key(connection: &mut SqliteConnection, pragma: &str, key: &DatabaseKey) -> Result<(), Fault> {
    let mut text = String::with_capacity(100);
    text.push_str("PRAGMA ");
    text.push_str(pragma);
    text.push_str(" = \"x'");
    for byte in key.expose() {
        for nibble in [byte >> 4, byte & 15] {
            text.push(char::from(b"0123456789abcdef"[usize::from(nibble)]));
        }
    }
    text.push_str("'\"");
    let statement: Arc<str> = Arc::from(text.as_str());
    text.zeroize();
    let outcome = connection.execute(AssertSqlSafe(Arc::clone(&statement))).await;
    erase_shared(connection, statement).await?;
    outcome?;
    Ok(())
}

/// Erases text that the connection's thread was given. The thread has dropped its handle when it answers the next
/// command.
pub(crate) async fn erase_shared(connection: &mut SqliteConnection, mut text: Arc<str>) -> Result<(), Fault> {
    connection.ping().await?;
    if let Some(text) = Arc::get_mut(&mut text) {
        text.zeroize();
    }
    Ok(())
}

/// Plain SQLite takes a key in silence and stores in the clear; only SQLCipher answers `PRAGMA cipher_version`.
fn require_encryption(cipher_version: Option<String>) -> Result<(), Fault> {
    if cipher_version.is_some_and(|version| !version.trim().is_empty()) {
        Ok(())
    } else {
        Err(Fault::refused(
            "this build is linked with an SQLite that does not encrypt; install a build with SQLCipher",
        ))
    }
}

/// The first look into the file, which is where a wrong key shows.
async fn read_header(connection: &mut SqliteConnection) -> Result<(), Fault> {
    match connection.execute("SELECT count(*) FROM sqlite_schema").await {
        Ok(_) => Ok(()),
        Err(error) if result_code(&error) == Some(NOT_A_DATABASE) => Err(Fault::AnotherKey),
        Err(error) => Err(error.into()),
    }
}

/// The way into the database, for one caller after the other.
pub(crate) struct Access {
    // In this order: the connection goes before the lock.
    pub(crate) slot: Slot,
    pub(crate) keys: Keyring,
    pub(crate) reserve: Reserve,
    /// None once the store was closed.
    pub(crate) lock: Option<StoreLock>,
}

/// Where the connection is while nobody uses it.
pub(crate) enum Slot {
    Idle(Connection),
    /// None is open: the last one met an error, or its caller went away.
    Empty,
    Closed,
}

/// A transaction that owns the connection. Dropped without [`Self::commit`], it closes the connection, and SQLite
/// rolls back; so what became of an interrupted call never reaches the next one.
pub(crate) struct Transaction<'a> {
    // In this order: the connection goes before the next caller may have one.
    pub(crate) connection: Connection,
    access: MutexGuard<'a, Access>,
}

impl<'a> Transaction<'a> {
    /// Waits for its turn and takes the write lock, also for reading: a commit that an interrupted caller no longer
    /// waits for is then over. The room that is kept free is for `acts` of people.
    pub(crate) async fn begin(access: &'a Mutex<Access>, acts: bool) -> Result<Self, Fault> {
        let mut access = access.lock().await;
        let connection = match std::mem::replace(&mut access.slot, Slot::Empty) {
            Slot::Idle(mut connection) => {
                access.keys.try_again(&mut connection).await;
                connection
            }
            Slot::Empty => {
                // SQLite makes its log and the index of that anew; on a full disk, even reading needs them.
                access.reserve.make_room();
                let opened = access.keys.open().await;
                access.reserve.fill();
                opened?
            }
            Slot::Closed => {
                access.slot = Slot::Closed;
                return Err(Fault::refused("the store was closed"));
            }
        };
        if acts {
            access.reserve.make_room();
        }
        let mut begun = Self { connection, access };
        begun.connection.execute("BEGIN IMMEDIATE").await?;
        Ok(begun)
    }

    /// Makes everything durable; only then gives the outcome.
    pub(crate) async fn commit<T>(mut self, outcome: T) -> Result<T, Fault> {
        self.connection.execute("COMMIT").await?;
        self.access.reserve.fill();
        self.access.slot = Slot::Idle(self.connection);
        Ok(outcome)
    }

    /// As [`Keyring::former_key`].
    pub(crate) fn former_key(&mut self) -> Result<bool, Fault> {
        self.access.keys.former_key()
    }

    /// The same, under a new database key; the former one is destroyed, or [`Self::former_key`] tells why it is not yet.
    /// Everything happens in one commit: every page of the database goes through the write-ahead log as this transaction
    /// leaves it, so that nothing that it removed was ever written under the new key.
    ///
    /// An error means that nothing was changed, or that the database cannot be read; then the next access tells.
    pub(crate) async fn commit_under_new_key(mut self) -> Result<(), Fault> {
        let key = self.access.keys.begin_change()?.clone();
        // Interrupted here, `self` still ends in order: nobody looks for the key in force while a commit is under way.
        let encrypted = encrypt_anew(&mut self.connection, &key).await;
        // SQLCipher has both keys in it, and does not tell all faults: whether it was done shows in the database.
        self.connection.close().await;
        let connection = self.access.keys.open().await?;
        self.access.reserve.fill();
        let done = self.access.keys.changed_to(&key);
        self.access.slot = Slot::Idle(connection);
        if done {
            return Ok(());
        }
        encrypted?;
        Err(Fault::refused(
            "the database could not be encrypted with a new key: a page could not be read or written. Check whether the \
             storage is full or failing, then try again",
        ))
    }
}

/// Encrypts every page with another key and commits the open transaction with it.
pub(crate) async fn encrypt_anew(connection: &mut SqliteConnection, key: &DatabaseKey) -> Result<(), Fault> {
    // SQLCipher joins the transaction that is open and commits it; but it says "ok" even where it could not.
    execute_with_key(connection, "rekey", key).await?;
    // Where only the commit failed, this tries it once more and tells why it fails.
    connection.execute("COMMIT").await?;
    Ok(())
}

/// Moves the write-ahead log into the database and cuts it to nothing.
pub(crate) async fn empty_log(connection: &mut SqliteConnection) -> Result<(), Fault> {
    let busy: i64 = sqlx::query_scalar("PRAGMA wal_checkpoint(TRUNCATE)")
        .fetch_one(connection)
        .await?;
    if busy == 0 {
        Ok(())
    } else {
        Err(Fault::refused("another process is using the database"))
    }
}

#[cfg(test)]
mod tests {
    use super::require_encryption;

    #[test]
    fn it_refuses_a_library_that_does_not_encrypt() {
        for answer in [None, Some(String::new()), Some(" ".to_owned())] {
            let fault = require_encryption(answer).unwrap_err();
            assert!(fault.to_string().contains("does not encrypt"), "{fault}");
        }
        assert!(require_encryption(Some("4.10.0 community".to_owned())).is_ok());
    }
}
