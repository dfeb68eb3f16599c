//! One process at a time: an advisory lock beside the database.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::fault::Fault;
use crate::files::{self, PRIVATE_FILE};

/// How long to wait for a process that is about to end, or whose act takes a moment.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(50);

/// Held while the store is open; the kernel releases it when the process ends, however it ends.
pub(crate) struct StoreLock {
    _file: File,
}

impl StoreLock {
    /// Waits a few seconds for its turn.
    pub(crate) async fn take(database: &Path) -> Result<Self, Fault> {
        let path = files::beside(database, "-lock");
        let about = |error: io::Error| Fault::refused(format!("{} cannot be used: {error}", path.display()));
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(PRIVATE_FILE)
            .custom_flags(files::NO_LINK)
            .open(&path)
            .map_err(about)?;
        let mut left = PATIENCE;
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Self { _file: file }),
                Err(Errno::WOULDBLOCK) if left.is_zero() => {
                    return Err(Fault::refused(
                        "another process has the store open: let the running service do it, or stop the service first",
                    ));
                }
                Err(Errno::WOULDBLOCK) => {
                    tokio::time::sleep(PAUSE).await;
                    left = left.saturating_sub(PAUSE);
                }
                Err(error) => return Err(about(error.into())),
            }
        }
    }
}
