//! The worked example in `docs/central-station.md` shows the vectors' own bytes.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails as the test itself")]

use std::path::Path;

use base64ct::{Base64UrlUnpadded, Encoding};
use ring::digest::{SHA256, digest};
use serde_json::Value;

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

fn vectors(path: &str) -> Value {
    serde_json::from_str(&read(path)).unwrap()
}

/// Without white space: the page breaks long lines.
fn guide() -> String {
    read("../docs/central-station.md").split_whitespace().collect()
}

#[test]
fn it_shows_the_first_qr_vector() {
    let (guide, vector) = (guide(), &vectors("vectors/qr-v1.json")[0]);
    for (shown, member) in [
        ("masterkey", "masterKey"),
        ("devicekey", "deviceKey"),
        ("QRkey", "qrKey"),
        ("receiptkey", "receiptKey"),
        ("content", "contentHmacAnchor"),
    ] {
        let expected = format!("{shown}{}", vector[member].as_str().unwrap());
        assert!(guide.contains(&expected), "{member}");
    }
}

#[test]
fn it_shows_the_envelope_of_a_payload_vector() {
    let vectors = vectors("vectors/payload-v1.json");
    let cases = vectors["cases"].as_array().unwrap();
    let case = cases.iter().find(|case| case["name"] == "accept-hs256").unwrap();
    let body = case["body"].as_str().unwrap();
    let header = Base64UrlUnpadded::decode_vec(body.split('.').next().unwrap()).unwrap();
    let lengths: String = body.split('.').map(|part| part.len().to_string()).collect();
    let hash: String = digest(&SHA256, body.as_bytes())
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let expected = format!("{}{lengths}SHA-256ofthebody:{hash}", String::from_utf8(header).unwrap());
    assert!(guide().contains(&expected), "{expected}");
}
