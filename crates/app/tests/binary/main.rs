//! The real binary, from outside.
#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod command_line;
mod device;
mod faltering;
mod json;
mod ports;
mod service_manager;
mod store;
mod support;
mod terminal;
mod trust;
mod watch;
