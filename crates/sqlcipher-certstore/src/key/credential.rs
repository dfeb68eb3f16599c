//! The wrapping key as a systemd credential.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::process::geteuid;
use zeroize::Zeroizing;
use zmon_ports::{KeySource, KeySourceFault, WrappingKey};

use super::{MOST, parse};
use crate::files;

/// The wrapping key as a systemd credential: `LoadCredentialEncrypted=NAME` in the unit, sealed to the TPM or to the host's
/// key with `systemd-creds encrypt`. 32 raw bytes or 64 hexadecimal digits.
///
/// systemd puts a service's credentials in a directory of its own in memory that is never swapped. They belong to root,
/// with an access control list for the service's user, so that their mode may say 0440; or to the user, with 0400.
#[derive(Clone, Debug)]
pub struct CredentialKeySource {
    name: String,
    directory: Option<PathBuf>,
}

impl CredentialKeySource {
    /// The credential of this name in `directory`, which is what systemd gives as `$CREDENTIALS_DIRECTORY`.
    pub fn new(name: impl Into<String>, directory: Option<PathBuf>) -> Self {
        Self {
            name: name.into(),
            directory,
        }
    }

    fn fault(&self, why: impl std::fmt::Display) -> KeySourceFault {
        KeySourceFault {
            cause: format!("cannot use the key in the systemd credential {}: {why}", self.name),
        }
    }

    fn read(&self, directory: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
        only_for_us("its directory", &directory.metadata()?)?;
        let path = directory.join(&self.name);
        let file: File = OpenOptions::new()
            .read(true)
            .custom_flags(files::NO_LINK)
            .open(&path)
            .map_err(|error| io::Error::new(error.kind(), format!("{} cannot be read: {error}", path.display())))?;
        let found = file.metadata()?;
        if !found.is_file() {
            return Err(io::Error::other(format!("{} is not a regular file", path.display())));
        }
        only_for_us("it", &found)?;
        // Reserved at once, so that the key is not copied about.
        let mut text = Zeroizing::new(Vec::with_capacity(MOST));
        file.take(MOST as u64).read_to_end(&mut text)?;
        Ok(text)
    }
}

impl KeySource for CredentialKeySource {
    fn wrapping_key(&self, _may_create: bool) -> Result<WrappingKey, KeySourceFault> {
        let Some(directory) = &self.directory else {
            return Err(self.fault(
                "there is no $CREDENTIALS_DIRECTORY: systemd gives credentials to the processes of the unit alone. Start \
                 the service with systemctl, and name the credential in its unit (LoadCredentialEncrypted=)",
            ));
        };
        let text = self.read(directory).map_err(|error| self.fault(error))?;
        parse(&text).map_err(|what| self.fault(what))
    }
}

/// Whether nobody but root, its owner and those on its access control list can get at it. With such a list the group's
/// bits say what the list allows at most.
fn only_for_us(what: &str, found: &Metadata) -> io::Result<()> {
    let ours = [0, geteuid().as_raw()].contains(&found.uid());
    let why = if !ours {
        "belongs to another user"
    } else if found.mode() & 0o022 != 0 {
        "can be written by others"
    } else if found.mode() & 0o007 != 0 {
        "can be read by everybody"
    } else {
        return Ok(());
    };
    Err(io::Error::other(format!(
        "{what} {why} (mode {:o}), so it was not made by systemd; find out who did",
        found.mode() & 0o777
    )))
}
