//! The Central Station of the demonstration: its folder, and the real program.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::Interrupt;
use crate::process;

/// How `zmon-station` says that the device refused.
const REFUSED_BY_DEVICE: i32 = 6;

/// A Central Station.
pub(super) struct Station {
    program: PathBuf,
    home: PathBuf,
    interrupt: Interrupt,
}

/// What a push led to.
pub(super) enum Pushed {
    /// The device's answer, as `zmon-station` tells it.
    Accepted(Value),
    /// The device's refusal, as `zmon-station` tells it.
    Refused(Value),
}

impl Station {
    /// A station that keeps its keys below `home`.
    pub(super) fn new(program: PathBuf, home: PathBuf, interrupt: Interrupt) -> Self {
        Self {
            program,
            home,
            interrupt,
        }
    }

    /// Its program.
    pub(super) fn program(&self) -> &Path {
        &self.program
    }

    /// Where it keeps its keys.
    pub(super) fn home(&self) -> &Path {
        &self.home
    }

    /// Runs a command that must succeed.
    pub(super) fn run(&self, arguments: &[&str]) -> Result<()> {
        let output = self.output(arguments)?;
        if !output.status.success() {
            bail!("`zmon-station {}` failed: {}", arguments.join(" "), said(&output));
        }
        Ok(())
    }

    /// Runs a command that pushes.
    pub(super) fn push(&self, arguments: &[&str]) -> Result<Pushed> {
        let output = self.output(&[&["--json"], arguments].concat())?;
        let answer = || {
            serde_json::from_slice(&output.stdout)
                .with_context(|| format!("`zmon-station --json` did not answer JSON: {}", said(&output)))
        };
        match output.status.code() {
            Some(0) => Ok(Pushed::Accepted(answer()?)),
            Some(REFUSED_BY_DEVICE) => Ok(Pushed::Refused(answer()?)),
            _ => bail!("`zmon-station {}` failed: {}", arguments.join(" "), said(&output)),
        }
    }

    fn output(&self, arguments: &[&str]) -> Result<Output> {
        self.interrupt.check()?;
        let mut command = Command::new(&self.program);
        command
            .arg("--home")
            .arg(&self.home)
            .args(arguments)
            .stdin(Stdio::null());
        process::forget_configuration(&mut command);
        command
            .output()
            .with_context(|| format!("cannot run {}", self.program.display()))
    }
}

/// What a program that failed had to say.
pub(super) fn said(output: &Output) -> String {
    let text = if output.stderr.is_empty() {
        &output.stdout
    } else {
        &output.stderr
    };
    format!("{} ({})", String::from_utf8_lossy(text).trim(), output.status)
}
