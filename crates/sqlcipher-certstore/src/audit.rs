//! The audit: records in a hash chain.

use ring::digest::{SHA256, digest as ring_digest};
use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use zmon_domain::audit::{AuditBreak, AuditEntry, AuditHead, AuditRecord, AuditVerdict, AuditWalk};
use zmon_domain::pairing::Sha256Digest;
use zmon_domain::time::Timestamp;

use crate::fault::{Fault, from_millis, to_millis};

/// How many records are held in memory at once while the chain is walked.
const PAGE: u32 = 256;

/// The hash of a record: SHA-256 of [`AuditRecord::encoded`]. `record.hash` is not part of it.
#[must_use]
pub fn record_hash(record: &AuditRecord) -> Sha256Digest {
    sha256(&record.encoded())
}

fn sha256(bytes: &[u8]) -> Sha256Digest {
    let mut hash = [0; 32];
    hash.copy_from_slice(ring_digest(&SHA256, bytes).as_ref());
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
        let record = AuditRecord::following(head, at, entry, sha256);
        head = record.as_head();
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
    let found = last.map_or(AuditHead::EMPTY, |record| AuditHead {
        count: record.sequence,
        head: record_hash(&record),
    });
    if found == head {
        Ok(head)
    } else {
        Err(Fault::refused(
            "the audit does not end with the record that was written last; keep the file as evidence and verify the audit",
        ))
    }
}

/// The chain, walked page by page: each in a transaction of its own, so that nobody waits for a long audit.
pub(crate) struct Verification(AuditWalk);

impl Verification {
    pub(crate) fn new() -> Self {
        Self(AuditWalk::new(sha256))
    }

    /// Goes on over one page. Gives the verdict once there is one.
    pub(crate) async fn page(&mut self, connection: &mut SqliteConnection) -> Result<Option<AuditVerdict>, Fault> {
        // Before the first record there may be others that do not belong there.
        let from = match self.0.head().count {
            0 => i64::MIN,
            passed => to_stored(passed + 1)?,
        };
        let recorded = recorded_head(connection).await?;
        let rows = rows_from(connection, from, PAGE).await?;
        let walked = rows.iter().try_for_each(|row| self.over(row, recorded));
        // After a full page more may follow.
        if walked.is_ok() && rows.len() == PAGE as usize {
            return Ok(None);
        }
        let verdict = walked.and_then(|()| self.0.end(recorded));
        Ok(Some(verdict.map_or_else(AuditVerdict::from, AuditVerdict::Intact)))
    }

    fn over(&mut self, row: &SqliteRow, recorded: AuditHead) -> Result<(), AuditBreak> {
        match read_record(row) {
            Ok(record) => self.0.step(&record, recorded).map(drop),
            Err(_) => Err(self.0.unreadable()),
        }
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

pub(crate) async fn recorded_head(connection: &mut SqliteConnection) -> Result<AuditHead, Fault> {
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
