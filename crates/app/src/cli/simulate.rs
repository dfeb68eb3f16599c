//! `simulate`: `simulateProvisioning` of the specification, on the running service. Development only.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use clap::Args;
use serde::de::IgnoredAny;
use serde_json::json;
use zeroize::Zeroizing;
use zmon_payload_envelope::MAX_BODY;

use super::output::{Voice, shout};
use super::{Exit, Failure, ServiceArgs};
use crate::control_client::ControlClient;

const BANNER: &str =
    "SIMULATION: this configuration comes from no station. Never on a monitor that watches a patient.\n";

#[derive(Debug, Args)]
pub(super) struct SimulateArgs {
    #[command(flatten)]
    pub(super) service: ServiceArgs,
    /// The members of a payload as one JSON object, in the clear; - takes it from standard input. What is left out of version,
    /// deviceId, sessionKey, pairingCode, timestamp and expiresAt is taken from the QR code on the screen and the clock
    #[arg(value_name = "FILE")]
    payload: PathBuf,
    /// How long each phase stays on the screen
    #[arg(long, value_name = "MILLIS", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(..=10_000))]
    pause: u32,
}

pub(super) async fn simulate(client: &ControlClient, arguments: &SimulateArgs, voice: Voice) -> Result<Exit, Failure> {
    shout(BANNER);
    let request = request(&arguments.payload, arguments.pause)?;
    let receipt = client.simulate(request).await?;
    voice.say(&json!({ "status": "PROVISIONED", "receipt": receipt }), || {
        "The simulated configuration is installed: the device is PROVISIONED.\n".into()
    });
    Ok(Exit::Done)
}

/// What the service is asked: the file's JSON as it stands, erased when it was sent. Whether it is a payload is the service's to
/// say.
fn request(path: &Path, pause: u32) -> Result<Bytes, Failure> {
    let shown = path.display();
    let failed = |fault| Failure::Other(format!("{shown} cannot be read: {fault}"));
    let source: io::Result<Box<dyn Read>> = if path == Path::new("-") {
        Ok(Box::new(io::stdin()))
    } else {
        File::open(path).map(|file| Box::new(file) as Box<dyn Read>)
    };
    // Room for what is around it; reserved at once, so that the private key is not copied about.
    let mut text = Zeroizing::new(Vec::with_capacity(MAX_BODY + 64));
    write!(text, "{{\"pauseMillis\":{pause},\"payload\":").map_err(failed)?;
    let begin = text.len();
    let most = MAX_BODY as u64 + 1;
    let read = source
        .and_then(|source| source.take(most).read_to_end(&mut text))
        .map_err(failed)?;
    if read > MAX_BODY || serde_json::from_slice::<IgnoredAny>(&text[begin..]).is_err() {
        return Err(Failure::Other(format!(
            "{shown} is not JSON of at most 64 KiB. Nothing was sent to the service\nnext: write the members of a payload as one \
             JSON object, as docs/protocol.md lists them"
        )));
    }
    text.push(b'}');
    Ok(Bytes::from_owner(text))
}
