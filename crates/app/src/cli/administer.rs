//! What an administrator does at the device: `deprovision`, `time reset`, `admin set-pin`.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;
use zeroize::Zeroizing;
use zmon_domain::error::ErrorCode;
use zmon_domain::secret::SecretText;
use zmon_local_api::StatusView;

use super::kept::KeptFile;
use super::output::{self, Voice, print};
use super::{Exit, Failure, ServiceArgs, brief_runtime, client};
use crate::administrator;
use crate::configuration::{self, Inputs};
use crate::control_client::{ClientFault, ControlClient};
use crate::entropy::SystemEntropy;

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

pub(super) fn deprovision(arguments: &DeprovisionArgs, inputs: &Inputs, voice: Voice) -> Result<Exit, Failure> {
    let client = client(&arguments.service, inputs)?;
    let pin = arguments.pin.read()?;
    let record = arguments.record.as_deref();
    let what = "the record of the destruction";
    let kept = record.map(|path| KeptFile::create(path, what, "Nothing was removed"));
    let kept = kept.transpose()?;
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
    let recorded = match kept {
        Some(kept) if removed => runtime.block_on(fill(kept, &client)),
        Some(kept) => {
            kept.discard();
            Ok(false)
        }
        None => Ok(false),
    };
    let file = record.filter(|_| matches!(recorded, Ok(true)));
    if !voice.json && removed && record.is_some() && recorded.is_ok() {
        print(&file.map_or_else(
            || "There is no record of destruction: nothing was installed.\n".into(),
            |file| format!("The record of the destruction is in {}.\n", file.display()),
        ));
    }
    let status = match outcome {
        Ok(status) => status,
        Err(refused) => {
            // Both are said: what is left to be erased, and that the record is not in its file.
            if let Err(unrecorded) = &recorded {
                voice.complain(unrecorded);
            }
            return Err(refused.into());
        }
    };
    let retired = arguments.retire;
    let done = Deprovisioned {
        status: &status,
        record_file: file,
        trust_anchor_erased: retired,
    };
    voice.say(&done, || {
        let farewell =
            "The trust anchor is erased. Switch the device off: until then its service still holds a copy in memory.\n";
        output::status(&status) + if retired { farewell } else { "" }
    });
    recorded.map(|_| Exit::Done)
}

/// What `deprovision` says to a program: the status, and more.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Deprovisioned<'a> {
    #[serde(flatten)]
    status: &'a StatusView,
    record_file: Option<&'a Path>,
    trust_anchor_erased: bool,
}

/// Whether there is a record of destruction, which is in the file then.
async fn fill(kept: KeptFile<'_>, client: &ControlClient) -> Result<bool, Failure> {
    match client.destruction().await {
        Ok(record) => {
            let done = "what was installed is gone\nnext: get its record with `zmon-provision status --destruction`";
            kept.fill(&record, done)?;
            Ok(true)
        }
        Err(fault) => {
            kept.discard();
            if matches!(&fault, ClientFault::Refused(problem) if problem.code == ErrorCode::NotFound.as_str()) {
                return Ok(false);
            }
            Err(Failure::Other(format!(
                "what was installed is gone, but the record of its destruction cannot be fetched: {}\nnext: get it with \
                 `zmon-provision status --destruction`, before the service of a retired device is stopped",
                Failure::from(fault).what()
            )))
        }
    }
}

pub(super) fn time(command: &TimeCommand, inputs: &Inputs, voice: Voice) -> Result<Exit, Failure> {
    let TimeCommand::Reset { service, pin } = command;
    let client = client(service, inputs)?;
    let pin = pin.read()?;
    let status = brief_runtime()?.block_on(client.reset_time_floor(&pin))?;
    voice.say(&status, || "The time floor is the release date again.\n".into());
    Ok(Exit::Done)
}

pub(super) fn set_pin(pin: &PinArgs, inputs: &Inputs, voice: Voice) -> Result<Exit, Failure> {
    let path = configuration::pin_hash_file(inputs)?;
    administrator::set_pin(&path, &pin.read()?, &SystemEntropy::new()).map_err(|fault| Failure::Other(fault.0))?;
    let hint = administrator::hint(&path);
    voice.say(&json!({ "file": path, "hint": hint }), || {
        let hint = hint.as_ref().map(|hint| format!("{hint}\n"));
        format!(
            "The PIN is set; its hash is in {}.\n{}",
            path.display(),
            hint.unwrap_or_default()
        )
    });
    Ok(Exit::Done)
}

fn first_line(source: impl Read) -> io::Result<SecretText> {
    // Reserved at once, so that the PIN is not copied about.
    let mut text = Zeroizing::new(String::with_capacity(MAX_PIN_FILE as usize));
    source.take(MAX_PIN_FILE).read_to_string(&mut text)?;
    Ok(SecretText::new(text.lines().next().unwrap_or_default().into()))
}
