//! The local API over a real Unix socket.
#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use zmon_domain::access::Peer;
use zmon_domain::admin::{AdministratorAct, Requester};
use zmon_domain::confirmation::{ComparisonValue, ConfirmationRequest};
use zmon_domain::error::{ErrorCode, ProvisioningError};
use zmon_domain::identity::DeviceId;
use zmon_domain::pairing::{PairingCode, SessionId, Sha256Digest};
use zmon_domain::result::DestructionRecord;
use zmon_domain::settings::{DeviceLabel, ServerUrl};
use zmon_domain::signal::ProvisioningSignal;
use zmon_domain::status::{Phase, ProvisioningStatus};
use zmon_domain::time::Timestamp;
use zmon_local_api::{PairingDefaults, serve};
use zmon_ports::{Health, ListenerHealth, PendingConfirmation};
use zmon_testkit::fake_service::{Apply, Call, FakeService, installed, report, result};
use zmon_testkit::pki::NOW;
use zmon_testkit::qr_code::qr_code;

const PAIRING_CODE: &str = "X7Y9Z2";
const PIN: &str = "canary-314159";

/// This process, as the kernel tells it to the other end of a socket.
fn own_peer() -> Peer {
    let own = std::fs::metadata("/proc/self").unwrap();
    Peer {
        uid: own.uid(),
        gid: own.gid(),
        pid: Some(std::process::id()),
    }
}

struct Server {
    directory: TempDir,
    service: FakeService,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Server {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join("control.sock")).unwrap();
        let service = FakeService::new();
        let (stop, stopped) = oneshot::channel::<()>();
        let defaults = PairingDefaults {
            device_id: DeviceId::parse("ZM-ICU-MON-04").unwrap(),
            ip_address: address("10.1.50.104"),
        };
        let task = tokio::spawn(serve(listener, service.clone(), defaults, async {
            drop(stopped.await);
        }));
        Self {
            directory,
            service,
            stop: Some(stop),
            task,
        }
    }

    async fn stream(&self) -> UnixStream {
        UnixStream::connect(self.directory.path().join("control.sock"))
            .await
            .unwrap()
    }

    async fn send(&self, method: &str, path: &str, body: impl Into<Bytes>) -> Response<Incoming> {
        let (mut sender, connection) = http1::handshake(TokioIo::new(self.stream().await)).await.unwrap();
        tokio::spawn(connection);
        let request = Request::builder().method(method).uri(path).header("host", "localhost");
        sender
            .send_request(request.body(Full::new(body.into())).unwrap())
            .await
            .unwrap()
    }

    async fn json(&self, method: &str, path: &str, body: impl Into<Bytes>) -> (u16, Value) {
        let answer = self.send(method, path, body).await;
        let status = answer.status().as_u16();
        let media_type = answer.headers()["content-type"].to_str().unwrap().to_owned();
        let expected = if status < 400 {
            "application/json"
        } else {
            "application/problem+json"
        };
        assert_eq!(media_type, expected, "{method} {path}");
        assert_eq!(answer.headers()["cache-control"], "no-store");
        let bytes = answer.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap())
    }

    /// Status and code of a refusal, after a look at its shape.
    async fn refused(&self, method: &str, path: &str, body: impl Into<Bytes>) -> (u16, String) {
        let (status, problem) = self.json(method, path, body).await;
        assert_eq!(problem["status"], status, "{problem}");
        for member in ["type", "title", "detail", "nextAction"] {
            assert!(
                problem[member].as_str().is_some_and(|text| !text.is_empty()),
                "{member} in {problem}"
            );
        }
        assert!(problem["retryable"].is_boolean(), "{problem}");
        (status, problem["code"].as_str().unwrap().to_owned())
    }
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[tokio::test]
async fn tells_the_status_with_null_for_what_does_not_apply() {
    let server = Server::start();
    let expected = json!({
        "status": "READY_TO_PAIR", "phase": null, "expiresInSeconds": 600, "confirmation": null, "installed": null,
        "failure": null, "storageWarning": null,
    });
    assert_eq!(server.json("GET", "/v1/status", "").await, (200, expected));
}

#[tokio::test]
async fn tells_the_phase_of_a_payload_that_is_being_checked() {
    let server = Server::start();
    let mut checking = report(ProvisioningStatus::PairingReceived);
    checking.phase = Some(Phase::CheckingCertificates);
    server.service.report_with(checking);
    let (_, status) = server.json("GET", "/v1/status", "").await;
    assert_eq!(status["phase"], "CHECKING_CERTIFICATES");
}

#[tokio::test]
async fn tells_a_watchdog_how_the_service_is() {
    let server = Server::start();
    let good = Health {
        store_open: true,
        listener: ListenerHealth::Closed,
        time_synchronised: false,
    };
    let cases = [
        (
            Some(good),
            200,
            json!({ "healthy": true, "storeOpen": true, "listener": "CLOSED", "timeSynchronised": false }),
        ),
        (
            Some(Health {
                store_open: false,
                ..good
            }),
            503,
            json!({ "healthy": false, "storeOpen": false, "listener": "CLOSED", "timeSynchronised": false }),
        ),
        (
            Some(Health {
                listener: ListenerHealth::Missing,
                ..good
            }),
            503,
            json!({ "healthy": false, "storeOpen": true, "listener": "MISSING", "timeSynchronised": false }),
        ),
        // It hangs.
        (
            None,
            503,
            json!({ "healthy": false, "storeOpen": null, "listener": null, "timeSynchronised": null }),
        ),
    ];
    for (health, status, expected) in cases {
        server.service.health_with(health);
        let answer = server.send("GET", "/v1/health", "").await;
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["content-type"]),
            (status, &"application/json".parse().unwrap())
        );
        let bytes = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(serde_json::from_slice::<Value>(&bytes).unwrap(), expected);
    }
}

#[tokio::test]
async fn tells_what_a_person_has_to_compare_and_passes_on_the_answer() {
    let server = Server::start();
    let mut waiting = report(ProvisioningStatus::PairingReceived);
    waiting.phase = Some(Phase::AwaitingConfirmation);
    let request = ConfirmationRequest {
        sender: Some(address("10.1.50.1")),
        server_url: ServerUrl::parse("https://central.example.org").unwrap(),
        device_label: DeviceLabel::parse("ICU-MON-04").unwrap(),
        comparison: ComparisonValue::of(&Sha256Digest::new([0; 32])),
    };
    waiting.confirmation = Some(PendingConfirmation {
        request,
        expires_in_seconds: 42,
    });
    server.service.report_with(waiting);
    let (_, status) = server.json("GET", "/v1/status", "").await;
    assert_eq!(status["phase"], "AWAITING_CONFIRMATION");
    let expected = json!({
        "senderAddress": "10.1.50.1", "serverUrl": "https://central.example.org", "deviceLabel": "ICU-MON-04",
        "comparisonValue": "0000", "expiresInSeconds": 42,
    });
    assert_eq!(status["confirmation"], expected);

    let path = "/v1/pairing/confirmation";
    for accept in [true, false] {
        let answer = json!({ "accept": accept }).to_string();
        assert_eq!(server.json("POST", path, answer).await.0, 200);
    }
    let by = server.service.calls().into_iter().map(|call| match call {
        Call::AnswerConfirmation(accept, by) => (accept, by.map(|peer| peer.pid)),
        other => panic!("{other:?}"),
    });
    let this = Some(Some(std::process::id()));
    assert_eq!(by.collect::<Vec<_>>(), [(true, this), (false, this)]);

    for body in ["", "{}", r#"{"accept":"true"}"#, r#"{"accept":true,"more":1}"#, "true"] {
        let refused = (400, "RequestInvalid".to_owned());
        assert_eq!(server.refused("POST", path, body).await, refused, "{body}");
    }
    server
        .service
        .answer_confirmation_with(Err(ErrorCode::ConfirmationTimeout.into()));
    let late = (408, "ConfirmationTimeout".to_owned());
    assert_eq!(server.refused("POST", path, r#"{"accept":true}"#).await, late);
    server
        .service
        .answer_confirmation_with(Err(ErrorCode::NotPairing.into()));
    let unasked = (409, "NotPairing".to_owned());
    assert_eq!(server.refused("POST", path, r#"{"accept":true}"#).await, unasked);
}

#[tokio::test]
async fn tells_what_is_installed_without_receipt_and_key() {
    let server = Server::start();
    server.service.report_with(report(ProvisioningStatus::Provisioned));
    let (_, status) = server.json("GET", "/v1/status", "").await;
    let certificate = json!({
        "serial": "2a", "subject": "CN=ZM-ICU-MON-04", "issuer": "CN=Test CA",
        "notBefore": 1_700_000_000_000_u64, "notAfter": 1_900_000_000_000_u64, "sha256": "07".repeat(32),
    });
    let installed = &status["installed"];
    assert_eq!(installed["certificates"]["client"], json!([certificate]));
    assert_eq!(installed["certificates"]["server"], json!([]));
    assert_eq!(installed["completedAt"], 1_764_000_000_000_u64);
    let settings = json!({
        "deviceId": "ZM-ICU-MON-04", "deviceLabel": "ICU-MON-04",
        "serverUrl": "https://central.example.org:8443/api", "syncInterval": 10,
        "measurementUnit": "METRIC", "language": "EN",
    });
    assert_eq!(installed["settings"], settings);
    assert_eq!(installed.as_object().unwrap().len(), 3, "{installed}");
}

#[tokio::test]
async fn tells_why_provisioning_failed_and_what_to_do_next() {
    let server = Server::start();
    server
        .service
        .report_with(report(ProvisioningStatus::ProvisioningFailed));
    let (_, status) = server.json("GET", "/v1/status", "").await;
    let entry = ErrorCode::SignatureInvalid.entry();
    let failure = json!({ "code": entry.name, "message": entry.title, "nextAction": entry.next_action });
    assert_eq!(status["failure"], failure);
}

#[tokio::test]
async fn gives_the_receipt_of_what_is_installed() {
    let server = Server::start();
    assert_eq!(
        server.refused("GET", "/v1/receipt", "").await,
        (409, "NotProvisioned".into())
    );
    server.service.report_with(report(ProvisioningStatus::Provisioned));
    let receipt = json!({ "receipt": installed().receipt.0 });
    assert_eq!(server.json("GET", "/v1/receipt", "").await, (200, receipt));
}

#[tokio::test]
async fn opens_pairing_for_the_configured_device_unless_told_otherwise() {
    let server = Server::start();
    server.service.generate_with(Ok(qr_code(PAIRING_CODE)));
    let pairing = json!({ "expiresAt": 601_000, "expiresInSeconds": 600 });
    assert_eq!(server.json("POST", "/v1/pairing", "").await, (201, pairing.clone()));
    assert_eq!(server.json("POST", "/v1/pairing", "{}").await, (201, pairing.clone()));
    let other = r#"{"deviceId":"OTHER","ipAddress":"fd00::1"}"#;
    assert_eq!(server.json("POST", "/v1/pairing", other).await, (201, pairing));
    let configured = Call::Generate(DeviceId::parse("ZM-ICU-MON-04").unwrap(), address("10.1.50.104"));
    let asked = Call::Generate(DeviceId::parse("OTHER").unwrap(), address("fd00::1"));
    assert_eq!(server.service.calls(), [configured.clone(), configured, asked]);
}

#[tokio::test]
async fn refuses_a_body_that_does_not_follow_the_rules_before_anything_happens() {
    let server = Server::start();
    let bodies = [
        "[]",
        "{",
        "null",
        r#"{"deviceId":7}"#,
        r#"{"deviceId":"canary id"}"#,
        r#"{"ipAddress":"canary"}"#,
        r#"{"canary":"x"}"#,
    ];
    for body in bodies {
        let (status, problem) = server.json("POST", "/v1/pairing", body).await;
        assert_eq!((status, &problem["code"]), (400, &json!("RequestInvalid")), "{body}");
        assert!(!problem.to_string().contains("canary"), "{problem}");
    }
    for path in ["/v1/deprovision", "/v1/retire", "/v1/time/reset"] {
        for body in ["", "{}", r#"{"pin":314159}"#, r#"{"pin":"a","pin":"b"}"#] {
            assert_eq!(
                server.refused("POST", path, body).await,
                (400, "RequestInvalid".into()),
                "{path} {body}"
            );
        }
    }
    assert_eq!(server.service.calls(), []);
}

#[tokio::test]
async fn refuses_a_body_larger_than_16_kib() {
    let server = Server::start();
    let largest = format!("{{{}}}", " ".repeat(16 * 1024 - 2));
    assert_eq!(
        server.refused("POST", "/v1/pairing", largest.clone()).await.1,
        "NetworkError"
    );
    let larger = format!(" {largest}");
    assert_eq!(
        server.refused("POST", "/v1/pairing", larger).await,
        (413, "PayloadTooLarge".into())
    );
}

#[tokio::test]
async fn shows_the_qr_code_while_there_is_one() {
    let server = Server::start();
    for kind in ["png", "svg", "txt"] {
        let path = format!("/v1/pairing/qr.{kind}");
        assert_eq!(server.refused("GET", &path, "").await, (409, "NotPairing".into()));
    }
    server.service.show(Some(qr_code(PAIRING_CODE)));
    let expected = [
        ("png", "image/png", "\u{fffd}PNG picture".to_owned()),
        ("svg", "image/svg+xml", "<svg/>".to_owned()),
        (
            "txt",
            "text/plain; charset=utf-8",
            format!("▀▄\nPairing code: {PAIRING_CODE}\n"),
        ),
    ];
    for (kind, media_type, body) in expected {
        let answer = server.send("GET", &format!("/v1/pairing/qr.{kind}"), "").await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], media_type);
        let bytes = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(String::from_utf8_lossy(&bytes), body);
    }
}

#[tokio::test]
async fn applies_a_payload_that_was_carried_by_hand_in_the_session_on_the_screen() {
    let server = Server::start();
    server.service.show(Some(qr_code(PAIRING_CODE)));
    server.service.apply_with(Apply::install());
    let path = "/v1/pairing/payload";
    let (status, answer) = server.json("POST", path, "sealed").await;
    assert_eq!((status, answer), (200, json!({ "receipt": installed().receipt.0 })));
    let code = PairingCode::parse(PAIRING_CODE).unwrap();
    assert_eq!(server.service.applied(), [(b"sealed".to_vec(), code)]);

    let longest = vec![b'x'; 64 * 1024];
    assert_eq!(server.json("POST", path, longest.clone()).await.0, 200);
    let refused = server.refused("POST", path, [longest, vec![b'x']].concat()).await;
    assert_eq!(refused, (413, "PayloadTooLarge".into()));
    assert_eq!(server.service.applied().len(), 2, "what is too large reaches nobody");
    server.service.apply_with(Apply::refuse(ErrorCode::SignatureInvalid));
    let refused = server.refused("POST", path, "sealed").await;
    assert_eq!(refused, (401, "SignatureInvalid".into()));
}

#[tokio::test]
async fn tells_what_the_service_finds_out_about_itself() {
    let server = Server::start();
    let (status, answer) = server.json("GET", "/v1/examination", "").await;
    assert_eq!(status, 200);
    let expected = json!({
        "now": NOW.as_millis(), "clockSynchronised": true, "timeFloor": NOW.as_millis(), "listening": true, "keyBelongs": null,
        "retired": false
    });
    assert_eq!(answer, expected);
    server.service.report_with(report(ProvisioningStatus::Provisioned));
    let (_, answer) = server.json("GET", "/v1/examination", "").await;
    assert_eq!(
        (&answer["keyBelongs"], &answer["listening"]),
        (&json!(true), &json!(false))
    );
}

#[tokio::test]
async fn passes_on_what_a_person_does_and_answers_with_the_status() {
    let server = Server::start();
    server.service.report_with(report(ProvisioningStatus::Unprovisioned));
    let pin = format!(r#"{{"pin":"{PIN}"}}"#);
    // With the process that made the request, as the kernel names it.
    let administered = |act| Call::Administer(act, PIN.into(), Requester::Process(own_peer()));
    let requests = [
        ("DELETE", "/v1/pairing", "", Call::Cancel),
        ("POST", "/v1/acknowledge", "", Call::Acknowledge),
        ("POST", "/v1/store/rotate-key", "", Call::RotateKey),
        (
            "POST",
            "/v1/deprovision",
            pin.as_str(),
            administered(AdministratorAct::Deprovision),
        ),
        (
            "POST",
            "/v1/retire",
            pin.as_str(),
            administered(AdministratorAct::Retire),
        ),
        (
            "POST",
            "/v1/time/reset",
            pin.as_str(),
            administered(AdministratorAct::ResetTimeFloor),
        ),
    ];
    for (method, path, body, call) in requests {
        let (status, view) = server.json(method, path, body.to_owned()).await;
        assert_eq!(
            (status, &view["status"]),
            (200, &json!("UNPROVISIONED")),
            "{method} {path}"
        );
        assert_eq!(server.service.calls().last(), Some(&call));
    }
}

#[tokio::test]
async fn says_why_the_service_refused_and_nothing_of_its_inner_cause() {
    let server = Server::start();
    let refusal = |code: ErrorCode| ProvisioningError::from(code).with_cause(format!("inner {PIN}"));
    server
        .service
        .generate_with(Err(refusal(ErrorCode::AlreadyProvisioned)));
    server.service.cancel_with(Err(refusal(ErrorCode::NotPairing)));
    server.service.acknowledge_with(Err(refusal(ErrorCode::StorageError)));
    server.service.administer_with(Err(refusal(ErrorCode::AdminRequired)));
    server.service.rotate_key_with(Err(refusal(ErrorCode::StorageError)));
    let pin = format!(r#"{{"pin":"{PIN}"}}"#);
    let requests = [
        ("POST", "/v1/pairing", "", 409, "AlreadyProvisioned"),
        ("DELETE", "/v1/pairing", "", 409, "NotPairing"),
        ("POST", "/v1/acknowledge", "", 500, "StorageError"),
        ("POST", "/v1/deprovision", pin.as_str(), 403, "AdminRequired"),
        ("POST", "/v1/store/rotate-key", "", 500, "StorageError"),
        ("POST", "/v1/retire", pin.as_str(), 403, "AdminRequired"),
        ("POST", "/v1/time/reset", pin.as_str(), 403, "AdminRequired"),
    ];
    for (method, path, body, status, code) in requests {
        let (found, problem) = server.json(method, path, body.to_owned()).await;
        assert_eq!((found, &problem["code"]), (status, &json!(code)));
        assert!(!problem.to_string().contains(PIN), "{problem}");
    }
}

#[tokio::test]
async fn tells_how_long_no_pin_is_looked_at() {
    let server = Server::start();
    let locked = ProvisioningError::from(ErrorCode::AdminLocked).with_retry_after(Duration::from_millis(59_001));
    server.service.administer_with(Err(locked));
    let pin = format!(r#"{{"pin":"{PIN}"}}"#);
    for path in ["/v1/deprovision", "/v1/retire", "/v1/time/reset"] {
        let answer = server.send("POST", path, pin.clone()).await;
        assert_eq!(answer.status(), 429, "{path}");
        assert_eq!(answer.headers()["retry-after"], "60");
        let (_, problem) = server.json("POST", path, pin.clone()).await;
        assert_eq!(
            (&problem["code"], &problem["retryAfter"]),
            (&json!("AdminLocked"), &json!(60))
        );
    }
}

#[tokio::test]
async fn gives_the_record_of_the_last_destruction_whatever_the_status_is() {
    let server = Server::start();
    assert_eq!(
        server.refused("GET", "/v1/destruction", "").await,
        (404, "NotFound".into())
    );
    for status in [ProvisioningStatus::Deprovisioned, ProvisioningStatus::Provisioned] {
        let mut report = report(status);
        report.destruction = Some(DestructionRecord("e30.e30.c2ln".into()));
        server.service.report_with(report);
        let (status, view) = server.json("GET", "/v1/destruction", "").await;
        assert_eq!((status, view), (200, json!({ "destruction": "e30.e30.c2ln" })));
    }
}

#[tokio::test]
async fn knows_its_paths_and_their_methods_and_no_others() {
    let server = Server::start();
    for path in [
        "/",
        "/v1",
        "/v1/status/",
        "/v1/pairing/qr.gif",
        "/v2/status",
        "/v1/../v1/status",
    ] {
        assert_eq!(
            server.refused("GET", path, "").await,
            (404, "NotFound".into()),
            "{path}"
        );
    }
    for (path, allow) in [
        ("/v1/status", "GET"),
        ("/v1/pairing", "POST, DELETE"),
        ("/v1/deprovision", "POST"),
    ] {
        let answer = server.send("PUT", path, "").await;
        assert_eq!(answer.status(), 405);
        assert_eq!(answer.headers()["allow"], allow);
    }
}

#[tokio::test]
async fn streams_signals_by_their_names_without_a_secret() {
    let server = Server::start();
    let mut events = server.send("GET", "/v1/events", "").await.into_body();
    let session = SessionId::from_random([1; 8]);
    let signals = [
        ProvisioningSignal::QrCodeGenerated {
            session,
            expires_at: Timestamp::from_millis(5),
        },
        ProvisioningSignal::ConfigurationReceived { session },
        ProvisioningSignal::ProvisioningCompleted(Box::new(result())),
    ];
    for signal in signals {
        let name = signal.name();
        server.service.announce(signal);
        let frame = events.frame().await.unwrap().unwrap().into_data().unwrap();
        let text = String::from_utf8(frame.to_vec()).unwrap();
        assert!(
            text.starts_with(&format!("event: {name}\ndata: {{")) && text.ends_with("}\n\n"),
            "{text}"
        );
        assert!(!text.contains(&installed().receipt.0), "{text}");
    }
}

#[tokio::test]
async fn tells_a_slow_subscriber_that_it_missed_something() {
    let server = Server::start();
    // Taken from the service at once, read when the fake's sixteen places have overflown: no task runs in between.
    let mut events = server.send("GET", "/v1/events", "").await.into_body();
    for _ in 0..20 {
        server.service.announce(ProvisioningSignal::QrCodeExpired);
    }
    let frame = events.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(frame, "event: missed\ndata: {\"count\":4}\n\n");
}

#[tokio::test]
async fn survives_clients_that_speak_no_http_or_break_off() {
    let server = Server::start();
    let mut noise = server.stream().await;
    noise.write_all(b"\x16\x03\x01 not http\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = noise.read_to_end(&mut answer).await;
    assert!(answer.starts_with(b"HTTP/1.1 400"), "{answer:?}");
    let mut half = server.stream().await;
    half.write_all(b"POST /v1/pairing HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n{")
        .await
        .unwrap();
    drop(half);
    assert_eq!(server.json("GET", "/v1/status", "").await.0, 200);
    assert_eq!(server.service.calls(), []);
}

#[tokio::test]
async fn ends_streams_and_idle_connections_when_it_stops() {
    let mut server = Server::start();
    let mut events = server.send("GET", "/v1/events", "").await.into_body();
    let mut idle = server.stream().await;
    idle.write_all(b"GET /v1/status HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    let read = idle.read(&mut [0; 4096]).await.unwrap();
    assert!(read > 0, "the connection has to be accepted before the stop");
    drop(server.stop.take());
    assert!(events.frame().await.is_none(), "the stream has to end cleanly");
    assert_eq!(idle.read(&mut [0]).await.unwrap(), 0);
    tokio::time::timeout(Duration::from_secs(1), server.task)
        .await
        .unwrap()
        .unwrap();
    assert!(
        UnixStream::connect(server.directory.path().join("control.sock"))
            .await
            .is_err()
    );
}
