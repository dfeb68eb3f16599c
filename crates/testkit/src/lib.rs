//! Fakes, port contracts, PKI fixtures, canary secrets and hostile clients for tests.

pub mod envelope;
pub mod fake_service;
pub mod fake_store;
pub mod fakes;
pub mod https_client;
pub mod installation;
pub mod key_source;
pub mod mtls_server;
pub mod mutation;
pub mod payload;
pub mod pki;
pub mod qr_code;
pub mod reading;
pub mod service;
pub mod skip;
pub mod store;
