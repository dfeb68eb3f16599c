use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use sqlx::{AssertSqlSafe, Connection as _, Executor as _};
use zmon_domain::secret::SecretBytes;
use zmon_ports::{KeySource, KeySourceFault, ProvisioningStore as _, WrappingKey};
use zmon_sqlcipher_certstore::SqlcipherStore;

use crate::home::{AT, Home, LABEL, erase, install};

struct OtherKey;

impl KeySource for OtherKey {
    fn wrapping_key(&self, _: bool) -> Result<WrappingKey, KeySourceFault> {
        Ok(SecretBytes::take(&mut [0x5a; 32]))
    }
}

/// Which of the needles stand in any file of the directory.
fn found(directory: &Path) -> Vec<&'static str> {
    let needles = [
        "SQLite format 3",
        "CREATE TABLE",
        "-----BEGIN",
        "Q0FOQVJZLVBSSVZBVEUtS0VZLU9GLVRIRS1URVNUUw",
        "ZM-SAMPLE-0001",
        LABEL,
        "provisioning completed",
        "central.example",
    ];
    let mut bytes = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        bytes.extend(std::fs::read(entry.unwrap().path()).unwrap());
    }
    let stands = |needle: &&str| bytes.windows(needle.len()).any(|window| window == needle.as_bytes());
    needles.into_iter().filter(stands).collect()
}

#[tokio::test]
async fn it_leaves_nothing_in_the_clear() {
    let home = Home::new();
    let store = home.open().await;
    install(&store).await;
    assert!(
        home.log().metadata().unwrap().len() > 0,
        "the installation stands in the log"
    );
    let data = home.database().parent().unwrap().to_owned();
    assert_eq!(found(&data), Vec::<&str>::new());
    store.close().await;
    assert_eq!(found(&data), Vec::<&str>::new());
    // The control: the same content without encryption is found, all of it.
    let plain = home.path().join("plain");
    std::fs::create_dir(&plain).unwrap();
    std::fs::write(plain.join("plain.db"), b"").unwrap();
    let mut connection = home.connection().await;
    let attach = format!("ATTACH DATABASE '{}' AS plain KEY ''", plain.join("plain.db").display());
    connection.execute(AssertSqlSafe(attach)).await.unwrap();
    connection.execute("SELECT sqlcipher_export('plain')").await.unwrap();
    connection.close().await.unwrap();
    assert_eq!(found(&plain).len(), 8, "{:?}", found(&plain));
}

#[tokio::test]
async fn it_does_not_open_with_another_key() {
    let home = Home::new();
    home.open().await.close().await;
    let before = std::fs::read(home.database()).unwrap();
    let Err(fault) = SqlcipherStore::open(&home.database(), &OtherKey, AT).await else {
        panic!("another key opens it");
    };
    assert!(fault.cause.contains("wrapped by another key"), "{fault}");
    assert!(fault.cause.contains("store.db-key"), "{fault}");
    assert_eq!(std::fs::read(home.database()).unwrap(), before);
    home.open().await;
}

#[tokio::test]
async fn it_makes_no_new_key_for_a_database_that_is_there() {
    let home = Home::new();
    home.open().await.close().await;
    std::fs::remove_file(home.path().join("keys/database.key")).unwrap();
    let refusal = home.refusal().await;
    assert!(refusal.contains("the file is missing"), "{refusal}");
    assert!(!home.path().join("keys/database.key").exists());
}

#[tokio::test]
async fn it_makes_files_that_nobody_else_can_read() {
    let home = Home::new();
    let store = home.open().await;
    install(&store).await;
    let mode = |name: &str| home.path().join(name).metadata().unwrap().permissions().mode() & 0o777;
    for directory in ["data", "keys"] {
        assert_eq!(mode(directory), 0o700, "{directory}");
    }
    for file in [
        "data/store.db",
        "data/store.db-wal",
        "data/store.db-shm",
        "data/store.db-key",
        "data/store.db-lock",
        "keys/database.key",
    ] {
        assert_eq!(mode(file), 0o600, "{file}");
    }
    store.close().await;
    std::fs::set_permissions(home.database(), std::fs::Permissions::from_mode(0o644)).unwrap();
    let _open = home.open().await;
    assert_eq!(mode("data/store.db"), 0o600);
}

#[tokio::test]
async fn it_empties_the_log_when_it_erases() {
    let home = Home::new();
    let store = home.open().await;
    install(&store).await;
    assert!(home.log().metadata().unwrap().len() > 0);
    erase(&store).await;
    assert!(home.log().metadata().map_or(0, |log| log.len()) == 0);
    // A crash right after the erasure, before the log was emptied, is made good by the next opening.
    let home = Home::new();
    let store = home.open().await;
    install(&store).await;
    let copy = home.copy();
    assert!(copy.log().metadata().unwrap().len() > 0);
    let _open = copy.open().await;
    assert_eq!(copy.log().metadata().unwrap().len(), 0);
}

#[tokio::test]
async fn it_reports_every_damaged_page_that_it_reads() {
    const PAGE: usize = 4096;
    let home = Home::new();
    let store = home.open().await;
    let given = install(&store).await;
    store.close().await;
    let whole = std::fs::read(home.database()).unwrap();
    let mut reported = 0;
    for page in 0..whole.len() / PAGE {
        let mut damaged = whole.clone();
        damaged[page * PAGE + 1234] ^= 1;
        std::fs::write(home.database(), damaged).unwrap();
        let read = async {
            let store = home.try_open().await?;
            let state = store.load().await?;
            store.credentials().await?;
            store.verify_audit().await?;
            Ok::<_, zmon_ports::StoreFault>(state)
        };
        match read.await {
            Err(fault) => {
                reported += 1;
                assert!(fault.cause.contains("store.db"), "{fault}");
                assert!(fault.cause.contains("damaged"), "{fault}");
            }
            Ok(state) => assert_eq!(zmon_testkit::store::installed(state), given, "page {page}"),
        }
    }
    assert!(
        reported > whole.len() / PAGE / 2,
        "{reported} of {}",
        whole.len() / PAGE
    );
    std::fs::write(home.database(), whole).unwrap();
    home.open().await.load().await.unwrap();
}
