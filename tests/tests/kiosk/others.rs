//! Other users of the device, who reach loopback as well as the kiosk's browser does.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::process::Command;

use zmon_testkit::skip::skip;
use zmon_tests::programs::{Programs, free_port, run, said};

/// Numbers that stand for nobody on this machine.
const SOMEBODY: u32 = 54_331;
const KIOSK_GROUP: u32 = 54_332;
const OTHER_GROUP: u32 = 54_333;

#[test]
fn it_is_for_the_kiosks_group_alone() {
    const NAME: &str = "the kiosk page is for the kiosk's group alone";
    let directory = tempfile::tempdir().unwrap();
    let there = fs::metadata(directory.path()).unwrap();
    if there.uid() != 0 {
        return skip(NAME, "only root can act as other users");
    }
    if !["/usr/bin/curl", "/bin/curl"]
        .iter()
        .any(|path| fs::exists(path).unwrap())
    {
        return skip(NAME, "curl is not installed");
    }
    fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o711)).unwrap();
    let programs = Programs::with_group(directory, &there.gid().to_string());
    fs::set_permissions(programs.at("run"), PermissionsExt::from_mode(0o755)).unwrap();
    let port = free_port();
    let start_file = programs.at("run/kiosk.html");
    programs.configure(&format!(
        "[kiosk]\ngroup = \"{KIOSK_GROUP}\"\nport = {port}\nstart_file = \"{}\"\n",
        start_file.display()
    ));
    let _service = programs.serve();
    run(programs.device().args(["pair", "--no-wait"]));
    let there = fs::metadata(&start_file).unwrap();
    assert_eq!((there.gid(), there.permissions().mode() & 0o7777), (KIOSK_GROUP, 0o640));

    let read = |group: u32| {
        let mut command = Command::new("cat");
        command.arg(&start_file).uid(SOMEBODY).gid(group);
        command
    };
    let ask = |group: u32, token: &str| {
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--header"]);
        command.arg(format!("Authorization: Bearer {token}"));
        command.arg(format!("http://127.0.0.1:{port}/v1/pairing/code"));
        command.uid(SOMEBODY).gid(group);
        said(&mut command)
    };
    let refused = read(OTHER_GROUP).output().unwrap();
    assert!(!refused.status.success() && refused.stdout.is_empty());
    assert!(ask(OTHER_GROUP, "a-guess").contains("TokenRequired"));

    let page = said(&mut read(KIOSK_GROUP));
    let (_, rest) = page.split_once("#token=").unwrap();
    let token = rest.split('"').next().unwrap();
    assert!(ask(KIOSK_GROUP, token).contains("pairingCode"));
    // The token is nowhere that every user can look.
    for process in fs::read_dir("/proc").unwrap() {
        let path = process.unwrap().path().join("cmdline");
        let line = fs::read(path).unwrap_or_default();
        let line = String::from_utf8_lossy(&line);
        // But in this test's own call of curl, which is over.
        assert!(!line.contains(token), "{line}");
    }
}
