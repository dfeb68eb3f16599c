//! The path of `simulate_provisioning`: there in programs for development, on the control socket alone.
#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use zmon_domain::identity::DeviceId;
use zmon_local_api::{PairingDefaults, serve, serve_application};
use zmon_testkit::fake_service::FakeService;

/// Status and document of what the service says to this body, on the control socket or on the application's.
async fn simulate(service: &FakeService, control: bool, body: &str) -> (u16, Value) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let defaults = PairingDefaults {
        device_id: DeviceId::parse("ZM-ICU-MON-04").unwrap(),
        ip_address: [127, 0, 0, 1].into(),
    };
    let (service, never) = (service.clone(), std::future::pending());
    let server = tokio::spawn(async move {
        if control {
            serve(listener, service, defaults, never).await;
        } else {
            serve_application(listener, service, defaults, never).await;
        }
    });
    let mut stream = UnixStream::connect(&path).await.unwrap();
    let length = body.len();
    let request = format!(
        "POST /v1/pairing/simulated HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    server.abort();
    let (head, document) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(document).unwrap())
}

const BODY: &str = r#"{ "pauseMillis": 250, "payload": { "deviceLabel": "Bed 7", "syncInterval": 10, "x": -1, "y": [1.5],
                        "deviceLabel": "Bed 8", "z": null } }"#;

#[cfg(feature = "simulation")]
mod in_a_program_for_development {
    use std::time::Duration;

    use zmon_testkit::fake_service::{Apply, Call};

    use super::*;

    #[tokio::test]
    async fn hands_on_every_member_in_its_order_and_says_who_asked() {
        let service = FakeService::new();
        service.apply_with(Apply::install());
        let (status, answer) = simulate(&service, true, BODY).await;
        assert_eq!(status, 200, "{answer}");
        assert!(answer["receipt"].is_string(), "{answer}");
        let calls = service.calls();
        let [Call::Simulate(names, by, pause)] = calls.as_slice() else {
            panic!("{calls:?}");
        };
        assert_eq!(names, &["deviceLabel", "syncInterval", "x", "y", "deviceLabel", "z"]);
        assert_eq!((by.pid, *pause), (Some(std::process::id()), Duration::from_millis(250)));
    }

    #[tokio::test]
    async fn refuses_what_is_no_request_and_repeats_nothing_of_it() {
        let service = FakeService::new();
        for body in [
            "",
            "{}",
            r#"{ "payload": "canary" }"#,
            r#"{ "payload": {}, "canary": 1 }"#,
            r#"{ "payload": {}, "pauseMillis": 10001 }"#,
            r#"{ "payload": {}, "pauseMillis": -1 }"#,
        ] {
            let (status, problem) = simulate(&service, true, body).await;
            assert_eq!((status, &problem["code"]), (400, &json!("RequestInvalid")), "{body}");
            assert!(!problem.to_string().contains("canary"), "{problem}");
        }
        assert!(service.calls().is_empty());
    }
}

#[tokio::test]
async fn is_nowhere_but_on_the_control_socket_of_a_program_for_development() {
    let service = FakeService::new();
    let there = cfg!(feature = "simulation");
    for control in [!there, false] {
        let (status, problem) = simulate(&service, control, BODY).await;
        assert_eq!((status, &problem["code"]), (404, &json!("NotFound")), "{problem}");
    }
    assert!(service.calls().is_empty());
}
