//! Two real programs leave no secret in anything that they print, answer, log or write in the clear.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails as the test itself")]

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use base64ct::{Base64UrlUnpadded, Encoding};
use zmon_tests::programs::{DEVICE, PIN, Programs, run};

const PRIVATE_KEY: &[u8] = b"PRIVATE KEY";
const CERTIFICATE: &[u8] = b"BEGIN CERTIFICATE";

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

/// Which of them holds which secret.
fn leaks(found: &[(PathBuf, Vec<u8>)], secrets: &[(&str, &[u8])]) -> Vec<String> {
    let mut leaks = Vec::new();
    for (path, bytes) in found {
        let held = secrets.iter().filter(|(_, secret)| contains(bytes, secret));
        leaks.extend(held.map(|(what, _)| format!("{} holds {what}", path.display())));
    }
    leaks
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

/// The whole answer.
fn ask(socket: &Path, request: &str) -> Vec<u8> {
    let mut stream = UnixStream::connect(socket).unwrap();
    let request = format!("{request} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    answer
}

#[test]
fn a_whole_life_leaves_no_secret_behind() {
    let programs = Programs::commissioned();
    let at = |name: &str| programs.at(name);
    let (device, station) = (|| programs.device(), || programs.station());
    let state = at("state");
    fs::set_permissions(programs.path(), PermissionsExt::from_mode(0o700)).unwrap();
    let service = programs.serve();

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
        .arg("--receipt")
        .arg(at("receipt"))
        .arg("--save-body")
        .arg(at("body"))));
    outputs.push(run(device().args(["status", "--json"])));
    outputs.push(run(device().args(["status", "--receipt"])));
    outputs.push(run(device().args(["config", "show"])));
    outputs.push(run(device().args(["config", "show", "--json"])));
    outputs.push(run(device().args(["config", "export", "--out"]).arg(at("export"))));
    let with_key = ["config", "export", "--with-private-key", "--out"];
    outputs.push(run(device().args(with_key).arg(at("export-with-key"))));
    outputs.push(run(device().args(["audit", "list"])));
    outputs.push(run(device().args(["audit", "list", "--json"])));
    outputs.push(run(device().args(["audit", "verify"])));
    outputs.push(run(device().args(["audit", "export", "--out"]).arg(at("audit.jsonl"))));
    outputs.push(run(station()
        .arg("audit-check")
        .arg(at("audit.jsonl"))
        .arg("--receipt")
        .arg(at("receipt"))));
    let mut answers = Vec::new();
    for path in [
        "status",
        "receipt",
        "configuration",
        "credentials",
        "audit?limit=1000",
        "audit/verdict",
    ] {
        answers.push((
            format!("answer to {path}"),
            ask(&at("run/control.sock"), &format!("GET /v1/{path}")),
        ));
    }
    let application = at("run/application.sock");
    let configuration = ask(&application, "GET /v1/configuration");
    let credentials = ask(&application, "GET /v1/credentials");
    fs::copy(state.join("store.db"), at("copy-while-provisioned.db")).unwrap();
    fs::copy(state.join("store.db-wal"), at("copy-while-provisioned.wal")).unwrap();
    let device_key = fs::read_to_string(at("device.key")).unwrap().trim().to_owned();
    let raw_device_key = Base64UrlUnpadded::decode_vec(&device_key).unwrap();
    let store_key = fs::read(state.join("store.key")).unwrap();
    // Every act of an administrator, with a wrong PIN and with the right one.
    let act = |arguments: &[&str], record: Option<&str>, pin: &str| {
        let mut command = device();
        command.args(arguments).arg("--pin-file").arg(at(pin));
        if let Some(record) = record {
            command.arg("--record").arg(at(record));
        }
        command
    };
    let acts: [(&[&str], Option<&str>); 3] = [
        (&["time", "reset"], None),
        (&["deprovision"], Some("destroyed")),
        (&["deprovision", "--retire"], Some("retired")),
    ];
    for (arguments, record) in acts {
        outputs.push(act(arguments, record, "config.toml").output().unwrap());
        outputs.push(run(&mut act(arguments, record, "pin")));
    }
    outputs.push(run(device().args(["status", "--destruction"])));
    outputs.push(run(station()
        .arg("verify-destruction")
        .arg(at("destroyed"))
        .args(["--device-id", DEVICE])));
    outputs.push(run(device().arg("status")));
    outputs.push(device().args(["pair", "--no-wait"]).output().unwrap());
    for _ in 0..6 {
        outputs.push(act(&["time", "reset"], None, "config.toml").output().unwrap());
    }
    answers.push(("answer after all".to_owned(), ask(&application, "GET /v1/credentials")));
    drop(service);
    let restarted = device().arg("serve").output().unwrap();
    assert_eq!(restarted.status.code(), Some(78), "it is retired: {restarted:?}");
    outputs.push(restarted);
    outputs.push(run(device().args(["audit", "export"])));

    // The private key goes to the monitor application, in the one answer that is for it, and into the file that was
    // asked for.
    assert!(contains(&credentials, PRIVATE_KEY));
    assert!(contains(&configuration, CERTIFICATE) && !contains(&configuration, PRIVATE_KEY));
    let exported = |folder: &str, file: &str| fs::read(at(folder).join(file)).unwrap();
    assert!(contains(
        &exported("export-with-key", "client-private-key.pem"),
        PRIVATE_KEY
    ));
    assert!(contains(&exported("export", "configuration.json"), CERTIFICATE));
    for folder in ["export", "export-with-key"] {
        assert!(
            !contains(&exported(folder, "configuration.json"), PRIVATE_KEY),
            "{folder}"
        );
        assert!(
            !contains(&exported(folder, "client-certificate.pem"), PRIVATE_KEY),
            "{folder}"
        );
    }
    assert!(!at("export/client-private-key.pem").exists());

    let hex: String = store_key.iter().map(|byte| format!("{byte:02x}")).collect();
    let secrets: [(&str, &[u8]); 8] = [
        ("the pairing code", code.as_bytes()),
        ("a private key", PRIVATE_KEY),
        ("the device key", device_key.as_bytes()),
        ("the raw device key", &raw_device_key),
        ("the store's key", &store_key),
        ("the store's key in hex", hex.as_bytes()),
        ("the PIN", PIN.as_bytes()),
        ("a certificate in the clear", CERTIFICATE),
    ];
    let mut found = Vec::new();
    let meant = [
        "store.key",
        "pin",
        "ca.key",
        "ca.pem",
        "provisioning-master.key",
        "configuration.json",
        "client-certificate.pem",
        "ca-certificate.pem",
        "client-private-key.pem",
    ];
    files(programs.path(), &meant, &mut found);
    let log = found.iter().find(|(path, _)| path.ends_with("log")).unwrap();
    assert!(
        contains(&log.1, b"CANARY LABEL") && contains(&log.1, b"read by a local program"),
        "the control: the log is the service's and is read"
    );
    for (index, output) in outputs.iter().enumerate() {
        found.push((
            format!("output {index}").into(),
            [output.stdout.as_slice(), &output.stderr].concat(),
        ));
    }
    found.extend(answers.into_iter().map(|(name, answer)| (name.into(), answer)));
    for name in [
        "state/store.db",
        "copy-while-provisioned.db",
        "copy-while-provisioned.wal",
    ] {
        let store = found.iter().find(|(path, _)| *path == at(name));
        assert!(
            store.is_some_and(|(_, bytes)| bytes.len() > 4096),
            "the control: {name} is among the files"
        );
    }
    assert_eq!(leaks(&found, &secrets), [""; 0]);

    // The control: the same hunt finds each of them in a file beside the others.
    fs::create_dir(at("planted")).unwrap();
    for (index, (_, secret)) in secrets.iter().enumerate() {
        let planted = [&b"\0 beginning"[..], secret, b"end\n"].concat();
        fs::write(at(&format!("planted/{index}")), planted).unwrap();
    }
    let mut planted = Vec::new();
    files(programs.path(), &meant, &mut planted);
    let expected: Vec<_> = secrets
        .iter()
        .enumerate()
        .map(|(index, (what, _))| format!("{} holds {what}", at(&format!("planted/{index}")).display()))
        .collect();
    let mut leaked = leaks(&planted, &secrets);
    leaked.sort();
    assert_eq!(leaked, expected);
}
