//! `cargo xtask docs`: documents that fail when they lie.

mod links;
#[cfg(test)]
mod machine;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::process;
use crate::workspace::Workspace;

/// Set where the test of a generated document is to write it rather than to compare it.
const WRITE: &str = "XTASK_WRITE_DOCS";

/// Compares the documents with the repository and the code; the answer is a line for the person who asked.
///
/// # Errors
/// Everything that is not so.
pub(crate) fn check(workspace: &Workspace, commands: &[String]) -> Result<String> {
    process::run_quietly(&mut generated(workspace))?;
    let root = workspace.root();
    let mut faults = Vec::new();
    let documents = documents(root)?;
    let known = links::Known {
        root,
        commands,
        packages: &names(workspace),
    };
    for document in &documents {
        let text = std::fs::read_to_string(document).with_context(|| format!("cannot read {}", document.display()))?;
        let shown = document.strip_prefix(root).unwrap_or(document).display();
        faults.extend(
            known
                .faults(document, &text)
                .into_iter()
                .map(|(line, fault)| format!("{shown}:{line}: {fault}")),
        );
    }
    if !faults.is_empty() {
        bail!(
            "the documents do not agree with the repository:\n  {}",
            faults.join("\n  ")
        );
    }
    Ok(format!("docs: {} documents agree with the repository", documents.len()))
}

/// Writes what is generated; the answer is a line for the person who asked.
pub(crate) fn write(workspace: &Workspace) -> Result<String> {
    process::run_quietly(generated(workspace).env(WRITE, "1"))?;
    Ok("docs: wrote what is generated".to_owned())
}

/// The tests that compare generated documents with the code. They are tests because what they ask is for tests alone: the
/// test kit drives the state machine, and the adapters describe their interfaces.
fn generated(workspace: &Workspace) -> Command {
    let mut command = workspace.cargo("test");
    command.args([
        "--quiet",
        "--bin",
        "xtask",
        "--test",
        "documents",
        "--test",
        "manual",
        "--",
        "docs::machine",
        "generated::",
    ]);
    command
}

/// Every document that people read: at the root and below `docs`.
fn documents(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for folder in [root.to_owned(), root.join("docs")] {
        for entry in std::fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The names that documents may use for packages and programs of this workspace.
fn names(workspace: &Workspace) -> Vec<String> {
    workspace
        .packages()
        .iter()
        .flat_map(|package| {
            std::iter::once(package.name.to_string()).chain(package.targets.iter().map(|target| target.name.clone()))
        })
        .collect()
}
