//! Fakes, port contracts, PKI fixtures, canary secrets and hostile clients for tests.
pub mod envelope;
pub mod payload;
pub mod fake_store;
pub mod installation;
pub mod store;
pub mod fake_service;
pub mod fakes;
pub mod https_client;
pub mod skip;

pub mod pki;
