//! The JSON documents of what is read: configuration, credentials, audit.

use serde::{Deserialize, Serialize};
use zmon_domain::audit::{AuditRecord, AuditVerdict};
use zmon_domain::result::{ActiveConfiguration, ActiveCredentials, CertificateTexts};
use zmon_domain::secret::SecretText;
use zmon_domain::settings::{RecordedSettings, SettingKey};
use zmon_ports::AuditPage;

use crate::view::{CertificatesView, SettingsView, secret_text};

/// What the monitor application works with, but for the private key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ConfigurationView {
    /// The six settings.
    pub settings: SettingsView,
    /// The last change of each.
    pub changes: ChangesView,
    /// What is tracked about the certificates.
    pub certificates: CertificatesView,
    /// The certificates themselves; on the application's socket alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pem: Option<PemView>,
    /// When it was installed; tells one installation from the next.
    pub completed_at: u64,
}

/// The last change of each setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the members are the settings of the same names")]
pub struct ChangesView {
    pub device_id: ChangeView,
    pub device_label: ChangeView,
    pub server_url: ChangeView,
    pub sync_interval: ChangeView,
    pub measurement_unit: ChangeView,
    pub language: ChangeView,
}

/// Who changed a setting, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct ChangeView {
    /// When.
    pub at: u64,
    /// Who, in words.
    pub by: String,
}

/// The installed certificates as PEM, each leaf first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct PemView {
    /// The client's chain.
    pub client: String,
    /// The trust roots.
    pub ca: String,
    /// The pinned server certificate's chain; null where nothing is pinned.
    pub server: Option<String>,
}

/// What the monitor application speaks mTLS with. The one answer that holds a private key.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct CredentialsView {
    /// The client's chain, PEM, leaf first.
    pub client_certificate: String,
    /// PEM; one key.
    #[serde(deserialize_with = "secret_text", serialize_with = "exposed")]
    #[cfg_attr(feature = "openapi", schemars(with = "String"))]
    pub client_private_key: SecretText,
    /// The trust roots, PEM.
    pub ca_certificate: String,
    /// The pinned server certificate's chain, PEM; null where nothing is pinned.
    pub server_certificate: Option<String>,
    /// Equals `completedAt` of the configuration that they belong to.
    pub completed_at: u64,
}

fn exposed<S: serde::Serializer>(secret: &SecretText, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose())
}

/// Asks for a piece of the audit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AuditQuery {
    /// Number of the first record; 1 where it is left out.
    pub from: Option<u64>,
    /// How many records at most, 1 to 1000; 256 where it is left out.
    pub limit: Option<u32>,
}

/// A piece of the audit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct AuditPageView {
    /// This device.
    pub device_id: String,
    /// How many records there were when this piece was read.
    pub count: u64,
    /// Hash of the last of them, lower-case hexadecimal; 64 zeros where there was none.
    pub head: String,
    /// In their order. Empty: there is none from there on.
    pub records: Vec<AuditRecordView>,
}

/// One record, every field that it has. `hash` covers all others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct AuditRecordView {
    /// Its position; the first has 1.
    pub sequence: u64,
    /// When, by the wall clock.
    pub at: u64,
    /// What happened.
    pub event: String,
    /// The session it happened in: 16 hexadecimal digits.
    pub session: Option<String>,
    /// The code of the error catalogue, for refusals.
    pub code: Option<String>,
    /// More, in words.
    pub detail: Option<String>,
    /// Hash of the record before it, lower-case hexadecimal; 64 zeros for the first.
    pub previous: String,
    /// Its own hash, lower-case hexadecimal.
    pub hash: String,
}

/// What walking the whole chain found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct AuditVerdictView {
    /// Whether every record is as it was written, and none is missing.
    pub intact: bool,
    /// How many records there are, where it is intact.
    pub count: Option<u64>,
    /// Hash of the last, where it is intact.
    pub head: Option<String>,
    /// The first record that is wrong or missing, where it is not.
    pub sequence: Option<u64>,
    /// What is wrong with it.
    pub why: Option<String>,
}

impl ConfigurationView {
    /// Without the certificates themselves.
    #[must_use]
    pub fn redacted(configuration: &ActiveConfiguration) -> Self {
        Self {
            settings: SettingsView::from(configuration.settings.values()),
            changes: ChangesView::from(&configuration.settings),
            certificates: CertificatesView::from(&configuration.certificates),
            pem: None,
            completed_at: configuration.completed_at.as_millis(),
        }
    }

    /// With the certificates themselves.
    #[must_use]
    pub fn whole(configuration: &ActiveConfiguration) -> Self {
        Self {
            pem: Some(PemView::from(&configuration.texts)),
            ..Self::redacted(configuration)
        }
    }
}

impl From<&CertificateTexts> for PemView {
    fn from(texts: &CertificateTexts) -> Self {
        Self {
            client: texts.client.clone(),
            ca: texts.ca.clone(),
            server: texts.server.clone(),
        }
    }
}

impl From<&RecordedSettings> for ChangesView {
    fn from(settings: &RecordedSettings) -> Self {
        let change = |key| {
            let change = settings.change(key);
            ChangeView {
                at: change.at.as_millis(),
                by: change.by.clone(),
            }
        };
        Self {
            device_id: change(SettingKey::DeviceId),
            device_label: change(SettingKey::DeviceLabel),
            server_url: change(SettingKey::ServerUrl),
            sync_interval: change(SettingKey::SyncInterval),
            measurement_unit: change(SettingKey::MeasurementUnit),
            language: change(SettingKey::Language),
        }
    }
}

impl From<ActiveCredentials> for CredentialsView {
    fn from(active: ActiveCredentials) -> Self {
        Self {
            client_certificate: active.credentials.client_certificate,
            client_private_key: active.credentials.client_private_key,
            ca_certificate: active.credentials.ca_certificate,
            server_certificate: active.credentials.server_certificate,
            completed_at: active.completed_at.as_millis(),
        }
    }
}

impl AuditPageView {
    /// A piece of the audit of this device.
    #[must_use]
    pub fn new(device_id: &str, page: &AuditPage) -> Self {
        Self {
            device_id: device_id.into(),
            count: page.head.count,
            head: page.head.head.to_hex(),
            records: page.records.iter().map(AuditRecordView::from).collect(),
        }
    }
}

impl From<&AuditRecord> for AuditRecordView {
    fn from(record: &AuditRecord) -> Self {
        Self {
            sequence: record.sequence,
            at: record.at.as_millis(),
            event: record.event.clone(),
            session: record.session.clone(),
            code: record.code.clone(),
            detail: record.detail.clone(),
            previous: record.previous.to_hex(),
            hash: record.hash.to_hex(),
        }
    }
}

impl From<&AuditVerdict> for AuditVerdictView {
    fn from(verdict: &AuditVerdict) -> Self {
        let (head, broken) = match *verdict {
            AuditVerdict::Intact(head) => (Some(head), None),
            AuditVerdict::Broken { sequence, why } => (None, Some((sequence, why))),
        };
        Self {
            intact: head.is_some(),
            count: head.map(|head| head.count),
            head: head.map(|head| head.head.to_hex()),
            sequence: broken.map(|(sequence, _)| sequence),
            why: broken.map(|(_, why)| why.into()),
        }
    }
}
