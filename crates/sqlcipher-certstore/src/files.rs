//! Directories and files that nobody else may read, whatever the umask says.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::process::geteuid;

/// Read and write for the owner, nothing for anybody else.
pub(crate) const PRIVATE_FILE: u32 = 0o600;
/// For files that are no links, and whose opening waits for nobody.
pub(crate) const NO_LINK: i32 = OFlags::NOFOLLOW
    .union(OFlags::CLOEXEC)
    .union(OFlags::NONBLOCK)
    .bits()
    .cast_signed();
/// Longest small file that is read, in bytes: longer ones are none of ours.
const MAX_SMALL: u64 = 4096;

/// The file next to `file` whose name is longer by `suffix`.
pub(crate) fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

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
        Ok(found) if found.uid() != geteuid().as_raw() => {
            return Err(io::Error::other(format!(
                "it belongs to user {}, and this process runs as user {}; run it as the service's user",
                found.uid(),
                geteuid().as_raw()
            )));
        }
        Ok(found) => found.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(error),
    };
    let log = beside(path, "-wal");
    if length == 0 && log.metadata().is_ok_and(|log| log.len() > 0) {
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

/// What a small file holds; none where it is missing. Refuses one that others may change or read.
pub(crate) fn read_private(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let about = |what: &dyn std::fmt::Display| io::Error::other(format!("{} cannot be used: {what}", path.display()));
    let file = match OpenOptions::new().read(true).custom_flags(NO_LINK).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(about(&error)),
    };
    let found = file.metadata().map_err(|error| about(&error))?;
    if !found.is_file() {
        return Err(about(&"it is not a regular file"));
    }
    if found.mode() & 0o077 != 0 {
        return Err(about(
            &"others may read or write it; set its mode to 0600 (chmod 600) and its owner to the service's user",
        ));
    }
    let mut content = Vec::new();
    file.take(MAX_SMALL)
        .read_to_end(&mut content)
        .map_err(|error| about(&error))?;
    Ok(Some(content))
}

/// Writes a small file: it appears whole and durable, or not at all. Until then it is `unfinished`, in the same
/// directory.
pub(crate) fn write_private(path: &Path, unfinished: &Path, content: &[u8]) -> io::Result<()> {
    let directory = directory_of(path)?;
    // What an earlier attempt left behind.
    destroy(unfinished)?;
    let write = || {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(PRIVATE_FILE)
            .open(unfinished)?;
        file.write_all(content)?;
        file.sync_all()?;
        std::fs::rename(unfinished, path)
    };
    if let Err(error) = write() {
        // What is left of it is removed before the next attempt.
        destroy(unfinished).ok();
        return Err(error);
    }
    sync_directory(directory)
}

/// Overwrites a file in place, durably; does nothing where it is missing.
pub(crate) fn overwrite(path: &Path) -> io::Result<()> {
    let mut file = match OpenOptions::new().write(true).custom_flags(NO_LINK).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let length = file.metadata()?.len().min(MAX_SMALL);
    file.write_all(&vec![0; length as usize])?;
    file.sync_all()
}

/// Overwrites a file in place and removes it, durably; does nothing where it is missing.
pub(crate) fn destroy(path: &Path) -> io::Result<()> {
    overwrite(path)?;
    match std::fs::remove_file(path) {
        Ok(()) => sync_directory(directory_of(path)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}
