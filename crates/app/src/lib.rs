//! The device binary: configuration, wiring, command line, telemetry, shutdown.
