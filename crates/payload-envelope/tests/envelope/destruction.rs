use openssl::pkey::PKey;
use zmon_domain::audit::AuditHead;
use zmon_domain::pairing::Sha256Digest;
use zmon_domain::result::{Destruction, DestructionClaims};
use zmon_domain::secret::SecretText;
use zmon_domain::time::Timestamp;
use zmon_payload_envelope::destruction::verify_destruction;
use zmon_payload_envelope::keys;
use zmon_payload_envelope::receipt::{ReceiptKey, verify_receipt};
use zmon_ports::PayloadEnvelope;

use crate::craft::{b64, device_id, ed25519_key, envelope, hmac_jws, hmac_key, secret};

const HEADER: &str = r#"{"alg":"HS256","typ":"zm-destruction"}"#;

fn claims() -> DestructionClaims {
    DestructionClaims {
        device_id: device_id(),
        destruction: Destruction {
            certificate_sha256: Sha256Digest::new([4; 32]),
            certificate_serial: "2a".into(),
            authorised_by: "administrator PIN, uid 1000".into(),
            retired: true,
        },
        destroyed_at: Timestamp::from_millis(1_795_435_200_123),
        audit: AuditHead {
            count: 17,
            head: Sha256Digest::new([5; 32]),
        },
    }
}

fn json() -> String {
    let [certificate, head] = [4, 5].map(|byte| b64([byte; 32]));
    format!(
        r#"{{"version":1,"deviceId":"ZM-1","certificateSha256":"{certificate}","certificateSerial":"2a","authorisedBy":"administrator PIN, uid 1000","retired":true,"destroyedAt":1795435200123,"auditCount":17,"auditHead":"{head}"}}"#
    )
}

fn receipt_key() -> ReceiptKey {
    ReceiptKey::hmac(&secret(1), &device_id())
}

/// Whether the station takes these claims under this header, rightly signed by the device.
fn takes(header: &str, claims: &str) -> bool {
    let key = keys::derive_receipt_key(&secret(1), &device_id());
    verify_destruction(&hmac_jws(header, key.expose(), claims), &receipt_key()).is_ok()
}

#[test]
fn it_signs_with_the_receipt_key_and_the_station_verifies() {
    let record = envelope(&hmac_key())
        .sign_destruction(&claims(), &SecretText::default())
        .unwrap();
    assert_eq!(verify_destruction(&record.0, &receipt_key()), Ok(claims()));
    assert_eq!(record.0.split('.').nth(1), Some(b64(json()).as_str()));
    assert!(verify_destruction(&record.0, &ReceiptKey::hmac(&secret(2), &device_id())).is_err());
    verify_receipt(&record.0, &receipt_key()).expect_err("it is no receipt");
}

#[test]
fn it_signs_with_the_client_key_that_is_destroyed_where_the_anchor_is_ed25519() {
    let key = PKey::generate_ed25519().unwrap();
    let pem = SecretText::new(String::from_utf8(key.private_key_to_pem_pkcs8().unwrap()).unwrap());
    let record = envelope(&ed25519_key()).sign_destruction(&claims(), &pem).unwrap();
    let verifier = ReceiptKey::client_public_key(&key.public_key_to_der().unwrap()).unwrap();
    assert_eq!(verify_destruction(&record.0, &verifier), Ok(claims()));
    assert!(
        envelope(&ed25519_key())
            .sign_destruction(&claims(), &SecretText::default())
            .is_err()
    );
}

#[test]
fn it_takes_nothing_but_a_record_of_destruction() {
    assert!(takes(HEADER, &json()), "the control");
    for header in [
        r#"{"alg":"HS256"}"#,
        r#"{"alg":"HS256","typ":"zm-receipt"}"#,
        r#"{"alg":"none","typ":"zm-destruction"}"#,
        r#"{"alg":"HS256","typ":"zm-destruction","kid":"1"}"#,
    ] {
        assert!(!takes(header, &json()), "{header}");
    }
    let other = [
        json().replace(r#""version":1"#, r#""version":2"#),
        json().replace(r#""deviceId":"ZM-1","#, ""),
        json().replace(r#""retired":true"#, r#""retired":"true""#),
        json().replace(r#""auditCount":17"#, r#""auditCount":17,"more":1"#),
        json().replace(&b64([4; 32]), "AAAA"),
        json().replace("ZM-1", "ZM 1"),
        "[]".into(),
    ];
    for claims in other {
        assert!(!takes(HEADER, &claims), "{claims}");
    }
    assert!(verify_destruction(&"A".repeat(5000), &receipt_key()).is_err());
}
