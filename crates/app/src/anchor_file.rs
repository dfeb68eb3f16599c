//! The trust anchor's file, for the day on which the device is retired.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use zmon_ports::{AnchorFault, AnchorKeeper};

use crate::files;

/// Where systemd puts credentials (systemd.exec(5), `LoadCredential=`).
const CREDENTIALS: &str = "/run/credentials";
/// What an anchor's file cannot be longer than by far; more would be another file.
const MAX_ANCHOR: u64 = 4096;

/// Erases a trust anchor that is a file: overwrites it in place, makes that durable, removes it.
///
/// Flash storage may keep the old block where no file can reach it.
#[derive(Clone, Debug)]
pub struct AnchorFile {
    path: PathBuf,
    credentials: Option<PathBuf>,
}

impl AnchorFile {
    /// The anchor at `path`. `credentials` is systemd's `$CREDENTIALS_DIRECTORY`, where there is one.
    #[must_use]
    pub fn new(path: PathBuf, credentials: Option<PathBuf>) -> Self {
        Self { path, credentials }
    }

    /// Where it stands.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is a copy that systemd makes anew at each start.
    fn is_credential(&self) -> bool {
        let below = |directory: &Path| self.path.starts_with(directory);
        below(Path::new(CREDENTIALS)) || self.credentials.as_deref().is_some_and(below)
    }

    fn erase_now(&self) -> Result<(), AnchorFault> {
        let path = self.path.display();
        if !self.stands() {
            return Ok(());
        }
        if self.is_credential() {
            let name = self.path.file_name().unwrap_or_default().display();
            return Err(AnchorFault {
                remedy: format!(
                    "{path} is a copy that systemd makes at each start. Remove its source: the file that \
                     LoadCredential={name}: or LoadCredentialEncrypted={name}: of the service names, or the line \
                     SetCredential={name}: itself; then start the service once."
                ),
            });
        }
        overwrite_and_remove(&self.path).map_err(|fault| AnchorFault {
            remedy: format!(
                "{path} could not be overwritten and removed: {fault}. Overwrite and remove it as root (shred -u \
                 {path}), then start the service once."
            ),
        })
    }

    fn stands(&self) -> bool {
        // A place that cannot be looked at may hold one.
        !matches!(self.path.symlink_metadata(), Err(fault) if fault.kind() == io::ErrorKind::NotFound)
    }
}

impl AnchorKeeper for AnchorFile {
    async fn is_there(&self) -> bool {
        self.stands()
    }

    async fn erase(&self) -> Result<(), AnchorFault> {
        let this = self.clone();
        match tokio::task::spawn_blocking(move || this.erase_now()).await {
            Ok(outcome) => outcome,
            Err(panicked) => Err(AnchorFault {
                remedy: format!("{} could not be erased: {panicked}", self.path.display()),
            }),
        }
    }
}

/// In this order: a cut leaves the anchor whole, overwritten or gone, and the same again finishes.
fn overwrite_and_remove(path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .custom_flags(files::no_link())
        .open(path)?;
    let found = file.metadata()?;
    if !found.is_file() || found.len() > MAX_ANCHOR {
        return Err(io::Error::other("it is not the file of a trust anchor"));
    }
    if found.nlink() > 1 {
        return Err(io::Error::other(
            "it has another name beside this one (a hard link); find and remove that too",
        ));
    }
    let length = usize::try_from(found.len()).unwrap_or_default();
    file.write_all(&vec![0; length])?;
    file.sync_all()?;
    drop(file);
    std::fs::remove_file(path)?;
    files::sync_directory_of(path)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;

    const ANCHOR: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n";

    fn place() -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("device.key");
        std::fs::write(&path, ANCHOR).unwrap();
        (directory, path)
    }

    fn keeper(path: &Path) -> AnchorFile {
        AnchorFile::new(path.to_owned(), None)
    }

    #[tokio::test]
    async fn overwrites_in_place_before_it_removes() {
        let (_directory, path) = place();
        // Held open, the removed file can still be read.
        let held = File::open(&path).unwrap();
        assert!(keeper(&path).is_there().await);
        keeper(&path).erase().await.unwrap();
        assert!(!path.exists() && !keeper(&path).is_there().await);
        assert_eq!(held.metadata().unwrap().nlink(), 0);
        assert_eq!(io::read_to_string(held).unwrap(), "\0".repeat(ANCHOR.len()));
        keeper(&path).erase().await.unwrap();
    }

    #[tokio::test]
    async fn says_which_source_of_a_systemd_credential_has_to_be_removed() {
        let (directory, path) = place();
        let keeper = AnchorFile::new(path.clone(), Some(directory.path().to_owned()));
        let fault = keeper.erase().await.unwrap_err();
        assert!(fault.remedy.contains("LoadCredential=device.key"), "{fault}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), ANCHOR);
        std::fs::remove_file(&path).unwrap();
        keeper.erase().await.unwrap();
    }

    #[tokio::test]
    async fn leaves_alone_what_is_no_anchor_and_says_what_to_remove() {
        let (directory, path) = place();
        let link = directory.path().join("link");
        symlink(&path, &link).unwrap();
        let folder = directory.path().join("folder");
        std::fs::create_dir(&folder).unwrap();
        let large = directory.path().join("large");
        std::fs::write(&large, vec![b'A'; 5000]).unwrap();
        for other in [&link, &folder, &large] {
            let fault = keeper(other).erase().await.unwrap_err();
            assert!(fault.remedy.contains("shred -u"), "{fault}");
            assert!(other.symlink_metadata().is_ok(), "{}", other.display());
        }
        let twin = directory.path().join("twin");
        std::fs::hard_link(&path, &twin).unwrap();
        assert!(keeper(&path).erase().await.unwrap_err().remedy.contains("hard link"));
        assert_eq!(std::fs::read_to_string(&twin).unwrap(), ANCHOR);
    }
}
