//! `cargo xtask test`: one gate, the same for a person and for CI.

pub(crate) mod strangers;
mod tally;
mod variant;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum as _;

use crate::dist::{self, Target, Toolchain};
use crate::lifecycle::{self, Outcome};
use crate::process::{self, Stopwatch};
use crate::workspace::Workspace;
use crate::{demo, docs, layers};
use tally::Tally;

/// Tests append `NAME: REASON` lines to the file that this variable names, for what they could not test here.
const SKIP_LOG: &str = "SKIPPED_TESTS_LOG";
/// The package whose tests are system tests.
const SYSTEM_TESTS: &str = "zmon-tests";

/// Runs every stage, as far as that makes sense, and ends with the line `N passed, N failed, N skipped`.
pub(crate) fn run(workspace: &Workspace, commands: &[String]) -> Result<ExitCode> {
    let mut gate = Gate::default();
    gate.stage("formatting", || {
        process::run(workspace.plain_cargo("fmt").args(["--all", "--check"])).map(|()| String::new())
    });
    gate.stage("lints", || {
        process::run(
            workspace
                .cargo("clippy")
                .args(["--all-targets", "--", "-D", "warnings"]),
        )
        .map(|()| String::new())
    });
    gate.stage("release", || variant::check(workspace));
    gate.stage("layers", || layers::check(workspace));
    gate.stage("documents", || docs::check(workspace, commands));
    let built = gate.stage("build", || {
        process::run(workspace.cargo("build").arg("--all-targets")).map(|()| String::new())
    });
    if built {
        gate.stage("strangers", || strangers::prepare(workspace));
        gate.tests(workspace);
        gate.demonstration(workspace, "demo", None);
        gate.package(workspace);
        gate.device(workspace);
    } else {
        gate.skipped.push("tests: the workspace does not build".to_owned());
        for stage in ["demo", "package", "device"] {
            gate.skipped.push(format!("{stage}: the workspace does not build"));
        }
    }
    Ok(gate.summary())
}

/// What happened so far.
#[derive(Default)]
struct Gate {
    stages: Vec<Stage>,
    passed: usize,
    failed: usize,
    skipped: Vec<String>,
}

struct Stage {
    name: &'static str,
    duration: Duration,
    outcome: Result<String>,
}

impl Gate {
    /// Runs one stage; a failed one counts as one failure. Says whether it succeeded.
    fn stage(&mut self, name: &'static str, work: impl FnOnce() -> Result<String>) -> bool {
        println!("== {name}");
        let watch = Stopwatch::start();
        let outcome = work();
        if let Err(error) = &outcome {
            println!("{error:#}");
            self.failed += 1;
        }
        let succeeded = outcome.is_ok();
        let duration = watch.elapsed();
        self.stages.push(Stage {
            name,
            duration,
            outcome,
        });
        succeeded
    }

    fn tests(&mut self, workspace: &Workspace) {
        let mut tally = Tally::new(workspace.tests_of(SYSTEM_TESTS));
        let mut skipped = Vec::new();
        let succeeded = self.stage("tests", || {
            let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
            let log = folder.path().join("skipped");
            let mut command = workspace.cargo("test");
            command.arg("--no-fail-fast").env(SKIP_LOG, &log);
            // The headings that cargo prints tell the kinds of test apart.
            command
                .env("CARGO_TERM_QUIET", "false")
                .env("CARGO_TERM_COLOR", "never");
            let status = process::stream(command, |line| {
                if tally.take(line) {
                    println!("{line}");
                }
            })?;
            skipped = read_skipped(&log);
            if tally.passed() == 0 {
                bail!("not one test ran");
            }
            if !status.success() {
                bail!(tally.what_failed());
            }
            Ok(tally.by_kind())
        });
        if !succeeded && tally.failed() > 0 {
            // The tests themselves are counted below.
            self.failed -= 1;
        }
        self.failed += tally.failed();
        // A test that could not test here ended well as far as the test harness knows.
        self.passed += tally.passed().saturating_sub(skipped.len());
        self.skipped.append(&mut skipped);
        self.skipped
            .extend(tally.ignored().map(|name| format!("{name}: marked as ignored")));
    }

    /// With another `device` program than this workspace's where one is given.
    fn demonstration(&mut self, workspace: &Workspace, name: &'static str, device: Option<&Path>) {
        if self.stage(name, || demo::run(workspace, device, false).map(|()| String::new())) {
            self.passed += 1;
        }
    }

    /// The package's life in a container.
    fn package(&mut self, workspace: &Workspace) {
        let mut checked = 0;
        let mut skipped = None;
        self.stage("package", || match lifecycle::run(workspace)? {
            Outcome::Passed(checks) => {
                checked = checks;
                Ok(format!("{checks} checks"))
            }
            Outcome::Impossible(why) => {
                skipped = Some(format!("package: {why}"));
                Ok("skipped".to_owned())
            }
        });
        self.passed += usize::from(checked > 0);
        self.skipped.extend(skipped);
    }

    /// The device's programs for ARM: built, inspected, and run through the demonstration by emulation.
    fn device(&mut self, workspace: &Workspace) {
        let targets = Target::value_variants();
        let toolchain = match Toolchain::prepare(workspace, targets, false) {
            Ok(toolchain) => toolchain,
            Err(why) => return self.skipped.push(format!("device: {why:#}")),
        };
        if !self.stage("device", || dist::run(workspace, &toolchain, false)) {
            return;
        }
        self.passed += targets.len();
        for target in targets {
            match dist::emulate(workspace, *target) {
                Ok(program) => self.demonstration(workspace, target.triple(), Some(&program)),
                Err(why) => self.skipped.push(format!("{}: {why:#}", target.triple())),
            }
        }
    }

    /// Prints what happened. The last line is the summary, alone.
    fn summary(&self) -> ExitCode {
        println!("\n{:<28} {:<7} {:>8}", "stage", "result", "seconds");
        for stage in &self.stages {
            let (result, note) = match &stage.outcome {
                Ok(note) => ("ok", note.as_str()),
                Err(_) => ("FAILED", ""),
            };
            let line = format!(
                "{:<28} {result:<7} {:>8.1}  {note}",
                stage.name,
                stage.duration.as_secs_f64()
            );
            println!("{}", line.trim_end());
        }
        for (stage, error) in self
            .stages
            .iter()
            .filter_map(|stage| Some((stage.name, stage.outcome.as_ref().err()?)))
        {
            println!("failed: {stage}: {error:#}");
        }
        for skipped in &self.skipped {
            println!("skipped: {skipped}");
        }
        println!(
            "{} passed, {} failed, {} skipped",
            self.passed,
            self.failed,
            self.skipped.len()
        );
        if self.failed == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}

fn read_skipped(log: &Path) -> Vec<String> {
    let mut lines: Vec<String> = std::fs::read_to_string(log)
        .unwrap_or_default()
        .lines()
        .map(str::to_owned)
        .collect();
    lines.sort();
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_counts_a_failed_stage_as_one_failure() {
        let mut gate = Gate::default();
        assert!(gate.stage("good", || Ok(String::new())));
        assert!(!gate.stage("bad", || bail!("no")));
        assert_eq!((gate.passed, gate.failed), (0, 1));
        assert_eq!(gate.summary(), ExitCode::FAILURE);
    }

    #[test]
    fn it_repeats_what_tests_could_not_test() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        assert!(read_skipped(&log).is_empty());
        std::fs::write(&log, "b: no tool\na: no network\n").unwrap();
        assert_eq!(read_skipped(&log), ["a: no network", "b: no tool"]);
    }
}
