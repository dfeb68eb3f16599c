use sqlx::{AssertSqlSafe, Executor as _};
use zmon_domain::audit::{AuditEntry, AuditEvent};
use zmon_domain::error::ErrorCode;
use zmon_domain::pairing::{SessionId, Sha256Digest};
use zmon_ports::ProvisioningStore as _;
use zmon_sqlcipher_certstore::{AuditRecord, AuditVerdict, record_hash};

use crate::home::{AT, Home, install};

const DROP_TRIGGERS: &str = "DROP TRIGGER audit_is_never_changed; DROP TRIGGER audit_is_never_removed;
    DROP TRIGGER audit_is_only_appended; PRAGMA ignore_check_constraints = ON;";

/// Six records: the creation, and the five of an installation.
async fn six_records() -> Home {
    let home = Home::new();
    let store = home.open().await;
    install(&store).await;
    store.close().await;
    home
}

#[test]
fn it_hashes_as_the_documentation_says() {
    let mut record = AuditRecord {
        sequence: 1,
        at: AT,
        event: "store created".to_owned(),
        session: None,
        code: None,
        detail: None,
        previous: Sha256Digest::new([0; 32]),
        hash: Sha256Digest::new([0; 32]),
    };
    // Computed apart from this program, with Python's hashlib.
    let expected = "f02a13e4227779fe718ea91b92ea3d971658fd1da36579bb841febd5f11a0613";
    assert_eq!(record_hash(&record).to_hex(), expected);
    record = AuditRecord {
        sequence: 2,
        event: "provisioning failed".to_owned(),
        session: Some("0123456789abcdef".to_owned()),
        code: Some("SignatureInvalid".to_owned()),
        detail: Some(String::new()),
        previous: Sha256Digest::new([7; 32]),
        ..record
    };
    let expected = "c2c585ae2727259c6d6629c285ba609063d0421e573d7cb36459e132c801e05f";
    assert_eq!(record_hash(&record).to_hex(), expected);
    record.detail = None;
    assert_ne!(record_hash(&record).to_hex(), expected, "absent is not empty");
}

#[tokio::test]
async fn it_reads_records_in_pages() {
    let home = six_records().await;
    let store = home.open().await;
    let all = store.audit_records(1, 100).await.unwrap();
    assert_eq!(all.len(), 6);
    assert_eq!(all[0].event, "store created");
    assert_eq!(all[0].at, AT);
    assert_eq!(all[5].event, "provisioning completed");
    assert_eq!(all[5].session.as_deref(), Some("73657373696f6e31"));
    assert_eq!(store.audit_records(3, 2).await.unwrap(), all[2..4]);
    assert_eq!(store.audit_records(7, 2).await.unwrap(), []);
    assert_eq!(store.audit_records(u64::MAX, 2).await.unwrap(), []);
    let refused = AuditEntry::new(AuditEvent::ProvisioningFailed)
        .in_session(SessionId::from_random([255; 8]))
        .with_code(ErrorCode::PayloadExpired)
        .with_detail("why");
    store.record(AT, &[refused], None).await.unwrap();
    let record = store.audit_records(7, 1).await.unwrap().remove(0);
    assert_eq!(record.code.as_deref(), Some("PayloadExpired"));
    assert_eq!(record.detail.as_deref(), Some("why"));
    assert_eq!(record.previous, all[5].hash);
}

#[tokio::test]
async fn it_finds_a_whole_audit_intact() {
    let home = six_records().await;
    let store = home.open().await;
    // More than one page of the walk.
    let many = vec![AuditEntry::new(AuditEvent::ServiceStarted); 600];
    let head = store.record(AT, &many, None).await.unwrap();
    assert_eq!(head.count, 606);
    assert_eq!(store.verify_audit().await.unwrap(), AuditVerdict::Intact(head));
    // Full pages to the last record.
    let head = store.record(AT, &many[..768 - 606], None).await.unwrap();
    assert_eq!(store.verify_audit().await.unwrap(), AuditVerdict::Intact(head));
}

#[tokio::test]
async fn it_refuses_to_change_or_remove_records() {
    let home = six_records().await;
    let mut connection = home.connection().await;
    let copy = "SELECT 2, at_ms, event, session, code, detail, previous, hash FROM audit WHERE seq = 2";
    for (statement, why) in [
        (
            "UPDATE audit SET detail = 'x' WHERE seq = 2".to_owned(),
            "never changed",
        ),
        (
            "UPDATE OR REPLACE audit SET seq = 1 WHERE seq = 2".to_owned(),
            "never changed",
        ),
        ("DELETE FROM audit WHERE seq = 6".to_owned(), "never removed"),
        ("DELETE FROM audit".to_owned(), "never removed"),
        (format!("REPLACE INTO audit {copy}"), "only appended"),
        (format!("INSERT OR REPLACE INTO audit {copy}"), "only appended"),
        (
            format!("INSERT INTO audit {copy} ON CONFLICT (seq) DO UPDATE SET detail = 'x'"),
            "only appended",
        ),
        (
            "INSERT INTO audit SELECT 8, at_ms, event, session, code, detail, hash, hash FROM audit WHERE seq = 6"
                .to_owned(),
            "only appended",
        ),
        (
            "INSERT INTO audit SELECT 7, at_ms, event, session, code, detail, previous, hash FROM audit WHERE seq = 6"
                .to_owned(),
            "only appended",
        ),
    ] {
        let error = connection.execute(AssertSqlSafe(statement.clone())).await.unwrap_err();
        assert!(error.to_string().contains(why), "{statement}: {error}");
    }
    drop(connection);
    assert!(matches!(
        home.open().await.verify_audit().await.unwrap(),
        AuditVerdict::Intact(head) if head.count == 6
    ));
}

#[tokio::test]
async fn it_names_the_first_bad_record() {
    for (tampering, sequence, word) in [
        ("UPDATE audit SET detail = 'other' WHERE seq = 5", 5, "content"),
        ("UPDATE audit SET at_ms = at_ms + 1 WHERE seq = 1", 1, "content"),
        ("UPDATE audit SET code = '' WHERE seq = 3", 3, "content"),
        ("UPDATE audit SET at_ms = -1 WHERE seq = 4", 4, "never written"),
        ("UPDATE audit SET hash = x'00' WHERE seq = 4", 4, "never written"),
        ("UPDATE audit SET previous = hash WHERE seq = 2", 2, "continue"),
        ("DELETE FROM audit WHERE seq = 1", 1, "missing"),
        ("DELETE FROM audit WHERE seq = 3", 3, "missing"),
        ("DELETE FROM audit WHERE seq > 4", 5, "missing"),
        ("DELETE FROM audit", 1, "missing"),
        ("UPDATE audit SET seq = 99 WHERE seq = 2", 2, "missing"),
        ("UPDATE audit SET seq = -seq WHERE seq = 2", 1, "never written"),
        (
            "UPDATE audit SET seq = 99 WHERE seq = 2; UPDATE audit SET seq = 2 WHERE seq = 3;
             UPDATE audit SET seq = 3 WHERE seq = 99",
            2,
            "continue",
        ),
        ("UPDATE device SET audit_head = zeroblob(32)", 6, "written last"),
        ("UPDATE device SET audit_count = 5", 5, "written last"),
        // Beyond the head, whatever they say of themselves.
        (
            "INSERT INTO audit SELECT 7, at_ms, event, session, code, detail, hash, hash FROM audit WHERE seq = 6",
            7,
            "not written by the store",
        ),
        (
            "INSERT INTO audit SELECT 99, at_ms, event, session, code, detail, previous, hash FROM audit WHERE seq = 6",
            7,
            "not written by the store",
        ),
    ] {
        let home = six_records().await;
        home.tamper(&format!("{DROP_TRIGGERS} {tampering}")).await;
        let verdict = home.open().await.verify_audit().await.unwrap();
        let AuditVerdict::Broken { sequence: found, why } = verdict else {
            panic!("{tampering} was not found");
        };
        assert_eq!(found, sequence, "{tampering}: {why}");
        assert!(why.contains(word), "{tampering}: {why}");
    }
}

#[tokio::test]
async fn it_finds_a_changed_record_even_where_its_own_hash_was_made_anew() {
    let home = six_records().await;
    let store = home.open().await;
    let mut record = store.audit_records(3, 1).await.unwrap().remove(0);
    store.close().await;
    record.detail = Some("forged".to_owned());
    let hash = record_hash(&record).to_hex();
    home.tamper(&format!(
        "{DROP_TRIGGERS} UPDATE audit SET detail = 'forged', hash = x'{hash}' WHERE seq = 3"
    ))
    .await;
    let verdict = home.open().await.verify_audit().await.unwrap();
    assert!(
        matches!(verdict, AuditVerdict::Broken { sequence: 4, .. }),
        "{verdict:?}"
    );
}

#[tokio::test]
async fn it_does_not_load_with_an_audit_that_was_cut() {
    let home = six_records().await;
    home.tamper(&format!("{DROP_TRIGGERS} DELETE FROM audit WHERE seq > 4"))
        .await;
    let fault = home.open().await.load().await.unwrap_err();
    assert!(fault.cause.contains("the audit does not end with"), "{fault}");
}
