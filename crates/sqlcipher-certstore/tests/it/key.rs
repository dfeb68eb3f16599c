use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;

use tempfile::TempDir;
use zmon_ports::KeySource as _;
use zmon_sqlcipher_certstore::FileKeySource;

fn place() -> (TempDir, PathBuf, FileKeySource) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("database.key");
    let keys = FileKeySource::new(&path);
    (directory, path, keys)
}

fn refusal(keys: &FileKeySource) -> String {
    keys.wrapping_key(true).unwrap_err().cause
}

#[test]
fn it_makes_a_key_once_and_gives_it_again() {
    let (directory, path, keys) = place();
    let made = keys.wrapping_key(true).unwrap();
    assert_eq!(fs::read(&path).unwrap(), made.expose());
    assert_ne!(made.expose(), &[0; 32]);
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(
        fs::read_dir(directory.path()).unwrap().count(),
        1,
        "nothing else is left"
    );
    assert!(keys.wrapping_key(true).unwrap() == made);
    assert!(keys.wrapping_key(false).unwrap() == made);
    let (_directory, _path, other) = place();
    assert!(other.wrapping_key(true).unwrap() != made);
}

#[test]
fn it_makes_no_key_unless_it_may() {
    let (_directory, path, keys) = place();
    let fault = keys.wrapping_key(false).unwrap_err();
    assert!(fault.cause.contains("Restore the file from its backup"), "{fault}");
    assert!(!path.exists());
}

#[test]
fn it_refuses_a_key_that_others_may_read() {
    for mode in [0o640, 0o604, 0o620, 0o601] {
        let (_directory, path, keys) = place();
        keys.wrapping_key(true).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        assert!(refusal(&keys).contains("chmod 600"), "{mode:o}");
    }
}

#[test]
fn it_takes_a_key_that_nobody_may_write() {
    let (_directory, path, keys) = place();
    keys.wrapping_key(true).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    keys.wrapping_key(false).unwrap();
}

#[test]
fn it_refuses_a_key_of_another_length() {
    for length in [0, 31, 33, 64] {
        let (_directory, path, keys) = place();
        fs::write(&path, vec![7; length]).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(refusal(&keys).contains("not exactly 32 bytes"), "{length}");
        assert_eq!(fs::read(&path).unwrap().len(), length, "it is left alone");
    }
}

#[test]
fn it_refuses_links_and_directories() {
    let (directory, path, keys) = place();
    let target = directory.path().join("elsewhere");
    FileKeySource::new(&target).wrapping_key(true).unwrap();
    symlink(&target, &path).unwrap();
    assert!(refusal(&keys).contains("symbolic link"), "{}", refusal(&keys));
    let (_directory, path, keys) = place();
    fs::create_dir(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    assert!(refusal(&keys).contains("not a regular file"), "{}", refusal(&keys));
}

#[test]
fn it_makes_one_key_for_all_who_ask_at_once() {
    for _ in 0..20 {
        let (directory, _path, keys) = place();
        let made: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| keys.wrapping_key(true).unwrap()))
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(made.iter().all(|key| *key == made[0]));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
