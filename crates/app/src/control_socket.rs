//! The Unix sockets of the local API as files: made once, never over something foreign, removed at the end.

use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener as StdUnixListener;
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

/// Owner and group may connect.
pub const MODE: u32 = 0o660;
/// Nobody but the owner may connect.
const OWNER_ALONE: u32 = 0o600;

/// Removes the socket when dropped, unless another has taken its place.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
    /// As long as it is open nobody takes the socket for a stale one, and its inode's number is not given away.
    _listener: StdUnixListener,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|found| found == self.identity) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Binds the socket for the owner and for a group: this process's, or the one that is given. One that nobody listens on
/// any more is replaced.
///
/// # Errors
/// Where another process listens there, something that is not a socket is there, nothing can be bound, or the group
/// cannot be given the socket.
pub async fn bind(path: &Path, group: Option<u32>) -> io::Result<(UnixListener, SocketFile)> {
    remove_stale(path).await?;
    let listener = StdUnixListener::bind(path)?;
    listener.set_nonblocking(true)?;
    let file = SocketFile {
        path: path.to_owned(),
        identity: identity(path)?,
        _listener: listener.try_clone()?,
    };
    if group.is_some() {
        // Before anybody but the owner may connect: a group that had the socket by default never gets it.
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(OWNER_ALONE))?;
        std::os::unix::fs::chown(path, None, group)?;
    }
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(MODE))?;
    Ok((UnixListener::from_std(listener)?, file))
}

async fn remove_stale(path: &Path) -> io::Result<()> {
    let there = match std::fs::symlink_metadata(path) {
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => return Ok(()),
        there => there?,
    };
    if !there.file_type().is_socket() {
        return Err(io::Error::other(
            "something that is not a socket is there; it is left alone",
        ));
    }
    match UnixStream::connect(path).await {
        Ok(_) => Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            "another process listens there; is the service running already?",
        )),
        Err(fault) if fault.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path),
        Err(fault) => Err(fault),
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    std::fs::symlink_metadata(path).map(|there| (there.dev(), there.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn is_for_owner_and_group_and_goes_away_at_the_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control.sock");
        let (_listener, file) = bind(&path, None).await.unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        drop(file);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn takes_the_place_of_a_socket_that_nobody_listens_on() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control.sock");
        drop(StdUnixListener::bind(&path).unwrap());
        let (_listener, _file) = bind(&path, None).await.unwrap();
        assert!(UnixStream::connect(&path).await.is_ok());
    }

    #[tokio::test]
    async fn is_removed_by_its_own_service_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control.sock");
        let (first_listener, first) = bind(&path, None).await.unwrap();
        drop(first_listener);
        std::fs::remove_file(&path).unwrap();
        let (_listener, _second) = bind(&path, None).await.unwrap();
        drop(first);
        assert!(path.exists());
    }

    #[tokio::test]
    async fn leaves_a_living_socket_and_other_files_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control.sock");
        let (_listener, _file) = bind(&path, None).await.unwrap();
        assert_eq!(bind(&path, None).await.unwrap_err().kind(), io::ErrorKind::AddrInUse);
        let other = directory.path().join("file");
        std::fs::write(&other, "kept").unwrap();
        assert!(bind(&other, None).await.is_err());
        assert_eq!(std::fs::read_to_string(&other).unwrap(), "kept");
    }
}
