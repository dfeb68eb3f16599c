//! One device of a batch.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use zmon_domain::error::ErrorCode;
use zmon_domain::time::MAX_PAYLOAD_LIFETIME;

use super::fleet::Row;
use super::journal::{Entry, State};
use super::{Batch, Outcome};
use crate::ca::{certificate_sha256, now, written};
use crate::fault::{Fault, FaultCode};
use crate::home::{at, write_new};
use crate::payload::DeviceConfiguration;
use crate::push::Answer;
use crate::receipt::Expected;
use crate::station::Monitor;

/// The wait before the first repetition, doubled with each; a device's `Retry-After` counts where it is longer.
const FIRST_WAIT: Duration = Duration::from_secs(2);
/// No wait is longer: a QR code lives ten minutes.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Where a device's files are.
struct Files {
    body: PathBuf,
    certificate: PathBuf,
    receipt: PathBuf,
}

impl Files {
    fn of(folder: &Path, device_id: &str) -> Self {
        Self {
            body: folder.join("bodies").join(format!("{device_id}.jwe")),
            certificate: folder.join("certificates").join(format!("{device_id}.pem")),
            receipt: folder.join("receipts").join(format!("{device_id}.jws")),
        }
    }
}

/// What has become of a device: code, detail, and whether its body is to be kept for another push.
struct Failure {
    code: String,
    detail: String,
    keep: bool,
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self {
            code: fault.code.as_str().into(),
            detail: fault.detail().into(),
            keep: true,
        }
    }
}

/// Brings one device to its end, whatever that is.
pub(super) async fn provision(batch: Arc<Batch>, row: Row) -> Outcome {
    let mut outcome = Outcome {
        line: row.line,
        device_id: row.device_id.as_ref().map(ToString::to_string).unwrap_or_default(),
        label: row.label.as_str().into(),
        provisioned: false,
        earlier: false,
        code: String::new(),
        detail: String::new(),
        time: String::new(),
        receipt: String::new(),
    };
    match attempt(&batch, &row, &mut outcome).await {
        Ok(()) => {
            outcome.provisioned = true;
            outcome.code = "Provisioned".into();
            outcome.receipt = format!("receipts/{}.jws", outcome.device_id);
        }
        Err(failure) => {
            outcome.code = failure.code;
            outcome.detail = failure.detail;
        }
    }
    if outcome.time.is_empty() {
        outcome.time = written(now());
    }
    outcome
}

async fn attempt(batch: &Arc<Batch>, row: &Row, outcome: &mut Outcome) -> Result<(), Failure> {
    let (station, picture) = (batch.station.clone(), row.picture.clone());
    let scanned = tokio::task::spawn_blocking(move || {
        let png = std::fs::read(&picture).map_err(at("read", &picture))?;
        station.scan(&png)
    });
    let monitor = scanned
        .await
        .map_err(|error| Fault::local(format!("The scan broke off: {error}.")))??;
    let device_id = monitor.device_id().as_str().to_owned();
    if row
        .device_id
        .as_ref()
        .is_some_and(|expected| expected != monitor.device_id())
    {
        let detail = format!(
            "The picture shows {device_id}, the list says {}: nothing was sent.",
            outcome.device_id
        );
        return Err(Fault::new(FaultCode::OtherDevice, detail).into());
    }
    outcome.device_id.clone_from(&device_id);
    if !batch
        .met
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .insert(device_id.clone())
    {
        let detail = format!("{device_id} is in an earlier row too: nothing was sent for this one.");
        return Err(Fault::new(FaultCode::OtherDevice, detail).into());
    }
    let known = batch.entry(&device_id);
    if let Some(entry) = known.as_ref().filter(|entry| entry.state == State::Provisioned) {
        outcome.earlier = true;
        outcome.time = written(zmon_domain::time::Timestamp::from_millis(entry.at));
        return Ok(());
    }
    let files = Files::of(&batch.folder, &device_id);
    let session = monitor.qr.key.to_base64url();
    let kept = known.is_some_and(|entry| entry.session_key.as_ref() == Some(&session));
    if !(kept && files.body.is_file() && files.certificate.is_file()) {
        seal(batch, row, &monitor, &files)?;
        batch.note(&device_id, State::Sealed, Some(session.clone()), "Sealed", "")?;
    }
    let finished = push(batch, &monitor, &files).await;
    match &finished {
        Ok(()) => batch.note(&device_id, State::Provisioned, None, "Provisioned", "")?,
        Err(failure) => {
            let session = failure.keep.then_some(session);
            batch.note(&device_id, State::Failed, session, &failure.code, &failure.detail)?;
        }
    }
    if finished.as_ref().err().is_none_or(|failure| !failure.keep) {
        erase(&files.body)?;
    }
    finished
}

/// Makes the body and keeps it with its certificate, before anything is sent.
fn seal(batch: &Batch, row: &Row, monitor: &Monitor, files: &Files) -> Result<(), Fault> {
    let server_certificate = row.server_certificate.as_ref();
    let configuration = DeviceConfiguration {
        server_url: row.server_url.clone(),
        sync_interval: row.sync_interval,
        device_label: row.label.clone(),
        measurement_unit: row.measurement_unit,
        language: row.language.clone(),
        ca_certificate: batch.ca_certificate.clone(),
        server_certificate: server_certificate
            .map(|file| std::fs::read_to_string(file).map_err(at("read", file)))
            .transpose()?,
    };
    let client = batch.station.issue(monitor.device_id())?;
    let body = batch
        .station
        .seal(monitor, &configuration, &client, now(), MAX_PAYLOAD_LIFETIME)?;
    for (file, text) in [
        (&files.certificate, client.certificate_pem.trim_end()),
        (&files.body, &body),
    ] {
        // What an earlier session, or a run that was cut short, left behind.
        erase(file)?;
        write_new(file, text)?;
    }
    Ok(())
}

/// Pushes the kept body until there is an answer that counts, and keeps the verified receipt.
async fn push(batch: &Batch, monitor: &Monitor, files: &Files) -> Result<(), Failure> {
    let body = std::fs::read(&files.body).map_err(at("read", &files.body))?;
    let body = body.trim_ascii_end();
    let der = CertificateDer::from_pem_file(&files.certificate)
        .map_err(|_| Fault::local(format!("{} is not a certificate.", files.certificate.display())))?;
    let mut wait = FIRST_WAIT;
    let mut tried = 1;
    let receipt = loop {
        let (failure, asked) = match batch.station.push(monitor, body, batch.options.patience).await {
            Ok(Answer::Provisioned { receipt }) => break receipt,
            Ok(Answer::Refused(refusal)) => {
                // These three leave the session as it is; after every other refusal this body is worth nothing.
                let again = [
                    ErrorCode::RateLimited,
                    ErrorCode::PairingInProgress,
                    ErrorCode::RequestTimeout,
                ]
                .iter()
                .any(|code| code.as_str() == refusal.code);
                let failure = Failure {
                    code: refusal.code,
                    detail: format!("{} {}", refusal.detail, refusal.next_action),
                    keep: again,
                };
                if !again {
                    return Err(failure);
                }
                (failure, refusal.retry_after.map(Duration::from_secs))
            }
            Err(fault) if matches!(fault.code, FaultCode::NoConnection | FaultCode::AnswerLost) => (fault.into(), None),
            Err(fault) => return Err(fault.into()),
        };
        if tried >= batch.options.attempts {
            return Err(failure);
        }
        tried += 1;
        tokio::time::sleep(wait.max(asked.unwrap_or_default()).min(LONGEST_WAIT)).await;
        wait *= 2;
    };
    let expected = Expected {
        device_id: monitor.device_id(),
        body: Some(body),
        certificate_sha256: Some(certificate_sha256(&der)),
    };
    batch.station.verify_receipt(&receipt, expected, Some(&der))?;
    erase(&files.receipt)?;
    write_new(&files.receipt, &receipt)?;
    Ok(())
}

fn erase(file: &Path) -> Result<(), Fault> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(at("erase", file)(error)),
        _ => Ok(()),
    }
}

impl Batch {
    fn entry(&self, device_id: &str) -> Option<Entry> {
        self.journal
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(device_id)
            .cloned()
    }

    fn note(
        &self,
        device_id: &str,
        state: State,
        session: Option<String>,
        code: &str,
        detail: &str,
    ) -> Result<(), Fault> {
        self.journal
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .write(Entry {
                device_id: device_id.into(),
                state,
                session_key: session,
                code: code.into(),
                detail: detail.into(),
                at: now().as_millis(),
            })
    }
}
