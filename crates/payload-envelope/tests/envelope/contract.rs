use zmon_domain::secret::SecretText;
use zmon_payload_envelope::seal::{self, SigningKey};
use zmon_testkit::envelope::contract;

use crate::craft::{ed25519_key, envelope, hmac_key, secret};

#[test]
fn it_keeps_the_contract_of_its_port_with_either_trust_anchor() {
    let strangers = [
        SigningKey::Hmac { device_key: secret(8) },
        SigningKey::Ed25519 { seed: secret(9) },
    ];
    for (key, stranger) in [hmac_key(), ed25519_key()].into_iter().zip(strangers) {
        let by = |key: SigningKey| {
            move |payload: &str, to: &_| {
                let payload = SecretText::new(payload.into());
                seal::sign_and_seal(&payload, &key, to).unwrap().into_bytes()
            }
        };
        contract(&envelope(&key), by(key), by(stranger));
    }
}
