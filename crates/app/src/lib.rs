//! The device binary: configuration, wiring, command line, telemetry, shutdown.
//!
//! The binary `zmon-provision` calls [`cli::run`] and nothing else. What each module must not do: decide anything about
//! provisioning; that is the domain's.

pub mod administrator;
pub mod anchor_file;
pub mod cli;
pub mod clock;
pub mod configuration;
pub mod control_client;
pub mod control_socket;
pub mod entropy;
pub mod event_lines;
pub mod files;
pub mod hardening;
pub mod kiosk_file;
#[cfg(feature = "mock")]
pub mod mock;
pub mod provisioned_file;
pub mod release;
pub mod service_manager;
pub mod shutdown;
#[cfg(feature = "simulation")]
pub mod simulation;
pub mod telemetry;
pub mod text;
pub mod wiring;
