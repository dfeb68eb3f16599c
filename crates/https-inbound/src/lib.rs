//! HTTPS listener that exists while pairing is open.
//!
//! [`HttpsInbound`] implements the port [`PairingListener`](zmon_ports::PairingListener) with rustls and hyper and hands
//! what it receives to any [`PairingInbound`](zmon_ports::PairingInbound) service. It does steps 1 to 3 of the
//! validation order in `protocol.md` and every limit on what strangers may cost the device; it knows nothing of envelopes,
//! payloads or states.
//!
//! | file | what it alone knows |
//! | --- | --- |
//! | `http_status.rs` | which HTTP status an error code has |
//! | `table.rs` | paths and methods, and what each takes, answers and refuses |
//! | `routes.rs` | the order of the checks, and the media type |
//! | `answer.rs` | what answers look like |
//! | `rate.rs`, `slots.rs` | who has to wait, who is let in (pure, time passed in) |
//! | `identity.rs` | the session's TLS key, certificate and protocol settings |
//! | `listener.rs`, `connection.rs` | sockets, tasks and deadlines |

mod answer;
mod connection;
mod http_status;
mod identity;
mod limits;
mod listener;
#[cfg(feature = "openapi")]
mod openapi;
mod peer;
mod rate;
mod routes;
mod session;
mod slots;
mod table;

pub use limits::Limits;
pub use listener::{HttpsInbound, HttpsInboundConfig};
#[cfg(feature = "openapi")]
pub use openapi::openapi;
