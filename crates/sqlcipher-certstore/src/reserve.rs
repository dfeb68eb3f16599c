//! Room for one provisioning, kept free (`protocol.md`, "Audit").
//!
//! `<database>-reserve` occupies blocks of the file system. Where that has little left, they are given back before an act
//! of a person, and what is left of them afterwards is occupied again. What strangers on the network, local programs
//! and restarts bring into the audit never gets them. Other programs that write to the same file system may take the
//! blocks in between: only a partition or a quota of the store's own prevents that.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate, statvfs};

use crate::files::{self, NO_LINK, PRIVATE_FILE};

/// In bytes. The largest payload's texts have 36 KiB; with the other pages of their transactions, in the log and in the
/// database, and with the log's index, a provisioning takes less than half of this.
const RESERVE: u64 = 1024 * 1024;
/// Where there is less than all, it is occupied in pieces of so many bytes.
const PIECE: u64 = 4096;

pub(crate) struct Reserve {
    path: PathBuf,
    /// Whether all of it is known to be there.
    filled: bool,
}

impl Reserve {
    pub(crate) fn of(database: &Path) -> Self {
        Self {
            path: files::beside(database, "-reserve"),
            filled: false,
        }
    }

    /// Occupies the room, or as much of it as there is. Less than all is no fault: it is tried again after each use.
    pub(crate) fn fill(&mut self) {
        if !self.filled {
            self.filled = self.occupy().is_ok();
        }
    }

    fn occupy(&self) -> io::Result<()> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(PRIVATE_FILE)
            .custom_flags(NO_LINK)
            .open(&self.path)?;
        if fallocate(&file, FallocateFlags::empty(), 0, RESERVE).is_ok() {
            return Ok(());
        }
        for start in (0..RESERVE).step_by(PIECE as usize) {
            fallocate(&file, FallocateFlags::empty(), start, PIECE)?;
        }
        Ok(())
    }

    /// Gives the room back where the file system has not as much beside it.
    pub(crate) fn make_room(&mut self) {
        let directory = files::directory_of(&self.path).unwrap_or(Path::new("."));
        let scarce = statvfs(directory).is_ok_and(|found| found.f_bavail.saturating_mul(found.f_frsize) < RESERVE);
        if scarce {
            self.filled = false;
            std::fs::remove_file(&self.path).ok();
        }
    }
}
