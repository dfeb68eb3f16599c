//! State machine, payload, QR and certificate rules of device provisioning (DOC-API-005, protocol version 1).
//!
//! This crate decides. It reads no clock, takes no chance, opens no file and talks to nobody: time, random bytes and
//! facts are arguments.
#![no_std]

extern crate alloc;

pub mod access;
pub mod admin;
pub mod audit;
pub mod certificate;
pub mod checks;
pub mod confirmation;
pub mod error;
pub mod identity;
pub mod machine;
pub mod pairing;
pub mod payload;
pub mod qr;
pub mod result;
pub mod secret;
pub mod settings;
pub mod signal;
pub mod status;
pub mod time;

pub use error::{ErrorCode, ProvisioningError};
pub use machine::{Effect, Event, State, step};
pub use payload::ProvisioningPayload;
pub use qr::QrCodeData;
pub use result::ProvisioningResult;
pub use signal::ProvisioningSignal;
pub use status::ProvisioningStatus;
