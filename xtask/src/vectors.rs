//! `cargo xtask vectors`: the device's checks over a file of test vectors.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};

use crate::process;
use crate::workspace::Workspace;

/// The file that is checked where nobody names another.
const OWN: &str = "tests/vectors/payload-v1.json";

/// Runs the checker; it prints one line for each case that went wrong and ends with `N of M`.
pub(crate) fn run(workspace: &Workspace, file: Option<PathBuf>) -> Result<ExitCode> {
    let file = file
        .or_else(|| process::variable("ZMON_VECTORS").map(PathBuf::from))
        .unwrap_or_else(|| workspace.root().join(OWN));
    let checker = workspace.build_binaries()?.join("vectors");
    let status = Command::new(&checker)
        .arg(file)
        .status()
        .with_context(|| format!("cannot start {}", checker.display()))?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
