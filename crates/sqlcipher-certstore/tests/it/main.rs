//! The store on real files.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod audit;
mod content;
mod contract;
mod encryption;
mod home;
mod hostile;
mod interruption;
mod key;
mod killed;
mod lost;
mod rotation;
mod sources;
mod tampering;
mod wrapped;
