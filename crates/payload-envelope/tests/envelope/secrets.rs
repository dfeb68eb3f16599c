use zmon_domain::secret::SecretText;
use zmon_payload_envelope::receipt::ReceiptKey;
use zmon_payload_envelope::seal;
use zmon_payload_envelope::{Refusal, keys};
use zmon_ports::PayloadEnvelope;

use crate::craft::{PAYLOAD, device_id, ed25519_key, envelope, hmac_key, opens, secret, session_key};

#[test]
fn it_prints_no_key_and_no_text_in_debug() {
    let key = secret(1);
    let device = envelope(&hmac_key());
    let to = device.session_public_key(&session_key());
    let body = seal::sign_and_seal(&SecretText::new(PAYLOAD.into()), &hmac_key(), &to).unwrap();
    let opened = device.open(body.as_bytes(), &session_key()).unwrap();
    let printed_opened = format!("{opened:?}");
    let signed = device.verify(opened).unwrap();
    let printed = [
        format!("{:?}", hmac_key()),
        format!("{:?}", hmac_key().trust_anchor()),
        format!("{:?}", ed25519_key()),
        format!("{:?}", ed25519_key().trust_anchor()),
        format!("{device:?}"),
        format!("{:?}", envelope(&ed25519_key())),
        format!("{:?}", ReceiptKey::hmac(&key, &device_id())),
        format!("{:?}", keys::print_key(&key)),
        format!("{key:?}"),
        printed_opened,
        format!("{signed:?}"),
    ];
    assert_eq!(
        printed,
        [
            "SigningKey::Hmac",
            "TrustAnchor::Hmac",
            "SigningKey::Ed25519",
            "TrustAnchor::Ed25519",
            "JoseEnvelope { .. }",
            "JoseEnvelope { .. }",
            "ReceiptKey",
            "[secret]",
            "[secret]",
            "Opened([secret])",
            "SignedText([secret])",
        ]
    );
    let members = device.members(&signed).unwrap();
    assert!(!format!("{members:?}").contains("ZM-1"));
}

#[test]
fn it_echoes_nothing_that_it_refuses() {
    let canary = "CANARY7Q";
    let device = envelope(&hmac_key());
    let header = crate::craft::b64(format!(r#"{{"alg":"{canary}","enc":"A256GCM"}}"#));
    for body in [
        canary.into(),
        format!("{canary}.{canary}.{canary}.{canary}.{canary}"),
        format!("{header}...."),
    ] {
        assert!(!opens(&body));
        let fault = device.open(body.as_bytes(), &session_key()).unwrap_err();
        assert!(!format!("{fault} {fault:?}").contains(canary));
    }
    let refusal: Refusal = keys::parse_key(canary).unwrap_err();
    assert!(!format!("{refusal} {refusal:?}").contains(canary));
}

#[test]
fn it_reads_and_prints_keys_strictly() {
    let text = keys::print_key(&secret(0xfb));
    assert_eq!(text.expose().len(), 43);
    assert!(keys::parse_key(text.expose()).unwrap() == secret(0xfb));
    assert_eq!(keys::parse_public_key(&keys::print_public_key(&[6; 32])), Ok([6; 32]));
    for lax in crate::craft::lax_spellings(text.expose()) {
        assert!(keys::parse_key(&lax).is_err(), "{lax}");
    }
    assert!(keys::parse_key("").is_err());
    assert!(keys::parse_key(&text.expose()[..42]).is_err());
}
