//! Bytes on the control socket. Whoever may connect is the owner or of its group, and may still be a broken program.
#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::runtime::Runtime;
use zmon_domain::identity::DeviceId;
use zmon_local_api::{PairingDefaults, serve};
use zmon_testkit::fake_service::{Call, FakeService};
use zmon_testkit::mutation::{any_bytes, cases, changed, changed_text};

const PIN: &str = "cAnArY-314159";
const DEPROVISION: &str = r#"{"pin":"cAnArY-314159"}"#;
const PAIRING: &str = r#"{"deviceId":"ZM-ICU-MON-04","ipAddress":"10.1.50.104"}"#;
const ANSWER: &str = r#"{"accept":true}"#;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
});

fn request(path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}")
        .into_bytes()
}

/// How long an answer to a whole request may take on a busy machine.
const LONG: Duration = Duration::from_secs(20);
/// After that nobody waits for more of a request that is none.
const SHORT: Duration = Duration::from_millis(100);

/// Says this, and after so long a silence hangs up.
async fn talk(path: PathBuf, bytes: Vec<u8>, patience: Duration) -> String {
    let mut stream = UnixStream::connect(path).await.unwrap();
    let _ = stream.write_all(&bytes).await;
    let mut answer = Vec::new();
    let ended = tokio::time::timeout(patience, stream.read_to_end(&mut answer)).await;
    if ended.is_err() {
        let _ = stream.shutdown().await;
        let ended = tokio::time::timeout(LONG, stream.read_to_end(&mut answer)).await;
        assert!(
            ended.is_ok(),
            "it waits for more of {}",
            String::from_utf8_lossy(&bytes)
        );
    }
    String::from_utf8_lossy(&answer).into_owned()
}

/// What the socket says to each of these, side by side, and what the service was asked for. It has to serve the next one afterwards.
async fn say(all: Vec<Vec<u8>>, patience: Duration) -> (Vec<String>, Vec<Call>) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("control.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let (service, defaults) = (
        FakeService::new(),
        PairingDefaults {
            device_id: DeviceId::parse("ZM-ICU-MON-04").unwrap(),
            ip_address: [10, 1, 50, 104].into(),
        },
    );
    let server = tokio::spawn(serve(listener, service.clone(), defaults, std::future::pending()));
    let talks: Vec<_> = all
        .into_iter()
        .map(|bytes| tokio::spawn(talk(path.clone(), bytes, patience)))
        .collect();
    let mut answers = Vec::new();
    for talk in talks {
        answers.push(talk.await.unwrap());
    }
    let calls = service.calls();
    let status = b"GET /v1/status HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".to_vec();
    let status = talk(path, status, LONG).await;
    assert!(status.starts_with("HTTP/1.1 200 OK"), "{status}");
    server.abort();
    (answers, calls)
}

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn it_outlives_any_bytes(
        noise in vec(any_bytes(300), 8),
        requests in vec(changed(request("/v1/deprovision", DEPROVISION)), 8),
    ) {
        let (answers, _) = RUNTIME.block_on(say([noise, requests].concat(), SHORT));
        for answer in answers {
            prop_assert!(!answer.contains(PIN), "{}", answer);
        }
    }

    /// A body that is not the object that the path takes asks the service for nothing, and is not repeated.
    #[test]
    fn it_takes_one_form_of_each_body(
        deprovision in vec(prop_oneof![changed_text(DEPROVISION), any::<String>()], 8),
        pairing in vec(prop_oneof![changed_text(PAIRING), any::<String>()], 8),
        answers in vec(prop_oneof![changed_text(ANSWER), any::<String>()], 8),
    ) {
        let requests = deprovision.iter().map(|body| request("/v1/deprovision", body));
        let requests = requests.chain(pairing.iter().map(|body| request("/v1/pairing", body)));
        let requests = requests.chain(answers.iter().map(|body| request("/v1/pairing/confirmation", body)));
        let bodies = deprovision.iter().chain(&pairing).chain(&answers);
        let (answers, calls) = RUNTIME.block_on(say(requests.collect(), LONG));
        let mut taken = 0;
        for (body, answer) in bodies.zip(&answers) {
            prop_assert!(!answer.contains(PIN), "{} {}", body, answer);
            if answer.starts_with("HTTP/1.1 400 ") {
                continue;
            }
            taken += 1;
            // No body counts as an empty object.
            let text = if body.is_empty() { "{}" } else { body.as_str() };
            let read: serde_json::Value = serde_json::from_str(text).unwrap();
            let asked = calls.iter().any(|call| match call {
                Call::Administer(_, pin, _) => read["pin"] == pin.as_str(),
                Call::Generate(device_id, _) => read["deviceId"].is_null() || read["deviceId"] == device_id.as_str(),
                Call::AnswerConfirmation(accept, _) => read["accept"] == *accept,
                Call::RotateKey
                | Call::Cancel
                | Call::Acknowledge
                | Call::ReadConfiguration(_)
                | Call::ReadCredentials(_)
                | Call::Simulate(..) => false,
            });
            prop_assert!(asked, "{:?} for {}: {}", calls, body, answer);
        }
        prop_assert_eq!(calls.len(), taken);
    }
}
