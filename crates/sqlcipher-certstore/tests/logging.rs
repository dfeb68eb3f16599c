//! Apart from the other tests, because it listens to everything that the process logs.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Executor as _};
use tempfile::TempDir;
use zmon_domain::time::Timestamp;
use zmon_ports::KeySource as _;
use zmon_sqlcipher_certstore::{FileKeySource, SqlcipherStore, unwrap};
use zmon_testkit::installation::installation;
use zmon_testkit::store::seal_with_head;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).to_lowercase()
    }
}

#[tokio::test]
async fn it_never_logs_the_key_or_a_statement() {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_writer(move || writer.clone())
        .init();
    let home = TempDir::new().unwrap();
    let keys = FileKeySource::new(home.path().join("database.key"));
    let path = home.path().join("store.db");
    let store = SqlcipherStore::open(&path, &keys, Timestamp::default()).await.unwrap();
    let (sample, entries) = installation("ICU-MON-04", true);
    zmon_ports::ProvisioningStore::install(&store, &sample, &entries, &seal_with_head)
        .await
        .unwrap();
    zmon_ports::ProvisioningStore::rotate_key(&store, Timestamp::default(), &[])
        .await
        .unwrap();
    store.close().await;
    let wrapping = keys.wrapping_key(false).unwrap();
    let key = unwrap(&std::fs::read(home.path().join("store.db-key")).unwrap(), &wrapping).unwrap();
    let hexadecimal = |key: &[u8; 32]| key.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    for word in [
        &hexadecimal(wrapping.expose()),
        &hexadecimal(key.expose()),
        "pragma",
        "insert",
        "private key",
    ] {
        assert!(!log.text().contains(word), "{word} is in the log: {}", log.text());
    }
    // The control: a connection that logs statements is heard.
    let mut plain = SqliteConnectOptions::new().connect().await.unwrap();
    plain.execute("PRAGMA user_version = 7").await.unwrap();
    assert!(log.text().contains("pragma user_version"), "{}", log.text());
}
