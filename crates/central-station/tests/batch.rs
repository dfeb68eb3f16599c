//! A list of devices is provisioned against real TLS listeners.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails as the test itself")]

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use ring::digest::{SHA256, digest};
use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use zmon_central_station::Station;
use zmon_central_station::batch::{Defaults, Fleet, Options, Outcome, Summary, run, validate};
use zmon_central_station::ca::certificate_sha256;
use zmon_central_station::home::{AnchorKind, Home};
use zmon_central_station::push::Patience;
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

#[derive(Clone, Copy, PartialEq)]
enum Conduct {
    Accepts,
    LosesItsFirstAnswer,
    IsBusyOnce,
    Refuses,
}

/// A monitor: shows a QR code, then answers as it was told. Gives every body it received.
async fn monitor(home: &Path, out: PathBuf, png: &Path, id: &str, conduct: Conduct) -> Arc<Mutex<Vec<Vec<u8>>>> {
    let device_id = DeviceId::parse(id).unwrap();
    let key = Home::open(home).signing_key(&device_id).unwrap();
    let tls = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::default().self_signed(&tls).unwrap();
    let pin = digest(&SHA256, &rcgen::PublicKeyData::subject_public_key_info(&tls));
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
        key: SessionPublicKey::new([9; 32]),
        pin: TlsPin::new(pin.as_ref().try_into().unwrap()),
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
            let (head, text) = match conduct {
                Conduct::LosesItsFirstAnswer if number == 1 => continue,
                Conduct::IsBusyOnce if number == 1 => ("429 Many\r\nRetry-After: 1", problem("RateLimited", 429)),
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

fn accepted(out: &Path, device_id: &DeviceId, key: &SigningKey, body: &[u8]) -> String {
    let certificate = CertificateDer::from_pem_file(out.join(format!("certificates/{device_id}.pem"))).unwrap();
    let claims = ReceiptClaims {
        device_id: device_id.clone(),
        body_sha256: Sha256Digest::new(digest(&SHA256, body).as_ref().try_into().unwrap()),
        certificate_sha256: certificate_sha256(&certificate),
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

fn defaults() -> Defaults {
    Defaults {
        server_url: Some(ServerUrl::parse("https://central.example.org/").unwrap()),
        sync_interval: SyncInterval::default(),
        measurement_unit: MeasurementUnit::parse("METRIC").unwrap(),
        language: Language::parse("EN").unwrap(),
        server_certificate: None,
    }
}

async fn batch(folder: &Path, attempts: u32) -> (Summary, Vec<Outcome>) {
    let station = Station::open(&folder.join("home"));
    let options = Options {
        parallel: 2,
        attempts,
        patience: Patience::default(),
    };
    let list = folder.join("fleet.csv");
    assert_eq!(validate(&list, &defaults()).unwrap(), Ok(5));
    run(station, &list, &defaults(), &folder.join("out"), options, |_| {})
        .await
        .unwrap()
}

#[tokio::test]
async fn it_provisions_a_list_and_goes_on_where_it_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (home, out) = (folder.join("home"), folder.join("out"));
    let station = Station::create(&home, "Test CA", AnchorKind::Hmac).unwrap();
    let mut received = Vec::new();
    for (id, conduct) in [
        ("ZM-A", Conduct::Accepts),
        ("ZM-B", Conduct::LosesItsFirstAnswer),
        ("ZM-C", Conduct::IsBusyOnce),
        ("ZM-D", Conduct::Refuses),
        ("ZM-E", Conduct::Accepts),
    ] {
        received.push(monitor(&home, out.clone(), &folder.join(format!("{id}.png")), id, conduct).await);
    }
    let list = "picture,device_id,label\nZM-A.png,ZM-A,<b>Bed 1\nZM-B.png,,Bed 2\nZM-C.png,ZM-C,Bed 3\n\
                ZM-D.png,ZM-D,Bed 4\nZM-E.png,ZM-OTHER,Bed 5\n";
    std::fs::write(folder.join("fleet.csv"), list).unwrap();

    // A run that ends before the lost answer is asked for again keeps that body alone.
    let (summary, outcomes) = batch(folder, 1).await;
    assert_eq!((summary.provisioned, summary.failed), (1, 4), "{outcomes:?}");
    let codes: Vec<&str> = outcomes.iter().map(|outcome| outcome.code.as_str()).collect();
    assert_eq!(
        codes,
        [
            "Provisioned",
            "AnswerLost",
            "RateLimited",
            "InvalidPairingCode",
            "OtherDevice"
        ]
    );
    assert!(out.join("bodies/ZM-B.jwe").is_file() && out.join("bodies/ZM-C.jwe").is_file());
    assert!(!out.join("bodies/ZM-A.jwe").exists() && !out.join("bodies/ZM-D.jwe").exists());
    assert!(
        received[4].lock().unwrap().is_empty(),
        "the wrong bed was sent something"
    );

    // The crash that cut the journal's last line short is survived too.
    let journal = out.join("journal.jsonl");
    let whole = std::fs::read_to_string(&journal).unwrap();
    std::fs::write(&journal, format!("{whole}{{\"deviceId\":\"ZM")).unwrap();
    let (summary, outcomes) = batch(folder, 2).await;
    assert_eq!(
        (summary.provisioned, summary.earlier, summary.failed),
        (3, 1, 2),
        "{outcomes:?}"
    );
    let count = |index: usize| received[index].lock().unwrap().len();
    assert_eq!((count(0), count(1), count(2)), (1, 2, 2));
    for index in [1, 2] {
        let bodies = received[index].lock().unwrap();
        assert_eq!(bodies[0], bodies[1], "another body than the first");
    }
    assert_eq!(
        out.join("bodies").read_dir().unwrap().count(),
        0,
        "bodies of finished devices"
    );
    let page = std::fs::read_to_string(out.join("report.html")).unwrap();
    assert!(
        page.contains("&lt;b&gt;Bed 1") && page.contains("3 provisioned"),
        "{page}"
    );
    assert!(!page.contains("<b>") && !page.contains("<i>"), "{page}");
    let table = std::fs::read_to_string(out.join("report.csv")).unwrap();
    assert!(
        table.contains("'=D <i>") && table.contains("receipts/ZM-B.jws"),
        "{table}"
    );

    // A retired device is left alone.
    let device_id = DeviceId::parse("ZM-D").unwrap();
    station
        .retire(&device_id, Some("lost"), Timestamp::from_millis(1))
        .unwrap();
    let sent = count(3);
    let (_, outcomes) = batch(folder, 1).await;
    assert_eq!((outcomes[3].code.as_str(), count(3)), ("DeviceRetired", sent));
    assert!(station.derive(&device_id).is_err() && station.issue(&device_id).is_err());
    assert_eq!(station.retired().unwrap().len(), 1);
}

#[test]
fn it_tells_every_fault_of_a_list_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fleet.csv");
    std::fs::write(
        &path,
        "picture,label,unit,sync_interval\nno.png,,FEET,0\na.png,Bed\nb.png,Bed,METRIC,9\n",
    )
    .unwrap();
    let faults = validate(&path, &defaults()).unwrap().unwrap_err();
    let told: Vec<_> = faults.iter().map(|fault| (fault.line, fault.column)).collect();
    assert_eq!(
        told,
        [
            (2, Some("label")),
            (2, Some("sync_interval")),
            (2, Some("unit")),
            (3, None),
            (4, Some("picture"))
        ]
    );
    std::fs::write(&path, "picture,colour\n").unwrap();
    assert_eq!(validate(&path, &defaults()).unwrap().unwrap_err().len(), 2);
}

/// Gives its text, then fails for ever.
struct Failing<'a>(&'a [u8]);

impl std::io::Read for Failing<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match std::io::Read::read(&mut self.0, buffer)? {
            0 => Err(std::io::Error::other("the card was pulled out")),
            read => Ok(read),
        }
    }
}

#[test]
fn it_does_not_take_a_list_that_breaks_off_for_a_shorter_one() {
    let listed = Failing(b"picture,label,server_url\na.png,Bed 1,https://h.example/\nb.png,Bed 2,");
    let rows: Vec<_> = Fleet::read(listed, Path::new(""), &defaults()).ok().unwrap().collect();
    let last = rows.last().unwrap().as_ref().unwrap_err();
    assert!(last[0].detail.contains("cannot be read further"), "{last:?}");
    assert_eq!(rows.iter().filter(|row| row.is_err()).count(), 1);
}

proptest! {
    #[test]
    fn it_survives_any_list_and_any_code(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let listed = [b"picture,label,unit\n".as_slice(), &bytes].concat();
        for source in [bytes.as_slice(), &listed] {
            if let Ok(fleet) = Fleet::read(source, Path::new(""), &defaults()) {
                prop_assert!(fleet.count() <= listed.len());
            }
        }
        let _ = zmon_central_station::scan::scan(&bytes);
        let _ = zmon_central_station::scan::parse(String::from_utf8_lossy(&bytes).into_owned());
    }
}
