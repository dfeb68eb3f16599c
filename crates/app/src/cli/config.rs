//! `config`: what is installed, for a person to look at and for the monitor application to take.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde_json::json;
use zmon_domain::secret::SecretText;
use zmon_local_api::{ConfigurationView, InstalledView};

use super::output::{self, Voice, print};
use super::reach::Reach;
use super::{Exit, Failure, Inputs, ServiceArgs};
use crate::configuration::keys;
use crate::files::{self, PRIVATE};
use crate::text::{shown, utc};

const CONFIGURATION: &str = "configuration.json";
const CLIENT: &str = "client-certificate.pem";
const CA: &str = "ca-certificate.pem";
const SERVER: &str = "server-certificate.pem";
const PRIVATE_KEY: &str = "client-private-key.pem";

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Say what is installed: settings with who changed them and when, facts about the certificates; never the key
    Show {
        #[command(flatten)]
        service: ServiceArgs,
    },
    /// Write what is installed to files of a folder, for the monitor application; recorded in the audit
    Export(ExportArgs),
    /// Write an example of a configuration file, with every key
    Example,
    /// Write the reference of all configuration keys
    #[command(hide = true)]
    Reference,
}

#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// Socket for the monitor application [default: the configured application.socket]
    #[command(flatten)]
    service: ServiceArgs,
    /// Folder for the files, which nobody else can read; it appears whole, in place of one from an earlier export
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Write the private key, too
    #[arg(long)]
    with_private_key: bool,
}

pub(super) async fn config(command: &ConfigCommand, inputs: &Inputs, voice: Voice) -> Result<Exit, Failure> {
    match command {
        ConfigCommand::Example => {
            print(&keys::example_file());
            Ok(Exit::Done)
        }
        ConfigCommand::Reference => {
            print(&keys::reference());
            Ok(Exit::Done)
        }
        ConfigCommand::Show { service } => {
            let reach = Reach::of_control(service, inputs).await?;
            let shown = reach.show_configuration().await;
            reach.close().await;
            let view = shown?;
            voice.say(&view, || show(&view));
            Ok(Exit::Done)
        }
        ConfigCommand::Export(arguments) => {
            may_be_replaced(&arguments.out)?;
            may_be_replaced(&arguments.out.with_added_extension("new"))?;
            let reach = Reach::of_application(&arguments.service, inputs).await?;
            let read = read(&reach, arguments.with_private_key).await;
            reach.close().await;
            let (configuration, key) = read?;
            export(&configuration, key.as_ref(), &arguments.out)?;
            let with_key = key.is_some();
            voice.say(
                &json!({ "directory": arguments.out, "withPrivateKey": with_key }),
                || {
                    let with = if with_key { "with" } else { "without" };
                    let place = arguments.out.display();
                    format!("What is installed is in {place}, {with} the private key.\n")
                },
            );
            Ok(Exit::Done)
        }
    }
}

fn show(view: &ConfigurationView) -> String {
    let mut text = output::installed(&InstalledView {
        settings: view.settings.clone(),
        certificates: view.certificates.clone(),
        completed_at: view.completed_at,
    });
    let changes = &view.changes;
    for (key, change) in [
        ("deviceId", &changes.device_id),
        ("deviceLabel", &changes.device_label),
        ("serverUrl", &changes.server_url),
        ("syncInterval", &changes.sync_interval),
        ("measurementUnit", &changes.measurement_unit),
        ("language", &changes.language),
    ] {
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "Changed: {key}, at {}, by {}", utc(change.at), shown(&change.by));
    }
    text.push_str("Private key: installed, never shown\n");
    text
}

async fn read(reach: &Reach, with_key: bool) -> Result<(ConfigurationView, Option<SecretText>), Failure> {
    let configuration = reach.read_configuration().await?;
    if !with_key {
        return Ok((configuration, None));
    }
    let credentials = reach.read_credentials().await?;
    if credentials.completed_at != configuration.completed_at {
        return Err(Failure::Other(
            "the device was provisioned anew in between; nothing was written\nnext: repeat the command".into(),
        ));
    }
    Ok((configuration, Some(credentials.client_private_key)))
}

/// Nothing but an earlier export is ever replaced.
fn may_be_replaced(folder: &Path) -> Result<(), Failure> {
    let ours = BTreeSet::from([CONFIGURATION, CLIENT, CA, SERVER, PRIVATE_KEY]);
    let foreign = match fs::read_dir(folder) {
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(fault) => Some(fault.to_string()),
        Ok(entries) => entries
            .filter_map(|entry| Some(entry.ok()?.file_name()))
            .find(|name| name.to_str().is_none_or(|name| !ours.contains(name)))
            .map(|name| format!("it holds {}, which is no part of an export", name.display())),
    };
    foreign.map_or(Ok(()), |why| {
        Err(Failure::Other(format!(
            "{} is not replaced: {why}\nnext: name a folder that does not exist yet",
            folder.display()
        )))
    })
}

/// The folder is made under a name of its own and takes its place when it is whole: key and certificate always belong
/// together.
fn export(configuration: &ConfigurationView, key: Option<&SecretText>, folder: &Path) -> Result<(), Failure> {
    let beside = folder.with_added_extension("new");
    let write = || {
        remove_folder(&beside)?;
        DirBuilder::new().mode(0o700).create(&beside)?;
        let json = serde_json::to_string_pretty(configuration).map_err(io::Error::from)? + "\n";
        let mut contents = vec![(CONFIGURATION, json.as_bytes())];
        if let Some(pem) = &configuration.pem {
            contents.push((CLIENT, pem.client.as_bytes()));
            contents.push((CA, pem.ca.as_bytes()));
            contents.extend(pem.server.as_ref().map(|server| (SERVER, server.as_bytes())));
        }
        contents.extend(key.map(|key| (PRIVATE_KEY, key.expose().as_bytes())));
        for (name, content) in contents {
            files::replace(&beside.join(name), PRIVATE, content)?;
        }
        let exists = folder.try_exists()?;
        let how = if exists {
            RenameFlags::EXCHANGE
        } else {
            RenameFlags::NOREPLACE
        };
        renameat_with(CWD, &beside, CWD, folder, how)?;
        files::sync_directory_of(folder)?;
        // Now the earlier export, if there was one.
        remove_folder(&beside)
    };
    write().map_err(|fault: io::Error| {
        let _ = remove_folder(&beside);
        Failure::Other(format!("{} cannot be written: {fault}", folder.display()))
    })
}

fn remove_folder(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}
