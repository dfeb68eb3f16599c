//! Random payloads by three foreign libraries: each is installed as it says, and no change of one byte goes unnoticed.

use std::collections::HashMap;
use std::process::Command;
use std::sync::Arc;

use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::{Value, json};
use zmon_domain::checks::Demands;
use zmon_domain::error::{ErrorCode, ProvisioningError};
use zmon_domain::identity::DeviceId;
use zmon_domain::pairing::PairingCode;
use zmon_domain::qr::QrCodeData;
use zmon_domain::secret::SecretText;
use zmon_domain::settings::Settings;
use zmon_domain::status::ProvisioningStatus as Status;
use zmon_payload_envelope::seal::{SigningKey, seal};
use zmon_ports::{Entropy, ProvisioningService};
use zmon_testkit::fakes::{FakeAnchor, ManualClock};
use zmon_testkit::pki::{Key, KeyType, NOW, Pki, Template};
use zmon_testkit::skip::skip;
use zmon_tests::device::{Blueprint, Device, LOOPBACK, ScriptedEntropy};
use zmon_tests::station::{SERVER_HOST, Station};

use zmon_tests::kit::{Lines, Node, Python};

/// Payloads of each library.
const PAYLOADS: usize = 100;
/// Changes of one byte to each sealed payload.
const MUTATIONS: usize = 100;
/// Changes of one byte to each signed message before it is sealed; every one ends a session, so there are fewer.
const SIGNED_MUTATIONS: usize = 3;

#[tokio::test]
async fn it_installs_what_jwcrypto_makes_and_notices_every_changed_byte() {
    match Python::find() {
        Err(reason) => skip("payloads by jwcrypto", &reason),
        Ok(python) => all_payloads(python_command(&python, "jwcrypto")).await,
    }
}

#[tokio::test]
async fn it_installs_what_joserfc_makes_and_notices_every_changed_byte() {
    match Python::find() {
        Err(reason) => skip("payloads by joserfc", &reason),
        Ok(python) => all_payloads(python_command(&python, "joserfc")).await,
    }
}

#[tokio::test]
async fn it_installs_what_npm_jose_makes_and_notices_every_changed_byte() {
    match Node::find() {
        Err(reason) => skip("payloads by npm jose", &reason),
        Ok(node) => all_payloads(node.script("generate.mjs")).await,
    }
}

fn python_command(python: &Python, library: &str) -> Command {
    let mut command = python.script("tests/strangers/generate.py");
    command.arg(library);
    command
}

async fn all_payloads(command: Command) {
    let mut stranger = Lines::start(command);
    let device_id = DeviceId::parse("ZM-ICU-MON-04").unwrap();
    let stations = [Station::hmac(&device_id), Station::ed25519(&device_id)];
    let certificates = certificates(&device_id);
    let mut refused = 0;
    for round in 0..PAYLOADS {
        let bench = Bench::new(&device_id, &stations[round % 2]).await;
        let made = stranger.ask(&bench.question(&certificates));
        let body = made["body"].as_str().unwrap().as_bytes();
        let signed = made["signed"].as_str().unwrap();
        for _ in 0..MUTATIONS {
            bench.refuses_changed_envelope(body).await;
            refused += 1;
        }
        if round == 0 {
            refuses_every_other_last_character(&bench, body).await;
        }
        for _ in 0..SIGNED_MUTATIONS {
            bench.refuses_changed_message(signed).await;
        }
        bench.installs(body, &made["payload"]).await;
        bench.device.stop().await;
    }
    assert_eq!(refused, PAYLOADS * MUTATIONS);
}

/// Certificates for each kind of client key.
fn certificates(device_id: &DeviceId) -> Value {
    let pki = Pki::new(device_id.as_str(), SERVER_HOST);
    let of = |kind| {
        let client = Template::client(device_id.as_str()).issued_for(Key::new(kind), &pki.ca);
        json!({
            "clientCertificate": client.pem(),
            "clientPrivateKey": client.key.pkcs8_pem(),
            "caCertificate": pki.ca.pem(),
            "serverCertificate": pki.server.pem(),
        })
    };
    [KeyType::P256, KeyType::P384, KeyType::Ed25519, KeyType::Rsa(2048)]
        .map(of)
        .into()
}

/// A fresh device in a session, with a session key and a code that outlive the session.
struct Bench<'a> {
    _directory: tempfile::TempDir,
    blueprint: Blueprint,
    station: &'a Station,
    device: Device,
    code: PairingCode,
    qr: QrCodeData,
}

impl<'a> Bench<'a> {
    async fn new(device_id: &DeviceId, station: &'a Station) -> Self {
        let code = PairingCode::from_random(&mut random());
        let blueprint = Blueprint {
            device_id: device_id.clone(),
            anchor: station.key.trust_anchor(),
            clock: Arc::new(ManualClock::new(NOW, true)),
            demands: Demands::default(),
            anchor_place: FakeAnchor::default(),
            entropy: ScriptedEntropy {
                pairing_code: Some(code.expose().into()),
                session_key: Some(random()),
            },
        };
        let directory = tempfile::tempdir().unwrap();
        let store = blueprint.store(directory.path()).await.unwrap();
        let device = blueprint.start(store).await.unwrap();
        let qr = device.generate_provisioning_qr_code(device_id, LOOPBACK).await.unwrap();
        Self {
            _directory: directory,
            blueprint,
            station,
            device,
            code,
            qr,
        }
    }

    /// What a stranger gets: the screen's text and the station's files.
    fn question(&self, certificates: &Value) -> Value {
        let (name, key) = match &self.station.key {
            SigningKey::Hmac { .. } => ("master", [17; 32]),
            SigningKey::Ed25519 { .. } => ("seed", [18; 32]),
        };
        json!({
            "qr": self.qr.qr_code_content(),
            "now": NOW.as_millis(),
            name: Base64UrlUnpadded::encode_string(&key),
            "pki": certificates,
        })
    }

    async fn refuses(&self, body: Vec<u8>, expected: ErrorCode, then: Status, what: &str) {
        let outcome = self.device.apply_configuration(body, &self.code, None).await;
        let found = outcome.as_ref().map_err(ProvisioningError::code).err();
        assert_eq!(found, Some(expected), "{what}");
        assert_eq!(self.device.get_status().await.status, then, "{what}");
    }

    /// An envelope that does not open leaves the session as it is.
    async fn refuses_changed_envelope(&self, body: &[u8]) {
        let (body, what) = changed(body);
        self.refuses(body, ErrorCode::EnvelopeInvalid, Status::ReadyToPair, &what)
            .await;
    }

    /// A wrong signature ends the session; the next one has the same key and code.
    async fn refuses_changed_message(&self, signed: &str) {
        let (message, what) = loop {
            let (message, what) = changed(signed.as_bytes());
            if let Ok(message) = String::from_utf8(message) {
                break (message, what);
            }
        };
        let body = seal(&SecretText::new(message), &self.qr.fields().key).unwrap();
        self.refuses(
            body.into_bytes(),
            ErrorCode::SignatureInvalid,
            Status::ProvisioningFailed,
            &what,
        )
        .await;
        let again = self
            .device
            .generate_provisioning_qr_code(&self.blueprint.device_id, LOOPBACK)
            .await
            .unwrap();
        assert_eq!(again.fields().key, self.qr.fields().key);
    }

    async fn installs(&self, body: &[u8], payload: &Value) {
        let outcome = self.device.apply_configuration(body.to_vec(), &self.code, None).await;
        let result = outcome.unwrap_or_else(|error| panic!("{:?} {}: {payload}", error.code(), error.message()));
        assert_eq!(self.device.get_status().await.status, Status::Provisioned);
        assert_installed(&result.installed.settings, payload);
    }
}

fn assert_installed(settings: &Settings, payload: &Value) {
    let found: HashMap<_, _> = settings.to_pairs().into();
    for name in ["deviceId", "deviceLabel", "serverUrl", "measurementUnit"] {
        assert_eq!(found[name], payload[name].as_str().unwrap(), "{name}");
    }
    let interval = payload.get("syncInterval").map_or(10, |value| value.as_u64().unwrap());
    assert_eq!(found["syncInterval"], interval.to_string());
    assert_eq!(
        found["language"],
        payload["language"].as_str().unwrap().to_ascii_uppercase()
    );
}

/// The last character of each part carries bits that decoders may ignore; ours may not.
async fn refuses_every_other_last_character(bench: &Bench<'_>, body: &[u8]) {
    let ends = (0..body.len()).filter(|at| body.get(at + 1).is_none_or(|next| *next == b'.'));
    for at in ends.filter(|at| body[*at] != b'.') {
        for other in ALPHABET.iter().filter(|other| **other != body[at]) {
            let mut changed = body.to_vec();
            changed[at] = *other;
            let what = format!("byte {at} made {other:#x}");
            bench
                .refuses(changed, ErrorCode::EnvelopeInvalid, Status::ReadyToPair, &what)
                .await;
        }
    }
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// One byte of it made another, mostly one that can stand in base64url; and a word on which.
fn changed(original: &[u8]) -> (Vec<u8>, String) {
    let [where_, what, any] = [random::<8>(), random::<8>(), random::<8>()].map(u64::from_le_bytes);
    let at = usize::try_from(where_).unwrap() % original.len();
    let [value, kind, ..] = any.to_le_bytes();
    let other = if kind % 4 == 0 {
        value
    } else {
        ALPHABET[usize::try_from(what).unwrap() % 64]
    };
    if other == original[at] {
        return changed(original);
    }
    let mut bytes = original.to_vec();
    bytes[at] = other;
    (
        bytes,
        format!("byte {at} of {}, {:#x} made {other:#x}", original.len(), original[at]),
    )
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    ScriptedEntropy::default().fill(&mut bytes).unwrap();
    bytes
}
