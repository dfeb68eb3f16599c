//! Directories and files that nobody else may read, whatever the umask says.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Read and write for the owner, nothing for anybody else.
const PRIVATE_FILE: u32 = 0o600;

/// The directory of `file`; makes it, mode 0700, where it is missing.
pub(crate) fn directory_of(file: &Path) -> io::Result<&Path> {
    let directory = match file.parent() {
        Some(parent) if parent != Path::new("") => parent,
        Some(_) | None => Path::new("."),
    };
    if !directory.exists() {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    }
    Ok(directory)
}

/// Makes what was last created, renamed or removed in `directory` durable.
pub(crate) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Whether there is a database at `path`. An empty file is none: nothing was ever committed to it.
///
/// A write-ahead log without its database is an error: what it holds would be thrown away.
pub(crate) fn database_exists(path: &Path) -> io::Result<bool> {
    let length = match path.symlink_metadata() {
        Ok(found) if !found.is_file() => {
            return Err(io::Error::other(
                "it is not a regular file; put the database there, or remove it",
            ));
        }
        Ok(found) => found.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(error),
    };
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    if length == 0 && PathBuf::from(log).metadata().is_ok_and(|log| log.len() > 0) {
        return Err(io::Error::other(
            "its write-ahead log is there, but the database itself is missing or empty; restore the database, or \
             remove the log to start with an empty store",
        ));
    }
    Ok(length > 0)
}

/// Makes the database file private, and empty where it is missing. SQLite gives its mode to the files beside it.
pub(crate) fn private_database(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(PRIVATE_FILE)
        .open(path)?;
    if file.metadata()?.permissions().mode() & 0o777 != PRIVATE_FILE {
        file.set_permissions(Permissions::from_mode(PRIVATE_FILE))?;
    }
    file.sync_all()?;
    sync_directory(directory_of(path)?)
}
