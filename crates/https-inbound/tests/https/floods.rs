//! Many connections, and an honest one among them.

use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use zmon_domain::error::ErrorCode;
use zmon_https_inbound::Limits;
use zmon_testkit::fake_service::Apply;
use zmon_testkit::https_client::HttpsClient;

use crate::harness::{Rig, assert_problem};

/// Whether the other side has closed this connection; nothing is ever sent on it.
async fn is_closed(stream: &mut TcpStream) -> bool {
    let read = tokio::time::timeout(Duration::from_millis(500), stream.read(&mut [0])).await;
    matches!(read, Ok(Ok(0) | Err(_)))
}

#[tokio::test]
async fn gives_an_address_four_connections_and_closes_the_others_at_once() {
    let rig = Rig::open().await;
    let mut open = 0;
    let mut streams = Vec::new();
    for _ in 0..8 {
        let mut stream = rig.client().tcp(rig.at).await.unwrap();
        if !is_closed(&mut stream).await {
            open += 1;
        }
        streams.push(stream);
    }
    assert_eq!(open, 4);
    drop(streams);
    // They are given back.
    rig.service.apply_with(Apply::install());
    let mut status = 0;
    for _ in 0..100 {
        if let Ok(answer) = rig.client().push(rig.at, "sealed").await {
            status = answer.status;
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn serves_an_honest_push_while_one_address_floods_it_with_connections() {
    let rig = Rig::open().await;
    rig.service.apply_with(Apply::install());
    let (client, at) = (rig.client_from(1), rig.at);
    let flood = tokio::spawn(async move {
        let mut streams = Vec::new();
        loop {
            if let Ok(stream) = client.tcp(at).await {
                streams.push(stream);
            }
            if streams.len() > 300 {
                streams.clear();
            }
        }
    });
    for _ in 0..5 {
        rig.honest_push().await;
    }
    assert!(!flood.is_finished());
    flood.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn serves_an_honest_push_while_many_addresses_hold_every_connection() {
    let rig = Rig::open().await;
    rig.service.apply_with(Apply::install());
    let mut held = Vec::new();
    for sender in 0..100_u8 {
        let client = rig.client().from(Ipv4Addr::new(127, 0, 1, sender + 1).into());
        for _ in 0..2 {
            held.push(client.tcp(rig.at).await.unwrap());
        }
    }
    for _ in 0..5 {
        rig.honest_push().await;
    }
    drop(held);
}

type Attack = fn(HttpsClient, SocketAddr) -> Pin<Box<dyn Future<Output = ()> + Send>>;

/// What one attacker's connections do over and over.
const ATTACKS: &[(&str, Attack)] = &[
    ("half a handshake", |client, at| {
        Box::pin(async move {
            let Ok(mut stream) = client.tcp(at).await else { return };
            let _ = stream.write_all(b"\x16\x03\x01\x02\x00\x01").await;
            let _ = stream.read(&mut [0]).await;
        })
    }),
    ("half a head", |client, at| {
        Box::pin(async move {
            let _ = client.raw(at, b"POST /provisioning/configure HTTP/1.1\r\nhost: ").await;
        })
    }),
    ("half a body", |client, at| {
        Box::pin(async move {
            let head = b"POST /provisioning/configure HTTP/1.1\r\ncontent-type: application/jose\r\n\
                content-length: 60000\r\n\r\nx";
            let _ = client.raw(at, head).await;
        })
    }),
    ("too much", |client, at| {
        Box::pin(async move {
            let _ = client.push(at, vec![b'x'; 1024 * 1024]).await;
        })
    }),
    ("junk", |client, at| {
        Box::pin(async move {
            let _ = client.push(at, "junk").await;
        })
    }),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn serves_an_honest_push_during_each_attack() {
    for (name, attack) in ATTACKS {
        let rig = Rig::open().await;
        rig.service.apply_with(Apply::install());
        let attackers: Vec<_> = (0..8)
            .map(|_| {
                let (client, at) = (rig.client_from(1), rig.at);
                tokio::spawn(async move {
                    loop {
                        attack(client.clone(), at).await;
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(200)).await;
        for _ in 0..3 {
            rig.honest_push().await;
        }
        assert!(attackers.iter().all(|attacker| !attacker.is_finished()), "{name}");
        attackers.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

#[tokio::test]
async fn displaces_nobody_whose_payload_is_being_processed() {
    let rig = Rig::with(Limits {
        connections: 2,
        connections_per_address: 1,
        reserved_connections: 0,
        ..Limits::default()
    })
    .await;
    rig.service
        .apply_with(Apply::Hold(Err(ErrorCode::SignatureInvalid.into())));
    let push = rig.client_from(2);
    let flood = async {
        rig.service.begun(1).await;
        let mut held = Vec::new();
        for sender in 10..30 {
            held.push(rig.client_from(sender).tcp(rig.at).await.unwrap());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        rig.service.release();
        held
    };
    let (answer, _held) = tokio::join!(push.push(rig.at, "sealed"), flood);
    assert_problem(&answer.unwrap(), 401, ErrorCode::SignatureInvalid);
}
