//! What is installed, and the audit, through the two real programs and through clients of other hands.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails as the test itself")]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use zmon_testkit::skip::skip;
use zmon_tests::programs::{DEVICE, Programs, program, run, said};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn is_installed(tool: &str) -> bool {
    Command::new(tool).arg("--version").output().is_ok()
}

fn exit_code(command: &mut Command) -> (i32, String) {
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(text).unwrap())
}

#[test]
fn the_audit_is_the_same_through_the_socket_and_on_the_store_and_verifies_everywhere() {
    let programs = Programs::commissioned();
    let service = programs.serve();
    programs.provision("receipt-1");
    let export = programs.at("audit.jsonl");
    let text = said(programs.device().args(["audit", "verify"]));
    assert!(text.starts_with("The audit is intact: "), "{text}");
    run(programs.device().args(["audit", "export", "--out"]).arg(&export));
    assert_eq!(fs::metadata(&export).unwrap().permissions().mode() & 0o777, 0o600);
    let exported = fs::read_to_string(&export).unwrap();
    let header = json(exported.lines().next().unwrap());
    assert_eq!(
        (&header["format"], &header["deviceId"]),
        (&"z-monitor/audit/v1".into(), &DEVICE.into())
    );
    let count = header["count"].as_u64().unwrap();
    assert_eq!(exported.lines().count() as u64, count + 1);

    let list = |arguments: &[&str]| said(programs.device().args(["audit", "list"]).args(arguments));
    let all = list(&[]);
    assert_eq!(all.lines().count() as u64, count, "{all}");
    assert!(!all.contains('\u{1b}'), "plain where standard output is no terminal");
    let completed = list(&["--event", "provisioning completed", "--since", "1h", "--json"]);
    let completed = json(completed.trim());
    let session = completed["session"].as_str().unwrap();
    assert_eq!(list(&["--session", session]).lines().count(), 7);
    let newest = list(&["--limit", "2"]);
    assert_eq!(newest.lines().count(), 2);
    assert!(all.ends_with(&newest));
    assert_eq!(list(&["--until", "2020-01-01"]), "");
    assert_eq!(list(&["--code", "SignatureInvalid"]), "");
    let (code, text) = exit_code(programs.device().args(["audit", "list", "--event", "party"]));
    assert_eq!(code, 2, "{text}");

    // Without the service: the same records, from the store.
    drop(service);
    let from_store = said(programs.device().args(["audit", "export"]));
    assert_eq!(from_store, exported);
    let verdict = json(&said(programs.device().args(["audit", "verify", "--json"])));
    assert_eq!((&verdict["intact"], &verdict["head"]), (&true.into(), &header["head"]));

    // The station: whole, and what the receipt says.
    let check = |export: &Path| {
        let mut command = programs.station();
        command
            .arg("audit-check")
            .arg(export)
            .arg("--receipt")
            .arg(programs.at("receipt-1"));
        exit_code(&mut command)
    };
    let (code, text) = check(&export);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("holds what 1 receipts say"), "{text}");

    // Python, with its standard library alone.
    let python = |export: &Path| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/python/verify_audit.py");
        let mut command = Command::new("python3");
        command
            .arg(script)
            .arg(export)
            .arg("--receipt")
            .arg(programs.at("receipt-1"));
        exit_code(&mut command)
    };
    let with_python = is_installed("python3");
    if with_python {
        let (code, text) = python(&export);
        assert_eq!(code, 0, "{text}");
    }

    // Whatever is done to an export, both find it.
    let lines: Vec<_> = exported.lines().map(ToOwned::to_owned).collect();
    let forge = |change: &dyn Fn(&mut Vec<String>)| {
        let mut forged = lines.clone();
        change(&mut forged);
        let path = programs.at("forged.jsonl");
        fs::write(&path, forged.join("\n") + "\n").unwrap();
        path
    };
    let cut_with_its_head = |lines: &mut Vec<String>| {
        lines.truncate(5);
        let last = json(&lines[4]);
        let mut header = json(&lines[0]);
        header["count"] = last["sequence"].clone();
        header["head"] = last["hash"].clone();
        lines[0] = header.to_string();
    };
    type Change<'a> = &'a dyn Fn(&mut Vec<String>);
    let cases: [(&str, Change<'_>); 5] = [
        ("record 4", &|lines| lines[4] = lines[4].replace("\"at\":1", "\"at\":2")),
        ("record 6", &|lines| drop(lines.remove(6))),
        ("record 3", &|lines| lines.swap(3, 4)),
        ("", &|lines| lines.truncate(7)),
        ("it was cut", &cut_with_its_head),
    ];
    for (named, change) in cases {
        let path = forge(change);
        let (code, text) = check(&path);
        assert_eq!(code, 10, "{named}: {text}");
        assert!(text.contains(named), "{named}: {text}");
        if with_python {
            let (code, text) = python(&path);
            assert_eq!(code, 1, "{named}: {text}");
            assert!(text.contains(named), "{named}: {text}");
        }
    }
    if !with_python {
        skip("the audit verifies with Python", "python3 is not installed");
    }
}

#[test]
fn a_person_sees_what_is_installed_and_an_export_has_the_key_only_where_it_is_asked_for() {
    let programs = Programs::commissioned();
    let (code, text) = exit_code(programs.device().args(["audit", "verify"]));
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("there is no store"), "{text}");
    assert!(!programs.at("state/store.db").exists(), "looking makes no store");

    let service = programs.serve();
    let (code, text) = exit_code(programs.device().args(["config", "show"]));
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("NotProvisioned") && text.contains("/v1/events"), "{text}");
    let out = programs.at("export");
    let export = |more: &[&str]| {
        exit_code(
            programs
                .device()
                .args(["config", "export", "--out"])
                .arg(&out)
                .args(more),
        )
    };
    assert_eq!(export(&[]).0, 1);
    assert!(!out.exists());

    programs.provision("receipt");
    let shown = said(programs.device().args(["config", "show"]));
    for part in [
        DEVICE,
        "CANARY LABEL",
        "Changed: serverUrl, at 20",
        "by Central Station, session",
        "never shown",
    ] {
        assert!(shown.contains(part), "{part} is missing in {shown}");
    }
    let view = json(&said(programs.device().args(["config", "show", "--json"])));
    assert_eq!(view["settings"]["syncInterval"], 10);
    assert_eq!(view.get("pem"), None);

    let (code, text) = export(&[]);
    assert_eq!(code, 0, "{text}");
    let files = |folder: &Path| -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    assert_eq!(
        files(&out),
        ["ca-certificate.pem", "client-certificate.pem", "configuration.json"]
    );
    let (code, text) = export(&["--with-private-key"]);
    assert_eq!(code, 0, "{text}");
    assert!(files(&out).contains(&"client-private-key.pem".to_owned()));
    let key = fs::read_to_string(out.join("client-private-key.pem")).unwrap();
    assert!(key.contains("PRIVATE KEY"));
    assert_eq!(fs::metadata(&out).unwrap().permissions().mode() & 0o777, 0o700);
    for name in files(&out) {
        let mode = fs::metadata(out.join(&name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{name}");
    }
    // Nothing beside it, and a key of before is not left where it is not asked for.
    assert!(!programs.at("export.new").exists());
    assert_eq!(export(&[]).0, 0);
    assert!(!out.join("client-private-key.pem").exists());
    // A folder with anything else in it is left alone.
    fs::write(out.join("mine"), "kept").unwrap();
    let (code, text) = export(&[]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("it holds mine") && out.join("mine").exists(), "{text}");
    fs::remove_file(out.join("mine")).unwrap();

    // Each read is in the audit, with who it was. Those within the hour are counted; stopping records their number.
    run(Command::new("kill").arg(service.0.id().to_string()));
    let mut service = service;
    service.0.wait().unwrap();
    let uid = fs::metadata(programs.path()).unwrap().uid();
    let reads = said(
        programs
            .device()
            .args(["audit", "list", "--event", "configuration read"]),
    );
    assert_eq!(reads.lines().count(), 2, "{reads}");
    assert!(reads.contains(&format!("by uid {uid}, gid")), "{reads}");
    assert!(reads.ends_with("the last of 2 more within an hour\n"), "{reads}");
    let reads = said(programs.device().args(["audit", "list", "--event", "credentials read"]));
    assert_eq!(reads.lines().count(), 1, "{reads}");

    // Without the service, from the store: recorded at once.
    let (code, text) = export(&["--with-private-key"]);
    assert_eq!(code, 0, "{text}");
    assert_eq!(fs::read_to_string(out.join("client-private-key.pem")).unwrap(), key);
    let reads = said(programs.device().args(["audit", "list", "--event", "credentials read"]));
    assert!(reads.ends_with("from the store while no service ran\n"), "{reads}");
    assert_eq!(said(programs.device().args(["config", "show"])), shown);
}

#[test]
fn the_file_to_wait_for_is_there_exactly_while_the_device_is_provisioned() {
    let programs = Programs::commissioned();
    let file = programs.at("run/provisioned");
    let becomes = |there: bool| {
        for _ in 0..1200 {
            if file.exists() == there {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(25));
        }
        panic!("{} does not become {there}", file.display());
    };
    fs::write(&file, "from before").unwrap();
    let service = programs.serve();
    assert!(
        !file.exists(),
        "a file from before says nothing once the service is ready"
    );
    programs.provision("receipt");
    becomes(true);
    let text = fs::read_to_string(&file).unwrap();
    let content = json(&text);
    assert_eq!(
        (&content["status"], &content["deviceId"]),
        (&"PROVISIONED".into(), &DEVICE.into())
    );
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o644);
    // A crash, and what a new start makes of what it left.
    drop(service);
    fs::write(&file, "torn").unwrap();
    let service = programs.serve();
    assert_eq!(
        fs::read_to_string(&file).unwrap(),
        text,
        "right once the service is ready"
    );
    drop(service);
    fs::remove_file(&file).unwrap();
    let service = programs.serve();
    assert!(file.exists());
    programs.deprovision();
    becomes(false);
    drop(service);
    fs::write(&file, "from before").unwrap();
    let _service = programs.serve();
    assert!(!file.exists());
}

/// Numbers that stand for nobody on this machine.
const SOMEBODY: u32 = 54_321;
const APPLICATION_GROUP: u32 = 54_322;
const OTHER_GROUP: u32 = 54_323;

#[test]
fn nobody_but_the_group_gets_at_the_application_socket() {
    const NAME: &str = "nobody but the group gets at the application socket";
    let directory = tempfile::tempdir().unwrap();
    if fs::metadata(directory.path()).unwrap().uid() != 0 {
        return skip(NAME, "only root can act as other users");
    }
    if !is_installed("curl") || !is_installed("setpriv") {
        return skip(NAME, "curl or setpriv is not installed");
    }
    fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o711)).unwrap();
    let programs = Programs::with_group(directory, &APPLICATION_GROUP.to_string());
    fs::set_permissions(programs.at("run"), PermissionsExt::from_mode(0o755)).unwrap();
    let _service = programs.serve();
    programs.provision("receipt");
    let socket = programs.at("run/application.sock");
    let there = fs::metadata(&socket).unwrap();
    assert_eq!(
        (there.gid(), there.permissions().mode() & 0o777),
        (APPLICATION_GROUP, 0o660)
    );

    let curl = |socket: &Path, path: &str| {
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--unix-socket"]).arg(socket);
        command.arg(format!("http://localhost{path}"));
        command
    };
    let credentials = || curl(&socket, "/v1/credentials");
    // Others are refused by the kernel: curl cannot connect (7).
    let (code, text) = exit_code(credentials().uid(SOMEBODY).gid(OTHER_GROUP));
    assert_eq!(code, 7, "{text}");
    let control = programs.at("run/control.sock");
    let (code, text) = exit_code(curl(&control, "/v1/status").uid(SOMEBODY).gid(APPLICATION_GROUP));
    assert_eq!(code, 7, "the application does not control: {text}");
    // Members get in, with the group as their first or as any other.
    let text = said(credentials().uid(SOMEBODY).gid(APPLICATION_GROUP));
    let given = json(&text);
    assert!(given["clientPrivateKey"].as_str().unwrap().contains("PRIVATE KEY"));
    let mut supplementary = Command::new("setpriv");
    supplementary.args([format!("--reuid={SOMEBODY}"), format!("--regid={OTHER_GROUP}")]);
    supplementary.arg(format!("--groups={APPLICATION_GROUP}"));
    let credentials = credentials();
    supplementary.arg("curl").args(credentials.get_args());
    assert_eq!(json(&said(&mut supplementary)), given);
    // Who it was is in the audit; what was refused by the kernel reached nobody.
    let reads = said(programs.device().args(["audit", "list", "--event", "credentials read"]));
    assert_eq!(reads.lines().count(), 1, "{reads}");
    assert!(
        reads.contains(&format!("by uid {SOMEBODY}, gid {APPLICATION_GROUP}, pid ")),
        "{reads}"
    );
    // Nobody else exports either.
    let (code, text) = exit_code(
        Command::new(program("zmon-provision"))
            .args(["config", "export", "--with-private-key", "--out"])
            .arg(programs.at("theirs"))
            .arg("--socket")
            .arg(&socket)
            .uid(SOMEBODY)
            .gid(OTHER_GROUP),
    );
    assert_eq!(code, 69, "{text}");
    assert!(text.contains("Permission denied"), "{text}");
}

#[test]
fn a_group_that_this_device_does_not_know_is_a_fault_of_the_configuration() {
    let programs = Programs::commissioned();
    let set = ["--set", "application.group=no-such-group", "check-config"];
    let (code, text) = exit_code(programs.device().args(set));
    assert_eq!(code, 78, "{text}");
    assert!(
        text.contains("application.group: expected the name or number of a Unix group"),
        "{text}"
    );
    let (code, text) = exit_code(
        programs
            .device()
            .args(["--set", "application.group=root", "check-config"]),
    );
    assert_eq!(code, 0, "{text}");
}
