//! What all connections of one open listener share.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use zmon_domain::pairing::PairingCode;
use zmon_domain::time::Monotonic;
use zmon_ports::Clock;

use crate::limits::Limits;
use crate::peer::Peer;
use crate::rate::{EnvelopeRate, StatusRate};

/// One pairing session as the listener sees it. Gone with the session, rates included.
pub(crate) struct Session<S, C> {
    pub(crate) inbound: S,
    pub(crate) pairing_code: PairingCode,
    pub(crate) limits: Limits,
    clock: Arc<C>,
    envelopes: Mutex<EnvelopeRate>,
    statuses: Mutex<StatusRate>,
}

impl<S, C: Clock> Session<S, C> {
    pub(crate) fn new(inbound: S, pairing_code: PairingCode, limits: Limits, clock: Arc<C>) -> Arc<Self> {
        Arc::new(Self {
            inbound,
            pairing_code,
            limits,
            clock,
            envelopes: Mutex::new(EnvelopeRate::new(&limits)),
            statuses: Mutex::new(StatusRate::new(&limits)),
        })
    }

    /// How long this address has to wait before it may try an envelope.
    pub(crate) fn envelope_wait(&self, address: IpAddr) -> Option<Duration> {
        lock(&self.envelopes).wait(Peer::from(address), self.clock.monotonic())
    }

    /// Reserves an attempt to open an envelope.
    ///
    /// # Errors
    /// How long this address has to wait.
    pub(crate) fn attempt(self: &Arc<Self>, address: IpAddr) -> Result<Attempt<S, C>, Duration> {
        let (peer, since) = (Peer::from(address), self.clock.monotonic());
        lock(&self.envelopes).reserve(peer, since)?;
        Ok(Attempt {
            session: Arc::clone(self),
            peer,
            since,
            failed: true,
        })
    }

    /// Takes one status request from this address's budget.
    ///
    /// # Errors
    /// How long it has to wait.
    pub(crate) fn take_status(&self, address: IpAddr) -> Result<(), Duration> {
        lock(&self.statuses).take(Peer::from(address), self.clock.monotonic())
    }
}

/// A reserved attempt. It counts as failed unless it is given back, even where processing broke down.
pub(crate) struct Attempt<S, C> {
    session: Arc<Session<S, C>>,
    peer: Peer,
    since: Monotonic,
    failed: bool,
}

impl<S, C> Attempt<S, C> {
    /// The envelope was not the reason, or there was no refusal.
    pub(crate) fn give_back(mut self) {
        self.failed = false;
    }
}

impl<S, C> Drop for Attempt<S, C> {
    fn drop(&mut self) {
        lock(&self.session.envelopes).settle(self.peer, self.since, self.failed);
    }
}

/// The tables are sound after every statement, so a panic elsewhere does not spoil them.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use zmon_testkit::fake_service::FakeService;
    use zmon_testkit::fakes::ManualClock;

    use super::*;

    fn session(limits: Limits) -> Arc<Session<FakeService, ManualClock>> {
        let code = PairingCode::parse("X7Y9Z2").unwrap();
        Session::new(FakeService::new(), code, limits, Arc::new(ManualClock::default()))
    }

    /// An attempt whose envelope does not open.
    fn fails(session: &Arc<Session<FakeService, ManualClock>>, address: &str) -> bool {
        session.attempt(address.parse().unwrap()).is_ok()
    }

    #[test]
    fn takes_all_addresses_of_an_ipv6_network_for_one_sender_and_forgets_it_with_the_session() {
        let this = session(Limits::default());
        for address in ["2001:db8:0:7::1", "2001:db8:0:7::2", "2001:db8:0:7:ffff:ffff:ffff:ffff"] {
            assert!(fails(&this, address));
        }
        assert!(!fails(&this, "2001:db8:0:7:1:2:3:4"));
        for other in ["2001:db8:0:8::1", "10.1.50.7", "::ffff:10.1.50.8"] {
            assert_eq!(this.envelope_wait(other.parse().unwrap()), None, "{other}");
            assert!(fails(&this, other));
        }
        assert!(fails(&session(Limits::default()), "2001:db8:0:7::1"), "another session");
    }
}
