//! A running simulator and the station of its monitors.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use zmon_central_station::Fault;
use zmon_central_station::ca::{Issued, now};
use zmon_central_station::home::{AnchorKind, Home};
use zmon_central_station::payload::{DeviceConfiguration, Payload};
use zmon_central_station::push::{Answer, Patience, push};
use zmon_central_station::receipt::{Expected, check, receipt_key};
use zmon_central_station::scan::scan;
use zmon_domain::identity::DeviceId;
use zmon_domain::qr::QrFields;
use zmon_domain::settings::{DeviceLabel, Language, MeasurementUnit, ServerUrl, SyncInterval};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A simulator whose monitors are all open.
pub(crate) struct Simulator {
    child: Child,
    lines: Receiver<Value>,
    folder: TempDir,
    home: Home,
}

/// A sealed payload and where it goes.
pub(crate) struct Sealed {
    pub(crate) qr: QrFields,
    pub(crate) body: String,
    client: Issued,
}

impl Simulator {
    pub(crate) fn start(anchor: AnchorKind, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::create(&folder.path().join("home"), "Test", anchor).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_zmon-provision"));
        command.args(["simulate-device", "--json", "--out"]);
        command.arg(folder.path().join("fleet")).args(arguments).env_clear();
        match anchor {
            AnchorKind::Hmac => command
                .arg("--master-key-file")
                .arg(folder.path().join("home/provisioning-master.key")),
            AnchorKind::Ed25519 => {
                let line = home.trust_anchor_line(&DeviceId::parse("SIM").unwrap()).unwrap();
                fs::write(folder.path().join("public.key"), line.expose()).unwrap();
                command.arg("--trust-anchor").arg(folder.path().join("public.key"))
            }
        };
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (send, lines) = channel();
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if send.send(serde_json::from_str(&line).unwrap()).is_err() {
                    return;
                }
            }
        });
        let simulator = Self {
            child,
            lines,
            folder,
            home,
        };
        simulator.wait_for(|event| event["event"] == "ready");
        simulator
    }

    pub(crate) fn fleet(&self) -> PathBuf {
        self.folder.path().join("fleet")
    }

    /// The next event that is like this; it has to come.
    pub(crate) fn wait_for(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut seen = Vec::new();
        loop {
            let event = self
                .lines
                .recv_timeout(PATIENCE)
                .unwrap_or_else(|_| panic!("it never came; instead {seen:#?}"));
            if wanted(&event) {
                return event;
            }
            seen.push(event);
        }
    }

    pub(crate) fn wait_for_status(&self, device_id: &str, status: &str) -> Value {
        self.wait_for(|event| event["deviceId"] == device_id && event["status"] == status)
    }

    /// A good payload for the QR code that this monitor shows.
    pub(crate) fn seal(&self, device_id: &str) -> Sealed {
        let picture = fs::read(self.fleet().join(format!("{device_id}.png"))).unwrap();
        let scanned = scan(&picture).unwrap();
        let key = self.home.signing_key(scanned.claimed_device()).unwrap();
        let qr = scanned.verify(&key).unwrap();
        let ca = self.home.certificate_authority().unwrap();
        let configuration = DeviceConfiguration {
            server_url: ServerUrl::parse("https://central.ward.example").unwrap(),
            sync_interval: SyncInterval::from_seconds(10).unwrap(),
            device_label: DeviceLabel::parse("Simulated").unwrap(),
            measurement_unit: MeasurementUnit::parse("METRIC").unwrap(),
            language: Language::parse("EN").unwrap(),
            ca_certificate: ca.certificate_pem().into(),
            server_certificate: None,
        };
        let client = ca.issue_client(&qr.device_id).unwrap();
        let hour = Duration::from_secs(3600);
        let body = Payload::new(&qr, &configuration, &client, now(), hour)
            .seal(&key, &qr)
            .unwrap();
        Sealed { qr, body, client }
    }

    /// Panics unless the answer holds a genuine receipt.
    pub(crate) fn verify(&self, sealed: &Sealed, answer: Answer) {
        let Answer::Provisioned { receipt } = answer else {
            panic!("{answer:?}");
        };
        let device_id = &sealed.qr.device_id;
        let key = self.home.signing_key(device_id).unwrap();
        let key = receipt_key(&key, device_id, Some(&sealed.client.der)).unwrap();
        let expected = Expected {
            device_id,
            body: Some(sealed.body.as_bytes()),
            certificate_sha256: Some(sealed.client.sha256),
        };
        check(&receipt, &key, expected).unwrap();
    }

    /// Waits until it has ended by itself; gives what was said and not waited for, and its standard error.
    pub(crate) fn end(&mut self) -> (Vec<Value>, String) {
        let said = self.lines.iter().collect();
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
        let mut log = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        (said, log)
    }

    pub(crate) fn stop(&mut self, signal: Signal) -> (Vec<Value>, String) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        self.end()
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Sealed {
    pub(crate) async fn push(&self) -> Result<Answer, Fault> {
        push(&self.qr, self.body.as_bytes(), Patience::default()).await
    }

    /// The code and the HTTP status of the refusal.
    pub(crate) async fn refusal(&self) -> (String, u16) {
        match self.push().await.unwrap() {
            Answer::Refused(refusal) => (refusal.code, refusal.status),
            Answer::Provisioned { .. } => panic!("it is provisioned"),
        }
    }
}
