//! When there is a socket, and what survives what.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use zmon_domain::error::ErrorCode;
use zmon_https_inbound::{HttpsInbound, HttpsInboundConfig, Limits};
use zmon_ports::PairingListener;
use zmon_testkit::fake_service::{Apply, FakeService, result};
use zmon_testkit::fakes::ManualClock;
use zmon_testkit::https_client::HttpsClient;

use crate::harness::{HERE, Rig, assert_problem, code};

async fn is_refused(at: SocketAddr) -> bool {
    matches!(TcpStream::connect(at).await, Err(fault) if fault.kind() == ErrorKind::ConnectionRefused)
}

#[tokio::test]
async fn listens_from_open_to_close_and_at_no_other_time() {
    // A port that was free a moment ago.
    let port = {
        let rig = Rig::open().await;
        rig.listener.close().await;
        rig.at.port()
    };
    let at = SocketAddr::new(HERE, port);
    let config = HttpsInboundConfig {
        port,
        ..HttpsInboundConfig::default()
    };
    let listener = HttpsInbound::new(config, Arc::new(ManualClock::default()));
    assert!(is_refused(at).await && !listener.is_open().await);
    for _ in 0..3 {
        let opened = listener.open(FakeService::new(), HERE, code()).await.unwrap();
        assert_eq!(opened.port, port);
        assert!(listener.is_open().await);
        let client = HttpsClient::new(opened.pin);
        assert_eq!(client.get(at, "/provisioning/status").await.unwrap().status, 200);
        // Left open on purpose: it must not keep the port.
        let _idle = client.tls(at).await.unwrap();
        listener.close().await;
        assert!(is_refused(at).await && !listener.is_open().await);
        listener.close().await;
    }
}

#[tokio::test]
async fn replaces_an_open_listener_on_the_same_port() {
    let port = {
        let rig = Rig::open().await;
        rig.listener.close().await;
        rig.at.port()
    };
    let config = HttpsInboundConfig {
        port,
        ..HttpsInboundConfig::default()
    };
    let listener = HttpsInbound::new(config, Arc::new(ManualClock::default()));
    let at = SocketAddr::new(HERE, port);
    let (before, after) = (FakeService::new(), FakeService::new());
    let old = listener.open(before.clone(), HERE, code()).await.unwrap();
    for _ in 0..3 {
        assert_eq!(HttpsClient::new(old.pin).push(at, "junk").await.unwrap().status, 400);
    }
    let new = listener.open(after.clone(), HERE, code()).await.unwrap();
    // Its rates are gone with it.
    assert_eq!(HttpsClient::new(new.pin).push(at, "junk").await.unwrap().status, 400);
    assert_eq!((before.applied().len(), after.applied().len()), (3, 1));
}

#[tokio::test]
async fn says_why_it_cannot_listen() {
    let taken = tokio::net::TcpListener::bind((HERE, 0)).await.unwrap();
    let config = HttpsInboundConfig {
        port: taken.local_addr().unwrap().port(),
        ..HttpsInboundConfig::default()
    };
    let listener = HttpsInbound::new(config, Arc::new(ManualClock::default()));
    let fault = listener.open(FakeService::new(), HERE, code()).await.unwrap_err();
    assert!(
        fault.cause.contains("127.0.0.1") && fault.cause.contains("in use"),
        "{fault}"
    );
    drop(taken);
    assert!(listener.open(FakeService::new(), HERE, code()).await.is_ok());
}

#[tokio::test]
async fn stops_listening_when_it_is_dropped() {
    let rig = Rig::open().await;
    let at = rig.at;
    drop(rig);
    while !is_refused(at).await {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn finishes_an_answer_after_it_was_closed() {
    let rig = Rig::open().await;
    rig.service.apply_with(Apply::Hold(Ok(result())));
    let idle = rig.client_from(3).tls(rig.at).await.unwrap();
    let closing = async {
        rig.service.begun(1).await;
        rig.listener.close().await;
        assert!(is_refused(rig.at).await);
        rig.service.release();
    };
    let (answer, ()) = tokio::join!(rig.push("sealed"), closing);
    assert_eq!(answer.status, 200);
    drop(idle);
    tokio::time::timeout(Duration::from_secs(10), rig.listener.drained())
        .await
        .unwrap();
}

#[tokio::test]
async fn breaks_off_what_is_not_finished_in_time_after_it_was_closed() {
    let rig = Rig::with(Limits {
        closing: Duration::from_millis(200),
        ..Limits::default()
    })
    .await;
    rig.service.apply_with(Apply::Hold(Ok(result())));
    let client = rig.client();
    let closing = async {
        rig.service.begun(1).await;
        rig.listener.close().await;
        tokio::time::timeout(Duration::from_secs(10), rig.listener.drained())
            .await
            .unwrap();
    };
    let (answer, ()) = tokio::join!(client.push(rig.at, "sealed"), closing);
    assert!(answer.is_err());
    // What the service does, it does to its end.
    rig.service.release();
    rig.service.completed(1).await;
}

#[tokio::test]
async fn lets_the_service_finish_when_the_sender_goes_away() {
    let rig = Rig::open().await;
    rig.service.apply_with(Apply::Hold(Ok(result())));
    let mut stream = rig.client().tls(rig.at).await.unwrap();
    let request = "POST /provisioning/configure HTTP/1.1\r\nhost: monitor\r\ncontent-type: application/jose\r\n\
        content-length: 6\r\n\r\nsealed";
    stream.write_all(request.as_bytes()).await.unwrap();
    rig.service.begun(1).await;
    drop(stream);
    // The connection is gone before the service goes on.
    tokio::time::sleep(Duration::from_millis(100)).await;
    rig.service.release();
    tokio::time::timeout(Duration::from_secs(5), rig.service.completed(1))
        .await
        .unwrap();
    rig.listener.close().await;
    tokio::time::timeout(Duration::from_secs(10), rig.listener.drained())
        .await
        .unwrap();
}

#[tokio::test]
async fn charges_a_sender_that_goes_away_for_its_attempt() {
    let rig = Rig::open().await;
    rig.service
        .apply_with(Apply::Hold(Err(ErrorCode::EnvelopeInvalid.into())));
    for attempt in 1..=3 {
        let client = rig.client();
        tokio::select! {
            _ = client.push(rig.at, "junk") => panic!("it is held"),
            () = rig.service.begun(attempt) => {}
        }
        rig.service.release();
        rig.service.completed(attempt).await;
    }
    rig.service.apply_with(Apply::install());
    assert_problem(&rig.push("sealed").await, 429, ErrorCode::RateLimited);
}

#[tokio::test]
async fn answers_a_panic_and_lives_on() {
    let rig = Rig::open().await;
    rig.service.apply_next(Apply::Panic);
    rig.service.apply_next(Apply::install());
    assert_problem(&rig.push("sealed").await, 500, ErrorCode::UnknownError);
    assert_eq!(rig.push("sealed").await.status, 200);
}
