//! Server-sent events, as the local API writes them.

use serde_json::Value;

/// More than any event has, in bytes.
const MOST: usize = 256 * 1024;

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its name.
    pub name: String,
    /// Its data.
    pub data: Value,
}

/// Puts events together from whatever pieces they arrive in.
#[derive(Debug, Default)]
pub struct EventLines(Vec<u8>);

impl EventLines {
    /// Takes what has arrived. What is too long for any event is dropped.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
        if self.0.len() > MOST {
            self.0.clear();
        }
    }

    /// The next event that is complete.
    pub fn next_event(&mut self) -> Option<Event> {
        loop {
            let end = self.0.windows(2).position(|pair| pair == b"\n\n")?;
            let block: Vec<u8> = self.0.drain(..end + 2).collect();
            if let Some(event) = event(&String::from_utf8_lossy(&block)) {
                return Some(event);
            }
        }
    }
}

/// None for comments and for what is no event.
fn event(block: &str) -> Option<Event> {
    let field = |name: &str| {
        block
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    };
    Some(Event {
        name: field("event")?.into(),
        data: serde_json::from_str(field("data")?).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn puts_events_together_from_any_pieces() {
        let sent = ": hello\n\nevent: one\ndata: {\"a\":1}\n\nevent: two\ndata: {}\n\nevent: thr";
        for size in 1..sent.len() {
            let mut lines = EventLines::default();
            let mut found = Vec::new();
            for piece in sent.as_bytes().chunks(size) {
                lines.feed(piece);
                found.extend(std::iter::from_fn(|| lines.next_event()));
            }
            let expected = [("one", json!({ "a": 1 })), ("two", json!({}))];
            let expected = expected.map(|(name, data)| Event {
                name: name.into(),
                data,
            });
            assert_eq!(found, expected, "in pieces of {size}");
        }
    }

    #[test]
    fn keeps_no_endless_event() {
        let mut lines = EventLines::default();
        for _ in 0..1000 {
            lines.feed(&[b'x'; 1024]);
        }
        assert!(lines.0.len() <= MOST);
        lines.feed(b"\n\nevent: one\ndata: {}\n\n");
        assert_eq!(lines.next_event().map(|event| event.name), Some("one".into()));
    }
}
