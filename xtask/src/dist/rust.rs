//! Rust's standard library for a target: found, installed by rustup, or taken with its compiler from Debian.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use cargo_metadata::semver::Version;

use super::{PACKAGE, Target};
use crate::kit::{self, Kit};
use crate::process;
use crate::workspace::Workspace;

/// What a package is linked with, and they in turn.
const CLOSURE: [&str; 8] = [
    "depends",
    "--recurse",
    "--no-recommends",
    "--no-suggests",
    "--no-conflicts",
    "--no-breaks",
    "--no-replaces",
    "--no-enhances",
];

/// What compiles for a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Rust {
    /// The compiler that cargo finds.
    Found,
    /// Debian's, unpacked; started by this script.
    Debian(PathBuf),
}

impl Rust {
    /// Finds or installs it. `debian`: Debian's, whatever else there is.
    pub(super) fn prepare(workspace: &Workspace, target: Target, debian: bool) -> Result<Self> {
        if debian {
            return from_debian(workspace, target);
        }
        let triple = target.triple();
        if let Some(folder) = installed(target)? {
            println!("standard library: {}", folder.display());
            return Ok(Self::Found);
        }
        println!("standard library: rustup target add {triple}");
        let added = Command::new("rustup").args(["target", "add", triple]).status();
        if added.is_ok_and(|status| status.success()) {
            return Ok(Self::Found);
        }
        println!("standard library: rustup cannot add {triple}; Debian's packages may bring it");
        from_debian(workspace, target).with_context(|| {
            format!(
                "there is no standard library for {triple}: rustup cannot add it, and Debian's packages cannot take its \
                 place. Run `rustup target add {triple}` where rustup reaches its server"
            )
        })
    }

    /// Has cargo compile with it.
    pub(super) fn use_in(&self, command: &mut Command) {
        if let Self::Debian(rustc) = self {
            command.env("RUSTC", rustc);
        }
    }
}

/// Where the compiler that cargo finds has its standard library for the target.
fn installed(target: Target) -> Result<Option<PathBuf>> {
    let said = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", target.triple()])
        .output()
        .context("cannot start rustc")?;
    let folder = PathBuf::from(String::from_utf8_lossy(&said.stdout).trim());
    Ok((said.status.success() && folder.exists()).then_some(folder))
}

/// Debian's compiler for this machine with its standard libraries for this machine and for the target, unpacked below
/// `target/`. Nothing is installed.
fn from_debian(workspace: &Workspace, target: Target) -> Result<Rust> {
    let kit = Kit {
        folder: workspace.target().join("debian-rust").join(target.triple()),
        pins: Vec::new(),
        tools: &[("apt-get", &["--version"]), ("dpkg", &["--print-architecture"])],
        manner: format!("{}\n", needed(workspace)?),
        make: &|kit| make(&kit.folder, target, &needed(workspace)?),
    };
    kit.make()?;
    let rustc = kit.folder.join("rustc");
    let version = process::output(Command::new(&rustc).arg("--version"))?;
    println!(
        "standard library: Debian's, with {} in {}",
        version.trim(),
        kit.folder.display()
    );
    Ok(Rust::Debian(rustc))
}

/// The oldest Rust that the device's program can be built with.
fn needed(workspace: &Workspace) -> Result<Version> {
    let mut packages = workspace.packages().iter();
    let package = packages.find(|package| package.name == PACKAGE);
    package
        .and_then(|package| package.rust_version.clone())
        .with_context(|| format!("{PACKAGE} names no rust-version"))
}

/// Downloads and unpacks the packages, and leaves a script `rustc`.
fn make(folder: &Path, target: Target, needed: &Version) -> Result<()> {
    let host = process::output(Command::new("dpkg").arg("--print-architecture"))?;
    let apt = Apt::new(&folder.join("apt"), host.trim(), target.architecture())?;
    apt.run("apt-get", &["update"])?;
    let library = format!("libstd-rust-web-dev:{}", target.architecture());
    let shown = apt.run("apt-cache", &["show", "--no-all-versions", &library])?;
    let version = version(&shown).with_context(|| format!("Debian tells no version of {library}"))?;
    let (major, minor) = release(version).with_context(|| format!("{version} is no version of Rust"))?;
    ensure!(
        (major, minor) >= (needed.major, needed.minor),
        "Debian has Rust {version} for {}, and the device's program needs {needed} or newer",
        target.architecture()
    );
    let of_one_source = ["rustc-web", "libstd-rust-web-dev", &library].map(|name| format!("{name}={version}"));
    let linked = apt.run(
        "apt-cache",
        &[&CLOSURE[..], &[&format!("libstd-rust-web-{major}.{minor}")]].concat(),
    )?;
    let mut download = vec!["download"];
    download.extend(of_one_source.iter().map(String::as_str));
    download.extend(names(&linked));
    let packages = apt.folder.join("packages");
    fs::create_dir(&packages)?;
    kit::quietly(apt.command("apt-get").args(download).current_dir(&packages))?;
    let unpacked = folder.join("unpacked");
    for package in fs::read_dir(&packages)? {
        kit::quietly(Command::new("dpkg").arg("-x").args([&package?.path(), &unpacked]))?;
    }
    fs::remove_dir_all(&apt.folder)?;
    let libraries = unpacked.join("usr/lib");
    let script = format!(
        "#!/bin/sh\nLD_LIBRARY_PATH='{0}':\"$(echo '{0}'/*-linux-gnu)\" exec '{1}' \"$@\"\n",
        libraries.display(),
        unpacked.join("usr/bin/rustc").display()
    );
    let rustc = folder.join("rustc");
    fs::write(&rustc, script)?;
    Ok(fs::set_permissions(&rustc, fs::Permissions::from_mode(0o755))?)
}

/// The packages in what apt tells of dependencies, but for the C library: this machine has one.
fn names(told: &str) -> impl Iterator<Item = &str> {
    told.lines()
        .filter(|line| line.starts_with(|first: char| first.is_ascii_lowercase()) && *line != "libc6")
}

/// The version of a package that apt shows.
fn version(shown: &str) -> Option<&str> {
    shown.lines().find_map(|line| line.strip_prefix("Version: "))
}

/// Of a package's version such as `1.96.0+dfsg1-1~deb12u2`, the first two numbers.
fn release(version: &str) -> Option<(u64, u64)> {
    let mut numbers = version.split('.').map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

/// The machine's own sources and keys, with lists and downloads in a folder, for two architectures, as if nothing were
/// installed.
struct Apt {
    folder: PathBuf,
}

impl Apt {
    fn new(folder: &Path, host: &str, target: &str) -> Result<Self> {
        for part in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(folder.join(part))?;
        }
        fs::write(folder.join("status"), "")?;
        let place = folder.display();
        let configuration = format!(
            "APT::Architecture \"{host}\";\nAPT::Architectures {{ \"{host}\"; \"{target}\"; }};\n\
             APT::Sandbox::User \"root\";\nDir::State \"{place}\";\nDir::State::lists \"lists\";\n\
             Dir::State::status \"{place}/status\";\nDir::Cache \"{place}/cache\";\n"
        );
        fs::write(folder.join("apt.conf"), configuration)?;
        Ok(Self {
            folder: folder.to_owned(),
        })
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env("APT_CONFIG", self.folder.join("apt.conf"))
            .env("LC_ALL", "C");
        command
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Result<String> {
        process::output(self.command(program).args(arguments))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_what_apt_tells() {
        assert_eq!(
            version("Package: a\nVersion: 1.96.0+dfsg1-1~deb12u2\n"),
            Some("1.96.0+dfsg1-1~deb12u2")
        );
        assert_eq!(release("1.96.0+dfsg1-1~deb12u2"), Some((1, 96)));
        assert_eq!(release("none"), None);
        let told =
            "libstd-rust-web-1.96\n  Depends: libc6\n  Depends: libllvm22\nlibc6\n |Depends: a\n<virtual>\nlibllvm22\n";
        assert_eq!(names(told).collect::<Vec<_>>(), ["libstd-rust-web-1.96", "libllvm22"]);
    }
}
