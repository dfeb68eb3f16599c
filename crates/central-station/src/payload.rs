//! The configuration payload, as the protocol writes it.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use zeroize::Zeroizing;
use zmon_domain::qr::QrFields;
use zmon_domain::secret::SecretText;
use zmon_domain::settings::{DeviceLabel, Language, MeasurementUnit, ServerUrl, SyncInterval};
use zmon_domain::time::{MAX_PAYLOAD_LIFETIME, Timestamp};
use zmon_payload_envelope::seal::{SigningKey, sign_and_seal};

use crate::ca::Issued;
use crate::fault::{Fault, FaultCode};

/// What a station decides about one monitor. Every value has passed the rule that the device applies.
#[derive(Clone, Debug)]
pub struct DeviceConfiguration {
    /// The central server.
    pub server_url: ServerUrl,
    /// Seconds between synchronisations.
    pub sync_interval: SyncInterval,
    /// What people call the monitor.
    pub device_label: DeviceLabel,
    /// Units on its screen.
    pub measurement_unit: MeasurementUnit,
    /// Language on its screen.
    pub language: Language,
    /// The trust roots, PEM.
    pub ca_certificate: String,
    /// The server's certificate to pin, PEM, leaf first.
    pub server_certificate: Option<String>,
}

/// The members of the signed payload (`protocol.md`, field table).
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Payload<'a> {
    version: u8,
    device_id: &'a str,
    session_key: String,
    pairing_code: &'a str,
    server_url: &'a str,
    sync_interval: u16,
    client_certificate: &'a str,
    client_private_key: &'a str,
    ca_certificate: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_certificate: Option<&'a str>,
    device_label: &'a str,
    measurement_unit: &'a str,
    language: &'a str,
    timestamp: u64,
    expires_at: u64,
}

impl fmt::Debug for Payload<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Payload")
            .field("device_id", &self.device_id)
            .finish_non_exhaustive()
    }
}

impl<'a> Payload<'a> {
    /// For the device and session of a verified QR code, made at `now`, valid for `lifetime` (one hour at most).
    #[must_use]
    pub fn new(
        qr: &'a QrFields,
        configuration: &'a DeviceConfiguration,
        client: &'a Issued,
        now: Timestamp,
        lifetime: Duration,
    ) -> Self {
        Self {
            version: 1,
            device_id: qr.device_id.as_str(),
            session_key: qr.key.to_base64url(),
            pairing_code: qr.pairing_code.expose(),
            server_url: configuration.server_url.as_str(),
            sync_interval: configuration.sync_interval.as_seconds(),
            client_certificate: &client.certificate_pem,
            client_private_key: client.private_key_pem.expose(),
            ca_certificate: &configuration.ca_certificate,
            server_certificate: configuration.server_certificate.as_deref(),
            device_label: configuration.device_label.as_str(),
            measurement_unit: configuration.measurement_unit.as_str(),
            language: configuration.language.as_str(),
            timestamp: now.as_millis(),
            expires_at: now.plus(lifetime.min(MAX_PAYLOAD_LIFETIME)).as_millis(),
        }
    }

    /// The body of the push: signed with the device's key, sealed to the session.
    ///
    /// # Errors
    /// Where the result is larger than a device takes, or the session's key is not one.
    pub fn seal(&self, key: &SigningKey, qr: &QrFields) -> Result<String, Fault> {
        // Written into memory that is large enough from the start, so that no copy is left behind by growing.
        let mut text = Zeroizing::new(Vec::with_capacity(128 * 1024));
        serde_json::to_writer(&mut *text, self)
            .map_err(|error| Fault::new(FaultCode::CannotMake, format!("The payload: {error}.")))?;
        let text = std::str::from_utf8(&text)
            .map_err(|error| Fault::new(FaultCode::CannotMake, format!("The payload: {error}.")))?;
        sign_and_seal(&SecretText::new(text.into()), key, &qr.key).map_err(|refusal| {
            Fault::new(
                FaultCode::CannotMake,
                format!("The payload cannot be sealed: {refusal}."),
            )
        })
    }
}
