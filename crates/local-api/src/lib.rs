//! Local control API: what a screen, a command line or a test does with the provisioning service, as HTTP/1.1 over a
//! Unix socket.
//!
//! Its routes, with what each takes, answers and refuses, stand in `table.rs` and nowhere else; `docs/openapi-control.json`
//! is made from them.
//!
//! Every refusal is an `application/problem+json` ([`Problem`]). No answer holds a private key, a session key or a PIN;
//! the pairing code is in the three pictures of the QR code alone. Times are milliseconds since 1970.
//!
//! This crate decides nothing. Who may connect is decided by the mode and the owner of the socket.

mod events;
#[cfg(feature = "openapi")]
mod openapi;
mod problem;
mod routes;
mod server;
mod table;
mod view;

#[cfg(feature = "openapi")]
pub use openapi::openapi;
pub use problem::{Problem, http_status};
pub use routes::PairingDefaults;
pub use server::serve;
pub use view::{
    CertificateView, CertificatesView, FailureView, InstalledView, PairingRequest, PairingView, ReceiptView,
    SettingsView, StatusView,
};
