//! The station reads pictures of screens, issues certificates, pushes to the pinned device and checks receipts.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails as the test itself")]

use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};
use zmon_central_station::ca::CertificateAuthority;
use zmon_central_station::home::{AnchorKind, Home};
use zmon_central_station::push::{Answer, Patience, push};
use zmon_central_station::receipt::{Expected, check, receipt_key};
use zmon_central_station::scan::{parse, scan};
use zmon_central_station::{Family, sha256};
use zmon_domain::audit::AuditHead;
use zmon_domain::identity::{DeviceId, SerialNumber};
use zmon_domain::pairing::{PairingCode, SessionPublicKey, Sha256Digest, TlsPin};
use zmon_domain::qr::QrFields;
use zmon_domain::result::{Destruction, DestructionClaims, ReceiptClaims};
use zmon_domain::settings::ServerHost;
use zmon_domain::time::Timestamp;
use zmon_payload_envelope::JoseEnvelope;
use zmon_payload_envelope::keys::{derive_qr_key, qr_mac};
use zmon_payload_envelope::seal::SigningKey;
use zmon_ports::{PayloadEnvelope, QrRenderer};
use zmon_qr_render::QrImageRenderer;

fn device(id: &str) -> DeviceId {
    DeviceId::parse(id).unwrap()
}

fn home(anchor: AnchorKind) -> (tempfile::TempDir, Home) {
    let directory = tempfile::tempdir().unwrap();
    let home = Home::create(&directory.path().join("home"), "Test CA", anchor).unwrap();
    (directory, home)
}

fn fields(device_id: &str) -> QrFields {
    QrFields {
        device_id: device(device_id),
        serial_number: SerialNumber::parse("SN-1").unwrap(),
        ip_address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        port: 9443,
        pairing_code: PairingCode::parse("X7Y9Z2").unwrap(),
        timestamp: Timestamp::from_millis(1_795_435_200_000),
        key: SessionPublicKey::new([7; 32]),
        pin: TlsPin::new([9; 32]),
    }
}

/// The content that a device commissioned with this key shows.
fn content(fields: &QrFields, key: &SigningKey) -> String {
    match key {
        SigningKey::Hmac { device_key } => {
            let qr_key = derive_qr_key(device_key, &fields.device_id);
            fields.to_content_with_mac(&qr_mac(&qr_key, &fields.to_authenticated_text()))
        }
        SigningKey::Ed25519 { .. } => fields.to_content(),
    }
}

#[test]
fn it_reads_a_monitors_screen_and_verifies_that_it_is_the_monitors_own() {
    for anchor in [AnchorKind::Hmac, AnchorKind::Ed25519] {
        let (_directory, home) = home(anchor);
        let fields = fields("ZM-1");
        let key = home.signing_key(&fields.device_id).unwrap();
        let png = QrImageRenderer.render(&content(&fields, &key)).unwrap().png;
        let scanned = scan(&png).unwrap();
        assert_eq!(scanned.claimed_device(), &fields.device_id);
        assert!(
            !format!("{scanned:?}").contains("X7Y9Z2"),
            "the pairing code is a secret"
        );
        let read = scanned.verify(&key).unwrap();
        assert_eq!(read.to_content(), fields.to_content());
    }
}

#[test]
fn it_believes_no_code_that_this_monitor_did_not_make() {
    let (_directory, home) = home(AnchorKind::Hmac);
    let fields = fields("ZM-1");
    let key = home.signing_key(&fields.device_id).unwrap();
    let others_key = home.signing_key(&device("ZM-2")).unwrap();
    let genuine = content(&fields, &key);
    let forged = genuine.replace("127.0.0.1", "127.0.0.2");
    for forgery in [forged, content(&fields, &others_key), fields.to_content()] {
        let fault = parse(forgery).unwrap().verify(&key).unwrap_err();
        assert_eq!(fault.family(), Family::Scan);
        assert!(fault.to_string().contains("Nothing was issued"), "{fault}");
    }
    let seed = SigningKey::Ed25519 {
        seed: zmon_domain::secret::SecretBytes::take(&mut [1; 32]),
    };
    assert!(
        parse(genuine).unwrap().verify(&seed).is_err(),
        "a mac where none belongs"
    );
}

#[test]
fn it_accepts_one_spelling_alone() {
    let good = fields("ZM-1").to_content();
    assert!(parse(good.clone()).is_ok());
    let other_spellings = [
        good.replace(",\"serialNumber\"", ", \"serialNumber\""),
        good.replace("{\"v\":1,", "{").replace('}', ",\"v\":1}"),
        good.replace("{\"v\":1", "{\"v\":1,\"v\":1"),
        good.replace("\"v\":1", "\"v\":2"),
        good.replace('}', ",\"x\":1}"),
        good.replace("ZM-1", "ZM\\u002d1"),
        good.replace("9443", "8443"),
        good.replace("9443", "70000"),
        good.replace("9443", "\"9443\""),
        good.replace("X7Y9Z2", "x7y9z2"),
        good.replace("127.0.0.1", "127.0.0.01"),
        format!("{good} "),
        "https://example.org".into(),
        String::new(),
    ];
    for other in other_spellings {
        assert_eq!(parse(other.clone()).unwrap_err().family(), Family::Scan, "{other}");
    }
}

/// A clean picture of this content is one of the few that the reader cannot read in its own size.
#[test]
fn it_reads_a_clean_picture_also_where_the_reader_needs_a_larger_one() {
    let content = r#"{"v":1,"deviceId":"SIM-044","serialNumber":"SIM-SERIAL-044","ipAddress":"127.0.0.1","port":40000,"pairingCode":"018657","timestamp":1795435200000,"key":"ib91PQXCz9GfEZmF-LWZE13CaP4T6s9YJ8RJjd5m_YT","pin":"7JzVJ4fgd5Sc7Cc3yN8JctMMPFp9LE6Xw6AomK5zSSi","mac":"2pzTf9hMqmc6_taQR3JmUx"}"#;
    let png = QrImageRenderer.render(content).unwrap().png;
    let not_read = scan(&png).unwrap_err().to_string();
    assert!(!not_read.contains("cannot be read"), "{not_read}");
}

#[test]
fn it_says_what_is_wrong_with_a_picture() {
    assert!(scan(b"no picture").unwrap_err().to_string().contains("PNG"));
    let mut empty = Vec::new();
    let blank = image::GrayImage::from_pixel(300, 300, image::Luma([255]));
    blank
        .write_to(&mut std::io::Cursor::new(&mut empty), image::ImageFormat::Png)
        .unwrap();
    assert!(scan(&empty).unwrap_err().to_string().contains("no QR code"));
}

#[test]
fn its_keys_are_made_once_and_are_readable_by_nobody_else() {
    let (directory, home) = home(AnchorKind::Hmac);
    let path = directory.path().join("home");
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    let mut files = 0;
    for entry in path.read_dir().unwrap() {
        files += 1;
        assert_eq!(entry.unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert_eq!(files, 3);
    let line = home.trust_anchor_line(&device("ZM-1")).unwrap().expose().to_owned();
    let again = Home::create(&path, "Other CA", AnchorKind::Ed25519).unwrap_err();
    assert_eq!(again.family(), Family::Local);
    assert_eq!(line.len(), 43);
    assert_ne!(line, home.trust_anchor_line(&device("ZM-2")).unwrap().expose());
    let key_file = path.join("provisioning-master.key");
    std::fs::set_permissions(&key_file, PermissionsExt::from_mode(0o644)).unwrap();
    let fault = home.signing_key(&device("ZM-1")).unwrap_err();
    assert!(fault.to_string().contains("mode 0644"), "{fault}");
    std::fs::set_permissions(&key_file, PermissionsExt::from_mode(0o600)).unwrap();
    let key = home.signing_key(&device("ZM-1")).unwrap();
    let ca = home.certificate_authority().unwrap();
    let issued = ca.issue_client(&device("ZM-1")).unwrap();
    assert!(!format!("{home:?} {key:?} {ca:?} {issued:?}").contains(&line));
    assert!(!format!("{ca:?} {issued:?}").contains("PRIVATE"));
}

#[test]
fn its_certificates_say_what_the_protocol_wants() {
    let ca = CertificateAuthority::create("Test CA").unwrap();
    let root = pem_der(ca.certificate_pem());
    let (_, root) = X509Certificate::from_der(&root).unwrap();
    let constraints = root.basic_constraints().unwrap().unwrap();
    assert!(constraints.critical && constraints.value.ca);
    assert!(root.key_usage().unwrap().unwrap().value.key_cert_sign());

    let client = ca.issue_client(&device("ZM-1")).unwrap();
    let (_, client) = X509Certificate::from_der(&client.der).unwrap();
    assert!(client.extended_key_usage().unwrap().unwrap().value.client_auth);
    assert!(
        client
            .basic_constraints()
            .unwrap()
            .is_none_or(|constraints| !constraints.value.ca)
    );
    assert_eq!(client.subject().to_string(), "CN=ZM-1");

    let server = ca
        .issue_server(&ServerHost::Name("central.example.org.".into()))
        .unwrap();
    let (_, server) = X509Certificate::from_der(&server.der).unwrap();
    assert!(server.extended_key_usage().unwrap().unwrap().value.server_auth);
    let names = server.subject_alternative_name().unwrap().unwrap();
    assert_eq!(names.value.general_names, [GeneralName::DNSName("central.example.org")]);
}

fn pem_der(pem: &str) -> Vec<u8> {
    use rustls::pki_types::pem::PemObject;
    rustls::pki_types::CertificateDer::from_pem_slice(pem.as_bytes())
        .unwrap()
        .to_vec()
}

/// Whether a request that says how long its body is has been read to the end.
fn is_whole(request: &[u8]) -> bool {
    let request = String::from_utf8_lossy(request).to_lowercase();
    request.split_once("\r\n\r\n").is_some_and(|(head, body)| {
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        body.len() == length.unwrap().parse::<usize>().unwrap()
    })
}

/// A server that answers every request with the same bytes; gives what it was sent.
struct Server {
    qr: QrFields,
    received: tokio::task::JoinHandle<Vec<u8>>,
}

async fn serve(answer: Option<&'static str>) -> Server {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::default().self_signed(&key).unwrap();
    let pin = sha256(&rcgen::PublicKeyData::subject_public_key_info(&key));
    let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], der)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let received = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let Ok(mut stream) = TlsAcceptor::from(Arc::new(config)).accept(stream).await else {
            return Vec::new();
        };
        let mut received = Vec::new();
        let mut buffer = [0; 4096];
        while !is_whole(&received) {
            match stream.read(&mut buffer).await {
                Ok(0) | Err(_) => break,
                Ok(read) => received.extend_from_slice(&buffer[..read]),
            }
        }
        match answer {
            Some(answer) => {
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
            }
            None => tokio::time::sleep(Duration::from_secs(30)).await,
        }
        received
    });
    Server {
        qr: QrFields {
            port,
            pin: TlsPin::new(*pin.as_bytes()),
            ..fields("ZM-1")
        },
        received,
    }
}

#[tokio::test]
async fn it_pushes_as_the_protocol_says() {
    let server = serve(Some(
        "HTTP/1.1 200 OK\r\nContent-Length: 42\r\n\r\n{\"status\":\"PROVISIONED\",\"receipt\":\"a.b.c\"}",
    ))
    .await;
    let answer = push(&server.qr, b"the body", Patience::default()).await.unwrap();
    assert_eq!(
        answer,
        Answer::Provisioned {
            receipt: "a.b.c".into()
        }
    );
    let request = String::from_utf8(server.received.await.unwrap())
        .unwrap()
        .to_lowercase();
    assert!(
        request.starts_with("post /provisioning/configure http/1.1\r\n"),
        "{request}"
    );
    assert!(request.contains("content-type: application/jose\r\n"), "{request}");
}

#[tokio::test]
async fn the_program_keeps_a_receipt_that_it_cannot_verify() {
    let (directory, home) = home(AnchorKind::Hmac);
    let at = |name: &str| directory.path().join(name);
    for kept in [true, false] {
        let server = serve(Some(
            "HTTP/1.1 200 OK\r\nContent-Length: 42\r\n\r\n{\"status\":\"PROVISIONED\",\"receipt\":\"a.b.c\"}",
        ))
        .await;
        let content = content(&server.qr, &home.signing_key(&server.qr.device_id).unwrap());
        std::fs::write(at("qr.png"), QrImageRenderer.render(&content).unwrap().png).unwrap();
        let mut program = tokio::process::Command::new(env!("CARGO_BIN_EXE_zmon-station"));
        program.arg("--home").arg(at("home")).arg("provision").arg(at("qr.png"));
        program.args(["--server-url", "https://central.example.org", "--label", "Bed 7"]);
        if kept {
            program.arg("--receipt").arg(at("receipt"));
        }
        let output = program.output().await.unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(7), "{said}");
        if kept {
            assert_eq!(std::fs::read_to_string(at("receipt")).unwrap(), "a.b.c\n");
            assert!(said.contains(&at("receipt").display().to_string()), "{said}");
        } else {
            assert!(said.contains("\"a.b.c\""), "nobody can ask for it again: {said}");
        }
    }
}

#[tokio::test]
async fn it_sends_not_a_byte_of_http_to_another_certificate() {
    let server = serve(Some("HTTP/1.1 200 OK\r\n\r\n")).await;
    let impostor = QrFields {
        pin: TlsPin::new([0; 32]),
        ..server.qr
    };
    let fault = push(&impostor, b"the body", Patience::default()).await.unwrap_err();
    assert_eq!(fault.family(), Family::Network);
    assert!(fault.to_string().contains("Nothing was sent"), "{fault}");
    assert_eq!(server.received.await.unwrap(), b"");
}

#[tokio::test]
async fn it_follows_no_redirect_and_believes_no_unknown_answer() {
    for answer in [
        "HTTP/1.1 307 Temporary Redirect\r\nLocation: https://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\nContent-Length: 42\r\n\r\n{\"status\":\"PROVISIONE2\",\"receipt\":\"a.b.c\"}",
        "HTTP/1.1 500 Error\r\nContent-Length: 4\r\n\r\nOops",
    ] {
        let server = serve(Some(answer)).await;
        let fault = push(&server.qr, b"the body", Patience::default()).await.unwrap_err();
        assert_eq!(fault.family(), Family::Network, "{answer}");
    }
}

#[tokio::test]
async fn it_hands_on_what_the_device_refuses_and_what_to_do_next() {
    let server = serve(Some(concat!(
        "HTTP/1.1 409 Conflict\r\nContent-Type: application/problem+json\r\nContent-Length: 173\r\n\r\n",
        r#"{"type":"urn:x","title":"The device is already provisioned","status":409,"detail":"D","code":"AlreadyProvisioned","nextAction":"N","retryable":false}                         "#,
    )))
    .await;
    let answer = push(&server.qr, b"the body", Patience::default()).await.unwrap();
    let Answer::Refused(refusal) = answer else {
        panic!("{answer:?}")
    };
    assert_eq!(
        (refusal.status, refusal.code.as_str(), refusal.next_action.as_str()),
        (409, "AlreadyProvisioned", "N")
    );
}

#[tokio::test]
async fn it_does_not_wait_for_ever() {
    let server = serve(None).await;
    let patience = Patience {
        answer: Duration::from_millis(200),
        ..Patience::default()
    };
    let fault = push(&server.qr, b"the body", patience).await.unwrap_err();
    assert!(fault.to_string().contains("push the same body again"), "{fault}");
    let closed = QrFields { port: 1, ..server.qr };
    let fault = push(&closed, b"the body", Patience::default()).await.unwrap_err();
    assert!(
        fault.to_string().contains("only while its QR code is on the screen"),
        "{fault}"
    );
}

#[test]
fn a_receipt_has_to_speak_of_this_device_body_and_certificate() {
    for anchor in [AnchorKind::Hmac, AnchorKind::Ed25519] {
        let (_directory, home) = home(anchor);
        let device_id = device("ZM-1");
        let key = home.signing_key(&device_id).unwrap();
        let issued = home.certificate_authority().unwrap().issue_client(&device_id).unwrap();
        let claims = ReceiptClaims {
            device_id: device_id.clone(),
            body_sha256: sha256(b"the body"),
            certificate_sha256: issued.sha256,
            completed_at: Timestamp::from_millis(1),
            audit: AuditHead {
                count: 9,
                head: Sha256Digest::new([1; 32]),
            },
        };
        let signed = JoseEnvelope::new(key.trust_anchor(), &device_id).sign_receipt(&claims, &issued.private_key_pem);
        let receipt = signed.unwrap().to_string();
        let verifying = receipt_key(&key, &device_id, Some(&issued.der)).unwrap();
        let good = Expected {
            device_id: &device_id,
            body: Some(b"the body"),
            certificate_sha256: Some(issued.sha256),
        };
        assert_eq!(check(&receipt, &verifying, good).unwrap(), claims);
        let other = device("ZM-2");
        for wrong in [
            Expected {
                device_id: &other,
                ..good
            },
            Expected {
                body: Some(b"another body"),
                ..good
            },
            Expected {
                certificate_sha256: Some(Sha256Digest::new([0; 32])),
                ..good
            },
        ] {
            assert_eq!(
                check(&receipt, &verifying, wrong).unwrap_err().family(),
                Family::Receipt
            );
        }
        let tampered = receipt.replacen('.', ".A", 1);
        assert!(check(&tampered, &verifying, good).is_err());
    }
}

#[test]
fn the_program_compares_a_receipt_with_the_certificate_that_was_issued() {
    let (directory, home) = home(AnchorKind::Hmac);
    let device_id = device("ZM-1");
    let key = home.signing_key(&device_id).unwrap();
    let ca = home.certificate_authority().unwrap();
    let [issued, other] = [(); 2].map(|()| ca.issue_client(&device_id).unwrap());
    let claims = ReceiptClaims {
        device_id: device_id.clone(),
        body_sha256: Sha256Digest::new([2; 32]),
        certificate_sha256: issued.sha256,
        completed_at: Timestamp::from_millis(1),
        audit: AuditHead {
            count: 9,
            head: Sha256Digest::new([1; 32]),
        },
    };
    let envelope = JoseEnvelope::new(key.trust_anchor(), &device_id);
    let receipt = envelope.sign_receipt(&claims, &issued.private_key_pem).unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let receipt = file("receipt", &receipt.to_string());
    for (certificate, code) in [(&issued, 0), (&other, 7)] {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_zmon-station"))
            .arg("--home")
            .arg(directory.path().join("home"))
            .arg("verify-receipt")
            .arg(&receipt)
            .args(["--device-id", "ZM-1", "--certificate"])
            .arg(file("certificate.pem", &certificate.certificate_pem))
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(code), "{output:?}");
    }
}

#[test]
fn it_verifies_a_record_of_destruction_against_device_and_certificate() {
    for anchor in [AnchorKind::Hmac, AnchorKind::Ed25519] {
        let (directory, home) = home(anchor);
        let device_id = device("ZM-1");
        let key = home.signing_key(&device_id).unwrap();
        let ca = home.certificate_authority().unwrap();
        let [issued, other] = [(); 2].map(|()| ca.issue_client(&device_id).unwrap());
        let claims = DestructionClaims {
            device_id: device_id.clone(),
            destruction: Destruction {
                certificate_sha256: issued.sha256,
                certificate_serial: "2a".into(),
                authorised_by: "administrator PIN, uid 1000".into(),
                retired: true,
            },
            destroyed_at: Timestamp::from_millis(1_795_435_200_000),
            audit: AuditHead {
                count: 17,
                head: Sha256Digest::new([1; 32]),
            },
        };
        let envelope = JoseEnvelope::new(key.trust_anchor(), &device_id);
        let record = envelope.sign_destruction(&claims, &issued.private_key_pem).unwrap();
        let station = zmon_central_station::Station::open(&directory.path().join("home"));
        let verified = station.verify_destruction(&record.0, &device_id, Some(&issued.der));
        assert_eq!(verified.unwrap(), claims);
        for (device_id, certificate) in [(&device("ZM-2"), &issued), (&device_id, &other)] {
            let refused = station.verify_destruction(&record.0, device_id, Some(&certificate.der));
            assert_eq!(refused.unwrap_err().family(), Family::Receipt);
        }
        let without = station.verify_destruction(&record.0, &device_id, None);
        assert_eq!(without.is_ok(), matches!(anchor, AnchorKind::Hmac));

        let file = |name: &str, text: &str| {
            let path = directory.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        for (certificate, code) in [(&issued, 0), (&other, 7)] {
            let output = std::process::Command::new(env!("CARGO_BIN_EXE_zmon-station"))
                .arg("--home")
                .arg(directory.path().join("home"))
                .arg("verify-destruction")
                .arg(file("record", &format!("{}\n", record.0)))
                .args(["--device-id", "ZM-1", "--certificate"])
                .arg(file("certificate.pem", &certificate.certificate_pem))
                .output()
                .unwrap();
            assert_eq!(output.status.code(), Some(code), "{output:?}");
            let said = String::from_utf8(output.stdout).unwrap();
            assert_eq!(
                said.contains("certificate 2a") && said.contains("uid 1000"),
                code == 0,
                "{said}"
            );
        }
    }
}

/// Two screens in one picture, whose codes are these; the second one is damaged where `spoil` says so.
fn two_screens(left: &str, right: &str, spoil: bool) -> Vec<u8> {
    let render = |content: &str| {
        let png = QrImageRenderer.render(content).unwrap().png;
        image::load_from_memory(&png).unwrap().to_luma8()
    };
    let (left, mut right) = (render(left), render(right));
    if spoil {
        let (width, height) = right.dimensions();
        for x in width * 2 / 5..width * 3 / 5 {
            for y in height * 2 / 5..height * 3 / 5 {
                right.put_pixel(x, y, image::Luma([255]));
            }
        }
    }
    let mut both = image::GrayImage::from_pixel(
        left.width() + right.width(),
        left.height().max(right.height()),
        image::Luma([255]),
    );
    image::imageops::replace(&mut both, &left, 0, 0);
    image::imageops::replace(&mut both, &right, i64::from(left.width()), 0);
    let mut png = Vec::new();
    both.write_to(&mut std::io::Cursor::new(&mut png), image::ImageFormat::Png)
        .unwrap();
    png
}

#[test]
fn it_refuses_a_picture_of_two_screens_also_where_it_can_read_only_one() {
    let (one, other) = (fields("ZM-1").to_content(), fields("ZM-2").to_content());
    let pictures = [
        two_screens(&one, &other, false),
        two_screens(&one, &one, false),
        two_screens(&one, &other, true),
    ];
    for (number, picture) in pictures.iter().enumerate() {
        let fault = scan(picture).unwrap_err();
        assert!(fault.to_string().contains("2 QR codes"), "{number}: {fault}");
    }
}
