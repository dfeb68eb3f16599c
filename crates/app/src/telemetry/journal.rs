//! Entries in systemd's journal, by its native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL).
//!
//! The message is what a line on standard error would be, so that `journalctl` shows people everything. The fields of the
//! event, and of the spans around it, are fields of the entry, too, for whoever filters or counts.

use std::collections::BTreeMap;
use std::fmt::{Debug, Write as _};
use std::io::{self, Write as _};
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::FormatFields as _;
use tracing_subscriber::fmt::format::{DefaultFields, Writer};
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::{LookupSpan, Scope};

/// Where the journal listens.
const SOCKET: &str = "/run/systemd/journal/socket";
/// By this name `journalctl -t` finds the entries.
const IDENTIFIER: &str = "zmon-provision";
/// Before the name of every field of ours: the others are systemd's.
const PREFIX: &str = "ZMON_";

/// Which file standard error is, where systemd has connected it to the journal (`JOURNAL_STREAM`, systemd.exec(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalStream {
    device: u64,
    inode: u64,
}

impl JournalStream {
    /// From device and inode, decimal, with a colon between them.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (device, inode) = text.split_once(':')?;
        Some(Self {
            device: device.parse().ok()?,
            inode: inode.parse().ok()?,
        })
    }

    /// Whether it is this one. The variable goes to every child of a service, and not every child writes to the journal.
    pub(super) fn is(self, stream: impl AsFd) -> bool {
        rustix::fs::fstat(stream).is_ok_and(|file| self.device == file.st_dev && self.inode == file.st_ino)
    }
}

/// The journal, as a layer of the subscriber.
pub(super) struct Journal {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Journal {
    /// # Errors
    /// Where nobody listens.
    pub(super) fn open() -> io::Result<Self> {
        Self::at(Path::new(SOCKET))
    }

    fn at(path: &Path) -> io::Result<Self> {
        let journal = Self {
            socket: UnixDatagram::unbound()?,
            path: path.to_owned(),
        };
        // The journal takes no notice of an empty entry.
        journal.socket.send_to(&[], path)?;
        Ok(journal)
    }
}

/// What a span adds to the entries within it.
struct SpanFields(Fields);

/// Names as they stand in the entry, and values. The inner one counts where a name comes twice.
#[derive(Clone, Default)]
struct Fields(BTreeMap<String, String>);

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        // The message is put together from everything.
        if field.name() != "message" {
            self.0.insert(name_of(field.name()), value.into());
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

/// Capital letters, digits and underscores are what the journal takes.
fn name_of(field: &str) -> String {
    let letters = field.chars().map(|c| match c.to_ascii_uppercase() {
        c @ ('A'..='Z' | '0'..='9') => c,
        _ => '_',
    });
    PREFIX.chars().chain(letters).collect()
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Journal {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        span.extensions_mut().insert(SpanFields(fields));
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(SpanFields(fields)) = span.extensions_mut().get_mut() {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut message = String::new();
        // Writing to a string cannot fail.
        let _ = DefaultFields::new().format_fields(Writer::new(&mut message), event);
        let mut fields = Fields::default();
        let mut spans = String::new();
        for span in context.event_scope(event).into_iter().flat_map(Scope::from_root) {
            let _ = write!(spans, "{}{}", if spans.is_empty() { "" } else { ":" }, span.name());
            if let Some(SpanFields(outer)) = span.extensions().get() {
                fields.0.extend(outer.0.clone());
            }
        }
        event.record(&mut fields);
        let metadata = event.metadata();
        fields.0.insert(name_of("target"), metadata.target().into());
        if !spans.is_empty() {
            fields.0.insert(name_of("span"), spans);
        }
        let mut entry = Vec::with_capacity(512);
        put(&mut entry, "MESSAGE", &message);
        put(&mut entry, "PRIORITY", priority(*metadata.level()));
        put(&mut entry, "SYSLOG_IDENTIFIER", IDENTIFIER);
        for (name, value) in &fields.0 {
            put(&mut entry, name, value);
        }
        if self.socket.send_to(&entry, &self.path).is_err() {
            // Which is the journal, too.
            let _ = writeln!(io::stderr(), "{message}");
        }
    }
}

/// The form for values of any content: the name in a line of its own, the length, the value.
fn put(entry: &mut Vec<u8>, name: &str, value: &str) {
    entry.extend_from_slice(name.as_bytes());
    entry.push(b'\n');
    entry.extend_from_slice(&(value.len() as u64).to_le_bytes());
    entry.extend_from_slice(value.as_bytes());
    entry.push(b'\n');
}

/// Of syslog: error, warning, informational, debug.
const fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "3",
        Level::WARN => "4",
        Level::INFO => "6",
        Level::DEBUG | Level::TRACE => "7",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs::File;
    use std::os::unix::fs::MetadataExt as _;
    use std::os::unix::net::UnixDatagram;

    use tracing::field::Empty;
    use tracing::{Span, info, info_span, warn};
    use tracing_subscriber::layer::SubscriberExt as _;
    use tracing_subscriber::registry;

    use super::*;

    /// Reads an entry by the protocol.
    fn read(socket: &UnixDatagram) -> BTreeMap<String, String> {
        let mut buffer = [0; 8192];
        let length = socket.recv(&mut buffer).unwrap();
        let mut left = &buffer[..length];
        let mut fields = BTreeMap::new();
        while !left.is_empty() {
            let end = left.iter().position(|byte| *byte == b'\n').unwrap();
            let (name, rest) = (std::str::from_utf8(&left[..end]).unwrap(), &left[end + 1..]);
            let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
            let (value, rest) = rest[8..].split_at(length);
            assert_eq!(rest[0], b'\n');
            let before = fields.insert(name.to_owned(), String::from_utf8(value.to_vec()).unwrap());
            assert_eq!(before, None, "{name} comes once");
            left = &rest[1..];
        }
        fields
    }

    #[test]
    fn it_writes_message_priority_and_the_fields_of_event_and_spans() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let socket = UnixDatagram::bind(&path).unwrap();
        let subscriber = registry().with(Journal::at(&path).unwrap());
        assert!(read(&socket).is_empty(), "a question whether anybody is there");
        tracing::subscriber::with_default(subscriber, || {
            let outer = info_span!("provisioning", session = "00ff", outcome = Empty).entered();
            let inner = info_span!("phase", phase = "APPLYING").entered();
            info!(elapsed_us = 7_u64, phase = "INNER", "two\nlines");
            drop(inner);
            Span::current().record("outcome", "ok");
            warn!(code = %"StorageError", "said");
            drop(outer);
            info!("outside");
        });
        let first = read(&socket);
        let expected = [
            ("MESSAGE", "two\nlines elapsed_us=7 phase=\"INNER\""),
            ("PRIORITY", "6"),
            ("SYSLOG_IDENTIFIER", "zmon-provision"),
            ("ZMON_ELAPSED_US", "7"),
            ("ZMON_PHASE", "INNER"),
            ("ZMON_SESSION", "00ff"),
            ("ZMON_SPAN", "provisioning:phase"),
            ("ZMON_TARGET", module_path!()),
        ];
        assert_eq!(first, expected.map(|(name, value)| (name.into(), value.into())).into());
        let second = read(&socket);
        assert_eq!(second["PRIORITY"], "4");
        assert_eq!(second["ZMON_CODE"], "StorageError");
        assert_eq!(second["ZMON_OUTCOME"], "ok");
        assert_eq!(second["ZMON_SPAN"], "provisioning");
        let third = read(&socket);
        assert_eq!(third["MESSAGE"], "outside");
        assert!(!third.contains_key("ZMON_SESSION") && !third.contains_key("ZMON_SPAN"));
    }

    #[test]
    fn it_names_fields_as_the_journal_takes_them() {
        assert_eq!(name_of("server_url"), "ZMON_SERVER_URL");
        assert_eq!(name_of("log.target"), "ZMON_LOG_TARGET");
    }

    #[test]
    fn it_knows_a_stream_by_device_and_inode() {
        let file = tempfile::tempfile().unwrap();
        let found = file.metadata().unwrap();
        let text = format!("{}:{}", found.dev(), found.ino());
        assert!(JournalStream::parse(&text).unwrap().is(&file));
        assert!(
            !JournalStream::parse(&text)
                .unwrap()
                .is(File::open("/dev/null").unwrap())
        );
        for wrong in ["", "1", "1:", ":2", "a:b", "1:2:3", "-1:2"] {
            assert_eq!(JournalStream::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn it_says_where_no_journal_listens() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Journal::at(&folder.path().join("nobody")).is_err());
    }
}
