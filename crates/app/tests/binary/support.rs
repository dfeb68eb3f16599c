//! A device in a directory of its own, run by the real binary.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// How long anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A commissioned device that is not running.
pub(crate) struct Site {
    pub(crate) directory: TempDir,
    pub(crate) port: u16,
}

impl Site {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let site = Self { directory, port };
        let key = site.path("trust.key");
        fs::write(&key, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n").unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        let here = site.directory.path().display();
        let toml = format!(
            "[device]\nid = \"ZM-ICU-MON-04\"\nserial_number = \"SN-1\"\naddress = \"127.0.0.1\"\n\
             [listener]\nport = {port}\n\
             [store]\npath = \"{here}/store/store.db\"\nkey_file = \"{here}/store/store.key\"\n\
             [trust]\nhmac_key_file = \"{here}/trust.key\"\n\
             [control]\nsocket = \"{here}/control.sock\"\n\
             [application]\nsocket = \"{here}/application.sock\"\nprovisioned_file = \"{here}/provisioned\"\n\
             [admin]\npin_hash_file = \"{here}/admin.pin\"\n",
        );
        fs::write(site.path("config.toml"), toml).unwrap();
        site
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Where the QR code says that the device listens.
    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    pub(crate) fn port_is_open(&self) -> bool {
        TcpStream::connect(self.address()).is_ok()
    }

    /// A command line with this site's configuration.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = bare(&["--config", self.path("config.toml").to_str().unwrap()]);
        command.args(arguments);
        command
    }

    /// Exit code, standard output, standard error.
    pub(crate) fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        finish(self.command(arguments).output().unwrap())
    }

    /// The same, with something on standard input.
    pub(crate) fn run_with_input(&self, arguments: &[&str], input: &str) -> (i32, String, String) {
        let mut child = self.command(arguments).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        finish(child.wait_with_output().unwrap())
    }

    /// Starts the service and waits until it is ready.
    pub(crate) fn serve(&self) -> Device {
        self.serve_with(&[])
    }

    /// The same, with these variables in its environment.
    pub(crate) fn serve_with(&self, environment: &[(&str, &str)]) -> Device {
        let mut command = self.command(&["serve"]);
        command.stdout(Stdio::null()).envs(environment.iter().copied());
        let mut child = command.spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (send, lines) = channel();
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        let mut device = Device {
            child,
            lines,
            log: Vec::new(),
        };
        device.wait_for("ready");
        device
    }
}

/// The binary without a configuration, in an environment without one.
pub(crate) fn bare(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_zmon-provision"));
    command.args(arguments).env_clear();
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

pub(crate) fn finish(output: Output) -> (i32, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// A running service; killed when dropped.
pub(crate) struct Device {
    pub(crate) child: Child,
    lines: Receiver<String>,
    /// Every line so far.
    pub(crate) log: Vec<String>,
}

impl Device {
    /// The log line with this message; it has to come.
    pub(crate) fn wait_for(&mut self, message: &str) -> Value {
        loop {
            let line = self.lines.recv_timeout(PATIENCE).unwrap_or_else(|_| {
                panic!("no line says {message:?} in {:#?}", self.log);
            });
            let event: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("no JSON: {line}"));
            self.log.push(line);
            if event["message"] == message {
                return event;
            }
        }
    }

    /// Sends a signal, waits for the end, gives the exit code.
    pub(crate) fn stop(&mut self, signal: Signal) -> i32 {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        let code = self.child.wait().unwrap().code().expect("it has to exit by itself");
        self.log.extend(self.lines.iter());
        code
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
