//! The reference Central Station: everything the other side of the protocol has to do.
//!
//! A provisioning is five calls: [`scan::scan`] reads the QR code out of a picture and checks its `mac`,
//! [`ca::CertificateAuthority::issue_client`] makes the device's certificate, [`payload::Payload`] is filled in and
//! sealed, [`push::push`] sends it to the device that the pin names, and [`receipt::check`] makes sure that this
//! device installed this payload. The program `zmon-station` is these calls with files around them.

pub mod ca;
mod fault;
pub mod home;
pub mod payload;
pub mod push;
pub mod receipt;
pub mod scan;

pub use fault::{Family, Fault};
