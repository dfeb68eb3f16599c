//! What the interface documents say is what happens: live answers, judged by `jsonschema` and `openapi-spec-validator`.

mod local;
mod push;

use std::collections::BTreeSet;

use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::{Value, json};
use zmon_domain::identity::DeviceId;
use zmon_domain::pairing::SessionPublicKey;
use zmon_domain::secret::{SecretBytes, SecretText};
use zmon_payload_envelope::keys::derive_device_key;
use zmon_payload_envelope::seal::{SigningKey, sign_and_seal};
use zmon_testkit::pki::KeyType;
use zmon_testkit::skip::skip;
use zmon_tests::kit::{Lines, Python};
use zmon_tests::programs::run;

use crate::site::{Site, with};

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
        let path = path.split('?').next().unwrap();
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
        let answer = self
            .lines
            .ask(&json!({ "events": names, "interface": self.to["interface"] }));
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

/// An empty payload, signed for this device with its key of this master key, and sealed for this QR code: it fails in step 6.
pub(crate) fn sealed(qr: &str, master: &[u8; 32], device_id: &str) -> String {
    let qr: Value = serde_json::from_str(qr).unwrap();
    let key = Base64UrlUnpadded::decode_vec(qr["key"].as_str().unwrap()).unwrap();
    let device_id = DeviceId::parse(device_id).unwrap();
    let signing = SigningKey::Hmac {
        device_key: derive_device_key(&SecretBytes::take(&mut master.clone()), &device_id),
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
    run(&mut seal);
    site.read(name)
}
