use std::collections::BTreeMap;
use std::ffi::OsString;

use zmon_ports::ProvisioningStore as _;

use crate::home::{Home, install};

#[tokio::test]
async fn it_does_not_load_what_no_version_writes() {
    for (tampering, words) in [
        ("UPDATE device SET status = 'READY_TO_PAIR'", "stored status"),
        ("DELETE FROM certificates WHERE role = 'client'", "client certificate"),
        ("DELETE FROM certificates WHERE role = 'ca'", "CA certificate"),
        (
            "DELETE FROM certificates WHERE role = 'client' AND position = 0",
            "chain of the client",
        ),
        ("DELETE FROM credentials WHERE role = 'client key'", "client key"),
        (
            "PRAGMA foreign_keys = OFF; DELETE FROM credentials WHERE role = 'server'",
            "PEM text of the server",
        ),
        (
            "UPDATE settings SET value = '0' WHERE key = 'syncInterval'",
            "syncInterval",
        ),
        (
            "UPDATE settings SET value = 'http://x' WHERE key = 'serverUrl'",
            "serverUrl",
        ),
        ("DELETE FROM settings WHERE key = 'language'", "language"),
        ("UPDATE device SET receipt = NULL", "installation is incomplete"),
        ("UPDATE device SET body_sha256 = x'00'", "body_sha256"),
        ("UPDATE device SET time_floor_ms = -1", "time is negative"),
        ("UPDATE certificates SET not_after_ms = -1", "time is negative"),
    ] {
        let home = Home::new();
        let store = home.open().await;
        install(&store).await;
        store.close().await;
        home.tamper(tampering).await;
        let fault = home.open().await.load().await.expect_err(tampering);
        assert!(fault.cause.contains(words), "{tampering}: {fault}");
        assert!(fault.cause.contains("store.db"), "{tampering}: {fault}");
        assert!(!fault.cause.contains("http://x"), "{tampering}: {fault}");
    }
}

/// Name and content of every file beside the database.
fn files(home: &Home) -> BTreeMap<OsString, Vec<u8>> {
    let entries = std::fs::read_dir(home.path().join("data")).unwrap();
    let read = |entry: std::fs::DirEntry| (entry.file_name(), std::fs::read(entry.path()).unwrap());
    entries.map(|entry| read(entry.unwrap())).collect()
}

#[tokio::test]
async fn it_refuses_a_newer_schema() {
    let home = Home::new();
    home.open().await.close().await;
    home.tamper("INSERT INTO _sqlx_migrations VALUES (9999, 'future', CURRENT_TIMESTAMP, TRUE, x'00', 0)")
        .await;
    let before = files(&home);
    let refusal = home.refusal().await;
    assert!(
        refusal
            .contains("version 9999, which is newer than this software; install the newer software again, or restore"),
        "{refusal}"
    );
    assert_eq!(files(&home), before, "nothing is changed");
}

#[tokio::test]
async fn it_refuses_a_schema_that_another_migration_made() {
    let home = Home::new();
    home.open().await.close().await;
    home.tamper("UPDATE _sqlx_migrations SET checksum = x'00'").await;
    let before = files(&home);
    let refusal = home.refusal().await;
    assert!(
        refusal.contains("version 1 of its schema is not the one that this software knows"),
        "{refusal}"
    );
    assert_eq!(files(&home), before, "nothing is changed");
}

#[tokio::test]
async fn it_records_its_creation_once() {
    let home = Home::new();
    for _ in 0..3 {
        let store = home.open().await;
        assert_eq!(store.load().await.unwrap().audit.count, 1);
        store.close().await;
    }
}

#[tokio::test]
async fn it_does_not_start_anew_beside_a_log_without_its_database() {
    let home = Home::new();
    let store = home.open().await;
    install(&store).await;
    let copy = home.copy();
    std::fs::remove_file(copy.database()).unwrap();
    let refusal = copy.refusal().await;
    assert!(refusal.contains("write-ahead log is there"), "{refusal}");
    assert!(!copy.database().exists());
}

#[tokio::test]
async fn it_takes_an_empty_file_for_a_store_that_was_never_written() {
    let home = Home::new();
    std::fs::create_dir(home.path().join("data")).unwrap();
    std::fs::write(home.database(), b"").unwrap();
    assert_eq!(home.open().await.load().await.unwrap().audit.count, 1);
}

#[tokio::test]
async fn it_refuses_a_link_in_place_of_the_database() {
    let home = Home::new();
    std::fs::create_dir(home.path().join("data")).unwrap();
    std::os::unix::fs::symlink("/dev/null", home.database()).unwrap();
    let refusal = home.refusal().await;
    assert!(refusal.contains("not a regular file"), "{refusal}");
}
