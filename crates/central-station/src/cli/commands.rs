//! Each command: the library's calls with files around them.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use zmon_central_station::Fault;
use zmon_central_station::ca::{Issued, certificate_sha256, now};
use zmon_central_station::home::{AnchorKind, Home, write_new};
use zmon_central_station::payload::{DeviceConfiguration, Payload};
use zmon_central_station::push::{Answer, Patience, push};
use zmon_central_station::receipt::{Expected, check, receipt_key};
use zmon_central_station::scan::{Scanned, scan};
use zmon_domain::identity::{DeviceId, Unacceptable};
use zmon_domain::qr::QrFields;
use zmon_domain::result::ReceiptClaims;
use zmon_domain::settings::{DeviceLabel, Language, MeasurementUnit, ServerUrl, SyncInterval};
use zmon_domain::time::MAX_PAYLOAD_LIFETIME;
use zmon_payload_envelope::seal::SigningKey;

use super::{Anchor, Command, Failure, Provision, Report};

type Outcome = Result<Report, Failure>;

pub(super) async fn run(home: &Path, command: Command) -> Outcome {
    match command {
        Command::Init { name, anchor } => init(home, &name, anchor),
        Command::Derive { device_id, out } => derive(&Home::open(home), &device_id, &out),
        Command::Scan { png } => {
            let (qr, key) = verified(&Home::open(home), &png)?;
            Ok(scanned(&qr, &key))
        }
        Command::Issue { device_id, out } => {
            let ca = Home::open(home).certificate_authority()?;
            issued(&ca.issue_client(&device(&device_id)?)?, &out)
        }
        Command::IssueServer { host, out } => {
            let ca = Home::open(home).certificate_authority()?;
            let host = argument("host", ServerUrl::parse(&format!("https://{host}")))?;
            issued(&ca.issue_server(host.host())?, &out)
        }
        Command::Provision(arguments) => provision(&Home::open(home), &arguments).await,
        Command::Push { png, body } => push_again(&Home::open(home), &png, &body).await,
        Command::VerifyReceipt {
            receipt,
            device_id,
            body,
            certificate,
        } => {
            let device_id = device(&device_id)?;
            let body = body.as_deref().map(read).transpose()?;
            let certificate = certificate.as_deref().map(read_certificate).transpose()?;
            let key = Home::open(home).signing_key(&device_id)?;
            let key = receipt_key(&key, &device_id, certificate.as_deref())?;
            let text = String::from_utf8_lossy(&read(&receipt)?).trim().to_owned();
            let expected = Expected {
                device_id: &device_id,
                body: body.as_deref(),
                certificate_sha256: certificate.as_deref().map(certificate_sha256),
            };
            let claims = check(&text, &key, expected)?;
            let text = format!("The receipt is genuine: {}.", said_by(&claims));
            Ok(Report {
                text,
                json: json!({ "claims": claims_json(&claims) }),
            })
        }
    }
}

fn init(directory: &Path, name: &str, anchor: Anchor) -> Outcome {
    let kind = match anchor {
        Anchor::Hmac => AnchorKind::Hmac,
        Anchor::Ed25519 => AnchorKind::Ed25519,
    };
    Home::create(directory, name, kind)?;
    let directory = directory.display().to_string();
    let text = format!("The station's keys and certificate authority are in {directory}. Keep a copy in a safe place.");
    Ok(Report {
        text,
        json: json!({ "home": directory }),
    })
}

fn derive(home: &Home, device_id: &str, out: &Path) -> Outcome {
    let device_id = device(device_id)?;
    write_new(out, home.trust_anchor_line(&device_id)?.expose())?;
    let out = out.display().to_string();
    let text = format!("The trust anchor of {device_id} is in {out}. Carry it to that monitor, then delete it here.");
    Ok(Report {
        text,
        json: json!({ "deviceId": device_id.as_str(), "file": out }),
    })
}

fn issued(issued: &Issued, directory: &Path) -> Outcome {
    let failed = |error| Fault::local(format!("Cannot create {}: {error}.", directory.display()));
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(failed)?;
    write_new(&directory.join("key.pem"), issued.private_key_pem.expose())?;
    write_new(&directory.join("certificate.pem"), &issued.certificate_pem)?;
    let directory = directory.display().to_string();
    let text = format!("certificate.pem and key.pem are in {directory}.");
    Ok(Report {
        text,
        json: json!({ "directory": directory, "sha256": issued.sha256.to_hex() }),
    })
}

fn scanned(qr: &QrFields, key: &SigningKey) -> Report {
    let proof = match key {
        SigningKey::Hmac { .. } => "its mac is genuine",
        SigningKey::Ed25519 { .. } => "it carries no mac: make sure that it is on the monitor's own screen",
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
        "macVerified": matches!(key, SigningKey::Hmac { .. }),
    });
    Report { text, json }
}

async fn provision(home: &Home, arguments: &Provision) -> Outcome {
    let ca = home.certificate_authority()?;
    let configuration = DeviceConfiguration {
        server_url: argument("--server-url", ServerUrl::parse(&arguments.server_url))?,
        sync_interval: argument(
            "--sync-interval",
            SyncInterval::from_seconds(arguments.sync_interval.into()),
        )?,
        device_label: argument("--label", DeviceLabel::parse(&arguments.label))?,
        measurement_unit: argument("--unit", MeasurementUnit::parse(&arguments.unit))?,
        language: argument("--language", Language::parse(&arguments.language))?,
        ca_certificate: ca.certificate_pem().into(),
        server_certificate: arguments.server_cert.as_deref().map(read_text).transpose()?,
    };
    // What cannot be kept afterwards must be known before anything is sent.
    if let Some(taken) = arguments.receipt.as_deref().filter(|file| file.exists()) {
        let taken = taken.display();
        return Err(Fault::local(format!(
            "{taken} exists already; it is not overwritten. Nothing was sent."
        ))
        .into());
    }
    let mut watch = Stopwatch::start();
    let (qr, key) = verified(home, &arguments.png)?;
    watch.lap("scan and verify the QR code");
    let client = ca.issue_client(&qr.device_id)?;
    watch.lap("issue the certificate");
    let body = Payload::new(&qr, &configuration, &client, now(), MAX_PAYLOAD_LIFETIME).seal(&key, &qr)?;
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
    let receipt = accepted(push(&qr, body.as_bytes(), Patience::default()).await?)?;
    watch.lap("push over HTTPS");
    let expected = Expected {
        device_id: &qr.device_id,
        body: Some(body.as_bytes()),
        certificate_sha256: Some(client.sha256),
    };
    let claims = check(
        &receipt,
        &receipt_key(&key, &qr.device_id, Some(&client.der))?,
        expected,
    )?;
    if let Some(file) = &arguments.receipt {
        write_new(file, &receipt)?;
    }
    watch.lap("verify the receipt");
    Ok(Report {
        text: format!(
            "{} is provisioned. The receipt is genuine: {}.",
            qr.device_id,
            said_by(&claims)
        ),
        json: json!({
            "deviceId": qr.device_id.as_str(),
            "status": "PROVISIONED",
            "receipt": receipt,
            "claims": claims_json(&claims),
            "timings": watch.laps,
        }),
    })
}

async fn push_again(home: &Home, png: &Path, body: &Path) -> Outcome {
    let (qr, key) = verified(home, png)?;
    let body = read(body)?;
    // Files end with a line feed, bodies do not.
    let receipt = accepted(push(&qr, body.trim_ascii_end(), Patience::default()).await?)?;
    let genuine = match receipt_key(&key, &qr.device_id, None) {
        Ok(key) => {
            let expected = Expected {
                device_id: &qr.device_id,
                body: Some(body.trim_ascii_end()),
                certificate_sha256: None,
            };
            check(&receipt, &key, expected)?;
            "the receipt is genuine"
        }
        // An Ed25519 station verifies with the issued certificate.
        Err(_) => "verify the receipt with `verify-receipt --certificate`",
    };
    Ok(Report {
        text: format!("{} is provisioned; {genuine}.", qr.device_id),
        json: json!({ "deviceId": qr.device_id.as_str(), "status": "PROVISIONED", "receipt": receipt }),
    })
}

fn accepted(answer: Answer) -> Result<String, Failure> {
    match answer {
        Answer::Provisioned { receipt } => Ok(receipt),
        Answer::Refused(refusal) => Err(Failure::Refused(refusal)),
    }
}

/// The QR code in a picture, verified with the key of the device that it names.
fn verified(home: &Home, png: &Path) -> Result<(QrFields, SigningKey), Fault> {
    let scanned: Scanned = scan(&read(png)?)?;
    let key = home.signing_key(scanned.claimed_device())?;
    Ok((scanned.verify(&key)?, key))
}

fn device(text: &str) -> Result<DeviceId, Fault> {
    argument("the device id", DeviceId::parse(text))
}

fn argument<T>(name: &str, value: Result<T, Unacceptable>) -> Result<T, Fault> {
    value.map_err(|fault| Fault::local(format!("{name} {fault}.")))
}

fn read(path: &Path) -> Result<Vec<u8>, Fault> {
    fs::read(path).map_err(|error| Fault::local(format!("Cannot read {}: {error}.", path.display())))
}

fn read_text(path: &Path) -> Result<String, Fault> {
    String::from_utf8(read(path)?).map_err(|_| Fault::local(format!("{} is not text.", path.display())))
}

fn read_certificate(path: &Path) -> Result<Vec<u8>, Fault> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    CertificateDer::from_pem_slice(&read(path)?)
        .map(|der| der.to_vec())
        .map_err(|_| Fault::local(format!("{} is not a certificate in PEM.", path.display())))
}

fn said_by(claims: &ReceiptClaims) -> String {
    format!("{} completed it at {}", claims.device_id, completed_at(claims))
}

fn completed_at(claims: &ReceiptClaims) -> String {
    let nanos = i128::from(claims.completed_at.as_millis()) * 1_000_000;
    let time = OffsetDateTime::from_unix_timestamp_nanos(nanos).ok();
    time.and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_else(|| "an impossible time".into())
}

fn claims_json(claims: &ReceiptClaims) -> Value {
    json!({
        "deviceId": claims.device_id.as_str(),
        "bodySha256": claims.body_sha256.to_hex(),
        "certificateSha256": claims.certificate_sha256.to_hex(),
        "completedAt": completed_at(claims),
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
