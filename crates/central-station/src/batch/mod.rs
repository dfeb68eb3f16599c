//! Many devices side by side, from a list; goes on where it stopped.
//!
//! The folder of a batch holds `journal.jsonl`, `bodies/` (what may have to be pushed again, sealed, mode 0600, erased
//! when the device is finished), `certificates/` and `receipts/`, and after each run `report.csv` and `report.html`.
//! In memory are the devices at work and one small record for each row, never the pictures or bodies of all.
//!
//! A run that is stopped, or killed, loses no device: what may have reached one is kept before it is sent, and the next run
//! pushes the same body again.

mod device;
mod fleet;
mod journal;
mod report;

use std::collections::HashSet;
use std::fs::DirBuilder;
use std::future::Future;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, Mutex};

use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::{JoinError, JoinSet};

use crate::fault::{Fault, FaultCode};
use crate::home::at;
use crate::push::Patience;
use crate::station::Station;
pub use fleet::{COLUMNS, Defaults, Fleet, Row, RowFault};
use journal::Journal;
pub use journal::{Entry, State};

/// Most faults of a list that are told at once.
pub const MAX_FAULTS: usize = 1_000;
/// For each place there are so many devices at most that are at work or wait to be tried again.
const DEVICES_PER_PLACE: usize = 4;

/// How a batch is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Devices at work at the same time, at least one. One that waits to be tried again gives its place away.
    pub parallel: usize,
    /// How often one device is tried in one run, at least once.
    pub attempts: u32,
    /// How long one push may take.
    pub patience: Patience,
}

/// What became of one row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// Line of the list.
    pub line: u64,
    /// The device; empty where the picture did not tell.
    pub device_id: String,
    /// What people call it.
    pub label: String,
    /// Whether it is provisioned.
    pub provisioned: bool,
    /// Whether an earlier run had done that.
    pub earlier: bool,
    /// What happened, in one word.
    pub code: String,
    /// What happened.
    pub detail: String,
    /// When (RFC 3339, UTC).
    pub time: String,
    /// How long this run was at it, waiting included, in milliseconds.
    pub elapsed_ms: u64,
    /// File of the receipt, below the batch's folder; empty where there is none.
    pub receipt: String,
    /// The four digits that a monitor shows which asks a person to confirm; empty where nothing was pushed.
    pub comparison_value: String,
}

/// What a run tells while it is at work.
#[derive(Clone, Copy, Debug)]
pub enum Progress<'a> {
    /// A device does not answer as fast as it would by itself: a person there is asked to compare something.
    Waits(&'a Waiting),
    /// A device has come to its end.
    Ended(&'a Outcome),
}

/// A device at which a person is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Line of the list.
    pub line: u64,
    /// The device.
    pub device_id: String,
    /// What people call it.
    pub label: String,
    /// The four digits that it shows.
    pub comparison_value: String,
}

impl Outcome {
    /// In a word or two.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match (self.provisioned, self.earlier) {
            (true, false) => "provisioned",
            (true, true) => "provisioned earlier",
            (false, _) => "not provisioned",
        }
    }

    /// Whether the run was stopped before this device's turn: nothing was made or sent for it.
    #[must_use]
    pub fn is_not_begun(&self) -> bool {
        self.code == FaultCode::Interrupted.as_str()
    }
}

/// The counts of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Rows of the list.
    pub devices: usize,
    /// Provisioned, by this run or an earlier one.
    pub provisioned: usize,
    /// Of these by an earlier run.
    pub earlier: usize,
    /// Not provisioned.
    pub failed: usize,
    /// Of these not begun, because the run was stopped.
    pub not_begun: usize,
}

/// Reads the whole list and collects every fault, before anything is sent. Gives the number of rows.
///
/// # Errors
/// Where the list cannot be read; the inner result where it has faults.
pub fn validate(list: &Path, defaults: &Defaults) -> Result<Result<usize, Vec<RowFault>>, Fault> {
    let fleet = match Fleet::open(list, defaults)? {
        Ok(fleet) => fleet,
        Err(faults) => return Ok(Err(faults)),
    };
    let (mut rows, mut faults, mut pictures, mut devices) = (0, Vec::new(), HashSet::new(), HashSet::new());
    for row in fleet {
        if faults.len() >= MAX_FAULTS {
            break;
        }
        let row = match row {
            Ok(row) => row,
            Err(of_row) => {
                faults.extend(of_row);
                continue;
            }
        };
        rows += 1;
        let mut fault = |column, detail: &str| {
            faults.push(RowFault {
                line: row.line,
                column: Some(column),
                detail: detail.into(),
            });
        };
        if !row.picture.is_file() {
            fault("picture", "is no file that can be found");
        }
        if row.server_certificate.as_ref().is_some_and(|file| !file.is_file()) {
            fault("server_cert", "is no file that can be found");
        }
        if row
            .device_id
            .as_ref()
            .is_some_and(|id| !devices.insert(id.as_str().to_owned()))
        {
            fault("device_id", "stands in an earlier row already");
        }
        if !pictures.insert(row.picture) {
            fault("picture", "stands in an earlier row already");
        }
    }
    Ok(if faults.is_empty() { Ok(rows) } else { Err(faults) })
}

/// What the devices at work share.
struct Batch {
    station: Station,
    folder: PathBuf,
    ca_certificate: String,
    options: Options,
    journal: Mutex<Journal>,
    /// Devices that this run has met: a second row for one is refused.
    met: Mutex<HashSet<String>>,
    places: Arc<Semaphore>,
    stopped: watch::Receiver<bool>,
    /// Hears where a person is asked.
    waiting: mpsc::UnboundedSender<Waiting>,
}

impl Batch {
    /// A place to work, in the order of asking; none once the run is stopped.
    async fn place(&self) -> Option<OwnedSemaphorePermit> {
        let place = Arc::clone(&self.places).acquire_owned().await;
        // The semaphore is never closed.
        place.ok().filter(|_| !*self.stopped.borrow())
    }

    /// Returns when the run is stopped.
    async fn stopped(&self) {
        // The sender lives as long as devices are at work.
        let _ = self.stopped.clone().wait_for(|stopped| *stopped).await;
    }
}

/// Provisions every device of a list that [`validate`] found good; `tell` hears each outcome as it comes, and where a person is
/// asked meanwhile.
///
/// When `stop` is there, no further device is begun or tried again; those whose push is under way are brought to their end,
/// the others are told as not begun, and the report is written. The next run in the same folder goes on from there.
///
/// # Errors
/// Where another run is at work in the folder; where the folder, the journal or the report cannot be written. A device that
/// fails is an outcome, not an error.
pub async fn run(
    station: Station,
    list: &Path,
    defaults: &Defaults,
    folder: &Path,
    options: Options,
    stop: impl Future<Output = ()>,
    mut tell: impl FnMut(Progress<'_>),
) -> Result<(Summary, Vec<Outcome>), Fault> {
    for part in ["", "bodies", "certificates", "receipts"] {
        let part = folder.join(part);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&part)
            .map_err(at("create", &part))?;
    }
    let journal = Journal::open(&folder.join("journal.jsonl"))?;
    let parallel = options.parallel.max(1);
    let (stopping, stopped) = watch::channel(false);
    let (waiting, mut waits) = mpsc::unbounded_channel();
    let batch = Arc::new(Batch {
        ca_certificate: station.certificate_authority()?.certificate_pem().into(),
        station,
        folder: folder.into(),
        options,
        journal: Mutex::new(journal),
        met: Mutex::new(HashSet::new()),
        places: Arc::new(Semaphore::new(parallel)),
        stopped,
        waiting,
    });
    let changed = || {
        Fault::local(format!(
            "{} has changed while it was read. Run the command again.",
            list.display()
        ))
    };
    let mut rows = Fleet::open(list, defaults)?.map_err(|_| changed())?;
    let (mut outcomes, mut at_work, mut stop) = (Vec::new(), JoinSet::new(), pin!(stop));
    let ended = |outcome: Result<Outcome, JoinError>| {
        outcome.map_err(|error| Fault::local(format!("A device's task broke off: {error}.")))
    };
    loop {
        while at_work.len() < parallel.saturating_mul(DEVICES_PER_PLACE)
            && let Some(row) = rows.next()
        {
            // Once the run is stopped, these end at once.
            at_work.spawn(device::provision(Arc::clone(&batch), row.map_err(|_| changed())?));
        }
        tokio::select! {
            () = &mut stop, if !*stopping.borrow() => { stopping.send_replace(true); }
            Some(waiting) = waits.recv() => tell(Progress::Waits(&waiting)),
            outcome = at_work.join_next() => match outcome {
                Some(outcome) => {
                    let outcome = ended(outcome)?;
                    tell(Progress::Ended(&outcome));
                    outcomes.push(outcome);
                }
                None => break,
            },
        }
    }
    outcomes.sort_by_key(|outcome| outcome.line);
    let count = |of: fn(&Outcome) -> bool| outcomes.iter().filter(|outcome| of(outcome)).count();
    let summary = Summary {
        devices: outcomes.len(),
        provisioned: count(|outcome| outcome.provisioned),
        earlier: count(|outcome| outcome.earlier),
        failed: count(|outcome| !outcome.provisioned),
        not_begun: count(Outcome::is_not_begun),
    };
    report::write(folder, &outcomes, &summary)?;
    Ok((summary, outcomes))
}
