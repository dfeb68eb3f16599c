//! One device of a batch.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use zmon_domain::error::ErrorCode;
use zmon_domain::time::{MAX_PAYLOAD_LIFETIME, Timestamp};

use super::fleet::Row;
use super::journal::{Entry, State};
use super::{Batch, Outcome, Waiting};
use crate::ca::{now, written};
use crate::fault::{Fault, FaultCode, sentence};
use crate::home::{at, write_new};
use crate::payload::DeviceConfiguration;
use crate::push::{Answer, comparison_value, watched};
use crate::receipt::Expected;
use crate::sha256;
use crate::station::Monitor;

/// The wait before the first repetition, doubled with each; a device's `Retry-After` counts where it is longer.
const FIRST_WAIT: Duration = Duration::from_secs(2);
/// No wait is longer: a QR code lives ten minutes.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// A push refused with one of these leaves the session as it is, so that the same body may be pushed again; after every other
/// refusal it is worth nothing (`protocol.md`, "Validation order").
const PUSHED_AGAIN_AFTER: [ErrorCode; 3] = [
    ErrorCode::RateLimited,
    ErrorCode::PairingInProgress,
    ErrorCode::RequestTimeout,
];

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

impl Failure {
    /// The device may have installed what it was sent before: that is what counts, whatever went wrong after it.
    fn after_a_lost_answer(self, device_id: &str) -> Self {
        let detail = format!(
            "{} An earlier answer was lost: the monitor may hold this configuration. If its screen says so, save what \
             `zmon-provision status --receipt` prints there as receipts/{device_id}.jws and run the command again.",
            self.detail
        );
        Self {
            code: FaultCode::AnswerLost.as_str().into(),
            detail,
            keep: self.keep,
        }
    }
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
        elapsed_ms: 0,
        receipt: String::new(),
        comparison_value: String::new(),
    };
    let attempted = match batch.place().await {
        Some(place) => {
            let begun = Instant::now();
            let attempted = attempt(&batch, &row, &mut outcome, place).await;
            outcome.elapsed_ms = begun.elapsed().as_millis() as u64;
            attempted
        }
        None => Err(Fault::new(FaultCode::Interrupted, "Nothing was made or sent for it.").into()),
    };
    match attempted {
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

async fn attempt(
    batch: &Arc<Batch>,
    row: &Row,
    outcome: &mut Outcome,
    place: OwnedSemaphorePermit,
) -> Result<(), Failure> {
    let monitor = scan(batch, row).await?;
    let device_id = monitor.device_id().as_str();
    outcome.device_id = device_id.into();
    let known = batch.entry(device_id);
    let session = monitor.qr.key.to_base64url();
    // A code of another session is a newer one: the monitor has been given free, or was never reached.
    let known = known.filter(|entry| entry.session_key.as_ref() == Some(&session));
    let files = Files::of(&batch.folder, device_id);
    match known.as_ref().map(|entry| entry.state) {
        Some(State::Provisioned) => {
            outcome.earlier = true;
            outcome.time = written(Timestamp::from_millis(known.map_or(0, |entry| entry.at)));
            return Ok(());
        }
        // A run that was killed may have kept the receipt and not noted it, or a person has brought it.
        Some(_) if files.body.is_file() && files.certificate.is_file() => {
            if files.verify_kept_receipt(batch, &monitor).is_ok() {
                return finish(batch, device_id, session, &files, Ok(()));
            }
        }
        _ => {
            seal(batch, row, &monitor, &files)?;
            batch.note(device_id, State::Sealed, Some(session.clone()), "Sealed", "")?;
        }
    }
    // A run that was killed may have sent what it had sealed.
    let lost_before =
        known.is_some_and(|entry| entry.state == State::Sealed || entry.code == FaultCode::AnswerLost.as_str());
    let pushed = push(batch, &monitor, &files, lost_before, place, outcome).await;
    finish(batch, device_id, session, &files, pushed)
}

/// The monitor in the row's picture.
async fn scan(batch: &Arc<Batch>, row: &Row) -> Result<Monitor, Fault> {
    let (station, picture) = (batch.station.clone(), row.picture.clone());
    let scanned = tokio::task::spawn_blocking(move || {
        let png = std::fs::read(&picture).map_err(at("read", &picture))?;
        station.scan(&png)
    });
    let monitor = scanned
        .await
        .map_err(|error| Fault::local(format!("The scan broke off: {error}.")))??;
    let device_id = monitor.device_id();
    let other = |detail: String| Err(Fault::new(FaultCode::OtherDevice, detail));
    if let Some(expected) = row.device_id.as_ref().filter(|expected| *expected != device_id) {
        return other(format!(
            "The picture shows {device_id}, the list says {expected}: nothing was sent."
        ));
    }
    let mut met = batch.met.lock().unwrap_or_else(PoisonError::into_inner);
    if !met.insert(device_id.as_str().into()) {
        return other(format!(
            "{device_id} is in an earlier row too: nothing was sent for this one."
        ));
    }
    drop(met);
    Ok(monitor)
}

/// Notes what has become of a device, and erases the body where it is worth nothing any more.
fn finish(
    batch: &Batch,
    device_id: &str,
    session: String,
    files: &Files,
    pushed: Result<(), Failure>,
) -> Result<(), Failure> {
    match &pushed {
        Ok(()) => batch.note(device_id, State::Provisioned, Some(session), "Provisioned", "")?,
        Err(failure) => {
            let session = failure.keep.then_some(session);
            batch.note(device_id, State::Failed, session, &failure.code, &failure.detail)?;
        }
    }
    if pushed.as_ref().err().is_none_or(|failure| !failure.keep) {
        erase(&files.body)?;
    }
    pushed
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
async fn push(
    batch: &Batch,
    monitor: &Monitor,
    files: &Files,
    mut lost: bool,
    mut place: OwnedSemaphorePermit,
    outcome: &mut Outcome,
) -> Result<(), Failure> {
    let body = files.body()?;
    outcome.comparison_value = comparison_value(&body).to_string();
    let waits = || {
        // Nobody listens any more once the run broke off.
        let _ = batch.waiting.send(Waiting {
            line: outcome.line,
            device_id: outcome.device_id.clone(),
            label: outcome.label.clone(),
            comparison_value: outcome.comparison_value.clone(),
        });
    };
    let mut tried = 0;
    let receipt = loop {
        let pushed = batch.station.push(monitor, &body, batch.options.patience);
        let (failure, asked) = match watched(pushed, waits).await {
            Ok(Answer::Provisioned { receipt }) => break receipt,
            Ok(Answer::Refused(refusal)) => {
                let again = PUSHED_AGAIN_AFTER.iter().any(|code| code.as_str() == refusal.code);
                let failure = Failure {
                    code: refusal.code,
                    detail: format!("{} {}", sentence(&refusal.detail), refusal.next_action),
                    keep: again,
                };
                if !again {
                    return Err(failure);
                }
                (failure, refusal.retry_after)
            }
            Err(fault) => {
                lost |= fault.code == FaultCode::AnswerLost;
                let again = matches!(fault.code, FaultCode::NoConnection | FaultCode::AnswerLost);
                let unheard = lost && fault.code != FaultCode::AnswerLost;
                let failure = Failure::from(fault);
                let failure = if unheard {
                    failure.after_a_lost_answer(monitor.device_id().as_str())
                } else {
                    failure
                };
                if !again {
                    return Err(failure);
                }
                (failure, None)
            }
        };
        tried += 1;
        if tried >= batch.options.attempts {
            return Err(failure);
        }
        // Others work meanwhile.
        drop(place);
        tokio::select! {
            () = tokio::time::sleep(pause(tried, asked)) => {}
            () = batch.stopped() => return Err(failure),
        }
        match batch.place().await {
            Some(again) => place = again,
            None => return Err(failure),
        }
    };
    files.verify(batch, monitor, &body, &receipt)?;
    erase(&files.receipt)?;
    write_new(&files.receipt, &receipt)?;
    Ok(())
}

/// How long to wait after so many tries in vain, at least one; `asked` is the device's `Retry-After` in seconds.
fn pause(tried: u32, asked: Option<u64>) -> Duration {
    let doubled = FIRST_WAIT.saturating_mul(1 << tried.saturating_sub(1).min(16));
    doubled
        .max(Duration::from_secs(asked.unwrap_or_default()))
        .min(LONGEST_WAIT)
}

impl Files {
    /// The body as it is sent: files end with a line feed, bodies do not.
    fn body(&self) -> Result<Vec<u8>, Fault> {
        let mut body = std::fs::read(&self.body).map_err(at("read", &self.body))?;
        body.truncate(body.trim_ascii_end().len());
        Ok(body)
    }

    fn verify(&self, batch: &Batch, monitor: &Monitor, body: &[u8], receipt: &str) -> Result<(), Fault> {
        let der = CertificateDer::from_pem_file(&self.certificate)
            .map_err(|_| Fault::local(format!("{} is not a certificate.", self.certificate.display())))?;
        let expected = Expected {
            device_id: monitor.device_id(),
            body: Some(body),
            certificate_sha256: Some(sha256(&der)),
        };
        batch.station.verify_receipt(receipt, expected, Some(&der)).map(drop)
    }

    /// Whether a receipt for the kept body is there already.
    fn verify_kept_receipt(&self, batch: &Batch, monitor: &Monitor) -> Result<(), Fault> {
        let receipt = std::fs::read_to_string(&self.receipt).map_err(at("read", &self.receipt))?;
        self.verify(batch, monitor, &self.body()?, receipt.trim_ascii_end())
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_as_long_as_the_device_asks_doubles_its_own_wait_and_never_waits_longer_than_a_minute() {
        let seconds = |tried, asked| pause(tried, asked).as_secs();
        let own: Vec<_> = (1..8).map(|tried| seconds(tried, None)).collect();
        assert_eq!(own, [2, 4, 8, 16, 32, 60, 60]);
        assert_eq!((seconds(1, Some(5)), seconds(4, Some(5))), (5, 16));
        assert_eq!((seconds(0, Some(0)), seconds(u32::MAX, Some(u64::MAX))), (2, 60));
    }
}
