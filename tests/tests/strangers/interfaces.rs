//! What the interface documents say is what happens: live answers, judged by `jsonschema` and `openapi-spec-validator`.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::{Value, json};
use tokio::net::UnixListener;
use zmon_domain::error::{ErrorCode, ProvisioningError};
use zmon_domain::identity::DeviceId;
use zmon_domain::pairing::SessionPublicKey;
use zmon_domain::secret::{SecretBytes, SecretText};
use zmon_domain::signal::ProvisioningSignal;
use zmon_local_api::PairingDefaults;
use zmon_payload_envelope::keys::derive_device_key;
use zmon_payload_envelope::seal::{SigningKey, sign_and_seal};
use zmon_testkit::fake_service::FakeService;
use zmon_testkit::pki::KeyType;
use zmon_testkit::skip::skip;

use crate::kit::{Lines, Python};
use crate::simulator::Simulator;
use crate::site::{Anchor, DEVICE, PIN, Site, key_text, succeed, with};

const MASTER: [u8; 32] = [37; 32];
const CONFIGURE: &str = "/provisioning/configure";

/// Sends requests through `conform.py`, and remembers what came.
struct Judge {
    python: Python,
    lines: Lines,
    promised: BTreeSet<String>,
    seen: BTreeSet<String>,
    /// Where requests go: members of every question.
    to: Value,
}

impl Judge {
    /// None where the test called `title` is skipped.
    fn of(interface: &str, title: &str) -> Option<Self> {
        let python = Python::find().inspect_err(|reason| skip(title, reason)).ok()?;
        let mut lines = Lines::start(python.script("tests/strangers/conform.py"));
        let promised = lines.ask(&json!({}))[interface].as_array().unwrap().clone();
        Some(Self {
            python,
            lines,
            promised: promised.iter().map(|line| line.as_str().unwrap().into()).collect(),
            seen: BTreeSet::new(),
            to: json!({ "interface": interface }),
        })
    }

    /// Sends a request, `more` being its other members; gives what came.
    fn ask(&mut self, method: &str, path: &str, more: &Value) -> Value {
        let mut question = self.to.clone();
        let members = [&json!({ "method": method, "path": path }), more];
        for (name, value) in members.into_iter().flat_map(|members| members.as_object().unwrap()) {
            question[name] = value.clone();
        }
        self.lines.ask(&question)
    }

    /// The answer has this status, and where it is a refusal this code; and the document says so.
    fn expect(&mut self, request: (&str, &str, Value), status: u16, code: Option<&str>) -> Value {
        let (method, path, more) = request;
        let answer = self.ask(method, path, &more);
        let found = (answer["status"].as_u64(), answer["code"].as_str());
        assert_eq!(found, (Some(status.into()), code), "{method} {path}: {answer}");
        assert_eq!(answer["fault"], Value::Null);
        self.seen.insert(format!("{method} {path} {status}"));
        answer
    }

    fn refuses(&mut self, request: (&str, &str, Value), status: u16, code: &str) {
        self.expect(request, status, Some(code));
    }

    fn gives(&mut self, request: (&str, &str, Value), status: u16) -> Value {
        self.expect(request, status, None)
    }

    /// Waits until each of these events has come; whatever comes, the document says so.
    fn hears(&mut self, names: &[&str]) {
        let answer = self.lines.ask(&json!({ "events": names }));
        assert_eq!(answer["fault"], Value::Null);
        self.seen.insert("GET /v1/events 200".into());
    }

    /// Each status that the document promises was brought about.
    fn has_seen_everything(&self) {
        let missing: Vec<_> = self.promised.difference(&self.seen).collect();
        assert!(missing.is_empty(), "promised and never brought about: {missing:#?}");
    }
}

fn push(body: &str) -> (&'static str, &'static str, Value) {
    let jose = json!({ "Content-Type": "application/jose" });
    ("POST", CONFIGURE, json!({ "headers": jose, "body": body }))
}

fn status() -> (&'static str, &'static str, Value) {
    ("GET", "/provisioning/status", json!({}))
}

/// `request` from another loopback address.
fn from(
    (method, path, mut more): (&'static str, &'static str, Value),
    address: u8,
) -> (&'static str, &'static str, Value) {
    more["source"] = format!("127.0.3.{address}").into();
    (method, path, more)
}

#[test]
fn it_answers_pushes_as_its_document_says() {
    let Some(mut judge) = Judge::of("push", "answers to pushes, held against the document") else {
        return;
    };
    let mut site = Site::new(Anchor::Hmac, &key_text(&MASTER));
    meets_a_station(&mut judge, &mut site);
    refuses_with_every_code(&mut judge);
    judge.has_seen_everything();
}

/// The life of the device's own program, from a status request to the grace period.
fn meets_a_station(judge: &mut Judge, site: &mut Site) {
    let qr = site.pair();
    site.write("qr", &qr);
    judge.to["qr"] = serde_json::from_str(&qr).unwrap();
    judge.gives(status(), 200);
    judge.refuses(("GET", "/", json!({})), 404, "NotFound");
    judge.refuses(("GET", CONFIGURE, json!({})), 405, "MethodNotAllowed");
    judge.refuses(("PUT", "/provisioning/status", json!({})), 405, "MethodNotAllowed");
    judge.refuses(("POST", CONFIGURE, json!({ "body": "x" })), 415, "UnsupportedMediaType");
    judge.refuses(push(&"x".repeat(64 * 1024 + 1)), 413, "PayloadTooLarge");
    let mut stalled = push("one byte never comes");
    stalled.2["stall"] = true.into();
    judge.refuses(stalled, 408, "RequestTimeout");
    for _ in 0..3 {
        judge.refuses(from(push("no envelope"), 1), 400, "EnvelopeInvalid");
    }
    judge.refuses(from(push("no envelope"), 1), 429, "RateLimited");
    let often = (0..40)
        .map(|_| judge.ask("GET", status().1, &from(status(), 2).2))
        .find(|answer| answer["status"] == 429);
    assert!(
        often.is_some_and(|answer| answer["fault"].is_null()),
        "status requests are limited"
    );
    judge.seen.insert("GET /provisioning/status 429".into());

    let [body, other] = ["body", "other"].map(|name| good_body(judge, site, name));
    let first = judge.gives(push(&body), 200);
    assert_eq!(judge.gives(push(&body), 200), first);
    judge.refuses(push(&other), 409, "AlreadyProvisioned");
    judge.gives(status(), 200);
}

/// Every code of the catalogue, by a simulated monitor each. Codes that no push can meet are not in the document.
fn refuses_with_every_code(judge: &mut Judge) {
    let faults: Vec<_> = ErrorCode::ALL.iter().map(|code| format!("refuse:{code}")).collect();
    let count = faults.len().to_string();
    let mut arguments = vec!["--count", &count, "--faulty-every", "1"];
    arguments.extend(faults.iter().flat_map(|fault| ["--fault", fault]));
    let simulator = Simulator::start(&key_text(&MASTER), &arguments);
    for (number, code) in (1..).zip(ErrorCode::ALL) {
        let device_id = format!("SIM-{number:03}");
        let qr = simulator.qr(&device_id);
        judge.to["qr"] = serde_json::from_str(&qr).unwrap();
        let (method, path, more) = push(&sealed(&qr, &device_id));
        let answer = judge.ask(method, path, &more);
        assert_eq!(answer["code"], code.as_str(), "{answer}");
        // A refusal that is brought about like this comes without its header: the document wants one.
        let never = [
            ErrorCode::NotFound,
            ErrorCode::MethodNotAllowed,
            ErrorCode::AdminRequired,
            ErrorCode::NotProvisioned,
            ErrorCode::QrContentTooLong,
            ErrorCode::RateLimited,
        ];
        assert_eq!(answer["fault"].is_null(), !never.contains(code), "{answer}");
        if !never.contains(code) {
            judge.seen.insert(format!("{method} {path} {}", answer["status"]));
        }
    }
}

/// An empty payload, signed for this device and sealed for this QR code: it fails in step 6.
fn sealed(qr: &str, device_id: &str) -> String {
    let qr: Value = serde_json::from_str(qr).unwrap();
    let key = Base64UrlUnpadded::decode_vec(qr["key"].as_str().unwrap()).unwrap();
    let device_id = DeviceId::parse(device_id).unwrap();
    let signing = SigningKey::Hmac {
        device_key: derive_device_key(&SecretBytes::take(&mut MASTER.clone()), &device_id),
    };
    let session = SessionPublicKey::new(key.try_into().unwrap());
    sign_and_seal(&SecretText::new("{}".into()), &signing, &session).unwrap()
}

/// A good payload for the QR code in the file `qr`, made by one of the clients in `examples/`.
fn good_body(judge: &Judge, site: &Site, name: &str) -> String {
    let issued = site.issue(&format!("client-{name}"), KeyType::P256);
    let mut seal = judge.python.script("examples/python/provision_jwcrypto.py");
    seal.args([
        "--no-push",
        "--server-url",
        "https://central.example.org",
        "--label",
        "ICU 4",
    ]);
    let [home, qr, body] = ["station", "qr", name].map(|name| site.path(name));
    with(
        &mut seal,
        &[
            ("--home", &home),
            ("--qr", &qr),
            ("--save-body", &body),
            ("--client", &issued),
        ],
    );
    succeed(&mut seal);
    site.read(name)
}

#[tokio::test(flavor = "multi_thread")]
async fn it_answers_at_the_control_socket_as_its_document_says() {
    let Some(mut judge) = Judge::of("control", "answers at the control socket, held against the document") else {
        return;
    };
    lives_its_life(&mut judge);
    refuses_what_no_device_can_be_brought_to(&mut judge).await;
    judge.has_seen_everything();
}

const PICTURES: [&str; 3] = ["/v1/pairing/qr.png", "/v1/pairing/qr.svg", "/v1/pairing/qr.txt"];

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
    judge.refuses(get("/v1/nothing"), 404, "NotFound");
    judge.refuses(("PUT", "/v1/status", json!({})), 405, "MethodNotAllowed");
    judge.refuses(get("/v1/receipt"), 409, "NotProvisioned");
    for picture in PICTURES {
        judge.refuses(get(picture), 409, "NotPairing");
    }
    judge.refuses(cancel.clone(), 409, "NotPairing");
    for path in ["/v1/pairing", "/v1/deprovision"] {
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
    site.write("qr", &site.pair());
    let body = sealed(&site.read("qr"), DEVICE);
    pushed(judge, &site, &body, "PayloadInvalid");
    judge.gives(get("/v1/status"), 200);
    judge.gives(acknowledge.clone(), 200);

    judge.refuses(post("/v1/deprovision", &pin(PIN)), 409, "NotProvisioned");
    site.write("qr", &site.pair());
    let body = good_body(judge, &site, "body");
    pushed(judge, &site, &body, "");
    judge.gives(get("/v1/status"), 200);
    judge.gives(get("/v1/receipt"), 200);
    judge.refuses(open(""), 409, "AlreadyProvisioned");
    judge.refuses(cancel, 409, "AlreadyProvisioned");
    judge.refuses(acknowledge.clone(), 409, "AlreadyProvisioned");
    judge.refuses(post("/v1/deprovision", &pin("not the PIN")), 403, "AdminRequired");
    judge.gives(post("/v1/deprovision", &pin(PIN)), 200);
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

/// The rest, by the API's own server and a service that says what it is told.
async fn refuses_what_no_device_can_be_brought_to(judge: &mut Judge) {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("control.sock");
    let service = FakeService::new();
    let defaults = PairingDefaults {
        device_id: DeviceId::parse(DEVICE).unwrap(),
        ip_address: IpAddr::V4(Ipv4Addr::LOCALHOST),
    };
    let listener = UnixListener::bind(&socket).unwrap();
    let server = tokio::spawn(zmon_local_api::serve(
        listener,
        service.clone(),
        defaults,
        std::future::pending(),
    ));
    judge.to["socket"] = socket.to_str().unwrap().into();

    let defects = [(ErrorCode::StorageError, 500), (ErrorCode::UnknownError, 500)];
    let refusals = [(ErrorCode::QrContentTooLong, 422), (ErrorCode::ShuttingDown, 503)];
    for (code, status) in defects.into_iter().chain(refusals) {
        let error = ProvisioningError::from(code);
        service.generate_with(Err(error.clone()));
        judge.refuses(post("/v1/pairing", ""), status, code.as_str());
        if status != 500 {
            continue;
        }
        service.cancel_with(Err(error.clone()));
        judge.refuses(("DELETE", "/v1/pairing", json!({})), status, code.as_str());
        service.acknowledge_with(Err(error.clone()));
        judge.refuses(post("/v1/acknowledge", ""), status, code.as_str());
        service.deprovision_with(Err(error));
        judge.refuses(post("/v1/deprovision", r#"{"pin":"1"}"#), status, code.as_str());
    }
    // The control: what the document does not list is noticed.
    service.cancel_with(Err(ErrorCode::AdminRequired.into()));
    let answer = judge.ask("DELETE", "/v1/pairing", &json!({}));
    assert!(
        answer["fault"]
            .as_str()
            .is_some_and(|fault| fault.contains("is not listed")),
        "{answer}"
    );

    judge.lines.ask(&json!({ "watch": socket }));
    for _ in 0..10_000 {
        service.announce(ProvisioningSignal::QrCodeExpired);
    }
    judge.hears(&["qrCodeExpired", "missed"]);
    server.abort();
}
