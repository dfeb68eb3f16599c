//! `cargo xtask dist`: the device's program for ARM, built, inspected and named by version and commit.

mod openssl;
mod package;
mod rust;
mod sbom;
mod tools;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use cargo_metadata::Metadata;
use clap::ValueEnum;

use crate::inspect::{self, Expectations};
use crate::manual;
use crate::process::{self, Stopwatch};
use crate::workspace::Workspace;
use openssl::Openssl;
pub(crate) use package::Package;
use rust::Rust;
use tools::Tools;

/// The oldest glibc that a device may have: Debian 11.
const GLIBC: &str = "2.31";
/// What is built.
const PACKAGE: &str = "zmon-app";
const PROGRAM: &str = "zmon-provision";
/// How C code is compiled. Nothing unwinds through it.
const C_FLAGS: &str = "-fstack-protector-strong -D_FORTIFY_SOURCE=2 -fno-asynchronous-unwind-tables -fno-unwind-tables";
/// What SQLite need not do for us.
const WITHOUT_SQLITE: [&str; 5] = ["FTS3", "FTS3_PARENTHESIS", "FTS5", "RTREE", "DBSTAT_VTAB"];
/// Its bill of materials, beside it.
const MATERIALS: &str = "zmon-provision.cdx.json";
/// How cargo builds it.
const PROFILE: &str = "dist";

/// A kind of device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Target {
    /// 64-bit ARM: Raspberry Pi 4 with a 64-bit system.
    Aarch64,
    /// 32-bit ARM with hardware floating point.
    Armv7,
}

impl Target {
    pub(crate) const fn triple(self) -> &'static str {
        match self {
            Self::Aarch64 => "aarch64-unknown-linux-gnu",
            Self::Armv7 => "armv7-unknown-linux-gnueabihf",
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Aarch64 => "aarch64",
            Self::Armv7 => "armv7",
        }
    }

    /// Debian's name of it.
    const fn architecture(self) -> &'static str {
        match self {
            Self::Aarch64 => "arm64",
            Self::Armv7 => "armhf",
        }
    }

    /// The committed expectations of its program.
    pub(crate) fn expectations(self, workspace: &Workspace) -> Result<Expectations> {
        Expectations::read(&workspace.root().join("deploy/inspect.toml"), self.name())
    }

    /// Where `dist` leaves its program.
    pub(crate) fn program(self, workspace: &Workspace) -> PathBuf {
        folder(workspace).join(self.triple()).join(PROGRAM)
    }
}

/// What `cargo xtask dist` leaves.
fn folder(workspace: &Workspace) -> PathBuf {
    workspace.target().join("dist")
}

/// What it takes to build for some kinds of device.
pub(crate) struct Toolchain {
    tools: Tools,
    targets: Vec<(Target, Rust)>,
}

impl Toolchain {
    /// Finds or installs it, and says so. `debian`: with Debian's Rust.
    pub(crate) fn prepare(workspace: &Workspace, targets: &[Target], debian: bool) -> Result<Self> {
        let rust = |target: &Target| Ok((*target, Rust::prepare(workspace, *target, debian)?));
        Ok(Self {
            tools: Tools::prepare(workspace)?,
            targets: targets.iter().map(rust).collect::<Result<_>>()?,
        })
    }
}

/// Builds for each target; with `twice` a second time in another folder, and compares every byte.
pub(crate) fn run(workspace: &Workspace, toolchain: &Toolchain, twice: bool) -> Result<String> {
    let source = Source::read(workspace)?;
    manual::write(workspace)?;
    let mut report = Vec::new();
    for (target, rust) in &toolchain.targets {
        let metadata = workspace.resolved(target.triple())?;
        let build = |name| build(workspace, &toolchain.tools, rust, &metadata, &source, *target, name);
        let watch = Stopwatch::start();
        let built = build("build")?;
        let seconds = watch.elapsed().as_secs();
        if twice {
            let again = build("again")?;
            ensure!(
                fs::read(&built)? == fs::read(&again)?,
                "{} and {} differ: the build is not reproducible",
                built.display(),
                again.display()
            );
        }
        let program = target.program(workspace);
        let folder = program.parent().context("a program is in a folder")?;
        fs::create_dir_all(folder)?;
        fs::copy(&built, &program).with_context(|| format!("cannot write {}", program.display()))?;
        let materials = folder.join(MATERIALS);
        fs::write(&materials, sbom::write(workspace, &metadata, &source, *target)?)?;
        let package = Package {
            architecture: target.architecture(),
            version: env!("CARGO_PKG_VERSION"),
            program: &program,
            materials: Some(&materials),
            seconds: &source.seconds,
        };
        println!("packed {}", package.write(workspace, folder)?.display());
        println!(
            "built {} in {seconds} s{}",
            program.display(),
            if twice { ", twice the same" } else { "" }
        );
        match emulate(workspace, *target) {
            Ok(script) => println!("to see it here: cargo xtask demo --device {}", script.display()),
            Err(missing) => println!("it cannot be run here: {missing:#}"),
        }
        report.push(inspect(workspace, *target)?);
    }
    Ok(report.join("\n"))
}

/// Compares what `dist` left for this target with its expectations.
pub(crate) fn inspect(workspace: &Workspace, target: Target) -> Result<String> {
    let program = target.program(workspace);
    ensure!(
        program.exists(),
        "there is no {}; build it with `cargo xtask dist --target {}`",
        program.display(),
        target.name()
    );
    inspect::check(&program, &target.expectations(workspace)?, &builder(workspace)?)
}

/// What is built: which commit, and when it was made.
pub(crate) struct Source {
    commit: String,
    /// Since 1970.
    pub(crate) seconds: String,
}

impl Source {
    pub(crate) fn read(workspace: &Workspace) -> Result<Self> {
        let git = |arguments: &[&str]| {
            let said = process::output(Command::new("git").arg("-C").arg(workspace.root()).args(arguments));
            Ok::<_, anyhow::Error>(said.context("git cannot tell the commit")?.trim().to_owned())
        };
        let mut commit = git(&["rev-parse", "--short=12", "HEAD"])?;
        if !git(&["status", "--porcelain", "--untracked-files=no"])?.is_empty() {
            commit += "-changed";
        }
        Ok(Self {
            commit,
            seconds: git(&["log", "-1", "--format=%ct"])?,
        })
    }
}

/// Builds the program below `target/dist/NAME`.
fn build(
    workspace: &Workspace,
    tools: &Tools,
    rust: &Rust,
    metadata: &Metadata,
    source: &Source,
    target: Target,
    name: &str,
) -> Result<PathBuf> {
    let built = folder(workspace).join(name);
    let openssl = Openssl::prepare(tools, metadata, target, &built)?;
    let mut remap = String::new();
    let mut prefixes = String::new();
    for (path, neutral) in paths(workspace, &built)? {
        remap += &format!(" --remap-path-prefix={path}={neutral}");
        prefixes += &format!(" -ffile-prefix-map={path}={neutral}");
    }
    let mut command = workspace.plain_cargo("zigbuild");
    tools.use_in(&mut command, &[]);
    openssl.use_in(&mut command, target);
    rust.use_in(&mut command);
    command
        .args([
            "--no-default-features",
            "--profile",
            PROFILE,
            "--locked",
            "-p",
            PACKAGE,
            "--bin",
            PROGRAM,
            "--target",
        ])
        .arg(format!("{}.{GLIBC}", target.triple()))
        .env("CARGO_TARGET_DIR", &built)
        .env("SOURCE_DATE_EPOCH", &source.seconds)
        .env("ZMON_COMMIT", &source.commit)
        .env("RUSTFLAGS", remap.trim())
        .env(
            format!("CFLAGS_{}", target.triple().replace('-', "_")),
            format!("{C_FLAGS}{prefixes}"),
        )
        .env(
            "LIBSQLITE3_FLAGS",
            WITHOUT_SQLITE.map(|what| format!("-USQLITE_ENABLE_{what}")).join(" "),
        );
    process::run(&mut command)?;
    Ok(built.join(target.triple()).join(PROFILE).join(PROGRAM))
}

/// Paths of this machine that compilers write into what they make, and what stands there instead.
fn paths(workspace: &Workspace, built: &Path) -> Result<Vec<(String, &'static str)>> {
    let text = |path: &Path| {
        path.to_str()
            .map(str::to_owned)
            .with_context(|| format!("{} is no UTF-8", path.display()))
    };
    // The last that fits counts.
    Ok(vec![
        (text(workspace.root())?, "/zmon"),
        (text(built)?, "/build"),
        (text(&cargo_home()?)?, "/cargo"),
    ])
}

/// None of these may stand in a program.
fn builder(workspace: &Workspace) -> Result<Vec<String>> {
    let paths = paths(workspace, &folder(workspace))?;
    let mut builder: Vec<_> = paths.into_iter().map(|(path, _)| path).collect();
    builder.extend(
        process::variable("HOME")
            .and_then(|home| home.into_string().ok())
            .map(|home| home + "/"),
    );
    Ok(builder)
}

fn cargo_home() -> Result<PathBuf> {
    process::variable("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| process::variable("HOME").map(|home| Path::new(&home).join(".cargo")))
        .context("neither CARGO_HOME nor HOME is set")
}

/// Leaves a script beside the program that runs it on this machine, by emulation.
pub(crate) fn emulate(workspace: &Workspace, target: Target) -> Result<PathBuf> {
    let (emulator, libraries) = match target {
        Target::Aarch64 => ("qemu-aarch64-static", "/usr/aarch64-linux-gnu"),
        Target::Armv7 => ("qemu-arm-static", "/usr/arm-linux-gnueabihf"),
    };
    ensure!(
        Command::new(emulator).arg("--version").output().is_ok() && Path::new(libraries).exists(),
        "{emulator} or {libraries} is missing (Debian: qemu-user-static, libc6-arm64-cross, libc6-armhf-cross)"
    );
    let program = target.program(workspace);
    let script = program.with_file_name("emulated");
    fs::write(
        &script,
        format!(
            "#!/bin/sh\nexec {emulator} -L {libraries} {} \"$@\"\n",
            program.display()
        ),
    )?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    Ok(script)
}
