//! What the log may know. In a process of its own, whose one subscriber hears every task.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail tests")]

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use tracing_subscriber::fmt::MakeWriter;
use zmon_domain::error::{ErrorCode, ProvisioningError};
use zmon_domain::pairing::PairingCode;
use zmon_https_inbound::{HttpsInbound, HttpsInboundConfig};
use zmon_ports::PairingListener;
use zmon_testkit::fake_service::{Apply, FakeService, installed};
use zmon_testkit::fakes::ManualClock;
use zmon_testkit::https_client::{HttpAnswer, HttpsClient, push_request};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn holds_peer_and_code_and_nothing_that_was_received_or_is_secret() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(log.clone())
        .finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();

    let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let service = FakeService::new();
    let config = HttpsInboundConfig {
        port: 0,
        ..HttpsInboundConfig::default()
    };
    let listener = HttpsInbound::new(config, Arc::new(ManualClock::default()));
    let code = PairingCode::parse("X7Y9Z2").unwrap();
    let opened = listener.open(service.clone(), here, code).await.unwrap();
    let (client, at) = (HttpsClient::new(opened.pin), SocketAddr::new(here, opened.port));
    let error = ProvisioningError::from(ErrorCode::SignatureInvalid).with_cause("planted\nCAUSE");
    service.apply_next(Apply::Answer(Err(error)));
    service.apply_next(Apply::install());
    let mut request = push_request(at, "RECEIVED-BODY");
    *request.uri_mut() = "/RECEIVED-PATH?RECEIVED-QUERY".parse().unwrap();
    request
        .headers_mut()
        .insert("user-agent", "RECEIVED-HEADER".parse().unwrap());
    client.send(at, request).await.unwrap();
    client.push(at, "RECEIVED-BODY").await.unwrap();
    client.push(at, "RECEIVED-BODY").await.unwrap();
    let malformed = client.raw(at, b"RECEIVED\x07 NONSENSE\r\n\r\n").await.unwrap();
    assert_eq!(HttpAnswer::parse(&malformed).unwrap().status, 400);
    listener.close().await;

    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    // The control: it was written, cause and all, each event on one line.
    for expected in [
        "127.0.0.1",
        "SignatureInvalid",
        "NotFound",
        r"planted\nCAUSE",
        "configuration applied",
    ] {
        assert!(log.contains(expected), "{expected} in {log}");
    }
    for forbidden in ["RECEIVED", "X7Y9Z2", "planted\nCAUSE", &installed().receipt.0] {
        assert!(!log.contains(forbidden), "{forbidden:?} in {log}");
    }
}
