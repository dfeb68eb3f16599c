//! Files that appear whole or not at all.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, OFlags, RenameFlags, renameat_with};

/// Read and write for the owner, nothing for anybody else.
pub const PRIVATE: u32 = 0o600;
/// Read and write for the owner, read for the group, nothing for anybody else.
pub const FOR_GROUP: u32 = 0o640;

/// A file under a name of its own, until [`Self::put`] gives it its place. Dropped before that, it is gone.
#[derive(Debug)]
pub struct NewFile {
    file: BufWriter<File>,
    beside: PathBuf,
    path: PathBuf,
}

impl NewFile {
    /// Begins a file that is to be at `path`. Its mode is `mode` whatever the umask says, and no link is followed.
    ///
    /// # Errors
    /// Where the directory is not there or nothing can be written in it.
    pub fn begin(path: &Path, mode: u32) -> io::Result<Self> {
        let beside = path.with_added_extension("new");
        // What a crash left behind.
        remove(&beside)?;
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).mode(mode).open(&beside)?;
        let new = Self {
            file: BufWriter::new(file),
            beside,
            path: path.to_owned(),
        };
        new.file.get_ref().set_permissions(Permissions::from_mode(mode))?;
        Ok(new)
    }

    /// Lets a group read it. Before that, nobody but the owner can: a group that had the file by default never does.
    ///
    /// # Errors
    /// Where this process may not give it to the group.
    pub fn for_group(&self, group: u32) -> io::Result<()> {
        fchown(self.file.get_ref(), None, Some(group))?;
        self.file.get_ref().set_permissions(Permissions::from_mode(FOR_GROUP))
    }

    /// Makes it durable and gives it its place, over whatever file was there.
    ///
    /// # Errors
    /// Where it cannot be written; what was there is still there.
    pub fn put(self) -> io::Result<()> {
        self.place(RenameFlags::empty())
    }

    /// The same, but never over another file.
    ///
    /// # Errors
    /// As for [`Self::put`]; `AlreadyExists` where something is there.
    pub fn put_new(self) -> io::Result<()> {
        self.place(RenameFlags::NOREPLACE)
    }

    fn place(mut self, how: RenameFlags) -> io::Result<()> {
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        renameat_with(CWD, &self.beside, CWD, &self.path, how)?;
        sync_directory_of(&self.path)
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        // Nothing is there any more once it has its place.
        let _ = fs::remove_file(&self.beside);
    }
}

/// Writes a whole file.
///
/// # Errors
/// Where it cannot be written; what was there is still there.
pub fn replace(path: &Path, mode: u32, content: &[u8]) -> io::Result<()> {
    let mut file = NewFile::begin(path, mode)?;
    file.write_all(content)?;
    file.put()
}

/// Makes durable which names the directory of `path` has.
///
/// # Errors
/// Where the directory cannot be opened, or the storage fails.
pub fn sync_directory_of(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|parent| *parent != Path::new(""));
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}

/// For opening what somebody else may have put in a file's place: follows no link, and waits at no pipe.
#[must_use]
pub const fn no_link() -> i32 {
    let flags = OFlags::NOFOLLOW.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK);
    flags.bits().cast_signed()
}

/// Removes a file that may not be there.
///
/// # Errors
/// Where it is there and stays.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_what_was_there_until_the_new_file_is_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, "old").unwrap();
        let mut file = NewFile::begin(&path, PRIVATE).unwrap();
        file.write_all(b"half").unwrap();
        file.flush().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        drop(file);
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "the half is gone");
        replace(&path, PRIVATE, b"new").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
