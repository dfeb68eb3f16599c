//! Monitors that show a QR code and listen, and a run over their list.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use zmon_central_station::batch::{Defaults, Options, Outcome, Progress, Summary, run, validate};
use zmon_central_station::home::{AnchorKind, Home};
use zmon_central_station::push::Patience;
use zmon_central_station::{Fault, Station, sha256};
use zmon_domain::audit::AuditHead;
use zmon_domain::identity::{DeviceId, SerialNumber};
use zmon_domain::pairing::{PairingCode, SessionPublicKey, Sha256Digest, TlsPin};
use zmon_domain::qr::QrFields;
use zmon_domain::result::ReceiptClaims;
use zmon_domain::secret::SecretText;
use zmon_domain::settings::{Language, MeasurementUnit, ServerUrl, SyncInterval};
use zmon_domain::time::Timestamp;
use zmon_payload_envelope::JoseEnvelope;
use zmon_payload_envelope::keys::{derive_qr_key, qr_mac};
use zmon_payload_envelope::seal::SigningKey;
use zmon_ports::{PayloadEnvelope, QrRenderer};
use zmon_qr_render::QrImageRenderer;

/// What a monitor does with what is pushed to it.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Conduct {
    Accepts,
    LosesItsFirstAnswer,
    LosesEveryAnswer,
    LosesItsAnswerAndLeaves,
    /// Asks for three seconds of silence, once.
    IsBusyOnce,
    /// Another payload is being processed, once.
    IsInUseOnce,
    /// Takes a second.
    IsSlow,
    /// Takes six, as one that asks a person.
    AsksAPerson,
    Refuses,
}

/// The bodies that a monitor received.
pub(crate) type Received = Arc<Mutex<Vec<Vec<u8>>>>;

/// A monitor: shows a QR code, then answers as it was told. Gives every body it received.
pub(crate) async fn monitor(home: &Path, out: PathBuf, png: &Path, id: &str, conduct: Conduct) -> Received {
    let device_id = DeviceId::parse(id).unwrap();
    let key = Home::open(home).signing_key(&device_id).unwrap();
    let tls = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::default().self_signed(&tls).unwrap();
    let pin = *sha256(&rcgen::PublicKeyData::subject_public_key_info(&tls)).as_bytes();
    let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(tls.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], der)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let fields = QrFields {
        device_id: device_id.clone(),
        serial_number: SerialNumber::parse("SN-1").unwrap(),
        ip_address: [127, 0, 0, 1].into(),
        port: listener.local_addr().unwrap().port(),
        pairing_code: PairingCode::parse("X7Y9Z2").unwrap(),
        timestamp: Timestamp::from_millis(1_795_435_200_000),
        // Another session, another key.
        key: SessionPublicKey::new(pin),
        pin: TlsPin::new(pin),
    };
    let SigningKey::Hmac { device_key } = &key else {
        panic!("an HMAC station")
    };
    let qr_key = derive_qr_key(device_key, &device_id);
    let content = fields.to_content_with_mac(&qr_mac(&qr_key, &fields.to_authenticated_text()));
    std::fs::write(png, QrImageRenderer.render(&content).unwrap().png).unwrap();

    let received = Arc::new(Mutex::new(Vec::new()));
    let bodies = Arc::clone(&received);
    tokio::spawn(async move {
        let acceptor = TlsAcceptor::from(Arc::new(config));
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let body = body(&mut stream).await;
            let number = {
                let mut bodies = bodies.lock().unwrap();
                bodies.push(body.clone());
                bodies.len()
            };
            let problem = |code: &str, status: u16| {
                format!(
                    r#"{{"title":"T","status":{status},"detail":"=D <i>","code":"{code}","nextAction":"N","retryable":true}}"#
                )
            };
            match conduct {
                Conduct::IsSlow => tokio::time::sleep(Duration::from_secs(1)).await,
                Conduct::AsksAPerson => tokio::time::sleep(Duration::from_secs(6)).await,
                _ => {}
            }
            let (head, text) = match conduct {
                Conduct::LosesItsFirstAnswer if number == 1 => continue,
                Conduct::LosesEveryAnswer => continue,
                Conduct::LosesItsAnswerAndLeaves => return,
                Conduct::IsBusyOnce if number == 1 => ("429 Many\r\nRetry-After: 3", problem("RateLimited", 429)),
                Conduct::IsInUseOnce if number == 1 => ("409 No", problem("PairingInProgress", 409)),
                Conduct::Refuses => ("403 No", problem("InvalidPairingCode", 403)),
                _ => ("200 OK", accepted(&out, &device_id, &key, &body)),
            };
            let length = text.len();
            let answer = format!("HTTP/1.1 {head}\r\nContent-Length: {length}\r\n\r\n{text}");
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    received
}

/// The body of a request that says how long it is.
async fn body(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> Vec<u8> {
    let (mut received, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let read = stream.read(&mut buffer).await.unwrap();
        received.extend_from_slice(&buffer[..read]);
        let Some(end) = received.windows(4).position(|four| four == b"\r\n\r\n") else {
            continue;
        };
        let head = String::from_utf8_lossy(&received[..end]).to_lowercase();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .unwrap();
        if read == 0 || received.len() - end - 4 >= length.parse().unwrap() {
            return received.split_off(end + 4);
        }
    }
}

pub(crate) fn accepted(out: &Path, device_id: &DeviceId, key: &SigningKey, body: &[u8]) -> String {
    let certificate = CertificateDer::from_pem_file(out.join(format!("certificates/{device_id}.pem"))).unwrap();
    let claims = ReceiptClaims {
        device_id: device_id.clone(),
        body_sha256: sha256(body),
        certificate_sha256: sha256(&certificate),
        completed_at: Timestamp::from_millis(1),
        audit: AuditHead {
            count: 9,
            head: Sha256Digest::new([1; 32]),
        },
    };
    let envelope = JoseEnvelope::new(key.trust_anchor(), device_id);
    let receipt = envelope.sign_receipt(&claims, &SecretText::new(String::new())).unwrap();
    format!(r#"{{"status":"PROVISIONED","receipt":"{receipt}"}}"#)
}

pub(crate) fn defaults() -> Defaults {
    Defaults {
        server_url: Some(ServerUrl::parse("https://central.example.org/").unwrap()),
        sync_interval: SyncInterval::default(),
        measurement_unit: MeasurementUnit::parse("METRIC").unwrap(),
        language: Language::parse("EN").unwrap(),
        server_certificate: None,
    }
}

/// A run over the list of a folder that is not stopped.
pub(crate) async fn batch(folder: &Path, attempts: u32) -> (Summary, Vec<Outcome>) {
    run_until(folder, attempts, std::future::pending()).await.unwrap()
}

/// A run over the list of a folder, with two places.
pub(crate) async fn run_until(
    folder: &Path,
    attempts: u32,
    stop: impl Future<Output = ()>,
) -> Result<(Summary, Vec<Outcome>), Fault> {
    run_telling(folder, attempts, stop, |_| {}).await
}

/// The same, for who listens while it is at work.
pub(crate) async fn run_telling(
    folder: &Path,
    attempts: u32,
    stop: impl Future<Output = ()>,
    tell: impl FnMut(Progress<'_>),
) -> Result<(Summary, Vec<Outcome>), Fault> {
    let station = Station::open(&folder.join("home"));
    let options = Options {
        parallel: 2,
        attempts,
        patience: Patience::default(),
    };
    let list = folder.join("fleet.csv");
    validate(&list, &defaults()).unwrap().unwrap();
    run(station, &list, &defaults(), &folder.join("out"), options, stop, tell).await
}

/// A station, monitors and their list, in a folder.
pub(crate) struct Ward {
    folder: TempDir,
    pub(crate) received: Vec<Received>,
}

impl Ward {
    /// With monitors ZM-0, ZM-1 and so on, in this order on the list.
    pub(crate) async fn with(conducts: &[Conduct]) -> Self {
        let mut ward = Self {
            folder: tempfile::tempdir().unwrap(),
            received: Vec::new(),
        };
        Station::create(&ward.path("home"), "Test CA", AnchorKind::Hmac).unwrap();
        let mut list = String::from("picture,label\n");
        for (index, conduct) in conducts.iter().enumerate() {
            list.push_str(&format!("ZM-{index}.png,Bed {index}\n"));
            let received = ward.monitor(index, *conduct).await;
            ward.received.push(received);
        }
        std::fs::write(ward.path("fleet.csv"), list).unwrap();
        ward
    }

    /// A monitor opens pairing: its picture takes the place of an earlier one.
    pub(crate) async fn monitor(&self, index: usize, conduct: Conduct) -> Received {
        let id = format!("ZM-{index}");
        let png = self.path(&format!("{id}.png"));
        monitor(&self.path("home"), self.path("out"), &png, &id, conduct).await
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn root(&self) -> &Path {
        self.folder.path()
    }

    /// How many bodies each monitor received.
    pub(crate) fn counts(&self) -> Vec<usize> {
        let count = |received: &Received| received.lock().unwrap().len();
        self.received.iter().map(count).collect()
    }

    /// Returns when the first monitor was sent something.
    pub(crate) async fn first_is_reached(&self) {
        while self.counts()[0] == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// The code of each outcome.
pub(crate) fn codes(outcomes: &[Outcome]) -> Vec<&str> {
    outcomes.iter().map(|outcome| outcome.code.as_str()).collect()
}
