//! The device of the demonstration: a folder with its files, and the real program.

use std::fs::File;
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::Interrupt;
use super::sockets;
use crate::process::{self, Stopwatch};

/// The id of the demonstration's monitor.
pub(super) const DEVICE_ID: &str = "ZM-DEMO-01";
/// How long a start or a stop may take.
const PATIENCE: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(20);

/// A device that may or may not be running at the moment.
pub(super) struct Device {
    program: PathBuf,
    folder: PathBuf,
    port: u16,
    own_group: bool,
    interrupt: Interrupt,
    running: Option<Child>,
}

impl Device {
    /// Writes the configuration of a device that has never run. `trust_key` is what `zmon-station derive` wrote.
    /// With `own_group` the device outlives whoever started it.
    pub(super) fn install(
        program: PathBuf,
        folder: &Path,
        trust_key: &Path,
        own_group: bool,
        interrupt: Interrupt,
    ) -> Result<Self> {
        std::fs::create_dir(folder)?;
        let port = free_port()?;
        let mut device = toml::Table::new();
        for (key, value) in [
            ("device.id", toml::Value::from(DEVICE_ID)),
            ("device.serial_number", "2026/0001".into()),
            ("device.address", "127.0.0.1".into()),
            ("listener.port", i64::from(port).into()),
            ("store.path", text(&folder.join("store.db"))?.into()),
            ("store.key_file", text(&folder.join("store.key"))?.into()),
            ("trust.hmac_key_file", text(trust_key)?.into()),
            ("control.socket", text(&folder.join("control.sock"))?.into()),
            (
                "application.provisioned_file",
                text(&folder.join("provisioned"))?.into(),
            ),
            ("log.format", "json".into()),
        ] {
            let (section, name) = key.split_once('.').context("a key has a section")?;
            device
                .entry(section)
                .or_insert_with(|| toml::Table::new().into())
                .as_table_mut()
                .context("a section is a table")?
                .insert(name.to_owned(), value);
        }
        std::fs::write(folder.join("config.toml"), device.to_string())?;
        Ok(Self {
            program,
            folder: folder.to_owned(),
            port,
            own_group,
            interrupt,
            running: None,
        })
    }

    /// Its program.
    pub(super) fn program(&self) -> &Path {
        &self.program
    }

    /// The port in its QR code.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Its configuration file.
    pub(super) fn configuration(&self) -> PathBuf {
        self.folder.join("config.toml")
    }

    /// Its log, of every run.
    pub(super) fn log(&self) -> PathBuf {
        self.folder.join("device.log")
    }

    /// The id of its process.
    pub(super) fn process(&self) -> Result<u32> {
        self.running
            .as_ref()
            .map(Child::id)
            .context("the device is not running")
    }

    /// Starts it and waits until it answers.
    pub(super) fn start(&mut self) -> Result<()> {
        let log = File::options().create(true).append(true).open(self.log())?;
        let mut command = self.command(&["serve"]);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        if self.own_group {
            command.process_group(0);
        }
        self.running = Some(command.spawn().context("cannot start the device")?);
        let watch = Stopwatch::start();
        while !self.run(&["status", "--json"])?.status.success() {
            if let Some(status) = self.running.as_mut().and_then(|child| child.try_wait().transpose()) {
                bail!("the device ended with {} before it was ready", status?);
            }
            if watch.elapsed() > PATIENCE {
                bail!("the device was not ready within {} s", PATIENCE.as_secs());
            }
            self.interrupt.pause(POLL)?;
        }
        Ok(())
    }

    /// Asks it to end, and waits until it has ended.
    pub(super) fn stop(&mut self) -> Result<ExitStatus> {
        let mut child = self.running.take().context("the device is not running")?;
        let ended = end(&mut child, &self.interrupt);
        if ended.is_err() {
            self.running = Some(child);
        }
        ended
    }

    /// Leaves it running.
    pub(super) fn leave(&mut self) {
        self.running = None;
    }

    /// Runs a command of the device's program to its end.
    pub(super) fn run(&self, arguments: &[&str]) -> Result<Output> {
        self.interrupt.check()?;
        self.command(arguments)
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("cannot run {}", self.program.display()))
    }

    /// What `status --json` says.
    pub(super) fn status(&self) -> Result<Value> {
        let output = self.run(&["status", "--json"])?;
        serde_json::from_slice(&output.stdout).with_context(|| {
            format!(
                "`status --json` did not answer JSON: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            )
        })
    }

    /// The ports that its process listens on.
    pub(super) fn open_ports(&self) -> Result<Vec<u16>> {
        Ok(sockets::listening_ports(self.process()?)?.into_iter().collect())
    }

    /// Every entry of its log with this message, oldest first.
    pub(super) fn logged(&self, message: &str) -> Result<Vec<Value>> {
        let log = std::fs::read_to_string(self.log())?;
        Ok(log
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter(|entry| entry["message"] == message)
            .collect())
    }

    /// How long the last act of this kind took, by its log entry.
    pub(super) fn measured(&self, message: &str) -> Result<Duration> {
        let entries = self.logged(message)?;
        entries
            .last()
            .and_then(elapsed)
            .ok_or_else(|| anyhow!("the device's log has no measured \"{message}\""))
    }

    /// The end of the log, for a person who looks for a fault.
    pub(super) fn log_tail(&self, lines: usize) -> String {
        let log = std::fs::read_to_string(self.log()).unwrap_or_default();
        let all: Vec<&str> = log.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--config").arg(self.configuration()).args(arguments);
        process::forget_configuration(&mut command);
        command
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        if let Some(mut child) = self.running.take() {
            // It is in the way of cleaning up; nothing in it is worth keeping.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The measured duration of a log entry.
pub(super) fn elapsed(entry: &Value) -> Option<Duration> {
    entry["elapsed_us"].as_u64().map(Duration::from_micros)
}

fn end(child: &mut Child, interrupt: &Interrupt) -> Result<ExitStatus> {
    kill_process(Pid::from_child(child), Signal::TERM).context("cannot ask the device to end")?;
    let watch = Stopwatch::start();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if watch.elapsed() > PATIENCE {
            bail!("the device did not end within {} s", PATIENCE.as_secs());
        }
        interrupt.pause(POLL)?;
    }
}

/// A port that nobody uses at this moment.
fn free_port() -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("no free port on 127.0.0.1")?;
    Ok(listener.local_addr()?.port())
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("the temporary folder's name is not UTF-8")
}
