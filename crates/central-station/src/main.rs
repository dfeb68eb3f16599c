//! `zmon-station`: see the library.

use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    zmon_central_station::cli::run().await
}
