//! Python and JavaScript for the tests by strangers: `target/strangers/venv` and `target/strangers/javascript`.
//!
//! Made from the pins in `examples/` and `tests/strangers/`, and again only when those change. Where it cannot be made, the folder holds a file
//! `missing` with the reason instead, and the tests that need it count as skipped.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::workspace::Workspace;

/// Oldest Node whose cryptography npm `jose` of the pinned version needs.
const NODE: u32 = 20;

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
        make: make_python,
    };
    let javascript = Kit {
        folder: target.join("javascript"),
        pins: vec![
            examples.join("javascript/package.json"),
            examples.join("javascript/package-lock.json"),
        ],
        tools: &[("node", &["--version"]), ("npm", &["--version"])],
        make: make_javascript,
    };
    let said = |name: &str, kit: &Kit| {
        Ok::<_, anyhow::Error>(match kit.prepare()? {
            None => format!("{name} ready"),
            Some(reason) => format!("no {name}: {reason}"),
        })
    };
    Ok(format!(
        "{}, {}",
        said("Python", &python)?,
        said("JavaScript", &javascript)?
    ))
}

/// A folder of libraries, and what it is made from.
struct Kit {
    folder: PathBuf,
    pins: Vec<PathBuf>,
    tools: &'static [(&'static str, &'static [&'static str])],
    make: fn(&Kit) -> Result<()>,
}

impl Kit {
    /// The reason where it cannot be made; that is no failure of the gate.
    fn prepare(&self) -> Result<Option<String>> {
        let wanted = self.fingerprint()?;
        let made = self.folder.join("made-from");
        if fs::read_to_string(&made).is_ok_and(|found| found == wanted) {
            return Ok(None);
        }
        if self.folder.exists() {
            fs::remove_dir_all(&self.folder).with_context(|| format!("cannot remove {}", self.folder.display()))?;
        }
        fs::create_dir_all(&self.folder).with_context(|| format!("cannot make {}", self.folder.display()))?;
        let Err(error) = (self.make)(self) else {
            // Last of all: a folder that was left half-made is made anew.
            fs::write(&made, wanted)?;
            return Ok(None);
        };
        let reason = format!("{error:#}").replace('\n', " ");
        fs::write(self.folder.join("missing"), &reason)?;
        Ok(Some(reason))
    }

    /// The pins' texts and the tools' versions.
    fn fingerprint(&self) -> Result<String> {
        let mut all = String::new();
        for pin in &self.pins {
            all += &fs::read_to_string(pin).with_context(|| format!("cannot read {}", pin.display()))?;
        }
        for (tool, arguments) in self.tools {
            all += &version(tool, arguments).unwrap_or_default();
        }
        Ok(all)
    }
}

fn make_python(kit: &Kit) -> Result<()> {
    let venv = kit.folder.join("venv");
    quietly(Command::new("python3").arg("-m").arg("venv").arg(&venv))?;
    quietly(
        Command::new(venv.join("bin/python"))
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
            .args(kit.pins.iter().flat_map(|pins| [Path::new("-r"), pins])),
    )
}

fn make_javascript(kit: &Kit) -> Result<()> {
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

fn version(tool: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(tool).args(arguments).output().ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a program; its error output is the reason where it fails.
fn quietly(command: &mut Command) -> Result<()> {
    let name = Path::new(command.get_program()).display().to_string();
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {name}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{name} failed: {}", said.lines().last().unwrap_or_default());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kit(folder: &Path, make: fn(&Kit) -> Result<()>) -> Kit {
        let pins = vec![folder.join("pins")];
        Kit {
            folder: folder.join("kit"),
            pins,
            tools: &[],
            make,
        }
    }

    #[test]
    fn it_makes_a_kit_once_for_the_same_pins() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("pins"), "one").unwrap();
        let good = kit(folder.path(), |kit| Ok(fs::write(kit.folder.join("made"), "")?));
        assert_eq!(good.prepare().unwrap(), None);
        let never = kit(folder.path(), |_| bail!("made again"));
        assert_eq!(never.prepare().unwrap(), None);
        fs::write(folder.path().join("pins"), "two").unwrap();
        assert_eq!(never.prepare().unwrap().as_deref(), Some("made again"));
        assert!(!folder.path().join("kit/made").exists());
    }

    #[test]
    fn it_leaves_the_reason_where_a_kit_cannot_be_made() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("pins"), "one").unwrap();
        let bad = kit(folder.path(), |_| bail!("no network"));
        bad.prepare().unwrap();
        assert_eq!(
            fs::read_to_string(folder.path().join("kit/missing")).unwrap(),
            "no network"
        );
        assert_eq!(
            kit(folder.path(), |_| Ok(())).prepare().unwrap(),
            None,
            "it tries again"
        );
        assert!(!folder.path().join("kit/missing").exists());
    }

    #[test]
    fn it_reads_the_version_of_node() {
        assert_eq!(major("v20.20.2\n"), Some(20));
        assert_eq!(major("v8.1.0"), Some(8));
        assert_eq!(major("nothing"), None);
    }
}
