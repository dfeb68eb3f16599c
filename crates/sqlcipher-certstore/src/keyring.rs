//! The database key and its change, safe at every cut.
//!
//! Beside the database lie one or two wrapped keys:
//!
//! - `<database>-key`: the key in force
//! - `<database>-key-next`: while the key is being changed, the one that is to follow
//!
//! A change runs in this order, each step durable before the next begins:
//!
//! 1. `-key-next` appears, whole or not at all.
//! 2. The database is encrypted anew: one commit of SQLite's write-ahead log, together with whatever else the
//!    transaction does. This is the moment at which the change happens.
//! 3. The log is moved into the database and cut, so that every page is overwritten.
//! 4. `-key` is overwritten in place: from here on nobody can read what was written under the former key.
//! 5. `-key-next` takes the name `-key`.
//!
//! Where `-key-next` is found, the database itself tells how far it went: if it opens with that key, steps 3 to 5 are
//! done again, otherwise the next key is overwritten and removed.
//!
//! The change is done with step 2. Storage that fails in a later step keeps nobody from the database: it is worked with
//! under its new key, [`Keyring::former_key`] says what is left, and every access tries again.

use std::io;
use std::path::{Path, PathBuf};

use zmon_ports::{KeySource, WrappingKey};

use crate::connection::{self, Connection};
use crate::fault::Fault;
use crate::files;
use crate::wrapped::{self, DatabaseKey};

/// Holds the keys, and where they lie.
pub(crate) struct Keyring {
    database: PathBuf,
    wrapping: WrappingKey,
    /// Why there is none counts only where it is needed.
    current: Result<DatabaseKey, String>,
    /// Of a change that is not over.
    next: Option<Result<DatabaseKey, String>>,
    /// Why what is left of the last change could not be cleared away; `next` is then in force, or `current` is.
    left: Option<Left>,
    /// A former key was destroyed after its change: by a later access, or by the start after a crash.
    destroyed_late: bool,
}

/// What storage that failed left of a change.
struct Left {
    changed: bool,
    why: String,
}

impl Keyring {
    /// Reads the keys of the database, or makes the first one where neither database nor wrapped key exists.
    pub(crate) fn load(database: &Path, exists: bool, source: &dyn KeySource) -> Result<Self, Fault> {
        let on_file = |error: io::Error| Fault::refused(error.to_string());
        // What a crash left behind of a key that never came into force.
        files::destroy(&files::beside(database, UNFINISHED)).map_err(on_file)?;
        let at = files::beside(database, CURRENT);
        let current = files::read_private(&at).map_err(on_file)?;
        let next_at = files::beside(database, NEXT);
        let next = files::read_private(&next_at).map_err(on_file)?;
        let first = current.is_none() && next.is_none();
        if first && exists {
            return Err(Fault::refused(format!(
                "{}, which holds its wrapped key, is missing, and it opens with no other key. Restore the file from \
                 the same backup as the database. Without one, remove the database to start as an unprovisioned \
                 device; a new key is never made for an existing database",
                at.display()
            )));
        }
        let wrapping = source
            .wrapping_key(first)
            .map_err(|fault| Fault::refused(fault.cause))?;
        let unwrapped = |path: &Path, bytes: &[u8]| {
            wrapped::unwrap(bytes, &wrapping)
                .map_err(|fault| format!("the wrapped key in {} cannot be used: {fault}", path.display()))
        };
        let current = match &current {
            Some(bytes) => unwrapped(&at, bytes),
            None if first => Ok(make(database, CURRENT, &wrapping).map_err(on_file)?),
            None => Err(format!("the wrapped key in {} is missing; restore it", at.display())),
        };
        let next = next.map(|bytes| unwrapped(&next_at, &bytes));
        Ok(Self {
            database: database.to_owned(),
            wrapping,
            current,
            next,
            left: None,
            destroyed_late: false,
        })
    }

    /// Opens the database, and finishes or undoes a change of its key.
    pub(crate) async fn open(&mut self) -> Result<Connection, Fault> {
        if let Some(Ok(next)) = &self.next {
            match connection::open(&self.database, next).await {
                Ok(mut connection) => {
                    self.clear_away(&mut connection, true).await;
                    return Ok(connection);
                }
                Err(Fault::AnotherKey) => {}
                Err(fault) => return Err(fault),
            }
        }
        let current = self.current.as_ref().map_err(Fault::refused)?;
        let mut connection = connection::open(&self.database, current).await?;
        if self.next.is_some() {
            self.clear_away(&mut connection, false).await;
        }
        Ok(connection)
    }

    /// Tries again to clear away what storage that failed left of a change. Not to be called inside a transaction.
    pub(crate) async fn try_again(&mut self, connection: &mut Connection) {
        if let Some(left) = &self.left {
            let changed = left.changed;
            self.clear_away(connection, changed).await;
        }
    }

    /// Steps 3 to 5 of a change that the database went along with, or the removal of a next key that it did not.
    async fn clear_away(&mut self, connection: &mut Connection, changed: bool) {
        let cleared = if changed {
            connection::empty_log(connection)
                .await
                .and_then(|()| self.finish_change())
        } else {
            self.undo_change()
        };
        self.left = match cleared {
            Ok(()) => {
                self.destroyed_late |= changed;
                None
            }
            Err(fault) => Some(Left {
                changed,
                why: fault.to_string(),
            }),
        };
    }

    /// Whether a former key was destroyed late since this was last asked.
    ///
    /// Fails where one is still there.
    pub(crate) fn former_key(&mut self) -> Result<bool, Fault> {
        match &self.left {
            Some(left) if left.changed => Err(Fault::refused(&left.why)),
            Some(_) | None => Ok(std::mem::take(&mut self.destroyed_late)),
        }
    }

    /// Whether the database is now encrypted with this key, which [`Self::begin_change`] gave. A former key that was
    /// destroyed by now was not late.
    pub(crate) fn changed_to(&mut self, key: &DatabaseKey) -> bool {
        let changed = match (&self.left, &self.next) {
            (None, None) => self.current.as_ref().is_ok_and(|current| current == key),
            (Some(left), Some(Ok(next))) => left.changed && next == key,
            _ => false,
        };
        if changed {
            self.destroyed_late = false;
        }
        changed
    }

    /// Step 1: makes a new key, durably, and gives it for the encryption.
    pub(crate) fn begin_change(&mut self) -> Result<&DatabaseKey, Fault> {
        if self.next.is_some() {
            let why = self.left.as_ref().map_or("", |left| &left.why);
            return Err(Fault::refused(format!(
                "the last change of the database key is not over, so another cannot begin: {why}"
            )));
        }
        let next = make(&self.database, NEXT, &self.wrapping)
            .map_err(|error| Fault::refused(format!("a new database key cannot be written: {error}")))?;
        match self.next.insert(Ok(next)) {
            Ok(next) => Ok(next),
            Err(cause) => Err(Fault::refused(&*cause)),
        }
    }

    /// Steps 4 and 5.
    fn finish_change(&mut self) -> Result<(), Fault> {
        let finish = || {
            let (current, next) = (self.path(CURRENT), self.path(NEXT));
            // Where an earlier attempt came as far as the new name, the key in force is the one that stands there.
            if next.try_exists()? {
                files::overwrite(&current)?;
                std::fs::rename(&next, &current)?;
            }
            files::sync_directory(files::directory_of(&current)?)
        };
        finish().map_err(|error| {
            Fault::refused(format!(
                "the former database key cannot be destroyed: {error}. Check the storage, and make the directory \
                 writable; it is tried again at every access"
            ))
        })?;
        if let Some(next) = self.next.take() {
            self.current = next;
        }
        Ok(())
    }

    fn undo_change(&mut self) -> Result<(), Fault> {
        let next = self.path(NEXT);
        files::destroy(&next).map_err(|error| {
            Fault::refused(format!(
                "the database key was not changed, but {} cannot be removed: {error}",
                next.display()
            ))
        })?;
        self.next = None;
        Ok(())
    }

    fn path(&self, suffix: &str) -> PathBuf {
        files::beside(&self.database, suffix)
    }
}

const CURRENT: &str = "-key";
const NEXT: &str = "-key-next";
const UNFINISHED: &str = "-key.tmp";

/// The files beside the database that hold its wrapped key: the second is there while the key is being changed.
#[must_use]
pub fn wrapped_key_files(database: &Path) -> [PathBuf; 2] {
    [CURRENT, NEXT].map(|suffix| files::beside(database, suffix))
}

/// A new key, wrapped and durable beside the database.
fn make(database: &Path, suffix: &str, wrapping: &WrappingKey) -> io::Result<DatabaseKey> {
    let key = wrapped::new_database_key()?;
    let content = wrapped::wrap(&key, wrapping)?;
    files::write_private(
        &files::beside(database, suffix),
        &files::beside(database, UNFINISHED),
        &content,
    )?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use sqlx::Executor as _;
    use tempfile::TempDir;
    use zmon_domain::audit::{AuditEntry, AuditEvent};
    use zmon_domain::time::Timestamp;
    use zmon_ports::ProvisioningStore as _;

    use super::*;
    use crate::{FileKeySource, SqlcipherStore};

    struct Home(TempDir);

    impl Keyring {
        /// Whether it has this key and no other.
        fn holds(&self, key: &DatabaseKey) -> bool {
            self.next.is_none() && self.current.as_ref().is_ok_and(|current| current == key)
        }
    }

    impl Home {
        fn new() -> Self {
            Self(TempDir::new().unwrap())
        }

        fn at(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn source(&self) -> FileKeySource {
            FileKeySource::new(self.at("source.key"))
        }

        fn keys(&self) -> Keyring {
            Keyring::load(&self.at("store.db"), true, &self.source()).unwrap()
        }

        async fn store(&self) -> SqlcipherStore {
            SqlcipherStore::open(&self.at("store.db"), &self.source(), Timestamp::default())
                .await
                .unwrap()
        }

        /// What a power cut would leave behind now.
        fn cut(&self) -> Self {
            let copy = Self::new();
            for entry in std::fs::read_dir(self.0.path()).unwrap() {
                let entry = entry.unwrap();
                std::fs::copy(entry.path(), copy.0.path().join(entry.file_name())).unwrap();
            }
            copy
        }
    }

    /// Looks at the store after a cut: it holds the records of before, or one more, under this key alone.
    async fn is(home: Home, records: u64, key: &DatabaseKey, when: &str) {
        let store = home.store().await;
        assert_eq!(store.load().await.unwrap().audit.count, records, "{when}");
        assert!(home.keys().holds(key), "{when}");
        store.rotate_key(Timestamp::default(), &[]).await.unwrap();
        store.close().await;
        assert!(!home.keys().holds(key), "{when}: and can be changed again");
        for gone in [NEXT, UNFINISHED, "-wal", "-shm"] {
            assert!(!home.at(&format!("store.db{gone}")).exists(), "{when}: {gone}");
        }
    }

    #[tokio::test]
    async fn it_keeps_the_new_key_where_only_the_folder_could_not_be_synced() {
        let home = Home::new();
        home.store().await.close().await;
        let mut keys = home.keys();
        let next = keys.begin_change().unwrap().clone();
        // As far as an attempt comes whose last step fails.
        std::fs::rename(keys.path(NEXT), keys.path(CURRENT)).unwrap();
        keys.finish_change().unwrap();
        assert!(keys.holds(&next));
        assert!(home.keys().holds(&next), "the file still holds it");
    }

    #[tokio::test]
    async fn it_finishes_or_undoes_a_change_that_was_cut_anywhere() {
        let home = Home::new();
        let store = home.store().await;
        let entry = AuditEntry::new(AuditEvent::ServiceStarted).with_detail("x".repeat(20_000));
        store
            .record(Timestamp::default(), &vec![entry; 10], None)
            .await
            .unwrap();
        store.close().await;
        let mut keys = home.keys();
        let former = keys.current.clone().unwrap();
        let mut connection = keys.open().await.unwrap();
        connection.execute("BEGIN IMMEDIATE").await.unwrap();
        let record = [AuditEntry::new(AuditEvent::DatabaseKeyRotated)];
        crate::audit::append(&mut connection, Timestamp::default(), &record)
            .await
            .unwrap();
        let before = home.cut();
        std::fs::write(before.at("store.db-key.tmp"), b"half of a key").unwrap();
        is(before, 11, &former, "while the next key is being written").await;

        let next = keys.begin_change().unwrap().clone();
        assert!(!keys.holds(&next) && !keys.holds(&former));
        is(home.cut(), 11, &former, "with the next key at hand").await;

        connection::encrypt_anew(&mut connection, &next).await.unwrap();
        let log = std::fs::read(home.at("store.db-wal")).unwrap();
        is(home.cut(), 12, &next, "with everything in the log").await;
        for length in [0, 100, log.len() / 2, log.len() - 1] {
            let torn = home.cut();
            std::fs::write(torn.at("store.db-wal"), &log[..length]).unwrap();
            is(torn, 11, &former, "before all of the commit was written").await;
        }
        let half = home.cut();
        let old = std::fs::read(half.at("store.db")).unwrap();
        connection.close().await;
        let new = std::fs::read(home.at("store.db")).unwrap();
        assert_eq!(old.len(), new.len());
        for pages in 0..=old.len() / 4096 {
            let half = half.cut();
            std::fs::write(
                half.at("store.db"),
                [&new[..pages * 4096], &old[pages * 4096..]].concat(),
            )
            .unwrap();
            is(half, 12, &next, "while the log is moved into the database").await;
        }
        is(home.cut(), 12, &next, "with everything in the database").await;

        let current = home.at("store.db-key");
        let wrapped = std::fs::read(&current).unwrap();
        for zeroes in [1, 60, wrapped.len()] {
            let mut torn = wrapped.clone();
            torn[..zeroes].fill(0);
            std::fs::write(&current, torn).unwrap();
            is(home.cut(), 12, &next, "while the former key is overwritten").await;
        }
        std::fs::rename(home.at("store.db-key-next"), &current).unwrap();
        is(home.cut(), 12, &next, "with the new name").await;
    }

    #[tokio::test]
    async fn it_touches_neither_key_where_the_database_opens_with_none() {
        let home = Home::new();
        home.store().await.close().await;
        let mut keys = home.keys();
        keys.begin_change().unwrap();
        let files = || [CURRENT, NEXT].map(|suffix| std::fs::read(home.at(&format!("store.db{suffix}"))).unwrap());
        let before = files();
        let whole = std::fs::read(home.at("store.db")).unwrap();
        let mut damaged = whole.clone();
        damaged[2000] ^= 1;
        std::fs::write(home.at("store.db"), damaged).unwrap();
        assert!(matches!(home.keys().open().await, Err(Fault::AnotherKey)));
        assert_eq!(files(), before);
        std::fs::write(home.at("store.db"), whole).unwrap();
        home.keys().open().await.unwrap();
        assert!(!home.at("store.db-key-next").exists());
    }
}
