//! The connection test against a real server that demands client certificates.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails as the test itself")]

use std::time::Duration;

use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};
use tokio::time::Instant;
use zmon_domain::checks::{ConnectionTarget, Credentials, ServerReached};
use zmon_domain::error::{ErrorCode, ProvisioningError};
use zmon_domain::secret::SecretText;
use zmon_domain::settings::ServerUrl;
use zmon_domain::time::Timestamp;
use zmon_https_outbound::HttpsConnectionTest;
use zmon_ports::{ConnectionFault, ConnectionStage as Stage, ConnectionTest};
use zmon_testkit::mtls_server::{Manner, MtlsServer};
use zmon_testkit::pki::{AlternativeName, DAY, Extension, Identity, Key, KeyType, NOW, Pki, Template};

const BOTH: &[&SupportedProtocolVersion] = &[&TLS12, &TLS13];

/// A hospital's certificates, with a server on loopback.
struct Hospital {
    pki: Pki,
    pinned: Option<String>,
    at: Timestamp,
    synchronised: bool,
}

fn loopback() -> Template {
    Template::server("localhost").with(Extension::alternative_names(&[
        AlternativeName::Dns("localhost"),
        AlternativeName::Address(&[127, 0, 0, 1]),
    ]))
}

impl Hospital {
    fn new() -> Self {
        let mut pki = Pki::new("ZM-1", "localhost");
        pki.server = loopback().issued_by(&pki.ca);
        Self {
            pinned: Some(pki.server.pem()),
            pki,
            at: NOW,
            synchronised: true,
        }
    }

    async fn server(&self, manner: Manner) -> MtlsServer {
        MtlsServer::start(&self.pki.server, &self.pki.ca, BOTH, manner).await
    }

    async fn reach(&self, url: &str) -> Result<ServerReached, ConnectionFault> {
        let credentials = Credentials {
            client_certificate: self.pki.client.pem(),
            client_private_key: SecretText::new(self.pki.client.key.pkcs8_pem()),
            ca_certificate: self.pki.ca.pem(),
            server_certificate: self.pinned.clone(),
        };
        let test = HttpsConnectionTest {
            time: Duration::from_secs(2),
        };
        let outcome = test
            .reach(ConnectionTarget {
                server_url: &ServerUrl::parse(url).unwrap(),
                credentials: &credentials,
                at: self.at,
                synchronised: self.synchronised,
            })
            .await;
        if let Err(fault) = &outcome {
            let said = format!("{fault:?} {fault}");
            assert!(!said.contains("BEGIN"), "{said}");
            let error = ProvisioningError::from(fault.clone());
            assert_eq!(error.code(), ErrorCode::NetworkError);
            assert!(error.message().contains(&fault.stage.to_string()), "{error}");
            assert!(error.message().ends_with('.'), "{error}");
        }
        outcome
    }

    /// The stage that fails, and the reason.
    async fn fails(&self, url: &str) -> (Stage, String) {
        let fault = self.reach(url).await.unwrap_err();
        (fault.stage, fault.reason)
    }
}

fn url(server: &MtlsServer) -> String {
    format!("https://localhost:{}/api?v=1", server.address.port())
}

fn assert_says((stage, reason): (Stage, String), expected: Stage, words: &str) {
    assert_eq!(stage, expected, "{reason}");
    assert!(reason.contains(words), "{reason}");
}

#[tokio::test]
async fn it_reaches_a_server_with_the_new_credentials_whatever_that_answers() {
    let hospital = Hospital::new();
    for status in [200, 204, 301, 401, 403, 404, 405, 500, 503] {
        let server = hospital.server(Manner::Answers(status)).await;
        hospital.reach(&url(&server)).await.unwrap();
        let [visit] = server.visits().try_into().unwrap();
        assert!(visit.head.starts_with("HEAD /api?v=1 HTTP/1.1\r\n"), "{}", visit.head);
        assert!(
            visit
                .head
                .contains(&format!("host: localhost:{}\r\n", server.address.port()))
        );
        assert_eq!(visit.certificate, hospital.pki.client.der());
    }
}

#[tokio::test]
async fn it_reaches_a_server_by_its_address_in_both_versions_of_tls_and_without_a_pin() {
    let mut hospital = Hospital::new();
    hospital.pinned = None;
    for version in BOTH {
        let server = MtlsServer::start(&hospital.pki.server, &hospital.pki.ca, &[version], Manner::Answers(200)).await;
        hospital.reach(&format!("https://{}", server.address)).await.unwrap();
        assert!(server.visits()[0].head.starts_with("HEAD / HTTP/1.1\r\n"));
    }
}

#[tokio::test]
async fn it_uses_every_kind_of_client_key_that_step_10_takes() {
    for kind in [KeyType::P256, KeyType::P384, KeyType::Ed25519, KeyType::Rsa(2048)] {
        let mut hospital = Hospital::new();
        hospital.pki.client = Template::client("ZM-1").issued_for(Key::new(kind), &hospital.pki.ca);
        let server = hospital.server(Manner::Answers(200)).await;
        hospital
            .reach(&url(&server))
            .await
            .unwrap_or_else(|fault| panic!("{kind:?}: {fault:?}"));
    }
}

#[tokio::test]
async fn it_believes_no_server_of_another_ca() {
    let hospital = Hospital::new();
    let other: Identity = Template::ca("Other CA").self_signed(Key::new(KeyType::P256));
    let stranger = loopback().issued_by(&other);
    let server = MtlsServer::start(&stranger, &hospital.pki.ca, BOTH, Manner::Answers(200)).await;
    assert_says(
        hospital.fails(&url(&server)).await,
        Stage::Handshake,
        "is not from a CA of the payload",
    );
    assert_eq!(server.visits(), []);
}

#[tokio::test]
async fn it_believes_no_server_of_the_same_ca_but_the_pinned_one() {
    let mut hospital = Hospital::new();
    hospital.pinned = Some(loopback().issued_by(&hospital.pki.ca).pem());
    let server = hospital.server(Manner::Answers(200)).await;
    assert_says(
        hospital.fails(&url(&server)).await,
        Stage::Handshake,
        "is not the pinned one",
    );
    assert_eq!(server.visits(), []);
}

#[tokio::test]
async fn it_believes_no_server_with_another_name() {
    let mut hospital = Hospital::new();
    hospital.pki.server = Template::server("elsewhere.example").issued_by(&hospital.pki.ca);
    hospital.pinned = None;
    let server = hospital.server(Manner::Answers(200)).await;
    assert_says(
        hospital.fails(&url(&server)).await,
        Stage::Handshake,
        "does not name the host",
    );
}

#[tokio::test]
async fn it_judges_the_server_at_the_device_s_time() {
    let mut hospital = Hospital::new();
    hospital.pinned = None;
    let days = |days: i64| Timestamp::from_millis((NOW.as_millis() as i64 + days * DAY * 1000) as u64);
    let server = hospital.server(Manner::Answers(200)).await;
    hospital.at = days(4000);
    assert_says(hospital.fails(&url(&server)).await, Stage::Handshake, "has expired");
    hospital.at = days(-400);
    assert_says(
        hospital.fails(&url(&server)).await,
        Stage::Handshake,
        "is not valid yet",
    );
    // A device without a clock cannot tell.
    hospital.synchronised = false;
    hospital.reach(&url(&server)).await.unwrap();
    hospital.at = Timestamp::from_millis(0);
    hospital.reach(&url(&server)).await.unwrap();
}

#[tokio::test]
async fn it_says_that_the_server_refuses_the_client_certificate_in_both_versions_of_tls() {
    let hospital = Hospital::new();
    let other: Identity = Template::ca("Other CA").self_signed(Key::new(KeyType::P256));
    for version in BOTH {
        for _ in 0..20 {
            let server = MtlsServer::start(&hospital.pki.server, &other, &[version], Manner::Answers(200)).await;
            assert_says(
                hospital.fails(&url(&server)).await,
                Stage::Handshake,
                "not take the client certificate",
            );
            assert_eq!(server.visits(), []);
        }
    }
}

#[tokio::test]
async fn it_says_so_too_where_the_server_refuses_the_certificate_in_http_or_hangs_up() {
    let hospital = Hospital::new();
    for status in [400, 495, 496] {
        let server = hospital.server(Manner::Answers(status)).await;
        assert_says(
            hospital.fails(&url(&server)).await,
            Stage::Request,
            "not take the client certificate",
        );
    }
    let server = hospital.server(Manner::HangsUp).await;
    assert_says(
        hospital.fails(&url(&server)).await,
        Stage::Request,
        "ended the connection without an answer",
    );
}

#[tokio::test]
async fn it_says_that_nothing_listens_that_a_name_is_unknown_and_that_a_port_speaks_no_tls() {
    let hospital = Hospital::new();
    let server = hospital.server(Manner::Answers(200)).await;
    let gone = url(&server);
    drop(server);
    // The socket is gone with its task.
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_says(
        hospital.fails(&gone).await,
        Stage::Connect,
        "nothing listens at 127.0.0.1",
    );
    // RFC 6761: never resolves.
    let unknown = hospital.fails("https://server.invalid").await;
    assert_says(unknown, Stage::NameResolution, "DNS servers");
    let server = hospital.server(Manner::SpeaksHttp).await;
    assert_says(hospital.fails(&url(&server)).await, Stage::Handshake, "HTTPS");
}

#[tokio::test]
async fn it_gives_up_on_a_silent_server_when_its_time_is_over() {
    let hospital = Hospital::new();
    for (manner, stage) in [
        (Manner::SilentInTcp, Stage::Handshake),
        (Manner::SilentInHttp, Stage::Request),
    ] {
        let server = hospital.server(manner).await;
        let begun = Instant::now();
        assert_says(hospital.fails(&url(&server)).await, stage, "no answer within 2.0 s");
        assert!(begun.elapsed() >= Duration::from_secs(2), "it gave up before");
    }
}
