//! Administrator's acts: who asks for one, the evidence that it was authorised, and how often a PIN may be wrong.

use alloc::format;
use alloc::string::String;
use core::fmt;
use core::time::Duration;

use crate::access::Peer;
use crate::secret::SecretText;
use crate::time::{Deadline, Monotonic};

/// How many wrong PINs in a row there may be before the lock.
const FREE_MISSES: u32 = 4;
/// The first lock: after the fifth wrong PIN. Each further one doubles it.
const FIRST_DELAY: Duration = Duration::from_secs(60);
/// No lock is longer: one day.
const LONGEST_DELAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What an administrator may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdministratorAct {
    /// Remove what is installed.
    Deprovision,
    /// Remove what is installed, and the trust anchor with it.
    Retire,
    /// Return the time floor to the release date.
    ResetTimeFloor,
}

impl AdministratorAct {
    /// Its name in the audit.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deprovision => "de-provisioning",
            Self::Retire => "retirement",
            Self::ResetTimeFloor => "time floor reset",
        }
    }
}

impl fmt::Display for AdministratorAct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where a request for an administrator's act comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requester {
    /// From inside the process: there is no socket between.
    Service,
    /// A program on a Unix socket.
    Process(Peer),
    /// The page on the monitor's own display; of a connection over loopback the kernel does not say whose it is.
    Screen,
}

impl fmt::Display for Requester {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service => f.write_str("from inside the service"),
            Self::Process(peer) => write!(f, "{peer}"),
            Self::Screen => f.write_str("at the screen"),
        }
    }
}

/// A request for an administrator's act: a PIN, and where it comes from.
#[derive(Clone, Debug)]
pub struct AdministratorRequest {
    /// The PIN.
    pub pin: SecretText,
    /// Who presents it.
    pub by: Requester,
}

impl AdministratorRequest {
    /// From inside the process.
    #[must_use]
    pub const fn with_pin(pin: SecretText) -> Self {
        Self {
            pin,
            by: Requester::Service,
        }
    }
}

/// Made by an administrator check after it has succeeded, and by nobody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdministratorAuthorised {
    by: String,
}

impl AdministratorAuthorised {
    /// To be called by an administrator check. `by` says who, for the audit.
    #[must_use]
    pub fn after_check(by: impl Into<String>) -> Self {
        Self { by: by.into() }
    }

    /// The same, with where the request came from.
    #[must_use]
    pub fn asked_by(self, requester: Requester) -> Self {
        Self {
            by: format!("{}, {requester}", self.by),
        }
    }

    /// Who it was.
    #[must_use]
    pub fn by(&self) -> &str {
        &self.by
    }
}

/// How long PINs are refused after so many misses in a row; none for the first four. One minute after the fifth, then
/// doubling, never more than a day.
#[must_use]
pub fn delay_after(misses: u32) -> Option<Duration> {
    let doublings = misses.checked_sub(FREE_MISSES + 1)?;
    Some(FIRST_DELAY.saturating_mul(1 << doublings.min(31)).min(LONGEST_DELAY))
}

/// Whether a PIN may be looked at. It knows the monotonic clock alone: turning the wall clock changes nothing. How many
/// misses there were has to be kept where it survives a restart, after which the whole delay begins again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PinLock {
    until: Option<Deadline>,
}

impl PinLock {
    /// The lock after so many misses in a row, the last of them now, or before the restart that was now.
    #[must_use]
    pub fn after(misses: u32, now: Monotonic) -> Self {
        Self {
            until: delay_after(misses).map(|delay| Deadline::new(now, delay)),
        }
    }

    /// How long PINs are still refused; none where one may be tried.
    pub fn remaining(&mut self, now: Monotonic) -> Option<Duration> {
        let until = self.until.as_mut()?;
        (!until.reached(now)).then(|| until.remaining(now))
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    fn at(seconds: u64) -> Monotonic {
        Monotonic::from_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn it_locks_after_five_misses_for_a_delay_that_doubles_up_to_a_day() {
        for free in 0..5 {
            assert_eq!(delay_after(free), None, "{free}");
        }
        let minutes = |misses| delay_after(misses).map(|delay| delay.as_secs() / 60);
        let delays: alloc::vec::Vec<_> = (5..=17).map(|misses| minutes(misses).unwrap_or_default()).collect();
        assert_eq!(delays, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 1440, 1440]);
        assert_eq!(minutes(u32::MAX), Some(1440));
    }

    #[test]
    fn it_opens_when_the_delay_is_over_and_not_when_the_clock_goes_back() {
        let mut lock = PinLock::after(6, at(100));
        assert_eq!(lock.remaining(at(100)), Some(Duration::from_secs(120)));
        assert_eq!(lock.remaining(at(219)), Some(Duration::from_secs(1)));
        assert_eq!(lock.remaining(at(0)), Some(Duration::from_secs(1)));
        assert_eq!(lock.remaining(at(220)), None);
        assert_eq!(lock.remaining(at(0)), None);
        assert_eq!(PinLock::after(4, at(0)).remaining(at(0)), None);
    }

    #[test]
    fn it_says_who_asked() {
        let pin = || SecretText::new("314159".into());
        let peer = Peer {
            uid: 1000,
            gid: 995,
            pid: Some(4242),
        };
        let request = AdministratorRequest {
            pin: pin(),
            by: Requester::Process(peer),
        };
        let authorised = AdministratorAuthorised::after_check("administrator PIN").asked_by(request.by);
        assert_eq!(authorised.by(), "administrator PIN, uid 1000, gid 995, pid 4242");
        let inside = AdministratorRequest::with_pin(pin());
        assert_eq!(inside.by.to_string(), "from inside the service");
        assert_eq!(Requester::Screen.to_string(), "at the screen");
        assert!(!format!("{request:?}").contains("314159"));
    }
}
