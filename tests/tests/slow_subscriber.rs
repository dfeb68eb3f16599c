//! Subscribers that do not read: over the real socket of the control API, before the real service.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails as the test itself")]

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;
use zmon_local_api::PairingDefaults;
use zmon_ports::{EventSubscription, ProvisioningService, SubscriptionEvent};
use zmon_tests::device::LOOPBACK;
use zmon_tests::quick;

/// Sessions until what nobody reads fills the sockets' buffers several times.
const SESSIONS: usize = 3_000;

/// What has not happened by then does not happen.
const FOR_EVER: Duration = Duration::from_secs(300);

/// Reads the head of the answer and nothing after it.
async fn subscriber(socket: &std::path::Path) -> UnixStream {
    let mut stream = UnixStream::connect(socket).await.unwrap();
    let request = b"GET /v1/events HTTP/1.1\r\nhost: localhost\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn they_delay_no_provisioning_and_learn_exactly_how_much_they_missed() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("control.sock");
    let device = quick::start(9).await.unwrap();
    let defaults = PairingDefaults {
        device_id: quick::device_id(),
        ip_address: LOOPBACK,
    };
    let listener = UnixListener::bind(&socket).unwrap();
    tokio::spawn(zmon_local_api::serve(
        listener,
        device.clone(),
        defaults,
        std::future::pending(),
    ));
    let mut idle = Vec::new();
    for _ in 0..8 {
        idle.push(subscriber(&socket).await);
    }
    // One that reads as fast as it can counts what was said.
    let mut attentive = device.subscribe();
    let counted = tokio::spawn(async move {
        let mut said = 0;
        loop {
            match attentive.next().await.unwrap() {
                SubscriptionEvent::Missed(count) => said += count,
                SubscriptionEvent::Signal(signal) => {
                    said += 1;
                    if format!("{signal:?}").contains("status: Provisioned,") {
                        return said;
                    }
                }
            }
        }
    });

    let open = async || {
        device
            .generate_provisioning_qr_code(&quick::device_id(), LOOPBACK)
            .await
            .unwrap()
    };
    // All of this ends before a subscriber reads a byte: whoever waited for one would wait for ever.
    let sessions = async {
        for _ in 0..SESSIONS {
            open().await;
            device.cancel().await.unwrap();
        }
        let qr = open().await;
        let code = qr.fields().pairing_code.clone();
        let body = quick::body(&qr.fields().key, code.expose());
        device.apply_configuration(body, &code, None).await.unwrap();
    };
    timeout(FOR_EVER, sessions).await.unwrap();

    let said = timeout(FOR_EVER, counted).await.unwrap().unwrap();
    for mut stream in idle {
        let (mut heard, mut missed) = (0, 0);
        let mut text = String::new();
        let mut buffer = [0; 65_536];
        // The last signal is the change of the status after the completion.
        let ended = |text: &str| {
            let last = text.split_once("event: provisioningCompleted").map(|(_, last)| last);
            last.is_some_and(|last| last.contains("event: statusChanged") && last.ends_with("\n\n\r\n"))
        };
        while !ended(&text) {
            let read = timeout(FOR_EVER, stream.read(&mut buffer)).await.unwrap().unwrap();
            assert_ne!(read, 0, "the stream ended");
            text.push_str(str::from_utf8(&buffer[..read]).unwrap());
        }
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            match line.strip_prefix("event: ") {
                Some("missed") => {
                    let data = lines.next().unwrap().strip_prefix("data: ").unwrap();
                    missed += serde_json::from_str::<Value>(data).unwrap()["count"].as_u64().unwrap();
                }
                Some(_) => heard += 1,
                None => {}
            }
        }
        assert!(missed > 0, "{heard} events fitted into the buffers");
        assert_eq!(heard + missed, said);
    }
}
