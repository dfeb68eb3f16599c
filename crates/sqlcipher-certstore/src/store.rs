//! The store: one transaction for each use case.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection as _, SqlSafeStr as _};
use tokio::sync::Mutex;
use zmon_domain::audit::{AuditEntry, AuditEvent, AuditHead};
use zmon_domain::checks::Installation;
use zmon_domain::machine::Persisted;
use zmon_domain::result::{DestructionRecord, InstalledConfiguration};
use zmon_domain::status::{PersistedStatus, ProvisioningStatus, Retirement};
use zmon_domain::time::Timestamp;
use zmon_ports::{KeySource, ProvisioningStore, SealDestruction, SealReceipt, StoreFault, StoredState};

use crate::audit;
use crate::connection::{self, Access, Connection, Slot, Transaction};
use crate::fault::{Fault, from_millis, to_millis};
use crate::keyring::Keyring;
use crate::lock::StoreLock;
use crate::reserve::Reserve;
use crate::{administration, files, installed};

/// Forward only: a migration that was released is never changed. They are listed, and not collected by a macro of sqlx: that would
/// have every build for a device compile a second SQLCipher, for the machine that builds, and differ with that machine.
static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    Migrator::with_migrations(vec![
        migration(1, "initial", include_str!("../migrations/0001_initial.sql")),
        migration(
            10,
            "administration",
            include_str!("../migrations/0010_administration.sql"),
        ),
    ])
});

fn migration(version: i64, description: &'static str, sql: &'static str) -> Migration {
    Migration::new(
        version,
        description.into(),
        MigrationType::Simple,
        sql.into_sql_str(),
        false,
    )
}

/// The encrypted store.
///
/// It has one connection, which one call after the other uses. A call that fails, or that its caller drops midway,
/// leaves the database as it was; its connection is closed and the next call opens another.
pub struct SqlcipherStore {
    path: PathBuf,
    access: Mutex<Access>,
}

impl SqlcipherStore {
    /// Opens the store at `path`; on the first start creates directory (mode 0700), files (mode 0600), key and schema.
    /// `at` is the wall time of the record "store created". A change of the key that a crash interrupted is finished or
    /// undone.
    ///
    /// # Errors
    /// Where another process has the store open, the key cannot be had or is another, a file cannot be opened or is
    /// damaged, the schema is newer than this software, or the library does not encrypt.
    pub async fn open(path: &Path, keys: &dyn KeySource, at: Timestamp) -> Result<Self, StoreFault> {
        let fault = |fault: Fault| fault_about("open the store", path, &fault);
        let on_file = |error: std::io::Error| fault(Fault::refused(error.to_string()));
        files::directory_of(path).map_err(on_file)?;
        let lock = StoreLock::take(path).await.map_err(fault)?;
        let exists = files::database_exists(path).map_err(on_file)?;
        // The key first: a database without its key would be worth nothing.
        let mut keys = Keyring::load(path, exists, keys).map_err(fault)?;
        files::private_database(path).map_err(on_file)?;
        let mut reserve = Reserve::of(path);
        reserve.make_room();
        let connection = Self::prepare(&mut keys, at).await.map_err(fault)?;
        reserve.fill();
        Ok(Self {
            path: path.to_owned(),
            access: Mutex::new(Access {
                slot: Slot::Idle(connection),
                keys,
                reserve,
                lock: Some(lock),
            }),
        })
    }

    async fn prepare(keys: &mut Keyring, at: Timestamp) -> Result<Connection, Fault> {
        let mut connection = keys.open().await?;
        // `run` does the same, but its future is not `Send`.
        let migrate = MIGRATIONS.run_direct(None, &mut *connection, false);
        migrate.await.map_err(migration_fault)?;
        create_device(&mut connection, at).await?;
        // A crash may have left older pages in the log.
        connection::empty_log(&mut connection).await?;
        Ok(connection)
    }

    /// Closes the database, so that another process can open the store. Afterwards every call fails.
    pub async fn close(&self) {
        let mut access = self.access.lock().await;
        if let Slot::Idle(connection) = std::mem::replace(&mut access.slot, Slot::Closed) {
            connection.close().await;
        }
        access.lock = None;
    }

    pub(crate) async fn begin(&self) -> Result<Transaction<'_>, Fault> {
        Transaction::begin(&self.access, false).await
    }

    async fn begin_act(&self) -> Result<Transaction<'_>, Fault> {
        Transaction::begin(&self.access, true).await
    }

    pub(crate) fn fault(&self, what: &'static str) -> impl FnOnce(Fault) -> StoreFault {
        move |fault| fault_about(what, &self.path, &fault)
    }
}

impl ProvisioningStore for SqlcipherStore {
    async fn load(&self) -> Result<StoredState, StoreFault> {
        let load = async {
            let mut transaction = self.begin().await?;
            let connection = &mut transaction.connection;
            let persisted = match read_status(connection).await? {
                PersistedStatus::Unprovisioned => Persisted::Unprovisioned,
                PersistedStatus::Provisioned => Persisted::Provisioned(Box::new(installed::read(connection).await?)),
                PersistedStatus::Deprovisioned => Persisted::Deprovisioned,
            };
            let time_floor = read_time_floor(connection).await?;
            let audit = audit::checked_head(connection).await?;
            let administration = administration::read(connection).await?;
            let state = StoredState {
                persisted,
                time_floor,
                audit,
                pin_misses: administration.pin_misses,
                destruction: administration.destruction,
                retirement: administration.retirement,
            };
            transaction.commit(state).await
        };
        load.await.map_err(self.fault("read the store"))
    }

    async fn record(
        &self,
        at: Timestamp,
        entries: &[AuditEntry],
        status: Option<PersistedStatus>,
    ) -> Result<AuditHead, StoreFault> {
        let record = async {
            let acts = status.is_some() || entries.iter().any(|entry| entry.event.is_of_a_person());
            let mut transaction = Transaction::begin(&self.access, acts).await?;
            let connection = &mut transaction.connection;
            if let Some(status) = status {
                // What is installed comes and goes with this status, in `install` and `erase` alone.
                if status == PersistedStatus::Provisioned
                    || read_status(connection).await? == PersistedStatus::Provisioned
                {
                    return Err(Fault::refused(
                        "PROVISIONED begins with an installation and ends with an erasure",
                    ));
                }
                write_status(connection, status).await?;
            }
            let head = audit::append(connection, at, entries).await?;
            transaction.commit(head).await
        };
        record.await.map_err(self.fault("write the audit"))
    }

    async fn install(
        &self,
        installation: &Installation,
        entries: &[AuditEntry],
        seal: SealReceipt<'_>,
    ) -> Result<InstalledConfiguration, StoreFault> {
        let install = async {
            let mut transaction = self.begin_act().await?;
            let connection = &mut transaction.connection;
            if read_status(connection).await? == PersistedStatus::Provisioned {
                return Err(Fault::refused(
                    "the device is provisioned; let an administrator de-provision it first",
                ));
            }
            installed::clear(connection).await?;
            installed::write(connection, installation).await?;
            write_status(connection, PersistedStatus::Provisioned).await?;
            let head = audit::append(connection, installation.completed_at(), entries).await?;
            let receipt = seal(head).map_err(|fault| Fault::refused(fault.cause))?;
            installed::write_receipt(connection, &receipt).await?;
            transaction.commit(receipt).await
        };
        let receipt = install.await.map_err(self.fault("install the configuration"))?;
        Ok(InstalledConfiguration {
            settings: installation.settings().clone(),
            certificates: installation.certificates().clone(),
            completed_at: installation.completed_at(),
            body_sha256: installation.body_sha256(),
            receipt,
        })
    }

    async fn erase(
        &self,
        at: Timestamp,
        entries: &[AuditEntry],
        retire: bool,
        seal: SealDestruction<'_>,
    ) -> Result<DestructionRecord, StoreFault> {
        let erase = async {
            let mut transaction = self.begin_act().await?;
            let connection = &mut transaction.connection;
            if read_status(connection).await? != PersistedStatus::Provisioned {
                return Err(Fault::refused("nothing is installed"));
            }
            // The key that is erased may be the one that signs.
            let key = installed::read_credentials(connection).await?.client_private_key;
            let head = audit::append(connection, at, entries).await?;
            let record = seal(head, &key).map_err(|fault| Fault::refused(fault.cause))?;
            drop(key);
            administration::write_destruction(connection, &record).await?;
            if retire {
                administration::write_retirement(connection, Some(Retirement::Begun)).await?;
            }
            installed::clear(connection).await?;
            write_time_floor(connection, None).await?;
            write_status(connection, PersistedStatus::Deprovisioned).await?;
            transaction.commit_under_new_key().await?;
            Ok(record)
        };
        erase.await.map_err(self.fault("erase the configuration"))
    }

    async fn rotate_key(&self, at: Timestamp, entries: &[AuditEntry]) -> Result<(), StoreFault> {
        let rotate = async {
            let mut transaction = self.begin_act().await?;
            audit::append(&mut transaction.connection, at, entries).await?;
            transaction.commit_under_new_key().await
        };
        rotate.await.map_err(self.fault("change the database key"))
    }

    async fn destroy_former_key(&self) -> Result<bool, StoreFault> {
        let look = async {
            let mut transaction = self.begin().await?;
            let former = transaction.former_key();
            transaction.commit(()).await?;
            former
        };
        look.await.map_err(self.fault("destroy the former database key"))
    }

    async fn set_retirement(
        &self,
        at: Timestamp,
        retirement: Option<Retirement>,
        entries: &[AuditEntry],
    ) -> Result<(), StoreFault> {
        let write = async {
            let mut transaction = self.begin_act().await?;
            administration::write_retirement(&mut transaction.connection, retirement).await?;
            audit::append(&mut transaction.connection, at, entries).await?;
            transaction.commit(()).await
        };
        write.await.map_err(self.fault("write the retirement"))
    }

    async fn count_pin_miss(&self) -> Result<u32, StoreFault> {
        let count = async {
            let mut transaction = self.begin_act().await?;
            let misses = administration::count_pin_miss(&mut transaction.connection).await?;
            transaction.commit(misses).await
        };
        count.await.map_err(self.fault("count an administrator's PIN"))
    }

    async fn forget_pin_misses(&self, at: Timestamp, entries: &[AuditEntry]) -> Result<(), StoreFault> {
        let forget = async {
            let mut transaction = self.begin_act().await?;
            administration::forget_pin_misses(&mut transaction.connection).await?;
            audit::append(&mut transaction.connection, at, entries).await?;
            transaction.commit(()).await
        };
        forget.await.map_err(self.fault("record an administrator's PIN"))
    }

    async fn set_time_floor(
        &self,
        at: Timestamp,
        floor: Option<Timestamp>,
        entries: &[AuditEntry],
    ) -> Result<(), StoreFault> {
        let write = async {
            let mut transaction = self.begin_act().await?;
            write_time_floor(&mut transaction.connection, floor).await?;
            audit::append(&mut transaction.connection, at, entries).await?;
            transaction.commit(()).await
        };
        write.await.map_err(self.fault("write the time floor"))
    }
}

/// The device's row and the first audit record: together, so that a crash between them cannot lose the record.
async fn create_device(connection: &mut SqliteConnection, at: Timestamp) -> Result<(), Fault> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let created =
        sqlx::query("INSERT INTO device VALUES (1, ?, NULL, NULL, NULL, NULL, 0, zeroblob(32)) ON CONFLICT DO NOTHING")
            .bind(ProvisioningStatus::Unprovisioned.as_str())
            .execute(&mut *transaction)
            .await?;
    if created.rows_affected() == 1 {
        audit::append(&mut transaction, at, &[AuditEntry::new(AuditEvent::StoreCreated)]).await?;
    }
    transaction.commit().await?;
    Ok(())
}

pub(crate) async fn read_status(connection: &mut SqliteConnection) -> Result<PersistedStatus, Fault> {
    let stored: String = sqlx::query_scalar("SELECT status FROM device")
        .fetch_one(connection)
        .await?;
    PersistedStatus::from_name(&stored).ok_or_else(|| Fault::refused("the stored status is none that exists"))
}

async fn write_status(connection: &mut SqliteConnection, status: PersistedStatus) -> Result<(), Fault> {
    sqlx::query("UPDATE device SET status = ?")
        .bind(ProvisioningStatus::from(status).as_str())
        .execute(connection)
        .await?;
    Ok(())
}

async fn read_time_floor(connection: &mut SqliteConnection) -> Result<Option<Timestamp>, Fault> {
    let stored: Option<i64> = sqlx::query_scalar("SELECT time_floor_ms FROM device")
        .fetch_one(connection)
        .await?;
    stored.map(from_millis).transpose()
}

async fn write_time_floor(connection: &mut SqliteConnection, floor: Option<Timestamp>) -> Result<(), Fault> {
    sqlx::query("UPDATE device SET time_floor_ms = ?")
        .bind(floor.map(to_millis).transpose()?)
        .execute(connection)
        .await?;
    Ok(())
}

fn migration_fault(error: MigrateError) -> Fault {
    let newest = MIGRATIONS.iter().map(|migration| migration.version).max();
    match error {
        MigrateError::VersionMissing(version) if Some(version) > newest => Fault::refused(format!(
            "its schema has version {version}, which is newer than this software; install the newer software again, \
             or restore the database from before the update"
        )),
        MigrateError::VersionMissing(version) | MigrateError::VersionMismatch(version) => Fault::refused(format!(
            "version {version} of its schema is not the one that this software knows; install the software that wrote it"
        )),
        MigrateError::Execute(error) => error.into(),
        other => Fault::refused(other.to_string()),
    }
}

fn fault_about(what: &str, path: &Path, fault: &Fault) -> StoreFault {
    StoreFault {
        cause: format!("cannot {what} in {}: {fault}", path.display()),
    }
}

#[cfg(test)]
mod tests {
    use sqlx::{AssertSqlSafe, Executor as _};
    use tempfile::TempDir;
    use zmon_testkit::store::{installed, seal_with_head};

    use super::*;
    use crate::FileKeySource;

    #[test]
    fn it_knows_every_migration_by_its_files_name() {
        let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations")).unwrap();
        let mut files: Vec<_> = folder
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        let known = MIGRATIONS
            .iter()
            .map(|known| format!("{:04}_{}.sql", known.version, known.description));
        assert_eq!(known.collect::<Vec<_>>(), files);
    }

    async fn store() -> (TempDir, SqlcipherStore) {
        let home = TempDir::new().unwrap();
        let keys = FileKeySource::new(home.path().join("database.key"));
        let path = home.path().join("store.db");
        let opening = SqlcipherStore::open(&path, &keys, Timestamp::default());
        let store = is_send(opening).await.unwrap();
        (home, store)
    }

    fn is_send<T: Send>(value: T) -> T {
        value
    }

    /// Asks the store's own connection.
    async fn ask(store: &SqlcipherStore, question: &str) -> String {
        let mut access = store.access.lock().await;
        let Slot::Idle(connection) = &mut access.slot else {
            panic!("the connection is away");
        };
        let row = connection.fetch_one(AssertSqlSafe(question.to_owned())).await.unwrap();
        sqlx::Row::try_get_unchecked(&row, 0).unwrap()
    }

    #[tokio::test]
    async fn it_works_under_the_settings_that_durability_and_secrecy_need() {
        let (_home, store) = store().await;
        for (pragma, expected) in [
            ("journal_mode", "wal"),
            ("synchronous", "2"),
            ("foreign_keys", "1"),
            ("secure_delete", "1"),
            ("temp_store", "2"),
            ("trusted_schema", "0"),
            ("cache_spill", "0"),
            ("cipher_memory_security", "1"),
            ("busy_timeout", "5000"),
            ("cipher_use_hmac", "1"),
        ] {
            assert_eq!(ask(&store, &format!("PRAGMA {pragma}")).await, expected, "{pragma}");
        }
        let version = ask(&store, "PRAGMA cipher_version").await;
        assert!(version.starts_with("4."), "{version}");
    }

    #[tokio::test]
    async fn it_keeps_every_table_strict() {
        let (_home, store) = store().await;
        let lax = "SELECT coalesce(group_concat(name), '') FROM pragma_table_list
                   WHERE schema = 'main' AND type = 'table' AND strict = 0 AND name NOT LIKE 'sqlite_%'";
        assert_eq!(ask(&store, lax).await, "_sqlx_migrations", "all but sqlx's own");
    }

    #[tokio::test]
    async fn it_is_as_before_after_the_storage_was_full_and_works_once_there_is_room() {
        let (_home, store) = store().await;
        let before = format!("{:?}", store.load().await.unwrap());
        let pages = ask(&store, "PRAGMA page_count").await;
        assert_eq!(ask(&store, &format!("PRAGMA max_page_count = {pages}")).await, pages);
        let (sample, mut entries) = zmon_testkit::installation::installation("ICU-MON-04", true);
        entries.push(AuditEntry::new(AuditEvent::ServiceStarted).with_detail("x".repeat(100_000)));
        let fault = store.install(&sample, &entries, &seal_with_head).await.unwrap_err();
        assert!(fault.cause.contains("full"), "{fault}");
        assert_eq!(format!("{:?}", store.load().await.unwrap()), before);
        let given = store.install(&sample, &entries, &seal_with_head).await.unwrap();
        assert_eq!(installed(store.load().await.unwrap()), given);
    }
}
