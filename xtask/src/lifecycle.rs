//! `cargo xtask lifecycle`: installs, starts, upgrades and purges the Debian package in a container with systemd as its first process.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::dist::{Package, Source};
use crate::kit::{self, Kit};
use crate::workspace::Workspace;
use crate::{manual, process};

/// What the container has beside a minimal Debian.
const PACKAGES: &str = "adduser,init-system-helpers,procps,systemd";
/// The trial runs once, after everything else has started, and ends the container.
const UNIT: &str = "[Unit]\nAfter=basic.target systemd-journald.service\nSuccessAction=poweroff-force\nFailureAction=poweroff-force\n\
                    [Service]\nType=oneshot\nTimeoutStartSec=300\nExecStart=/trial/trial\n\
                    StandardOutput=file:/trial/output\nStandardError=inherit\n";

/// What came of it.
pub(crate) enum Outcome {
    /// It ran; so many things were checked.
    Passed(usize),
    /// This machine cannot run it, and why.
    Impossible(String),
}

/// Runs the trial; prints what it checked.
///
/// # Errors
/// Where the package does not do what it should.
pub(crate) fn run(workspace: &Workspace) -> Result<Outcome> {
    if let Some(missing) = missing() {
        return Ok(Outcome::Impossible(missing));
    }
    let folder = workspace.target().join("lifecycle");
    fs::create_dir_all(&folder)?;
    let Some(codename) = codename() else {
        return Ok(Outcome::Impossible("this machine is no Debian".into()));
    };
    let debian = Kit {
        folder: folder.join("debian"),
        pins: Vec::new(),
        tools: &[("debootstrap", &["--version"])],
        manner: format!("{codename} {PACKAGES}\n"),
        make: &|kit| {
            kit::quietly(
                Command::new("debootstrap")
                    .arg("--variant=minbase")
                    .arg(format!("--include={PACKAGES}"))
                    .arg(&codename)
                    .arg(kit.folder.join("root")),
            )
        },
    };
    if let Some(reason) = debian.prepare()? {
        return Ok(Outcome::Impossible(reason));
    }
    let programs = workspace.build_binaries()?;
    let place = tempfile::tempdir_in(&folder)?;
    let (root, trial) = (place.path().join("root"), place.path().join("trial"));
    process::run_quietly(Command::new("cp").arg("-a").args([&debian.folder.join("root"), &root]))?;
    fs::create_dir(&trial)?;
    packages(workspace, &programs, &trial)?;
    fs::copy(programs.join("zmon-station"), trial.join("zmon-station"))?;
    fs::copy(workspace.root().join("deploy/debian/trial"), trial.join("trial"))?;
    let units = root.join("etc/systemd/system");
    fs::write(units.join("trial.service"), UNIT)?;
    let wanted = units.join("multi-user.target.wants");
    fs::create_dir_all(&wanted)?;
    std::os::unix::fs::symlink("../trial.service", wanted.join("trial.service"))?;
    // Systemd in a container has to find that it is nobody's guest.
    let booted = Command::new("systemd-nspawn")
        .args(["--quiet", "--boot", "--register=no", "--keep-unit", "--private-network"])
        .arg(format!("--directory={}", root.display()))
        .arg(format!("--bind={}:/trial", trial.display()))
        .stdin(Stdio::null())
        .output()
        .context("cannot start systemd-nspawn")?;
    let Ok(output) = fs::read_to_string(trial.join("output")) else {
        let said = [booted.stdout, booted.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        let last = said
            .lines()
            .rev()
            .find(|line| !line.trim().is_empty())
            .unwrap_or_default();
        return Ok(Outcome::Impossible(format!("no container can be booted here: {last}")));
    };
    print!("{output}");
    ensure!(output.lines().last() == Some("done"), "the package's trial failed");
    Ok(Outcome::Passed(
        output.lines().filter(|line| line.starts_with("ok: ")).count(),
    ))
}

/// What this machine lacks.
fn missing() -> Option<String> {
    if !rustix::process::getuid().is_root() {
        return Some("needs root".into());
    }
    ["debootstrap", "systemd-nspawn", "dpkg-deb"]
        .into_iter()
        .find(|tool| Command::new(tool).arg("--version").output().is_err())
        .map(|tool| format!("needs {tool}"))
}

/// This machine's version of Debian: programs built here run in a container of the same.
fn codename() -> Option<String> {
    let release = fs::read_to_string("/etc/os-release").ok()?;
    let value = |name: &str| release.lines().find_map(|line| line.strip_prefix(name));
    (value("ID=")? == "debian").then_some(value("VERSION_CODENAME=")?.to_owned())
}

/// The programs of this workspace as two versions of a package for this machine.
fn packages(workspace: &Workspace, programs: &Path, trial: &Path) -> Result<()> {
    let program = trial.join("zmon-provision");
    process::run_quietly(
        Command::new("strip")
            .arg("-o")
            .args([&program, &programs.join("zmon-provision")]),
    )?;
    let architecture = process::output(Command::new("dpkg").arg("--print-architecture"))?;
    let source = Source::read(workspace)?;
    manual::write(workspace)?;
    for (version, name) in [("0.1.0", "first.deb"), ("0.1.1", "second.deb")] {
        let package = Package {
            architecture: architecture.trim(),
            version,
            program: &program,
            materials: None,
            seconds: &source.seconds,
        };
        fs::rename(package.write(workspace, trial)?, trial.join(name))?;
    }
    Ok(())
}
