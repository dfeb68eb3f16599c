//! The connection test of step 11, with the real service, its HTTPS listener, a real push and a server that demands client
//! certificates.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails as the test itself")]

use std::time::Duration;

use rustls::version::{TLS12, TLS13};
use serde_json::json;
use zmon_domain::audit::AuditEvent;
use zmon_domain::checks::Demands;
use zmon_domain::error::ErrorCode;
use zmon_domain::machine::Persisted;
use zmon_domain::signal::ProvisioningSignal;
use zmon_domain::status::{Phase, ProvisioningStatus as Status};
use zmon_https_outbound::HttpsConnectionTest;
use zmon_ports::{EventSubscription, ProvisioningService, SubscriptionEvent};
use zmon_testkit::https_client::HttpAnswer;
use zmon_testkit::mtls_server::{Manner, MtlsServer};
use zmon_testkit::pki::{AlternativeName, Extension, Identity, Key, KeyType, NOW, Template};
use zmon_tests::bench::{Bench, assert_refused, push, until};
use zmon_tests::device::PEER;

const DEMANDS: Demands = Demands {
    connection_test: true,
    confirmation: false,
};

/// A device that tests, and what its station says of the server.
struct Ward {
    bench: Bench,
    server: Identity,
}

fn loopback_server(ca: &Identity) -> Identity {
    Template::server("localhost")
        .with(Extension::alternative_names(&[AlternativeName::Address(&[
            127, 0, 0, 1,
        ])]))
        .issued_by(ca)
}

impl Ward {
    async fn new(demands: Demands) -> Self {
        let bench = Bench::demanding(demands).await;
        let server = loopback_server(&bench.station.pki.ca);
        Self { bench, server }
    }

    /// The server, taking clients of this CA.
    async fn server_trusting(&self, ca: &Identity, manner: Manner) -> MtlsServer {
        MtlsServer::start(&self.server, ca, &[&TLS12, &TLS13], manner).await
    }

    async fn server(&self) -> MtlsServer {
        self.server_trusting(&self.bench.station.pki.ca, Manner::Answers(404))
            .await
    }

    /// Pushes a payload for this server.
    async fn push(&self, server: &MtlsServer) -> HttpAnswer {
        let qr = self.bench.open().await;
        let mut payload = self.bench.station.payload(qr.fields(), NOW);
        payload["serverUrl"] = json!(format!("https://{}/api", server.address));
        payload["serverCertificate"] = json!(self.server.pem());
        push(&qr, self.bench.station.seal(qr.fields(), &payload)).await
    }

    async fn assert_refused(&self, answer: &HttpAnswer, words: &str) {
        assert_refused(answer, 502, ErrorCode::NetworkError);
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(words), "{detail}");
        assert_eq!(self.bench.status().await, Status::ProvisioningFailed);
        let (persisted, events) = self.bench.stored().await;
        assert!(matches!(persisted, Persisted::Unprovisioned));
        assert!(!events.contains(&AuditEvent::ConnectionTested));
        assert!(self.bench.store.credentials().await.unwrap().is_none());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_reached_with_the_new_credentials_is_installed_and_recorded() {
    let ward = Ward::new(DEMANDS).await;
    let server = ward.server().await;
    let mut events = ward.bench.device.subscribe();
    let answer = ward.push(&server).await;
    assert_eq!(answer.status, 200, "{}", answer.json());
    assert_eq!(server.visits()[0].certificate, ward.bench.station.pki.client.der());
    assert!(ward.bench.stored().await.1.contains(&AuditEvent::ConnectionTested));
    let mut phases = Vec::new();
    while phases.last() != Some(&Phase::Applying) {
        let Some(SubscriptionEvent::Signal(signal)) = events.next().await else {
            panic!("missed")
        };
        if let ProvisioningSignal::StatusChanged { phase: Some(phase), .. } = signal {
            phases.push(phase);
        }
    }
    let expected = [
        Phase::VerifyingSignature,
        Phase::CheckingPayload,
        Phase::CheckingCertificates,
        Phase::TestingConnection,
        Phase::Applying,
    ];
    assert_eq!(phases, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_refuses_the_client_certificate_leaves_everything_as_it_was() {
    let ward = Ward::new(DEMANDS).await;
    let other = Template::ca("Other CA").self_signed(Key::new(KeyType::P256));
    let server = ward.server_trusting(&other, Manner::Answers(200)).await;
    let answer = ward.push(&server).await;
    ward.assert_refused(&answer, "not take the client certificate").await;
    // The next session can succeed.
    let server = ward.server().await;
    assert_eq!(ward.push(&server).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_the_pinned_one_leaves_everything_as_it_was() {
    let mut ward = Ward::new(DEMANDS).await;
    let server = ward.server().await;
    // Another certificate for the same name, from the same CA.
    ward.server = loopback_server(&ward.bench.station.pki.ca);
    let answer = ward.push(&server).await;
    ward.assert_refused(&answer, "is not the pinned one").await;
    assert_eq!(server.visits(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_server_is_given_up_with_time_left_of_the_five_seconds_of_a_provisioning() {
    let time = HttpsConnectionTest::default().time;
    assert!(time < Duration::from_secs(5), "{time:?}");
    let ward = Ward::new(DEMANDS).await;
    let server = ward
        .server_trusting(&ward.bench.station.pki.ca, Manner::SilentInTcp)
        .await;
    // The server never says anything, so nothing but that time can have ended this.
    let answer = ward.push(&server).await;
    let words = format!("no answer within {:.1} s", time.as_secs_f32());
    ward.assert_refused(&answer, &words).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_during_the_test_wins_over_its_outcome() {
    let ward = Ward::new(DEMANDS).await;
    let server = ward
        .server_trusting(&ward.bench.station.pki.ca, Manner::SilentInHttp)
        .await;
    let device = &ward.bench.device;
    let cancelled = async {
        until(async || device.get_status().await.phase == Some(Phase::TestingConnection)).await;
        device.cancel().await.unwrap();
    };
    let (answer, ()) = tokio::join!(ward.push(&server), cancelled);
    assert_refused(&answer, 409, ErrorCode::Cancelled);
    assert_eq!(device.get_status().await.failure.unwrap().code(), ErrorCode::Cancelled);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_asked_about_what_works_and_about_nothing_else() {
    let ward = Ward::new(Demands {
        connection_test: true,
        confirmation: true,
    })
    .await;
    let device = &ward.bench.device;
    let other = Template::ca("Other CA").self_signed(Key::new(KeyType::P256));
    let refusing = ward.server_trusting(&other, Manner::Answers(200)).await;
    let answer = ward.push(&refusing).await;
    ward.assert_refused(&answer, "not take the client certificate").await;

    let server = ward.server().await;
    let accepted = async {
        until(async || device.get_status().await.confirmation.is_some()).await;
        assert_eq!(
            server.visits().len(),
            1,
            "the server was reached before anybody was asked"
        );
        device.answer_confirmation(true, Some(PEER)).await.unwrap();
    };
    let (answer, ()) = tokio::join!(ward.push(&server), accepted);
    assert_eq!(answer.status, 200, "{}", answer.json());
    let (_, events) = ward.bench.stored().await;
    let of_step_11 = [AuditEvent::ConnectionTested, AuditEvent::ConfirmationAccepted];
    let found: Vec<_> = events.into_iter().filter(|event| of_step_11.contains(event)).collect();
    assert_eq!(found, of_step_11);
}
