//! OpenSSL for a device, from the source that the lock file names: what SQLCipher and the JOSE library need of it, without the
//! algorithms that nothing here uses and without a word about the machine that built it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use anyhow::{Context as _, Result};
use cargo_metadata::{Metadata, Package};

use super::{GLIBC, Target};
use crate::dist::tools::Tools;
use crate::kit::Kit;
use crate::process;

/// How it is built. `no-filenames` and the prefix keep paths out of it.
const OPTIONS: [&str; 12] = [
    "--prefix=/usr",
    "--openssldir=/etc/ssl",
    "no-shared",
    "no-module",
    "no-tests",
    "no-apps",
    "no-docs",
    "no-filenames",
    "-Os",
    "-fstack-protector-strong",
    // Nothing unwinds through C.
    "-fno-asynchronous-unwind-tables",
    "-fno-unwind-tables",
];
/// What no part of the device asks for. `autoload-config`: nothing of the system changes what it does.
const WITHOUT: [&str; 59] = [
    "afalgeng",
    "argon2",
    "aria",
    "async",
    "autoload-config",
    "bf",
    "blake2",
    "camellia",
    "cast",
    "chacha",
    "cmac",
    "cmp",
    "cms",
    "comp",
    "ct",
    "default-thread-pool",
    "des",
    "dh",
    "dsa",
    "dso",
    "dtls",
    "ec2m",
    "engine",
    "gost",
    "http",
    "idea",
    "legacy",
    "lms",
    "md4",
    "mdc2",
    "ml-dsa",
    "ml-kem",
    "multiblock",
    "nextprotoneg",
    "ocb",
    "ocsp",
    "poly1305",
    "psk",
    "quic",
    "rc2",
    "rc4",
    "rfc3779",
    "rmd160",
    "scrypt",
    "seed",
    "siphash",
    "siv",
    "slh-dsa",
    "sm2",
    "sm3",
    "sm4",
    "sock",
    "srp",
    "srtp",
    "thread-pool",
    "tls-deprecated-ec",
    "ts",
    "ui-console",
    "whirlpool",
];
/// In place of libssl: rustls is the one TLS library of the device. Whatever wants another does not link.
const NO_SSL: &str = "#include <openssl/crypto.h>\n#include <openssl/ssl.h>\n\
                      int OPENSSL_init_ssl(uint64_t options, const OPENSSL_INIT_SETTINGS *settings) {\n\
                      return OPENSSL_init_crypto(options, settings);\n}\n";
/// How that is compiled: without a word on where it was.
const NO_SSL_OPTIONS: [&str; 2] = ["-Os", "-g0"];

/// A folder with `include` and `lib`.
pub(super) struct Openssl(PathBuf);

impl Openssl {
    /// Builds it below `built`, unless it is there from the same source in the same way.
    pub(super) fn prepare(tools: &Tools, metadata: &Metadata, target: Target, built: &Path) -> Result<Self> {
        let package = package(metadata)?;
        let kit = Kit {
            folder: built.join("openssl").join(target.triple()),
            pins: Vec::new(),
            tools: &[("perl", &["-v"]), ("make", &["--version"])],
            manner: format!(
                "{} {OPTIONS:?} {WITHOUT:?} {NO_SSL:?} {NO_SSL_OPTIONS:?} {GLIBC}\n",
                package.version
            ),
            make: &|kit| {
                println!("OpenSSL {} for {}", package.version, target.triple());
                let sources = package.manifest_path.with_file_name("openssl").into_std_path_buf();
                make(tools, target, &sources, &kit.folder)
            },
        };
        kit.make()?;
        Ok(Self(kit.folder))
    }

    /// Has cargo's build scripts take it for `target`, and only for that.
    pub(super) fn use_in(&self, command: &mut Command, target: Target) {
        let prefix = target.triple().replace('-', "_").to_uppercase();
        command
            .env(format!("{prefix}_OPENSSL_DIR"), &self.0)
            .env(format!("{prefix}_OPENSSL_STATIC"), "1")
            .env(format!("{prefix}_OPENSSL_NO_VENDOR"), "1");
    }
}

/// Leaves `include` and `lib` in `folder`.
fn make(tools: &Tools, target: Target, sources: &Path, folder: &Path) -> Result<()> {
    let work = folder.join("work");
    fs::create_dir(&work).with_context(|| format!("cannot make {}", work.display()))?;
    compilers(tools, target, &work)?;
    let in_work = |program: &str| {
        let mut command = Command::new(program);
        tools.use_in(&mut command, &[&work]);
        // It keeps the date of its build: the same for every commit.
        command.current_dir(&work).env("SOURCE_DATE_EPOCH", "0");
        command
    };
    process::run_quietly(
        in_work("perl")
            .arg(sources.join("Configure"))
            .arg(configuration(target))
            .args(OPTIONS)
            .args(WITHOUT.map(|what| format!("no-{what}")))
            .envs([("CC", "device-cc"), ("AR", "device-ar"), ("RANLIB", "device-ranlib")]),
    )?;
    let jobs = format!("-j{}", thread::available_parallelism().map_or(1, usize::from));
    for goal in ["build_generated", "libcrypto.a"] {
        process::run_quietly(in_work("make").args([&jobs, goal]))?;
    }
    let headers = sources.join("include");
    fs::write(work.join("no-ssl.c"), NO_SSL)?;
    process::run_quietly(
        in_work("device-cc")
            .args(NO_SSL_OPTIONS)
            .args(["-c", "-Iinclude"])
            .arg(format!("-I{}", headers.display()))
            .arg("no-ssl.c"),
    )?;
    process::run_quietly(in_work("device-ar").args(["rcs", "libssl.a", "no-ssl.o"]))?;
    let (include, libraries) = (folder.join("include"), folder.join("lib"));
    fs::create_dir(&libraries)?;
    // Those that were generated go over those of the source.
    process::run_quietly(Command::new("cp").arg("-r").args([&headers, &include]))?;
    process::run_quietly(
        Command::new("cp")
            .arg("-r")
            .args([&work.join("include/openssl"), &include]),
    )?;
    for library in ["libcrypto.a", "libssl.a"] {
        fs::copy(work.join(library), libraries.join(library))?;
    }
    Ok(fs::remove_dir_all(&work)?)
}

/// The package that brings the source; its version's build number is OpenSSL's own version.
pub(super) fn package(metadata: &Metadata) -> Result<&Package> {
    let mut packages = metadata.packages.iter();
    let package = packages.find(|package| package.name == "openssl-src");
    package.context("no package brings OpenSSL")
}

/// OpenSSL's own name for the target.
const fn configuration(target: Target) -> &'static str {
    match target {
        Target::Aarch64 => "linux-aarch64",
        Target::Armv7 => "linux-armv4",
    }
}

/// The compiler for the device under names without a path: OpenSSL keeps its compiler's command line.
fn compilers(tools: &Tools, target: Target, folder: &Path) -> Result<()> {
    let (zig, cpu) = match target {
        Target::Aarch64 => ("aarch64-linux-gnu", ""),
        Target::Armv7 => ("arm-linux-gnueabihf", " -mcpu=generic+v7a+vfp3-d32+thumb2-neon"),
    };
    let zig_cc = format!("cc -target {zig}.{GLIBC}{cpu}");
    for (name, arguments) in [
        ("device-cc", zig_cc.as_str()),
        ("device-ar", "ar"),
        ("device-ranlib", "ranlib"),
    ] {
        let file = folder.join(name);
        let script = format!("#!/bin/sh\nexec '{}' {arguments} \"$@\"\n", tools.zig().display());
        fs::write(&file, script)?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}
