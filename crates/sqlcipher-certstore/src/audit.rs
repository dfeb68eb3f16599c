//! The audit: records in a hash chain.

use ring::digest::{Context, SHA256};
use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use zmon_domain::audit::{AuditEntry, AuditHead};
use zmon_domain::pairing::Sha256Digest;
use zmon_domain::time::Timestamp;

use crate::fault::{Fault, from_millis, to_millis};

/// Names what is hashed, and the version of its encoding.
const TAG: &str = "z-monitor/audit/v1";
/// How many records are held in memory at once while the chain is walked.
const PAGE: u32 = 256;
/// What the first record has for the hash of the record before it.
const NO_RECORD: Sha256Digest = Sha256Digest::new([0; 32]);

/// One record as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRecord {
    /// Its position; the first has 1.
    pub sequence: u64,
    /// When, by the wall clock.
    pub at: Timestamp,
    /// The name of an [`AuditEvent`](zmon_domain::audit::AuditEvent).
    pub event: String,
    /// The session it happened in: 16 hexadecimal digits.
    pub session: Option<String>,
    /// The name of an [`ErrorCode`](zmon_domain::error::ErrorCode), for refusals.
    pub code: Option<String>,
    /// More, in words.
    pub detail: Option<String>,
    /// Hash of the record before it; 32 zero bytes for the first.
    pub previous: Sha256Digest,
    /// Its own hash, by [`record_hash`].
    pub hash: Sha256Digest,
}

/// What walking the chain found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditVerdict {
    /// Every record is as it was written, and none is missing.
    Intact(AuditHead),
    /// From this position on, nothing can be relied upon.
    Broken {
        /// The first record that is wrong or missing.
        sequence: u64,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// The hash of a record: SHA-256 over these fields, each with its length in bytes before it (eight bytes, big-endian):
///
/// 1. the text `z-monitor/audit/v1`
/// 2. `previous`, 32 bytes
/// 3. `sequence`, eight bytes, big-endian
/// 4. `at` in milliseconds since 1970, eight bytes, big-endian
/// 5. `event`, UTF-8
/// 6. `session`, 7. `code`, 8. `detail`: UTF-8; for one that is absent, eight bytes `FF` stand in place of length and
///    text
///
/// `record.hash` is not part of it.
#[must_use]
pub fn record_hash(record: &AuditRecord) -> Sha256Digest {
    fn put(context: &mut Context, field: &[u8]) {
        context.update(&(field.len() as u64).to_be_bytes());
        context.update(field);
    }
    let mut context = Context::new(&SHA256);
    put(&mut context, TAG.as_bytes());
    put(&mut context, record.previous.as_bytes());
    put(&mut context, &record.sequence.to_be_bytes());
    put(&mut context, &record.at.as_millis().to_be_bytes());
    put(&mut context, record.event.as_bytes());
    for field in [&record.session, &record.code, &record.detail] {
        match field {
            Some(text) => put(&mut context, text.as_bytes()),
            None => context.update(&u64::MAX.to_be_bytes()),
        }
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    Sha256Digest::new(hash)
}

/// Appends and gives the new head. To be called inside a transaction.
pub(crate) async fn append(
    connection: &mut SqliteConnection,
    at: Timestamp,
    entries: &[AuditEntry],
) -> Result<AuditHead, Fault> {
    let mut head = recorded_head(connection).await?;
    if entries.is_empty() {
        return Ok(head);
    }
    for entry in entries {
        let mut record = AuditRecord {
            sequence: head.count + 1,
            at,
            event: entry.event.as_str().to_owned(),
            session: entry.session.map(|session| session.to_string()),
            code: entry.code.map(|code| code.as_str().to_owned()),
            detail: entry.detail.clone(),
            previous: head.head,
            hash: NO_RECORD,
        };
        record.hash = record_hash(&record);
        head = AuditHead {
            count: record.sequence,
            head: record.hash,
        };
        sqlx::query("INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?, ?, ?)")
            .bind(to_stored(record.sequence)?)
            .bind(to_millis(record.at)?)
            .bind(record.event)
            .bind(record.session)
            .bind(record.code)
            .bind(record.detail)
            .bind(record.previous.as_bytes().as_slice())
            .bind(record.hash.as_bytes().as_slice())
            .execute(&mut *connection)
            .await?;
    }
    sqlx::query("UPDATE device SET audit_count = ?, audit_head = ?")
        .bind(to_stored(head.count)?)
        .bind(head.head.as_bytes().as_slice())
        .execute(connection)
        .await?;
    Ok(head)
}

/// The head, where record and device agree on it.
pub(crate) async fn checked_head(connection: &mut SqliteConnection) -> Result<AuditHead, Fault> {
    let head = recorded_head(connection).await?;
    let last = sqlx::query("SELECT * FROM audit ORDER BY seq DESC LIMIT 1")
        .fetch_optional(connection)
        .await?
        .map(|row| read_record(&row))
        .transpose()?;
    let found = last.map_or((0, NO_RECORD), |record| (record.sequence, record_hash(&record)));
    if found == (head.count, head.head) {
        Ok(head)
    } else {
        Err(Fault::refused(
            "the audit does not end with the record that was written last; keep the file as evidence and verify the audit",
        ))
    }
}

/// Walks the chain from its beginning.
pub(crate) async fn verify(connection: &mut SqliteConnection) -> Result<AuditVerdict, Fault> {
    let expected = recorded_head(connection).await?;
    let mut head = AuditHead {
        count: 0,
        head: NO_RECORD,
    };
    let mut position = i64::MIN;
    loop {
        let page = rows_from(connection, position, PAGE).await?;
        for row in &page {
            let sequence = head.count + 1;
            match check(read_record(row), sequence, head, expected) {
                Ok(next) => head = next,
                Err(why) => return Ok(AuditVerdict::Broken { sequence, why }),
            }
        }
        // Every record of a page that passed stands at its position.
        position = to_stored(head.count + 1)?;
        if page.is_empty() {
            break;
        }
    }
    let (sequence, why) = if head.count < expected.count {
        (head.count + 1, "it is missing")
    } else if head.head != expected.head {
        (head.count, "it is not the record that was written last")
    } else {
        return Ok(AuditVerdict::Intact(head));
    };
    Ok(AuditVerdict::Broken { sequence, why })
}

/// The head with this record, where it is the right one after `head`.
fn check(
    record: Result<AuditRecord, Fault>,
    sequence: u64,
    head: AuditHead,
    expected: AuditHead,
) -> Result<AuditHead, &'static str> {
    let record = record.map_err(|_| "it holds values that are never written")?;
    if record.sequence != sequence {
        Err("it is missing")
    } else if record.previous != head.head {
        Err("it does not continue the record before it")
    } else if record.hash != record_hash(&record) {
        Err("its content is not what was written")
    } else if sequence > expected.count {
        Err("it was not written by the store")
    } else {
        Ok(AuditHead {
            count: sequence,
            head: record.hash,
        })
    }
}

/// Up to `limit` records, the first of them `from` or the next that exists.
pub(crate) async fn read_from(
    connection: &mut SqliteConnection,
    from: u64,
    limit: u32,
) -> Result<Vec<AuditRecord>, Fault> {
    let rows = rows_from(connection, i64::try_from(from).unwrap_or(i64::MAX), limit).await?;
    rows.iter().map(read_record).collect()
}

async fn rows_from(connection: &mut SqliteConnection, from: i64, limit: u32) -> Result<Vec<SqliteRow>, Fault> {
    Ok(sqlx::query("SELECT * FROM audit WHERE seq >= ? ORDER BY seq LIMIT ?")
        .bind(from)
        .bind(limit)
        .fetch_all(connection)
        .await?)
}

async fn recorded_head(connection: &mut SqliteConnection) -> Result<AuditHead, Fault> {
    let row = sqlx::query("SELECT audit_count, audit_head FROM device")
        .fetch_one(connection)
        .await?;
    Ok(AuditHead {
        count: from_stored(row.try_get("audit_count")?)?,
        head: digest(&row, "audit_head")?,
    })
}

fn read_record(row: &SqliteRow) -> Result<AuditRecord, Fault> {
    Ok(AuditRecord {
        sequence: from_stored(row.try_get("seq")?)?,
        at: from_millis(row.try_get("at_ms")?)?,
        event: row.try_get("event")?,
        session: row.try_get("session")?,
        code: row.try_get("code")?,
        detail: row.try_get("detail")?,
        previous: digest(row, "previous")?,
        hash: digest(row, "hash")?,
    })
}

/// A digest out of a column that holds one.
pub(crate) fn digest(row: &SqliteRow, column: &str) -> Result<Sha256Digest, Fault> {
    let bytes: &[u8] = row.try_get(column)?;
    bytes
        .try_into()
        .map(Sha256Digest::new)
        .map_err(|_| Fault::refused(format!("the stored {column} is not a SHA-256 digest")))
}

fn to_stored(count: u64) -> Result<i64, Fault> {
    i64::try_from(count).map_err(|_| Fault::refused("a position in the audit lies beyond the range of the store"))
}

fn from_stored(stored: i64) -> Result<u64, Fault> {
    u64::try_from(stored).map_err(|_| Fault::refused("a stored position in the audit is negative"))
}
