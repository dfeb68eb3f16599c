//! Step 5 against messages that are right in everything but one thing.

use zmon_domain::error::ErrorCode;
use zmon_domain::secret::SecretText;
use zmon_payload_envelope::seal::{self, SigningKey};
use zmon_payload_envelope::{TrustAnchor, keys};
use zmon_ports::{Opened, PayloadEnvelope};

use crate::craft::{
    Agreement, PAYLOAD, b64, ed25519_jws, ed25519_key, envelope, hmac_jws, hmac_key, lax_spellings, secret,
    session_key, verify,
};

const HS256: &str = r#"{"alg":"HS256"}"#;
const EDDSA: &str = r#"{"alg":"EdDSA"}"#;

#[test]
fn it_takes_what_is_built_by_hand_to_the_letter() {
    let text = verify(&hmac_key(), &hmac_jws(HS256, secret(1).expose(), PAYLOAD)).unwrap();
    assert_eq!(text, PAYLOAD);
    let text = verify(&ed25519_key(), &ed25519_jws(EDDSA, secret(2).expose(), PAYLOAD)).unwrap();
    assert_eq!(text, PAYLOAD);
}

#[test]
fn it_writes_a_header_of_exactly_alg() {
    for (key, header) in [(hmac_key(), HS256), (ed25519_key(), EDDSA)] {
        let signed = seal::sign(&SecretText::new(PAYLOAD.into()), &key).unwrap();
        assert!(signed.expose().starts_with(&format!("{}.", b64(header))));
    }
}

#[test]
fn it_refuses_none_with_and_without_a_signature() {
    for alg in ["none", "None", "NONE", ""] {
        let header = format!(r#"{{"alg":"{alg}"}}"#);
        for key in [hmac_key(), ed25519_key()] {
            assert!(verify(&key, &format!("{}.{}.", b64(&header), b64(PAYLOAD))).is_err());
            assert!(verify(&key, &hmac_jws(&header, secret(1).expose(), PAYLOAD)).is_err());
            assert!(verify(&key, &ed25519_jws(&header, secret(2).expose(), PAYLOAD)).is_err());
        }
    }
    assert!(verify(&hmac_key(), &format!("{}.{}.", b64(HS256), b64(PAYLOAD))).is_err());
    assert!(verify(&ed25519_key(), &format!("{}.{}.", b64(EDDSA), b64(PAYLOAD))).is_err());
}

#[test]
fn it_refuses_the_public_key_as_hmac_key() {
    let TrustAnchor::Ed25519 { public_key } = ed25519_key().trust_anchor() else {
        panic!("an Ed25519 key has an Ed25519 trust anchor");
    };
    for key in [public_key.to_vec(), keys::print_public_key(&public_key).into_bytes()] {
        assert!(verify(&ed25519_key(), &hmac_jws(HS256, &key, PAYLOAD)).is_err());
        assert!(verify(&ed25519_key(), &hmac_jws(EDDSA, &key, PAYLOAD)).is_err());
    }
}

#[test]
fn it_refuses_an_algorithm_that_the_anchor_does_not_fix() {
    let by_hmac = |header| hmac_jws(header, secret(1).expose(), PAYLOAD);
    let by_ed25519 = |header| ed25519_jws(header, secret(2).expose(), PAYLOAD);
    for header in [
        HS256,
        EDDSA,
        r#"{"alg":"HS512"}"#,
        r#"{"alg":"hs256"}"#,
        r#"{"alg":"ES256"}"#,
    ] {
        assert_eq!(
            verify(&hmac_key(), &by_hmac(header)).is_ok(),
            header == HS256,
            "{header}"
        );
        assert_eq!(
            verify(&ed25519_key(), &by_ed25519(header)).is_ok(),
            header == EDDSA,
            "{header}"
        );
        assert!(verify(&hmac_key(), &by_ed25519(header)).is_err(), "{header}");
        assert!(verify(&ed25519_key(), &by_hmac(header)).is_err(), "{header}");
    }
}

#[test]
fn it_refuses_a_rightly_signed_header_of_anything_but_alg() {
    for header in [
        r#"{"alg":"HS256","crit":["b64"],"b64":false}"#,
        r#"{"alg":"HS256","crit":[]}"#,
        r#"{"alg":"HS256","b64":true}"#,
        r#"{"alg":"HS256","kid":"1"}"#,
        r#"{"alg":"HS256","typ":"JWT"}"#,
        r#"{"alg":"HS256","typ":null}"#,
        r#"{"alg":"HS256","typ":"zm-receipt"}"#,
        r#"{"alg":"HS256","jwk":{}}"#,
        r#"{"alg":"HS256","jku":"https://example.org"}"#,
        r#"{"alg":"HS256","x5c":[]}"#,
        r#"{"alg":"HS256","p2c":1}"#,
        r#"{"alg":"HS256","alg":"HS256"}"#,
        r#"{"alg":"HS256","\u0061lg":"HS256"}"#,
        r#"{"alg":"none","alg":"HS256"}"#,
        r#"{"alg":{"HS256":null}}"#,
        r#"{"alg":["HS256"]}"#,
        r#"["HS256"]"#,
        r#""HS256""#,
        "{}",
        "",
    ] {
        assert!(
            verify(&hmac_key(), &hmac_jws(header, secret(1).expose(), PAYLOAD)).is_err(),
            "{header}"
        );
    }
}

#[test]
fn it_refuses_an_unencoded_payload() {
    let header = r#"{"alg":"HS256","b64":false,"crit":["b64"]}"#;
    let text = format!("{}.{PAYLOAD}", b64(header));
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret(1).expose());
    let tag = ring::hmac::sign(&key, text.as_bytes());
    assert!(verify(&hmac_key(), &format!("{text}.{}", b64(tag))).is_err());
}

#[test]
fn it_refuses_keys_that_are_near_but_not_the_anchor() {
    let device_key = secret(1);
    let id = crate::craft::device_id();
    for key in [
        secret(3),
        keys::derive_receipt_key(&device_key, &id),
        keys::derive_qr_key(&device_key, &id),
        keys::derive_device_key(&device_key, &id),
    ] {
        assert!(verify(&hmac_key(), &hmac_jws(HS256, key.expose(), PAYLOAD)).is_err());
    }
    assert!(verify(&hmac_key(), &hmac_jws(HS256, b"", PAYLOAD)).is_err());
    assert!(verify(&ed25519_key(), &ed25519_jws(EDDSA, secret(3).expose(), PAYLOAD)).is_err());
}

#[test]
fn it_refuses_what_is_not_signed() {
    assert!(verify(&hmac_key(), PAYLOAD).is_err());
    assert!(verify(&hmac_key(), "").is_err());
    assert!(verify(&hmac_key(), &b64(PAYLOAD)).is_err());
}

#[test]
fn it_refuses_an_envelope_within_the_envelope() {
    let agreement = Agreement::fresh();
    let signed = hmac_jws(HS256, secret(1).expose(), PAYLOAD);
    assert!(verify(&hmac_key(), &agreement.seal(&agreement.header(), signed.as_bytes())).is_err());
}

#[test]
fn it_refuses_another_number_of_parts() {
    let signed = hmac_jws(HS256, secret(1).expose(), PAYLOAD);
    for other in [
        format!("{signed}."),
        format!(".{signed}"),
        format!("{signed}.AA"),
        signed.replacen('.', "..", 1),
        signed.rsplit_once('.').unwrap().0.into(),
        "..".into(),
    ] {
        assert!(verify(&hmac_key(), &other).is_err(), "{other}");
    }
}

#[test]
fn it_refuses_json_serialisations() {
    let signed = hmac_jws(HS256, secret(1).expose(), PAYLOAD);
    let [protected, payload, signature] = signed.split('.').collect::<Vec<_>>().try_into().unwrap();
    let flattened = format!(r#"{{"protected":"{protected}","payload":"{payload}","signature":"{signature}"}}"#);
    assert!(verify(&hmac_key(), &flattened).is_err());
}

#[test]
fn it_refuses_lax_base64url_in_every_part_even_where_it_is_signed() {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret(1).expose());
    let sign = |text: &str| b64(ring::hmac::sign(&key, text.as_bytes()));
    // Spaces make the lengths such that there are trailing bits.
    let (header, payload) = (
        b64(format!("{HS256} ")),
        b64(format!("{PAYLOAD}{}", " ".repeat(3 - PAYLOAD.len() % 3 + 1))),
    );
    let good = format!("{header}.{payload}");
    let signature = sign(&good);
    assert!(verify(&hmac_key(), &format!("{good}.{signature}")).is_ok());
    for lax in lax_spellings(&header) {
        let text = format!("{lax}.{payload}");
        assert!(
            verify(&hmac_key(), &format!("{text}.{}", sign(&text))).is_err(),
            "{lax}"
        );
    }
    for lax in lax_spellings(&payload) {
        let text = format!("{header}.{lax}");
        assert!(
            verify(&hmac_key(), &format!("{text}.{}", sign(&text))).is_err(),
            "{lax}"
        );
    }
    for lax in lax_spellings(&signature) {
        assert!(verify(&hmac_key(), &format!("{good}.{lax}")).is_err(), "{lax}");
    }
}

#[test]
fn it_refuses_a_truncated_or_lengthened_signature() {
    let signed = hmac_jws(HS256, secret(1).expose(), PAYLOAD);
    let (text, signature) = signed.rsplit_once('.').unwrap();
    assert!(verify(&hmac_key(), &format!("{text}.{}", &signature[..20])).is_err());
    assert!(verify(&hmac_key(), &format!("{text}.{signature}A")).is_err());
    assert!(verify(&hmac_key(), &format!("{text}.")).is_err());
}

#[test]
fn it_leaves_a_signed_payload_that_is_no_text_to_step_6() {
    let device = envelope(&hmac_key());
    let inner = hmac_jws(HS256, secret(1).expose(), b"\xff\xfe");
    let signed = device.verify(Opened(SecretText::new(inner))).unwrap();
    assert_eq!(device.members(&signed).unwrap_err().code(), ErrorCode::PayloadInvalid);
}

#[test]
fn it_takes_what_the_station_half_signs_and_seals() {
    for key in [hmac_key(), ed25519_key()] {
        let device = envelope(&key);
        let to = device.session_public_key(&session_key());
        let body = seal::sign_and_seal(&SecretText::new(PAYLOAD.into()), &key, &to).unwrap();
        let opened = device.open(body.as_bytes(), &session_key()).unwrap();
        assert_eq!(device.verify(opened).unwrap().expose(), PAYLOAD);
    }
    let other = SigningKey::Hmac { device_key: secret(9) };
    let signed = seal::sign(&SecretText::new(PAYLOAD.into()), &other).unwrap();
    assert!(verify(&hmac_key(), signed.expose()).is_err());
}
