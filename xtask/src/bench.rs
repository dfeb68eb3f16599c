//! `cargo xtask bench`: how long a device takes to be ready for pairing, and how much memory it holds then.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::process::{self, Stopwatch};
use crate::workspace::Workspace;

/// So often is each start measured.
const RUNS: usize = 30;
const START_GOAL: Duration = Duration::from_millis(50);
const MEMORY_GOAL_KIB: u64 = 16 * 1024;

/// Builds the program as a release for a device is built, but for this machine; starts it again and again.
pub(crate) fn run(workspace: &Workspace) -> Result<String> {
    process::run(workspace.plain_cargo("build").args([
        "--profile",
        "dist",
        "--locked",
        "--no-default-features",
        "-p",
        "zmon-app",
        "--bin",
        "zmon-provision",
    ]))?;
    let program = workspace.target().join("dist/zmon-provision");
    let (mut first, mut later) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let place = Place::new(&program)?;
        first.push(place.start()?);
        later.push(place.start()?);
    }
    Ok(format!(
        "{}\n{}\ngoals: {} ms, {} MiB; {RUNS} runs each; ready as told to systemd, memory as VmRSS and VmHWM at that moment",
        line("first start (makes keys and store)", first),
        line("later start", later),
        START_GOAL.as_millis(),
        MEMORY_GOAL_KIB / 1024
    ))
}

/// A device's files.
struct Place {
    folder: tempfile::TempDir,
    program: PathBuf,
}

#[derive(Clone, Copy)]
struct Measured {
    ready: Duration,
    resident_kib: u64,
    peak_kib: u64,
}

impl Place {
    fn new(program: &Path) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let at = |name: &str| folder.path().join(name).display().to_string();
        // Any key does: nobody is paired with.
        let key = folder.path().join("device.key");
        fs::write(&key, "A".repeat(43))?;
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600))?;
        fs::write(
            folder.path().join("config.toml"),
            format!(
                "device = {{ id = \"ZM-BENCH-01\", serial_number = \"2026/0001\", address = \"127.0.0.1\" }}\n\
                 store = {{ path = {:?}, key_file = {:?} }}\n\
                 trust.hmac_key_file = {:?}\n\
                 control.socket = {:?}\n\
                 application.provisioned_file = {:?}\n",
                at("store.db"),
                at("store.key"),
                at("device.key"),
                at("control.sock"),
                at("provisioned"),
            ),
        )?;
        Ok(Self {
            folder,
            program: program.to_owned(),
        })
    }

    /// Starts the service, waits until it says that it is ready, and ends it.
    fn start(&self) -> Result<Measured> {
        let told = self.folder.path().join("notify.sock");
        let socket = UnixDatagram::bind(&told)?;
        socket.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut command = Command::new(&self.program);
        command
            .arg("--config")
            .arg(self.folder.path().join("config.toml"))
            .arg("serve");
        process::forget_configuration(&mut command);
        command
            .env("NOTIFY_SOCKET", &told)
            .stdin(Stdio::null())
            .stderr(fs::File::create(self.folder.path().join("log"))?);
        let watch = Stopwatch::start();
        let mut child = command.spawn().context("cannot start the device")?;
        let measured = wait(&socket, &mut child, watch);
        // Where it is gone already, the fault was told above.
        let _ = kill_process(Pid::from_child(&child), Signal::TERM);
        let ended = child.wait()?;
        fs::remove_file(&told)?;
        let measured =
            measured.with_context(|| fs::read_to_string(self.folder.path().join("log")).unwrap_or_default())?;
        ensure!(ended.success(), "the device ended with {ended}");
        Ok(measured)
    }
}

fn wait(socket: &UnixDatagram, child: &mut Child, watch: Stopwatch) -> Result<Measured> {
    let mut message = [0; 4096];
    loop {
        let length = socket
            .recv(&mut message)
            .context("the device was not ready within ten seconds")?;
        if String::from_utf8_lossy(&message[..length])
            .lines()
            .any(|line| line == "READY=1")
        {
            let ready = watch.elapsed();
            let status = fs::read_to_string(format!("/proc/{}/status", child.id()))?;
            let kib = |name: &str| {
                let line = status.lines().find_map(|line| line.strip_prefix(name));
                let number = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
                number.with_context(|| format!("the kernel does not tell {name}"))
            };
            return Ok(Measured {
                ready,
                resident_kib: kib("VmRSS:")?,
                peak_kib: kib("VmHWM:")?,
            });
        }
        if let Some(status) = child.try_wait()? {
            bail!("the device ended with {status}");
        }
    }
}

fn line(what: &str, mut all: Vec<Measured>) -> String {
    all.sort_by_key(|one| one.ready);
    let (median, worst) = (all[all.len() / 2].ready, all[all.len() - 1].ready);
    let resident = all.iter().map(|one| one.resident_kib).max().unwrap_or_default();
    let peak = all.iter().map(|one| one.peak_kib).max().unwrap_or_default();
    let met = |good: bool| if good { "met" } else { "MISSED" };
    format!(
        "{what}: {:.1} ms median, {:.1} ms worst (goal {}), {:.1} MiB resident, {:.1} MiB at most (goal {})",
        median.as_secs_f64() * 1e3,
        worst.as_secs_f64() * 1e3,
        met(median <= START_GOAL),
        resident as f64 / 1024.0,
        peak as f64 / 1024.0,
        met(resident <= MEMORY_GOAL_KIB),
    )
}
