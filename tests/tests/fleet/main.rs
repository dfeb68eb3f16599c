//! A ward full of simulated monitors in one process, and a Central Station that provisions them all.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails as the test itself")]

mod batch;
mod one_by_one;
mod ward;
