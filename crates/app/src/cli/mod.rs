//! The command line.

mod administer;
mod audit;
mod config;
mod confirm;
mod output;
mod pair;
mod reach;
mod serve;
#[cfg(feature = "simulation")]
mod simulate;
mod store;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use tokio::runtime::{Builder, Runtime};

use crate::administrator;
use crate::configuration::{self, Configuration, Faults, Inputs};
use crate::control_client::{ClientFault, ControlClient};
use crate::entropy::SystemEntropy;
use crate::{hardening, release};
use output::{complain, print, print_json};

/// How a command ends. The numbers above 64 are those of `sysexits.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// It is done.
    Done = 0,
    /// The service refused, or the act itself failed.
    Refused = 1,
    /// The command line is not understood.
    Usage = 2,
    /// The audit is not what was written (`EX_DATAERR`).
    Tampered = 65,
    /// The service is not reachable (`EX_UNAVAILABLE`).
    Unreachable = 69,
    /// The configuration is faulty (`EX_CONFIG`).
    Configuration = 78,
}

/// Pairs a Z Monitor with its Central Station.
#[derive(Debug, Parser)]
#[command(name = "zmon-provision", version = release::VERSION)]
struct Cli {
    /// Configuration file [default: /etc/zmon-provision/config.toml, if it is there]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Sets one configuration key over file and environment; before the command, as often as needed
    // Not `global`: clap would drop those before the command as soon as one stands after it.
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_and_value)]
    set: Vec<(String, String)>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the provisioning service until SIGTERM or SIGINT
    Serve(serve::ServeArgs),
    /// Open pairing, show the QR code and wait for the outcome
    Pair(pair::PairArgs),
    /// Say where the device stands
    Status {
        #[command(flatten)]
        service: ServiceArgs,
        /// As one line of JSON
        #[arg(long, conflicts_with_all = ["receipt", "destruction"])]
        json: bool,
        /// The receipt of what is installed, alone
        #[arg(long, conflicts_with = "destruction")]
        receipt: bool,
        /// The signed record of the last de-provisioning, alone
        #[arg(long)]
        destruction: bool,
    },
    /// Accept or refuse the configuration that waits for a person's answer
    Confirm(confirm::ConfirmArgs),
    /// End the open pairing session
    Cancel(ServiceArgs),
    /// Take note of a failure or of a de-provisioning
    Acknowledge(ServiceArgs),
    /// Remove what is installed and leave a signed record of it; needs the administrator's PIN
    Deprovision(administer::DeprovisionArgs),
    /// What the device believes about the time
    Time {
        #[command(subcommand)]
        command: administer::TimeCommand,
    },
    /// Check the configuration and say where each value comes from
    CheckConfig,
    /// Administrator's acts at the device
    Admin {
        #[command(subcommand)]
        command: AdminCommand,
    },
    /// The encrypted store
    Store {
        #[command(subcommand)]
        command: store::StoreCommand,
    },
    /// Simulate monitors, for the development of a Central Station
    #[cfg(feature = "simulation")]
    SimulateDevice(simulate::SimulateArgs),
    /// What is installed: for a person to look at, for the monitor application to take
    Config {
        #[command(subcommand)]
        command: config::ConfigCommand,
    },
    /// The record of what happened on this device
    Audit {
        #[command(subcommand)]
        command: audit::AuditCommand,
    },
}

#[derive(Debug, Subcommand)]
enum AdminCommand {
    /// Set the administrator's PIN, once, in the file that admin.pin_hash_file names
    SetPin(administer::PinArgs),
}

#[derive(Debug, Args)]
struct ServiceArgs {
    /// Socket of the running service [default: the configured control.socket]
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
}

/// Why a command failed.
enum Failure {
    Configuration(Faults),
    Client(ClientFault),
    Tampered(String),
    Other(String),
}

impl From<Faults> for Failure {
    fn from(faults: Faults) -> Self {
        Self::Configuration(faults)
    }
}

impl From<ClientFault> for Failure {
    fn from(fault: ClientFault) -> Self {
        Self::Client(fault)
    }
}

impl Failure {
    fn report(self) -> Exit {
        match self {
            Self::Configuration(faults) => {
                complain(&faults);
                Exit::Configuration
            }
            Self::Client(fault) => {
                complain(&fault);
                match fault {
                    ClientFault::Unreachable { .. } | ClientFault::Ended => Exit::Unreachable,
                    ClientFault::Refused(_) => Exit::Refused,
                }
            }
            Self::Tampered(what) => {
                complain(&what);
                Exit::Tampered
            }
            Self::Other(what) => {
                complain(&what);
                Exit::Refused
            }
        }
    }
}

/// Runs one command line; the first argument is the program's name.
pub fn run(
    arguments: impl IntoIterator<Item = OsString>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Exit {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(answer) => {
            // Help and version are answers, too.
            let _ = answer.print();
            return if answer.use_stderr() { Exit::Usage } else { Exit::Done };
        }
    };
    if let Err(refused) = hardening::protect_process() {
        complain(&format!("core dumps cannot be switched off: {refused}"));
        return Exit::Refused;
    }
    let inputs = Inputs {
        file: cli.config,
        environment: environment.into_iter().collect(),
        set: cli.set,
    };
    carry_out(cli.command, &inputs).unwrap_or_else(Failure::report)
}

fn carry_out(command: Command, inputs: &Inputs) -> Result<Exit, Failure> {
    match command {
        Command::Serve(arguments) => serve::serve(&arguments, inputs),
        Command::Pair(arguments) => {
            let client = client(&arguments.service, inputs)?;
            brief_runtime()?.block_on(pair::pair(&client, &arguments))
        }
        Command::Status {
            service,
            json,
            receipt,
            destruction,
        } => {
            let client = client(&service, inputs)?;
            let runtime = brief_runtime()?;
            if receipt {
                print(&format!("{}\n", runtime.block_on(client.receipt())?));
            } else if destruction {
                print(&format!("{}\n", runtime.block_on(client.destruction())?));
            } else {
                let status = runtime.block_on(client.status())?;
                if json {
                    print_json(&status);
                } else {
                    print(&output::status(&status));
                }
            }
            Ok(Exit::Done)
        }
        Command::Confirm(arguments) => {
            let client = client(&arguments.service, inputs)?;
            brief_runtime()?.block_on(confirm::confirm(&client, &arguments))
        }
        Command::Cancel(service) => {
            let client = client(&service, inputs)?;
            print(&output::status(&brief_runtime()?.block_on(client.cancel())?));
            Ok(Exit::Done)
        }
        Command::Acknowledge(service) => {
            let client = client(&service, inputs)?;
            print(&output::status(&brief_runtime()?.block_on(client.acknowledge())?));
            Ok(Exit::Done)
        }
        Command::Deprovision(arguments) => administer::deprovision(&arguments, inputs),
        Command::Time { command } => administer::time(&command, inputs),
        #[cfg(feature = "simulation")]
        Command::SimulateDevice(arguments) => simulate::simulate(arguments),
        Command::CheckConfig => {
            Configuration::load(inputs)?;
            print(&configuration::describe(inputs)?);
            Ok(Exit::Done)
        }
        Command::Admin {
            command: AdminCommand::SetPin(pin),
        } => {
            let path = configuration::pin_hash_file(inputs)?;
            administrator::set_pin(&path, &pin.read()?, &SystemEntropy::new())
                .map_err(|fault| Failure::Other(fault.0))?;
            print(&format!("The PIN is set; its hash is in {}.\n", path.display()));
            if let Some(hint) = administrator::hint(&path) {
                print(&format!("{hint}\n"));
            }
            Ok(Exit::Done)
        }
        Command::Store { command } => brief_runtime()?.block_on(store::store(&command, inputs)),
        Command::Config { command } => brief_runtime()?.block_on(config::config(&command, inputs)),
        Command::Audit { command } => brief_runtime()?.block_on(audit::audit(&command, inputs)),
    }
}

fn client(service: &ServiceArgs, inputs: &Inputs) -> Result<ControlClient, Faults> {
    let configured;
    let socket = if let Some(socket) = &service.socket {
        socket
    } else {
        configured = configuration::control_socket(inputs)?;
        &configured
    };
    Ok(ControlClient::new(socket))
}

fn brief_runtime() -> Result<Runtime, Failure> {
    Builder::new_current_thread().enable_all().build().map_err(no_runtime)
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn no_runtime(fault: std::io::Error) -> Failure {
    Failure::Other(format!("the operating system gives too few resources to run: {fault}"))
}

fn key_and_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
    Ok((key.into(), value.into()))
}
