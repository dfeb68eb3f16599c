//! `apply`: a sealed payload that somebody carried to the device, on a USB stick for example.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

use clap::Args;
use serde_json::json;
use zmon_local_api::ConfirmationView;
use zmon_payload_envelope::MAX_BODY;

use super::confirm;
use super::kept::KeptFile;
use super::output::{Voice, print};
use super::{Exit, Failure, ServiceArgs};
use crate::control_client::{ClientFault, ControlClient};

/// Room for a line end behind it.
const LINE_END: u64 = 16;
/// A JWE in compact serialisation has five parts.
const PARTS: usize = 5;

/// How often it is looked whether a person is asked to confirm.
const TICK: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub(super) struct ApplyArgs {
    #[command(flatten)]
    pub(super) service: ServiceArgs,
    /// The sealed payload, as `zmon-station seal` writes it; - takes it from standard input
    #[arg(value_name = "FILE")]
    payload: PathBuf,
    /// Write the receipt to a new file, to be carried back to the station
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,
}

pub(super) async fn apply(client: &ControlClient, arguments: &ApplyArgs, voice: Voice) -> Result<Exit, Failure> {
    let payload = read(&arguments.payload)?;
    let what = "the receipt";
    let kept = arguments
        .receipt
        .as_deref()
        .map(|path| KeptFile::create(path, what, "Nothing was installed"))
        .transpose()?;
    let receipt = match (applied(client, payload, voice).await, kept) {
        (Ok(receipt), None) => receipt,
        (Ok(receipt), Some(kept)) => {
            let done = "the configuration is installed\nnext: get the receipt with `zmon-provision status --receipt`";
            kept.fill(&receipt, done)?;
            receipt
        }
        (Err(fault), kept) => {
            if let Some(kept) = kept {
                kept.discard();
            }
            return Err(fault.into());
        }
    };
    let document = json!({ "status": "PROVISIONED", "receipt": receipt, "receiptFile": arguments.receipt });
    voice.say(&document, || {
        let receipt = arguments.receipt.as_ref().map_or_else(
            || format!("Receipt: {receipt}"),
            |path| format!("The receipt is in {}.", path.display()),
        );
        format!("The configuration is installed: the device is PROVISIONED.\n{receipt}\n")
    });
    Ok(Exit::Done)
}

/// Has it installed, which may take as long as a person needs to confirm it.
async fn applied(client: &ControlClient, payload: Vec<u8>, voice: Voice) -> Result<String, ClientFault> {
    let applying = client.apply(payload);
    if voice.json {
        return applying.await;
    }
    let mut applying = pin!(applying);
    tokio::select! {
        outcome = &mut applying => outcome,
        view = question(client) => {
            print(&confirm::question(&view));
            applying.await
        }
    }
}

/// What a person is asked, as soon as one is. Where the status cannot be had there is nothing to show, and the outcome comes
/// all the same.
async fn question(client: &ControlClient) -> ConfirmationView {
    loop {
        tokio::time::sleep(TICK).await;
        if let Some(view) = client.status().await.ok().and_then(|status| status.confirmation) {
            return view;
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let shown = path.display();
    let source: io::Result<Box<dyn Read>> = if path == Path::new("-") {
        Ok(Box::new(io::stdin()))
    } else {
        File::open(path).map(|file| Box::new(file) as Box<dyn Read>)
    };
    let mut payload = Vec::new();
    source
        .and_then(|source| source.take(MAX_BODY as u64 + LINE_END).read_to_end(&mut payload))
        .map_err(|fault| Failure::Other(format!("{shown} cannot be read: {fault}")))?;
    // Files end with a line feed, bodies do not.
    payload.truncate(payload.trim_ascii_end().len());
    let wrong = |why| {
        Failure::Other(format!(
            "{shown} is no sealed payload: {why}. Nothing was sent to the service\nnext: make one with `zmon-station seal`, \
             from a picture of the QR code that the monitor shows now"
        ))
    };
    if payload.len() > MAX_BODY {
        return Err(wrong("it is larger than 64 KiB"));
    }
    let is_text = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
    let parts = || payload.split(|byte| *byte == b'.');
    if parts().count() != PARTS || !parts().all(|part| part.iter().all(is_text)) {
        return Err(wrong("it is not the text of a JWE in compact form"));
    }
    Ok(payload)
}
