//! Every refusal of the vectors, rebuilt for live sessions of the device's own binary and pushed over HTTPS.

use serde_json::{Value, json};
use zmon_testkit::skip::skip;
use zmon_tests::vectors::own_file;

use crate::kit::{Lines, Python};
use crate::site::{Anchor, Site, key_text};

/// They need a clock that says 1970, or a time floor that no payload has left behind: they run in-process alone.
const OTHER_CLOCK: [&str; 3] = [
    "reject-expired-cert-1970",
    "reject-far-future-unsynchronised",
    "reject-floor-past-expiry",
];
/// They are refused only while the kernel calls its clock synchronised.
const SYNCHRONISED_CLOCK: [&str; 3] = ["reject-early-cert", "reject-future-payload", "reject-six-minutes-ahead"];
/// Not the vectors' Ed25519 key, the private half of which nobody has.
const SEED: [u8; 32] = [31; 32];

#[test]
fn it_refuses_over_https_what_the_vectors_refuse() {
    let Some(mut bench) = Bench::new("refusals over HTTPS") else {
        return;
    };
    let (mut left_out, refusals): (Vec<_>, Vec<_>) = bench
        .cases()
        .into_iter()
        .filter(|case| name(case).starts_with("reject-"))
        .partition(|case| case["synchronised"] == false || case["floorMs"] != 0);
    left_out.sort_by(|a, b| name(a).cmp(name(b)));
    assert_eq!(left_out.iter().map(name).collect::<Vec<_>>(), OTHER_CLOCK);
    let (elsewhere, refusals): (Vec<_>, Vec<_>) = refusals
        .into_iter()
        .partition(|case| SYNCHRONISED_CLOCK.contains(&name(case)));
    assert_eq!(elsewhere.len(), SYNCHRONISED_CLOCK.len());

    let (derived, signed): (Vec<_>, Vec<_>) = refusals.into_iter().partition(|case| case["anchor"]["alg"] == "HS256");
    assert!(signed.iter().all(|case| case["anchor"]["alg"] == "EdDSA"));
    bench.refuses_each(Anchor::Hmac, &derived);
    bench.refuses_each(Anchor::Ed25519, &signed);
}

#[test]
fn it_refuses_over_https_what_only_a_synchronised_clock_refuses() {
    let title = "refusals over HTTPS by a synchronised clock";
    let Some(mut bench) = Bench::new(title) else {
        return;
    };
    if bench.rebuilder.ask(&json!({}))["synchronised"] != true {
        return skip(title, "the kernel does not call its clock synchronised");
    }
    let refusals: Vec<_> = bench
        .cases()
        .into_iter()
        .filter(|case| SYNCHRONISED_CLOCK.contains(&name(case)))
        .collect();
    bench.refuses_each(Anchor::Hmac, &refusals);
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
    fn push(&mut self, site: &Live, case: &Value, qr: &str, source: usize) -> Value {
        let good = self.cases().into_iter().find(|case| name(case) == site.good).unwrap();
        self.rebuilder.ask(&json!({
            "case": case,
            "good": good,
            "device": self.vectors["device"],
            "keys": self.vectors["keys"],
            "qr": qr,
            site.key.0: site.key.1,
            "source": format!("127.0.0.{source}"),
        }))
    }

    fn refuses_each(&mut self, anchor: Anchor, refusals: &[Value]) {
        let (good, key) = match anchor {
            Anchor::Hmac => {
                let master = self.vectors["keys"]["provisioningMasterKey"].as_str().unwrap();
                ("accept-hs256", ("master", master.to_owned()))
            }
            Anchor::Ed25519 => ("accept-eddsa", ("seed", key_text(&SEED))),
        };
        let live = Live {
            site: Site::new(anchor, &key.1),
            good,
            key,
        };
        let mut session = None;
        for (index, case) in refusals.iter().enumerate() {
            let qr = session.take().unwrap_or_else(|| live.site.pair());
            // Envelopes that do not open make an address wait: each comes from another.
            let answer = self.push(&live, case, &qr, index + 2);
            let expected = &case["expect"];
            let code = expected["error"].as_str().unwrap();
            assert_eq!(answer["code"], code, "{}: {answer}", name(case));
            assert_eq!(answer["status"], http_status(code), "{}: {answer}", name(case));
            assert_eq!(live.site.status(), expected["status"], "{}", name(case));
            if expected["status"] == "READY_TO_PAIR" {
                session = Some(qr);
            }
        }
        // The control: what is rebuilt in the same way and not broken is accepted.
        let control = self.cases().into_iter().find(|case| name(case) == good).unwrap();
        let qr = session.unwrap_or_else(|| live.site.pair());
        let answer = self.push(&live, &control, &qr, 1);
        assert_eq!(answer["status"], 200, "{answer}");
        assert_eq!(live.site.status(), "PROVISIONED");
    }
}

/// A device and the key of its anchor, by the name that `rebuild.py` knows.
struct Live {
    site: Site,
    good: &'static str,
    key: (&'static str, String),
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
