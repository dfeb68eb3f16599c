use std::collections::BTreeSet;
use std::fs;
use std::num::NonZeroU32;
use std::path::Path;

use openssl::symm::{Cipher, Crypter, Mode};
use ring::{hmac, pbkdf2};
use zmon_domain::audit::{AuditEntry, AuditEvent};
use zmon_domain::machine::Persisted;
use zmon_ports::{KeySource as _, ProvisioningStore as _};
use zmon_sqlcipher_certstore::{AuditVerdict, DatabaseKey, SqlcipherStore};
use zmon_testkit::store::{installed, seal_destruction};

use crate::home::{AT, Home, erase, install};

const PAGE: usize = 4096;
/// At the end of each page: initialisation vector and HMAC-SHA512.
const VECTOR: usize = 16;
const MAC: usize = 64;

/// The content of every page in the database and its log that was written under this key: first SQLCipher's check of
/// integrity, then its decryption, both from its documentation.
fn pages_under(key: &DatabaseKey, home: &Home) -> Vec<Vec<u8>> {
    let database = fs::read(home.database()).unwrap();
    let log = fs::read(home.log()).unwrap_or_default();
    let salt: Vec<u8> = database[..16].iter().map(|byte| byte ^ 0x3a).collect();
    let mut derived = [0; 32];
    let rounds = NonZeroU32::new(2).unwrap();
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA512, rounds, &salt, key.expose(), &mut derived);
    let derived = hmac::Key::new(hmac::HMAC_SHA512, &derived);
    let in_database = database.chunks(PAGE).zip(1_u32..);
    // A page of the log stands behind its number and 20 more bytes; the log begins with 32 bytes.
    let in_log = log.get(32..).unwrap_or_default().chunks_exact(PAGE + 24);
    let in_log = in_log.map(|frame| (&frame[24..], u32::from_be_bytes(*frame.first_chunk().unwrap())));
    let plain = |(page, number): (&[u8], u32)| {
        // The first page begins with the salt.
        let body = &page[if number == 1 { 16 } else { 0 }..PAGE - MAC];
        hmac::verify(&derived, &[body, &number.to_le_bytes()].concat(), &page[PAGE - MAC..]).ok()?;
        let (body, vector) = body.split_at(body.len() - VECTOR);
        let mut crypter = Crypter::new(Cipher::aes_256_cbc(), Mode::Decrypt, key.expose(), Some(vector)).unwrap();
        crypter.pad(false);
        let mut plain = vec![0; PAGE + 16];
        let length = crypter.update(body, &mut plain).unwrap();
        plain.truncate(length);
        Some(plain)
    };
    in_database.chain(in_log).filter_map(plain).collect()
}

/// Every file of the state directory, as one.
fn everything(home: &Home) -> Vec<u8> {
    let mut all = Vec::new();
    for entry in fs::read_dir(home.path().join("data")).unwrap() {
        all.extend(fs::read(entry.unwrap().path()).unwrap());
    }
    all
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

async fn intact(store: &SqlcipherStore) -> u64 {
    match store.verify_audit().await.unwrap() {
        AuditVerdict::Intact(head) => head.count,
        broken @ AuditVerdict::Broken { .. } => panic!("{broken:?}"),
    }
}

#[tokio::test]
async fn it_changes_the_key_and_nothing_else() {
    let home = Home::new();
    let store = home.open().await;
    let given = install(&store).await;
    let (source, wrapped, key) = (
        home.keys().wrapping_key(false).unwrap(),
        fs::read(home.wrapped_key()).unwrap(),
        home.database_key(),
    );
    store
        .rotate_key(AT, &[AuditEntry::new(AuditEvent::DatabaseKeyRotated)])
        .await
        .unwrap();
    assert!(home.database_key() != key);
    assert_ne!(fs::read(home.wrapped_key()).unwrap(), wrapped);
    assert!(
        home.keys().wrapping_key(false).unwrap() == source,
        "the source is only read"
    );
    assert_eq!(installed(store.load().await.unwrap()), given);
    assert_eq!(intact(&store).await, 7);
    assert_eq!(
        store.audit_records(7, 1).await.unwrap()[0].event,
        "database key rotated"
    );
    store.close().await;
    assert_eq!(
        names(&home.path().join("data")),
        ["store.db", "store.db-key", "store.db-lock", "store.db-reserve"]
            .map(String::from)
            .into()
    );
    assert_eq!(
        installed(home.open().await.load().await.unwrap()),
        given,
        "after a restart"
    );
}

#[tokio::test]
async fn it_leaves_nothing_of_the_former_key_or_of_what_it_encrypted() {
    for erases in [true, false] {
        let home = Home::new();
        let store = home.open().await;
        install(&store).await;
        let (former, wrapped) = (home.database_key(), fs::read(home.wrapped_key()).unwrap());
        // Both in the database and in its log.
        store.close().await;
        let store = home.open().await;
        store
            .record(AT, &[AuditEntry::new(AuditEvent::ServiceStarted)], None)
            .await
            .unwrap();
        let pages = fs::read(home.database()).unwrap().len() / PAGE;
        let before = pages_under(&former, &home).len();
        assert!(
            before > pages,
            "the control: {before} pages under the key in force, log included"
        );
        assert!(contains(&everything(&home), &wrapped), "the control");

        // Other names of the files' contents: they show what overwriting in place leaves.
        let witness = ["wrapped", "pages"].map(|name| home.path().join(name));
        fs::hard_link(home.wrapped_key(), &witness[0]).unwrap();
        fs::hard_link(home.database(), &witness[1]).unwrap();

        if erases {
            erase(&store).await;
        } else {
            store.rotate_key(AT, &[]).await.unwrap();
        }
        assert_eq!(fs::read(&witness[0]).unwrap(), vec![0; wrapped.len()]);
        assert_eq!(fs::read(&witness[1]).unwrap(), fs::read(home.database()).unwrap());
        for closed in [false, true] {
            if closed {
                store.close().await;
            }
            let all = everything(&home);
            assert_eq!(
                pages_under(&former, &home).len(),
                0,
                "erases: {erases}, closed: {closed}"
            );
            assert_eq!(pages_under(&home.database_key(), &home).len(), pages, "every page once");
            for part in wrapped[20..].chunks(16) {
                assert!(!contains(&all, part), "a part of the former wrapped key");
            }
            assert!(!contains(&all, former.expose()) && !contains(&all, home.database_key().expose()));
        }
    }
}

#[tokio::test]
async fn it_never_writes_under_the_new_key_what_it_erases() {
    let home = Home::new();
    let store = home.open().await;
    install(&store).await;
    let erased = ["-----BEGIN", "syncInterval", "receipt over"];
    let before = pages_under(&home.database_key(), &home).concat();
    for erased in erased {
        assert!(contains(&before, erased.as_bytes()), "the control: {erased}");
    }
    // What a copy of the erased database holds, free pages and log included, for whoever has the key in force.
    erase(&store).await;
    store.close().await;
    let after = pages_under(&home.database_key(), &home).concat();
    assert!(contains(&after, b"provisioning completed"), "the control: the audit");
    for erased in erased {
        assert!(!contains(&after, erased.as_bytes()), "{erased}");
    }
}

#[tokio::test]
async fn it_changes_the_key_of_a_database_that_is_larger_than_its_cache() {
    let home = Home::new();
    let store = home.open().await;
    let entry = AuditEntry::new(AuditEvent::ServiceStarted).with_detail("x".repeat(3000));
    for _ in 0..10 {
        store.record(AT, &vec![entry.clone(); 100], None).await.unwrap();
    }
    let given = install(&store).await;
    assert!(home.log().metadata().unwrap().len() + home.database().metadata().unwrap().len() > 3 << 20);
    let key = home.database_key();
    store.rotate_key(AT, std::slice::from_ref(&entry)).await.unwrap();
    assert!(home.database_key() != key);
    assert_eq!(installed(store.load().await.unwrap()), given);
    let before = intact(&store).await;
    store
        .erase(AT, &vec![entry; 1000], false, &seal_destruction)
        .await
        .unwrap();
    assert_eq!(intact(&store).await, before + 1000);
    store.close().await;
    let store = home.open().await;
    assert!(matches!(
        store.load().await.unwrap().persisted,
        Persisted::Deprovisioned
    ));
    assert_eq!(intact(&store).await, before + 1000);
}

#[tokio::test]
async fn it_refuses_and_makes_nothing_new_where_a_key_is_lost_or_wrong() {
    let home = Home::new();
    let store = home.open().await;
    install(&store).await;
    store.close().await;
    let wrapped = fs::read(home.wrapped_key()).unwrap();
    let before = names(&home.path().join("data"));
    let refuses = async |words: &str| {
        let refusal = home.refusal().await;
        assert!(refusal.contains(words), "{words}: {refusal}");
        assert_eq!(names(&home.path().join("data")).difference(&before).count(), 0);
    };
    fs::remove_file(home.wrapped_key()).unwrap();
    refuses("its wrapped key, is missing").await;
    assert!(!home.wrapped_key().exists());
    let write = |content: &[u8], mode: u32| {
        fs::write(home.wrapped_key(), content).unwrap();
        fs::set_permissions(home.wrapped_key(), std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    };
    write(&wrapped[..100], 0o600);
    refuses("store.db-key cannot be used: it is damaged").await;
    write(&wrapped, 0o640);
    refuses("chmod 600").await;
    write(&wrapped, 0o600);
    // A wrapped key of another store.
    let other = Home::new();
    other.open().await.close().await;
    write(&fs::read(other.wrapped_key()).unwrap(), 0o600);
    refuses("wrapped by another key").await;
    fs::copy(
        other.path().join("keys/database.key"),
        home.path().join("keys/database.key"),
    )
    .unwrap();
    refuses("does not open with this device's database key").await;
    write(&wrapped, 0o600);
    refuses("wrapped by another key").await;
}

#[tokio::test]
async fn it_leaves_the_store_of_another_user_alone() {
    if !rustix::process::geteuid().is_root() {
        zmon_testkit::skip::skip(
            "it_leaves_the_store_of_another_user_alone",
            "only root can give files away",
        );
        return;
    }
    let home = Home::new();
    home.open().await.close().await;
    std::os::unix::fs::chown(home.database(), Some(4711), None).unwrap();
    let refusal = home.refusal().await;
    assert!(refusal.contains("belongs to user 4711"), "{refusal}");
}

#[tokio::test]
async fn it_starts_after_a_crash_at_any_point_of_the_first_start() {
    let whole = Home::new();
    whole.open().await.close().await;
    for (left, has_wrapped, has_database) in [("source", false, false), ("wrapped", true, false), ("file", true, true)]
    {
        let home = Home::new();
        for folder in ["data", "keys"] {
            fs::create_dir(home.path().join(folder)).unwrap();
        }
        fs::copy(
            whole.path().join("keys/database.key"),
            home.path().join("keys/database.key"),
        )
        .unwrap();
        if has_wrapped {
            fs::copy(whole.wrapped_key(), home.wrapped_key()).unwrap();
        }
        if has_database {
            fs::write(home.database(), b"").unwrap();
        }
        // An unfinished file is finished or replaced, too.
        fs::write(home.path().join("data/store.db-key.tmp"), b"unfinished").unwrap();
        let store = home.open().await;
        assert_eq!(store.load().await.unwrap().audit.count, 1, "{left}");
        store.rotate_key(AT, &[]).await.unwrap();
        store.close().await;
        home.open().await;
        assert!(
            !names(&home.path().join("data"))
                .iter()
                .any(|name| name.ends_with(".tmp")),
            "{left}"
        );
    }
}

#[tokio::test]
async fn it_is_open_in_one_process_at_a_time() {
    let home = Home::new();
    let store = home.open().await;
    let refusal = home.refusal().await;
    assert!(refusal.contains("another process has the store open"), "{refusal}");
    // One that is about to end is waited for.
    let (next, ()) = tokio::join!(home.try_open(), async {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        store.close().await;
    });
    next.unwrap().load().await.unwrap();
}

#[tokio::test]
async fn it_is_changed_and_works_on_where_the_former_key_cannot_be_destroyed_until_it_can() {
    for (erases, restarts) in [(true, false), (false, false), (true, true), (false, true)] {
        let home = Home::new();
        let store = home.open().await;
        install(&store).await;
        let former = fs::read(home.wrapped_key()).unwrap();
        // What cannot be overwritten.
        let aside = home.path().join("aside");
        fs::rename(home.wrapped_key(), &aside).unwrap();
        fs::create_dir(home.wrapped_key()).unwrap();
        if erases {
            erase(&store).await;
        } else {
            store.rotate_key(AT, &[]).await.unwrap();
        }
        for _ in 0..2 {
            let kept = store.destroy_former_key().await.unwrap_err();
            assert!(kept.cause.contains("former database key cannot be destroyed"), "{kept}");
            let entry = AuditEntry::new(AuditEvent::ServiceStarted);
            store.record(AT, &[entry], None).await.unwrap();
        }
        let refused = store.rotate_key(AT, &[]).await.unwrap_err();
        assert!(refused.cause.contains("is not over"), "{refused}");
        let erased = matches!(store.load().await.unwrap().persisted, Persisted::Deprovisioned);
        assert_eq!(erased, erases);
        fs::remove_dir(home.wrapped_key()).unwrap();
        fs::rename(&aside, home.wrapped_key()).unwrap();
        let witness = home.path().join("witness");
        fs::hard_link(home.wrapped_key(), &witness).unwrap();
        let store = if restarts {
            store.close().await;
            home.open().await
        } else {
            store
        };
        assert!(store.destroy_former_key().await.unwrap(), "late, and told once");
        assert!(!store.destroy_former_key().await.unwrap());
        assert_eq!(fs::read(&witness).unwrap(), vec![0; former.len()]);
        store.rotate_key(AT, &[]).await.unwrap();
        assert!(!store.destroy_former_key().await.unwrap(), "not late");
        intact(&store).await;
    }
}
