//! How large a request may be, and that whoever sends more hears of it.

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use zmon_domain::error::ErrorCode;
use zmon_testkit::fake_service::Apply;
use zmon_testkit::https_client::{HttpAnswer, read_to_end};

use crate::harness::{Rig, assert_problem};

const LIMIT: usize = 64 * 1024;
const HEAD: &str = "POST /provisioning/configure HTTP/1.1\r\nhost: monitor\r\ncontent-type: application/jose\r\n";

fn with_length(body: usize) -> Vec<u8> {
    let mut bytes = format!("{HEAD}content-length: {body}\r\n\r\n").into_bytes();
    bytes.resize(bytes.len() + body, b'x');
    bytes
}

fn chunked(body: usize) -> Vec<u8> {
    let mut bytes = format!("{HEAD}connection: close\r\ntransfer-encoding: chunked\r\n\r\n").into_bytes();
    let mut left = body;
    while left > 0 {
        let chunk = left.min(1000);
        bytes.extend_from_slice(format!("{chunk:x}\r\n").as_bytes());
        bytes.resize(bytes.len() + chunk, b'x');
        bytes.extend_from_slice(b"\r\n");
        left -= chunk;
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

#[tokio::test]
async fn takes_a_body_of_64_kib_and_not_a_byte_more() {
    let rig = Rig::open().await;
    rig.service.apply_with(Apply::install());
    assert_eq!(rig.push(vec![b'x'; LIMIT]).await.status, 200);
    assert_eq!(rig.service.applied()[0].0.len(), LIMIT);
    let answer = rig.client().raw(rig.at, &chunked(LIMIT)).await.unwrap();
    assert_eq!(HttpAnswer::parse(&answer).unwrap().status, 200);
    assert_eq!(rig.service.applied()[1].0, vec![b'x'; LIMIT]);

    assert_problem(&rig.push(vec![b'x'; LIMIT + 1]).await, 413, ErrorCode::PayloadTooLarge);
    let answer = rig.client().raw(rig.at, &chunked(LIMIT + 1)).await.unwrap();
    assert_problem(&HttpAnswer::parse(&answer).unwrap(), 413, ErrorCode::PayloadTooLarge);
    assert_eq!(rig.service.applied().len(), 2);
    assert_eq!(rig.service.refusals(), [ErrorCode::PayloadTooLarge; 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lets_a_sender_of_too_much_hear_the_answer() {
    let rig = Rig::open().await;
    for size in [LIMIT + 1, 1024 * 1024] {
        for _ in 0..5 {
            let answer = rig.push(Bytes::from(vec![b'x'; size])).await;
            assert_problem(&answer, 413, ErrorCode::PayloadTooLarge);
            assert_eq!(answer.header("connection"), "close");
            // These two write everything before they read anything.
            for bytes in [with_length(size), chunked(size)] {
                let answer = rig.client().raw(rig.at, &bytes).await.unwrap();
                assert_problem(&HttpAnswer::parse(&answer).unwrap(), 413, ErrorCode::PayloadTooLarge);
            }
        }
    }
}

#[tokio::test]
async fn refuses_the_announcement_of_an_absurd_body_without_waiting_for_it() {
    let rig = Rig::open().await;
    let head = format!("{HEAD}content-length: 9000000000000000000\r\n\r\n");
    let answer = rig.client().raw(rig.at, head.as_bytes()).await.unwrap();
    assert_problem(&HttpAnswer::parse(&answer).unwrap(), 413, ErrorCode::PayloadTooLarge);
}

#[tokio::test]
async fn invites_the_body_of_a_sender_that_asks_first() {
    let rig = Rig::open().await;
    rig.service.apply_with(Apply::install());
    let mut stream = rig.client().tls(rig.at).await.unwrap();
    let head = format!("{HEAD}connection: close\r\nexpect: 100-continue\r\ncontent-length: 6\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut invitation = vec![0; b"HTTP/1.1 100 Continue\r\n\r\n".len()];
    stream.read_exact(&mut invitation).await.unwrap();
    assert_eq!(invitation, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"sealed").await.unwrap();
    let answer = HttpAnswer::parse(&read_to_end(&mut stream).await).unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(rig.service.applied()[0].0, b"sealed");
}

#[tokio::test]
async fn does_not_invite_what_it_would_refuse() {
    let rig = Rig::open().await;
    let head = format!("{HEAD}expect: 100-continue\r\ncontent-length: {}\r\n\r\n", LIMIT + 1);
    let answer = rig.client().raw(rig.at, head.as_bytes()).await.unwrap();
    assert_problem(&HttpAnswer::parse(&answer).unwrap(), 413, ErrorCode::PayloadTooLarge);
}

#[tokio::test]
async fn answers_requests_one_after_another_and_closes_after_one_left_unread() {
    let rig = Rig::open().await;
    let mut requests = with_length(5);
    requests.extend_from_slice(b"GET /nowhere HTTP/1.1\r\nhost: monitor\r\n\r\n");
    requests.extend_from_slice(b"POST /nowhere HTTP/1.1\r\nhost: monitor\r\ncontent-length: 100000\r\n\r\n");
    requests.resize(requests.len() + 100_000, b'x');
    requests.extend_from_slice(b"GET /never-read HTTP/1.1\r\nhost: monitor\r\n\r\n");
    let answers = String::from_utf8(rig.client().raw(rig.at, &requests).await.unwrap()).unwrap();
    let statuses: Vec<_> = answers.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
    assert_eq!(statuses, ["400", "404", "404"]);
    assert_eq!(answers.matches("connection: close").count(), 1);
}

#[tokio::test]
async fn bounds_the_head() {
    let rig = Rig::open().await;
    let mut bytes = format!("{HEAD}x: ").into_bytes();
    bytes.resize(64 * 1024, b'x');
    let answer = rig.client().raw(rig.at, &bytes).await.unwrap();
    assert!(
        String::from_utf8_lossy(&answer).starts_with("HTTP/1.1 431 "),
        "{answer:?}"
    );
    assert_eq!(rig.service.applied(), []);
}

#[tokio::test]
async fn refuses_what_is_not_http_or_says_two_lengths() {
    let rig = Rig::open().await;
    for request in [
        "EHLO monitor\r\n\r\n".to_owned(),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
        format!("{HEAD}content-length: 1\r\ncontent-length: 2\r\n\r\nxx"),
        format!("{HEAD}content-length: -1\r\n\r\n"),
        format!("{HEAD}transfer-encoding: gzip\r\n\r\n"),
        format!("{HEAD}a b: c\r\n\r\n"),
    ] {
        let answer = rig.client().raw(rig.at, request.as_bytes()).await.unwrap();
        let answer = String::from_utf8_lossy(&answer);
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 400 "),
            "{request} {answer}"
        );
    }
    assert_eq!(rig.service.applied(), []);
}
