//! Time, chance and a trust anchor that a test holds in its hand.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ring::digest::{Context, SHA256};
use tokio::sync::watch;
use zmon_domain::time::{Monotonic, Timestamp, WallClock};
use zmon_ports::{AnchorFault, AnchorKeeper, Clock, Entropy, EntropyUnavailable};

/// A clock that moves when it is told to.
///
/// Its monotonic side starts a second after zero, its wall clock in 1970 and not synchronised: what a device without a
/// battery sees.
#[derive(Debug)]
pub struct ManualClock {
    monotonic: watch::Sender<Monotonic>,
    wall: Mutex<WallClock>,
}

impl ManualClock {
    /// With this wall clock.
    #[must_use]
    pub fn new(wall: Timestamp, synchronised: bool) -> Self {
        let start = Monotonic::default().plus(Duration::from_secs(1));
        Self {
            monotonic: watch::Sender::new(start),
            wall: Mutex::new(WallClock {
                now: wall,
                synchronised,
            }),
        }
    }

    /// Both sides move on; sleepers whose deadline has come wake.
    pub fn advance(&self, by: Duration) {
        {
            let mut wall = self.wall.lock().unwrap_or_else(PoisonError::into_inner);
            wall.now = wall.now.plus(by);
        }
        self.monotonic.send_modify(|now| *now = now.plus(by));
    }

    /// Sets the monotonic side alone, backwards too (a defect that deadlines have to survive).
    pub fn set_monotonic(&self, now: Monotonic) {
        self.monotonic.send_replace(now);
    }

    /// Sets the wall clock alone, as NTP or a person does.
    pub fn set_wall(&self, now: Timestamp, synchronised: bool) {
        *self.wall.lock().unwrap_or_else(PoisonError::into_inner) = WallClock { now, synchronised };
    }

    /// How many sleepers wait.
    #[must_use]
    pub fn sleepers(&self) -> usize {
        self.monotonic.receiver_count()
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new(Timestamp::default(), false)
    }
}

impl Clock for ManualClock {
    fn monotonic(&self) -> Monotonic {
        *self.monotonic.borrow()
    }

    fn wall(&self) -> WallClock {
        *self.wall.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sleep_until(&self, deadline: Monotonic) -> impl Future<Output = ()> + Send {
        let mut now = self.monotonic.subscribe();
        async move {
            if now.wait_for(|now| *now >= deadline).await.is_err() {
                // The clock is gone and with it whoever could move it.
                std::future::pending::<()>().await;
            }
        }
    }
}

/// The same bytes for the same seed, different ones for every call: SHA-256 over seed and counter. For tests alone.
#[derive(Debug)]
pub struct SeededEntropy {
    seed: u64,
    blocks: Mutex<u64>,
    exhausted: bool,
}

impl SeededEntropy {
    /// Bytes that follow from this seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self {
            seed,
            blocks: Mutex::new(0),
            exhausted: false,
        }
    }

    /// An operating system that has none to give.
    #[must_use]
    pub const fn exhausted() -> Self {
        Self {
            seed: 0,
            blocks: Mutex::new(0),
            exhausted: true,
        }
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyUnavailable> {
        if self.exhausted {
            return Err(EntropyUnavailable {
                cause: "this test has no random bytes".into(),
            });
        }
        let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        for chunk in bytes.chunks_mut(32) {
            let mut context = Context::new(&SHA256);
            context.update(&self.seed.to_be_bytes());
            context.update(&blocks.to_be_bytes());
            *blocks += 1;
            chunk.copy_from_slice(&context.finish().as_ref()[..chunk.len()]);
        }
        Ok(())
    }
}

/// The place of a trust anchor. Fresh, an anchor stands there and can be erased. A handle: clones share one place.
#[derive(Clone, Debug)]
pub struct FakeAnchor(Arc<Mutex<(bool, Option<AnchorFault>)>>);

impl Default for FakeAnchor {
    fn default() -> Self {
        Self(Arc::new(Mutex::new((true, None))))
    }
}

impl FakeAnchor {
    /// Whether an anchor stands there now.
    #[must_use]
    pub fn stands(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    /// Puts one there, or takes it away.
    pub fn put(&self, stands: bool) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0 = stands;
    }

    /// From now on it cannot be erased, with this remedy; with none it can.
    pub fn refuse(&self, remedy: Option<&str>) {
        let fault = remedy.map(|remedy| AnchorFault { remedy: remedy.into() });
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1 = fault;
    }
}

impl AnchorKeeper for FakeAnchor {
    async fn is_there(&self) -> bool {
        self.stands()
    }

    async fn erase(&self) -> Result<(), AnchorFault> {
        let mut place = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match (place.0, place.1.clone()) {
            (true, Some(fault)) => Err(fault),
            _ => {
                place.0 = false;
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn wakes_a_sleeper_when_its_time_has_come_and_not_before() {
        let clock = Arc::new(ManualClock::default());
        let deadline = clock.monotonic().plus(Duration::from_secs(10));
        let sleeper = tokio::spawn({
            let clock = Arc::clone(&clock);
            async move { clock.sleep_until(deadline).await }
        });
        while clock.sleepers() == 0 {
            tokio::task::yield_now().await;
        }
        clock.advance(Duration::from_secs(9));
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert!(!sleeper.is_finished());
        clock.advance(Duration::from_secs(1));
        sleeper.await.unwrap();
        assert_eq!(clock.wall().now, Timestamp::from_millis(10_000));
    }

    #[test]
    fn gives_the_same_bytes_for_the_same_seed_and_other_ones_each_time() {
        let draw = |entropy: &SeededEntropy| {
            let mut bytes = [0; 40];
            entropy.fill(&mut bytes).unwrap();
            bytes
        };
        let (one, two, other) = (SeededEntropy::new(1), SeededEntropy::new(1), SeededEntropy::new(2));
        let first = draw(&one);
        assert_eq!(first, draw(&two));
        assert_ne!(first, draw(&one));
        assert_ne!(first, draw(&other));
        assert!(SeededEntropy::exhausted().fill(&mut [0; 1]).is_err());
    }
}
