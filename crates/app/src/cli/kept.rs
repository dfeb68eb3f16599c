//! Files for what a command is given and has to be kept: a receipt, a record of destruction.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

use super::Failure;
use crate::files::sync_directory_of;

/// A new file, made before anything happens: afterwards it would be too late to find out that it cannot be written.
pub(super) struct KeptFile<'a> {
    path: &'a Path,
    file: File,
}

impl<'a> KeptFile<'a> {
    /// Makes the empty file. `what` is what will be in it, `nothing` what was not done where it cannot be made.
    pub(super) fn create(path: &'a Path, what: &str, nothing: &str) -> Result<Self, Failure> {
        let file = OpenOptions::new().write(true).create_new(true).open(path);
        let file = file.map_err(|fault| {
            Failure::Other(format!(
                "{what} cannot be written to {}: {fault}. {nothing}\nnext: name a file that does not exist yet",
                path.display()
            ))
        })?;
        Ok(Self { path, file })
    }

    /// Writes it, durably. `done` is what was done all the same where that fails, and how to get the text again.
    pub(super) fn fill(mut self, text: &str, done: &str) -> Result<(), Failure> {
        writeln!(self.file, "{text}")
            .and_then(|()| self.file.sync_all())
            .and_then(|()| sync_directory_of(self.path))
            .map_err(|fault| Failure::Other(format!("{} cannot be written: {fault}; {done}", self.path.display())))
    }

    pub(super) fn discard(self) {
        let _ = std::fs::remove_file(self.path);
    }
}
