//! A listener on loopback, the service behind it and clients for it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use zmon_domain::error::ErrorCode;
use zmon_domain::pairing::PairingCode;
use zmon_https_inbound::{HttpsInbound, HttpsInboundConfig, Limits};
use zmon_ports::{ListenerOpened, PairingListener};
use zmon_testkit::fake_service::FakeService;
use zmon_testkit::fakes::ManualClock;
use zmon_testkit::https_client::{HttpAnswer, HttpsClient};

pub(crate) const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

pub(crate) struct Rig {
    pub(crate) service: FakeService,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) listener: HttpsInbound<ManualClock>,
    pub(crate) opened: ListenerOpened,
    pub(crate) at: SocketAddr,
}

impl Rig {
    pub(crate) async fn open() -> Self {
        Self::with(Limits::default()).await
    }

    pub(crate) async fn with(limits: Limits) -> Self {
        let service = FakeService::new();
        let clock = Arc::new(ManualClock::default());
        let config = HttpsInboundConfig {
            port: 0,
            bind: None,
            limits,
        };
        let listener = HttpsInbound::new(config, Arc::clone(&clock));
        let opened = listener.open(service.clone(), HERE, code()).await.unwrap();
        Self {
            service,
            clock,
            listener,
            opened,
            at: SocketAddr::new(HERE, opened.port),
        }
    }

    pub(crate) fn client(&self) -> HttpsClient {
        HttpsClient::new(self.opened.pin)
    }

    /// A client at 127.0.0.`last`.
    pub(crate) fn client_from(&self, last: u8) -> HttpsClient {
        self.client().from(Ipv4Addr::new(127, 0, 0, last).into())
    }

    pub(crate) async fn push(&self, body: impl Into<bytes::Bytes>) -> HttpAnswer {
        self.client().push(self.at, body).await.unwrap()
    }

    /// An honest push from 127.0.0.2, which has to succeed within two seconds (`threats.md`, row 9).
    pub(crate) async fn honest_push(&self) {
        let client = self.client_from(2);
        let push = client.push(self.at, "honest");
        let answer = tokio::time::timeout(Duration::from_secs(2), push).await;
        assert_eq!(answer.expect("an answer within two seconds").unwrap().status, 200);
    }
}

pub(crate) fn code() -> PairingCode {
    PairingCode::parse("X7Y9Z2").unwrap()
}

/// Checks that an answer is a refusal with this status and code, shaped as RFC 9457 and the protocol want it.
#[track_caller]
pub(crate) fn assert_problem(answer: &HttpAnswer, status: u16, code: ErrorCode) {
    let entry = code.entry();
    let expected = serde_json::json!({
        "type": format!("urn:z-monitor:provisioning:{}", entry.name),
        "title": entry.title,
        "status": status,
        "detail": entry.title,
        "code": entry.name,
        "nextAction": entry.next_action,
        "retryable": entry.retryable,
    });
    assert_eq!(answer.json(), expected);
    assert_eq!(answer.status, status);
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert_common_headers(answer);
}

#[track_caller]
pub(crate) fn assert_common_headers(answer: &HttpAnswer) {
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert!(!answer.headers.contains_key("server") && !answer.headers.contains_key("date"));
}
