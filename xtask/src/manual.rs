//! `cargo xtask man`: what is made from the programs' command lines, for packages.

use anyhow::Result;

use crate::process;
use crate::workspace::Workspace;

/// Tells the test that makes them where to put them.
const OUT: &str = "XTASK_MANUAL";

/// Writes man pages and completions; the answer is a line for the person who asked.
///
/// # Errors
/// Where they cannot be made, or a formatter or a shell does not understand one.
pub(crate) fn write(workspace: &Workspace) -> Result<String> {
    let mut command = workspace.cargo("test");
    command.args(["--quiet", "--test", "manual", "--", "made::"]);
    process::run_quietly(command.env(OUT, workspace.target()))?;
    let target = workspace.target().display();
    Ok(format!(
        "man: man pages are in {target}/man, completions in {target}/completions"
    ))
}
