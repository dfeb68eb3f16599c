//! Whatever is changed in the audit behind the store's back, `verify` finds it and names the record.

use std::fmt::Write as _;

use proptest::prelude::*;
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Executor as _, Row as _};
use tokio::runtime::Runtime;
use zmon_domain::audit::{AuditEntry, AuditEvent};
use zmon_domain::error::ErrorCode;
use zmon_domain::pairing::SessionId;
use zmon_ports::{AuditStore as _, ProvisioningStore as _};
use zmon_sqlcipher_certstore::{AuditVerdict, SqlcipherStore};

use crate::home::{AT, Home, install};

/// Records of every shape: with and without session, code and detail.
const RECORDS: u64 = 12;
const TEXTS: [&str; 4] = ["event", "session", "code", "detail"];
const HASHES: [&str; 2] = ["previous", "hash"];
const NUMBERS: [&str; 2] = ["seq", "at_ms"];

/// An open store, and a second connection that can do anything to its audit and take it back.
struct Bench {
    store: SqlcipherStore,
    connection: SqliteConnection,
    // Goes last.
    _home: Home,
}

impl Bench {
    async fn new() -> Self {
        let home = Home::new();
        let store = home.open().await;
        install(&store).await;
        let session = SessionId::from_random([7; 8]);
        let entries = [
            AuditEntry::new(AuditEvent::ProvisioningFailed)
                .in_session(session)
                .with_code(ErrorCode::PayloadExpired)
                .with_detail("why, with \u{fc}ml\u{e4}uts"),
            AuditEntry::new(AuditEvent::ServiceStarted).with_detail(""),
            AuditEntry::new(AuditEvent::AdministratorRefused).with_code(ErrorCode::AdminRequired),
            AuditEntry::new(AuditEvent::PairingExpired).in_session(session),
            AuditEntry::new(AuditEvent::TimeFloorReset),
            AuditEntry::new(AuditEvent::Deprovisioned).with_detail("by somebody"),
        ];
        let head = store.record(AT, &entries, None).await.unwrap();
        assert_eq!(head.count, RECORDS);
        let mut connection = home.connection().await;
        connection
            .execute(
                "DROP TRIGGER audit_is_never_changed; DROP TRIGGER audit_is_never_removed;
                 DROP TRIGGER audit_is_only_appended; PRAGMA ignore_check_constraints = ON;
                 PRAGMA synchronous = OFF; CREATE TABLE kept AS SELECT * FROM audit;
                 CREATE TABLE kept_device AS SELECT * FROM device;",
            )
            .await
            .unwrap();
        Self {
            store,
            connection,
            _home: home,
        }
    }

    async fn verdict(&self) -> AuditVerdict {
        self.store.verify_audit().await.unwrap()
    }

    /// The record that is named once the statements are done; none where they changed nothing.
    async fn named(&mut self, statements: &str) -> Option<u64> {
        let done = self.connection.execute(AssertSqlSafe(statements.to_owned())).await;
        if let Err(error) = done {
            // A key that another record has already.
            assert!(error.to_string().contains("UNIQUE"), "{statements}: {error}");
        }
        let verdict = self.verdict().await;
        self.connection
            .execute(
                "DELETE FROM audit; INSERT INTO audit SELECT * FROM kept;
                 UPDATE device SET (audit_count, audit_head) = (SELECT audit_count, audit_head FROM kept_device);",
            )
            .await
            .unwrap();
        match verdict {
            AuditVerdict::Intact(_) => None,
            AuditVerdict::Broken { sequence, why } => {
                assert!(!why.is_empty());
                Some(sequence)
            }
        }
    }

    /// The bytes of one column of one record; none where it is NULL.
    async fn bytes(&mut self, column: &str, sequence: u64) -> Option<Vec<u8>> {
        let query = format!("SELECT CAST({column} AS BLOB) FROM kept WHERE seq = {sequence}");
        let row = self.connection.fetch_one(AssertSqlSafe(query)).await.unwrap();
        row.try_get_unchecked(0).unwrap()
    }

    async fn number(&mut self, column: &str, sequence: u64) -> i64 {
        let query = format!("SELECT {column} FROM kept WHERE seq = {sequence}");
        let row = self.connection.fetch_one(AssertSqlSafe(query)).await.unwrap();
        row.try_get(0).unwrap()
    }
}

fn literal(bytes: &[u8]) -> String {
    let mut text = String::from("x'");
    for byte in bytes {
        write!(text, "{byte:02x}").unwrap();
    }
    text + "'"
}

/// Sets one column of one record to these bytes, as the type that the column has.
fn set_bytes(column: &str, sequence: u64, bytes: &[u8]) -> String {
    let value = literal(bytes);
    let value = if TEXTS.contains(&column) {
        format!("CAST({value} AS TEXT)")
    } else {
        value
    };
    format!("UPDATE audit SET {column} = {value} WHERE seq = {sequence}")
}

/// A record that is moved before the first is what stands in the first one's place.
fn named_after_moving(from: u64, to: i64) -> u64 {
    if to < 1 { 1 } else { from }
}

#[tokio::test]
async fn it_names_the_record_of_every_single_byte_that_is_changed() {
    let mut bench = Bench::new().await;
    let mut tried = 0;
    for sequence in 1..=RECORDS {
        for column in TEXTS.iter().chain(&HASHES) {
            let Some(bytes) = bench.bytes(column, sequence).await else {
                continue;
            };
            for place in 0..bytes.len() {
                let mut changed = bytes.clone();
                changed[place] ^= 1 << (place % 8);
                let named = bench.named(&set_bytes(column, sequence, &changed)).await;
                assert_eq!(named, Some(sequence), "byte {place} of {column} of record {sequence}");
                tried += 1;
            }
        }
        for column in NUMBERS {
            let number = bench.number(column, sequence).await;
            for place in 0..8 {
                let changed = number ^ (1 << (8 * place + place % 8));
                let named = bench
                    .named(&format!("UPDATE audit SET {column} = {changed} WHERE seq = {sequence}"))
                    .await;
                let expected = match column {
                    // Another record has this place already: nothing was changed.
                    "seq" if (1..=RECORDS as i64).contains(&changed) => None,
                    "seq" => Some(named_after_moving(sequence, changed)),
                    _ => Some(sequence),
                };
                assert_eq!(named, expected, "byte {place} of {column} of record {sequence}");
                tried += 1;
            }
        }
    }
    let head = bench.store.audit_head().await.unwrap();
    for place in 0..32 {
        let mut changed = *head.head.as_bytes();
        changed[place] ^= 1 << (place % 8);
        let named = bench
            .named(&format!("UPDATE device SET audit_head = {}", literal(&changed)))
            .await;
        assert_eq!(named, Some(RECORDS), "byte {place} of the head");
    }
    for (count, expected) in [
        // The record there is not the one that the head is of.
        (RECORDS - 1, RECORDS - 1),
        (RECORDS + 1, RECORDS + 1),
        (0, 1),
        (1 << 40, RECORDS + 1),
    ] {
        let named = bench.named(&format!("UPDATE device SET audit_count = {count}")).await;
        assert_eq!(named, Some(expected), "a count of {count}");
    }
    assert!(tried > 1_500, "{tried}");
    assert!(matches!(bench.verdict().await, AuditVerdict::Intact(head) if head.count == RECORDS));
}

#[derive(Clone, Debug)]
enum Tampering {
    /// Other bytes in a column; the text may no longer be UTF-8, the hash no longer 32 bytes.
    Bytes {
        column: usize,
        sequence: u64,
        bytes: Vec<u8>,
    },
    /// NULL where there was text, or text where there was NULL.
    Presence {
        column: usize,
        sequence: u64,
    },
    Number {
        column: usize,
        sequence: u64,
        number: i64,
    },
    Remove {
        sequence: u64,
        count: u64,
    },
    CutTheEnd {
        from: u64,
    },
    CutTheEndAndTheHead {
        from: u64,
    },
    Swap {
        one: u64,
        other: u64,
    },
    /// A copy of a record at the end, with the number that follows.
    Repeat {
        sequence: u64,
    },
}

fn tampering() -> impl Strategy<Value = Tampering> {
    let sequence = 1..=RECORDS;
    prop_oneof![
        (0..6_usize, sequence.clone(), prop::collection::vec(any::<u8>(), 0..40)).prop_map(
            |(column, sequence, bytes)| Tampering::Bytes {
                column,
                sequence,
                bytes
            }
        ),
        (1..4_usize, sequence.clone()).prop_map(|(column, sequence)| Tampering::Presence { column, sequence }),
        (0..2_usize, sequence.clone(), any::<i64>()).prop_map(|(column, sequence, number)| Tampering::Number {
            column,
            sequence,
            number
        }),
        (sequence.clone(), 1..4_u64).prop_map(|(sequence, count)| Tampering::Remove { sequence, count }),
        sequence.clone().prop_map(|from| Tampering::CutTheEnd { from }),
        (2..=RECORDS).prop_map(|from| Tampering::CutTheEndAndTheHead { from }),
        (sequence.clone(), sequence.clone()).prop_map(|(one, other)| Tampering::Swap { one, other }),
        sequence.prop_map(|sequence| Tampering::Repeat { sequence }),
    ]
}

/// What is done, and the record that has to be named; none where nothing is changed.
async fn plan(bench: &mut Bench, tampering: &Tampering) -> (String, Option<u64>) {
    match tampering {
        Tampering::Bytes {
            column,
            sequence,
            bytes,
        } => {
            let column = TEXTS.iter().chain(&HASHES).nth(*column).unwrap();
            let same = bench.bytes(column, *sequence).await.as_ref() == Some(bytes);
            (set_bytes(column, *sequence, bytes), (!same).then_some(*sequence))
        }
        Tampering::Presence { column, sequence } => {
            let column = TEXTS[*column];
            let statement =
                format!("UPDATE audit SET {column} = CASE WHEN {column} IS NULL THEN '' END WHERE seq = {sequence}");
            (statement, Some(*sequence))
        }
        Tampering::Number {
            column,
            sequence,
            number,
        } => {
            let column = NUMBERS[*column];
            let statement = format!("UPDATE audit SET {column} = {number} WHERE seq = {sequence}");
            let named = match column {
                "seq" if (1..=RECORDS as i64).contains(number) => None,
                "seq" => Some(named_after_moving(*sequence, *number)),
                _ if bench.number(column, *sequence).await == *number => None,
                _ => Some(*sequence),
            };
            (statement, named)
        }
        Tampering::Remove { sequence, count } => {
            let statement = format!(
                "DELETE FROM audit WHERE seq >= {sequence} AND seq < {}",
                sequence + count
            );
            (statement, Some(*sequence))
        }
        Tampering::CutTheEnd { from } => (format!("DELETE FROM audit WHERE seq >= {from}"), Some(*from)),
        // A count that was turned back without its head: the last that is left is not the one that was written last.
        Tampering::CutTheEndAndTheHead { from } => {
            let statement = format!(
                "DELETE FROM audit WHERE seq >= {from}; UPDATE device SET audit_count = {}",
                from - 1
            );
            (statement, Some(from - 1))
        }
        Tampering::Swap { one, other } => {
            let statement = format!(
                "UPDATE audit SET seq = -1 WHERE seq = {one}; UPDATE audit SET seq = {one} WHERE seq = {other};
                 UPDATE audit SET seq = {other} WHERE seq = -1"
            );
            (statement, (one != other).then_some(*one.min(other)))
        }
        Tampering::Repeat { sequence } => {
            let end = RECORDS + 1;
            let statement = format!(
                "INSERT INTO audit SELECT {end}, at_ms, event, session, code, detail, previous, hash FROM kept
                 WHERE seq = {sequence}"
            );
            (statement, Some(end))
        }
    }
}

#[test]
fn it_names_the_right_record_whatever_is_done_to_the_audit() {
    let runtime = Runtime::new().unwrap();
    let bench = std::cell::RefCell::new(runtime.block_on(Bench::new()));
    let config = ProptestConfig {
        cases: 512,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    proptest!(config, |(tampering in tampering())| {
        let bench = &mut *bench.borrow_mut();
        let (named, expected) = runtime.block_on(async {
            let (statements, expected) = plan(bench, &tampering).await;
            (bench.named(&statements).await, expected)
        });
        prop_assert_eq!(named, expected);
    });
    // The bench's runtime goes after the bench.
    drop(bench);
}

/// The one thing that the chain cannot show, as its documentation says: whoever holds the database's key can write all
/// that follows anew. Receipts, and exports kept elsewhere, show it.
#[tokio::test]
async fn it_cannot_tell_an_audit_that_was_written_anew_to_its_end() {
    let mut bench = Bench::new().await;
    let head = bench.store.audit_records(RECORDS - 1, 1).await.unwrap()[0].as_head();
    let hash = literal(head.head.as_bytes());
    let named = bench
        .named(&format!(
            "DELETE FROM audit WHERE seq = {RECORDS}; UPDATE device SET audit_count = {}, audit_head = {hash}",
            head.count
        ))
        .await;
    assert_eq!(named, None);
}
