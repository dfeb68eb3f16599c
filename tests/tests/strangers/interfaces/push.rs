//! The push interface: the device's own program, and monitors that it simulates.

use serde_json::{Value, json};
use zmon_domain::error::ErrorCode;

use super::{CONFIGURE, Judge, MASTER, good_body, push, sealed};
use crate::simulator::Simulator;
use crate::site::{Anchor, Site, key_text};

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
    let mut often = status();
    often.2["until"] = 429.into();
    judge.refuses(from(often, 2), 429, "RateLimited");

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
        let (method, path, more) = push(&sealed(&qr, &MASTER, &device_id));
        let answer = judge.ask(method, path, &more);
        assert_eq!(answer["code"], code.as_str(), "{answer}");
        // A refusal that is brought about like this comes without its header: the document wants one.
        let never = [
            ErrorCode::NotFound,
            ErrorCode::MethodNotAllowed,
            ErrorCode::AdminRequired,
            ErrorCode::AdminLocked,
            ErrorCode::TrustAnchorKept,
            ErrorCode::DeviceRetired,
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
