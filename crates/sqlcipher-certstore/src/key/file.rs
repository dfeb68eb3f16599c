//! The key that wraps the database key, in a file.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;
use zmon_ports::{KeySource, KeySourceFault, WrappingKey};

use super::KEY_LENGTH;
use crate::files;
use crate::wrapped::fill_random;

/// The wrapping key in a file of its own: exactly 32 raw bytes, mode 0600, no symbolic link.
///
/// Whoever copies the storage card copies the key with it. Where the device has hardware that keeps keys, use a source
/// that asks that hardware.
#[derive(Clone, Debug)]
pub struct FileKeySource {
    path: PathBuf,
}

impl FileKeySource {
    /// From the file at `path`; it is made, with its directory, when the store is created.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    fn fault(&self, why: impl std::fmt::Display) -> KeySourceFault {
        KeySourceFault {
            cause: format!("cannot use the key in {}: {why}", self.path.display()),
        }
    }

    fn open(&self) -> io::Result<File> {
        OpenOptions::new()
            .read(true)
            .custom_flags(files::NO_LINK)
            .open(&self.path)
    }

    fn read(&self, mut file: File) -> Result<WrappingKey, KeySourceFault> {
        let found = file.metadata().map_err(|error| self.fault(error))?;
        if !found.is_file() {
            return Err(self.fault("it is not a regular file; put the key file itself there"));
        }
        if found.mode() & 0o077 != 0 {
            return Err(self.fault(
                "others may read or write it; find out who did, then set its mode to 0600 (chmod 600) and its owner \
                 to the service's user",
            ));
        }
        if found.len() != KEY_LENGTH as u64 {
            return Err(self.fault("it is not exactly 32 bytes long; restore it from its backup"));
        }
        let mut bytes = [0; KEY_LENGTH];
        file.read_exact(&mut bytes).map_err(|error| self.fault(error))?;
        Ok(WrappingKey::take(&mut bytes))
    }

    /// Appears whole and durable, or not at all; a file that appeared meanwhile is left alone.
    fn create(&self) -> io::Result<()> {
        let mut key = Zeroizing::new([0; KEY_LENGTH]);
        fill_random(key.as_mut_slice())?;
        let directory = files::directory_of(&self.path)?;
        // Created with O_EXCL and mode 0600, removed where anything below fails.
        let mut file = tempfile::Builder::new().prefix(".key-").tempfile_in(directory)?;
        file.write_all(key.as_slice())?;
        file.as_file().sync_all()?;
        match file.persist_noclobber(&self.path) {
            Ok(_) => {}
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error.error),
        }
        files::sync_directory(directory)
    }
}

impl KeySource for FileKeySource {
    fn wrapping_key(&self, may_create: bool) -> Result<WrappingKey, KeySourceFault> {
        let opened = match self.open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound && may_create => {
                self.create()
                    .map_err(|error| self.fault(format_args!("it cannot be created: {error}")))?;
                self.open()
            }
            opened => opened,
        };
        match opened {
            Ok(file) => self.read(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(self.fault(
                "the file is missing, and the database that is there opens with no other key. Restore the file from \
                 its backup. Without one, remove the database and its wrapped key to start as an unprovisioned device; \
                 a new key is never made for an existing database",
            )),
            Err(error) if is_link(&self.path) => Err(self.fault(format_args!(
                "it is a symbolic link; put the key file itself there ({error})"
            ))),
            Err(error) => Err(self.fault(error)),
        }
    }
}

fn is_link(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|found| found.is_symlink())
}
