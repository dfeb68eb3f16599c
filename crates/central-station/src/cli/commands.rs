//! Each command: the library's calls with files around them.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use crate::ca::{Issued, now, written};
use crate::home::{AnchorKind, at, write_new};
use crate::receipt::Expected;
use crate::{Fault, Monitor, Station, sha256};
use serde_json::json;
use zmon_domain::identity::DeviceId;
use zmon_domain::result::DestructionClaims;
use zmon_domain::time::Timestamp;

use super::audit::audit_check;
use super::batch::batch;
use super::check::dry_run;
use super::provision::{claims_json, provision, push_again, said_by, seal};
use super::{Anchor, Command, Outcome, Report, printable};

pub(super) async fn run(home: &Path, command: Command, quiet: bool) -> Outcome {
    let station = Station::open(home);
    match command {
        Command::Init { name, anchor } => init(home, &name, anchor),
        Command::Derive { device_id, out } => derive(&station, &device_id, &out),
        Command::Scan { png } => Ok(scanned(&station.scan(&read(&png)?)?)),
        Command::Issue { device_id, out } => issued(&station.issue(&device_id)?, &out),
        Command::IssueServer { host, out } => issued(&station.certificate_authority()?.issue_server(&host)?, &out),
        Command::Provision(arguments) => provision(&station, &arguments).await,
        Command::Seal(arguments) => seal(&station, &arguments),
        Command::Push {
            png,
            body,
            certificate,
            receipt,
        } => push_again(&station, &png, &body, certificate.as_deref(), receipt.as_deref()).await,
        Command::VerifyReceipt {
            receipt,
            device_id,
            body,
            certificate,
        } => {
            let body = body.as_deref().map(read).transpose()?;
            let certificate = certificate.as_deref().map(read_certificate).transpose()?;
            let text = read_line(&receipt)?;
            let expected = Expected {
                device_id: &device_id,
                body: body.as_deref().map(<[u8]>::trim_ascii_end),
                certificate_sha256: certificate.as_deref().map(sha256),
            };
            let claims = station.verify_receipt(&text, expected, certificate.as_deref())?;
            let text = format!("The receipt is genuine: {}.", said_by(&claims));
            Ok(Report::done(text, json!({ "claims": claims_json(&claims) })))
        }
        Command::VerifyDestruction {
            record,
            device_id,
            certificate,
        } => {
            let certificate = certificate.as_deref().map(read_certificate).transpose()?;
            let text = read_line(&record)?;
            Ok(destroyed(&station.verify_destruction(
                &text,
                &device_id,
                certificate.as_deref(),
            )?))
        }
        Command::Retire { device_id, reason } => {
            station.retire(&device_id, reason.as_deref(), now())?;
            let text =
                format!("{device_id} is retired: nothing is scanned, derived, issued or sealed for it any more.");
            Ok(Report::done(
                text,
                json!({ "deviceId": device_id.as_str(), "status": "RETIRED" }),
            ))
        }
        Command::Batch(arguments) => batch(station, &arguments, quiet).await,
        Command::AuditCheck(arguments) => audit_check(&station, &arguments),
        Command::Check(arguments) => dry_run(&station, &arguments),
        Command::Retired => retired(&station),
        Command::Completions { shell } => {
            let text = super::completions(super::command(), shell).trim_end().to_owned();
            Ok(Report::done(text.clone(), json!({ "script": text })))
        }
    }
}

fn destroyed(claims: &DestructionClaims) -> Report {
    let destruction = &claims.destruction;
    let at = written(claims.destroyed_at);
    let retired = if destruction.retired {
        " The device was retired: its trust anchor was to be erased next."
    } else {
        ""
    };
    let text = format!(
        "The record is genuine: {} destroyed certificate {} (SHA-256 {}) and its key at {at}, ordered by {}.{retired}",
        claims.device_id,
        printable(&destruction.certificate_serial),
        destruction.certificate_sha256.to_hex(),
        printable(&destruction.authorised_by),
    );
    let json = json!({ "claims": {
        "deviceId": claims.device_id.as_str(),
        "certificateSha256": destruction.certificate_sha256.to_hex(),
        "certificateSerial": destruction.certificate_serial,
        "authorisedBy": destruction.authorised_by,
        "retired": destruction.retired,
        "destroyedAt": at,
        "auditCount": claims.audit.count,
        "auditHead": claims.audit.head.to_hex(),
    } });
    Report::done(text, json)
}

fn init(directory: &Path, name: &str, anchor: Anchor) -> Outcome {
    let kind = match anchor {
        Anchor::Hmac => AnchorKind::Hmac,
        Anchor::Ed25519 => AnchorKind::Ed25519,
    };
    Station::create(directory, name, kind)?;
    let directory = directory.display().to_string();
    let text = format!("The station's keys and certificate authority are in {directory}. Keep a copy in a safe place.");
    Ok(Report::done(text, json!({ "home": directory })))
}

fn retired(station: &Station) -> Outcome {
    let list = station.retired()?;
    let mut text = match list.len() {
        1 => "1 retired device.".to_owned(),
        count => format!("{count} retired devices."),
    };
    for entry in &list {
        let reason = entry.reason.as_deref().unwrap_or("no reason given");
        let at = written(Timestamp::from_millis(entry.at));
        text.push_str(&format!(
            "\n{} since {at}: {}",
            printable(&entry.device_id),
            printable(reason)
        ));
    }
    let list: Vec<_> = list
        .iter()
        .map(|entry| {
            let at = written(Timestamp::from_millis(entry.at));
            json!({ "deviceId": entry.device_id, "retiredAt": at, "reason": entry.reason })
        })
        .collect();
    Ok(Report::done(text, json!({ "retired": list })))
}

fn derive(station: &Station, device_id: &DeviceId, out: &Path) -> Outcome {
    write_new(out, station.derive(device_id)?.expose())?;
    let out = out.display().to_string();
    let text = format!("The trust anchor of {device_id} is in {out}. Carry it to that monitor, then delete it here.");
    Ok(Report::done(
        text,
        json!({ "deviceId": device_id.as_str(), "file": out }),
    ))
}

fn issued(issued: &Issued, directory: &Path) -> Outcome {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(at("create", directory))?;
    write_new(&directory.join("key.pem"), issued.private_key_pem.expose())?;
    write_new(&directory.join("certificate.pem"), &issued.certificate_pem)?;
    let directory = directory.display().to_string();
    let text = format!("certificate.pem and key.pem are in {directory}.");
    let json = json!({ "directory": directory, "sha256": issued.sha256.to_hex() });
    Ok(Report::done(text, json))
}

fn scanned(monitor: &Monitor) -> Report {
    let qr = &monitor.qr;
    let proof = if monitor.mac_verified() {
        "its mac is genuine"
    } else {
        "it carries no mac: make sure that it is on the monitor's own screen"
    };
    let text = format!(
        "Monitor {}, serial number {}, listens on {} port {}; {proof}.",
        qr.device_id, qr.serial_number, qr.ip_address, qr.port
    );
    let json = json!({
        "deviceId": qr.device_id.as_str(),
        "serialNumber": qr.serial_number.as_str(),
        "ipAddress": qr.ip_address,
        "port": qr.port,
        "timestamp": qr.timestamp.as_millis(),
        "pin": qr.pin.to_base64url(),
        "macVerified": monitor.mac_verified(),
    });
    Report::done(text, json)
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, Fault> {
    fs::read(path).map_err(at("read", path))
}

/// A receipt or a record, without the line feed that files end with.
pub(super) fn read_line(path: &Path) -> Result<String, Fault> {
    Ok(String::from_utf8_lossy(&read(path)?).trim().to_owned())
}

pub(super) fn read_text(path: &Path) -> Result<String, Fault> {
    String::from_utf8(read(path)?).map_err(|_| Fault::local(format!("{} is not text.", path.display())))
}

pub(super) fn read_certificate(path: &Path) -> Result<Vec<u8>, Fault> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    CertificateDer::from_pem_slice(&read(path)?)
        .map(|der| der.to_vec())
        .map_err(|_| Fault::local(format!("{} is not a certificate in PEM.", path.display())))
}
