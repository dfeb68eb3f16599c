//! The cross compiler: installed, and said.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::kit::{Kit, make_python};
use crate::workspace::Workspace;

/// A folder with `cargo-zigbuild` and zig.
pub(super) struct Tools {
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
