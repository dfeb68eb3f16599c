//! Documents that are made from the code, and from what the adapters decide. `cargo xtask docs` runs these tests; with
//! `--write` they write instead of comparing.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails as the test itself")]

mod catalogue;
mod certificates;
mod generated;
mod metrics;
