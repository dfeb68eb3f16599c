//! Every refusal of the vectors, rebuilt for live sessions of the device's own binary and pushed over HTTPS. Each answer is held
//! against the interface document.

use serde_json::{Value, json};
use zmon_testkit::skip::skip;
use zmon_tests::vectors::own_file;

use crate::simulator::Simulator;
use crate::site::{Anchor, DEVICE, Site, key_text};
use zmon_tests::kit::{Lines, Python};

/// They are refused only while the clock is synchronised, and a test cannot synchronise this machine's.
const SYNCHRONISED_CLOCK: [&str; 3] = ["reject-early-cert", "reject-future-payload", "reject-six-minutes-ahead"];
/// Not the vectors' Ed25519 key, the private half of which nobody has.
const SEED: [u8; 32] = [31; 32];

#[test]
fn it_refuses_over_https_what_the_vectors_refuse() {
    let Some(mut bench) = Bench::new("refusals over HTTPS") else {
        return;
    };
    let (at_its_time, refusals): (Vec<_>, Vec<_>) = bench
        .cases()
        .into_iter()
        .filter(|case| name(case).starts_with("reject-"))
        .partition(|case| case["synchronised"] == false || SYNCHRONISED_CLOCK.contains(&name(case)));
    assert_eq!(at_its_time.len(), 6);
    for case in &at_its_time {
        bench.refuses_at_its_time(case);
    }
    let (derived, signed): (Vec<_>, Vec<_>) = refusals.into_iter().partition(|case| case["anchor"]["alg"] == "HS256");
    assert!(signed.iter().all(|case| case["anchor"]["alg"] == "EdDSA"));
    bench.refuses_each(Anchor::Hmac, &derived);
    bench.refuses_each(Anchor::Ed25519, &signed);
}

fn name(case: &Value) -> &str {
    case["name"].as_str().unwrap()
}

/// The vectors, and what rebuilds them.
struct Bench {
    rebuilder: Lines,
    vectors: Value,
}

impl Bench {
    /// None where the test called `title` is skipped.
    fn new(title: &str) -> Option<Self> {
        let python = Python::find().inspect_err(|reason| skip(title, reason)).ok()?;
        let vectors = std::fs::read_to_string(own_file()).unwrap();
        Some(Self {
            rebuilder: Lines::start(python.script("tests/strangers/rebuild.py")),
            vectors: serde_json::from_str(&vectors).unwrap(),
        })
    }

    fn cases(&self) -> Vec<Value> {
        self.vectors["cases"].as_array().unwrap().clone()
    }

    /// Rebuilds a case for the session of this QR code, and pushes it from an address of its own.
    fn push(&mut self, good: &str, key: &(&str, String), case: &Value, qr: &str, more: &Value) -> Value {
        let good = self.cases().into_iter().find(|case| name(case) == good).unwrap();
        let mut question = json!({
            "case": case,
            "good": good,
            "device": self.vectors["device"],
            "keys": self.vectors["keys"],
            "qr": qr,
            key.0: key.1,
        });
        for (name, value) in more.as_object().unwrap() {
            question[name] = value.clone();
        }
        let answer = self.rebuilder.ask(&question);
        assert_eq!(
            answer["fault"],
            Value::Null,
            "what the interface document says of {}",
            name(case)
        );
        answer
    }

    fn master(&self) -> String {
        self.vectors["keys"]["provisioningMasterKey"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// On a monitor whose clock says what the case says. It was never provisioned, so that its time floor is the release
    /// date, which its QR code tells: where the case is about another floor, the payload's times move with it.
    fn refuses_at_its_time(&mut self, case: &Value) {
        let synchronised = if case["synchronised"] == true {
            ":synchronised"
        } else {
            ""
        };
        let clock = format!("clock:{}{synchronised}", case["nowMs"]);
        let simulator = Simulator::start(&self.master(), &["--device-id", DEVICE, "--fault", &clock]);
        let qr = simulator.qr(DEVICE);
        let shown = serde_json::from_str::<Value>(&qr).unwrap()["timestamp"]
            .as_i64()
            .unwrap();
        let delta = match case["floorMs"].as_i64().unwrap() {
            0 => 0,
            floor => shown - floor,
        };
        let more = json!({ "source": "127.0.0.1", "delta": delta });
        let answer = self.push("accept-hs256", &("master", self.master()), case, &qr, &more);
        expect(case, &answer);
        assert_eq!(answer["after"], case["expect"]["status"], "{}", name(case));
    }

    fn refuses_each(&mut self, anchor: Anchor, refusals: &[Value]) {
        let (good, key) = match anchor {
            Anchor::Hmac => ("accept-hs256", ("master", self.master())),
            Anchor::Ed25519 => ("accept-eddsa", ("seed", key_text(&SEED))),
        };
        let site = Site::new(anchor, &key.1);
        let from = |address: usize| json!({ "source": format!("127.0.0.{address}") });
        let mut session = None;
        for (index, case) in refusals.iter().enumerate() {
            let qr = session.take().unwrap_or_else(|| site.pair());
            // Envelopes that do not open make an address wait: each comes from another.
            let answer = self.push(good, &key, case, &qr, &from(index + 2));
            expect(case, &answer);
            let then = &case["expect"]["status"];
            assert_eq!(&site.status(), then, "{}", name(case));
            if then == "READY_TO_PAIR" {
                session = Some(qr);
            }
        }
        // The control: what is rebuilt in the same way and not broken is accepted.
        let control = self.cases().into_iter().find(|case| name(case) == good).unwrap();
        let qr = session.unwrap_or_else(|| site.pair());
        let answer = self.push(good, &key, &control, &qr, &from(1));
        assert_eq!(answer["status"], 200, "{answer}");
        assert_eq!(site.status(), "PROVISIONED");
    }
}

fn expect(case: &Value, answer: &Value) {
    let code = case["expect"]["error"].as_str().unwrap();
    assert_eq!(answer["code"], code, "{}: {answer}", name(case));
    assert_eq!(answer["status"], http_status(code), "{}: {answer}", name(case));
}

/// The table of `protocol.md`, "Validation order".
fn http_status(code: &str) -> u16 {
    match code {
        "EnvelopeInvalid" => 400,
        "SignatureInvalid" => 401,
        "DeviceIdMismatch" | "SessionMismatch" | "InvalidPairingCode" => 403,
        "PayloadExpired" => 410,
        "PayloadInvalid" | "InvalidCertificate" => 422,
        other => panic!("{other} is not a refusal of the steps 4 to 10"),
    }
}
