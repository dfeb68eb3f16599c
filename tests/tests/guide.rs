//! The worked example in `docs/central-station.md` shows the vectors' own bytes.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails as the test itself")]

use std::path::Path;

use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::Value;
use zmon_domain::confirmation::ComparisonValue;
use zmon_domain::identity::DeviceId;
use zmon_domain::pairing::SessionPrivateKey;
use zmon_payload_envelope::{JoseEnvelope, TrustAnchor, sha256};
use zmon_ports::PayloadEnvelope;

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
fn it_shows_a_payload_vector_from_the_inside_out() {
    let vectors = vectors("vectors/payload-v1.json");
    let cases = vectors["cases"].as_array().unwrap();
    let case = cases.iter().find(|case| case["name"] == "accept-hs256").unwrap();
    let body = case["body"].as_str().unwrap();
    let text = |member: &Value| member.as_str().unwrap().to_owned();
    let [public, private] = ["sessionPublicKey", "sessionPrivateKey"].map(|name| text(&vectors["device"][name]));

    let device_id = DeviceId::parse(vectors["device"]["deviceId"].as_str().unwrap()).unwrap();
    let anchor = TrustAnchor::Ed25519 { public_key: [0; 32] };
    let mut key: [u8; 32] = decoded(&private).try_into().unwrap();
    let opened = JoseEnvelope::new(anchor, &device_id)
        .open(body.as_bytes(), &SessionPrivateKey::take(&mut key))
        .unwrap();
    let [signed_header, payload, signature]: [&str; 3] =
        opened.0.expose().split('.').collect::<Vec<_>>().try_into().unwrap();
    let length = payload.len();
    let mut payload = String::from_utf8(decoded(payload)).unwrap();
    while let Some(start) = payload.find("-----BEGIN") {
        let end = start + payload[start..].find('"').unwrap();
        payload.replace_range(start..end, "PEM");
    }
    let [signed_header, header] =
        [signed_header, body.split('.').next().unwrap()].map(|header| String::from_utf8(decoded(header)).unwrap());
    let lengths: Vec<_> = body.split('.').map(|part| part.len().to_string()).collect();
    let hash = sha256(body.as_bytes());
    let expected = format!(
        "device key {} session key {public}, its private half {private} payload {payload} \
         JWS header {signed_header}, payload of {length}, signature {signature} \
         JWE header {header} five parts of {} SHA-256 of the body: {}",
        text(&vectors["keys"]["deviceVerificationKey"]),
        lengths.join(" "),
        hash.to_hex(),
    );
    let expected: String = expected.split_whitespace().collect();
    assert!(guide().contains(&expected), "{expected}");

    let comparison = format!("Thebodyofthevectorabovegives{}.", ComparisonValue::of(&hash));
    assert!(guide().contains(&comparison), "{comparison}");
}

fn decoded(text: &str) -> Vec<u8> {
    Base64UrlUnpadded::decode_vec(text).unwrap()
}
