//! Fakes, port contracts, PKI fixtures, canary secrets and hostile clients for tests.
