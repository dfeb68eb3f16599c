//! Bytes that are no handshake, no HTTP, or oddly framed HTTP. Whatever comes, the service gets whole bodies of well-formed
//! pushes alone, answers repeat nothing, and the next honest push succeeds.

use std::net::Ipv4Addr;
use std::sync::LazyLock;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use zmon_domain::pairing::TlsPin;
use zmon_https_inbound::Limits;
use zmon_testkit::fake_service::Apply;
use zmon_testkit::https_client::{HttpAnswer, HttpsClient};
use zmon_testkit::mutation::{any_bytes, cases, changed};

use crate::harness::{HERE, Rig};

/// So many connections of one case are open at once, each from an address of its own.
const SIDE_BY_SIDE: usize = 12;
/// Stands in every request, and in no answer.
const CANARY: &str = "cAnArY-4711";
const PUSH: &str = "POST /provisioning/configure HTTP/1.1\r\nhost: cAnArY-4711\r\ncontent-type: application/jose\r\n\
    connection: close\r\ncontent-length: 18\r\n\r\ncAnArY-4711-sealed";
const CHUNKED: &str = "POST /provisioning/configure HTTP/1.1\r\nhost: cAnArY-4711\r\ncontent-type: application/jose\r\n\
    connection: close\r\ntransfer-encoding: chunked\r\n\r\n12\r\ncAnArY-4711-sealed\r\n0\r\n\r\n";

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
});

/// The first flight of an honest client.
static HELLO: LazyLock<Vec<u8>> = LazyLock::new(|| {
    RUNTIME.block_on(async {
        let listener = TcpListener::bind((HERE, 0)).await.unwrap();
        let to = listener.local_addr().unwrap();
        let client = tokio::spawn(async move { HttpsClient::new(TlsPin::new([0; 32])).tls(to).await });
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut hello = vec![0; 4096];
        let length = stream.read(&mut hello).await.unwrap();
        hello.truncate(length);
        drop(stream);
        let _ = client.await;
        hello
    })
});

/// A listener that loses patience soon: most of what comes here never ends.
async fn rig() -> Rig {
    let soon = Duration::from_millis(150);
    let rig = Rig::with(Limits {
        handshake: soon,
        head: soon,
        body: soon,
        linger: soon,
        ..Limits::default()
    })
    .await;
    rig.service.apply_with(Apply::install());
    rig
}

/// What the listener says to each of these, sent side by side, and the bodies that reached the service.
async fn say(all: Vec<Vec<u8>>, in_tls: bool) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let rig = rig().await;
    let talks = all.into_iter().enumerate().map(|(number, bytes)| {
        let address = Ipv4Addr::new(127, 0, 9, u8::try_from(number).unwrap() + 1);
        let (client, at) = (rig.client().from(address.into()), rig.at);
        tokio::spawn(async move {
            if in_tls {
                return client.raw(at, &bytes).await.unwrap_or_default();
            }
            let mut stream = client.tcp(at).await.unwrap();
            // The other side may have closed already: that is an answer too.
            let _ = stream.write_all(&bytes).await;
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
            answer
        })
    });
    let mut answers = Vec::new();
    for talk in talks.collect::<Vec<_>>() {
        let answer = tokio::time::timeout(Duration::from_secs(20), talk).await;
        answers.push(answer.expect("the listener ends it").unwrap());
    }
    let bodies: Vec<_> = rig.service.applied().into_iter().map(|(body, _)| body).collect();
    rig.honest_push().await;
    (answers, bodies)
}

/// Requests made of parts, right ones and odd ones, in any order.
fn odd() -> impl Strategy<Value = Vec<u8>> {
    let line = prop::sample::select(vec![
        "POST /provisioning/configure HTTP/1.1",
        "POST /provisioning/configure HTTP/1.0",
        "POST /provisioning/configure HTTP/2.0",
        "post /provisioning/configure HTTP/1.1",
        "POST http://cAnArY-4711/provisioning/configure HTTP/1.1",
        "POST /provisioning/status HTTP/1.1",
        "GET /provisioning/status HTTP/1.1",
        "CONNECT cAnArY-4711:443 HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        "POST",
        "",
    ]);
    let header = prop::sample::select(vec![
        "content-type: application/jose",
        "content-type: application/jose",
        "host: cAnArY-4711",
        "content-length: 18",
        "content-length: 18",
        "content-length: 0",
        "content-length: 17",
        "content-length: 99999",
        "content-length: 18, 18",
        "content-length: +18",
        "content-length: 0x12",
        "content-length: 184467440737095516160",
        "transfer-encoding: chunked",
        "transfer-encoding: chunked, identity",
        "transfer-encoding: gzip, chunked",
        "transfer-encoding: \x0bchunked",
        "transfer-encoding : chunked",
        "expect: 100-continue",
        "upgrade: h2c",
        "connection: upgrade",
        "connection: close",
        " folded: cAnArY-4711",
        "trailer: cAnArY-4711",
        "x-\0: y",
        "x: cAnArY-4711\rx",
    ]);
    let body = prop::sample::select(vec![
        "cAnArY-4711-sealed",
        "12\r\ncAnArY-4711-sealed\r\n0\r\n\r\n",
        "12;x=y\r\ncAnArY-4711-sealed\r\n0\r\ncAnArY-4711: z\r\n\r\n",
        "12\ncAnArY-4711-sealed\n0\n\n",
        "ffffffffffffffff1\r\ncAnArY-4711",
        "-1\r\n",
        "",
    ]);
    (
        line,
        vec(header, 0..6),
        prop::sample::select(vec!["\r\n", "\n", "\r"]),
        body,
        1_usize..3,
    )
        .prop_map(|(line, headers, end, body, times)| {
            let head = headers
                .into_iter()
                .fold(format!("{line}{end}"), |head, header| head + header + end);
            format!("{head}{end}{body}").repeat(times).into_bytes()
        })
}

/// Nothing is repeated, and what is an answer has a status that this listener's routes or HTTP itself have.
fn check(answers: &[Vec<u8>], bodies: &[Vec<u8>]) -> Result<(), TestCaseError> {
    for answer in answers {
        let text = String::from_utf8_lossy(answer);
        prop_assert!(!text.contains(CANARY), "{}", text);
        if let Some(answer) = HttpAnswer::parse(answer) {
            let known = [100, 200, 400, 404, 405, 408, 413, 415, 429, 431, 505];
            prop_assert!(known.contains(&answer.status), "{}", text);
        } else {
            prop_assert!(answer.is_empty(), "{}", text);
        }
    }
    for body in bodies {
        prop_assert!(body.len() <= 64 * 1024);
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases(12))]

    #[test]
    fn it_outlives_what_is_no_handshake(noise in vec(any_bytes(300), SIDE_BY_SIDE), hellos in vec(changed(HELLO.as_slice()), SIDE_BY_SIDE)) {
        for bytes in [noise, hellos] {
            let (answers, bodies) = RUNTIME.block_on(say(bytes, false));
            prop_assert!(bodies.is_empty());
            // An alert at most, or the first flight of a handshake that is not finished: no HTTP outside of TLS.
            for answer in answers {
                prop_assert!(answer.first().is_none_or(|kind| [21, 22].contains(kind)), "{:?}", answer);
            }
        }
    }

    #[test]
    fn it_outlives_what_is_no_http(noise in vec(any_bytes(300), SIDE_BY_SIDE)) {
        let (answers, bodies) = RUNTIME.block_on(say(noise, true));
        prop_assert!(bodies.is_empty());
        check(&answers, &bodies)?;
    }

    #[test]
    fn it_outlives_changed_requests(
        pushes in vec(changed(PUSH), SIDE_BY_SIDE / 2),
        chunked in vec(changed(CHUNKED), SIDE_BY_SIDE / 2),
    ) {
        let (answers, bodies) = RUNTIME.block_on(say([pushes, chunked].concat(), true));
        check(&answers, &bodies)?;
    }

    #[test]
    fn it_gives_oddly_framed_requests_one_meaning(requests in vec(odd(), SIDE_BY_SIDE)) {
        let (answers, bodies) = RUNTIME.block_on(say(requests, true));
        check(&answers, &bodies)?;
        // A length and chunks together never made another body of it than the one that was framed.
        for body in &bodies {
            let text = String::from_utf8_lossy(body);
            prop_assert!("cAnArY-4711-sealed".starts_with(&*text) || text.starts_with("12") || text.starts_with("ffff") || text.starts_with("-1"), "{}", text);
        }
    }
}
