//! `zmon-provision`: see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(zmon_app::cli::run(std::env::args_os(), std::env::vars_os()) as u8)
}
