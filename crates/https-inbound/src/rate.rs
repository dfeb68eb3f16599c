//! Step 2 of the validation order, and the budget of status requests. Pure: the time is passed in.

use std::collections::HashMap;
use std::time::Duration;

use zmon_domain::time::Monotonic;

use crate::limits::Limits;
use crate::peer::Peer;

/// Counts, for each sender, the envelopes that did not open: a few are free, then one attempt per interval.
///
/// An attempt is reserved before the envelope is tried and settled afterwards, so that parallel attempts count as well.
#[derive(Debug)]
pub(crate) struct EnvelopeRate {
    free: u32,
    interval: Duration,
    capacity: usize,
    senders: HashMap<Peer, Attempts>,
}

#[derive(Debug, Default)]
struct Attempts {
    failed: u32,
    /// Reserved and not settled.
    open: u32,
    last_failed: Monotonic,
}

impl EnvelopeRate {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            free: limits.free_attempts,
            interval: limits.attempt_interval,
            capacity: limits.tracked_addresses,
            senders: HashMap::new(),
        }
    }

    /// How long this sender has to wait; nothing where it may try now.
    pub(crate) fn wait(&self, peer: Peer, now: Monotonic) -> Option<Duration> {
        let attempts = self.senders.get(&peer)?;
        if attempts.failed.saturating_add(attempts.open) < self.free {
            return None;
        }
        if attempts.open > 0 {
            return Some(self.interval);
        }
        let left = attempts.last_failed.plus(self.interval).since(now);
        (!left.is_zero()).then_some(left)
    }

    /// Reserves an attempt; [`Self::settle`] must follow.
    ///
    /// # Errors
    /// How long to wait.
    pub(crate) fn reserve(&mut self, peer: Peer, now: Monotonic) -> Result<(), Duration> {
        if let Some(wait) = self.wait(peer, now) {
            return Err(wait);
        }
        if !self.senders.contains_key(&peer) && self.senders.len() >= self.capacity {
            // Whoever failed longest ago is forgotten: that costs least, for its wait is over first.
            let oldest = self.senders.iter().filter(|(_, attempts)| attempts.open == 0);
            let Some(oldest) = oldest.min_by_key(|(_, attempts)| attempts.last_failed) else {
                return Err(self.interval);
            };
            let oldest = *oldest.0;
            self.senders.remove(&oldest);
        }
        self.senders.entry(peer).or_default().open += 1;
        Ok(())
    }

    /// Ends an attempt reserved at `since`. One that did not fail leaves no trace.
    pub(crate) fn settle(&mut self, peer: Peer, since: Monotonic, failed: bool) {
        let Some(attempts) = self.senders.get_mut(&peer) else {
            return;
        };
        attempts.open = attempts.open.saturating_sub(1);
        if failed {
            attempts.failed = attempts.failed.saturating_add(1);
            attempts.last_failed = attempts.last_failed.max(since);
        } else if attempts.failed == 0 && attempts.open == 0 {
            self.senders.remove(&peer);
        }
    }
}

/// A burst of status requests for each sender, refilled one by one.
#[derive(Debug)]
pub(crate) struct StatusRate {
    interval: Duration,
    tolerance: Duration,
    capacity: usize,
    /// When each sender's budget is full again.
    full_at: HashMap<Peer, Monotonic>,
}

impl StatusRate {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            interval: limits.status_interval,
            tolerance: limits.status_interval * limits.status_burst.saturating_sub(1),
            capacity: limits.tracked_addresses,
            full_at: HashMap::new(),
        }
    }

    /// Takes one request from the budget.
    ///
    /// # Errors
    /// How long to wait.
    pub(crate) fn take(&mut self, peer: Peer, now: Monotonic) -> Result<(), Duration> {
        let full_at = self.full_at.get(&peer).copied().unwrap_or(now).max(now);
        let used = full_at.since(now);
        if used > self.tolerance {
            return Err(used - self.tolerance);
        }
        if !self.full_at.contains_key(&peer) && self.full_at.len() >= self.capacity {
            self.full_at.retain(|_, full_at| *full_at > now);
            if self.full_at.len() >= self.capacity
                && let Some(next) = self
                    .full_at
                    .iter()
                    .min_by_key(|(_, full_at)| **full_at)
                    .map(|(peer, _)| *peer)
            {
                self.full_at.remove(&next);
            }
        }
        self.full_at.insert(peer, full_at.plus(self.interval));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Peer = Peer::V4(1);
    const B: Peer = Peer::V4(2);

    fn at(millis: u64) -> Monotonic {
        Monotonic::from_nanos(millis * 1_000_000)
    }

    fn rate() -> EnvelopeRate {
        EnvelopeRate::new(&Limits::default())
    }

    fn fail(rate: &mut EnvelopeRate, peer: Peer, now: Monotonic) -> Result<(), Duration> {
        rate.reserve(peer, now)?;
        rate.settle(peer, now, true);
        Ok(())
    }

    #[test]
    fn gives_three_attempts_and_then_one_every_five_seconds() {
        let mut rate = rate();
        for millis in [0, 10, 20] {
            assert_eq!(fail(&mut rate, A, at(millis)), Ok(()));
        }
        assert_eq!(rate.wait(A, at(20)), Some(Duration::from_secs(5)));
        assert_eq!(fail(&mut rate, A, at(5_019)), Err(Duration::from_millis(1)));
        assert_eq!(fail(&mut rate, A, at(5_020)), Ok(()));
        assert_eq!(fail(&mut rate, A, at(5_021)), Err(Duration::from_millis(4_999)));
        // An hour of silence earns one attempt, not three.
        assert_eq!(fail(&mut rate, A, at(3_600_000)), Ok(()));
        assert_eq!(fail(&mut rate, A, at(3_600_000)), Err(Duration::from_secs(5)));
    }

    #[test]
    fn never_lets_one_sender_delay_another() {
        let mut rate = rate();
        while fail(&mut rate, A, at(0)).is_ok() {}
        assert_eq!(rate.wait(B, at(0)), None);
        assert_eq!(rate.reserve(B, at(0)), Ok(()));
    }

    #[test]
    fn counts_attempts_that_are_still_open() {
        let mut rate = rate();
        for _ in 0..3 {
            assert_eq!(rate.reserve(A, at(0)), Ok(()));
        }
        assert_eq!(rate.reserve(A, at(0)), Err(Duration::from_secs(5)));
        rate.settle(A, at(0), false);
        assert_eq!(rate.reserve(A, at(0)), Ok(()));
    }

    #[test]
    fn has_one_attempt_open_at_a_time_after_the_free_ones() {
        let mut rate = rate();
        for _ in 0..3 {
            fail(&mut rate, A, at(0)).unwrap();
        }
        assert_eq!(rate.reserve(A, at(60_000)), Ok(()));
        assert!(rate.reserve(A, at(120_000)).is_err());
        // It did not fail: the next one may follow at once.
        rate.settle(A, at(60_000), false);
        assert_eq!(rate.reserve(A, at(60_001)), Ok(()));
    }

    #[test]
    fn forgets_a_sender_that_never_failed() {
        let mut rate = rate();
        for millis in 0..100 {
            rate.reserve(A, at(millis)).unwrap();
            rate.settle(A, at(millis), false);
        }
        assert!(rate.senders.is_empty());
    }

    #[test]
    fn stays_bounded_and_forgets_whoever_failed_longest_ago() {
        let mut rate = EnvelopeRate::new(&Limits {
            tracked_addresses: 8,
            ..Limits::default()
        });
        for sender in 0..100 {
            fail(&mut rate, Peer::V4(sender), at(u64::from(sender))).unwrap();
            assert!(rate.senders.len() <= 8);
        }
        assert!(rate.senders.contains_key(&Peer::V4(99)));
        assert!(!rate.senders.contains_key(&Peer::V4(0)));
    }

    #[test]
    fn keeps_open_attempts_when_it_makes_room() {
        let mut rate = EnvelopeRate::new(&Limits {
            tracked_addresses: 1,
            ..Limits::default()
        });
        rate.reserve(A, at(0)).unwrap();
        assert!(rate.reserve(B, at(0)).is_err());
        rate.settle(A, at(0), true);
        assert_eq!(rate.reserve(B, at(0)), Ok(()));
    }

    #[test]
    fn answers_ten_status_requests_at_once_and_five_per_second() {
        let mut rate = StatusRate::new(&Limits::default());
        for _ in 0..10 {
            assert_eq!(rate.take(A, at(1_000)), Ok(()));
        }
        assert_eq!(rate.take(A, at(1_000)), Err(Duration::from_millis(200)));
        assert_eq!(rate.take(B, at(1_000)), Ok(()));
        assert_eq!(rate.take(A, at(1_200)), Ok(()));
        assert!(rate.take(A, at(1_200)).is_err());
        assert_eq!((0..20).filter(|_| rate.take(A, at(60_000)).is_ok()).count(), 10);
    }

    #[test]
    fn remembers_a_bounded_number_of_status_readers() {
        let mut rate = StatusRate::new(&Limits {
            tracked_addresses: 8,
            ..Limits::default()
        });
        for sender in 0..100 {
            assert_eq!(rate.take(Peer::V4(sender), at(0)), Ok(()));
            assert!(rate.full_at.len() <= 8);
        }
    }
}
