//! A Central Station that makes payloads, good ones and any other.

use serde_json::{Map, Value, json};
use zmon_domain::identity::DeviceId;
use zmon_domain::qr::QrFields;
use zmon_domain::secret::{SecretBytes, SecretText};
use zmon_domain::time::Timestamp;
use zmon_payload_envelope::keys::derive_device_key;
use zmon_payload_envelope::receipt::ReceiptKey;
use zmon_payload_envelope::seal::{SigningKey, sign_and_seal};
use zmon_testkit::pki::Pki;

/// The host that these payloads name.
pub const SERVER_HOST: &str = "central.example.org";

/// Signs for one device and issues its certificates.
pub struct Station {
    /// What it signs with.
    pub key: SigningKey,
    /// Its certificates.
    pub pki: Pki,
}

impl Station {
    /// With a master key of its own, from which this device's key is derived.
    #[must_use]
    pub fn hmac(device_id: &DeviceId) -> Self {
        let master = SecretBytes::take(&mut [17; 32]);
        let key = SigningKey::Hmac {
            device_key: derive_device_key(&master, device_id),
        };
        Self {
            key,
            pki: Pki::new(device_id.as_str(), SERVER_HOST),
        }
    }

    /// With an Ed25519 signing key.
    #[must_use]
    pub fn ed25519(device_id: &DeviceId) -> Self {
        let seed = SecretBytes::take(&mut [18; 32]);
        Self {
            key: SigningKey::Ed25519 { seed },
            pki: Pki::new(device_id.as_str(), SERVER_HOST),
        }
    }

    /// The members of a good payload for this QR code, made at `now`.
    #[must_use]
    pub fn payload(&self, qr: &QrFields, now: Timestamp) -> Map<String, Value> {
        let texts = self.pki.texts();
        let payload = json!({
            "version": 1,
            "deviceId": qr.device_id.as_str(),
            "sessionKey": qr.key.to_base64url(),
            "pairingCode": qr.pairing_code.expose(),
            "serverUrl": format!("https://{SERVER_HOST}:8444"),
            "syncInterval": 15,
            "clientCertificate": texts.client_certificate,
            "clientPrivateKey": texts.client_private_key,
            "caCertificate": texts.ca_certificate,
            "serverCertificate": texts.server_certificate,
            "deviceLabel": "ICU-MON-04",
            "measurementUnit": "METRIC",
            "language": "EN",
            "timestamp": now.as_millis(),
            "expiresAt": now.as_millis() + 3_600_000,
        });
        match payload {
            Value::Object(members) => members,
            _ => Map::new(),
        }
    }

    /// Signs and seals any members for this QR code.
    ///
    /// # Panics
    /// Where sealing fails.
    #[must_use]
    pub fn seal(&self, qr: &QrFields, payload: &Map<String, Value>) -> Vec<u8> {
        let text = serde_json::to_string(payload).expect("JSON");
        sign_and_seal(&SecretText::new(text), &self.key, &qr.key)
            .expect("a sealed payload")
            .into_bytes()
    }

    /// A good body for this QR code, made at `now`.
    #[must_use]
    pub fn body(&self, qr: &QrFields, now: Timestamp) -> Vec<u8> {
        self.seal(qr, &self.payload(qr, now))
    }

    /// What verifies this device's receipts.
    ///
    /// # Panics
    /// Where the client certificate's key cannot verify.
    #[must_use]
    pub fn receipt_key(&self, device_id: &DeviceId) -> ReceiptKey {
        match &self.key {
            SigningKey::Hmac { device_key } => ReceiptKey::hmac(device_key, device_id),
            SigningKey::Ed25519 { .. } => {
                ReceiptKey::client_certificate(&self.pki.client.der()).expect("a key that verifies")
            }
        }
    }
}
