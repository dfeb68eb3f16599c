//! The store survives anything: the device's own program is killed at every change of its files, its power is cut with
//! what was not yet synced lost, and its storage fails; each time it has to come back as it was, or as it was to become.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails as the test itself")]

mod act;
mod disk;
mod faults;
mod full;
mod kill;
mod power;
mod refusals;
mod site;
mod trace;
mod verdict;

use std::io::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// These tests keep all processors busy, so each waits for its turn.
fn my_turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Says it also where the test passes, whose printed lines nobody sees.
fn say(line: &str) {
    writeln!(std::io::stdout().lock(), "\n{line}").unwrap();
}
