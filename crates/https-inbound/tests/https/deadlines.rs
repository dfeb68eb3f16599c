//! Slow clients end by their deadlines. The limits are shortened; no test wants to be punctual.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use zmon_domain::error::ErrorCode;
use zmon_https_inbound::Limits;
use zmon_testkit::fake_service::Apply;
use zmon_testkit::https_client::{HttpAnswer, read_to_end};

use crate::harness::{Rig, assert_problem};

const SHORT: Duration = Duration::from_millis(300);
/// Longer than any deadline here, shorter than the defaults.
const PATIENCE: Duration = Duration::from_secs(4);
const HEAD: &str = "POST /provisioning/configure HTTP/1.1\r\nhost: monitor\r\ncontent-type: application/jose\r\n";
const STATUS: &[u8] = b"GET /provisioning/status HTTP/1.1\r\nhost: monitor\r\n\r\n";

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what)
        .await
        .expect("the other side ends it")
}

#[tokio::test]
async fn ends_a_handshake_that_does_not_come() {
    let rig = Rig::with(Limits {
        handshake: SHORT,
        ..Limits::default()
    })
    .await;
    for beginning in [b"".as_slice(), b"\x16\x03\x01\x02\x00\x01"] {
        let mut stream = rig.client().tcp(rig.at).await.unwrap();
        stream.write_all(beginning).await.unwrap();
        let mut answer = Vec::new();
        let _ = soon(stream.read_to_end(&mut answer)).await;
        assert_eq!(answer, b"");
    }
}

#[tokio::test]
async fn answers_a_head_that_does_not_end() {
    let rig = Rig::with(Limits {
        head: SHORT,
        ..Limits::default()
    })
    .await;
    let mut stream = rig.client().tls(rig.at).await.unwrap();
    let dripping = async {
        let (mut reading, mut writing) = tokio::io::split(&mut stream);
        let drip = async {
            for byte in HEAD.bytes() {
                writing.write_all(&[byte]).await.unwrap();
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let mut answer = Vec::new();
        tokio::select! {
            () = drip => panic!("nobody stopped it"),
            _ = reading.read_to_end(&mut answer) => answer,
        }
    };
    let answer = soon(dripping).await;
    let answer = HttpAnswer::parse(&answer).unwrap();
    assert_problem(&answer, 408, ErrorCode::RequestTimeout);
    assert_eq!(answer.header("connection"), "close");
    assert_eq!(rig.service.refusals(), [ErrorCode::RequestTimeout]);
}

#[tokio::test]
async fn ends_an_idle_connection_without_a_word() {
    let rig = Rig::with(Limits {
        head: SHORT,
        ..Limits::default()
    })
    .await;
    let mut silent = rig.client().tls(rig.at).await.unwrap();
    assert_eq!(soon(read_to_end(&mut silent)).await, b"");
    let mut kept_alive = rig.client().tls(rig.at).await.unwrap();
    kept_alive.write_all(STATUS).await.unwrap();
    let answers = String::from_utf8(soon(read_to_end(&mut kept_alive)).await).unwrap();
    assert_eq!(answers.matches("HTTP/1.1 ").count(), 1);
    assert_eq!(rig.service.refusals(), []);
}

#[tokio::test]
async fn answers_a_body_that_does_not_end() {
    let rig = Rig::with(Limits {
        body: SHORT,
        ..Limits::default()
    })
    .await;
    for framing in [
        "content-length: 1000\r\n\r\nabc",
        "transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
    ] {
        let mut stream = rig.client().tls(rig.at).await.unwrap();
        stream.write_all(format!("{HEAD}{framing}").as_bytes()).await.unwrap();
        let answer = HttpAnswer::parse(&soon(read_to_end(&mut stream)).await).unwrap();
        assert_problem(&answer, 408, ErrorCode::RequestTimeout);
        assert_eq!(answer.header("connection"), "close");
    }
    assert_eq!(rig.service.applied(), []);
    assert_eq!(rig.service.refusals(), [ErrorCode::RequestTimeout; 2]);
}

#[tokio::test]
async fn ends_a_connection_that_is_always_busy_with_something() {
    let rig = Rig::with(Limits {
        connection: SHORT,
        status_burst: 10_000,
        ..Limits::default()
    })
    .await;
    let mut stream = rig.client().tls(rig.at).await.unwrap();
    let chatting = async {
        let mut answer = vec![0; 1024];
        loop {
            if stream.write_all(STATUS).await.is_err() || !stream.read(&mut answer).await.is_ok_and(|read| read > 0) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    soon(chatting).await;
}

#[tokio::test]
async fn does_not_count_the_time_that_processing_takes() {
    let rig = Rig::with(Limits {
        connection: SHORT,
        ..Limits::default()
    })
    .await;
    let refusal = Err(ErrorCode::ConfirmationTimeout.into());
    rig.service.apply_with(Apply::Hold(refusal));
    let mut stream = rig.client().tls(rig.at).await.unwrap();
    let push = format!("{HEAD}content-length: 6\r\n\r\nsealed");
    stream.write_all(push.as_bytes()).await.unwrap();
    rig.service.begun(1).await;
    tokio::time::sleep(SHORT * 3).await;
    rig.service.release();
    // The answer comes, and there is time left for another request.
    let mut answer = vec![0; 4096];
    let read = soon(stream.read(&mut answer)).await.unwrap();
    let answer = HttpAnswer::parse(&answer[..read]).unwrap();
    assert_problem(&answer, 408, ErrorCode::ConfirmationTimeout);
    stream.write_all(STATUS).await.unwrap();
    let answer = soon(read_to_end(&mut stream)).await;
    assert_eq!(HttpAnswer::parse(&answer).unwrap().status, 200);
}
