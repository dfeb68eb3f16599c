//! Runs a file of conformance vectors through the real `apply_configuration` with real adapters.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, ensure};
use base64ct::{Base64UrlUnpadded, Encoding};
use serde::Deserialize;
use zmon_domain::checks::Demands;
use zmon_domain::identity::DeviceId;
use zmon_domain::machine::Persisted;
use zmon_domain::pairing::PairingCode;
use zmon_domain::secret::SecretBytes;
use zmon_domain::time::Timestamp;
use zmon_payload_envelope::TrustAnchor;
use zmon_ports::{ProvisioningService, ProvisioningStore};
use zmon_testkit::fakes::{FakeAnchor, ManualClock};

use crate::device::{Blueprint, LOOPBACK, ScriptedEntropy};

/// A file of vectors, version 1.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct VectorFile {
    protocol: u32,
    device: VectorDevice,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct VectorDevice {
    device_id: String,
    pairing_code: String,
    session_private_key: String,
    session_public_key: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Case {
    name: String,
    anchor: Anchor,
    now_ms: u64,
    synchronised: bool,
    floor_ms: u64,
    body: String,
    expect: Expected,
}

#[derive(Deserialize)]
#[serde(tag = "alg")]
enum Anchor {
    #[serde(rename = "HS256")]
    Hmac { key: String },
    #[serde(rename = "EdDSA", rename_all = "camelCase")]
    Ed25519 { public_key: String },
}

#[derive(Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
struct Expected {
    status: String,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    floor_ms_after: Option<u64>,
}

/// How many cases of a file went as expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Cases in the file.
    pub all: usize,
    /// For each case that did not: its name, what was expected and what was seen.
    pub failing: Vec<String>,
}

/// The vectors that come with the project.
#[must_use]
pub fn own_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/payload-v1.json")
}

/// Runs every case of a file.
///
/// # Errors
/// Where the file is not a file of vectors, or a device cannot be put together.
pub async fn run(file: &Path) -> anyhow::Result<Outcome> {
    let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    let vectors: VectorFile =
        serde_json::from_str(&text).with_context(|| format!("{} is not a file of payload vectors", file.display()))?;
    ensure!(
        vectors.protocol == 1,
        "{} is for protocol version {}, not 1",
        file.display(),
        vectors.protocol
    );
    let mut failing = Vec::new();
    for case in &vectors.cases {
        let seen = run_case(&vectors.device, case)
            .await
            .with_context(|| format!("case {}", case.name))?;
        if let Err(difference) = compare(&case.expect, &seen) {
            failing.push(format!("{}: {difference}", case.name));
        }
    }
    Ok(Outcome {
        all: vectors.cases.len(),
        failing,
    })
}

/// What a case led to.
struct Seen {
    status: String,
    error: Option<String>,
    message: String,
    floor_after: Option<u64>,
    provisioned_in_store: bool,
    floor_unchanged: bool,
}

fn compare(expected: &Expected, seen: &Seen) -> Result<(), String> {
    if expected.status != seen.status || expected.error != seen.error {
        let name = |error: &Option<String>| error.clone().unwrap_or_else(|| "success".into());
        return Err(format!(
            "expected {} with {}, seen {} with {} ({})",
            expected.status,
            name(&expected.error),
            seen.status,
            name(&seen.error),
            seen.message,
        ));
    }
    if expected.floor_ms_after.is_some() && expected.floor_ms_after != seen.floor_after {
        return Err(format!(
            "expected floor {:?}, seen {:?}",
            expected.floor_ms_after, seen.floor_after
        ));
    }
    if seen.provisioned_in_store != (expected.status == "PROVISIONED") {
        return Err("the store says otherwise than the status".into());
    }
    if expected.error.is_some() && !seen.floor_unchanged {
        return Err("the refusal moved the time floor".into());
    }
    Ok(())
}

async fn run_case(device: &VectorDevice, case: &Case) -> anyhow::Result<Seen> {
    let device_id = DeviceId::parse(&device.device_id)?;
    let now = Timestamp::from_millis(case.now_ms);
    let blueprint = Blueprint {
        device_id: device_id.clone(),
        anchor: match &case.anchor {
            Anchor::Hmac { key } => TrustAnchor::Hmac {
                device_key: SecretBytes::take(&mut key_bytes(key)?),
            },
            Anchor::Ed25519 { public_key } => TrustAnchor::Ed25519 {
                public_key: key_bytes(public_key)?,
            },
        },
        clock: Arc::new(ManualClock::new(now, case.synchronised)),
        demands: Demands::default(),
        anchor_place: FakeAnchor::default(),
        entropy: ScriptedEntropy {
            pairing_code: Some(device.pairing_code.clone()),
            session_key: Some(key_bytes(&device.session_private_key)?),
        },
    };
    let directory = tempfile::tempdir()?;
    let floor = Timestamp::from_millis(case.floor_ms);
    let store = blueprint.store(directory.path()).await?;
    store.set_time_floor(now, Some(floor), &[]).await?;

    let service = blueprint.start(Arc::clone(&store)).await?;
    let qr = service.generate_provisioning_qr_code(&device_id, LOOPBACK).await?;
    ensure!(
        qr.fields().key.to_base64url() == device.session_public_key,
        "the session key is not the vectors'"
    );
    ensure!(
        qr.fields().pairing_code.expose() == device.pairing_code,
        "the pairing code is not the vectors'"
    );
    let code = PairingCode::parse(&device.pairing_code)?;
    let outcome = service
        .apply_configuration(case.body.clone().into_bytes(), &code, None)
        .await;
    let status = service.get_status().await.status;
    service.stop().await;

    // From the files, not from what the process remembers.
    store.close().await;
    let stored = blueprint.store(directory.path()).await?.load().await?;
    Ok(Seen {
        status: status.as_str().into(),
        error: outcome.as_ref().err().map(|error| error.code().as_str().into()),
        message: outcome
            .as_ref()
            .err()
            .map_or_else(|| "installed".into(), |error| error.message().into()),
        floor_after: stored.time_floor.map(Timestamp::as_millis),
        provisioned_in_store: matches!(stored.persisted, Persisted::Provisioned(_)),
        floor_unchanged: stored.time_floor == Some(floor),
    })
}

fn key_bytes(text: &str) -> anyhow::Result<[u8; 32]> {
    let bytes = Base64UrlUnpadded::decode_vec(text).map_err(|_| anyhow::anyhow!("a key is not base64url"))?;
    bytes
        .try_into()
        .map_err(|_| anyhow::anyhow!("a key does not have 32 bytes"))
}
