//! What an administrator does at the device: `deprovision`, `time reset`.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use zeroize::Zeroizing;
use zmon_domain::error::ErrorCode;
use zmon_domain::secret::SecretText;

use super::output::{self, print};
use super::{Exit, Failure, ServiceArgs, brief_runtime, client};
use crate::configuration::Inputs;
use crate::control_client::{ClientFault, ControlClient};

/// Longest PIN file that is read, in bytes.
const MAX_PIN_FILE: u64 = 1024;

/// Where a PIN comes from: never from the command line or the environment, which others can read.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct PinArgs {
    /// File whose one line is the PIN
    #[arg(long, value_name = "FILE")]
    pin_file: Option<PathBuf>,
    /// Take the PIN from standard input
    #[arg(long)]
    pin_stdin: bool,
}

impl PinArgs {
    pub(super) fn read(&self) -> Result<SecretText, Failure> {
        let (source, read) = match &self.pin_file {
            Some(path) => (path.as_path(), File::open(path).and_then(first_line)),
            None => (Path::new("standard input"), first_line(io::stdin())),
        };
        read.map_err(|fault| Failure::Other(format!("the PIN cannot be read from {}: {fault}", source.display())))
    }
}

#[derive(Debug, Args)]
pub(super) struct DeprovisionArgs {
    #[command(flatten)]
    service: ServiceArgs,
    #[command(flatten)]
    pin: PinArgs,
    /// Write the signed record of the destruction to a new file
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Erase the trust anchor as well, also where nothing is installed: the device pairs with nobody until it is
    /// commissioned again, and its service does not start, so that the record has to be kept now
    #[arg(long, requires = "record")]
    retire: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum TimeCommand {
    /// Return the time floor to the release date; needs the administrator's PIN
    Reset {
        #[command(flatten)]
        service: ServiceArgs,
        #[command(flatten)]
        pin: PinArgs,
    },
}

pub(super) fn deprovision(arguments: &DeprovisionArgs, inputs: &Inputs) -> Result<Exit, Failure> {
    let client = client(&arguments.service, inputs)?;
    let pin = arguments.pin.read()?;
    // Taken before anything is removed: afterwards it would be too late to find out that it cannot be written.
    let record = arguments.record.as_deref().map(RecordFile::create).transpose()?;
    let runtime = brief_runtime()?;
    let outcome = runtime.block_on(async {
        if arguments.retire {
            client.retire(&pin).await
        } else {
            client.deprovision(&pin).await
        }
    });
    let removed = match &outcome {
        Ok(_) => true,
        Err(ClientFault::Refused(problem)) => problem.code == ErrorCode::TrustAnchorKept.as_str(),
        Err(_) => false,
    };
    match record {
        Some(record) if removed => print(&runtime.block_on(record.fill(&client))?),
        Some(record) => record.discard(),
        None => {}
    }
    print(&output::status(&outcome?));
    if arguments.retire {
        print(
            "The trust anchor is erased. Switch the device off: until then its service still holds a copy in memory.\n",
        );
    }
    Ok(Exit::Done)
}

pub(super) fn time(command: &TimeCommand, inputs: &Inputs) -> Result<Exit, Failure> {
    let TimeCommand::Reset { service, pin } = command;
    let client = client(service, inputs)?;
    let pin = pin.read()?;
    brief_runtime()?.block_on(client.reset_time_floor(&pin))?;
    print("The time floor is the release date again.\n");
    Ok(Exit::Done)
}

/// A new file for a record of destruction.
struct RecordFile<'a> {
    path: &'a Path,
    file: File,
}

impl<'a> RecordFile<'a> {
    fn create(path: &'a Path) -> Result<Self, Failure> {
        let file = OpenOptions::new().write(true).create_new(true).open(path);
        let file = file.map_err(|fault| {
            Failure::Other(format!(
                "the record of the destruction cannot be written to {}: {fault}. Nothing was removed",
                path.display()
            ))
        })?;
        Ok(Self { path, file })
    }

    /// What to tell the person.
    async fn fill(mut self, client: &ControlClient) -> Result<String, Failure> {
        let record = match client.destruction().await {
            Ok(record) => record,
            Err(ClientFault::Refused(problem)) if problem.code == ErrorCode::NotFound.as_str() => {
                self.discard();
                return Ok("There is no record of destruction: nothing was installed.\n".into());
            }
            Err(fault) => return Err(fault.into()),
        };
        writeln!(self.file, "{record}")
            .and_then(|()| self.file.sync_all())
            .map_err(|fault| {
                Failure::Other(format!(
                    "what was installed is gone, but its record cannot be written to {}: {fault}. Get it with \
                     `zmon-provision status --destruction`",
                    self.path.display()
                ))
            })?;
        Ok(format!(
            "The record of the destruction is in {}.\n",
            self.path.display()
        ))
    }

    fn discard(self) {
        let _ = std::fs::remove_file(self.path);
    }
}

fn first_line(source: impl Read) -> io::Result<SecretText> {
    // Reserved at once, so that the PIN is not copied about.
    let mut text = Zeroizing::new(String::with_capacity(MAX_PIN_FILE as usize));
    source.take(MAX_PIN_FILE).read_to_string(&mut text)?;
    Ok(SecretText::new(text.lines().next().unwrap_or_default().into()))
}
