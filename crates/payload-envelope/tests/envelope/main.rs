//! The envelope from outside: vectors, hostile messages, properties, receipts.
#![expect(clippy::unwrap_used, reason = "a test may panic, also in the functions that help it")]

mod confusion;
mod contract;
mod craft;
mod destruction;
mod hostile;
mod members;
mod properties;
mod receipts;
mod secrets;
mod signatures;
mod vectors;
