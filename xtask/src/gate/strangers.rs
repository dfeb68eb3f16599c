//! Python and JavaScript for the tests by strangers, and what drives a browser for those of the kiosk page: `python`,
//! `javascript` and `browser` below `target/strangers`.
//!
//! Made from the pins in `examples/`, `tests/strangers/` and `tests/kiosk/`, and again only when those change. Where it cannot be made, the folder holds a file
//! `missing` with the reason instead, and the tests that need it count as skipped.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::kit::{Kit, make_python, quietly, version};
use crate::workspace::Workspace;

/// Oldest Node whose cryptography npm `jose` of the pinned version needs.
const NODE: u32 = 20;
/// What both JavaScript kits are made with.
const NODE_AND_NPM: &[(&str, &[&str])] = &[("node", &["--version"]), ("npm", &["--version"])];

/// Makes what is missing or of other pins; says what there is.
pub(crate) fn prepare(workspace: &Workspace) -> Result<String> {
    let target = workspace.target().join("strangers");
    let examples = workspace.root().join("examples");
    let python = Kit {
        folder: target.join("python"),
        pins: vec![
            examples.join("python/requirements.txt"),
            workspace.root().join("tests/strangers/requirements.txt"),
        ],
        tools: &[("python3", &["--version"])],
        manner: String::new(),
        make: &make_python,
    };
    let javascript = Kit {
        folder: target.join("javascript"),
        pins: vec![
            examples.join("javascript/package.json"),
            examples.join("javascript/package-lock.json"),
        ],
        tools: NODE_AND_NPM,
        manner: String::new(),
        make: &make_javascript,
    };
    let kiosk = workspace.root().join("tests/kiosk");
    let browser = Kit {
        folder: target.join("browser"),
        pins: vec![kiosk.join("package.json"), kiosk.join("package-lock.json")],
        tools: NODE_AND_NPM,
        manner: String::new(),
        make: &make_javascript,
    };
    let said = |name: &str, kit: &Kit<'_>| {
        Ok::<_, anyhow::Error>(match kit.prepare()? {
            None => format!("{name} ready"),
            Some(reason) => format!("no {name}: {reason}"),
        })
    };
    Ok(format!(
        "{}, {}, {}",
        said("Python", &python)?,
        said("JavaScript", &javascript)?,
        said("driver of a browser", &browser)?
    ))
}

fn make_javascript(kit: &Kit<'_>) -> Result<()> {
    let found = version("node", &["--version"]).context("node is not installed")?;
    if major(&found).is_none_or(|major| major < NODE) {
        bail!("node is {}, version {NODE} or later is needed", found.trim());
    }
    for pin in &kit.pins {
        let name = pin.file_name().context("a pin is a file")?;
        fs::copy(pin, kit.folder.join(name))?;
    }
    quietly(Command::new("npm").current_dir(&kit.folder).args([
        "ci",
        "--silent",
        "--no-audit",
        "--no-fund",
        "--ignore-scripts",
    ]))
}

/// The first number of `v20.1.0`.
fn major(version: &str) -> Option<u32> {
    version.trim().strip_prefix('v')?.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_the_version_of_node() {
        assert_eq!(major("v20.20.2\n"), Some(20));
        assert_eq!(major("v8.1.0"), Some(8));
        assert_eq!(major("nothing"), None);
    }
}
