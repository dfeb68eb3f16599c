//! strace: writes down each change of the files in a folder, or disturbs one of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

/// Every system call that changes files, makes changes durable, or answers somebody.
const TRACED: &str = "trace=openat,write,writev,pwrite64,sendto,sendmsg,fsync,fdatasync,ftruncate,fallocate,unlink,unlinkat,\
     rename,renameat,renameat2,link,linkat,mkdir,mkdirat";
/// Shorter answers are TLS's own.
const SHORTEST_ANSWER: usize = 100;

/// strace around a program.
pub(crate) struct Tracer {
    log: PathBuf,
    options: Vec<String>,
}

impl Tracer {
    /// Writes down everything, with all bytes.
    pub(crate) fn recording(log: &Path) -> Self {
        let options = ["-y", "-xx", "-s", "100000", "-e", TRACED];
        Self {
            log: log.to_owned(),
            options: options.map(Into::into).into(),
        }
    }

    /// Does something at the `nth` time that a thread calls `name`, or calls it about the file `about`.
    fn disturbing(log: &Path, name: &str, nth: usize, about: Option<&Path>, what: &str) -> Self {
        let mut options = vec![
            "-e".to_owned(),
            format!("trace={name}"),
            "-e".to_owned(),
            format!("inject={name}:{what}:when={nth}"),
        ];
        if let Some(path) = about {
            options.extend(["-P".to_owned(), path.to_str().unwrap().to_owned()]);
        }
        Self {
            log: log.to_owned(),
            options,
        }
    }

    /// Kills the program right before a call.
    pub(crate) fn killing(log: &Path, point: &Point, state: &Path) -> Self {
        let about = point.about.as_deref().map(|file| state.join(file));
        Self::disturbing(log, &point.name, point.nth, about.as_deref(), "signal=SIGKILL")
    }

    /// Lets a call fail, and where it is `forever` all that follow.
    pub(crate) fn failing(log: &Path, point: &Point, state: &Path, error: &str, forever: bool) -> Self {
        let about = point.about.as_deref().map(|file| state.join(file));
        let mut tracer = Self::disturbing(log, &point.name, point.nth, about.as_deref(), &format!("error={error}"));
        if forever {
            for option in &mut tracer.options {
                if option.starts_with("inject=") {
                    option.push('+');
                }
            }
        }
        tracer
    }

    /// As a grandchild, so that the program itself is the child that ends.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("strace");
        command.env_clear().args(["-D", "-f", "-o"]).arg(&self.log);
        command.args(&self.options).arg(program);
        command
    }

    /// Whether strace is there and may do its work.
    pub(crate) fn works() -> bool {
        let probe = Command::new("strace").args(["-f", "-o", "/dev/null", "true"]).status();
        // The device hides its memory from everybody but root, and with it the names of its files.
        let root = Command::new("id")
            .arg("-u")
            .output()
            .is_ok_and(|output| output.stdout == b"0\n");
        root && probe.is_ok_and(|status| status.success())
    }

    /// The lines of the log once the program has ended.
    pub(crate) fn lines(&self) -> Vec<String> {
        for _ in 0..2_000 {
            // strace writes its log to the end after the program is gone; the first thread is the last to go.
            let text = fs::read_to_string(&self.log).unwrap_or_default();
            let first = text.split(' ').next().unwrap_or_default();
            if text
                .lines()
                .any(|line| line.starts_with(first) && line[first.len()..].trim_start().starts_with("+++"))
            {
                return text.lines().map(ToOwned::to_owned).collect();
            }
            thread::sleep(Duration::from_millis(2));
        }
        panic!("strace wrote no end to {}", self.log.display());
    }
}

/// A system call, as it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) thread: String,
    pub(crate) name: String,
    /// The file in the folder that it is about; empty for the folder itself.
    pub(crate) file: String,
    pub(crate) change: Change,
}

/// What a call changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Create,
    /// At an offset, or after what was written before.
    Write(Option<usize>, Vec<u8>),
    Truncate(usize),
    Unlink,
    Rename(String),
    Sync,
    /// It opens what is there, which changes nothing.
    Nothing,
}

/// What was recorded, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Call(Call),
    /// An answer went out.
    Answer,
    /// SIGTERM came.
    Asked,
}

/// Everything that a program did to the files in `state`.
pub(crate) fn parse(lines: &[String], state: &Path) -> Vec<Event> {
    let state = state.to_str().unwrap();
    lines.iter().filter_map(|line| event(line, state)).collect()
}

fn event(line: &str, state: &str) -> Option<Event> {
    let (thread, rest) = line.split_once(' ')?;
    let rest = rest.trim_start();
    if rest.starts_with("--- SIGTERM") {
        return Some(Event::Asked);
    }
    let (name, arguments) = rest.split_once('(')?;
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return None;
    }
    let failed = arguments
        .rsplit_once(" = ")
        .is_some_and(|(_, result)| result.starts_with('-'));
    let texts = hexadecimal(arguments);
    let file_of = |text: Option<&Vec<u8>>| {
        let path = String::from_utf8(text?.clone()).ok()?;
        if path == state {
            return Some(String::new());
        }
        Some(path.strip_prefix(state)?.strip_prefix('/')?.to_owned())
    };
    if ["writev", "sendto", "sendmsg"].contains(&name) {
        let socket = texts.first().is_some_and(|target| target.starts_with(b"socket:"));
        let length: usize = texts.iter().skip(1).map(Vec::len).sum();
        return (socket && length >= SHORTEST_ANSWER).then_some(Event::Answer);
    }
    if failed {
        return None;
    }
    let number = |from_the_end: usize| {
        let inside = arguments.rsplit_once(')').map_or(arguments, |(inside, _)| inside);
        let inside = inside.trim_end_matches(" <unfinished ...>");
        inside.rsplit(", ").nth(from_the_end)?.trim().parse::<usize>().ok()
    };
    let at_directory = arguments.starts_with("AT_FDCWD");
    let (file, change) = match name {
        "openat" => {
            let change = if arguments.contains("O_CREAT") {
                Change::Create
            } else {
                Change::Nothing
            };
            (file_of(texts.get(usize::from(at_directory)))?, change)
        }
        "write" => (file_of(texts.first())?, Change::Write(None, texts.get(1)?.clone())),
        "pwrite64" => {
            let offset = number(0)?;
            (
                file_of(texts.first())?,
                Change::Write(Some(offset), texts.get(1)?.clone()),
            )
        }
        "ftruncate" => (file_of(texts.first())?, Change::Truncate(number(0)?)),
        // It is room that is kept free; nobody reads it.
        "fallocate" if file_of(texts.first())?.ends_with("-reserve") => return None,
        "fsync" | "fdatasync" => (file_of(texts.first())?, Change::Sync),
        "unlink" => (file_of(texts.first())?, Change::Unlink),
        "unlinkat" => (file_of(texts.get(1))?, Change::Unlink),
        "rename" => (file_of(texts.first())?, Change::Rename(file_of(texts.get(1))?)),
        "renameat" | "renameat2" => (file_of(texts.get(1))?, Change::Rename(file_of(texts.get(3))?)),
        other => {
            assert!(
                !texts.iter().any(|text| file_of(Some(text)).is_some()),
                "{other} changes the state in a way that is not understood here: {line:.200}"
            );
            return None;
        }
    };
    Some(Event::Call(Call {
        thread: thread.to_owned(),
        name: name.to_owned(),
        file,
        change,
    }))
}

/// The texts between quotation marks and angle brackets, of which `-xx` writes every byte as `\x..`.
fn hexadecimal(arguments: &str) -> Vec<Vec<u8>> {
    let mut texts = Vec::new();
    let mut rest = arguments;
    while let Some(start) = rest.find(['"', '<']) {
        let close = if rest.as_bytes()[start] == b'"' { '"' } else { '>' };
        rest = &rest[start + 1..];
        let Some(end) = rest.find(close) else { break };
        let text = &rest[..end];
        rest = &rest[end + 1..];
        let bytes: Option<Vec<u8>> = text
            .split("\\x")
            .skip(1)
            .map(|digits| u8::from_str_radix(digits.get(..2)?, 16).ok())
            .collect();
        if let (Some(bytes), true) = (bytes, text.starts_with("\\x")) {
            texts.push(bytes);
        } else if text.starts_with("socket:") {
            texts.push(text.as_bytes().to_vec());
        }
    }
    texts
}

/// A place at which a program can be disturbed, in the way that strace counts: for each thread and call apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Point {
    pub(crate) name: String,
    /// Counted among the calls about this file alone; without, among all of that name.
    pub(crate) about: Option<String>,
    pub(crate) nth: usize,
}

/// Every point at which these events change something.
pub(crate) fn points(lines: &[String], events: &[Event]) -> Vec<Point> {
    let mut points = Vec::new();
    let calls: Vec<&Call> = events
        .iter()
        .filter_map(|event| match event {
            Event::Call(call) => Some(call),
            Event::Answer | Event::Asked => None,
        })
        .collect();
    for (position, call) in calls.iter().enumerate() {
        if call.change == Change::Nothing {
            continue;
        }
        let same = |other: &&&Call| (&other.thread, &other.name, &other.file) == (&call.thread, &call.name, &call.file);
        // A temporary file has another name each time.
        let point = if call.file.starts_with('.') {
            let before = calls[..position].iter().filter(same).count();
            Point {
                name: call.name.clone(),
                about: None,
                nth: among_all(lines, call, before),
            }
        } else {
            Point {
                name: call.name.clone(),
                about: Some(call.file.clone()),
                nth: calls[..=position].iter().filter(same).count(),
            }
        };
        points.push(point);
    }
    points.sort();
    points.dedup();
    points
}

/// Which of its thread's calls of that name this one is: the one after `before` others about the same file.
fn among_all(lines: &[String], call: &Call, before: usize) -> usize {
    let path: String = call.file.bytes().map(|byte| format!("\\x{byte:02x}")).collect();
    let mut left = before + 1;
    let mut nth = 0;
    for line in lines {
        let Some((thread, rest)) = line.split_once(' ') else {
            continue;
        };
        if thread != call.thread || !rest.trim_start().starts_with(&format!("{}(", call.name)) {
            continue;
        }
        nth += 1;
        if rest.contains(&path) {
            left -= 1;
        }
        if left == 0 {
            return nth;
        }
    }
    panic!("{call:?} is not among the lines");
}
