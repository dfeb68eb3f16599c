//! Acts on the encrypted store.

use clap::Subcommand;
use serde_json::json;
use zmon_ports::StorageWarning;

use super::output::Voice;
use super::reach::Reach;
use super::{Exit, Failure, Inputs, ServiceArgs};

#[derive(Debug, Subcommand)]
pub(super) enum StoreCommand {
    /// Encrypt everything with a new key and destroy the former one: by the running service, or here where none runs
    RotateKey(ServiceArgs),
}

/// Carries out one of them.
pub(super) async fn store(command: &StoreCommand, inputs: &Inputs, voice: Voice) -> Result<Exit, Failure> {
    let StoreCommand::RotateKey(service) = command;
    let reach = Reach::of_control(service, inputs).await?;
    let rotated = reach.rotate_key().await;
    reach.close().await;
    let (by, destroyed) = rotated?;
    let document = json!({ "by": by, "formerKeyDestroyed": destroyed });
    voice.say(&document, || {
        if destroyed {
            format!("The store has a new key, and the former one is destroyed; {by}.\n")
        } else {
            let why = StorageWarning::FormerKeyKept.message();
            format!("The store has a new key; {by}.\nWarning: {why}\n")
        }
    });
    Ok(Exit::Done)
}
