//! The contract of `KeySource`, for the fake and for real adapters alike.

use std::sync::{Mutex, PoisonError};
use std::thread;

use zmon_ports::{KeySource, KeySourceFault, WrappingKey};

/// Holds a key source to its port's contract. `make` gives one that is set up for a first start, with whatever has to
/// live as long as it; `lose` makes its key unavailable.
///
/// # Panics
/// Where the source breaks the contract.
pub fn contract<S: KeySource, T>(make: impl Fn() -> (S, T), lose: impl Fn(&T)) {
    let (source, place) = make();
    let key = source.wrapping_key(true).expect("the first start gets a key");
    assert!(
        key.expose().iter().any(|byte| *byte != key.expose()[0]),
        "a key is not one byte repeated"
    );
    for may_create in [false, true, false] {
        let again = source.wrapping_key(may_create).expect("later starts get a key");
        assert!(again == key, "the same key on every call");
    }
    thread::scope(|scope| {
        let askers: Vec<_> = (0..4).map(|_| scope.spawn(|| source.wrapping_key(false))).collect();
        for asker in askers {
            let asked = asker.join().expect("asking does not panic").expect("each gets a key");
            assert!(asked == key, "the same key for all who ask at once");
        }
    });

    lose(&place);
    let hexadecimal: String = key.expose().iter().map(|byte| format!("{byte:02x}")).collect();
    for _ in 0..2 {
        let fault = source
            .wrapping_key(false)
            .expect_err("a key that is lost is an error, and no new one is made");
        assert!(!fault.cause.is_empty(), "a fault says why");
        let cause = fault.cause.to_lowercase();
        assert!(!cause.contains(&hexadecimal[..16]), "a fault holds no key material");
    }
}

/// A key source in memory.
#[derive(Debug, Default)]
pub struct FakeKeySource(Mutex<Option<[u8; 32]>>);

impl FakeKeySource {
    /// That has a key already, as hardware does.
    #[must_use]
    pub fn with_key(key: [u8; 32]) -> Self {
        Self(Mutex::new(Some(key)))
    }

    /// The key is gone.
    pub fn lose(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl KeySource for FakeKeySource {
    fn wrapping_key(&self, may_create: bool) -> Result<WrappingKey, KeySourceFault> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if held.is_none() && may_create {
            *held = Some(core::array::from_fn(|at| at as u8));
        }
        let mut key = held.ok_or_else(|| KeySourceFault {
            cause: "the fake has lost its key; make another fake".into(),
        })?;
        Ok(WrappingKey::take(&mut key))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    struct Shared(Arc<FakeKeySource>);

    impl KeySource for Shared {
        fn wrapping_key(&self, may_create: bool) -> Result<WrappingKey, KeySourceFault> {
            self.0.wrapping_key(may_create)
        }
    }

    #[test]
    fn it_is_kept_by_the_fake() {
        for fake in [FakeKeySource::default, || {
            FakeKeySource::with_key(*b"a key that hardware has given us")
        }] {
            let make = || {
                let fake = Arc::new(fake());
                (Shared(Arc::clone(&fake)), fake)
            };
            contract(make, |fake| fake.lose());
        }
    }
}
