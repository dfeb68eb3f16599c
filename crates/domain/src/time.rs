//! Time rules: the monotonic clock runs the session, the wall clock and the time floor judge documents.
//!
//! Source: `protocol.md`, "Time without a clock".

use core::time::Duration;

/// Longest lifetime of a payload: one hour.
pub const MAX_PAYLOAD_LIFETIME: Duration = Duration::from_secs(3600);
/// How far a payload's `timestamp` may lie ahead of a synchronised clock: five minutes.
pub const MAX_CLOCK_SKEW: Duration = Duration::from_secs(300);
/// How long after its release date a device believes in a payload's `timestamp`: 15 years of 365.25 days.
pub const MAX_AGE_OF_RELEASE: Duration = Duration::from_secs(15 * 31_557_600);

/// A point in civil time: milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// From milliseconds since 1970.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// From seconds since 1970; times before 1970 count as 1970, times past the representable range as its end.
    #[must_use]
    pub const fn from_unix_seconds(seconds: i64) -> Self {
        Self(if seconds < 0 {
            0
        } else {
            (seconds as u64).saturating_mul(1000)
        })
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// This time plus `duration`, at most the end of the representable range.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)),
        )
    }

    /// How long after `earlier` this is; zero where it is not after it.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// A point on the monotonic clock (one that counts suspend): nanoseconds since an arbitrary start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Monotonic(u64);

impl Monotonic {
    /// From nanoseconds since the clock's start.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// This time plus `duration`.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)),
        )
    }

    /// How long after `earlier` this is; zero where it is not after it.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// A deadline that a clock running backwards cannot move: the latest time seen counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    at: Monotonic,
    seen: Monotonic,
}

impl Deadline {
    /// `after` from `now`.
    #[must_use]
    pub fn new(now: Monotonic, after: Duration) -> Self {
        Self {
            at: now.plus(after),
            seen: now,
        }
    }

    /// Whether the deadline has passed; remembers `now`.
    pub fn reached(&mut self, now: Monotonic) -> bool {
        self.seen = self.seen.max(now);
        self.seen >= self.at
    }

    /// When it passes.
    #[must_use]
    pub const fn at(&self) -> Monotonic {
        self.at
    }

    /// What is left of it at `now`.
    #[must_use]
    pub fn remaining(&self, now: Monotonic) -> Duration {
        self.at.since(self.seen.max(now))
    }
}

/// What the wall clock says, and whether the kernel calls it synchronised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WallClock {
    /// The reading.
    pub now: Timestamp,
    /// Only then are `notBefore` and "ahead of now" enforced.
    pub synchronised: bool,
}

/// The device's view of civil time while it checks one payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeView {
    wall: WallClock,
    floor: Timestamp,
    latest_believable: Timestamp,
}

impl TimeView {
    /// `floor` is the stored time floor, or the release date where none is stored.
    #[must_use]
    pub fn new(wall: WallClock, floor: Timestamp, release_date: Timestamp) -> Self {
        Self {
            wall,
            floor,
            latest_believable: release_date.plus(MAX_AGE_OF_RELEASE),
        }
    }

    /// Now: the later of wall clock and floor.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.wall.now.max(self.floor)
    }

    /// Whether the kernel calls the wall clock synchronised.
    #[must_use]
    pub const fn synchronised(&self) -> bool {
        self.wall.synchronised
    }

    /// The same view with a payload's verified `timestamp` standing in for the floor.
    #[must_use]
    pub(crate) fn with_verified(&self, timestamp: Timestamp) -> Self {
        Self {
            floor: self.floor.max(timestamp),
            ..*self
        }
    }

    /// Step 8 of the validation order.
    ///
    /// # Errors
    /// The rule that is broken.
    pub(crate) fn check(&self, timestamp: Timestamp, expires_at: Timestamp) -> Result<(), TimeFault> {
        if expires_at <= timestamp || expires_at.since(timestamp) > MAX_PAYLOAD_LIFETIME {
            return Err(TimeFault::Lifetime);
        }
        if timestamp > self.latest_believable {
            return Err(TimeFault::Unbelievable);
        }
        if expires_at <= self.now() {
            return Err(TimeFault::Expired);
        }
        if self.wall.synchronised && timestamp > self.now().plus(MAX_CLOCK_SKEW) {
            return Err(TimeFault::Ahead);
        }
        Ok(())
    }

    pub(crate) fn floor(&self) -> Timestamp {
        self.floor
    }
}

/// Which time rule a payload breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimeFault {
    /// `expiresAt` is not after `timestamp`, or more than an hour after it.
    Lifetime,
    /// `timestamp` is later than the device's release date plus 15 years.
    Unbelievable,
    /// `expiresAt` has passed.
    Expired,
    /// `timestamp` is more than five minutes ahead of a synchronised clock.
    Ahead,
}
