use std::sync::LazyLock;

use proptest::prelude::*;
use zmon_domain::payload::SignedText;
use zmon_domain::secret::{SecretBytes, SecretText};
use zmon_payload_envelope::seal;
use zmon_ports::{Opened, PayloadEnvelope};

use crate::craft::{Agreement, PAYLOAD, b64, ed25519_key, envelope, hmac_key, opens, session_key, verify};

static BODY: LazyLock<String> = LazyLock::new(|| {
    let to = envelope(&hmac_key()).session_public_key(&session_key());
    seal::sign_and_seal(&SecretText::new(PAYLOAD.into()), &hmac_key(), &to).unwrap()
});

/// The text with another ASCII byte at a place.
fn changed(text: &str, place: prop::sample::Index, byte: u8) -> Option<String> {
    let mut bytes = text.as_bytes().to_vec();
    let index = place.index(bytes.len());
    if bytes[index] == byte {
        return None;
    }
    bytes[index] = byte;
    String::from_utf8(bytes).ok()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_opens_and_verifies_what_was_signed_and_sealed(payload in any::<String>(), key: [u8; 32], ed25519: bool) {
        let signing_key = if ed25519 { ed25519_key() } else { hmac_key() };
        let (device, session) = (envelope(&signing_key), SecretBytes::take(&mut key.clone()));
        let to = device.session_public_key(&session);
        let body = seal::sign_and_seal(&SecretText::new(payload.clone()), &signing_key, &to).unwrap();
        let opened = device.open(body.as_bytes(), &session).unwrap();
        let signed = device.verify(opened).unwrap();
        prop_assert_eq!(signed.expose(), payload);
    }

    #[test]
    fn it_refuses_every_one_byte_change_of_an_envelope(place: prop::sample::Index, byte in 0_u8..128) {
        if let Some(body) = changed(&BODY, place, byte) {
            prop_assert!(!opens(&body), "{}", body);
        }
    }

    #[test]
    fn it_refuses_every_one_byte_change_of_a_signed_text(
        place: prop::sample::Index,
        byte in 0_u8..128,
        ed25519: bool,
    ) {
        let key = if ed25519 { ed25519_key() } else { hmac_key() };
        let signed = seal::sign(&SecretText::new(PAYLOAD.into()), &key).unwrap();
        if let Some(signed) = changed(signed.expose(), place, byte) {
            prop_assert!(verify(&key, &signed).is_err(), "{}", signed);
        }
    }

    #[test]
    fn it_never_panics_on_arbitrary_bytes(bytes in prop::collection::vec(any::<u8>(), 0..600), key: [u8; 32]) {
        let device = envelope(&hmac_key());
        let _ = device.open(&bytes, &SecretBytes::take(&mut key.clone()));
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let _ = device.verify(Opened(SecretText::new(text.clone())));
        let _ = device.members(&SignedText::after_verification(SecretText::new(text)));
    }

    #[test]
    fn it_never_panics_on_bytes_in_the_right_shape(
        x: [u8; 32],
        wrapped in prop::collection::vec(any::<u8>(), 38..42),
        nonce in prop::collection::vec(any::<u8>(), 11..14),
        ciphertext in prop::collection::vec(any::<u8>(), 0..64),
        tag in prop::collection::vec(any::<u8>(), 15..18),
    ) {
        let header = Agreement::low_order(&x).header();
        let body = [b64(header), b64(wrapped), b64(nonce), b64(ciphertext), b64(tag)].join(".");
        prop_assert!(!opens(&body));
    }

    #[test]
    fn it_never_panics_on_text_that_is_nearly_json(text in r#"\{("[a-z\\]{0,3}":[0-9eE.+\-"\[\]{}a-z]{0,6},?){0,4}\}?"#) {
        let device = envelope(&hmac_key());
        let _ = device.members(&SignedText::after_verification(SecretText::new(text)));
    }
}
