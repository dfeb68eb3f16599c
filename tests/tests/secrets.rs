//! Two real programs leave no secret in anything that they print, answer, log or write in the clear.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails as the test itself")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use base64ct::{Base64UrlUnpadded, Encoding};

const DEVICE: &str = "ZM-CANARY-1";
const PIN: &str = "canary-pin-8251";

/// A program of this workspace, built beside this test.
fn program(name: &str) -> PathBuf {
    let path = std::env::current_exe()
        .unwrap()
        .parent()
        .unwrap()
        .parent()
        .unwrap()
        .join(name);
    assert!(path.exists(), "build it first: cargo build --workspace --bins");
    path
}

fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Everything below a folder, but for the files that are meant to hold a key.
fn files(folder: &Path, meant: &[&str], found: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, meant, found);
        } else if path.is_file() && !meant.iter().any(|name| path.ends_with(name)) {
            found.push((path.clone(), fs::read(&path).unwrap()));
        }
    }
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

#[test]
fn a_whole_life_leaves_no_secret_behind() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o700)).unwrap();
    let station = || {
        let mut command = Command::new(program("zmon-station"));
        command.arg("--home").arg(at("station"));
        command
    };
    run(station().arg("init"));
    run(station().args(["derive", DEVICE, "--out"]).arg(at("device.key")));
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let state = at("state");
    fs::create_dir(&state).unwrap();
    let configuration = format!(
        "[device]\nid = \"{DEVICE}\"\nserial_number = \"S1\"\naddress = \"127.0.0.1\"\n[listener]\nport = {port}\n\
         [store]\npath = \"{0}/store.db\"\nkey_file = \"{0}/store.key\"\n[trust]\nhmac_key_file = \"{1}\"\n\
         [control]\nsocket = \"{0}/control.sock\"\n[admin]\npin_hash_file = \"{0}/pin.hash\"\n[log]\nlevel = \"trace\"\n",
        state.display(),
        at("device.key").display()
    );
    fs::write(at("config.toml"), configuration).unwrap();
    fs::write(at("pin"), PIN).unwrap();
    let device = || {
        let mut command = Command::new(program("zmon-provision"));
        command.arg("--config").arg(at("config.toml")).env("TMPDIR", &state);
        command
    };
    run(device().args(["admin", "set-pin", "--pin-file"]).arg(at("pin")));
    let log = fs::File::create(at("log")).unwrap();
    let service = Service(device().arg("serve").stdout(Stdio::null()).stderr(log).spawn().unwrap());
    for _ in 0..400 {
        if state.join("control.sock").exists() && device().arg("status").output().unwrap().status.success() {
            break;
        }
        std::thread::sleep(Duration::from_millis(25));
    }

    let mut outputs = Vec::new();
    let shown = run(device().args(["pair", "--no-wait", "--png"]).arg(at("qr.png")));
    let shown = String::from_utf8(shown.stdout).unwrap();
    let code = shown
        .lines()
        .find_map(|line| line.strip_prefix("Pairing code: "))
        .unwrap()
        .trim()
        .to_owned();
    assert_eq!(code.len(), 6);
    outputs.push(run(device().args(["status", "--json"])));
    outputs.push(run(station().arg("scan").arg(at("qr.png"))));
    let push = [
        "--server-url",
        "https://central.example.org",
        "--label",
        "CANARY LABEL",
        "--json",
    ];
    outputs.push(run(station()
        .arg("provision")
        .arg(at("qr.png"))
        .args(push)
        .arg("--save-body")
        .arg(at("body"))));
    outputs.push(run(device().args(["status", "--json"])));
    outputs.push(run(device().args(["status", "--receipt"])));
    fs::copy(state.join("store.db"), at("copy-while-provisioned.db")).unwrap();
    fs::copy(state.join("store.db-wal"), at("copy-while-provisioned.wal")).unwrap();
    outputs.push(
        device()
            .args(["deprovision", "--pin-file"])
            .arg(at("config.toml"))
            .output()
            .unwrap(),
    );
    outputs.push(run(device().args(["deprovision", "--pin-file"]).arg(at("pin"))));
    outputs.push(run(device().arg("status")));
    drop(service);

    let device_key = fs::read_to_string(at("device.key")).unwrap().trim().to_owned();
    let raw_device_key = Base64UrlUnpadded::decode_vec(&device_key).unwrap();
    let store_key = fs::read(state.join("store.key")).unwrap();
    let hex: String = store_key.iter().map(|byte| format!("{byte:02x}")).collect();
    let secrets: [(&str, &[u8]); 8] = [
        ("the pairing code", code.as_bytes()),
        ("a private key", b"PRIVATE KEY"),
        ("the device key", device_key.as_bytes()),
        ("the raw device key", &raw_device_key),
        ("the store's key", &store_key),
        ("the store's key in hex", hex.as_bytes()),
        ("the PIN", PIN.as_bytes()),
        ("a certificate in the clear", b"BEGIN CERTIFICATE"),
    ];
    let mut found = Vec::new();
    let meant = [
        "device.key",
        "store.key",
        "pin",
        "ca.key",
        "ca.pem",
        "provisioning-master.key",
    ];
    files(directory.path(), &meant, &mut found);
    let log = found.iter().find(|(path, _)| path.ends_with("log")).unwrap();
    assert!(
        contains(&log.1, b"CANARY LABEL"),
        "the control: the log is the service's and is read"
    );
    for (index, output) in outputs.iter().enumerate() {
        found.push((
            format!("output {index}").into(),
            [output.stdout.as_slice(), &output.stderr].concat(),
        ));
    }
    assert!(
        found.len() > outputs.len() + 6,
        "the control: the store is among the files"
    );
    for (path, bytes) in &found {
        for (what, secret) in secrets {
            assert!(!contains(bytes, secret), "{} holds {what}", path.display());
        }
    }
    // The last control: the hunt would find a secret where one is.
    assert!(contains(shown.as_bytes(), code.as_bytes()));
}
