//! The two real programs with their files in one folder: a monitor that was commissioned by its station.
#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a helper of a test fails as the test itself"
)]

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use zmon_domain::time::Timestamp;
use zmon_sqlcipher_certstore::{FileKeySource, SqlcipherStore};

/// The monitor's id.
pub const DEVICE: &str = "ZM-CANARY-1";
/// The administrator's PIN.
pub const PIN: &str = "canary-pin-8251";

/// A program of this workspace, built beside the test that asks.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.ancestors().nth(2).unwrap().join(name);
    assert!(path.exists(), "build it first: cargo build --workspace --bins");
    path
}

/// A port of loopback that nobody listens at.
#[must_use]
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Runs a command that has to succeed.
pub fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", spoken(&output));
    output
}

/// What a program said, both ways.
#[must_use]
pub fn spoken(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

/// Standard output of a command that has to succeed.
#[must_use]
pub fn said(command: &mut Command) -> String {
    String::from_utf8(run(command).stdout).unwrap()
}

/// A monitor and its station, neither of them running.
pub struct Programs {
    directory: TempDir,
}

/// A running service; killed when dropped.
pub struct Service(pub Child);

impl Service {
    /// Starts it with `serve` and waits until `status` says that it answers; its log is added to a file.
    #[must_use]
    pub fn start(serve: &mut Command, status: &mut Command, log: &Path) -> Self {
        let file = fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        let service = Self(serve.stdout(Stdio::null()).stderr(file).spawn().unwrap());
        for _ in 0..1200 {
            if status.output().unwrap().status.success() {
                return service;
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        panic!("the service does not start: {}", fs::read_to_string(log).unwrap());
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Programs {
    /// The monitor application's group is this process's own.
    #[must_use]
    pub fn commissioned() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let group = fs::metadata(directory.path()).unwrap().gid();
        Self::with_group(directory, &group.to_string())
    }

    /// In this folder, with this group for the monitor application.
    #[must_use]
    pub fn with_group(directory: TempDir, group: &str) -> Self {
        let this = Self { directory };
        run(this.station().arg("init"));
        run(this
            .station()
            .args(["derive", DEVICE, "--out"])
            .arg(this.at("device.key")));
        let port = free_port();
        fs::create_dir(this.at("state")).unwrap();
        fs::create_dir(this.at("run")).unwrap();
        fs::set_permissions(this.at("state"), PermissionsExt::from_mode(0o700)).unwrap();
        let configuration = format!(
            "[device]\nid = \"{DEVICE}\"\nserial_number = \"S1\"\naddress = \"127.0.0.1\"\n[listener]\nport = {port}\n\
             [store]\npath = \"{0}/state/store.db\"\nkey_file = \"{0}/state/store.key\"\n\
             [trust]\nhmac_key_file = \"{0}/device.key\"\n[control]\nsocket = \"{0}/run/control.sock\"\n\
             [application]\ngroup = \"{group}\"\nsocket = \"{0}/run/application.sock\"\n\
             provisioned_file = \"{0}/run/provisioned\"\n\
             [admin]\npin_hash_file = \"{0}/state/pin.hash\"\n[log]\nlevel = \"trace\"\n",
            this.directory.path().display(),
        );
        fs::write(this.at("config.toml"), configuration).unwrap();
        fs::write(this.at("pin"), PIN).unwrap();
        run(this
            .device()
            .args(["admin", "set-pin", "--pin-file"])
            .arg(this.at("pin")));
        this
    }

    /// Adds lines to the monitor's configuration.
    pub fn configure(&self, toml: &str) {
        let path = self.at("config.toml");
        let before = fs::read_to_string(&path).unwrap();
        fs::write(path, before + toml).unwrap();
    }

    /// A file of the folder.
    #[must_use]
    pub fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The folder itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// `zmon-station`.
    #[must_use]
    pub fn station(&self) -> Command {
        let mut command = Command::new(program("zmon-station"));
        command.arg("--home").arg(self.at("station"));
        command
    }

    /// `zmon-provision`.
    #[must_use]
    pub fn device(&self) -> Command {
        let mut command = Command::new(program("zmon-provision"));
        command
            .arg("--config")
            .arg(self.at("config.toml"))
            .env("TMPDIR", self.at("state"));
        command
    }

    /// Starts the service and waits until it answers; its log is the file `log`.
    #[must_use]
    pub fn serve(&self) -> Service {
        Service::start(self.device().arg("serve"), self.device().arg("status"), &self.at("log"))
    }

    /// Opens pairing and pushes a configuration; the receipt is the file `name`.
    pub fn provision(&self, name: &str) {
        let png = self.at(&format!("{name}.png"));
        run(self.device().args(["pair", "--no-wait", "--png"]).arg(&png));
        let push = ["--server-url", "https://central.example.org", "--label", "CANARY LABEL"];
        run(self
            .station()
            .arg("provision")
            .arg(&png)
            .args(push)
            .arg("--receipt")
            .arg(self.at(name)));
    }

    /// The monitor's store, opened by the test; no service may run.
    pub async fn store(&self) -> SqlcipherStore {
        let keys = FileKeySource::new(self.at("state/store.key"));
        let at = Timestamp::from_millis(0);
        SqlcipherStore::open(&self.at("state/store.db"), &keys, at)
            .await
            .unwrap()
    }

    /// Takes everything away again.
    pub fn deprovision(&self) {
        run(self.device().args(["deprovision", "--pin-file"]).arg(self.at("pin")));
    }
}
