//! The configuration payload: from the members of a signed JSON object to values that follow every rule.
//!
//! Source: `protocol.md`, field table; step 6 of the validation order.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::error::{ErrorCode, ProvisioningError};
use crate::identity::Unacceptable;
use crate::pairing::MAX_RECEIVED_CODE;
use crate::secret::SecretText;
use crate::settings::{DeviceLabel, Language, MeasurementUnit, ServerUrl, SyncInterval};
use crate::time::Timestamp;

/// The value of one member, as far as version 1 tells values apart.
#[derive(Clone, Debug)]
pub enum MemberValue {
    /// A string.
    Text(SecretText),
    /// An integer literal that fits 64 bits, signed or not.
    Integer(i128),
    /// Anything else: null, true, false, a fraction, an exponent, an array, an object.
    Other,
}

/// The members of a JSON object in their order, duplicates included.
#[derive(Clone, Debug)]
pub struct Members(pub Vec<(String, MemberValue)>);

/// Text whose signature was verified with the trust anchor. Only an envelope adapter makes one.
#[derive(Debug)]
pub struct SignedText(SecretText);

impl SignedText {
    /// To be called by an envelope adapter after it has verified the signature, and by nobody else.
    #[must_use]
    pub const fn after_verification(text: SecretText) -> Self {
        Self(text)
    }

    /// The text.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

/// A configuration payload whose every field follows its rule; certificates and key are still text.
///
/// What it says is not yet compared with this device, this session or this moment.
pub struct ProvisioningPayload {
    pub(crate) device_id: String,
    pub(crate) session_key: String,
    pub(crate) pairing_code: SecretText,
    pub(crate) server_url: ServerUrl,
    pub(crate) sync_interval: SyncInterval,
    pub(crate) client_certificate: String,
    pub(crate) client_private_key: SecretText,
    pub(crate) ca_certificate: String,
    pub(crate) server_certificate: Option<String>,
    pub(crate) device_label: DeviceLabel,
    pub(crate) measurement_unit: MeasurementUnit,
    pub(crate) language: Language,
    pub(crate) timestamp: Timestamp,
    pub(crate) expires_at: Timestamp,
}

impl ProvisioningPayload {
    /// Step 6: presence, type, size and syntax of every field.
    ///
    /// # Errors
    /// `PayloadInvalid`, naming the first field at fault and never its value.
    pub fn parse(members: Members) -> Result<Self, ProvisioningError> {
        let mut fields = Fields(members.0);
        fields.refuse_unknown_and_duplicate()?;
        if fields.integer("version")? != 1 {
            return Err(invalid("version", "must be 1"));
        }
        let pairing_code = fields.text("pairingCode")?;
        if pairing_code.expose().len() > MAX_RECEIVED_CODE {
            return Err(invalid("pairingCode", "must have at most 64 bytes"));
        }
        let payload = Self {
            device_id: fields.text("deviceId")?.expose().into(),
            session_key: fields.text("sessionKey")?.expose().into(),
            pairing_code,
            server_url: fields.parsed("serverUrl", ServerUrl::parse)?,
            sync_interval: match fields.optional("syncInterval") {
                None => SyncInterval::default(),
                Some(value) => {
                    SyncInterval::from_seconds(integer("syncInterval", &value)?).map_err(at("syncInterval"))?
                }
            },
            client_certificate: fields.text("clientCertificate")?.expose().into(),
            client_private_key: fields.text("clientPrivateKey")?,
            ca_certificate: fields.text("caCertificate")?.expose().into(),
            server_certificate: match fields.optional("serverCertificate") {
                None => None,
                Some(value) => Some(text("serverCertificate", value)?.expose().into()),
            },
            device_label: fields.parsed("deviceLabel", DeviceLabel::parse)?,
            measurement_unit: fields.parsed("measurementUnit", MeasurementUnit::parse)?,
            language: fields.parsed("language", Language::parse)?,
            timestamp: fields.timestamp("timestamp")?,
            expires_at: fields.timestamp("expiresAt")?,
        };
        Ok(payload)
    }

    /// The client's private key, for the examination of certificates.
    #[must_use]
    pub const fn client_private_key(&self) -> &SecretText {
        &self.client_private_key
    }

    /// The client's certificate chain, leaf first.
    #[must_use]
    pub fn client_certificate(&self) -> &str {
        &self.client_certificate
    }

    /// The trust roots.
    #[must_use]
    pub fn ca_certificate(&self) -> &str {
        &self.ca_certificate
    }

    /// The pinned server certificate, leaf first.
    #[must_use]
    pub fn server_certificate(&self) -> Option<&str> {
        self.server_certificate.as_deref()
    }

    /// The server to connect to.
    #[must_use]
    pub const fn server_url(&self) -> &ServerUrl {
        &self.server_url
    }
}

impl fmt::Debug for ProvisioningPayload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProvisioningPayload")
            .field("server_url", &self.server_url)
            .field("device_label", &self.device_label)
            .finish_non_exhaustive()
    }
}

const FIELDS: [&str; 15] = [
    "version",
    "deviceId",
    "sessionKey",
    "pairingCode",
    "serverUrl",
    "syncInterval",
    "clientCertificate",
    "clientPrivateKey",
    "caCertificate",
    "serverCertificate",
    "deviceLabel",
    "measurementUnit",
    "language",
    "timestamp",
    "expiresAt",
];

struct Fields(Vec<(String, MemberValue)>);

impl Fields {
    fn refuse_unknown_and_duplicate(&self) -> Result<(), ProvisioningError> {
        for (index, (name, _)) in self.0.iter().enumerate() {
            let Some(known) = FIELDS.into_iter().find(|field| field == name) else {
                return Err(ProvisioningError::new(
                    ErrorCode::PayloadInvalid,
                    "The payload has a member that protocol version 1 does not know.",
                ));
            };
            if self.0.iter().take(index).any(|(earlier, _)| earlier == name) {
                return Err(invalid(known, "stands there more than once"));
            }
        }
        Ok(())
    }

    fn optional(&mut self, name: &str) -> Option<MemberValue> {
        let index = self.0.iter().position(|(field, _)| field == name)?;
        Some(self.0.swap_remove(index).1)
    }

    fn required(&mut self, name: &'static str) -> Result<MemberValue, ProvisioningError> {
        self.optional(name).ok_or_else(|| invalid(name, "is missing"))
    }

    fn text(&mut self, name: &'static str) -> Result<SecretText, ProvisioningError> {
        text(name, self.required(name)?)
    }

    fn integer(&mut self, name: &'static str) -> Result<i128, ProvisioningError> {
        integer(name, &self.required(name)?)
    }

    fn parsed<T>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, Unacceptable>,
    ) -> Result<T, ProvisioningError> {
        parse(self.text(name)?.expose()).map_err(at(name))
    }

    fn timestamp(&mut self, name: &'static str) -> Result<Timestamp, ProvisioningError> {
        u64::try_from(self.integer(name)?)
            .map(Timestamp::from_millis)
            .map_err(|_| invalid(name, "must be milliseconds since 1970"))
    }
}

fn text(name: &'static str, value: MemberValue) -> Result<SecretText, ProvisioningError> {
    match value {
        MemberValue::Text(text) => Ok(text),
        MemberValue::Integer(_) | MemberValue::Other => Err(invalid(name, "must be a string")),
    }
}

fn integer(name: &'static str, value: &MemberValue) -> Result<i128, ProvisioningError> {
    match value {
        MemberValue::Integer(number) => Ok(*number),
        MemberValue::Text(_) | MemberValue::Other => {
            Err(invalid(name, "must be an integer literal of at most 64 bits"))
        }
    }
}

fn at(name: &'static str) -> impl Fn(Unacceptable) -> ProvisioningError {
    move |fault| ProvisioningError::new(ErrorCode::PayloadInvalid, format!("The field {name} {fault}."))
}

fn invalid(name: &'static str, why: &'static str) -> ProvisioningError {
    ProvisioningError::new(ErrorCode::PayloadInvalid, format!("The field {name} {why}."))
}
