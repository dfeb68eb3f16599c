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
    let python = match Python::find() {
        Ok(python) => python,
        Err(reason) => return skip("refusals over HTTPS", &reason),
    };
    let mut rebuilder = Lines::start(python.script("tests/strangers/rebuild.py"));
    let vectors: Value = serde_json::from_str(&std::fs::read_to_string(own_file()).unwrap()).unwrap();
    let synchronised = rebuilder.ask(&json!({}))["synchronised"].as_bool().unwrap();
    let cases = vectors["cases"].as_array().unwrap();
    let name = |case: &Value| case["name"].as_str().unwrap().to_owned();

    let (mut left_out, refusals): (Vec<_>, Vec<_>) = cases
        .iter()
        .filter(|case| name(case).starts_with("reject-"))
        .partition(|case| case["synchronised"] == false || case["floorMs"] != 0);
    left_out.sort_by_key(|case| name(case));
    assert_eq!(left_out.iter().map(|case| name(case)).collect::<Vec<_>>(), OTHER_CLOCK);
    let (unsuitable, refusals): (Vec<_>, Vec<_>) = refusals
        .into_iter()
        .partition(|case| !synchronised && SYNCHRONISED_CLOCK.contains(&name(case).as_str()));
    assert_eq!(
        unsuitable.len(),
        if synchronised { 0 } else { SYNCHRONISED_CLOCK.len() }
    );
    for case in unsuitable {
        skip(
            &format!("{} over HTTPS", name(case)),
            "the kernel does not call its clock synchronised",
        );
    }

    for (anchor, algorithm, good) in [
        (Anchor::Hmac, "HS256", "accept-hs256"),
        (Anchor::Ed25519, "EdDSA", "accept-eddsa"),
    ] {
        let of_anchor = |case: &&Value| case["anchor"]["alg"] == algorithm;
        let mine: Vec<_> = refusals.iter().copied().filter(of_anchor).collect();
        assert!(!mine.is_empty());
        let good = cases.iter().find(|case| name(case) == good).unwrap();
        refuses_each(&mut rebuilder, &vectors, anchor, good, &mine);
    }
}

fn refuses_each(rebuilder: &mut Lines, vectors: &Value, anchor: Anchor, good: &Value, refusals: &[&Value]) {
    let (name, key) = match anchor {
        Anchor::Hmac => (
            "master",
            vectors["keys"]["provisioningMasterKey"].as_str().unwrap().into(),
        ),
        Anchor::Ed25519 => ("seed", key_text(&SEED)),
    };
    let site = Site::new(anchor, &key);
    let mut push = |case: &Value, qr: &str, source: usize| {
        rebuilder.ask(&json!({
            "case": case,
            "good": good,
            "device": vectors["device"],
            "keys": vectors["keys"],
            "qr": qr,
            name: key,
            "source": format!("127.0.0.{source}"),
        }))
    };
    let mut session = None;
    for (index, case) in refusals.iter().enumerate() {
        let qr = session.take().unwrap_or_else(|| site.pair());
        // Envelopes that do not open make an address wait: each comes from another.
        let answer = push(case, &qr, index + 2);
        let expected = &case["expect"];
        let code = expected["error"].as_str().unwrap();
        assert_eq!(answer["code"], code, "{}: {answer}", case["name"]);
        assert_eq!(answer["status"], http_status(code), "{}: {answer}", case["name"]);
        assert_eq!(site.status(), expected["status"].as_str().unwrap(), "{}", case["name"]);
        if expected["status"] == "READY_TO_PAIR" {
            session = Some(qr);
        }
    }
    // The control: what is rebuilt in the same way and not broken is accepted.
    let answer = push(good, &session.unwrap_or_else(|| site.pair()), 1);
    assert_eq!(answer["status"], 200, "{answer}");
    assert_eq!(site.status(), "PROVISIONED");
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
