//! Commands, output and exit codes.

mod audit;
mod batch;
mod check;
mod commands;
mod provision;

use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use crate::push::Refusal;
use crate::values::{device, label, language, server_host, server_url, sync_interval, unit};
use crate::{Family, Fault, FaultCode};
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use serde_json::{Value, json};
use zmon_domain::identity::DeviceId;
use zmon_domain::settings::{DeviceLabel, Language, MeasurementUnit, ServerHost, ServerUrl, SyncInterval};

/// Reference Central Station of Z Monitor Provisioning.
///
/// Exit codes: 0 done; 2 wrong usage; 3 a file or setting of this machine; 4 the QR code; 5 the network or the pin;
/// 6 the device refused; 7 the receipt; 8 `check` has objections; 9 `batch` is done and some devices are not provisioned;
/// 10 `audit-check` found an audit that was changed, cut or written anew.
///
/// With `--json` every outcome, faults included, is one JSON object on the standard output; a fault has `code`,
/// `title`, `detail`, `nextAction` and `family`.
#[derive(Parser)]
#[command(name = "zmon-station", version)]
struct Arguments {
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
        #[arg(value_parser = device)]
        device_id: DeviceId,
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
        #[arg(value_parser = device)]
        device_id: DeviceId,
        /// New folder for the files.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Issue a server certificate, to be pinned by monitors: certificate.pem and key.pem.
    IssueServer {
        /// DNS name or IP address of the server.
        #[arg(value_parser = server_host)]
        host: ServerHost,
        /// New folder for the files.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Provision the monitor whose QR code is in a PNG: scan, verify, issue, sign, seal, push, check the receipt.
    Provision(Box<Provision>),
    /// Do the same up to the push and write the sealed body to a file, to be carried to the monitor by hand and installed
    /// there with `zmon-provision apply`, while the QR code is on its screen.
    Seal(Box<Seal>),
    /// Push a body that was sealed before, for example after a lost answer.
    Push {
        /// Picture of the screen that the body was sealed for.
        png: PathBuf,
        /// The sealed body.
        #[arg(long, value_name = "FILE")]
        body: PathBuf,
        /// The certificate that the body brings, PEM, to compare with; an Ed25519 station needs it to verify the receipt.
        #[arg(long, value_name = "FILE")]
        certificate: Option<PathBuf>,
        /// Keep the receipt in a new file.
        #[arg(long, value_name = "FILE")]
        receipt: Option<PathBuf>,
    },
    /// Verify a receipt.
    VerifyReceipt {
        /// File with the receipt.
        receipt: PathBuf,
        /// The monitor that gave it.
        #[arg(long, value_parser = device)]
        device_id: DeviceId,
        /// The body that was pushed, to compare with.
        #[arg(long, value_name = "FILE")]
        body: Option<PathBuf>,
        /// The certificate that was issued, PEM, to compare with; needed with an Ed25519 anchor.
        #[arg(long, value_name = "FILE")]
        certificate: Option<PathBuf>,
    },
    /// Verify the record of destruction that a de-provisioned monitor left behind.
    VerifyDestruction {
        /// File with the record.
        record: PathBuf,
        /// The monitor that made it.
        #[arg(long, value_parser = device)]
        device_id: DeviceId,
        /// The certificate that was issued, PEM, to compare with; needed with an Ed25519 anchor.
        #[arg(long, value_name = "FILE")]
        certificate: Option<PathBuf>,
    },
    /// Provision every monitor of a list, side by side; the same command again goes on where it stopped.
    Batch(Box<batch::Batch>),
    /// Say everything that a monitor would object to in an unsealed payload, without a monitor.
    Check(check::Check),
    /// Verify an exported audit of a monitor, and compare it with receipts: was it changed, cut or written anew?
    AuditCheck(audit::AuditCheck),
    /// Put a monitor that was lost, broken or sold on the list of devices for which nothing is made any more.
    Retire {
        /// The monitor.
        #[arg(value_parser = device)]
        device_id: DeviceId,
        /// Why, for whoever meets the refusal.
        #[arg(long)]
        reason: Option<String>,
    },
    /// List the retired monitors.
    Retired,
    /// Print the completion script of a shell.
    Completions {
        /// The shell.
        #[arg(value_enum)]
        shell: Shell,
    },
}

/// What a monitor is to become.
#[derive(Args)]
struct Configure {
    /// Picture of the screen.
    png: PathBuf,
    /// The central server: an https URL.
    #[arg(long, value_parser = server_url)]
    server_url: ServerUrl,
    /// What people call the monitor.
    #[arg(long, value_parser = label)]
    label: DeviceLabel,
    /// METRIC or IMPERIAL.
    #[arg(long, default_value = "METRIC", value_parser = unit)]
    unit: MeasurementUnit,
    /// Two or three letters such as EN or ES.
    #[arg(long, default_value = "EN", value_parser = language)]
    language: Language,
    /// Seconds between synchronisations, 1 to 3600.
    #[arg(long, default_value = "10", value_parser = sync_interval)]
    sync_interval: SyncInterval,
    /// The server's certificate to pin, PEM, leaf first.
    #[arg(long, value_name = "FILE")]
    server_cert: Option<PathBuf>,
}

#[derive(Args)]
struct Seal {
    #[command(flatten)]
    configure: Configure,
    /// New file for the sealed body; it is good for one hour, in this pairing session alone.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Keep the issued certificate in a new file (receipts of an Ed25519 station are verified with it).
    #[arg(long, value_name = "FILE")]
    save_certificate: Option<PathBuf>,
}

#[derive(Args)]
struct Provision {
    #[command(flatten)]
    configure: Configure,
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

type Outcome = Result<Report, Failure>;

/// What a command has to say: one sentence a line for people, one object for programs.
struct Report {
    text: String,
    json: Value,
    exit_code: u8,
}

impl Report {
    fn done(text: String, json: Value) -> Self {
        Self {
            text,
            json,
            exit_code: 0,
        }
    }
}

/// Why a command did not do what it was asked for.
enum Failure {
    Fault(Fault),
    Refused(Refusal),
    /// One fault, and its parts for programs.
    Many(Fault, Value),
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// The device refused: between the families of the station's own faults.
const REFUSED: u8 = 6;

impl Failure {
    fn report(&self) -> Report {
        match self {
            Self::Fault(fault) => Report {
                text: format!("{}\n{}", printable_lines(fault.detail()), fault.code.next_action()),
                json: json!({ "error": {
                    "code": fault.code.as_str(),
                    "title": fault.code.title(),
                    "detail": fault.detail(),
                    "nextAction": fault.code.next_action(),
                    "family": fault.family().as_str(),
                } }),
                exit_code: fault.family().exit_code(),
            },
            Self::Many(fault, parts) => {
                let mut report = Self::Fault(fault.clone()).report();
                report.json["error"]["faults"] = parts.clone();
                report
            }
            Self::Refused(refusal) => {
                let mut error = json!(refusal);
                error["family"] = "refused".into();
                Report {
                    text: format!(
                        "The monitor refused ({}): {}\n{}",
                        printable(&refusal.code),
                        printable(&refusal.detail),
                        printable(&refusal.next_action)
                    ),
                    json: json!({ "error": error }),
                    exit_code: REFUSED,
                }
            }
        }
    }
}

fn printable_lines(text: &str) -> String {
    text.lines().map(printable).collect::<Vec<_>>().join("\n")
}

/// What came over the network, without characters that a terminal obeys.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

/// What was done cannot be told.
const UNSAID: u8 = Family::Local.exit_code();

/// The command line as data, for man pages and completions.
#[must_use]
pub fn command() -> clap::Command {
    Arguments::command()
}

/// What `shell` needs to complete the program of that command line.
#[must_use]
pub fn completions(mut command: clap::Command, shell: Shell) -> String {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, &name, &mut script);
    let script = String::from_utf8_lossy(&script).into_owned();
    // For bash, clap_complete 4.6 gives a program with a hyphen one name where it finds out which command is meant, and another
    // where it says what may follow; nothing below the first command would be completed.
    let (wanted, written) = (name.replace('-', "__"), name.replace('-', "__subcmd__"));
    script.replace(&written, &wanted)
}

/// Runs the program.
pub async fn run() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are no errors; with `--json` wrong usage is told like every other fault.
            if !error.use_stderr() || !std::env::args_os().any(|argument| argument == "--json") {
                error.exit();
            }
            let text = error.render().to_string();
            // What is wrong, without the usage that follows for people.
            let what = text.split("\n\n").next().unwrap_or_default();
            let what = what.trim_start_matches("error: ");
            let report = Failure::Fault(Fault::new(FaultCode::ArgumentInvalid, what)).report();
            say(std::io::stdout(), &report.json.to_string());
            return ExitCode::from(report.exit_code);
        }
    };
    let json = arguments.json;
    let (report, failed) = match commands::run(&arguments.home, arguments.command, json).await {
        Ok(report) => (report, false),
        Err(failure) => (failure.report(), true),
    };
    if json {
        say(std::io::stdout(), &report.json.to_string());
    } else if failed {
        say(std::io::stderr(), &report.text);
    } else {
        say(std::io::stdout(), &report.text);
    }
    ExitCode::from(report.exit_code)
}

/// One line or more, to whoever still listens: a reader that has seen enough is no fault.
fn say(mut to: impl Write, text: &str) {
    match writeln!(to, "{text}").and_then(|()| to.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => std::process::exit(UNSAID.into()),
        _ => {}
    }
}
