//! Python and JavaScript with the libraries that `cargo xtask strangers` makes.
#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    clippy::expect_used,
    reason = "a helper of a test fails as the test itself"
)]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// The repository.
#[must_use]
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().into()
}

/// Where cargo builds: this test is `TARGET/PROFILE/deps/strangers-…`.
fn kits() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.ancestors().nth(3).unwrap().join("strangers")
}

/// The folder of a kit, or why there is none.
fn folder(name: &str) -> Result<PathBuf, String> {
    let folder = kits().join(name);
    if folder.join("made-from").exists() {
        return Ok(folder);
    }
    Err(fs::read_to_string(folder.join("missing"))
        .unwrap_or_else(|_| format!("no {name} libraries; `cargo xtask strangers` makes them")))
}

/// A Python with the libraries of `examples/python`.
pub struct Python(PathBuf);

impl Python {
    /// Where it is.
    ///
    /// # Errors
    /// Why there is none.
    pub fn find() -> Result<Self, String> {
        folder("python").map(|folder| Self(folder.join("venv/bin/python")))
    }

    /// A script, by its path in the repository.
    #[must_use]
    pub fn script(&self, path: &str) -> Command {
        let mut command = Command::new(&self.0);
        command
            .arg(repository().join(path))
            .env("PYTHONPATH", repository().join("examples/python"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("PYTHONUTF8", "1");
        command
    }
}

/// A Node with the libraries of a kit, and scripts beside them, as modules have it.
pub struct Node(TempDir);

impl Node {
    /// With the libraries of `examples/javascript`.
    ///
    /// # Errors
    /// Why there are none.
    pub fn find() -> Result<Self, String> {
        Self::with("javascript", &["examples/javascript", "tests/strangers"])
    }

    /// With the libraries that drive a browser, of `tests/kiosk`.
    ///
    /// # Errors
    /// Why there are none.
    pub fn for_browser() -> Result<Self, String> {
        Self::with("browser", &["tests/kiosk"])
    }

    fn with(kit: &str, scripts: &[&str]) -> Result<Self, String> {
        let modules = folder(kit)?.join("node_modules");
        let here = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(modules, here.path().join("node_modules")).unwrap();
        for folder in scripts {
            for entry in fs::read_dir(repository().join(folder)).unwrap() {
                let path = entry.unwrap().path();
                if path.extension().is_some_and(|extension| extension == "mjs") {
                    fs::copy(&path, here.path().join(path.file_name().unwrap())).unwrap();
                }
            }
        }
        Ok(Self(here))
    }

    /// A script, by its name.
    #[must_use]
    pub fn script(&self, name: &str) -> Command {
        let mut command = Command::new("node");
        command.arg(self.0.path().join(name));
        command
    }
}

/// A process that answers each line of JSON with one.
pub struct Lines {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Lines {
    /// Starts it.
    #[must_use]
    pub fn start(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self {
            child,
            input,
            output: BufReader::new(output),
        }
    }

    /// What it says to this.
    pub fn ask(&mut self, question: &Value) -> Value {
        writeln!(self.input, "{question}").unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        serde_json::from_str(&line).expect("an answer; the script's error stands above")
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
