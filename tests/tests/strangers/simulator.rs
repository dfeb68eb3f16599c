//! Monitors that the device's own program simulates, with faults.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use zmon_tests::programs::program;
use zmon_tests::qr;

use crate::site::write_private;

/// Simulated monitors that show their QR codes.
pub(crate) struct Simulator {
    child: Child,
    folder: TempDir,
}

impl Simulator {
    /// For the station with this provisioning master key.
    pub(crate) fn start(master: &str, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("provisioning-master.key");
        write_private(&key, master);
        let mut command = Command::new(program("zmon-provision"));
        command
            .env_clear()
            .args(["simulate-device", "--json", "--out"])
            .arg(folder.path().join("fleet"))
            .arg("--master-key-file")
            .arg(key)
            .args(arguments);
        let log = folder.path().join("log");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).unwrap());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut events = lines.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
        assert!(
            events.any(|event| event["event"] == "ready"),
            "the monitors do not open: {}",
            fs::read_to_string(&log).unwrap()
        );
        // What follows is of no interest, but nobody shall wait for it to be read.
        std::thread::spawn(move || events.for_each(drop));
        Self { child, folder }
    }

    /// The text in a monitor's QR code.
    pub(crate) fn qr(&self, device_id: &str) -> String {
        qr::text_in(&self.picture(device_id))
    }

    fn picture(&self, device_id: &str) -> PathBuf {
        self.folder.path().join("fleet").join(format!("{device_id}.png"))
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
