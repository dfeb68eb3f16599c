//! System tests: the service with its real adapters, and the conformance vectors.

pub mod bench;
pub mod database;
pub mod device;
pub mod kit;
pub mod programs;
pub mod qr;
pub mod quick;
pub mod station;
pub mod vectors;
