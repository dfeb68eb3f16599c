//! The commands of this repository. `cargo xtask test` is the gate that a person types and that CI runs.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the commands of this crate speak to the person who typed them"
)]

mod bench;
mod demo;
mod dist;
mod docs;
mod gate;
mod inspect;
mod kit;
mod layers;
mod lifecycle;
mod manual;
mod process;
mod vectors;
mod workspace;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{CommandFactory as _, Parser, Subcommand, ValueEnum as _};

use crate::dist::{Target, Toolchain};
use crate::lifecycle::Outcome;
use crate::workspace::Workspace;

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    about = "The commands of this repository."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the gate: formatting, lints, layers, documents, every test and the demonstration.
    Test,
    /// Compare the dependencies of every crate with `xtask/layers.toml`.
    Layers,
    /// Check the documents: links, paths, commands, and that what is generated from the code is up to date.
    Docs {
        /// Regenerate what is generated.
        #[arg(long)]
        write: bool,
    },
    /// Run the device's checks over a file of test vectors.
    Vectors {
        /// The file; otherwise the one that ZMON_VECTORS names, otherwise the repository's own.
        file: Option<PathBuf>,
    },
    /// Make the Python and JavaScript libraries of the clients in `examples/`, below `target/strangers`.
    Strangers,
    /// Write man pages and completions of both programs below `target/man` and `target/completions`.
    Man,
    /// Build the device's program for ARM, below `target/dist`, and inspect it.
    Dist {
        /// For this kind of device; otherwise for all.
        #[arg(long)]
        target: Option<Target>,
        /// Build a second time in another folder and compare every byte.
        #[arg(long)]
        twice: bool,
        /// With the compiler and the standard libraries of Debian's packages, as where rustup cannot fetch them.
        #[arg(long)]
        debian_rust: bool,
    },
    /// Compare programs that `dist` built with the expectations in `deploy/`.
    Inspect {
        /// For this kind of device; otherwise for all.
        #[arg(long)]
        target: Option<Target>,
    },
    /// Install, start, upgrade and purge the Debian package in a container, with the programs of this machine.
    Lifecycle,
    /// Measure how long a device takes to be ready for pairing, and its memory.
    Bench,
    /// Provision a device in front of your eyes: two real processes, from the QR code to a restart.
    Demo {
        /// Leave the device running and its files in place.
        #[arg(long)]
        keep: bool,
        /// Another device program than the one of this workspace, such as `dist` leaves.
        #[arg(long, value_name = "PROGRAM")]
        device: Option<PathBuf>,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<ExitCode> {
    let workspace = Workspace::read()?;
    match command {
        Command::Test => gate::run(&workspace, &command_names()),
        Command::Layers => layers::check(&workspace).map(|report| done(&report)),
        Command::Docs { write: true } => docs::write(&workspace).map(|report| done(&report)),
        Command::Docs { write: false } => docs::check(&workspace, &command_names()).map(|report| done(&report)),
        Command::Vectors { file } => vectors::run(&workspace, file),
        Command::Strangers => gate::strangers::prepare(&workspace).map(|report| done(&report)),
        Command::Man => manual::write(&workspace).map(|report| done(&report)),
        Command::Dist {
            target,
            twice,
            debian_rust,
        } => {
            let toolchain = Toolchain::prepare(&workspace, &kinds(target), debian_rust)?;
            dist::run(&workspace, &toolchain, twice).map(|report| done(&report))
        }
        Command::Inspect { target } => {
            for target in kinds(target) {
                println!("{}", dist::inspect(&workspace, target)?);
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Bench => bench::run(&workspace).map(|report| done(&report)),
        Command::Lifecycle => match lifecycle::run(&workspace)? {
            Outcome::Passed(checks) => Ok(done(&format!("the package did what it should: {checks} checks"))),
            Outcome::Impossible(why) => anyhow::bail!("the package cannot be tried here: {why}"),
        },
        Command::Demo { keep, device } => demo::run(&workspace, device.as_deref(), keep).map(|()| ExitCode::SUCCESS),
    }
}

/// The one that was asked for, or every kind of device.
fn kinds(target: Option<Target>) -> Vec<Target> {
    target.map_or_else(|| Target::value_variants().to_vec(), |target| vec![target])
}

fn done(report: &str) -> ExitCode {
    println!("{report}");
    ExitCode::SUCCESS
}

/// What `cargo xtask` understands, for the documents' gate.
fn command_names() -> Vec<String> {
    Arguments::command()
        .get_subcommands()
        .map(|command| command.get_name().to_owned())
        .collect()
}
