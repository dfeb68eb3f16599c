use base64ct::{Base64UrlUnpadded, Encoding};
use openssl::ec::{EcGroup, EcKey};
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::symm::Cipher;
use zmon_domain::audit::AuditHead;
use zmon_domain::identity::DeviceId;
use zmon_domain::pairing::Sha256Digest;
use zmon_domain::result::{Receipt, ReceiptClaims};
use zmon_domain::secret::SecretText;
use zmon_domain::time::Timestamp;
use zmon_payload_envelope::keys;
use zmon_payload_envelope::receipt::{ReceiptKey, verify_receipt};
use zmon_ports::{PayloadEnvelope, ReceiptFault};

use crate::craft::{b64, device_id, ed25519_key, envelope, hmac_jws, hmac_key, secret, verify};

const HEADER: &str = r#"{"alg":"HS256","typ":"zm-receipt"}"#;

fn claims() -> ReceiptClaims {
    ReceiptClaims {
        device_id: device_id(),
        body_sha256: Sha256Digest::new([3; 32]),
        certificate_sha256: Sha256Digest::new([4; 32]),
        completed_at: Timestamp::from_millis(1_795_435_200_123),
        audit: AuditHead {
            count: u64::MAX,
            head: Sha256Digest::new([5; 32]),
        },
    }
}

fn json() -> String {
    let [body, certificate, head] = [3, 4, 5].map(|byte| b64([byte; 32]));
    format!(
        r#"{{"version":1,"deviceId":"ZM-1","bodySha256":"{body}","certificateSha256":"{certificate}","completedAt":1795435200123,"auditCount":18446744073709551615,"auditHead":"{head}"}}"#
    )
}

fn signed_by_client(pem: Vec<u8>) -> Result<Receipt, ReceiptFault> {
    let pem = SecretText::new(String::from_utf8(pem).unwrap());
    envelope(&ed25519_key()).sign_receipt(&claims(), &pem)
}

fn ec(curve: Nid) -> PKey<Private> {
    PKey::from_ec_key(EcKey::generate(&EcGroup::from_curve_name(curve).unwrap()).unwrap()).unwrap()
}

fn rsa(bits: u32) -> PKey<Private> {
    PKey::from_rsa(Rsa::generate(bits).unwrap()).unwrap()
}

fn hmac_receipt_key() -> ReceiptKey {
    ReceiptKey::hmac(&secret(1), &device_id())
}

/// Whether the station takes these claims, rightly signed by the device.
fn takes(claims: &str) -> bool {
    let key = keys::derive_receipt_key(&secret(1), &device_id());
    verify_receipt(&hmac_jws(HEADER, key.expose(), claims), &hmac_receipt_key()).is_ok()
}

#[test]
fn it_signs_with_the_receipt_key_and_the_station_verifies() {
    let receipt = envelope(&hmac_key())
        .sign_receipt(&claims(), &SecretText::default())
        .unwrap();
    assert_eq!(verify_receipt(&receipt.0, &hmac_receipt_key()), Ok(claims()));
    let parts: Vec<&str> = receipt.0.split('.').collect();
    let mut header: Vec<u8> = Base64UrlUnpadded::decode_vec(parts[0]).unwrap();
    header.sort_unstable();
    let mut expected = HEADER.as_bytes().to_vec();
    expected.sort_unstable();
    assert_eq!(header, expected);
    assert_eq!(parts[1], b64(json()));
}

#[test]
fn it_signs_with_every_kind_of_client_key_and_the_station_verifies() {
    let (p256, p384, rsa) = (ec(Nid::X9_62_PRIME256V1), ec(Nid::SECP384R1), rsa(2048));
    let ed25519 = PKey::generate_ed25519().unwrap();
    for (alg, key, pem) in [
        ("ES256", &p256, p256.private_key_to_pem_pkcs8()),
        ("ES256", &p256, p256.ec_key().unwrap().private_key_to_pem()),
        ("ES384", &p384, p384.private_key_to_pem_pkcs8()),
        ("ES384", &p384, p384.ec_key().unwrap().private_key_to_pem()),
        ("EdDSA", &ed25519, ed25519.private_key_to_pem_pkcs8()),
        ("PS256", &rsa, rsa.private_key_to_pem_pkcs8()),
        ("PS256", &rsa, rsa.rsa().unwrap().private_key_to_pem()),
    ] {
        let receipt = signed_by_client(pem.unwrap()).unwrap();
        let verifier = ReceiptKey::client_public_key(&key.public_key_to_der().unwrap()).unwrap();
        assert_eq!(verify_receipt(&receipt.0, &verifier), Ok(claims()), "{alg}");
        let (header, _) = receipt.0.split_once('.').unwrap();
        let header = String::from_utf8(Base64UrlUnpadded::decode_vec(header).unwrap()).unwrap();
        assert!(header.contains(&format!(r#""alg":"{alg}""#)), "{header}");

        assert!(verify_receipt(&receipt.0, &hmac_receipt_key()).is_err(), "{alg}");
        let other = PKey::generate_ed25519().unwrap().public_key_to_der().unwrap();
        let other = ReceiptKey::client_public_key(&other).unwrap();
        assert!(verify_receipt(&receipt.0, &other).is_err(), "{alg}");
    }
}

#[test]
fn it_does_not_sign_with_a_key_that_the_protocol_does_not_have() {
    for key in [
        ec(Nid::SECP521R1),
        ec(Nid::SECP256K1),
        rsa(1024),
        PKey::generate_x25519().unwrap(),
        PKey::generate_ed448().unwrap(),
    ] {
        assert!(signed_by_client(key.private_key_to_pem_pkcs8().unwrap()).is_err());
        assert!(ReceiptKey::client_public_key(&key.public_key_to_der().unwrap()).is_err());
    }
    for pem in [
        &b""[..],
        b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    ] {
        assert!(signed_by_client(pem.into()).is_err());
    }
}

#[test]
fn it_refuses_an_encrypted_client_key_without_asking_anyone_for_the_passphrase() {
    let pem = ec(Nid::X9_62_PRIME256V1).private_key_to_pem_pkcs8_passphrase(Cipher::aes_256_cbc(), b"secret");
    assert!(signed_by_client(pem.unwrap()).is_err());
}

#[test]
fn it_takes_a_receipt_built_by_hand_to_the_letter() {
    assert!(takes(&json()));
}

#[test]
fn it_refuses_claims_other_than_exactly_those_of_the_protocol() {
    let json = json();
    let short = b64([3; 31]);
    for (good, bad) in [
        (r#""version":1,"#, ""),
        (r#""version":1,"#, r#""version":2,"#),
        (r#""version":1,"#, r#""version":"1","#),
        (r#""version":1,"#, r#""version":1.0,"#),
        (r#""version":1,"#, r#""version":1,"version":1,"#),
        (r#""version":1,"#, r#""version":1,"more":1,"#),
        (r#""ZM-1""#, r#""ZM 1""#),
        (r#""ZM-1""#, "null"),
        (r#""ZM-1""#, r#""""#),
        ("1795435200123", "-1"),
        ("1795435200123", "1795435200123.0"),
        ("18446744073709551615", "18446744073709551616"),
        (&b64([3; 32]), &short),
        (&b64([3; 32]), &format!("{}=", b64([3; 32]))),
        (&b64([5; 32]), ""),
    ] {
        assert!(json.contains(good));
        assert!(!takes(&json.replace(good, bad)), "{bad}");
    }
    assert!(!takes(&format!("[{json}]")));
    assert!(!takes(&format!("{json}{json}")));
    let values: Vec<&str> = json.split(&[':', ','][..]).skip(1).step_by(2).collect();
    assert!(!takes(&format!("[{}]", values.join(",").trim_end_matches('}'))));
    assert!(!takes(""));
}

#[test]
fn it_refuses_another_header_even_where_it_is_signed() {
    let key = keys::derive_receipt_key(&secret(1), &device_id());
    for header in [
        r#"{"alg":"HS256"}"#,
        r#"{"alg":"HS256","typ":"JWT"}"#,
        r#"{"alg":"HS256","typ":"ZM-RECEIPT"}"#,
        r#"{"alg":"HS256","typ":"zm-receipt","kid":"1"}"#,
        r#"{"alg":"HS256","typ":"zm-receipt","crit":[]}"#,
        r#"{"alg":"HS256","typ":"zm-receipt","typ":"zm-receipt"}"#,
        r#"{"alg":"none","typ":"zm-receipt"}"#,
        r#"{"alg":"ES256","typ":"zm-receipt"}"#,
        r#"["HS256","zm-receipt"]"#,
    ] {
        assert!(
            verify_receipt(&hmac_jws(header, key.expose(), json()), &hmac_receipt_key()).is_err(),
            "{header}"
        );
    }
}

#[test]
fn it_refuses_receipts_of_other_keys_and_devices() {
    let receipt = envelope(&hmac_key())
        .sign_receipt(&claims(), &SecretText::default())
        .unwrap()
        .0;
    let other_device = DeviceId::parse("ZM-2").unwrap();
    assert!(verify_receipt(&receipt, &ReceiptKey::hmac(&secret(1), &other_device)).is_err());
    assert!(verify_receipt(&receipt, &ReceiptKey::hmac(&secret(3), &device_id())).is_err());
    for key in [secret(1), keys::derive_qr_key(&secret(1), &device_id())] {
        assert!(verify_receipt(&hmac_jws(HEADER, key.expose(), json()), &hmac_receipt_key()).is_err());
    }
    assert!(verify(&hmac_key(), &receipt).is_err(), "a receipt is no payload");
}

#[test]
fn it_refuses_a_changed_receipt_and_an_overlong_one() {
    let receipt = envelope(&hmac_key())
        .sign_receipt(&claims(), &SecretText::default())
        .unwrap()
        .0;
    for index in 0..receipt.len() {
        let mut changed = receipt.clone().into_bytes();
        changed[index] = if changed[index] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        assert!(verify_receipt(&changed, &hmac_receipt_key()).is_err(), "byte {index}");
    }
    assert!(!takes(&format!("{}{}", json(), " ".repeat(4096))));
    assert!(takes(&format!("{}{}", json(), " ".repeat(1024))));
}
