//! Adds up what the test harness says.

use std::collections::BTreeMap;

/// What a test is, told from where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// Beside the code.
    Unit,
    /// A port's contract suite, run against an adapter or a fake.
    Contract,
    /// Against a crate's public face.
    Integration,
    /// Against real processes and adapters.
    System,
    /// An example in the documentation of an item.
    Example,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Unit => "unit",
            Self::Contract => "contract",
            Self::Integration => "integration",
            Self::System => "system",
            Self::Example => "documentation",
        }
    }
}

/// Counts of one run of `cargo test`.
pub(super) struct Tally {
    system_tests: Vec<String>,
    current: Kind,
    passed: BTreeMap<Kind, usize>,
    failed: Vec<String>,
    failed_targets: Vec<String>,
    ignored: Vec<String>,
}

impl Tally {
    /// `system_tests` names the test binaries that are system tests.
    pub(super) fn new(system_tests: Vec<String>) -> Self {
        Self {
            system_tests,
            current: Kind::Unit,
            passed: BTreeMap::new(),
            failed: Vec::new(),
            failed_targets: Vec::new(),
            ignored: Vec::new(),
        }
    }

    /// Takes one line of output. Says whether a person wants to see it.
    pub(super) fn take(&mut self, line: &str) -> bool {
        let trimmed = line.trim_start();
        if let Some(kind) = self.heading(trimmed) {
            self.current = kind;
        } else if let Some(counts) = line.strip_prefix("test result: ") {
            *self.passed.entry(self.current).or_default() += count(counts, "passed");
        } else if let Some((name, outcome)) = line.strip_prefix("test ").and_then(|rest| rest.split_once(" ... ")) {
            if outcome.starts_with("FAILED") {
                self.failed.push(name.to_owned());
            } else if outcome.starts_with("ignored") {
                self.ignored.push(name.to_owned());
            }
        } else if let Some(target) = trimmed.strip_prefix("`-p ").and_then(|rest| rest.strip_suffix('`')) {
            self.failed_targets.push(target.to_owned());
        }
        !(line.is_empty()
            || ["Compiling ", "Finished ", "Fresh "]
                .iter()
                .any(|noise| trimmed.starts_with(noise)))
    }

    fn heading(&self, line: &str) -> Option<Kind> {
        if line.starts_with("Doc-tests ") {
            return Some(Kind::Example);
        }
        let source = line.strip_prefix("Running ")?.split(" (").next()?;
        if source.starts_with("unittests ") {
            return Some(Kind::Unit);
        }
        let binary = line.rsplit('/').next()?.split('-').next()?;
        Some(
            if self.system_tests.iter().any(|name| name.replace('-', "_") == binary) {
                Kind::System
            } else if source.contains("contract") {
                Kind::Contract
            } else {
                Kind::Integration
            },
        )
    }

    pub(super) fn passed(&self) -> usize {
        self.passed.values().sum()
    }

    pub(super) fn failed(&self) -> usize {
        self.failed.len()
    }

    /// Such as `2 tests failed: a::b, c::d (in zmon-domain --lib)`; a target may fail with no failed test, when its
    /// process crashed.
    pub(super) fn what_failed(&self) -> String {
        let tests = match self.failed.as_slice() {
            [] => "no test failed, but a test process did not end as it should".to_owned(),
            names => format!("{} tests failed: {}", names.len(), names.join(", ")),
        };
        format!("{tests} (in {})", self.failed_targets.join(", "))
    }

    /// Names of tests that are marked `#[ignore]`.
    pub(super) fn ignored(&self) -> impl Iterator<Item = &str> {
        self.ignored.iter().map(String::as_str)
    }

    /// Such as `unit 12, contract 3`.
    pub(super) fn by_kind(&self) -> String {
        let parts: Vec<String> = self
            .passed
            .iter()
            .filter(|(_, count)| **count > 0)
            .map(|(kind, count)| format!("{} {count}", kind.as_str()))
            .collect();
        parts.join(", ")
    }
}

/// The number before `what` in `ok. 3 passed; 0 failed; ...`.
fn count(text: &str, what: &str) -> usize {
    text.split([';', '.'])
        .filter_map(|part| part.trim().strip_suffix(what))
        .find_map(|number| number.trim().parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "\
   Compiling zmon-domain v0.1.0
     Running unittests src/lib.rs (target/debug/deps/zmon_domain-1a2b)
test error::tests::it_speaks ... ok
test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s
test pairing::tests::it_waits ... ignored
     Running tests/contract.rs (target/debug/deps/contract-1a2b)
test pairing::it_holds ... FAILED
test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
     Running tests/pictures.rs (target/debug/deps/pictures-1a2b)
test result: ok. 5 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
     Running tests/main_path.rs (target/debug/deps/main_path-1a2b)
test result: ok. 7 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
   Doc-tests zmon_domain
test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
error: 1 target failed:
    `-p zmon-ports --test contract`";

    #[test]
    fn it_adds_up_every_result_by_kind() {
        let mut tally = Tally::new(vec!["main-path".to_owned()]);
        for line in OUTPUT.lines() {
            tally.take(line);
        }
        assert_eq!((tally.passed(), tally.failed()), (18, 1));
        assert_eq!(
            tally.by_kind(),
            "unit 3, contract 2, integration 5, system 7, documentation 1"
        );
        assert_eq!(tally.ignored().collect::<Vec<_>>(), ["pairing::tests::it_waits"]);
    }

    #[test]
    fn it_names_what_failed_also_where_a_process_crashed() {
        let mut tally = Tally::new(Vec::new());
        tally.take("    `-p zmon-tests --test service`");
        assert_eq!(
            tally.what_failed(),
            "no test failed, but a test process did not end as it should (in zmon-tests --test service)"
        );
        for line in OUTPUT.lines() {
            tally.take(line);
        }
        assert_eq!(
            tally.what_failed(),
            "1 tests failed: pairing::it_holds (in zmon-tests --test service, zmon-ports --test contract)"
        );
    }

    #[test]
    fn it_shows_results_but_not_what_was_compiled() {
        let mut tally = Tally::new(Vec::new());
        let shown: Vec<bool> = OUTPUT.lines().take(4).map(|line| tally.take(line)).collect();
        assert_eq!(shown, [false, true, true, true]);
    }
}
