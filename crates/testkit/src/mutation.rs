//! Bytes as a stranger may send them: a good input that was changed here and there, and a way to see a failure again.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{FailurePersistence, PersistedSeed};

/// Names the seed that a failing property test printed, so that its case comes first in the next run.
const SEED: &str = "ZMON_PROPTEST_SEED";

/// So many cases; a failure prints its seed.
#[must_use]
pub fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig {
        failure_persistence: Some(Box::new(PrintedSeed)),
        ..ProptestConfig::with_cases(cases)
    }
}

/// One change of some bytes.
#[derive(Clone, Debug)]
enum Change {
    Flip(prop::sample::Index, u8),
    Replace(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Insert(prop::sample::Index, Vec<u8>),
    Remove(prop::sample::Index, prop::sample::Index),
    Repeat(prop::sample::Index, prop::sample::Index),
}

impl Change {
    fn any() -> impl Strategy<Value = Self> {
        // What has a meaning in one or the other notation.
        let telling = prop::sample::select(b"\0\n\r\t \"',-./0:;=AZ[\\]_az{}\x7f\x80\xff".as_slice());
        let place = any::<prop::sample::Index>;
        prop_oneof![
            3 => (place(), 1..=255_u8).prop_map(|(at, mask)| Self::Flip(at, mask)),
            3 => (place(), telling).prop_map(|(at, byte)| Self::Replace(at, byte)),
            1 => place().prop_map(Self::Cut),
            2 => (place(), vec(any::<u8>(), 1..8)).prop_map(|(at, bytes)| Self::Insert(at, bytes)),
            2 => (place(), place()).prop_map(|(from, to)| Self::Remove(from, to)),
            1 => (place(), place()).prop_map(|(from, to)| Self::Repeat(from, to)),
        ]
    }

    fn apply(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            bytes.push(b'x');
        }
        let length = bytes.len();
        // At most thirty-two bytes from the place on.
        let stretch = |from: &prop::sample::Index, to: &prop::sample::Index| {
            let from = from.index(length);
            from..(from + 1 + to.index(32)).min(length)
        };
        match self {
            Self::Flip(at, mask) => bytes[at.index(length)] ^= mask,
            Self::Replace(at, byte) => bytes[at.index(length)] = *byte,
            Self::Cut(at) => bytes.truncate(at.index(length)),
            Self::Insert(at, new) => {
                let at = at.index(length);
                bytes.splice(at..at, new.iter().copied());
            }
            Self::Remove(from, to) => drop(bytes.drain(stretch(from, to))),
            Self::Repeat(from, to) => {
                let again = bytes[stretch(from, to)].to_vec();
                let at = from.index(length);
                bytes.splice(at..at, again);
            }
        }
    }
}

/// This input with one to four changes; never the input itself.
pub fn changed(input: impl Into<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let input = input.into();
    vec(Change::any(), 1..=4).prop_filter_map("nothing is changed", move |changes| {
        let mut bytes = input.clone();
        for change in &changes {
            change.apply(&mut bytes);
        }
        (bytes != input).then_some(bytes)
    })
}

/// The same for text; what is no UTF-8 any more becomes replacement characters.
pub fn changed_text(input: &str) -> impl Strategy<Value = String> + use<> {
    let original = input.to_owned();
    changed(original.clone()).prop_filter_map("nothing is changed", move |bytes| {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        (text != original).then_some(text)
    })
}

/// Any bytes, up to so many.
pub fn any_bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..=most)
}

/// Prints a failing case's seed instead of writing it to a file, and takes it back from the environment.
#[derive(Clone, Copy, Debug, PartialEq)]
struct PrintedSeed;

impl FailurePersistence for PrintedSeed {
    #[expect(clippy::disallowed_methods, reason = "a switch of the tests, not of the product")]
    fn load_persisted_failures2(&self, _source: Option<&'static str>) -> Vec<PersistedSeed> {
        let seed = std::env::var(SEED).ok().and_then(|seed| seed.parse().ok());
        seed.into_iter().collect()
    }

    #[expect(clippy::print_stderr, reason = "the test harness shows it beside the failure")]
    fn save_persisted_failure2(
        &mut self,
        _source: Option<&'static str>,
        seed: PersistedSeed,
        _shrunken: &dyn std::fmt::Debug,
    ) {
        eprintln!("to see this case again: {SEED}='{seed}'");
    }

    fn box_clone(&self) -> Box<dyn FailurePersistence> {
        Box::new(*self)
    }

    fn eq(&self, other: &dyn FailurePersistence) -> bool {
        other.as_any().is::<Self>()
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use super::*;

    proptest! {
        #![proptest_config(cases(256))]

        #[test]
        fn never_gives_the_input_itself(bytes in changed(b"GET / HTTP/1.1".as_slice()), text in changed_text("{\"a\":1}")) {
            prop_assert_ne!(bytes.as_slice(), b"GET / HTTP/1.1".as_slice());
            prop_assert_ne!(text, "{\"a\":1}");
        }
    }

    /// A parser with a defect that one change in some hundred brings to light.
    #[test]
    fn finds_a_defect_that_changes_of_a_good_input_reach() {
        let found = catch_unwind(|| {
            proptest!(cases(20_000), |(text in changed_text("a=1;b=2;c=3"))| {
                prop_assert!(!text.contains(";;"));
            });
        });
        assert!(found.is_err());
    }
}
