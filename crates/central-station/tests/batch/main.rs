//! A list of devices is provisioned against real TLS listeners.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails as the test itself")]

mod list;
mod resume;
mod run;
mod support;
