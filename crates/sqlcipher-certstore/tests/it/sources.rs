//! Where the wrapping key comes from, apart from a file of its own.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use zmon_ports::{KeySource, ProvisioningStore as _};
use zmon_sqlcipher_certstore::{CommandKeySource, CredentialKeySource, FileKeySource, SqlcipherStore};
use zmon_testkit::key_source::contract;

use crate::home::AT;

const KEY: &[u8; 32] = b"\x00\x0a 30 bytes that are not text \xff\x80";
const NAME: &str = "zmon-store-key";

/// A directory as systemd makes one for a unit.
fn credentials() -> (CredentialKeySource, TempDir) {
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join(NAME), KEY).unwrap();
    set_mode(&directory.path().join(NAME), 0o400);
    set_mode(directory.path(), 0o500);
    let source = CredentialKeySource::new(NAME, Some(directory.path().to_owned()));
    (source, directory)
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Runs a line of shell: for these tests alone, since the source itself starts no shell.
fn line(line: &str) -> CommandKeySource {
    CommandKeySource::new("/bin/sh", ["-c".to_owned(), line.to_owned()])
}

/// A program that prints a file.
fn printing() -> (CommandKeySource, PathBuf, TempDir) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("slot");
    fs::write(&path, KEY).unwrap();
    let source = CommandKeySource::new("/bin/cat", [path.to_str().unwrap().to_owned()]);
    (source, path, directory)
}

fn refusal(source: &impl KeySource) -> String {
    source.wrapping_key(true).unwrap_err().cause
}

#[test]
fn it_keeps_the_contract_of_its_port() {
    contract(
        || {
            let directory = TempDir::new().unwrap();
            (FileKeySource::new(directory.path().join("database.key")), directory)
        },
        |directory| fs::remove_file(directory.path().join("database.key")).unwrap(),
    );
    contract(credentials, |directory| {
        set_mode(directory.path(), 0o700);
        fs::remove_file(directory.path().join(NAME)).unwrap();
    });
    contract(
        || {
            let (source, path, directory) = printing();
            (source, (path, directory))
        },
        |(path, _)| fs::remove_file(path).unwrap(),
    );
}

#[tokio::test]
async fn it_wraps_the_key_of_a_store_that_can_be_rotated_and_erased() {
    let (credential, _credentials) = credentials();
    let (command, _path, _slot) = printing();
    let digits: String = KEY.iter().map(|byte| format!("{byte:02X}")).collect();
    // All of them give the same key, so that each opens what another made.
    let sources: [&dyn KeySource; 3] = [&credential, &command, &line(&format!("echo {digits}"))];
    let home = TempDir::new().unwrap();
    for source in sources.into_iter().cycle().take(6) {
        let store = SqlcipherStore::open(&home.path().join("store.db"), source, AT)
            .await
            .unwrap();
        store.rotate_key(AT, &[]).await.unwrap();
        store.rotate_key(AT, &[]).await.unwrap();
        store.close().await;
    }
}

#[test]
fn it_takes_a_credential_that_root_owns_and_an_access_control_list_opens() {
    let (source, directory) = credentials();
    set_mode(&directory.path().join(NAME), 0o440);
    set_mode(directory.path(), 0o550);
    assert_eq!(source.wrapping_key(false).unwrap().expose(), KEY);
}

#[test]
fn it_refuses_a_credential_that_systemd_did_not_make() {
    for (file, folder, words) in [
        (0o420, 0o500, "it can be written by others"),
        (0o402, 0o500, "it can be written by others"),
        (0o404, 0o500, "it can be read by everybody"),
        (0o400, 0o520, "its directory can be written by others"),
        (0o400, 0o505, "its directory can be read by everybody"),
    ] {
        let (source, directory) = credentials();
        set_mode(&directory.path().join(NAME), file);
        set_mode(directory.path(), folder);
        assert!(refusal(&source).contains(words), "{}", refusal(&source));
    }
    if rustix::process::geteuid().is_root() {
        let (source, directory) = credentials();
        std::os::unix::fs::chown(directory.path().join(NAME), Some(4711), None).unwrap();
        assert!(
            refusal(&source).contains("it belongs to another user"),
            "{}",
            refusal(&source)
        );
    }
    let (source, directory) = credentials();
    set_mode(directory.path(), 0o700);
    fs::rename(directory.path().join(NAME), directory.path().join("other")).unwrap();
    symlink(directory.path().join("other"), directory.path().join(NAME)).unwrap();
    assert!(refusal(&source).contains("cannot be read"), "{}", refusal(&source));
}

#[test]
fn it_says_what_to_do_without_a_credential() {
    let outside = refusal(&CredentialKeySource::new(NAME, None));
    assert!(outside.contains("LoadCredentialEncrypted="), "{outside}");
    let (_, directory) = credentials();
    let missing = refusal(&CredentialKeySource::new("another", Some(directory.path().to_owned())));
    assert!(missing.contains("another cannot be read: No such file"), "{missing}");
    for text in [b"too short".as_slice(), &[7; 32], &[b'a'; 4096]] {
        let (source, directory) = credentials();
        set_mode(&directory.path().join(NAME), 0o600);
        fs::write(directory.path().join(NAME), text).unwrap();
        let refusal = refusal(&source);
        assert!(refusal.contains(NAME) && refusal.contains("it"), "{refusal}");
    }
}

#[test]
fn it_starts_a_command_without_shell_environment_and_input() {
    // The shell is this test's own; `$` in an argument of the source stays what it is.
    let seen = line("test -z \"$PATH$HOME$USER\" || PATH=set; cat; pwd; echo \"${0}\" >&2; env >&2; exit 3");
    let refusal_ = refusal(&seen);
    assert!(refusal_.contains("exit status: 3"), "{refusal_}");
    for name in ["HOME=", "USER=", "CARGO"] {
        assert!(!refusal_.contains(name), "{refusal_}");
    }
    let literal = CommandKeySource::new("/bin/echo", ["$HOME; exit 0".to_owned()]);
    assert!(
        refusal(&literal).contains("neither 32 bytes nor 64"),
        "{}",
        refusal(&literal)
    );
    assert!(refusal(&CommandKeySource::new("cat", [])).contains("not absolute"));
    let missing = refusal(&CommandKeySource::new("/nowhere/rpi-fw-crypto", []));
    assert!(
        missing.contains("/nowhere/rpi-fw-crypto") && missing.contains("cannot be started"),
        "{missing}"
    );
}

#[test]
fn it_tells_how_a_command_failed_and_nothing_of_a_key() {
    let digits = "5e".repeat(31) + "6f";
    let failed = refusal(&line(&format!(
        "echo {digits}; printf 'no\\033[31m slot\\n7' >&2; exit 7"
    )));
    assert!(failed.contains("exit status: 7"), "{failed}");
    assert!(
        failed.contains("no [31m slot 7"),
        "control characters are taken out: {failed:?}"
    );
    assert!(!failed.contains("5e5e"), "{failed}");
    let silent = refusal(&line("kill -9 $$"));
    assert!(
        silent.contains("signal: 9") && silent.contains("says: nothing"),
        "{silent}"
    );
    let wordy = refusal(&line(
        "i=0; while [ $i -lt 20000 ]; do echo 0123456789 >&2; i=$((i+1)); done; exit 1",
    ));
    assert!(wordy.len() < 500, "{}", wordy.len());
    let same = refusal(&line(
        "echo 0000000000000000000000000000000000000000000000000000000000000000",
    ));
    assert!(same.contains("no key"), "{same}");
}

#[test]
fn it_ends_a_command_that_writes_too_much_or_takes_too_long_with_all_it_started() {
    let endless = refusal(&line("while :; do echo 0123456789; done").within(Duration::from_secs(60)));
    assert!(endless.contains("more than one key"), "{endless}");
    let directory = TempDir::new().unwrap();
    let alive = directory.path().join("alive");
    // The child of the command writes again and again, and holds the output open.
    let slow = line(&format!(
        "(while :; do echo >> {0}; sleep 0.05; done) & wait",
        alive.display()
    ));
    let slow = refusal(&slow.within(Duration::from_secs(1)));
    assert!(slow.contains("did not end within 1 s and was killed"), "{slow}");
    let length = || fs::metadata(&alive).map_or(0, |alive| alive.len());
    let at_the_end = length();
    assert!(at_the_end > 0, "the control: it ran");
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(length(), at_the_end, "what it started is killed, too");
}
