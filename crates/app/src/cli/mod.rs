//! The command line.

mod administer;
mod apply;
mod audit;
mod check;
mod config;
mod confirm;
mod exit;
mod failure;
mod kept;
pub mod manual;
mod output;
mod pair;
mod reach;
mod serve;
#[cfg(feature = "simulation")]
mod simulate;
#[cfg(feature = "simulation")]
mod simulate_device;
mod store;
mod watch;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use serde_json::json;
use tokio::runtime::{Builder, Runtime};

use crate::configuration::{self, Configuration, Faults, Inputs};
use crate::control_client::ControlClient;
use crate::{hardening, release};
pub use exit::Exit;
use failure::Failure;
use output::Voice;

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
    /// Write one line of JSON for each thing that is said, and what goes wrong as a problem document to standard error
    #[arg(long, global = true)]
    json: bool,
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
        /// The receipt of what is installed, alone
        #[arg(long, conflicts_with = "destruction")]
        receipt: bool,
        /// The signed record of the last de-provisioning, alone
        #[arg(long)]
        destruction: bool,
    },
    /// Accept or refuse the configuration that waits for a person's answer
    Confirm(confirm::ConfirmArgs),
    /// Install a sealed payload that was carried to the device by hand, while pairing is open
    Apply(apply::ApplyArgs),
    /// Say what happens on the device, as it happens; waits for the service where it is not there
    Watch(watch::WatchArgs),
    /// Find out what is wrong with this device and how to mend it; ends with 1 where something failed
    Check(check::CheckArgs),
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
    SimulateDevice(simulate_device::SimulateDeviceArgs),
    /// Have the running service install a configuration that no station sealed or signed, for the development of a screen
    #[cfg(feature = "simulation")]
    Simulate(simulate::SimulateArgs),
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

/// Runs one command line; the first argument is the program's name.
pub fn run(
    arguments: impl IntoIterator<Item = OsString>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Exit {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(answer) => return answered(&answer, &arguments),
    };
    let environment: Vec<_> = environment.into_iter().collect();
    let term = environment.iter().find(|(name, _)| name == "TERM");
    let voice = Voice::new(cli.json, term.map(|(_, value)| value.as_os_str()));
    if let Err(refused) = hardening::protect_process() {
        let failure = Failure::Other(format!("core dumps cannot be switched off: {refused}"));
        voice.complain(&failure);
        return failure.exit();
    }
    let inputs = Inputs {
        file: cli.config,
        environment,
        set: cli.set,
    };
    carry_out(cli.command, &inputs, voice).unwrap_or_else(|failure| {
        voice.complain(&failure);
        failure.exit()
    })
}

/// Help and version are answers, too; wrong usage is told like every other fault.
fn answered(answer: &clap::Error, arguments: &[OsString]) -> Exit {
    if !answer.use_stderr() {
        let _ = answer.print();
        return Exit::Done;
    }
    if arguments.iter().any(|argument| argument == "--json") {
        let text = answer.to_string();
        // What is wrong, without the usage that follows for people.
        let what = text.split("\n\n").next().unwrap_or_default();
        let what = what.trim_start_matches("error: ");
        Voice::new(true, None).complain(&Failure::Usage(what.into()));
    } else {
        let _ = answer.print();
    }
    Exit::Usage
}

fn carry_out(command: Command, inputs: &Inputs, voice: Voice) -> Result<Exit, Failure> {
    match command {
        Command::Serve(arguments) => serve::serve(&arguments, inputs),
        Command::Pair(arguments) => {
            let client = client(&arguments.service, inputs)?;
            brief_runtime()?.block_on(pair::pair(&client, &arguments, voice))
        }
        Command::Status {
            service,
            receipt,
            destruction,
        } => {
            let client = client(&service, inputs)?;
            let runtime = brief_runtime()?;
            if receipt {
                let receipt = runtime.block_on(client.receipt())?;
                voice.say(&json!({ "receipt": receipt }), || format!("{receipt}\n"));
            } else if destruction {
                let destruction = runtime.block_on(client.destruction())?;
                voice.say(&json!({ "destruction": destruction }), || format!("{destruction}\n"));
            } else {
                voice.say_status(&runtime.block_on(client.status())?);
            }
            Ok(Exit::Done)
        }
        Command::Confirm(arguments) => {
            let client = client(&arguments.service, inputs)?;
            brief_runtime()?.block_on(confirm::confirm(&client, &arguments, voice))
        }
        Command::Apply(arguments) => {
            let client = client(&arguments.service, inputs)?;
            brief_runtime()?.block_on(apply::apply(&client, &arguments, voice))
        }
        Command::Watch(arguments) => {
            let client = client(&arguments.service, inputs)?;
            brief_runtime()?.block_on(watch::watch(&client, &arguments, voice))
        }
        Command::Check(arguments) => brief_runtime()?.block_on(check::check(&arguments, inputs, voice)),
        Command::Cancel(service) => {
            let client = client(&service, inputs)?;
            voice.say_status(&brief_runtime()?.block_on(client.cancel())?);
            Ok(Exit::Done)
        }
        Command::Acknowledge(service) => {
            let client = client(&service, inputs)?;
            voice.say_status(&brief_runtime()?.block_on(client.acknowledge())?);
            Ok(Exit::Done)
        }
        Command::Deprovision(arguments) => administer::deprovision(&arguments, inputs, voice),
        Command::Time { command } => administer::time(&command, inputs, voice),
        #[cfg(feature = "simulation")]
        Command::SimulateDevice(arguments) => simulate_device::simulate(arguments, voice),
        #[cfg(feature = "simulation")]
        Command::Simulate(arguments) => {
            let client = client(&arguments.service, inputs)?;
            brief_runtime()?.block_on(simulate::simulate(&client, &arguments, voice))
        }
        Command::CheckConfig => {
            Configuration::load(inputs)?;
            let described = configuration::describe(inputs)?;
            voice.say(&described, || described.to_string());
            Ok(Exit::Done)
        }
        Command::Admin {
            command: AdminCommand::SetPin(pin),
        } => administer::set_pin(&pin, inputs, voice),
        Command::Store { command } => brief_runtime()?.block_on(store::store(&command, inputs, voice)),
        Command::Config { command } => brief_runtime()?.block_on(config::config(&command, inputs, voice)),
        Command::Audit { command } => brief_runtime()?.block_on(audit::audit(&command, inputs, voice)),
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

/// For what serves others until it is asked to end.
fn lasting_runtime() -> Result<Runtime, Failure> {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().map_err(no_runtime)
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn no_runtime(fault: std::io::Error) -> Failure {
    Failure::Other(format!("the operating system gives too few resources to run: {fault}"))
}

fn key_and_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
    Ok((key.into(), value.into()))
}
