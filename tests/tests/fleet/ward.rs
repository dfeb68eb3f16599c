//! The simulator, and what it tells.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use zmon_tests::programs::{program, run};

/// Each of these on every fortieth monitor.
const FAULTS: [&str; 4] = ["refuse:SignatureInvalid", "drop-answer", "full-disk", "wrong-pin"];
/// How long the simulator may be silent on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A fleet that shows its QR codes, and the folder of its station.
pub(crate) struct Fleet {
    simulator: Child,
    lines: Receiver<Value>,
    pub(crate) folder: TempDir,
    /// The list of the monitors: id and fault, none for most.
    pub(crate) monitors: Vec<(String, Option<String>)>,
}

impl Fleet {
    /// Every tenth monitor has one of [`FAULTS`].
    pub(crate) fn open(count: usize) -> Self {
        let faults = FAULTS.iter().flat_map(|fault| ["--fault", fault]);
        Self::with(
            count,
            &["--faulty-every", "10"].into_iter().chain(faults).collect::<Vec<_>>(),
        )
    }

    /// With these arguments to the simulator.
    pub(crate) fn with(count: usize, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("home");
        run(Command::new(program("zmon-station"))
            .args(["init", "--name", "Ward", "--home"])
            .arg(&home));
        let mut command = Command::new(program("zmon-provision"));
        command
            .args(["simulate-device", "--json", "--count", &count.to_string()])
            .args(arguments)
            .arg("--out")
            .arg(folder.path().join("fleet"))
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

    pub(crate) fn next(&self) -> Option<Value> {
        self.lines.recv_timeout(PATIENCE).ok()
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.folder.path().join("fleet")
    }

    pub(crate) fn station(&self) -> Command {
        let mut command = Command::new(program("zmon-station"));
        command.arg("--home").arg(self.folder.path().join("home"));
        command
    }

    /// Peak resident memory so far, in KiB.
    pub(crate) fn peak(&self) -> u64 {
        peak_of(self.simulator.id()).unwrap()
    }

    /// Waits until so many monitors have ended their sessions; gives each one's last status.
    pub(crate) fn outcomes(&self, ended: usize) -> Vec<(String, String)> {
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
    pub(crate) fn check(&self) {
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

/// Peak resident memory of a process so far, in KiB; none where it has ended.
pub(crate) fn peak_of(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}
