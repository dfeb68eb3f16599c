//! The program around the monitors: files, lines, ends.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use rustix::process::Signal;
use zmon_central_station::home::AnchorKind::Hmac;

use crate::support::Simulator;

#[tokio::test]
async fn lists_every_picture_and_leaves_no_store_behind() {
    let mut simulator = Simulator::start(Hmac, &["--count", "3", "--device-id", "ZM-WARD"]);
    let folder = simulator.fleet();
    assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
    let list = fs::read_to_string(folder.join("fleet.csv")).unwrap();
    assert_eq!(
        list,
        "picture,device_id,label\n\
         ZM-WARD-001.png,ZM-WARD-001,Simulated 1\n\
         ZM-WARD-002.png,ZM-WARD-002,Simulated 2\n\
         ZM-WARD-003.png,ZM-WARD-003,Simulated 3\n"
    );
    for number in 1..=3 {
        let name = format!("ZM-WARD-00{number}");
        let sealed = simulator.seal(&name);
        simulator.verify(&sealed, sealed.push().await.unwrap());
        let mode = fs::metadata(folder.join(format!("{name}.png")))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let stores = || {
        fs::read_dir(&folder)
            .unwrap()
            .flatten()
            .filter(|entry| entry.path().is_dir())
            .count()
    };
    assert_eq!(stores(), 1);
    simulator.stop(Signal::INT);
    assert_eq!(stores(), 0);
}

#[test]
fn says_loudly_that_it_is_a_simulation() {
    let mut simulator = Simulator::start(Hmac, &[]);
    let (_, log) = simulator.stop(Signal::TERM);
    assert!(log.contains("*  SIMULATION. These monitors are not real"), "{log}");
    let warned = log.lines().any(|line| {
        let event: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
        event["level"] == "WARN" && event["message"].as_str().unwrap().starts_with("SIMULATION:")
    });
    assert!(warned, "{log}");
}

#[test]
fn ends_by_itself_when_every_session_has_ended() {
    let mut simulator = Simulator::start(Hmac, &["--count", "2", "--pairing-time", "1", "--until-done"]);
    simulator.wait_for_status("SIM-001", "UNPROVISIONED");
    simulator.end();
}

#[test]
fn wants_exactly_one_trust_anchor() {
    for anchors in [&[][..], &["--master-key-file", "a", "--trust-anchor", "b"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_zmon-provision"));
        let ended = command
            .args(["simulate-device", "--out", "nowhere"])
            .args(anchors)
            .output();
        assert_eq!(ended.unwrap().status.code(), Some(2));
    }
}
