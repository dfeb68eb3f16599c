//! A ward full of simulated monitors in one process, and a Central Station that provisions them all.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails as the test itself")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

/// Each of these on every fortieth monitor.
const FAULTS: [&str; 4] = ["refuse:SignatureInvalid", "drop-answer", "full-disk", "wrong-pin"];
/// The most that one more monitor may cost, in KiB of peak memory.
const KIB_PER_MONITOR: u64 = 1024;
/// How long the simulator may be silent on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A program of this workspace, built beside this test.
fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.ancestors().nth(2).unwrap().join(name);
    assert!(path.exists(), "build it first: cargo build --workspace --bins");
    path
}

/// A fleet that shows its QR codes, and the folder of its station.
struct Fleet {
    simulator: Child,
    lines: Receiver<Value>,
    folder: TempDir,
    /// The list of the monitors: id and fault, none for most.
    monitors: Vec<(String, Option<String>)>,
}

impl Fleet {
    fn open(count: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("home");
        let made = Command::new(program("zmon-station"))
            .args(["init", "--name", "Ward", "--home"])
            .arg(&home)
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        let mut command = Command::new(program("zmon-provision"));
        command
            .args(["simulate-device", "--json", "--count", &count.to_string()])
            .args(["--faulty-every", "10", "--out"])
            .arg(folder.path().join("fleet"))
            .args(FAULTS.iter().flat_map(|fault| ["--fault", fault]))
            .arg("--master-key-file")
            .arg(home.join("provisioning-master.key"));
        let mut simulator = command
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(simulator.stdout.take().unwrap());
        let (send, lines) = channel();
        // Read at once, so that the simulator never waits for its reader.
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let _ = send.send(serde_json::from_str(&line).unwrap());
            }
        });
        let mut fleet = Self {
            simulator,
            lines,
            folder,
            monitors: Vec::new(),
        };
        loop {
            let event = fleet.next().expect("the simulator ended before every monitor was open");
            if event["event"] == "ready" {
                assert_eq!(fleet.monitors.len(), count);
                return fleet;
            }
            let fault = event["faults"][0].as_str().map(str::to_owned);
            fleet.monitors.push((event["deviceId"].as_str().unwrap().into(), fault));
        }
    }

    fn next(&self) -> Option<Value> {
        self.lines.recv_timeout(PATIENCE).ok()
    }

    fn folder(&self) -> PathBuf {
        self.folder.path().join("fleet")
    }

    fn station(&self) -> Command {
        let mut command = Command::new(program("zmon-station"));
        command.arg("--home").arg(self.folder.path().join("home"));
        command
    }

    /// Peak resident memory so far, in KiB.
    fn peak(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.simulator.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Waits until so many monitors have ended their sessions; gives each one's last status.
    fn outcomes(&self, ended: usize) -> Vec<(String, String)> {
        let mut outcomes = Vec::new();
        while outcomes.len() < ended {
            let event = self.next().expect("the simulator ended");
            let status = event["status"].as_str().unwrap_or_default();
            if event["event"] == "status" && status != "PAIRING_RECEIVED" {
                outcomes.push((event["deviceId"].as_str().unwrap().into(), status.into()));
            }
        }
        outcomes
    }

    /// Panics unless exactly the monitors that can be provisioned are.
    fn check(&self) {
        let of = |fault| move |(_, has): &&(String, Option<String>)| has.as_deref() == fault;
        // Nothing reaches those with a wrong pin.
        let silent = self.monitors.iter().filter(of(Some("wrong-pin"))).count();
        let outcomes = self.outcomes(self.monitors.len() - silent);
        for (device, fault) in &self.monitors {
            let outcome = outcomes
                .iter()
                .find(|(id, _)| id == device)
                .map(|(_, status)| status.as_str());
            let expected = match fault.as_deref() {
                None | Some("drop-answer") => Some("PROVISIONED"),
                Some("wrong-pin") => None,
                Some(_) => Some("PROVISIONING_FAILED"),
            };
            assert_eq!(outcome, expected, "{device} with {fault:?}");
        }
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        let _ = self.simulator.kill();
        let _ = self.simulator.wait();
    }
}

/// Provisions one monitor after the other; a push whose answer was lost is pushed again.
fn provision_one_by_one(fleet: &Fleet) {
    for (device, fault) in &fleet.monitors {
        let picture = fleet.folder().join(format!("{device}.png"));
        let body = fleet.folder.path().join(format!("{device}.jose"));
        let output = provision(fleet, &picture, &body);
        let said = format!("{device}: {output:?}");
        match fault.as_deref() {
            None => assert!(output.status.success(), "{said}"),
            Some("drop-answer") => {
                assert!(said.contains("Push the same body again"), "{said}");
                let again = fleet
                    .station()
                    .arg("push")
                    .arg(&picture)
                    .arg("--body")
                    .arg(&body)
                    .output()
                    .unwrap();
                assert!(again.status.success(), "{again:?}");
            }
            Some("full-disk") => assert!(said.contains("StorageError"), "{said}"),
            Some("wrong-pin") => assert!(said.contains("Nothing was sent"), "{said}"),
            Some(_) => assert!(said.contains("SignatureInvalid"), "{said}"),
        }
    }
}

fn provision(fleet: &Fleet, picture: &Path, body: &Path) -> Output {
    let mut command = fleet.station();
    command.args(["provision", "--server-url", "https://central.ward.example"]);
    command.args(["--label", "Ward", "--unit", "METRIC", "--language", "EN", "--save-body"]);
    command.arg(body).arg(picture).output().unwrap()
}

/// Provisions all of them by one command, which tries again where that helps.
fn provision_by_batch(fleet: &Fleet) -> Output {
    let mut command = fleet.station();
    command.arg("batch").arg(fleet.folder().join("fleet.csv"));
    command.arg("--out").arg(fleet.folder.path().join("out"));
    command.args(["--server-url", "https://central.ward.example", "--unit", "METRIC"]);
    command.args(["--language", "EN", "--parallel", "16", "--json"]);
    command.output().unwrap()
}

#[test]
fn two_hundred_monitors_are_provisioned_one_by_one_and_the_faulty_ones_fail_as_they_should() {
    let peak_of = |count| {
        let fleet = Fleet::open(count);
        provision_one_by_one(&fleet);
        fleet.check();
        fleet.peak()
    };
    let (few, many) = (peak_of(20), peak_of(200));
    println!("peak memory of the simulator: {few} KiB with 20 monitors, {many} KiB with 200");
    assert!(
        many.saturating_sub(few) < 180 * KIB_PER_MONITOR,
        "{few} KiB, {many} KiB"
    );
}

#[test]
fn two_hundred_monitors_are_provisioned_by_one_command() {
    let help = Command::new(program("zmon-station"))
        .args(["batch", "--help"])
        .output()
        .unwrap();
    if !help.status.success() {
        let name = "two_hundred_monitors_are_provisioned_by_one_command";
        zmon_testkit::skip::skip(name, "this zmon-station has no command batch");
        return;
    }
    let fleet = Fleet::open(200);
    let output = provision_by_batch(&fleet);
    // Twenty are faulty, and it has to say so; what it prints is its own tests' matter.
    assert!(!output.stdout.is_empty(), "{output:?}");
    fleet.check();
}
