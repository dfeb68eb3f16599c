//! What TLS offers, and what it does not.

use std::net::{IpAddr, SocketAddr};

use ring::digest::{SHA256, digest};
use rustls::version::{TLS12, TLS13};
use rustls::{HandshakeKind, ProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};
use zmon_domain::pairing::TlsPin;
use zmon_https_inbound::{HttpsInbound, HttpsInboundConfig};
use zmon_ports::PairingListener;
use zmon_testkit::fake_service::FakeService;
use zmon_testkit::fakes::ManualClock;
use zmon_testkit::https_client::HttpsClient;

use crate::harness::{HERE, Rig, code};

#[tokio::test]
async fn presents_a_self_signed_certificate_of_the_address_for_all_times() {
    let rig = Rig::open().await;
    let client = rig.client();
    client.get(rig.at, "/provisioning/status").await.unwrap();
    let der = client.certificate();
    let (rest, certificate) = X509Certificate::from_der(&der).unwrap();
    assert!(rest.is_empty());
    let spki = certificate.public_key();
    assert_eq!(digest(&SHA256, spki.raw).as_ref(), rig.opened.pin.as_bytes());
    // P-256.
    let curve = spki.algorithm.parameters.as_ref().unwrap().as_oid().unwrap();
    assert_eq!(curve.to_id_string(), "1.2.840.10045.3.1.7");
    certificate.verify_signature(None).unwrap();
    assert_eq!(certificate.issuer(), certificate.subject());
    assert_eq!(certificate.validity().not_before.timestamp(), 0);
    // 9999-12-31T23:59:59Z, RFC 5280, 4.1.2.5.
    assert_eq!(certificate.validity().not_after.timestamp(), 253_402_300_799);
    let names = certificate.subject_alternative_name().unwrap().unwrap();
    assert_eq!(names.value.general_names, [GeneralName::IPAddress(&[127, 0, 0, 1])]);
}

#[tokio::test]
async fn names_an_ipv6_address_and_may_listen_elsewhere_than_it_says() {
    let said: IpAddr = "2001:db8::17".parse().unwrap();
    let config = HttpsInboundConfig {
        port: 0,
        bind: Some("::1".parse().unwrap()),
        ..HttpsInboundConfig::default()
    };
    let listener = HttpsInbound::new(config, std::sync::Arc::new(ManualClock::default()));
    let opened = listener.open(FakeService::new(), said, code()).await.unwrap();
    let client = HttpsClient::new(opened.pin);
    let at = SocketAddr::new("::1".parse().unwrap(), opened.port);
    assert_eq!(client.get(at, "/provisioning/status").await.unwrap().status, 200);
    let der = client.certificate();
    let (_, certificate) = X509Certificate::from_der(&der).unwrap();
    let names = certificate.subject_alternative_name().unwrap().unwrap();
    let IpAddr::V6(said) = said else { unreachable!() };
    assert_eq!(names.value.general_names, [GeneralName::IPAddress(&said.octets())]);
}

#[tokio::test]
async fn has_a_fresh_key_for_every_session() {
    let rig = Rig::open().await;
    let mut pins = vec![rig.opened.pin];
    for _ in 0..5 {
        let opened = rig.listener.open(rig.service.clone(), HERE, code()).await.unwrap();
        let at = SocketAddr::new(HERE, opened.port);
        assert_eq!(
            HttpsClient::new(opened.pin).get(at, "/nowhere").await.unwrap().status,
            404
        );
        assert!(HttpsClient::new(pins[0]).get(at, "/nowhere").await.is_err());
        assert!(!pins.contains(&opened.pin));
        pins.push(opened.pin);
    }
}

#[tokio::test]
async fn is_told_apart_from_anyone_else_by_its_pin() {
    let rig = Rig::open().await;
    let client = HttpsClient::new(TlsPin::new([0; 32]));
    assert!(client.tls(rig.at).await.is_err());
}

#[tokio::test]
async fn speaks_1_2_and_1_3_and_resumes_neither() {
    let rig = Rig::open().await;
    for (version, expected) in [(&TLS12, ProtocolVersion::TLSv1_2), (&TLS13, ProtocolVersion::TLSv1_3)] {
        // One client: it would resume if it could.
        let client = HttpsClient::with_versions(rig.opened.pin, &[version]);
        for _ in 0..3 {
            let mut stream = client.tls(rig.at).await.unwrap();
            stream
                .write_all(b"GET /provisioning/status HTTP/1.1\r\nhost: monitor\r\nconnection: close\r\n\r\n")
                .await
                .unwrap();
            // Tickets of TLS 1.3 come after the handshake: read on until the end.
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.unwrap();
            assert!(answer.starts_with(b"HTTP/1.1 200 "));
            let (_, tls) = stream.get_ref();
            assert_eq!(tls.protocol_version(), Some(expected));
            assert_eq!(tls.handshake_kind(), Some(HandshakeKind::Full));
            assert_eq!(tls.alpn_protocol(), Some(b"http/1.1".as_slice()));
            assert_eq!(tls.tls13_tickets_received(), 0);
            assert!(!tls.is_early_data_accepted());
        }
    }
}

#[tokio::test]
async fn offers_http_1_1_and_no_other_protocol() {
    let rig = Rig::open().await;
    assert!(rig.client().with_alpn(&[b"h2"]).tls(rig.at).await.is_err());
    let both = rig.client().with_alpn(&[b"h2", b"http/1.1"]).tls(rig.at).await.unwrap();
    assert_eq!(both.get_ref().1.alpn_protocol(), Some(b"http/1.1".as_slice()));
    let none = rig.client().with_alpn(&[]);
    assert_eq!(none.get(rig.at, "/provisioning/status").await.unwrap().status, 200);
}

#[tokio::test]
async fn answers_nothing_in_the_clear() {
    let rig = Rig::open().await;
    let mut stream = rig.client().tcp(rig.at).await.unwrap();
    stream
        .write_all(b"GET /provisioning/status HTTP/1.1\r\nhost: monitor\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    // At most a TLS alert.
    assert!(
        answer.is_empty() || (answer[0] == 0x15 && answer.len() == 7),
        "{answer:?}"
    );
}

/// A `ClientHello` of this version and these cipher suites, with the groups and signatures that everybody has.
fn client_hello(version: u16, suites: &[u16]) -> Vec<u8> {
    let length = |bytes: &[u8]| (bytes.len() as u16).to_be_bytes();
    let extension = |kind: u16, content: &[u8]| [&kind.to_be_bytes()[..], &length(content), content].concat();
    let extensions = [
        extension(10, &[0, 4, 0, 0x1d, 0, 0x17]),
        extension(11, &[1, 0]),
        extension(13, &[0, 6, 4, 3, 4, 1, 2, 3]),
        // Extended master secret.
        extension(23, &[]),
    ]
    .concat();
    let suites: Vec<u8> = suites.iter().flat_map(|suite| suite.to_be_bytes()).collect();
    let hello = [
        &version.to_be_bytes()[..],
        &[7; 32],
        &[0],
        &length(&suites),
        &suites,
        &[1, 0],
        &length(&extensions),
        &extensions,
    ]
    .concat();
    let message = [&[1, 0][..], &length(&hello), &hello].concat();
    [&[0x16, 3, 1][..], &length(&message), &message].concat()
}

async fn first_record(rig: &Rig, hello: &[u8]) -> Vec<u8> {
    let mut stream = rig.client().tcp(rig.at).await.unwrap();
    stream.write_all(hello).await.unwrap();
    let mut record = vec![0; 7];
    stream.read_exact(&mut record).await.unwrap();
    record
}

#[tokio::test]
async fn knows_no_older_version_and_no_weaker_suite() {
    const ALERT: u8 = 0x15;
    const HANDSHAKE: u8 = 0x16;
    let (protocol_version, handshake_failure) = (70, 40);
    let ecdhe_gcm = 0xc02b;
    let rig = Rig::open().await;
    // The control: the same hello is answered where it asks for something acceptable.
    assert_eq!(
        first_record(&rig, &client_hello(0x0303, &[ecdhe_gcm])).await[0],
        HANDSHAKE
    );
    for version in [0x0300, 0x0301, 0x0302] {
        let record = first_record(&rig, &client_hello(version, &[ecdhe_gcm])).await;
        assert_eq!((record[0], record[6]), (ALERT, protocol_version), "{version:#x}");
    }
    // ECDHE with CBC, RSA key exchange with GCM, finite-field DHE, RC4, NULL.
    for suite in [0xc009, 0xc023, 0x009c, 0x009e, 0xc007, 0xc006] {
        let record = first_record(&rig, &client_hello(0x0303, &[suite])).await;
        assert_eq!((record[0], record[6]), (ALERT, handshake_failure), "{suite:#x}");
    }
}
