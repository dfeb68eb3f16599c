//! `provision`, `seal`, `push`: what goes to a monitor, and the receipt that comes back.

use std::path::Path;
use std::time::Duration;

use crate::ca::{now, written};
use crate::home::write_new;
use crate::payload::DeviceConfiguration;
use crate::push::{Answer, Patience, comparison_value, watched};
use crate::receipt::Expected;
use crate::{Fault, FaultCode, Monitor, Station, sha256};
use serde_json::{Value, json};
use zmon_domain::result::ReceiptClaims;
use zmon_domain::time::MAX_PAYLOAD_LIFETIME;

use super::commands::{read, read_certificate, read_text};
use super::{Configure, Failure, Outcome, Provision, Report, Seal, say};

fn configuration(station: &Station, configure: &Configure) -> Result<DeviceConfiguration, Fault> {
    Ok(DeviceConfiguration {
        server_url: configure.server_url.clone(),
        sync_interval: configure.sync_interval,
        device_label: configure.label.clone(),
        measurement_unit: configure.unit,
        language: configure.language.clone(),
        ca_certificate: station.certificate_authority()?.certificate_pem().into(),
        server_certificate: configure.server_cert.as_deref().map(read_text).transpose()?,
    })
}

/// A body to be carried by hand.
pub(super) fn seal(station: &Station, arguments: &Seal) -> Outcome {
    let configuration = configuration(station, &arguments.configure)?;
    refuse_taken(Some(&arguments.out))?;
    let monitor = station.scan(&read(&arguments.configure.png)?)?;
    let device_id = monitor.device_id();
    let client = station.issue(device_id)?;
    let body = station.seal(&monitor, &configuration, &client, now(), MAX_PAYLOAD_LIFETIME)?;
    if let Some(file) = &arguments.save_certificate {
        write_new(file, client.certificate_pem.trim_end())?;
    }
    write_new(&arguments.out, &body)?;
    let file = arguments.out.display().to_string();
    let comparison = comparison_value(body.as_bytes()).to_string();
    let text = format!(
        "The sealed body for {device_id} is in {file}. Carry it there within the hour, while the same QR code is on the \
         screen, and run `zmon-provision apply`; it gives the receipt for `verify-receipt`. Comparison value: {comparison}."
    );
    let json = json!({
        "deviceId": device_id.as_str(),
        "file": file,
        "comparisonValue": comparison,
        "certificateSha256": client.sha256.to_hex(),
    });
    Ok(Report::done(text, json))
}

pub(super) async fn provision(station: &Station, arguments: &Provision) -> Outcome {
    let configuration = configuration(station, &arguments.configure)?;
    // What cannot be kept afterwards must be known before anything is sent.
    refuse_taken(arguments.receipt.as_deref())?;
    let mut watch = Stopwatch::start();
    let monitor = station.scan(&read(&arguments.configure.png)?)?;
    let device_id = monitor.device_id();
    watch.lap("scan and verify the QR code");
    let client = station.issue(device_id)?;
    watch.lap("issue the certificate");
    let body = station.seal(&monitor, &configuration, &client, now(), MAX_PAYLOAD_LIFETIME)?;
    // Kept before anything is sent: whatever happens to the answer, the same body can be pushed again.
    for (file, text) in [
        (&arguments.save_body, &body),
        (&arguments.save_certificate, &client.certificate_pem),
    ] {
        if let Some(file) = file {
            write_new(file, text.trim_end())?;
        }
    }
    watch.lap("sign and seal");
    let (pushed, comparison) = announced_push(station, &monitor, body.as_bytes()).await;
    let receipt = accepted(pushed.map_err(|fault| match arguments.save_body {
        None if fault.code == FaultCode::AnswerLost => not_kept(&fault),
        _ => fault,
    })?)?;
    watch.lap("push over HTTPS");
    let expected = Expected {
        device_id,
        body: Some(body.as_bytes()),
        certificate_sha256: Some(client.sha256),
    };
    let file = arguments.receipt.as_deref();
    keep(&receipt, file)?;
    let claims = station
        .verify_receipt(&receipt, expected, Some(&client.der))
        .map_err(|fault| with_receipt(&fault, &receipt, file))?;
    watch.lap("verify the receipt");
    Ok(Report::done(
        format!(
            "{device_id} is provisioned. The receipt is genuine: {}.",
            said_by(&claims)
        ),
        json!({
            "deviceId": device_id.as_str(),
            "status": "PROVISIONED",
            "comparisonValue": comparison,
            "receipt": receipt,
            "claims": claims_json(&claims),
            "timings": watch.laps,
        }),
    ))
}

pub(super) async fn push_again(
    station: &Station,
    png: &Path,
    body: &Path,
    certificate: Option<&Path>,
    receipt_file: Option<&Path>,
) -> Outcome {
    refuse_taken(receipt_file)?;
    let certificate = certificate.map(read_certificate).transpose()?;
    let monitor = station.scan(&read(png)?)?;
    let device_id = monitor.device_id();
    let body = read(body)?;
    // Files end with a line feed, bodies do not.
    let body = body.trim_ascii_end();
    let receipt = accepted(announced_push(station, &monitor, body).await.0?)?;
    keep(&receipt, receipt_file)?;
    let mut json = json!({ "deviceId": device_id.as_str(), "status": "PROVISIONED", "receipt": receipt });
    // An Ed25519 station verifies with the issued certificate.
    if !monitor.mac_verified() && certificate.is_none() {
        let text =
            format!("{device_id} is provisioned; verify the receipt with `verify-receipt --certificate`: {receipt}");
        return Ok(Report::done(text, json));
    }
    let expected = Expected {
        device_id,
        body: Some(body),
        certificate_sha256: certificate.as_deref().map(sha256),
    };
    let claims = station
        .verify_receipt(&receipt, expected, certificate.as_deref())
        .map_err(|fault| with_receipt(&fault, &receipt, receipt_file))?;
    json["claims"] = claims_json(&claims);
    Ok(Report::done(
        format!(
            "{device_id} is provisioned. The receipt is genuine: {}.",
            said_by(&claims)
        ),
        json,
    ))
}

/// Tells whoever has to confirm at the monitor what to compare, before the wait for them begins, and again when it has. To
/// standard error: the report comes when everything is done. Gives the comparison value, too.
async fn announced_push(station: &Station, monitor: &Monitor, body: &[u8]) -> (Result<Answer, Fault>, String) {
    let value = comparison_value(body).to_string();
    let tell = |text: &str| say(std::io::stderr(), text);
    tell(&format!(
        "Pushing. Comparison value: {value}. A monitor that asks for confirmation shows the same, and waits a minute for it."
    ));
    let push = station.push(monitor, body, Patience::default());
    let waits = || tell(&format!("Waiting for a person at the monitor to compare {value}."));
    (watched(push, waits).await, value)
}

/// What cannot be kept afterwards must be known before anything is sent.
fn refuse_taken(file: Option<&Path>) -> Result<(), Fault> {
    file.filter(|file| file.exists()).map_or(Ok(()), |taken| {
        Err(Fault::local(format!(
            "{} exists already; it is not overwritten. Nothing was sent.",
            taken.display()
        )))
    })
}

/// A lost answer to a body that nobody has any more.
fn not_kept(fault: &Fault) -> Fault {
    Fault::new(
        fault.code,
        format!(
            "{} The body was not kept (--save-body): look at the monitor's screen; if it is provisioned, \
             `zmon-provision status --receipt` prints its receipt there, otherwise start again with a new QR code.",
            fault.detail()
        ),
    )
}

/// Keeps the receipt before it is looked at: the monitor may give it no second time.
fn keep(receipt: &str, file: Option<&Path>) -> Result<(), Fault> {
    file.map_or(Ok(()), |file| write_new(file, receipt))
        .map_err(|fault| with_receipt(&fault, receipt, None))
}

/// What is wrong with a receipt, or with the file for it, and where the receipt is.
fn with_receipt(fault: &Fault, receipt: &str, file: Option<&Path>) -> Fault {
    let found = file.map_or_else(
        || format!("The receipt, as it came: \"{receipt}\""),
        |file| format!("The receipt is kept in {}", file.display()),
    );
    Fault::new(fault.code, format!("{} {found}", fault.detail()))
}

fn accepted(answer: Answer) -> Result<String, Failure> {
    match answer {
        Answer::Provisioned { receipt } => Ok(receipt),
        Answer::Refused(refusal) => Err(Failure::Refused(refusal)),
    }
}

pub(super) fn said_by(claims: &ReceiptClaims) -> String {
    format!("{} completed it at {}", claims.device_id, written(claims.completed_at))
}

pub(super) fn claims_json(claims: &ReceiptClaims) -> Value {
    json!({
        "deviceId": claims.device_id.as_str(),
        "bodySha256": claims.body_sha256.to_hex(),
        "certificateSha256": claims.certificate_sha256.to_hex(),
        "completedAt": written(claims.completed_at),
        "auditCount": claims.audit.count,
        "auditHead": claims.audit.head.to_hex(),
    })
}

/// Measures the parts of a provisioning, for the report.
struct Stopwatch {
    since: std::time::Instant,
    laps: Vec<Value>,
}

#[expect(
    clippy::disallowed_methods,
    reason = "a report of durations, nothing is decided by them"
)]
impl Stopwatch {
    fn start() -> Self {
        Self {
            since: std::time::Instant::now(),
            laps: Vec::new(),
        }
    }

    fn lap(&mut self, phase: &str) {
        let now = std::time::Instant::now();
        let elapsed: Duration = now - self.since;
        self.since = now;
        self.laps
            .push(json!({ "phase": phase, "elapsed_us": elapsed.as_micros() as u64 }));
    }
}
