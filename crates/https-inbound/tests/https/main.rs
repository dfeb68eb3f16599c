//! The listener over real TLS, with clients that behave and clients that do not.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail tests")]

mod answers;
mod deadlines;
mod floods;
mod harness;
mod hostile;
mod lifecycle;
mod sizes;
mod tls;
