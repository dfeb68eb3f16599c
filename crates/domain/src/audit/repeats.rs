//! What local programs and people can repeat as often as they like comes into the audit without filling it.
//!
//! The rule: the first of its kind is a record of its own, before it is answered. Further ones within an hour are
//! counted, and their number is one record when the hour is over, when the service stops, or when what is installed is
//! removed. A power cut loses at most such a number, never that it happened.

use alloc::format;
use alloc::vec::Vec;
use core::time::Duration;

use super::{AuditEntry, AuditEvent};
use crate::error::ErrorCode;
use crate::time::{Deadline, Monotonic};

/// For how long repetitions are counted before their number is recorded.
pub const REPEAT_WINDOW: Duration = Duration::from_secs(3600);
/// How many subjects of one event are told apart within one window.
const MAX_SUBJECTS: usize = 16;
/// How many records are kept for a store that cannot take them now.
const MAX_UNRECORDED: usize = 64;

/// What makes two entries with the same event and code the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The user who did it.
    User(u32),
    /// What was done.
    Act(&'static str),
    /// Any other: there were too many to be told apart.
    Other,
}

/// What is being counted.
#[derive(Debug, Default)]
pub struct RepeatLedger {
    windows: Vec<Window>,
    unrecorded: Vec<AuditEntry>,
}

#[derive(Debug)]
struct Window {
    event: AuditEvent,
    code: Option<ErrorCode>,
    subject: Subject,
    until: Deadline,
    /// How many since the record, and the last of them.
    further: Option<(u64, AuditEntry)>,
}

impl Window {
    fn summary(self) -> Option<AuditEntry> {
        let (count, last) = self.further?;
        let detail = last.detail.clone().unwrap_or_default();
        Some(last.with_detail(format!("{detail}; the last of {count} more within an hour")))
    }
}

impl RepeatLedger {
    /// Takes note of an entry. What is given is to be recorded before anything is answered.
    pub fn note(&mut self, subject: Subject, entry: AuditEntry, now: Monotonic) -> Vec<AuditEntry> {
        let mut entries = self.due(now);
        let alike = |window: &&mut Window| window.event == entry.event && window.code == entry.code;
        let mut windows: Vec<_> = self.windows.iter_mut().filter(alike).collect();
        let room = windows.len() < MAX_SUBJECTS || windows.iter().any(|window| window.subject == subject);
        let subject = if room { subject } else { Subject::Other };
        if let Some(window) = windows.iter_mut().find(|window| window.subject == subject) {
            let count = window.further.as_ref().map_or(0, |(count, _)| *count);
            window.further = Some((count.saturating_add(1), entry));
        } else {
            self.windows.push(Window {
                event: entry.event,
                code: entry.code,
                subject,
                until: Deadline::new(now, REPEAT_WINDOW),
                further: None,
            });
            entries.push(entry);
        }
        entries
    }

    /// Ends the windows whose time is over. What is given is to be recorded.
    pub fn due(&mut self, now: Monotonic) -> Vec<AuditEntry> {
        let over = |window: &mut Window| window.until.reached(now);
        let ended: Vec<_> = self.windows.extract_if(.., over).collect();
        self.summaries(ended)
    }

    /// Ends every window. What is given is to be recorded.
    pub fn end(&mut self) -> Vec<AuditEntry> {
        let ended = core::mem::take(&mut self.windows);
        self.summaries(ended)
    }

    /// Takes back what could not be recorded, for the next attempt. Gives how many it had no room for.
    pub fn take_back(&mut self, mut entries: Vec<AuditEntry>) -> usize {
        entries.append(&mut self.unrecorded);
        let lost = entries.len().saturating_sub(MAX_UNRECORDED);
        entries.truncate(MAX_UNRECORDED);
        self.unrecorded = entries;
        lost
    }

    /// Whether something waits for a store that can take it.
    #[must_use]
    pub const fn has_unrecorded(&self) -> bool {
        !self.unrecorded.is_empty()
    }

    /// When the next window ends.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Monotonic> {
        self.windows.iter().map(|window| window.until.at()).min()
    }

    fn summaries(&mut self, ended: Vec<Window>) -> Vec<AuditEntry> {
        let mut entries = core::mem::take(&mut self.unrecorded);
        entries.extend(ended.into_iter().filter_map(Window::summary));
        entries
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use super::*;
    use crate::access::{Peer, ReadOf};

    fn at(seconds: u64) -> Monotonic {
        Monotonic::from_nanos(seconds * 1_000_000_000)
    }

    fn read(ledger: &mut RepeatLedger, uid: u32, pid: u32, now: Monotonic) -> Vec<AuditEntry> {
        let peer = Peer {
            uid,
            gid: 7,
            pid: Some(pid),
        };
        ledger.note(Subject::User(uid), ReadOf::Credentials.entry(peer), now)
    }

    fn details(entries: &[AuditEntry]) -> Vec<&str> {
        entries.iter().filter_map(|entry| entry.detail.as_deref()).collect()
    }

    #[test]
    fn it_records_the_first_at_once_and_the_number_of_the_others_after_an_hour() {
        let mut ledger = RepeatLedger::default();
        let first = read(&mut ledger, 990, 11, at(0));
        assert_eq!(first[0].event, AuditEvent::CredentialsRead);
        assert_eq!(details(&first), ["by uid 990, gid 7, pid 11"]);
        assert_eq!(ledger.next_deadline(), Some(at(3600)));
        assert_eq!(read(&mut ledger, 990, 12, at(1)), []);
        assert_eq!(read(&mut ledger, 990, 13, at(3599)), []);
        assert_eq!(ledger.due(at(3599)), []);
        let due = ledger.due(at(3600));
        assert_eq!(
            details(&due),
            ["by uid 990, gid 7, pid 13; the last of 2 more within an hour"]
        );
        assert_eq!(ledger.next_deadline(), None);
        assert_eq!(ledger.due(at(9999)), [], "said once");
        assert_eq!(read(&mut ledger, 990, 14, at(3601)).len(), 1, "a new window");
        assert_eq!(ledger.due(at(9999)), [], "nothing was repeated");
    }

    #[test]
    fn it_tells_users_events_and_codes_apart() {
        let mut ledger = RepeatLedger::default();
        assert_eq!(read(&mut ledger, 990, 11, at(0)).len(), 1);
        assert_eq!(read(&mut ledger, 991, 11, at(0)).len(), 1);
        let configuration = ReadOf::Configuration.entry("uid 990");
        assert_eq!(ledger.note(Subject::User(990), configuration, at(0)).len(), 1);
        for code in [ErrorCode::AlreadyProvisioned, ErrorCode::PairingInProgress] {
            let refused = AuditEntry::new(AuditEvent::ActRefused).with_code(code);
            assert_eq!(
                ledger.note(Subject::Act("open pairing"), refused.clone(), at(0)).len(),
                1
            );
            assert_eq!(ledger.note(Subject::Act("cancel"), refused.clone(), at(0)).len(), 1);
            assert_eq!(ledger.note(Subject::Act("cancel"), refused, at(0)), []);
        }
        assert_eq!(ledger.end().len(), 2);
        assert_eq!(ledger.end(), []);
    }

    #[test]
    fn it_writes_a_bounded_number_of_records_however_often_and_by_whomever_it_is_called() {
        let mut ledger = RepeatLedger::default();
        let mut recorded = 0;
        for n in 0..100_000 {
            recorded += read(&mut ledger, n, 1, at(0)).len();
        }
        assert_eq!(recorded, MAX_SUBJECTS + 1);
        let summaries = ledger.end();
        assert_eq!(summaries.len(), 1, "all others together");
        let more = 100_000 - MAX_SUBJECTS - 1;
        let expected = vec![format!(
            "by uid 99999, gid 7, pid 1; the last of {more} more within an hour"
        )];
        assert_eq!(details(&summaries), expected);
    }

    #[test]
    fn it_gives_what_could_not_be_recorded_again() {
        let mut ledger = RepeatLedger::default();
        let first = read(&mut ledger, 990, 11, at(0));
        assert!(!ledger.has_unrecorded());
        assert_eq!(ledger.take_back(first.clone()), 0);
        assert!(ledger.has_unrecorded());
        assert_eq!(read(&mut ledger, 990, 12, at(1)), first, "with the next attempt");
        let many = vec![first[0].clone(); 70];
        assert_eq!(ledger.take_back(many), 6);
        assert_eq!(ledger.end().len(), MAX_UNRECORDED + 1);
    }
}
