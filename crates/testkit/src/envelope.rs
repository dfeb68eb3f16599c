//! The contract of `PayloadEnvelope`, for fakes and for real adapters alike.

use zmon_domain::error::ErrorCode;
use zmon_domain::pairing::{SessionPrivateKey, SessionPublicKey};
use zmon_domain::payload::{MemberValue, SignedText};
use zmon_domain::secret::{SecretBytes, SecretText};
use zmon_ports::PayloadEnvelope;

const PAYLOAD: &str = r#"{"version":1,"deviceId":"ZM-1","version":2,"label":null}"#;

/// Holds an envelope to its port's contract.
///
/// `seal` makes a POST body as this envelope's own Central Station does; `seal_as_stranger` as one whose key is not
/// this envelope's trust anchor.
///
/// # Panics
/// Where the envelope breaks the contract.
pub fn contract(
    envelope: &impl PayloadEnvelope,
    seal: impl Fn(&str, &SessionPublicKey) -> Vec<u8>,
    seal_as_stranger: impl Fn(&str, &SessionPublicKey) -> Vec<u8>,
) {
    let private = key(1);
    let to = envelope.session_public_key(&private);
    assert_eq!(
        to,
        envelope.session_public_key(&private),
        "a private key has one public key"
    );
    assert_ne!(
        to,
        envelope.session_public_key(&key(2)),
        "another private key has another public key"
    );

    opens_what_was_sealed_to_it(envelope, &seal(PAYLOAD, &to), &private);
    refuses_at_step_4_what_was_not(envelope, &seal(PAYLOAD, &to), &private);
    refuses_a_stranger_at_step_5(envelope, &seal_as_stranger(PAYLOAD, &to), &private);
    reads_one_object_and_nothing_else(envelope);
    digests_with_sha_256(envelope);
    authenticates_the_text_of_the_qr_code(envelope);
}

fn opens_what_was_sealed_to_it(envelope: &impl PayloadEnvelope, body: &[u8], private: &SessionPrivateKey) {
    for _ in 0..2 {
        let opened = envelope.open(body, private).expect("the envelope opens, every time");
        assert!(
            !format!("{opened:?}").contains("ZM-1"),
            "what was opened prints nothing"
        );
        let signed = envelope.verify(opened).expect("the signature is the trust anchor's");
        assert_eq!(signed.expose(), PAYLOAD);
    }
}

fn refuses_at_step_4_what_was_not(envelope: &impl PayloadEnvelope, body: &[u8], private: &SessionPrivateKey) {
    assert!(
        envelope.open(body, &key(2)).is_err(),
        "another session's key opens nothing"
    );
    for other in [
        &b""[..],
        b".",
        b"{}",
        PAYLOAD.as_bytes(),
        &[0xff; 100],
        &[b'A'; 100_000],
    ] {
        assert!(
            envelope.open(other, private).is_err(),
            "what is no envelope does not open"
        );
    }
    for index in 0..body.len() {
        let mut changed = body.to_vec();
        changed[index] ^= 1;
        assert!(envelope.open(&changed, private).is_err(), "byte {index} was changed");
        assert!(envelope.open(&body[..index], private).is_err(), "cut at byte {index}");
    }
}

fn refuses_a_stranger_at_step_5(envelope: &impl PayloadEnvelope, body: &[u8], private: &SessionPrivateKey) {
    let opened = envelope.open(body, private).expect("a stranger can seal");
    let fault = envelope.verify(opened).expect_err("a stranger cannot sign");
    assert!(!fault.cause.contains("ZM-1"), "a fault echoes nothing");
}

fn reads_one_object_and_nothing_else(envelope: &impl PayloadEnvelope) {
    let read = |text: &str| envelope.members(&SignedText::after_verification(SecretText::new(text.into())));
    let members = read(PAYLOAD).expect("the payload is one object").0;
    let names: Vec<&str> = members.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["version", "deviceId", "version", "label"]);
    let values: Vec<&MemberValue> = members.iter().map(|(_, value)| value).collect();
    assert!(matches!(
        values[..],
        [MemberValue::Integer(1), MemberValue::Text(text), MemberValue::Integer(2), MemberValue::Other]
            if text.expose() == "ZM-1"
    ));
    for text in ["", "null", "[]", "{", "{}{}", r#""ZM-1""#] {
        let error = read(text).expect_err("this is not one object");
        assert_eq!(error.code(), ErrorCode::PayloadInvalid);
        assert!(!error.message().contains("ZM-1"), "an error echoes nothing");
    }
}

/// The example of FIPS 180-4.
fn digests_with_sha_256(envelope: &impl PayloadEnvelope) {
    let digest = envelope.digest(b"abc").to_hex();
    assert_eq!(
        digest,
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
}

fn authenticates_the_text_of_the_qr_code(envelope: &impl PayloadEnvelope) {
    assert_eq!(envelope.qr_mac("text"), envelope.qr_mac("text"));
    if let Some(mac) = envelope.qr_mac("text") {
        assert_ne!(Some(mac), envelope.qr_mac("texu"));
    }
}

fn key(byte: u8) -> SessionPrivateKey {
    SecretBytes::take(&mut [byte; 32])
}
