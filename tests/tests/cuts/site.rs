//! The device's own program, commissioned in a folder of its own. Its state is put there and taken away by the test.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use zmon_domain::qr::QrFields;
use zmon_payload_envelope::TrustAnchor;
use zmon_testkit::https_client::{HttpAnswer, HttpsClient};
use zmon_tests::programs::{free_port, program};
use zmon_tests::qr;
use zmon_tests::station::Station;

use crate::trace::Tracer;

pub(crate) const DEVICE: &str = "ZM-ICU-MON-04";
const PROGRAM: &str = "zmon-provision";
const PIN: &str = "cuts-pin-7203";
/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The program has ended: what was asked of it will never be answered.
#[derive(Debug)]
pub(crate) struct Ended;

pub(crate) struct Site {
    directory: TempDir,
    runtime: Runtime,
}

impl Site {
    pub(crate) fn new(station: &Station) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let site = Self {
            directory,
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap(),
        };
        let TrustAnchor::Hmac { device_key } = station.key.trust_anchor() else {
            panic!("these stations have derived keys");
        };
        site.write("trust", &Base64UrlUnpadded::encode_string(device_key.expose()));
        let port = free_port();
        let here = site.directory.path().display();
        site.write(
            "config.toml",
            &format!(
                "[device]\nid = \"{DEVICE}\"\nserial_number = \"S1\"\naddress = \"127.0.0.1\"\n[listener]\nport = {port}\n\
                 [store]\npath = \"{here}/state/store.db\"\nkey_file = \"{here}/state/store.key\"\n\
                 [trust]\nhmac_key_file = \"{here}/trust\"\n[control]\nsocket = \"{here}/control.sock\"\n\
                 [admin]\npin_hash_file = \"{here}/pin.hash\"\n"
            ),
        );
        site.write("pin", PIN);
        let set_pin = site
            .command(&["admin", "set-pin", "--pin-file"])
            .arg(site.path("pin"))
            .output();
        assert!(set_pin.unwrap().status.success());
        site
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Where database and key are.
    pub(crate) fn state(&self) -> PathBuf {
        self.path("state")
    }

    fn write(&self, name: &str, text: &str) {
        let mut options = fs::OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o600).open(self.path(name));
        file.unwrap().write_all(text.as_bytes()).unwrap();
    }

    fn arguments(&self, arguments: &[&str]) -> Vec<String> {
        let config = self.path("config.toml");
        let mut all = vec!["--config".to_owned(), config.to_str().unwrap().to_owned()];
        all.extend(arguments.iter().map(ToString::to_string));
        all
    }

    /// The program with this site's configuration.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program(PROGRAM));
        command.env_clear().args(self.arguments(arguments)).stdin(Stdio::null());
        command
    }

    /// Runs the service, with somebody who watches or disturbs its system calls.
    pub(crate) fn serve(&self, tracer: Option<&Tracer>) -> Service {
        self.run(&["serve"], tracer)
    }

    /// Runs any command of the program, as [`Self::serve`].
    pub(crate) fn run(&self, arguments: &[&str], tracer: Option<&Tracer>) -> Service {
        let _ = fs::remove_file(self.path("control.sock"));
        let mut command = match tracer {
            None => self.command(arguments),
            Some(tracer) => {
                let mut command = tracer.command(&program(PROGRAM));
                command.args(self.arguments(arguments));
                command
            }
        };
        Service::start(
            command
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::piped()),
        )
    }

    /// Opens pairing and reads the picture as a scanner does.
    pub(crate) fn pair(&self) -> Result<QrFields, Ended> {
        let opened = self.open_pairing()?;
        assert_eq!(opened.status, 201, "{}", opened.json());
        self.scan()
    }

    pub(crate) fn open_pairing(&self) -> Result<HttpAnswer, Ended> {
        self.control("POST", "/v1/pairing", "{}")
    }

    /// Reads the picture on the screen.
    pub(crate) fn scan(&self) -> Result<QrFields, Ended> {
        let picture = self.control("GET", "/v1/pairing/qr.png", "")?;
        Ok(qr::fields(&qr::text(&picture.body)))
    }

    /// Pushes to the session's listener; there is an answer, whole, or none.
    pub(crate) fn push(&self, qr: &QrFields, body: Vec<u8>) -> Result<HttpAnswer, Ended> {
        let client = HttpsClient::new(qr.pin);
        let push = client.push((qr.ip_address, qr.port).into(), body);
        let answer = self
            .runtime
            .block_on(async { tokio::time::timeout(PATIENCE, push).await });
        answer.expect("an answer, or a broken connection").map_err(|_| Ended)
    }

    pub(crate) fn deprovision(&self) -> Result<HttpAnswer, Ended> {
        self.control("POST", "/v1/deprovision", &format!("{{\"pin\":\"{PIN}\"}}"))
    }

    pub(crate) fn cancel(&self) -> Result<HttpAnswer, Ended> {
        self.control("DELETE", "/v1/pairing", "")
    }

    /// Any document of the control socket.
    pub(crate) fn get(&self, path: &str) -> Result<HttpAnswer, Ended> {
        self.control("GET", path, "")
    }

    pub(crate) fn rotate_key(&self) -> Result<HttpAnswer, Ended> {
        self.control("POST", "/v1/store/rotate-key", "")
    }

    /// Where the service says that the device stands, and what it warns of; nothing where that is empty.
    pub(crate) fn status_and_warning(&self) -> Result<(String, String), Ended> {
        let status = self.control("GET", "/v1/status", "")?.json();
        let warning = status["storageWarning"]["code"].as_str().unwrap_or_default();
        Ok((status["status"].as_str().unwrap().to_owned(), warning.to_owned()))
    }

    /// One request to the local API, which answers whole or not at all.
    fn control(&self, method: &str, path: &str, body: &str) -> Result<HttpAnswer, Ended> {
        let exchange = || {
            let mut stream = UnixStream::connect(self.path("control.sock"))?;
            stream.set_read_timeout(Some(PATIENCE))?;
            let length = body.len();
            stream.write_all(
                format!(
                    "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                     Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
                )
                .as_bytes(),
            )?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer)?;
            Ok::<_, std::io::Error>(answer)
        };
        let answer = exchange().map_err(|_| Ended)?;
        let parsed = HttpAnswer::parse(&answer).ok_or(Ended)?;
        if parsed.header("content-length").parse() == Ok(parsed.body.len()) {
            Ok(parsed)
        } else {
            Err(Ended)
        }
    }

    pub(crate) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }
}

/// What `to` holds is replaced by a copy of what `from` holds.
pub(crate) fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    fs::DirBuilder::new().mode(0o700).create(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// A running program; killed when dropped.
pub(crate) struct Service {
    child: Child,
    lines: Receiver<String>,
    log: Vec<String>,
}

impl Service {
    fn start(command: &mut Command) -> Self {
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
        Self {
            child,
            lines,
            log: Vec::new(),
        }
    }

    /// Waits until it says that it is ready, and gives the status that it says it is in.
    pub(crate) fn ready(&mut self) -> Result<String, Ended> {
        loop {
            // The lines end with the process.
            let line = self.lines.recv().map_err(|_| Ended)?;
            let said: Value = serde_json::from_str(&line).unwrap_or_default();
            self.log.push(line);
            if said["message"] == "ready" {
                return Ok(said["status"].as_str().unwrap().to_owned());
            }
        }
    }

    /// Asks it to stop, as systemd does, and waits until it is gone.
    pub(crate) fn stop(&mut self) {
        let pid = self.child.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &pid]).status();
        self.wait();
    }

    /// Waits until it is gone by itself, and gives its exit code where it had one.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        let code = self.child.wait().unwrap().code();
        self.log.extend(self.lines.iter());
        code
    }

    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        self.wait();
    }

    /// The same, while it is running.
    pub(crate) fn log_so_far(&mut self) -> String {
        self.log.extend(self.lines.try_iter());
        self.log()
    }

    /// What it has written to its log.
    pub(crate) fn log(&self) -> String {
        self.log.join("\n")
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
