//! The cross compiler and the standard library for a target: found or installed, and said.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::Target;
use crate::kit::{Kit, make_python};
use crate::workspace::Workspace;

/// A folder with `cargo-zigbuild` and zig.
pub(crate) struct Tools {
    programs: PathBuf,
}

impl Tools {
    /// Installs them from PyPI below `target/`, once for the same pins.
    pub(super) fn prepare(workspace: &Workspace) -> Result<Self> {
        let kit = Kit {
            folder: workspace.target().join("cross"),
            pins: vec![workspace.root().join("deploy/cross/requirements.txt")],
            tools: &[("python3", &["--version"])],
            manner: String::new(),
            make: &make_python,
        };
        kit.make()
            .context("the cross compiler cannot be installed; it takes python3 with venv and PyPI")?;
        println!("cross compiler: cargo-zigbuild and zig in {}", kit.folder.display());
        Ok(Self {
            programs: kit.folder.join("venv/bin"),
        })
    }

    /// Zig itself, as PyPI's package has it.
    pub(super) fn zig(&self) -> PathBuf {
        self.programs.join("python-zig")
    }

    /// Has `command` find them first, but for what is in `before`.
    pub(super) fn use_in(&self, command: &mut Command, before: &[&Path]) {
        let others = crate::process::variable("PATH").unwrap_or_default();
        let before = before.iter().map(|folder| folder.to_path_buf());
        let all = before.chain([self.programs.clone()]).chain(env::split_paths(&others));
        if let Ok(path) = env::join_paths(all) {
            command.env("PATH", path);
        }
    }
}

/// Has rustup install Rust's standard library for the target, where it is missing.
pub(super) fn standard_library(target: Target) -> Result<()> {
    let installed = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", target.triple()])
        .output()
        .context("cannot start rustc")?;
    let folder = PathBuf::from(String::from_utf8_lossy(&installed.stdout).trim());
    if installed.status.success() && folder.exists() {
        println!("standard library: {}", folder.display());
        return Ok(());
    }
    println!("standard library: rustup target add {}", target.triple());
    let added = Command::new("rustup").args(["target", "add", target.triple()]).status();
    ensure!(
        added.is_ok_and(|status| status.success()),
        "there is no standard library for {}, and rustup cannot add it. Install it with your distribution's Rust, or \
         where rustup reaches its server",
        target.triple()
    );
    Ok(())
}
