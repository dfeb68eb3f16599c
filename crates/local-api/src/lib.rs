//! Local API: what a command line or a test does with the provisioning service, as HTTP/1.1 over a Unix socket; what the
//! monitor application gets, over a socket of its own; and the kiosk page for the monitor's own display, on loopback.
//!
//! The routes, with what each takes, answers and refuses, stand in `table.rs` and nowhere else; `docs/openapi-control.json`,
//! `docs/openapi-application.json` and `docs/openapi-kiosk.json` are made from them. The page's own files are in `page/`.
//!
//! Every refusal is an `application/problem+json` ([`Problem`]). No answer holds a session key or a PIN, and none but
//! [`CredentialsView`] on the application's socket a private key; the pairing code is in the three pictures of the QR code
//! and at its own path alone. Times are milliseconds since 1970.
//!
//! This crate decides nothing. Who may connect is decided by the mode, the owner and the group of the socket, and
//! for the kiosk page of the file with its token.

mod events;
mod examination;
mod kiosk;
#[cfg(feature = "openapi")]
mod openapi;
mod problem;
mod reading;
mod routes;
mod server;
#[cfg(feature = "simulation")]
mod simulation;
mod table;
mod view;

pub use examination::ExaminationView;
pub use kiosk::{KioskSettings, Language, Theme};
#[cfg(feature = "openapi")]
pub use openapi::{openapi, openapi_application, openapi_kiosk};
pub use problem::Problem;
pub use reading::{
    AuditPageView, AuditQuery, AuditRecordView, AuditVerdictView, ChangeView, ChangesView, ConfigurationView,
    CredentialsView, PemView,
};
pub use routes::PairingDefaults;
pub use server::{serve, serve_application, serve_kiosk};
pub use view::{
    CertificateView, CertificatesView, ConfirmationAnswer, ConfirmationView, DestructionView, FailureView, HealthView,
    InstalledView, PairingRequest, PairingView, ReceiptView, SettingsView, StatusView, WarningView,
};
