//! `cargo xtask docs`: documents that fail when they lie.

mod catalogue;
mod links;
#[cfg(test)]
mod machine;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::process;
use crate::workspace::Workspace;

/// Set where the test of a generated document is to write it rather than to compare it.
const WRITE: &str = "XTASK_WRITE_DOCS";

/// A document that is made from the code.
struct Generated {
    path: &'static str,
    text: String,
}

fn generated() -> Vec<Generated> {
    vec![Generated {
        path: "docs/error-catalogue.md",
        text: catalogue::document(),
    }]
}

/// Compares the documents with the repository and the code; the answer is a line for the person who asked.
///
/// # Errors
/// Everything that is not so.
pub(crate) fn check(workspace: &Workspace, commands: &[String]) -> Result<String> {
    let root = workspace.root();
    let generated = generated();
    let mut faults: Vec<String> = generated.iter().filter_map(|document| stale(root, document)).collect();
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
    let mut written = Vec::new();
    for document in generated() {
        std::fs::write(workspace.root().join(document.path), document.text)
            .with_context(|| format!("cannot write {}", document.path))?;
        written.push(document.path);
    }
    // A test writes this one: driving the state machine takes the test kit, which is for tests alone.
    process::run(
        workspace
            .cargo("test")
            .args(["--quiet", "--bin", "xtask", "docs::machine"])
            .env(WRITE, "1"),
    )?;
    written.push("docs/state-machine.md");
    Ok(format!("docs: wrote {}", written.join(", ")))
}

fn stale(root: &Path, document: &Generated) -> Option<String> {
    let committed = std::fs::read_to_string(root.join(document.path)).unwrap_or_default();
    (committed != document.text).then(|| {
        format!(
            "{}: is not what the code says; run `cargo xtask docs --write`",
            document.path
        )
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_notices_a_generated_document_that_is_not_what_the_code_says() {
        let root = tempfile::tempdir().unwrap();
        let document = Generated {
            path: "a.md",
            text: "new".to_owned(),
        };
        assert!(stale(root.path(), &document).is_some());
        std::fs::write(root.path().join("a.md"), "old").unwrap();
        assert!(stale(root.path(), &document).is_some());
        std::fs::write(root.path().join("a.md"), "new").unwrap();
        assert!(stale(root.path(), &document).is_none());
    }
}
