//! `audit-check`: what a monitor's exported audit is worth.

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

use crate::audit::AuditExport;
use crate::home::at;
use crate::receipt::Expected;
use crate::{Fault, Station, sha256};
use clap::Args;
use serde_json::json;
use zmon_domain::identity::DeviceId;
use zmon_domain::result::ReceiptClaims;

use super::commands::{read_certificate, read_line};
use super::{Outcome, Report};

/// The audit was changed, cut or written anew.
const TAMPERED: u8 = 10;

#[derive(Args)]
pub(super) struct AuditCheck {
    /// What `zmon-provision audit export` wrote.
    export: PathBuf,
    /// A receipt of this monitor, to compare with; as often as there are receipts.
    #[arg(long, value_name = "FILE")]
    receipt: Vec<PathBuf>,
    /// An issued certificate, PEM; with an Ed25519 anchor the one of each receipt is needed.
    #[arg(long, value_name = "FILE")]
    certificate: Vec<PathBuf>,
}

pub(super) fn audit_check(station: &Station, arguments: &AuditCheck) -> Outcome {
    let file = File::open(&arguments.export).map_err(at("read", &arguments.export))?;
    let export = AuditExport::open(BufReader::new(file))?;
    let certificates = arguments.certificate.iter().map(|path| read_certificate(path));
    let certificates = certificates.collect::<Result<Vec<_>, _>>()?;
    let mut receipts = Vec::new();
    for path in &arguments.receipt {
        receipts.push(verified(station, export.device_id(), &read_line(path)?, &certificates)?);
    }
    let report = export.check(&receipts)?;
    let (device_id, whole) = (&report.device_id, report.whole);
    let mut text = match (report.findings.is_empty(), receipts.len()) {
        (true, 0) => format!(
            "The audit of {device_id} is whole: {} records. Only a receipt (--receipt) can tell whether its end was cut.",
            whole.count
        ),
        (true, number) => format!(
            "The audit of {device_id} is whole, {} records, and holds what {number} receipts say.",
            whole.count
        ),
        (false, _) => format!(
            "The audit of {device_id} cannot be relied on. Keep the export and the monitor's store as evidence."
        ),
    };
    for finding in &report.findings {
        text.push_str(&format!("\n{}: {finding}.", finding.as_str()));
    }
    let findings: Vec<_> = report
        .findings
        .iter()
        .map(|finding| {
            json!({ "finding": finding.as_str(), "sequence": finding.sequence(), "detail": finding.to_string() })
        })
        .collect();
    Ok(Report {
        text,
        exit_code: if findings.is_empty() { 0 } else { TAMPERED },
        json: json!({
            "deviceId": device_id.as_str(),
            "whole": { "count": whole.count, "head": whole.head.to_hex() },
            "receipts": receipts.len(),
            "findings": findings,
        }),
    })
}

/// The claims of a receipt, with whichever certificate it verifies.
fn verified(
    station: &Station,
    device_id: &DeviceId,
    receipt: &str,
    certificates: &[Vec<u8>],
) -> Result<ReceiptClaims, Fault> {
    let with = |certificate: Option<&[u8]>| {
        let expected = Expected {
            device_id,
            body: None,
            certificate_sha256: certificate.map(sha256),
        };
        station.verify_receipt(receipt, expected, certificate)
    };
    let mut candidates = certificates.iter().map(Vec::as_slice);
    let first = with(candidates.next());
    candidates.fold(first, |outcome, next| outcome.or_else(|_| with(Some(next))))
}
