//! What is read over the local sockets: configuration, credentials, audit.
#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use zmon_domain::access::Peer;
use zmon_domain::audit::{AuditEntry, AuditEvent};
use zmon_domain::identity::DeviceId;
use zmon_domain::status::ProvisioningStatus;
use zmon_domain::time::Timestamp;
use zmon_local_api::{PairingDefaults, serve, serve_application};
use zmon_ports::ProvisioningStore;
use zmon_testkit::fake_service::{Call, FakeService, report};
use zmon_testkit::installation::CLIENT_CERTIFICATE;
use zmon_testkit::payload::CANARY_KEY;

/// The same service on both sockets.
struct Device {
    directory: TempDir,
    service: FakeService,
}

impl Device {
    fn provisioned() -> Self {
        let device = Self::new();
        device.service.report_with(report(ProvisioningStatus::Provisioned));
        device
    }

    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let service = FakeService::new();
        let bind = |name| UnixListener::bind(directory.path().join(name)).unwrap();
        let defaults = PairingDefaults {
            device_id: DeviceId::parse("ZM-ICU-MON-04").unwrap(),
            ip_address: [10, 1, 50, 104].into(),
        };
        let never = std::future::pending;
        tokio::spawn(serve(bind("control"), service.clone(), defaults.clone(), never()));
        tokio::spawn(serve_application(
            bind("application"),
            service.clone(),
            defaults,
            never(),
        ));
        Self { directory, service }
    }

    /// Status, and the whole answer as text.
    async fn raw(&self, socket: &str, request: &str) -> (u16, String) {
        let mut stream = UnixStream::connect(self.directory.path().join(socket)).await.unwrap();
        let request = format!("{request} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        (answer[9..12].parse().unwrap(), answer)
    }

    async fn get(&self, socket: &str, path: &str) -> (u16, Value) {
        let (status, answer) = self.raw(socket, &format!("GET {path}")).await;
        let body = answer.split_once("\r\n\r\n").unwrap().1;
        (status, serde_json::from_str(body).unwrap())
    }
}

#[tokio::test]
async fn gives_the_application_configuration_and_credentials_and_names_the_reader() {
    let device = Device::provisioned();
    let (status, configuration) = device.get("application", "/v1/configuration").await;
    assert_eq!(status, 200, "{configuration}");
    assert_eq!(configuration["settings"]["deviceLabel"], "ICU-MON-04");
    let change = json!({ "at": 1_764_000_000_000_u64, "by": "Central Station, session 0101010101010101" });
    for key in [
        "deviceId",
        "deviceLabel",
        "serverUrl",
        "syncInterval",
        "measurementUnit",
        "language",
    ] {
        assert_eq!(configuration["changes"][key], change, "{key}");
    }
    assert_eq!(configuration["pem"]["client"], CLIENT_CERTIFICATE);
    assert_eq!(configuration["pem"]["server"], Value::Null);
    assert_eq!(
        configuration["certificates"]["client"][0]["subject"],
        "CN=ZM-ICU-MON-04"
    );
    let (status, credentials) = device.get("application", "/v1/credentials").await;
    assert_eq!(status, 200);
    assert_eq!(credentials["clientPrivateKey"], CANARY_KEY);
    assert_eq!(credentials["clientCertificate"], CLIENT_CERTIFICATE);
    assert_eq!(credentials["completedAt"], configuration["completedAt"]);
    let me = Peer {
        uid: std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap()),
        gid: std::os::unix::fs::MetadataExt::gid(&std::fs::metadata("/proc/self").unwrap()),
        pid: Some(std::process::id()),
    };
    assert_eq!(
        device.service.calls(),
        [Call::ReadConfiguration(me), Call::ReadCredentials(me)]
    );
}

#[tokio::test]
async fn says_what_to_wait_for_where_there_is_nothing_to_read() {
    let device = Device::new();
    for (socket, path) in [
        ("application", "/v1/configuration"),
        ("application", "/v1/credentials"),
        ("control", "/v1/configuration"),
    ] {
        let (status, problem) = device.get(socket, path).await;
        assert_eq!(
            (status, problem["code"].as_str()),
            (409, Some("NotProvisioned")),
            "{path}"
        );
        assert!(
            problem["nextAction"].as_str().unwrap().contains("/v1/events"),
            "{problem}"
        );
    }
}

#[tokio::test]
async fn shows_the_private_key_in_one_answer_on_one_socket_alone() {
    let device = Device::provisioned();
    let mut with_key = Vec::new();
    for socket in ["control", "application"] {
        for path in [
            "/v1/status",
            "/v1/receipt",
            "/v1/configuration",
            "/v1/credentials",
            "/v1/audit",
            "/v1/audit/verdict",
            "/v1/pairing/qr.txt",
        ] {
            for method in ["GET", "POST", "DELETE", "PUT", "HEAD"] {
                let (status, answer) = device.raw(socket, &format!("{method} {path}")).await;
                if answer.contains("PRIVATE KEY") {
                    with_key.push((socket, method, path, status));
                }
            }
        }
    }
    assert_eq!(with_key, [("application", "GET", "/v1/credentials", 200)]);
}

#[tokio::test]
async fn has_nothing_for_the_application_to_control() {
    let device = Device::provisioned();
    for request in [
        "GET /v1/status",
        "GET /v1/receipt",
        "POST /v1/pairing",
        "DELETE /v1/pairing",
        "GET /v1/pairing/qr.png",
        "POST /v1/acknowledge",
        "POST /v1/deprovision",
        "GET /v1/audit",
        "GET /v1/audit/verdict",
    ] {
        let (status, answer) = device.raw("application", request).await;
        assert_eq!(status, 404, "{request}: {answer}");
    }
    assert_eq!(device.service.calls(), []);
    let (status, answer) = device.raw("control", "GET /v1/credentials").await;
    assert_eq!(status, 404, "{answer}");
    let (status, answer) = device.raw("application", "POST /v1/credentials").await;
    assert_eq!(status, 405, "{answer}");
    assert!(answer.contains("allow: GET\r\n"), "{answer}");
}

#[tokio::test]
async fn gives_the_audit_in_pieces() {
    let device = Device::new();
    let entries = vec![AuditEntry::new(AuditEvent::ServiceStarted); 1_200];
    let at = Timestamp::from_millis(5);
    let head = device.service.audit().record(at, &entries, None).await.unwrap();
    let (status, page) = device.get("control", "/v1/audit").await;
    assert_eq!(status, 200);
    assert_eq!(page["deviceId"], "ZM-ICU-MON-04");
    assert_eq!(
        (page["count"].as_u64(), page["head"].as_str()),
        (Some(1_201), Some(&*head.head.to_hex()))
    );
    assert_eq!(page["records"].as_array().unwrap().len(), 256);
    assert_eq!(page["records"][0]["event"], "store created");
    let (_, page) = device.get("control", "/v1/audit?from=1200&limit=1000").await;
    assert_eq!(page["records"].as_array().unwrap().len(), 2);
    assert_eq!(page["records"][1]["hash"].as_str(), Some(&*head.head.to_hex()));
    let (_, page) = device.get("control", "/v1/audit?from=1202").await;
    assert_eq!(page["records"], json!([]));
    let (_, verdict) = device.get("control", "/v1/audit/verdict").await;
    assert_eq!(
        (verdict["intact"].as_bool(), verdict["count"].as_u64()),
        (Some(true), Some(1_201))
    );
    for query in [
        "from=-1",
        "from=x",
        "limit=0",
        "limit=1001",
        "from=1&from=2",
        "page=1",
        "from",
        "limit=+1",
        "from=",
    ] {
        let (status, problem) = device.get("control", &format!("/v1/audit?{query}")).await;
        assert_eq!(
            (status, problem["code"].as_str()),
            (400, Some("RequestInvalid")),
            "{query}"
        );
    }
}
