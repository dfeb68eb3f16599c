//! Folders of foreign tools and libraries below `target/`, made from committed pins.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// A folder that is made once, and what it is made from.
pub(crate) struct Kit<'a> {
    pub(crate) folder: PathBuf,
    pub(crate) pins: Vec<PathBuf>,
    /// Programs that it is made with, and how each tells its version.
    pub(crate) tools: &'static [(&'static str, &'static [&'static str])],
    /// What else decides what it becomes.
    pub(crate) manner: String,
    pub(crate) make: &'a dyn Fn(&Kit<'_>) -> Result<()>,
}

impl Kit<'_> {
    /// Makes it, unless it is there from the same.
    pub(crate) fn make(&self) -> Result<()> {
        self.renew()?
    }

    /// The reason where it cannot be made; that is no failure of the gate.
    pub(crate) fn prepare(&self) -> Result<Option<String>> {
        let Err(error) = self.renew()? else {
            return Ok(None);
        };
        let reason = format!("{error:#}").replace('\n', " ");
        fs::write(self.folder.join("missing"), &reason)?;
        Ok(Some(reason))
    }

    /// The inner fault is of what makes it, the outer one of its folder.
    fn renew(&self) -> Result<Result<()>> {
        let wanted = self.fingerprint()?;
        let made = self.folder.join("made-from");
        if fs::read_to_string(&made).is_ok_and(|found| found == wanted) {
            return Ok(Ok(()));
        }
        if self.folder.exists() {
            fs::remove_dir_all(&self.folder).with_context(|| format!("cannot remove {}", self.folder.display()))?;
        }
        fs::create_dir_all(&self.folder).with_context(|| format!("cannot make {}", self.folder.display()))?;
        let outcome = (self.make)(self);
        if outcome.is_ok() {
            // Last of all: a folder that was left half-made is made anew.
            fs::write(&made, wanted)?;
        }
        Ok(outcome)
    }

    /// The manner, the pins' texts and the tools' versions.
    fn fingerprint(&self) -> Result<String> {
        let mut all = self.manner.clone();
        for pin in &self.pins {
            all += &fs::read_to_string(pin).with_context(|| format!("cannot read {}", pin.display()))?;
        }
        for (tool, arguments) in self.tools {
            all += &version(tool, arguments).unwrap_or_default();
        }
        Ok(all)
    }
}

/// A virtual environment `venv` with the packages of the pins.
pub(crate) fn make_python(kit: &Kit<'_>) -> Result<()> {
    let venv = kit.folder.join("venv");
    quietly(Command::new("python3").arg("-m").arg("venv").arg(&venv))?;
    quietly(
        Command::new(venv.join("bin/python"))
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
            .args(kit.pins.iter().flat_map(|pins| [Path::new("-r"), pins])),
    )
}

/// What a tool says of its version; none where it is missing.
pub(crate) fn version(tool: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(tool).args(arguments).output().ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a program; its error output is the reason where it fails.
pub(crate) fn quietly(command: &mut Command) -> Result<()> {
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

    fn kit<'a>(folder: &Path, make: &'a dyn Fn(&Kit<'_>) -> Result<()>) -> Kit<'a> {
        let pins = vec![folder.join("pins")];
        Kit {
            folder: folder.join("kit"),
            pins,
            tools: &[],
            manner: String::new(),
            make,
        }
    }

    #[test]
    fn it_makes_a_kit_once_for_the_same_pins() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("pins"), "one").unwrap();
        let make = |kit: &Kit<'_>| Ok(fs::write(kit.folder.join("made"), "")?);
        let good = kit(folder.path(), &make);
        assert_eq!(good.prepare().unwrap(), None);
        let never = kit(folder.path(), &|_| bail!("made again"));
        assert_eq!(never.prepare().unwrap(), None);
        fs::write(folder.path().join("pins"), "two").unwrap();
        assert_eq!(never.prepare().unwrap().as_deref(), Some("made again"));
        assert!(!folder.path().join("kit/made").exists());
    }

    #[test]
    fn it_leaves_the_reason_where_a_kit_cannot_be_made() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("pins"), "one").unwrap();
        let bad = kit(folder.path(), &|_| bail!("no network"));
        bad.prepare().unwrap();
        assert_eq!(
            fs::read_to_string(folder.path().join("kit/missing")).unwrap(),
            "no network"
        );
        assert_eq!(
            kit(folder.path(), &|_| Ok(())).prepare().unwrap(),
            None,
            "it tries again"
        );
        assert!(!folder.path().join("kit/missing").exists());
    }
}
