//! The real binary as a device: started, paired, cancelled, stopped.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use crate::support::{Site, finish};
use rustix::process::Signal;
use serde_json::Value;
use zmon_domain::pairing::TlsPin;
use zmon_testkit::https_client::HttpsClient;
use zmon_testkit::qr_code;

/// What the picture says.
fn scan(path: &Path) -> Value {
    let picture = image::open(path).unwrap().to_luma8();
    assert_eq!(picture.dimensions(), (300, 300));
    serde_json::from_str(&qr_code::read(&picture).unwrap().1).unwrap()
}

fn https_status(address: SocketAddr, qr: &Value) -> Value {
    let pin = TlsPin::from_base64url(qr["pin"].as_str().unwrap()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let answer = runtime
        .block_on(HttpsClient::new(pin).get(address, "/provisioning/status"))
        .unwrap();
    answer.json()
}

pub(crate) fn status_of(site: &Site) -> Value {
    let (code, json, errors) = site.run(&["status", "--json"]);
    assert_eq!(code, 0, "{errors}");
    serde_json::from_str(&json).unwrap()
}

#[test]
fn opens_its_port_for_pairing_alone_and_leaves_nothing_behind() {
    let site = Site::new();
    let mut device = site.serve();
    assert!(!site.port_is_open(), "the port must be closed before pairing");
    assert_eq!(status_of(&site)["status"], "UNPROVISIONED");

    let png = site.path("qr.png");
    let (code, shown, errors) = site.run(&["pair", "--png", png.to_str().unwrap(), "--no-wait"]);
    assert_eq!(code, 0, "{errors}");
    let act = device.wait_for("somebody acts");
    let own = fs::metadata("/proc/self").unwrap().uid();
    assert_eq!(
        (&act["route"], &act["uid"]),
        (&"OpenPairing".into(), &own.into()),
        "{act}"
    );
    let qr = scan(&png);
    assert_eq!(
        (&qr["deviceId"], &qr["port"]),
        (&"ZM-ICU-MON-04".into(), &site.port.into())
    );
    let pairing_code = qr["pairingCode"].as_str().unwrap();
    assert!(
        shown.contains(&format!("\nPairing code: {pairing_code}\nValid for: 9:5"))
            || shown.contains("Valid for: 10:00"),
        "{shown}"
    );
    assert_eq!(
        fs::metadata(&png).unwrap().permissions().mode() & 0o077,
        0,
        "the picture is the owner's"
    );

    assert_eq!(https_status(site.address(), &qr)["status"], "READY_TO_PAIR");
    assert_eq!(status_of(&site)["status"], "READY_TO_PAIR");

    let (code, text, errors) = site.run(&["cancel"]);
    assert_eq!((code, text.as_str()), (0, "Status: UNPROVISIONED\n"), "{errors}");

    assert_eq!(device.stop(Signal::TERM), 0);
    assert!(!site.path("control.sock").exists());
    assert!(!site.port_is_open());
    assert!(device.log.last().unwrap().contains("\"stopped\""), "{:#?}", device.log);
    let log = device.log.join("\n");
    for secret in [pairing_code, "AAAAAAAAAAAAAAAA"] {
        assert!(!log.contains(secret), "{log}");
    }
}

#[test]
fn says_when_it_is_ready_and_in_which_status() {
    let site = Site::new();
    let mut device = site.serve();
    let ready: Value = serde_json::from_str(device.log.last().unwrap()).unwrap();
    assert_eq!(
        (&ready["status"], &ready["device_id"]),
        (&"UNPROVISIONED".into(), &"ZM-ICU-MON-04".into())
    );
    assert_eq!(ready["level"], "INFO");
    assert_eq!(device.stop(Signal::INT), 0);
}

#[test]
fn writes_no_core_dumps_and_keeps_its_files_to_itself() {
    let site = Site::new();
    let device = site.serve();
    let limits = fs::read_to_string(format!("/proc/{}/limits", device.child.id())).unwrap();
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"))
        .unwrap();
    let numbers: Vec<_> = core
        .split_whitespace()
        .filter(|word| word.bytes().all(|b| b.is_ascii_digit()))
        .collect();
    assert_eq!(numbers, ["0", "0"], "{core}");
    let mode = |name: &str| fs::metadata(site.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("control.sock"), 0o660);
    assert_eq!((mode("store/store.db"), mode("store/store.key")), (0o600, 0o600));
}

#[test]
fn waits_for_the_outcome_and_tells_that_pairing_was_cancelled() {
    let site = Site::new();
    let _device = site.serve();
    let waiting = site.command(&["pair"]).spawn().unwrap();
    let begun = std::iter::repeat_with(|| {
        std::thread::sleep(std::time::Duration::from_millis(50));
        status_of(&site)["status"] == "READY_TO_PAIR"
    });
    assert!(begun.take(200).any(|ready| ready));
    let json = site.run(&["cancel"]);
    assert_eq!(json.0, 0, "{}", json.2);
    let (code, text, _) = finish(waiting.wait_with_output().unwrap());
    assert_eq!(code, 1);
    let waits: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("Waiting for the Central Station, "))
        .collect();
    assert!((1..=2).contains(&waits.len()), "not a line for each second: {text}");
    assert!(
        text.ends_with("it was cancelled, or its time is over.\nNext: open pairing again.\n"),
        "{text}"
    );
    assert!(!text.contains('\u{1b}'), "plain where standard output is no terminal");
}

#[test]
fn tells_a_waiting_command_that_the_service_ended() {
    let site = Site::new();
    let mut device = site.serve();
    let waiting = site.command(&["pair", "--json"]).spawn().unwrap();
    let begun = std::iter::repeat_with(|| {
        std::thread::sleep(std::time::Duration::from_millis(50));
        site.port_is_open()
    });
    assert!(begun.take(200).any(|open| open));
    assert_eq!(device.stop(Signal::TERM), 0);
    let (code, _, errors) = finish(waiting.wait_with_output().unwrap());
    assert!(code == 69 || code == 1, "{code}: {errors}");
}

#[test]
fn refuses_to_run_twice_and_goes_on_running_once() {
    let site = Site::new();
    let _device = site.serve();
    let (code, _, errors) = site.run(&["serve"]);
    assert_eq!(code, 1);
    assert!(errors.contains("another process has the store open"), "{errors}");
    let other = |key: &str, file: &str| format!("{key}={}", site.path("other").join(file).display());
    let (path, key) = (other("store.path", "store.db"), other("store.key_file", "store.key"));
    let (code, _, errors) = site.run(&["--set", &path, "--set", &key, "serve"]);
    assert_eq!(code, 1);
    assert!(errors.contains("is the service running already?"), "{errors}");
    assert_eq!(status_of(&site)["status"], "UNPROVISIONED");
}

#[test]
fn lets_nobody_deprovision_without_the_pin() {
    let site = Site::new();
    let _device = site.serve();
    let (code, _, errors) = site.run_with_input(&["deprovision", "--pin-stdin"], "314159\n");
    assert_eq!(code, 1);
    assert!(errors.contains("AdminRequired: "), "{errors}");
    let (code, ..) = site.run_with_input(&["admin", "set-pin", "--pin-stdin"], "314159\n");
    assert_eq!(code, 0);
    let (code, _, errors) = site.run_with_input(&["deprovision", "--pin-stdin"], "271828\n");
    assert_eq!(code, 1);
    assert!(errors.contains("AdminRequired: "), "{errors}");
    fs::write(site.path("pin"), "314159\n").unwrap();
    let (code, _, errors) = site.run(&["deprovision", "--pin-file", site.path("pin").to_str().unwrap()]);
    assert_eq!(code, 1);
    assert!(errors.contains("NotProvisioned: "), "{errors}");
}

#[test]
fn refuses_a_store_whose_key_is_gone() {
    let site = Site::new();
    let mut device = site.serve();
    assert_eq!(device.stop(Signal::TERM), 0);
    fs::remove_file(site.path("store/store.key")).unwrap();
    let (code, _, errors) = site.run(&["serve"]);
    assert_eq!(code, 1);
    assert!(errors.contains("store.key"), "{errors}");
}

#[test]
fn locks_after_five_wrong_pins_also_across_a_restart() {
    let site = Site::new();
    let mut device = site.serve();
    assert_eq!(
        site.run_with_input(&["admin", "set-pin", "--pin-stdin"], "314159\n").0,
        0
    );
    for _ in 0..5 {
        let (code, _, errors) = site.run_with_input(&["time", "reset", "--pin-stdin"], "271828\n");
        assert_eq!(code, 1);
        assert!(errors.contains("AdminRequired: "), "{errors}");
    }
    for _ in 0..2 {
        let (code, _, errors) = site.run_with_input(&["time", "reset", "--pin-stdin"], "314159\n");
        assert_eq!(code, 1);
        assert!(errors.contains("AdminLocked: ") && errors.contains(" s."), "{errors}");
        assert_eq!(device.stop(Signal::TERM), 0);
        device = site.serve();
    }
    let site = Site::new();
    let _device = site.serve();
    assert_eq!(
        site.run_with_input(&["admin", "set-pin", "--pin-stdin"], "314159\n").0,
        0
    );
    let (code, text, errors) = site.run_with_input(&["time", "reset", "--pin-stdin"], "314159\n");
    assert_eq!(
        (code, text.as_str()),
        (0, "The time floor is the release date again.\n"),
        "{errors}"
    );
}

#[test]
fn retires_and_starts_again_only_with_a_new_trust_anchor() {
    let site = Site::new();
    let mut device = site.serve();
    assert_eq!(
        site.run_with_input(&["admin", "set-pin", "--pin-stdin"], "314159\n").0,
        0
    );
    let record = site.path("record");
    let retire = [
        "deprovision",
        "--retire",
        "--pin-stdin",
        "--record",
        record.to_str().unwrap(),
    ];
    let (code, _, errors) = site.run(&retire[..3]);
    assert_eq!(code, 2, "the record has to be kept: {errors}");
    fs::write(&record, "kept").unwrap();
    let (code, _, errors) = site.run_with_input(&retire, "314159\n");
    assert_eq!(code, 1);
    assert!(errors.contains("Nothing was removed"), "{errors}");
    assert_eq!(fs::read_to_string(&record).unwrap(), "kept");
    fs::remove_file(&record).unwrap();
    let (code, _, errors) = site.run_with_input(&retire, "271828\n");
    assert_eq!(code, 1);
    assert!(errors.contains("AdminRequired: ") && !record.exists(), "{errors}");
    assert!(site.path("trust.key").exists());

    let (code, text, errors) = site.run_with_input(&retire, "314159\n");
    assert_eq!(code, 0, "{errors}");
    assert!(
        text.contains("nothing was installed") && text.contains("trust anchor is erased"),
        "{text}"
    );
    assert!(!record.exists() && !site.path("trust.key").exists());
    let (code, _, errors) = site.run(&["pair", "--no-wait"]);
    assert_eq!(code, 1);
    assert!(errors.contains("DeviceRetired: "), "{errors}");
    assert_eq!(device.stop(Signal::TERM), 0);

    for _ in 0..2 {
        let (code, _, errors) = site.run(&["serve"]);
        assert_eq!(code, 78);
        assert!(
            errors.contains("retired this device") && errors.contains("trust.key"),
            "{errors}"
        );
        assert!(errors.contains("zmon-station derive"), "{errors}");
    }
    let key = site.path("trust.key");
    fs::write(&key, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n").unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let _device = site.serve();
    let (code, _, errors) = site.run(&["pair", "--no-wait"]);
    assert_eq!(code, 0, "{errors}");
}
