//! Commands, output and exit codes.

mod commands;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use serde_json::{Value, json};
use zmon_central_station::push::Refusal;
use zmon_central_station::{Family, Fault};

/// Reference Central Station of Z Monitor Provisioning.
///
/// Exit codes: 0 done; 2 wrong usage; 3 a file or setting of this machine; 4 the QR code; 5 the network or the pin;
/// 6 the device refused; 7 the receipt.
#[derive(Parser)]
#[command(name = "zmon-station", version)]
pub(crate) struct Arguments {
    /// Folder with the station's keys.
    #[arg(long, global = true, default_value = "zmon-station", value_name = "DIR")]
    home: PathBuf,
    /// Print JSON instead of sentences.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make the station's keys and certificate authority, once.
    Init {
        /// Name of the certificate authority.
        #[arg(long, default_value = "Z Monitor Central Station CA")]
        name: String,
        /// What monitors trust: a key derived for each, or this station's Ed25519 key.
        #[arg(long, value_enum, default_value = "hmac")]
        anchor: Anchor,
    },
    /// Write the line that a monitor is commissioned with: its derived key (a secret), or the station's public key.
    Derive {
        /// The monitor.
        device_id: String,
        /// New file for the line, mode 0600.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Read the QR code in a PNG and verify that it is a monitor's own.
    Scan {
        /// Picture of the screen.
        png: PathBuf,
    },
    /// Issue a client certificate for a monitor: certificate.pem and key.pem.
    Issue {
        /// The monitor.
        device_id: String,
        /// New folder for the files.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Issue a server certificate, to be pinned by monitors: certificate.pem and key.pem.
    IssueServer {
        /// DNS name or IP address of the server.
        host: String,
        /// New folder for the files.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Provision the monitor whose QR code is in a PNG: scan, verify, issue, sign, seal, push, check the receipt.
    Provision(Box<Provision>),
    /// Push a body that was sealed before, for example after a lost answer.
    Push {
        /// Picture of the screen that the body was sealed for.
        png: PathBuf,
        /// The sealed body.
        #[arg(long, value_name = "FILE")]
        body: PathBuf,
    },
    /// Verify a receipt.
    VerifyReceipt {
        /// File with the receipt.
        receipt: PathBuf,
        /// The monitor that gave it.
        #[arg(long)]
        device_id: String,
        /// The body that was pushed, to compare with.
        #[arg(long, value_name = "FILE")]
        body: Option<PathBuf>,
        /// The certificate that was issued, PEM, to compare with; needed with an Ed25519 anchor.
        #[arg(long, value_name = "FILE")]
        certificate: Option<PathBuf>,
    },
}

#[derive(Args)]
struct Provision {
    /// Picture of the screen.
    png: PathBuf,
    /// The central server: an https URL.
    #[arg(long)]
    server_url: String,
    /// What people call the monitor.
    #[arg(long)]
    label: String,
    /// METRIC or IMPERIAL.
    #[arg(long, default_value = "METRIC")]
    unit: String,
    /// Two or three letters such as EN or ES.
    #[arg(long, default_value = "EN")]
    language: String,
    /// Seconds between synchronisations, 1 to 3600.
    #[arg(long, default_value_t = 10)]
    sync_interval: u32,
    /// The server's certificate to pin, PEM, leaf first.
    #[arg(long, value_name = "FILE")]
    server_cert: Option<PathBuf>,
    /// Keep the sealed body in a new file, to push it again after a lost answer.
    #[arg(long, value_name = "FILE")]
    save_body: Option<PathBuf>,
    /// Keep the receipt in a new file.
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,
    /// Keep the issued certificate in a new file (receipts of an Ed25519 station are verified with it).
    #[arg(long, value_name = "FILE")]
    save_certificate: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Anchor {
    Hmac,
    Ed25519,
}

/// What a command has to say: one sentence a line for people, one object for programs.
struct Report {
    text: String,
    json: Value,
}

/// Why a command did not do what it was asked for.
enum Failure {
    Fault(Fault),
    Refused(Refusal),
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl Failure {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Fault(fault) => match fault.family {
                Family::Local => 3,
                Family::Scan => 4,
                Family::Network => 5,
                Family::Receipt => 7,
            },
            Self::Refused(_) => 6,
        }
    }

    fn report(&self) -> Report {
        match self {
            Self::Fault(fault) => {
                let family = match fault.family {
                    Family::Local => "local",
                    Family::Scan => "scan",
                    Family::Network => "network",
                    Family::Receipt => "receipt",
                };
                Report {
                    text: fault.to_string(),
                    json: json!({ "error": { "family": family, "detail": fault.to_string() } }),
                }
            }
            Self::Refused(refusal) => Report {
                text: format!(
                    "The monitor refused ({}): {}\n{}",
                    printable(&refusal.code),
                    printable(&refusal.detail),
                    printable(&refusal.next_action)
                ),
                json: json!({ "error": refusal }),
            },
        }
    }
}

/// What came over the network, without characters that a terminal obeys.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

/// Runs a command.
#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the one place where the program speaks"
)]
pub(crate) async fn run(arguments: Arguments) -> ExitCode {
    let (outcome, code) = match commands::run(&arguments.home, arguments.command).await {
        Ok(report) => (Ok(report), 0),
        Err(failure) => (Err(failure.report()), failure.exit_code()),
    };
    match outcome {
        Ok(report) | Err(report) if arguments.json => println!("{}", report.json),
        Ok(report) => println!("{}", report.text),
        Err(report) => eprintln!("{}", report.text),
    }
    ExitCode::from(code)
}
