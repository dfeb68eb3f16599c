//! Running other programs, and time.

use std::fmt;
use std::io::{BufRead as _, BufReader, IsTerminal as _};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

/// Runs a program to its end; its output goes where ours goes.
///
/// # Errors
/// Where it cannot be started or does not succeed.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot start {}", Line(command)))?;
    ensure!(status.success(), "{} ended with {status}", Line(command));
    Ok(())
}

/// Runs a program whose output is of interest only where it fails.
///
/// # Errors
/// Where it cannot be started or ends with another status than success.
pub(crate) fn run_quietly(command: &mut Command) -> Result<()> {
    output(command).map(drop)
}

/// Runs a program and gives what it writes.
///
/// # Errors
/// Where it cannot be started, ends with another status than success, or writes no text.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("cannot start {}", Line(command)))?;
    ensure!(
        output.status.success(),
        "{}{}{} ended with {}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
        Line(command),
        output.status
    );
    String::from_utf8(output.stdout).with_context(|| format!("{} wrote no text", Line(command)))
}

/// Runs a program to its end and hands over each line of its output, both streams in the order of writing.
///
/// # Errors
/// Where it cannot be started or its output cannot be read.
pub(crate) fn stream(mut command: Command, mut on_line: impl FnMut(&str)) -> Result<ExitStatus> {
    let (reader, writer) = std::io::pipe().context("cannot make a pipe")?;
    let line = Line(&command).to_string();
    let mut child = command
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .spawn()
        .with_context(|| format!("cannot start {line}"))?;
    // The command holds the pipe's writing end; the output ends only when it is gone.
    drop(command);
    let mut reader = BufReader::new(reader);
    let mut bytes = Vec::new();
    while reader.read_until(b'\n', &mut bytes)? > 0 {
        on_line(String::from_utf8_lossy(&bytes).trim_end());
        bytes.clear();
    }
    child.wait().with_context(|| format!("lost {line}"))
}

/// The device takes every variable that starts with `ZMON_` for a configuration key: none may reach it by accident.
pub(crate) fn forget_configuration(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"ZMON_") {
            command.env_remove(name);
        }
    }
}

/// Whether our error output, where cargo shows its progress, is a terminal.
pub(crate) fn somebody_watches() -> bool {
    std::io::stderr().is_terminal()
}

/// A command as a person would type it.
struct Line<'a>(&'a Command);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}", self.0.get_program().to_string_lossy())?;
        for argument in self.0.get_args() {
            write!(f, " {}", argument.to_string_lossy())?;
        }
        f.write_str("`")
    }
}

/// Measures how long something takes.
#[derive(Clone, Copy)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    /// From now.
    #[expect(clippy::disallowed_methods, reason = "a tool for people measures real time")]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// Until now.
    pub(crate) fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

/// A variable of the environment that this crate's commands are documented to read.
#[expect(
    clippy::disallowed_methods,
    reason = "xtask takes its few settings from the environment"
)]
pub(crate) fn variable(name: &str) -> Option<std::ffi::OsString> {
    std::env::var_os(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_hands_over_both_streams_in_the_order_of_writing() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo one; echo two >&2; printf three; exit 3"]);
        let mut lines = Vec::new();
        let status = stream(command, |line| lines.push(line.to_owned())).unwrap();
        assert_eq!(lines, ["one", "two", "three"]);
        assert_eq!(status.code(), Some(3));
    }

    #[test]
    fn it_says_which_command_failed() {
        let error = run(Command::new("sh").args(["-c", "exit 7"])).unwrap_err();
        assert_eq!(error.to_string(), "`sh -c exit 7` ended with exit status: 7");
    }
}
