//! `simulate-device`, run as a program and pushed to with the station's library.
#![cfg(feature = "simulation")]
#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod faults;
mod fleet;
mod support;
