//! The control socket and the monitor application's: the device's own program, and where that cannot be brought to refuse, the
//! API's own server before a service that says what it is told.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio::task::JoinHandle;
use zmon_domain::error::{ErrorCode, ProvisioningError};
use zmon_domain::identity::DeviceId;
use zmon_domain::signal::ProvisioningSignal;
use zmon_local_api::PairingDefaults;
use zmon_testkit::fake_service::{Apply, FakeService};

use super::{Judge, MASTER, good_body, push, sealed};
use crate::site::{Anchor, DEVICE, PIN, Site, key_text};

#[tokio::test(flavor = "multi_thread")]
async fn it_answers_at_the_control_socket_as_its_document_says() {
    let Some(mut judge) = Judge::of("control", "answers at the control socket, held against the document") else {
        return;
    };
    lives_its_life(&mut judge);
    refuses_what_no_device_can_be_brought_to(&mut judge);
    judge.has_seen_everything();
}

/// What only an administrator may do.
const ADMINISTRATION: [&str; 3] = ["/v1/deprovision", "/v1/retire", "/v1/time/reset"];
const CONFIRMATION: &str = "/v1/pairing/confirmation";
const ACCEPT: &str = r#"{"accept":true}"#;
const PICTURES: [&str; 4] = [
    "/v1/pairing/qr.png",
    "/v1/pairing/qr.svg",
    "/v1/pairing/qr.txt",
    "/v1/pairing/code",
];

/// A sealed payload that somebody has carried to the device.
fn by_hand(body: &str) -> (&'static str, &'static str, Value) {
    let jose = json!({ "Content-Type": "application/jose" });
    ("POST", "/v1/pairing/payload", json!({ "headers": jose, "body": body }))
}

fn get(path: &str) -> (&str, &str, Value) {
    ("GET", path, json!({}))
}

fn post<'a>(path: &'a str, body: &str) -> (&'static str, &'a str, Value) {
    ("POST", path, json!({ "body": body }))
}

/// The device's own program, from unprovisioned to de-provisioned.
fn lives_its_life(judge: &mut Judge) {
    let site = Site::new(Anchor::Hmac, &key_text(&MASTER));
    let socket = site.path("control.sock");
    judge.to["socket"] = socket.to_str().unwrap().into();
    judge.lines.ask(&json!({ "watch": socket }));
    let pin = |pin: &str| json!({ "pin": pin }).to_string();
    let (open, cancel, acknowledge) = (
        |body| post("/v1/pairing", body),
        ("DELETE", "/v1/pairing", json!({})),
        post("/v1/acknowledge", ""),
    );

    judge.gives(get("/v1/status"), 200);
    assert_eq!(judge.gives(get("/v1/health"), 200)["status"], 200);
    judge.gives(post("/v1/store/rotate-key", ""), 200);
    judge.refuses(get("/v1/nothing"), 404, "NotFound");
    judge.refuses(("PUT", "/v1/status", json!({})), 405, "MethodNotAllowed");
    for path in ["/v1/receipt", "/v1/configuration"] {
        judge.refuses(get(path), 409, "NotProvisioned");
    }
    judge.refuses(post("/v1/connection-test", ""), 409, "NotProvisioned");
    judge.refuses(get("/v1/destruction"), 404, "NotFound");
    judge.refuses(get("/v1/audit?from=x"), 400, "RequestInvalid");
    for picture in PICTURES {
        judge.refuses(get(picture), 409, "NotPairing");
    }
    judge.refuses(cancel.clone(), 409, "NotPairing");
    judge.refuses(post(CONFIRMATION, ACCEPT), 409, "NotPairing");
    for path in ["/v1/pairing", CONFIRMATION].into_iter().chain(ADMINISTRATION) {
        judge.refuses(post(path, "[]"), 400, "RequestInvalid");
        judge.refuses(post(path, &" ".repeat(16 * 1024 + 1)), 413, "PayloadTooLarge");
        judge.refuses(
            ("POST", path, json!({ "body": "{}", "stall": true })),
            408,
            "RequestTimeout",
        );
    }
    judge.refuses(open(r#"{"deviceId":"ANOTHER"}"#), 403, "DeviceIdMismatch");
    judge.refuses(open(r#"{"ipAddress":"203.0.113.7"}"#), 502, "NetworkError");

    judge.gives(open(""), 201);
    for picture in PICTURES {
        judge.gives(get(picture), 200);
    }
    judge.refuses(acknowledge.clone(), 409, "PairingInProgress");
    judge.gives(cancel.clone(), 200);
    judge.gives(open("{}"), 201);
    judge.refuses(by_hand("not sealed"), 400, "EnvelopeInvalid");
    judge.refuses(by_hand(&"x".repeat(64 * 1024 + 1)), 413, "PayloadTooLarge");
    let mut stalled = by_hand("{}");
    stalled.2["stall"] = true.into();
    judge.refuses(stalled, 408, "RequestTimeout");
    site.write("qr", &site.pair());
    let body = sealed(&site.read("qr"), &MASTER, DEVICE);
    pushed(judge, &site, &body, "PayloadInvalid");
    judge.gives(get("/v1/status"), 200);
    judge.gives(acknowledge.clone(), 200);

    judge.refuses(post("/v1/deprovision", &pin(PIN)), 409, "NotProvisioned");
    site.write("qr", &site.pair());
    let body = good_body(judge, &site, "body");
    judge.gives(by_hand(&body), 200);
    judge.gives(get("/v1/status"), 200);
    let readable = [
        "/v1/examination",
        "/v1/metrics",
        "/v1/receipt",
        "/v1/configuration",
        "/v1/audit",
        "/v1/audit?from=2&limit=3",
        "/v1/audit/verdict",
    ];
    for path in readable {
        judge.gives(get(path), 200);
    }
    judge.refuses(open(""), 409, "AlreadyProvisioned");
    judge.refuses(cancel, 409, "AlreadyProvisioned");
    judge.refuses(acknowledge.clone(), 409, "AlreadyProvisioned");
    judge.refuses(post("/v1/deprovision", &pin("not the PIN")), 403, "AdminRequired");
    judge.gives(post("/v1/deprovision", &pin(PIN)), 200);
    judge.gives(get("/v1/destruction"), 200);
    judge.gives(acknowledge, 200);
    let signals = [
        "qrCodeGenerated",
        "statusChanged",
        "configurationReceived",
        "provisioningFailed",
        "provisioningCompleted",
    ];
    judge.hears(&signals);
}

/// Pushes to the device beside the control API; with this code it is refused, without one installed.
fn pushed(judge: &mut Judge, site: &Site, body: &str, code: &str) {
    let qr: Value = serde_json::from_str(&site.read("qr")).unwrap();
    let (method, path, mut more) = push(body);
    more["interface"] = "push".into();
    more["qr"] = qr;
    let answer = judge.ask(method, path, &more);
    assert_eq!(answer["code"].as_str().unwrap_or_default(), code, "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_answers_the_monitor_application_as_its_document_says() {
    let title = "answers at the monitor application's socket, held against the document";
    let Some(mut judge) = Judge::of("application", title) else {
        return;
    };
    let site = Site::new(Anchor::Hmac, &key_text(&MASTER));
    let socket = site.path("application.sock");
    judge.to["socket"] = socket.to_str().unwrap().into();
    judge.lines.ask(&json!({ "watch": socket }));
    let readable = ["/v1/configuration", "/v1/credentials"];
    for path in readable {
        judge.refuses(get(path), 409, "NotProvisioned");
    }
    judge.refuses(get("/v1/status"), 404, "NotFound");
    judge.refuses(post("/v1/credentials", ""), 405, "MethodNotAllowed");
    site.write("qr", &site.pair());
    let body = good_body(&judge, &site, "body");
    pushed(&mut judge, &site, &body, "");
    for path in readable {
        judge.gives(get(path), 200);
    }
    judge.hears(&["statusChanged", "provisioningCompleted"]);

    let fake = Fake::application(&mut judge);
    for code in [ErrorCode::StorageError, ErrorCode::UnknownError] {
        fake.service.read_with(Err(code.into()));
        for path in readable {
            judge.refuses(get(path), 500, code.as_str());
        }
    }
    judge.has_seen_everything();
}

/// The API's own server before a service that says what it is told.
struct Fake {
    service: FakeService,
    server: JoinHandle<()>,
    _directory: TempDir,
}

impl Fake {
    fn control(judge: &mut Judge) -> Self {
        Self::start(judge, |listener, service, defaults| {
            tokio::spawn(zmon_local_api::serve(
                listener,
                service,
                defaults,
                std::future::pending(),
            ))
        })
    }

    fn application(judge: &mut Judge) -> Self {
        Self::start(judge, |listener, service, defaults| {
            tokio::spawn(zmon_local_api::serve_application(
                listener,
                service,
                defaults,
                std::future::pending(),
            ))
        })
    }

    fn start(judge: &mut Judge, serve: fn(UnixListener, FakeService, PairingDefaults) -> JoinHandle<()>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("api.sock");
        let service = FakeService::new();
        let defaults = PairingDefaults {
            device_id: DeviceId::parse(DEVICE).unwrap(),
            ip_address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        };
        let server = serve(UnixListener::bind(&socket).unwrap(), service.clone(), defaults);
        judge.to["socket"] = socket.to_str().unwrap().into();
        Self {
            service,
            server,
            _directory: directory,
        }
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn refuses_what_no_device_can_be_brought_to(judge: &mut Judge) {
    let fake = Fake::control(judge);
    let service = &fake.service;
    let defects = [(ErrorCode::StorageError, 500), (ErrorCode::UnknownError, 500)];
    let refusals = [(ErrorCode::QrContentTooLong, 422), (ErrorCode::ShuttingDown, 503)];
    for (code, status) in defects.into_iter().chain(refusals) {
        let error = ProvisioningError::from(code);
        service.generate_with(Err(error.clone()));
        if status != 422 {
            service.rotate_key_with(Err(error.clone()));
            judge.refuses(post("/v1/store/rotate-key", ""), status, code.as_str());
        }
        judge.refuses(post("/v1/pairing", ""), status, code.as_str());
        if status != 500 {
            continue;
        }
        service.cancel_with(Err(error.clone()));
        judge.refuses(("DELETE", "/v1/pairing", json!({})), status, code.as_str());
        service.answer_confirmation_with(Err(error.clone()));
        judge.refuses(post(CONFIRMATION, ACCEPT), status, code.as_str());
        service.acknowledge_with(Err(error.clone()));
        judge.refuses(post("/v1/acknowledge", ""), status, code.as_str());
        service.administer_with(Err(error));
        for path in ADMINISTRATION {
            judge.refuses(post(path, r#"{"pin":"1"}"#), status, code.as_str());
        }
    }
    for path in ADMINISTRATION {
        let wait = ProvisioningError::from(ErrorCode::AdminLocked).with_retry_after(Duration::from_secs(60));
        service.administer_with(Err(wait));
        judge.refuses(post(path, r#"{"pin":"1"}"#), 429, "AdminLocked");
        service.administer_with(Err(ErrorCode::AdminRequired.into()));
        judge.refuses(post(path, r#"{"pin":"1"}"#), 403, "AdminRequired");
        service.administer_with(Ok(()));
        judge.gives(post(path, r#"{"pin":"1"}"#), 200);
    }
    for (code, status) in [(ErrorCode::PairingInProgress, 409), (ErrorCode::TrustAnchorKept, 500)] {
        service.administer_with(Err(code.into()));
        judge.refuses(post("/v1/retire", r#"{"pin":"1"}"#), status, code.as_str());
    }
    service.answer_confirmation_with(Err(ErrorCode::ConfirmationTimeout.into()));
    judge.refuses(post(CONFIRMATION, ACCEPT), 408, "ConfirmationTimeout");
    service.answer_confirmation_with(Ok(()));
    judge.gives(post(CONFIRMATION, ACCEPT), 200);
    // The control: what the document does not list is noticed.
    service.cancel_with(Err(ErrorCode::AdminRequired.into()));
    let answer = judge.ask("DELETE", "/v1/pairing", &json!({}));
    assert!(
        answer["fault"]
            .as_str()
            .is_some_and(|fault| fault.contains("is not listed")),
        "{answer}"
    );

    service.health_with(None);
    judge.gives(get("/v1/health"), 503);
    let refusals = [
        (ErrorCode::SignatureInvalid, 401),
        (ErrorCode::DeviceIdMismatch, 403),
        (ErrorCode::AlreadyProvisioned, 409),
        (ErrorCode::PayloadExpired, 410),
        (ErrorCode::InvalidCertificate, 422),
        (ErrorCode::NetworkError, 502),
        (ErrorCode::StorageError, 500),
        (ErrorCode::ShuttingDown, 503),
    ];
    for (code, status) in refusals {
        service.apply_with(Apply::refuse(code));
        judge.refuses(by_hand("x"), status, code.as_str());
    }

    judge.gives(post("/v1/connection-test", ""), 200);
    for (code, status) in [(ErrorCode::NetworkError, 502), (ErrorCode::StorageError, 500)] {
        service.reach_with(Err(code.into()));
        judge.refuses(post("/v1/connection-test", ""), status, code.as_str());
    }

    service.read_with(Err(ErrorCode::StorageError.into()));
    for path in ["/v1/configuration", "/v1/examination"] {
        judge.refuses(get(path), 500, "StorageError");
    }
    service.audit().break_down("the card is gone");
    for path in ["/v1/audit", "/v1/audit/verdict"] {
        judge.refuses(get(path), 500, "StorageError");
    }

    let socket = judge.to["socket"].clone();
    judge.lines.ask(&json!({ "watch": socket }));
    for _ in 0..10_000 {
        service.announce(ProvisioningSignal::QrCodeExpired);
    }
    judge.hears(&["qrCodeExpired", "missed"]);
}
