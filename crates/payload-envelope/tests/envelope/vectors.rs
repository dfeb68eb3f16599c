use std::fs;

use serde_json::Value;
use zmon_domain::error::ErrorCode;
use zmon_domain::identity::{DeviceId, SerialNumber};
use zmon_domain::pairing::{PairingCode, SessionPublicKey, TlsPin};
use zmon_domain::qr::{DEFAULT_PORT, QrFields};
use zmon_domain::time::Timestamp;
use zmon_payload_envelope::{JoseEnvelope, TrustAnchor, keys};
use zmon_ports::PayloadEnvelope;

fn vectors(name: &str) -> Value {
    let path = format!("{}/../../tests/vectors/{name}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap()
}

#[test]
fn it_derives_the_keys_of_every_qr_vector() {
    let vectors = vectors("qr-v1.json");
    let vectors = vectors.as_array().unwrap();
    assert_eq!(vectors.len(), 3);
    for vector in vectors {
        let content: Value = serde_json::from_str(text(vector, "contentHmacAnchor")).unwrap();
        let id = DeviceId::parse(text(&content, "deviceId")).unwrap();
        let device_key = keys::derive_device_key(&keys::parse_key(text(vector, "masterKey")).unwrap(), &id);
        let qr_key = keys::derive_qr_key(&device_key, &id);
        let receipt_key = keys::derive_receipt_key(&device_key, &id);
        assert_eq!(keys::print_key(&device_key).expose(), text(vector, "deviceKey"));
        assert_eq!(keys::print_key(&qr_key).expose(), text(vector, "qrKey"));
        assert_eq!(keys::print_key(&receipt_key).expose(), text(vector, "receiptKey"));
    }
}

#[test]
fn it_writes_the_content_of_every_qr_vector_with_and_without_mac() {
    for vector in vectors("qr-v1.json").as_array().unwrap() {
        let content: Value = serde_json::from_str(text(vector, "contentHmacAnchor")).unwrap();
        let fields = QrFields {
            device_id: DeviceId::parse(text(&content, "deviceId")).unwrap(),
            serial_number: SerialNumber::parse(text(&content, "serialNumber")).unwrap(),
            ip_address: text(&content, "ipAddress").parse().unwrap(),
            port: content["port"]
                .as_u64()
                .map_or(DEFAULT_PORT, |port| port.try_into().unwrap()),
            pairing_code: PairingCode::parse(text(&content, "pairingCode")).unwrap(),
            timestamp: Timestamp::from_millis(content["timestamp"].as_u64().unwrap()),
            key: SessionPublicKey::from_base64url(text(&content, "key")).unwrap(),
            pin: TlsPin::from_base64url(text(&content, "pin")).unwrap(),
        };
        let device_key = keys::parse_key(text(vector, "deviceKey")).unwrap();
        let device = JoseEnvelope::new(TrustAnchor::Hmac { device_key }, &fields.device_id);
        let mac = device.qr_mac(&fields.to_authenticated_text()).unwrap();
        assert_eq!(fields.to_content_with_mac(&mac), text(vector, "contentHmacAnchor"));

        let device = JoseEnvelope::new(TrustAnchor::Ed25519 { public_key: [1; 32] }, &fields.device_id);
        assert_eq!(device.qr_mac(&fields.to_authenticated_text()), None);
        assert_eq!(fields.to_content(), text(vector, "contentEd25519Anchor"));
    }
}

#[test]
fn it_recognises_the_mac_of_every_qr_vector_and_no_changed_one() {
    for vector in vectors("qr-v1.json").as_array().unwrap() {
        let key = keys::parse_key(text(vector, "qrKey")).unwrap();
        let content = text(vector, "contentHmacAnchor");
        assert_eq!(keys::verify_qr_content(&key, content), Ok(()));
        for index in 0..content.len() {
            let mut changed = content.as_bytes().to_vec();
            changed[index] ^= 1;
            let changed = String::from_utf8(changed).unwrap();
            assert!(keys::verify_qr_content(&key, &changed).is_err(), "byte {index}");
        }
        assert!(keys::verify_qr_content(&key, text(vector, "contentEd25519Anchor")).is_err());
        let other = keys::parse_key(text(vector, "deviceKey")).unwrap();
        assert!(keys::verify_qr_content(&other, content).is_err());
    }
}

#[test]
fn it_derives_the_device_key_and_the_session_public_key_of_the_payload_vectors() {
    let vectors = vectors("payload-v1.json");
    let (device, vector_keys) = (&vectors["device"], &vectors["keys"]);
    let id = DeviceId::parse(text(device, "deviceId")).unwrap();
    let master = keys::parse_key(text(vector_keys, "provisioningMasterKey")).unwrap();
    assert_eq!(
        keys::print_key(&keys::derive_device_key(&master, &id)).expose(),
        text(vector_keys, "deviceVerificationKey")
    );
    let session = keys::parse_key(text(device, "sessionPrivateKey")).unwrap();
    assert_eq!(
        keys::session_public_key(&session).to_base64url(),
        text(device, "sessionPublicKey")
    );
}

#[test]
fn it_gives_every_payload_vector_its_outcome_at_steps_4_and_5() {
    let vectors = vectors("payload-v1.json");
    let id = DeviceId::parse(text(&vectors["device"], "deviceId")).unwrap();
    let session = keys::parse_key(text(&vectors["device"], "sessionPrivateKey")).unwrap();
    let (mut refused_at_4, mut refused_at_5, mut read, mut not_an_object) = (0, 0, 0, 0);
    for case in vectors["cases"].as_array().unwrap() {
        let name = text(case, "name");
        let anchor = match text(&case["anchor"], "alg") {
            "HS256" => TrustAnchor::Hmac {
                device_key: keys::parse_key(text(&case["anchor"], "key")).unwrap(),
            },
            "EdDSA" => TrustAnchor::Ed25519 {
                public_key: keys::parse_public_key(text(&case["anchor"], "publicKey")).unwrap(),
            },
            other => panic!("{name}: {other}"),
        };
        let envelope = JoseEnvelope::new(anchor, &id);
        let expected = case["expect"]["error"].as_str();

        let opened = envelope.open(text(case, "body").as_bytes(), &session);
        if expected == Some("EnvelopeInvalid") {
            assert!(opened.is_err(), "{name} must fail at step 4");
            refused_at_4 += 1;
            continue;
        }
        let opened = opened.unwrap_or_else(|fault| panic!("{name} must pass step 4: {fault}"));
        let signed = envelope.verify(opened);
        if expected == Some("SignatureInvalid") {
            assert!(signed.is_err(), "{name} must fail at step 5");
            refused_at_5 += 1;
            continue;
        }
        let signed = signed.unwrap_or_else(|fault| panic!("{name} must pass step 5: {fault}"));
        match envelope.members(&signed) {
            Ok(members) => {
                assert!(members.0.len() >= 12, "{name}");
                read += 1;
            }
            Err(error) => {
                assert_eq!(error.code(), ErrorCode::PayloadInvalid, "{name}");
                assert_eq!(expected, Some("PayloadInvalid"), "{name}");
                not_an_object += 1;
            }
        }
    }
    assert_eq!((refused_at_4, refused_at_5, read, not_an_object), (13, 9, 64, 1));
}
