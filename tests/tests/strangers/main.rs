//! Clients that share no code with ours are understood to the letter, and anything else that they say is refused.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails as the test itself")]

mod interfaces;
mod live;
mod metrics;
mod negatives;
mod payloads;
mod receipts;
mod simulator;
mod site;
mod store;
