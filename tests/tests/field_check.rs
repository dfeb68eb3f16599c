//! `zmon-provision check`: each check is made to fail for real, and says its name and how to mend it.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails as the test itself")]

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use zmon_domain::time::Timestamp;
use zmon_ports::ProvisioningStore;
use zmon_testkit::mtls_server::{Manner, MtlsServer};
use zmon_testkit::pki::{Key, KeyType};
use zmon_testkit::skip::skip;
use zmon_tests::database::change;
use zmon_tests::programs::{Programs, run};

/// In the order of the report.
const NAMES: [&str; 21] = [
    "configuration",
    "service",
    "status",
    "trust-anchor",
    "state-directory",
    "store-key",
    "store-encryption",
    "store",
    "audit",
    "disk-space",
    "clock",
    "clock-synchronised",
    "client-certificate",
    "ca-certificate",
    "server-certificate",
    "private-key",
    "server",
    "pairing-port",
    "control-socket",
    "application-socket",
    "administrator-pin",
];

/// What one check said.
#[derive(Debug)]
struct Said {
    outcome: String,
    found: String,
    remedy: String,
}

/// Everything that `check` says, after a look at the form of it.
fn check_with(mut command: Command) -> BTreeMap<String, Said> {
    let output = command.arg("check").arg("--json").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let report: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}"));
    let checks = report["checks"].as_array().unwrap();
    let names: Vec<_> = checks.iter().map(|check| check["name"].as_str().unwrap()).collect();
    assert_eq!(names, NAMES);
    let failed = checks.iter().filter(|check| check["outcome"] == "fail").count();
    assert_eq!(report["failed"], failed);
    assert_eq!(output.status.code(), Some(i32::from(failed > 0)), "{text}");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let said = |check: &Value| Said {
        outcome: text(&check["outcome"]),
        found: text(&check["found"]),
        remedy: text(&check["remedy"]),
    };
    let report: BTreeMap<_, _> = checks.iter().map(|check| (text(&check["name"]), said(check))).collect();
    for said in report.values() {
        let texts = [&said.found, &said.remedy];
        assert!(!texts.iter().any(|text| text.contains(char::is_control)), "{said:?}");
    }
    report
}

fn check(programs: &Programs) -> BTreeMap<String, Said> {
    check_with(programs.device())
}

/// This check has this outcome, and these words in what it found and in how to mend it.
fn says(report: &BTreeMap<String, Said>, name: &str, outcome: &str, found: &str, remedy: &str) {
    let said = &report[name];
    assert_eq!(said.outcome, outcome, "{name}: {said:?}");
    assert!(said.found.contains(found), "{name}: {said:?}");
    assert!(said.remedy.contains(remedy), "{name}: {said:?}");
    assert_eq!(
        said.remedy.is_empty(),
        ["pass", "not-applicable"].contains(&outcome),
        "{name}: {said:?}"
    );
}

/// No check fails but these.
fn only(report: &BTreeMap<String, Said>, failed: &[&str]) {
    let found: Vec<_> = NAMES.iter().filter(|name| report[**name].outcome == "fail").collect();
    assert_eq!(found, failed.iter().collect::<Vec<_>>(), "{report:#?}");
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

/// A device that was provisioned and whose service has ended.
fn provisioned() -> Programs {
    let programs = Programs::commissioned();
    let service = programs.serve();
    programs.provision("receipt");
    drop(service);
    programs
}

#[test]
fn it_finds_nothing_on_a_sound_device_with_and_without_its_service() {
    let programs = Programs::commissioned();
    let report = check(&programs);
    only(&report, &[]);
    says(&report, "store", "not-applicable", "the first start makes it", "");
    says(&report, "store-key", "not-applicable", "the first start makes it", "");
    says(&report, "client-certificate", "not-applicable", "", "");
    assert!(!programs.at("state/store.db").exists(), "looking makes no store");

    let service = programs.serve();
    programs.provision("receipt");
    let report = check(&programs);
    only(&report, &[]);
    for (name, found) in [
        ("service", "it runs as user"),
        ("status", "PROVISIONED"),
        ("trust-anchor", "device.key"),
        ("state-directory", "alone"),
        ("store-key", "wrapped with"),
        ("store-encryption", "no plain SQLite file"),
        ("store", "the running service has it open"),
        ("audit", "intact"),
        ("client-certificate", "days are left"),
        ("ca-certificate", "days are left"),
        ("private-key", "client certificate's"),
        ("pairing-port", "our own service holds port"),
        ("control-socket", "alone"),
        ("application-socket", "alone"),
        ("administrator-pin", "pin.hash"),
    ] {
        says(&report, name, "pass", found, "");
    }
    says(
        &report,
        "server-certificate",
        "not-applicable",
        "no server certificate is pinned",
        "",
    );

    drop(service);
    let report = check(&programs);
    only(&report, &[]);
    says(&report, "service", "warning", "none runs at", "systemctl start");
    says(&report, "store", "pass", "it opens", "");
    says(&report, "pairing-port", "pass", "is free", "");
    says(&report, "control-socket", "not-applicable", "no service runs", "");
    let words = programs.device().arg("check").output().unwrap();
    let words = String::from_utf8(words.stdout).unwrap();
    assert!(
        words.contains("\npass  store-key ") && words.contains("mend: start it: systemctl"),
        "{words}"
    );
    for secret in ["BEGIN", "argon2", zmon_tests::programs::PIN] {
        assert!(!words.contains(secret), "{words}");
    }
}

#[test]
fn it_finds_what_is_wrong_with_configuration_files_and_keys() {
    let programs = provisioned();
    let at = |name: &str| programs.at(name);

    let mut faulty = programs.device();
    faulty.args(["--set", "listener.port=0"]);
    let report = check_with(faulty);
    only(&report, &["configuration"]);
    says(&report, "configuration", "fail", "listener.port", "check-config");
    says(&report, "store", "not-applicable", "configuration", "");

    let mut nowhere = programs.device();
    nowhere.args(["--set", "control.socket=here"]);
    let report = check_with(nowhere);
    only(&report, &["configuration", "service"]);
    says(
        &report,
        "service",
        "fail",
        "--set: control.socket: expected",
        "--socket",
    );

    mode(&at("device.key"), 0o644);
    let report = check(&programs);
    only(&report, &["trust-anchor"]);
    says(&report, "trust-anchor", "fail", "nobody but its owner", "chmod 600");
    mode(&at("device.key"), 0o600);

    mode(&at("state"), 0o755);
    let report = check(&programs);
    only(&report, &["state-directory"]);
    says(&report, "state-directory", "fail", "mode 755", "chmod 700");
    mode(&at("state"), 0o700);

    mode(&at("state/store.key"), 0o640);
    let report = check(&programs);
    only(&report, &["store-key", "store"]);
    says(&report, "store-key", "fail", "others may read", "store-keys.md");
    mode(&at("state/store.key"), 0o600);

    let key = fs::read(at("state/store.key")).unwrap();
    fs::write(at("state/store.key"), [7; 32]).unwrap();
    let report = check(&programs);
    only(&report, &["store-key", "store"]);
    says(&report, "store-key", "fail", "another key than", "same backup");
    fs::write(at("state/store.key"), key).unwrap();

    // The keys are right, the database is not: told apart from the wrong key.
    let database = fs::read(at("state/store.db")).unwrap();
    let mut damaged = database.clone();
    damaged[100] ^= 1;
    fs::write(at("state/store.db"), damaged).unwrap();
    let report = check(&programs);
    only(&report, &["store"]);
    says(
        &report,
        "store",
        "fail",
        "does not open with this device's database key",
        "same backup",
    );
    says(&report, "audit", "not-applicable", "", "");

    let plain = [b"SQLite format 3\0".as_slice(), &[0; 4080]].concat();
    fs::write(at("state/store.db"), plain).unwrap();
    let report = check(&programs);
    only(&report, &["store-encryption", "store"]);
    says(
        &report,
        "store-encryption",
        "fail",
        "plain SQLite database",
        "as evidence",
    );
    fs::write(at("state/store.db"), &database).unwrap();

    let hash = fs::read(at("state/pin.hash")).unwrap();
    fs::write(at("state/pin.hash"), "nonsense").unwrap();
    let report = check(&programs);
    only(&report, &["administrator-pin"]);
    says(&report, "administrator-pin", "fail", "no Argon2id hash", "set-pin");
    fs::remove_file(at("state/pin.hash")).unwrap();
    says(
        &check(&programs),
        "administrator-pin",
        "fail",
        "is not there",
        "set-pin",
    );
    fs::write(at("state/pin.hash"), hash).unwrap();

    // As much as no card has.
    let file = fs::OpenOptions::new().append(true).open(at("state/store.db")).unwrap();
    file.set_len(8 << 40).unwrap();
    says(&check(&programs), "disk-space", "fail", "MiB are wanted", "make room");
    file.set_len(database.len() as u64).unwrap();
    only(&check(&programs), &[]);
}

#[tokio::test]
async fn it_finds_what_is_wrong_with_what_is_installed() {
    let programs = provisioned();
    let (path, source) = (programs.at("state/store.db"), programs.at("state/store.key"));
    let report_after = async |statements: &str| {
        change(&path, &source, statements).await;
        check(&programs)
    };
    let day = 24 * 60 * 60 * 1000;
    let now = u64::try_from(fs::metadata(&path).unwrap().mtime()).unwrap() * 1000;

    let ended = format!(
        "UPDATE certificates SET not_after_ms = {} WHERE role = 'client'",
        now - day
    );
    let report = report_after(&ended).await;
    only(&report, &["client-certificate"]);
    says(
        &report,
        "client-certificate",
        "fail",
        "ended at",
        "issue new certificates",
    );
    let soon = format!(
        "UPDATE certificates SET not_after_ms = {} WHERE role = 'client'",
        now + 20 * day
    );
    let report = report_after(&soon).await;
    only(&report, &[]);
    says(
        &report,
        "client-certificate",
        "warning",
        "days are left",
        "issue new certificates",
    );

    let ended = format!("UPDATE certificates SET not_after_ms = {} WHERE role = 'ca'", now - day);
    let report = report_after(&ended).await;
    only(&report, &["ca-certificate"]);
    says(&report, "ca-certificate", "fail", "ended at", "issue new certificates");
    let pinned = "UPDATE certificates SET not_after_ms = not_after_ms + 400000000000 WHERE role = 'ca';
                  INSERT INTO credentials SELECT 'server', pem FROM credentials WHERE role = 'ca';
                  INSERT INTO certificates SELECT 'server', 0, serial, subject, issuer, not_before_ms, 1, sha256
                      FROM certificates WHERE role = 'ca'";
    let report = report_after(pinned).await;
    only(&report, &["server-certificate"]);
    says(
        &report,
        "server-certificate",
        "fail",
        "ended at 1970",
        "issue new certificates",
    );
    report_after("DELETE FROM certificates WHERE role = 'server'; DELETE FROM credentials WHERE role = 'server'").await;

    let other = Key::new(KeyType::P256).pkcs8_pem();
    let report = report_after(&format!(
        "UPDATE credentials SET pem = '{other}' WHERE role = 'client key'"
    ))
    .await;
    only(&report, &["private-key"]);
    says(
        &report,
        "private-key",
        "fail",
        "no server will accept",
        "provision the monitor anew",
    );

    let forged = "DROP TRIGGER audit_is_never_changed; UPDATE audit SET detail = 'forged' WHERE seq = 2";
    let report = report_after(forged).await;
    only(&report, &["audit", "private-key"]);
    says(&report, "audit", "fail", "record 2", "audit-check");

    let store = programs.store().await;
    let future = Timestamp::from_millis(now + 3650 * day);
    store
        .set_time_floor(Timestamp::from_millis(now), Some(future), &[])
        .await
        .unwrap();
    store.close().await;
    says(
        &check(&programs),
        "clock",
        "fail",
        "before the time floor",
        "time reset",
    );
}

#[test]
fn it_finds_what_is_wrong_around_a_running_service() {
    let programs = Programs::commissioned();
    let service = programs.serve();
    mode(&programs.at("run/control.sock"), 0o666);
    mode(&programs.at("run/application.sock"), 0o600);
    let report = check(&programs);
    only(&report, &["control-socket", "application-socket"]);
    says(&report, "control-socket", "fail", "mode 666", "start the service again");
    says(
        &report,
        "application-socket",
        "fail",
        "mode 600",
        "start the service again",
    );
    mode(&programs.at("run/control.sock"), 0o660);
    mode(&programs.at("run/application.sock"), 0o660);

    let config = fs::read_to_string(programs.at("config.toml")).unwrap();
    let port = config.lines().find_map(|line| line.strip_prefix("port = ")).unwrap();
    let other = TcpListener::bind(("127.0.0.1", port.parse().unwrap())).unwrap();
    let report = check(&programs);
    only(&report, &["pairing-port"]);
    says(
        &report,
        "pairing-port",
        "fail",
        "another program holds",
        &format!("sport = :{port}"),
    );
    drop(other);
    let mut elsewhere = programs.device();
    elsewhere.args(["--set", "device.address=203.0.113.7"]);
    says(
        &check_with(elsewhere),
        "pairing-port",
        "fail",
        "no address of this device",
        "ip address",
    );

    let record = programs.at("record");
    let mut retire = programs.device();
    retire
        .args(["deprovision", "--retire", "--pin-file"])
        .arg(programs.at("pin"))
        .arg("--record")
        .arg(record);
    assert!(retire.status().unwrap().success());
    let retired = || {
        let report = check(&programs);
        only(&report, &["status"]);
        says(&report, "status", "fail", "retired this device", "zmon-station derive");
        says(&report, "trust-anchor", "not-applicable", "retired", "");
    };
    retired();
    drop(service);
    retired();

    // Somebody listens who is no service.
    fs::remove_file(programs.at("run/control.sock")).unwrap();
    let listener = UnixListener::bind(programs.at("run/control.sock")).unwrap();
    std::thread::spawn(move || listener.incoming().for_each(drop));
    says(
        &check(&programs),
        "service",
        "fail",
        "does not answer",
        "systemctl restart",
    );
}

/// The central server of a station, which demands client certificates of its CA.
async fn server(programs: &Programs) -> MtlsServer {
    run(programs
        .station()
        .args(["issue-server", "127.0.0.1", "--out"])
        .arg(programs.at("server")));
    let pem = |name: &str| fs::read_to_string(programs.at(name)).unwrap();
    let (certificate, key) = (pem("server/certificate.pem"), pem("server/key.pem"));
    MtlsServer::of_pem(&certificate, &key, &pem("station/ca.pem"), Manner::Answers(404)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn it_tries_the_server_where_it_is_asked_to_with_and_without_the_service() {
    let programs = Programs::commissioned();
    let central = server(&programs).await;
    let service = programs.serve();
    let png = programs.at("qr.png");
    run(programs.device().args(["pair", "--no-wait", "--png"]).arg(&png));
    let url = format!("https://{}/api", central.address);
    run(programs
        .station()
        .arg("provision")
        .arg(&png)
        .args(["--server-url", &url, "--label", "Bed 7"]));
    says(&check(&programs), "server", "not-applicable", "--online", "");
    let online = || {
        let mut command = programs.device();
        command.args(["check", "--online", "--json"]);
        let report: Value = serde_json::from_slice(&command.output().unwrap().stdout).unwrap();
        let checks = report["checks"].as_array().unwrap();
        checks.iter().find(|check| check["name"] == "server").unwrap().clone()
    };
    let says = |outcome: &str, found: &str| {
        let said = online();
        assert_eq!(said["outcome"], outcome, "{said}");
        assert!(said["found"].as_str().unwrap().contains(found), "{said}");
    };
    says("pass", "takes the client certificate");
    drop(service);
    says("pass", "takes the client certificate");

    // Another station's server is none of ours.
    let other = Programs::commissioned();
    let foreign = server(&other).await;
    let database = (programs.at("state/store.db"), programs.at("state/store.key"));
    let elsewhere = format!(
        "UPDATE settings SET value = 'https://{}/' WHERE key = 'serverUrl'",
        foreign.address
    );
    change(&database.0, &database.1, &elsewhere).await;
    says("fail", "the TLS handshake");
    let nobody = "UPDATE settings SET value = 'https://127.0.0.1:1/' WHERE key = 'serverUrl'";
    change(&database.0, &database.1, nobody).await;
    says("fail", "connecting");
}

#[test]
fn it_says_what_a_user_may_not_look_at_instead_of_calling_it_broken() {
    let title = "tells a user what it may not look at";
    let programs = Programs::commissioned();
    if fs::metadata(programs.path()).unwrap().uid() != 0 {
        return skip(title, "only root can run a program as another user");
    }
    mode(programs.path(), 0o755);
    mode(&programs.at("config.toml"), 0o644);
    let _service = programs.serve();
    let mut nobody = programs.device();
    nobody.uid(65_534).gid(65_534);
    if nobody.args(["--version"]).output().is_err() {
        return skip(title, "the program is not where others may start it");
    }
    let mut nobody = programs.device();
    nobody.uid(65_534).gid(65_534);
    let report = check_with(nobody);
    only(&report, &[]);
    for name in ["service", "trust-anchor", "store", "store-key", "administrator-pin"] {
        says(&report, name, "warning", "not for this user to look at", "as root");
    }
}
