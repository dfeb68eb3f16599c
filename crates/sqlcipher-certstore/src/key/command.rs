//! The wrapping key as the output of a command.

use std::io::{self, Read as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use zeroize::Zeroizing;
use zmon_ports::{KeySource, KeySourceFault, WrappingKey};

use super::{MOST, parse};

/// How long the command may take, unless it was given another limit.
const TIME: Duration = Duration::from_secs(10);
/// How much of what the command says of a fault is repeated, in bytes.
const MOST_WORDS: u64 = 300;

/// The wrapping key as the output of a command, for example one that asks hardware such as Raspberry Pi's
/// `rpi-fw-crypto`: 32 raw bytes, or 64 hexadecimal digits with at most one newline behind them.
///
/// The command is started without a shell, with an empty environment, nothing on standard input, in `/`. It must end with
/// exit status 0 within ten seconds; then, or where it writes too much, it and all that it started is killed. What it
/// writes to standard error goes into the fault, shortened; so it must not write the key there.
#[derive(Clone, Debug)]
pub struct CommandKeySource {
    program: String,
    arguments: Vec<String>,
    time: Duration,
}

impl CommandKeySource {
    /// The program, by its absolute path, and its arguments.
    pub fn new(program: impl Into<String>, arguments: impl IntoIterator<Item = String>) -> Self {
        Self {
            program: program.into(),
            arguments: arguments.into_iter().collect(),
            time: TIME,
        }
    }

    /// The same with another limit of time.
    #[must_use]
    pub fn within(self, time: Duration) -> Self {
        Self { time, ..self }
    }

    fn fault(&self, why: impl std::fmt::Display) -> KeySourceFault {
        // Arguments stay out of it: they may name slots and files, but a careless configuration could hold more.
        KeySourceFault {
            cause: format!("cannot get the key from the command {}: {why}", self.program),
        }
    }

    fn start(&self) -> io::Result<Child> {
        if !Path::new(&self.program).is_absolute() {
            return Err(io::Error::other("its path is not absolute"));
        }
        Command::new(&self.program)
            .args(&self.arguments)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // So that what it starts can be killed with it.
            .process_group(0)
            .spawn()
    }
}

/// What a command wrote.
struct Written {
    /// At most one byte more than the longest form of a key.
    output: io::Result<Zeroizing<Vec<u8>>>,
    words: String,
}

impl KeySource for CommandKeySource {
    fn wrapping_key(&self, _may_create: bool) -> Result<WrappingKey, KeySourceFault> {
        let mut child = self
            .start()
            .map_err(|error| self.fault(format_args!("it cannot be started: {error}")))?;
        let process = Pid::from_child(&child);
        let (output, words) = (child.stdout.take(), child.stderr.take());
        let (tell, told) = mpsc::channel();
        thread::spawn(move || {
            let written = Written::collect(output, words);
            // Leaves it a zombie, so that nobody else has its number before everything it started was killed.
            let ended = waitid(WaitId::Pid(process), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
            // Where nobody listens any more, its time was over.
            tell.send((written, ended.is_ok())).ok();
        });
        let told = told.recv_timeout(self.time);
        // Whatever is left of it; nothing is left as a rule.
        kill_process_group(process, Signal::KILL).ok();
        let status = child.wait().map_err(|error| self.fault(error))?;
        let Ok((Written { output, words }, true)) = told else {
            let seconds = self.time.as_secs_f32();
            return Err(self.fault(format_args!("it did not end within {seconds} s and was killed")));
        };
        let output = output.map_err(|error| self.fault(error))?;
        if output.len() == MOST {
            return Err(self.fault("it writes more than one key"));
        }
        if !status.success() {
            return Err(self.fault(format_args!("it failed ({status}); it says: {words}")));
        }
        parse(&output).map_err(|what| self.fault(format_args!("of what it writes, {what}")))
    }
}

impl Written {
    /// Both at once, so that neither waits for the other.
    fn collect(output: Option<ChildStdout>, words: Option<ChildStderr>) -> Self {
        thread::scope(|scope| {
            let words = scope.spawn(|| read_words(words));
            Self {
                output: read_key(output),
                words: words.join().unwrap_or_default(),
            }
        })
    }
}

/// Ends the command's output once it is too much: it gets an error on the next write.
fn read_key(output: Option<ChildStdout>) -> io::Result<Zeroizing<Vec<u8>>> {
    // Reserved at once, so that the key is not copied about.
    let mut text = Zeroizing::new(Vec::with_capacity(MOST));
    if let Some(output) = output {
        output.take(MOST as u64).read_to_end(&mut text)?;
    }
    Ok(text)
}

/// The beginning of what it says, in one line; the rest is thrown away.
fn read_words(words: Option<ChildStderr>) -> String {
    let mut text = Vec::new();
    if let Some(mut words) = words {
        // What cannot be read is not worth a fault of its own.
        words.by_ref().take(MOST_WORDS).read_to_end(&mut text).ok();
        io::copy(&mut words, &mut io::sink()).ok();
    }
    let text = String::from_utf8_lossy(&text);
    let line: String = text
        .trim()
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if line.is_empty() { "nothing".into() } else { line }
}
