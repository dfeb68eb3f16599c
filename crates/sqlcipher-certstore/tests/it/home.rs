//! A directory with a database and its key, and a second way into the database that bypasses the store.

use std::path::{Path, PathBuf};

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _};
use tempfile::TempDir;
use zmon_domain::result::{DestructionRecord, InstalledConfiguration};
use zmon_domain::time::Timestamp;
use zmon_ports::{KeySource as _, ProvisioningStore as _, StoreFault};
use zmon_sqlcipher_certstore::{DatabaseKey, FileKeySource, SqlcipherStore, unwrap};
use zmon_testkit::installation::installation;
use zmon_testkit::store::{seal_destruction, seal_with_head};

pub(crate) const AT: Timestamp = Timestamp::from_millis(1_700_000_000_123);
/// Stands in settings and audit.
pub(crate) const LABEL: &str = "Sample label 4711";

pub(crate) struct Home {
    directory: TempDir,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self {
            directory: TempDir::new().unwrap(),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.path().join("data/store.db")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.path().join("data/store.db-wal")
    }

    pub(crate) fn keys(&self) -> FileKeySource {
        FileKeySource::new(self.path().join("keys/database.key"))
    }

    pub(crate) async fn open(&self) -> SqlcipherStore {
        self.try_open().await.unwrap()
    }

    pub(crate) async fn try_open(&self) -> Result<SqlcipherStore, StoreFault> {
        SqlcipherStore::open(&self.database(), &self.keys(), AT).await
    }

    /// Why the store does not open.
    pub(crate) async fn refusal(&self) -> String {
        match self.try_open().await {
            Ok(_) => panic!("the store opens"),
            Err(fault) => fault.cause,
        }
    }

    /// What stands in the files now, as a power cut would leave it: put into a new home.
    pub(crate) fn copy(&self) -> Self {
        let copy = Self::new();
        for folder in ["data", "keys"] {
            std::fs::create_dir(copy.path().join(folder)).unwrap();
            for entry in std::fs::read_dir(self.path().join(folder)).unwrap() {
                let entry = entry.unwrap();
                std::fs::copy(entry.path(), copy.path().join(folder).join(entry.file_name())).unwrap();
            }
        }
        copy
    }

    /// Where the wrapped key lies.
    pub(crate) fn wrapped_key(&self) -> PathBuf {
        self.path().join("data/store.db-key")
    }

    /// The key that the database is encrypted with.
    pub(crate) fn database_key(&self) -> DatabaseKey {
        let wrapping = self.keys().wrapping_key(false).unwrap();
        unwrap(&std::fs::read(self.wrapped_key()).unwrap(), &wrapping).unwrap()
    }

    /// A connection of its own, with the key.
    pub(crate) async fn connection(&self) -> SqliteConnection {
        let key = self.database_key();
        let key: String = key.expose().iter().map(|byte| format!("{byte:02x}")).collect();
        let options = SqliteConnectOptions::new().filename(self.database());
        options.pragma("key", format!("\"x'{key}'\"")).connect().await.unwrap()
    }

    /// Does something to the database behind the store's back.
    pub(crate) async fn tamper(&self, statements: &str) {
        let mut connection = self.connection().await;
        connection.execute(AssertSqlSafe(statements.to_owned())).await.unwrap();
        connection.close().await.unwrap();
    }
}

pub(crate) async fn install(store: &SqlcipherStore) -> InstalledConfiguration {
    let (installation, entries) = installation(LABEL, true);
    store.install(&installation, &entries, &seal_with_head).await.unwrap()
}

pub(crate) async fn erase(store: &SqlcipherStore) -> DestructionRecord {
    store.erase(AT, &[], false, &seal_destruction).await.unwrap()
}
