//! `vectors [FILE]`: runs a file of conformance vectors, prints each failing case and `N of M`.

use std::path::PathBuf;
use std::process::ExitCode;

#[tokio::main]
#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "printing is what this program is for"
)]
async fn main() -> ExitCode {
    let file = std::env::args_os()
        .nth(1)
        .map_or_else(zmon_tests::vectors::own_file, PathBuf::from);
    let outcome = match zmon_tests::vectors::run(&file).await {
        Ok(outcome) => outcome,
        Err(error) => {
            eprintln!("vectors: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    for failing in &outcome.failing {
        println!("{failing}");
    }
    println!("{} of {}", outcome.all - outcome.failing.len(), outcome.all);
    if outcome.failing.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
