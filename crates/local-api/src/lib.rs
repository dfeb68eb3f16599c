//! Local control API: what a screen, a command line or a test does with the provisioning service, as HTTP/1.1 over a
//! Unix socket.
//!
//! | method and path | answer |
//! | --- | --- |
//! | `GET /v1/status` | 200, [`StatusView`] |
//! | `GET /v1/receipt` | 200, [`ReceiptView`] |
//! | `POST /v1/pairing`, [`PairingRequest`] or no body | 201, [`PairingView`] |
//! | `DELETE /v1/pairing` | 200, [`StatusView`] |
//! | `GET /v1/pairing/qr.png`, `.../qr.svg`, `.../qr.txt` | 200, what the screen shows; the text has the pairing code below the symbol |
//! | `POST /v1/acknowledge` | 200, [`StatusView`] |
//! | `POST /v1/deprovision`, `{"pin":...}` | 200, [`StatusView`] |
//! | `GET /v1/events` | 200, `text/event-stream`: the specification's six signals by name, and `missed` |
//!
//! Every refusal is an `application/problem+json` ([`Problem`]). No answer holds a private key, a session key or a PIN;
//! the pairing code is in the three pictures of the QR code alone. Times are milliseconds since 1970.
//!
//! This crate decides nothing. Who may connect is decided by the mode and the owner of the socket.

mod events;
mod problem;
mod routes;
mod server;
mod view;

pub use problem::Problem;
pub use routes::PairingDefaults;
pub use server::serve;
pub use view::{
    CertificateView, CertificatesView, FailureView, InstalledView, PairingRequest, PairingView, ReceiptView,
    SettingsView, StatusView,
};
