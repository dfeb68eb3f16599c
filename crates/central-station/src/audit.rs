//! The audit of a monitor as `zmon-provision audit export` writes it: is it whole, and does it still hold what receipts
//! say that it held?
//!
//! A chain proves that nothing within it was changed. That nothing was cut off its end, and that it was not written anew
//! by somebody who holds the monitor's database key, only those can tell who kept an earlier head: every receipt has one.

use std::collections::BTreeMap;
use std::io::{BufRead, Read};

use serde::Deserialize;
use zmon_domain::audit::{AUDIT_FORMAT, AuditBreak, AuditHead, AuditRecord, AuditWalk};
use zmon_domain::identity::DeviceId;
use zmon_domain::pairing::Sha256Digest;
use zmon_domain::result::ReceiptClaims;
use zmon_domain::time::Timestamp;

use crate::fault::{Fault, FaultCode};
use crate::sha256;

/// Longest line of an export in bytes.
const MAX_LINE: u64 = 1024 * 1024;

/// What an export turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditReport {
    /// The monitor that the export says it is of.
    pub device_id: DeviceId,
    /// How far the chain is whole.
    pub whole: AuditHead,
    /// What is wrong, in the order of the records. Empty: nothing.
    pub findings: Vec<AuditFinding>,
}

/// What is wrong with an export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditFinding {
    /// The chain breaks.
    Broken(AuditBreak),
    /// The export ends before a record that was there when a receipt was given.
    Truncated {
        /// How many records it has.
        records: u64,
        /// How many there were.
        receipt: u64,
    },
    /// Another record stands where a receipt was given, so that the audit was written anew up to there at least.
    Rewritten {
        /// The position.
        sequence: u64,
    },
}

impl AuditFinding {
    /// In one word.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Broken(_) => "broken",
            Self::Truncated { .. } => "truncated",
            Self::Rewritten { .. } => "rewritten",
        }
    }

    /// The first record that cannot be relied on.
    #[must_use]
    pub const fn sequence(&self) -> u64 {
        match self {
            Self::Broken(broken) => broken.sequence,
            Self::Truncated { records, .. } => *records + 1,
            Self::Rewritten { sequence } => *sequence,
        }
    }
}

impl std::fmt::Display for AuditFinding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Broken(AuditBreak { sequence, why }) => write!(f, "record {sequence}: {why}"),
            Self::Truncated { records, receipt } => write!(
                f,
                "the audit has {records} records, but had {receipt} when the receipt was given: it was cut"
            ),
            Self::Rewritten { sequence } => write!(
                f,
                "record {sequence} is not the one that the receipt speaks of: the audit was written anew"
            ),
        }
    }
}

/// The first line of an export.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Header {
    format: String,
    device_id: String,
    count: u64,
    head: String,
}

/// Every other line.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    sequence: u64,
    at: u64,
    event: String,
    session: Option<String>,
    code: Option<String>,
    detail: Option<String>,
    previous: String,
    hash: String,
}

/// An export, of which the first line was read.
pub struct AuditExport<R> {
    lines: R,
    device_id: DeviceId,
    recorded: AuditHead,
}

impl<R: BufRead> AuditExport<R> {
    /// Reads the first line.
    ///
    /// # Errors
    /// Where it is not that of an export.
    pub fn open(mut lines: R) -> Result<Self, Fault> {
        let mut header = None;
        if let Some(line) = next_line(&mut lines)? {
            header = serde_json::from_str(&line).ok();
        }
        let header: Header = header
            .filter(|header: &Header| header.format == AUDIT_FORMAT)
            .ok_or_else(|| {
                unreadable(
                    1,
                    &format!("it is not the first line of an audit in the format {AUDIT_FORMAT}"),
                )
            })?;
        let device_id = DeviceId::parse(&header.device_id);
        Ok(Self {
            lines,
            device_id: device_id.map_err(|_| unreadable(1, "its deviceId is none"))?,
            recorded: AuditHead {
                count: header.count,
                head: Sha256Digest::from_hex(&header.head).ok_or_else(|| unreadable(1, "its head is no SHA-256"))?,
            },
        })
    }

    /// The monitor that the export says it is of. Receipts are verified for this device.
    #[must_use]
    pub const fn device_id(&self) -> &DeviceId {
        &self.device_id
    }

    /// Walks the chain, and compares it with verified receipts. Memory does not grow with the export.
    ///
    /// # Errors
    /// Where a line cannot be read.
    pub fn check(mut self, receipts: &[ReceiptClaims]) -> Result<AuditReport, Fault> {
        let mut expected: BTreeMap<u64, Vec<Sha256Digest>> = BTreeMap::new();
        for claims in receipts {
            expected.entry(claims.audit.count).or_default().push(claims.audit.head);
        }
        let mut walk = AuditWalk::new(sha256);
        let mut findings = Vec::new();
        let mut number = 1;
        while let Some(line) = next_line(&mut self.lines)? {
            number += 1;
            let record = record(&line).map_err(|why| unreadable(number, why))?;
            match walk.step(&record, self.recorded) {
                Ok(head) => {
                    let heads = expected.remove(&head.count).unwrap_or_default();
                    if heads.iter().any(|expected| *expected != head.head) {
                        findings.push(AuditFinding::Rewritten { sequence: head.count });
                    }
                }
                Err(broken) => {
                    findings.push(AuditFinding::Broken(broken));
                    return Ok(self.report(walk.head(), findings));
                }
            }
        }
        if let Err(broken) = walk.end(self.recorded) {
            findings.push(AuditFinding::Broken(broken));
        }
        if let Some((receipt, _)) = expected.pop_last() {
            let records = walk.head().count;
            findings.push(AuditFinding::Truncated { records, receipt });
        }
        Ok(self.report(walk.head(), findings))
    }

    fn report(self, whole: AuditHead, findings: Vec<AuditFinding>) -> AuditReport {
        AuditReport {
            device_id: self.device_id,
            whole,
            findings,
        }
    }
}

fn next_line(lines: &mut impl BufRead) -> Result<Option<String>, Fault> {
    let mut line = String::new();
    let failed = |error: std::io::Error| Fault::local(format!("The export cannot be read: {error}."));
    lines.take(MAX_LINE).read_line(&mut line).map_err(failed)?;
    Ok((!line.is_empty()).then_some(line))
}

fn record(line: &str) -> Result<AuditRecord, &'static str> {
    let line: Line = serde_json::from_str(line).map_err(|_| "it is no audit record")?;
    let digest = |text: &str| Sha256Digest::from_hex(text).ok_or("its hash or the one before is no SHA-256");
    Ok(AuditRecord {
        sequence: line.sequence,
        at: Timestamp::from_millis(line.at),
        previous: digest(&line.previous)?,
        hash: digest(&line.hash)?,
        event: line.event,
        session: line.session,
        code: line.code,
        detail: line.detail,
    })
}

fn unreadable(line: u64, why: &str) -> Fault {
    Fault::new(
        FaultCode::FileUnusable,
        format!("Line {line} of the export cannot be used: {why}."),
    )
}

#[cfg(test)]
mod tests {
    use zmon_domain::audit::{AuditEntry, AuditEvent};

    use super::*;

    fn records(count: u64) -> Vec<AuditRecord> {
        let mut head = AuditHead::EMPTY;
        (0..count)
            .map(|n| {
                let entry = AuditEntry::new(AuditEvent::ServiceStarted).with_detail(format!("{n}"));
                let record = AuditRecord::following(head, Timestamp::from_millis(n), &entry, sha256);
                head = record.as_head();
                record
            })
            .collect()
    }

    fn export(records: &[AuditRecord]) -> String {
        let head = records.last().map_or(AuditHead::EMPTY, AuditRecord::as_head);
        let mut text = format!(
            "{{\"format\":\"{AUDIT_FORMAT}\",\"deviceId\":\"ZM-1\",\"count\":{},\"head\":\"{}\"}}\n",
            head.count,
            head.head.to_hex()
        );
        for record in records {
            let line = serde_json::json!({
                "sequence": record.sequence,
                "at": record.at.as_millis(),
                "event": record.event,
                "session": record.session,
                "code": record.code,
                "detail": record.detail,
                "previous": record.previous.to_hex(),
                "hash": record.hash.to_hex(),
            });
            text.push_str(&format!("{line}\n"));
        }
        text
    }

    fn receipt(audit: AuditHead) -> ReceiptClaims {
        ReceiptClaims {
            device_id: DeviceId::parse("ZM-1").unwrap(),
            body_sha256: Sha256Digest::new([1; 32]),
            certificate_sha256: Sha256Digest::new([2; 32]),
            completed_at: Timestamp::from_millis(3),
            audit,
        }
    }

    fn found(text: &str, receipts: &[ReceiptClaims]) -> Vec<AuditFinding> {
        AuditExport::open(text.as_bytes())
            .unwrap()
            .check(receipts)
            .unwrap()
            .findings
    }

    #[test]
    fn a_whole_export_that_holds_what_the_receipts_say_has_nothing_wrong() {
        let records = records(20);
        let receipts = [receipt(records[6].as_head()), receipt(records[19].as_head())];
        let report = AuditExport::open(export(&records).as_bytes())
            .unwrap()
            .check(&receipts)
            .unwrap();
        assert_eq!(report.device_id.as_str(), "ZM-1");
        assert_eq!((report.whole, report.findings), (records[19].as_head(), vec![]));
    }

    #[test]
    fn an_export_that_is_shorter_than_a_receipt_says_was_truncated() {
        let all = records(20);
        let receipts = [receipt(all[6].as_head()), receipt(all[14].as_head())];
        // Cut at the monitor: the head was turned back, so that the chain itself is whole.
        let cut = found(&export(&all[..10]), &receipts);
        assert_eq!(
            cut,
            [AuditFinding::Truncated {
                records: 10,
                receipt: 15
            }]
        );
        assert_eq!(cut[0].sequence(), 11);
        // Cut in the file: the first line still says how many there were.
        let text = export(&all);
        let file: String = text.lines().take(11).map(|line| format!("{line}\n")).collect();
        let cut = found(&file, &receipts);
        assert_eq!(
            cut.iter().map(AuditFinding::as_str).collect::<Vec<_>>(),
            ["broken", "truncated"]
        );
        assert_eq!(found(&export(&[]), &receipts)[0].sequence(), 1);
    }

    #[test]
    fn an_audit_that_was_written_anew_is_told_by_the_receipt_alone() {
        let old = records(20);
        let mut head = old[8].as_head();
        let mut anew = old[..9].to_vec();
        for n in 9..20 {
            let entry = AuditEntry::new(AuditEvent::ServiceStarted).with_detail("forged");
            anew.push(AuditRecord::following(head, Timestamp::from_millis(n), &entry, sha256));
            head = anew[anew.len() - 1].as_head();
        }
        assert_eq!(found(&export(&anew), &[]), []);
        // Also where the first line is still the old one, and more was added: what is wrong begins before the end.
        let (old_export, new_export) = (export(&old[..15]), export(&anew));
        let (first, records) = (
            old_export.lines().next().unwrap(),
            new_export.split_once('\n').unwrap().1,
        );
        assert_eq!(found(&format!("{first}\n{records}"), &[])[0].sequence(), 15);
        assert_eq!(found(&export(&anew), &[receipt(old[5].as_head())]), []);
        assert_eq!(
            found(&export(&anew), &[receipt(old[14].as_head())]),
            [AuditFinding::Rewritten { sequence: 15 }]
        );
    }

    #[test]
    fn a_changed_removed_or_moved_line_is_named() {
        let whole = export(&records(9));
        let lines: Vec<_> = whole.lines().collect();
        let text = |lines: &[&str]| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        let changed = lines[4].replace("\"detail\":\"3\"", "\"detail\":\"x\"");
        let sequence = |text: String| found(&text, &[])[0].sequence();
        assert_eq!(sequence(text(&[&lines[..4], &[&changed], &lines[5..]].concat())), 4);
        assert_eq!(sequence(text(&[&lines[..4], &lines[5..]].concat())), 4);
        assert_eq!(
            sequence(text(&[&lines[..4], &[lines[5], lines[4]], &lines[6..]].concat())),
            4
        );
        assert_eq!(sequence(text(&lines[..9])), 9);
        for beyond in [lines[9], lines[3]] {
            let AuditFinding::Broken(broken) = found(&text(&[&lines[..], &[beyond]].concat()), &[])[0].clone() else {
                panic!("not found")
            };
            assert_eq!((broken.sequence, broken.why), (10, "it was not written by the store"));
        }
    }

    #[test]
    fn the_example_of_the_documentation_is_whole() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/audit.md");
        let document = std::fs::read_to_string(path).unwrap();
        let lines = document.lines().filter(|line| line.starts_with("{\""));
        let example: String = lines.map(|line| format!("{line}\n")).collect();
        let report = AuditExport::open(example.as_bytes()).unwrap().check(&[]).unwrap();
        assert_eq!((report.whole.count, report.findings), (2, vec![]));
    }

    #[test]
    fn what_is_no_export_is_a_fault_that_names_the_line() {
        let whole = export(&records(3));
        for text in [
            "",
            "{}\n",
            "not JSON\n",
            &whole.replace("audit/v1", "audit/v2"),
            &whole.replace("ZM-1", "a b"),
        ] {
            let fault = AuditExport::open(text.as_bytes()).map(drop).unwrap_err();
            assert!(fault.detail().starts_with("Line 1 of the export"), "{fault}");
        }
        let broken = whole.replacen("\"event\"", "\"evnt\"", 1);
        let fault = AuditExport::open(broken.as_bytes()).unwrap().check(&[]).unwrap_err();
        assert!(fault.detail().starts_with("Line 2 of the export"), "{fault}");
    }
}
