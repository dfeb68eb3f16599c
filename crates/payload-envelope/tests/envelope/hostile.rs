//! What reads a stranger's bytes, with good inputs changed here and there. Where something is accepted all the same, it says
//! nothing else than the original did.

use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::Value;
use zmon_domain::error::ErrorCode;
use zmon_domain::payload::{MemberValue, SignedText};
use zmon_domain::secret::SecretText;
use zmon_payload_envelope::keys;
use zmon_payload_envelope::receipt::{ReceiptKey, verify_receipt};
use zmon_payload_envelope::seal;
use zmon_ports::PayloadEnvelope;
use zmon_testkit::mutation::{any_bytes, cases, changed, changed_text};

use crate::craft::{Agreement, PAYLOAD, device_id, envelope, hmac_jws, hmac_key, opens, secret, session_key, verify};

const MEMBERS: &str =
    r#"{"version":1,"deviceId":"ZM-1","pairingCode":"CANARY","syncInterval":-10,"a":[{"b":null}],"c":1.5e3}"#;
const CLAIMS: &str = concat!(
    r#"{"version":1,"deviceId":"ZM-1","bodySha256":"AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM","#,
    r#""certificateSha256":"BAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQ","completedAt":1795435200123,"#,
    r#""auditCount":7,"auditHead":"BQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQU"}"#
);

static BODY: LazyLock<String> = LazyLock::new(|| {
    let to = envelope(&hmac_key()).session_public_key(&session_key());
    seal::sign_and_seal(&SecretText::new(PAYLOAD.into()), &hmac_key(), &to).unwrap()
});
const FIXED: [u8; 32] = [3; 32];
static HEADER: LazyLock<String> = LazyLock::new(|| Agreement::low_order(&FIXED).header());
static QR: LazyLock<String> = LazyLock::new(|| {
    let text = r#"{"v":1,"deviceId":"ZM-1","pairingCode":"X7Y9Z2""#;
    let mac = keys::qr_mac(&keys::derive_qr_key(&secret(1), &device_id()), text);
    format!(r#"{text},"mac":"{}"}}"#, crate::craft::b64(mac))
});

fn json(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok()
}

/// Signed as the device signs, whatever the claims are.
fn receipt(header: &str, claims: &str) -> String {
    hmac_jws(
        header,
        keys::derive_receipt_key(&secret(1), &device_id()).expose(),
        claims,
    )
}

const RECEIPT_HEADER: &str = r#"{"alg":"HS256","typ":"zm-receipt"}"#;

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn it_opens_no_changed_envelope(body in changed(BODY.as_bytes())) {
        prop_assert!(envelope(&hmac_key()).open(&body, &session_key()).is_err());
    }

    /// The sender knows the session's key and may write what they like into the header that they authenticate.
    #[test]
    fn it_opens_an_envelope_under_no_other_header(
        header in prop_oneof![changed_text(&HEADER), changed_text(&HEADER.replace("\"enc\"", "\"cty\":\"JOSE\",\"enc\""))],
    ) {
        let agreement = Agreement::fresh();
        // The changes fall upon a header with a fixed ephemeral key; the right one is put in where it is still there.
        let header = header.replace(&Agreement::low_order(&FIXED).x, &agreement.x);
        if opens(&agreement.seal(&header, b"anything")) {
            let mut read = json(&header).unwrap();
            let cty = read.as_object_mut().unwrap().remove("cty");
            prop_assert!(cty.is_none_or(|cty| cty == "JOSE"));
            prop_assert_eq!(Some(read), json(&agreement.header()), "{}", header);
        }
    }

    #[test]
    fn it_verifies_no_text_under_another_header(header in changed_text(r#"{"alg":"HS256"}"#)) {
        if verify(&hmac_key(), &hmac_jws(&header, secret(1).expose(), PAYLOAD)).is_ok() {
            prop_assert_eq!(json(&header), json(r#"{"alg":"HS256"}"#), "{}", header);
        }
    }

    /// A second opinion: `serde_json`'s own notion of JSON. Duplicates are kept, for the domain to refuse.
    #[test]
    fn it_reads_changed_members_as_json_or_not_at_all(text in changed_text(MEMBERS)) {
        let signed = SignedText::after_verification(SecretText::new(text.clone()));
        match envelope(&hmac_key()).members(&signed) {
            Err(refusal) => {
                prop_assert_eq!(refusal.code(), ErrorCode::PayloadInvalid);
                let said = format!("{refusal} {refusal:?}");
                prop_assert!(!said.contains("CANARY") && !said.contains("ZM-1"), "{}", said);
            }
            Ok(members) => {
                let read = json(&text);
                let Some(Value::Object(object)) = &read else { panic!("{text} is no object") };
                for (name, value) in &members.0 {
                    let last = members.0.iter().rev().find(|(other, _)| other == name).map(|(_, value)| value);
                    match (last, &object[name]) {
                        (Some(MemberValue::Text(text)), Value::String(read)) => prop_assert_eq!(text.expose(), read),
                        (Some(MemberValue::Integer(number)), Value::Number(read)) => {
                            prop_assert_eq!(number.to_string(), read.to_string());
                        }
                        (Some(MemberValue::Other), read) => prop_assert!(!read.is_string() && !read.is_i64() && !read.is_u64()),
                        (_, read) => panic!("{name} is {value:?}, not {read}"),
                    }
                }
            }
        }
    }

    #[test]
    fn it_takes_no_changed_receipt(receipt in changed_text(&receipt(RECEIPT_HEADER, CLAIMS)), noise in any_bytes(300)) {
        let key = ReceiptKey::hmac(&secret(1), &device_id());
        prop_assert!(verify_receipt(&receipt, &key).is_err());
        prop_assert!(verify_receipt(&String::from_utf8_lossy(&noise), &key).is_err());
    }

    /// Even a device that signs what it likes is believed only in the form of the protocol.
    #[test]
    fn it_takes_claims_in_their_form_alone(claims in changed_text(CLAIMS), header in changed_text(RECEIPT_HEADER)) {
        let key = ReceiptKey::hmac(&secret(1), &device_id());
        if let Ok(read) = verify_receipt(&receipt(RECEIPT_HEADER, &claims), &key) {
            let said = json(&claims).unwrap();
            prop_assert_eq!(said.as_object().unwrap().len(), 7);
            prop_assert_eq!(&said["deviceId"], read.device_id.as_str());
            prop_assert_eq!(&said["bodySha256"], &read.body_sha256.to_base64url());
            prop_assert_eq!(&said["completedAt"], read.completed_at.as_millis());
            prop_assert_eq!(&said["auditCount"], read.audit.count);
        }
        if verify_receipt(&receipt(&header, CLAIMS), &key).is_ok() {
            prop_assert_eq!(json(&header), json(RECEIPT_HEADER));
        }
    }

    #[test]
    fn it_believes_no_changed_qr_content(content in changed_text(&QR), noise in any::<String>()) {
        let key = keys::derive_qr_key(&secret(1), &device_id());
        prop_assert!(keys::verify_qr_content(&key, &QR).is_ok());
        prop_assert!(keys::verify_qr_content(&key, &content).is_err(), "{}", content);
        prop_assert!(keys::verify_qr_content(&key, &noise).is_err());
    }

    #[test]
    fn it_reads_a_key_in_one_spelling_alone(text in changed_text("AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE"), noise in any::<String>()) {
        for text in [text, noise] {
            match keys::parse_key(&text) {
                Ok(key) => {
                    let printed = keys::print_key(&key);
                    prop_assert_eq!(printed.expose(), text);
                }
                Err(refusal) => prop_assert!(!refusal.to_string().contains("AQEBAQEB")),
            }
        }
    }
}
