//! The JSON documents of the API, for both of its ends.

use serde::{Deserialize, Serialize};
use zmon_domain::certificate::{CertificateSummary, CertifiedBundle};
use zmon_domain::error::ProvisioningError;
use zmon_domain::result::InstalledConfiguration;
use zmon_domain::secret::SecretText;
use zmon_domain::settings::Settings;
use zmon_ports::{Health, PendingConfirmation, StatusReport};

/// Where the device stands. Members that do not apply are null.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct StatusView {
    /// The specification's spelling, for example `READY_TO_PAIR`.
    #[cfg_attr(feature = "openapi", schemars(extend("enum" = crate::openapi::statuses())))]
    pub status: String,
    /// The phase, while the status is `PAIRING_RECEIVED`.
    pub phase: Option<String>,
    /// Whole seconds left, while the status is `READY_TO_PAIR`.
    pub expires_in_seconds: Option<u64>,
    /// What a person is asked, while the phase is `AWAITING_CONFIRMATION`.
    pub confirmation: Option<ConfirmationView>,
    /// While the status is `PROVISIONED`.
    pub installed: Option<InstalledView>,
    /// While the status is `PROVISIONING_FAILED`.
    pub failure: Option<FailureView>,
    /// What is wrong with the storage while the device goes on.
    pub storage_warning: Option<WarningView>,
}

/// What a person has to know while the device goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct WarningView {
    /// `FormerKeyKept` or `StatusUncertain`.
    pub code: String,
    /// What it means, and what to do next.
    pub message: String,
}

/// A configuration that a person has to accept or refuse.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ConfirmationView {
    /// Where it came from; null where it was carried by hand.
    pub sender_address: Option<String>,
    /// The server that the device is to obey.
    pub server_url: String,
    /// The label, as a rule the bed.
    pub device_label: String,
    /// Four digits that are on the station's screen, too.
    pub comparison_value: String,
    /// Whole seconds left; then it is refused.
    pub expires_in_seconds: u64,
}

/// A person's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ConfirmationAnswer {
    /// Whether the configuration is accepted.
    pub accept: bool,
}

/// What is installed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct InstalledView {
    /// The six settings.
    pub settings: SettingsView,
    /// What is tracked about the certificates.
    pub certificates: CertificatesView,
    /// When it was installed.
    pub completed_at: u64,
}

/// The six settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the members are the settings of the same names")]
pub struct SettingsView {
    pub device_id: String,
    pub device_label: String,
    pub server_url: String,
    /// In seconds.
    pub sync_interval: u16,
    pub measurement_unit: String,
    pub language: String,
}

/// The installed certificates, each list leaf first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct CertificatesView {
    /// The client's chain.
    pub client: Vec<CertificateView>,
    /// The trust roots.
    pub ca: Vec<CertificateView>,
    /// The pinned server certificate's chain; empty where nothing is pinned.
    pub server: Vec<CertificateView>,
}

/// What is tracked about one certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct CertificateView {
    /// Lower-case hexadecimal.
    pub serial: String,
    /// RFC 4514 style.
    pub subject: String,
    /// RFC 4514 style.
    pub issuer: String,
    /// Start of validity.
    pub not_before: u64,
    /// End of validity.
    pub not_after: u64,
    /// Of the DER encoding, lower-case hexadecimal.
    pub sha256: String,
}

/// Why provisioning failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct FailureView {
    /// The code of the error catalogue.
    pub code: String,
    /// What failed and why.
    pub message: String,
    /// What to do next.
    pub next_action: String,
}

/// The receipt that the sender of the installed configuration got.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct ReceiptView {
    /// JWS, compact serialisation.
    pub receipt: String,
}

/// The record of the last destruction, whatever the status is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct DestructionView {
    /// JWS, compact serialisation.
    pub destruction: String,
}

/// Asks for a pairing session; what is left out is taken from the device's configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PairingRequest {
    /// The device id that the QR code shall show.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_id: Option<String>,
    /// The address that the QR code shall show.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_address: Option<String>,
}

/// An open pairing session. The pairing code has a path of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PairingView {
    /// For display; the monotonic clock decides.
    pub expires_at: u64,
    /// Whole seconds left.
    pub expires_in_seconds: u64,
}

/// What a person reads out, or compares.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct PairingCodeView<'a> {
    /// Six characters.
    pub(crate) pairing_code: &'a str,
}

/// How the service is. What could not be learned within two seconds is null.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct HealthView {
    /// Whether nothing is at fault; then the status is 200, else 503. The others are null where the service did not answer in time.
    pub healthy: bool,
    /// Whether the store answers.
    pub store_open: Option<bool>,
    /// The HTTPS listener: `OPEN`, `CLOSED` as it should be, or `MISSING` although a session is open.
    #[cfg_attr(feature = "openapi", schemars(extend("enum" = crate::openapi::listener_healths())))]
    pub listener: Option<String>,
    /// Whether the kernel says that the clock is synchronised; no fault where it is not.
    pub time_synchronised: Option<bool>,
}

impl From<Health> for HealthView {
    fn from(health: Health) -> Self {
        Self {
            healthy: health.is_good(),
            store_open: Some(health.store_open),
            listener: Some(health.listener.as_str().into()),
            time_synchronised: Some(health.time_synchronised),
        }
    }
}

/// `{"pin":...}`, erased on drop.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct AdministratorPin {
    /// The administrator's PIN.
    #[serde(deserialize_with = "secret_text")]
    #[cfg_attr(feature = "openapi", schemars(with = "String"))]
    pub(crate) pin: SecretText,
}

pub(crate) fn secret_text<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<SecretText, D::Error> {
    String::deserialize(deserializer).map(SecretText::new)
}

impl From<&StatusReport> for StatusView {
    fn from(report: &StatusReport) -> Self {
        Self {
            status: report.status.as_str().into(),
            phase: report.phase.map(|phase| phase.as_str().into()),
            expires_in_seconds: report.expires_in_seconds,
            confirmation: report.confirmation.as_ref().map(ConfirmationView::from),
            installed: report.installed.as_ref().map(InstalledView::from),
            failure: report.failure.as_ref().map(FailureView::from),
            storage_warning: report.storage.map(|warning| WarningView {
                code: warning.as_str().into(),
                message: warning.message().into(),
            }),
        }
    }
}

impl From<&PendingConfirmation> for ConfirmationView {
    fn from(pending: &PendingConfirmation) -> Self {
        let request = &pending.request;
        Self {
            sender_address: request.sender.map(|address| address.to_string()),
            server_url: request.server_url.as_str().into(),
            device_label: request.device_label.as_str().into(),
            comparison_value: request.comparison.to_string(),
            expires_in_seconds: pending.expires_in_seconds,
        }
    }
}

impl From<&InstalledConfiguration> for InstalledView {
    fn from(installed: &InstalledConfiguration) -> Self {
        Self {
            settings: SettingsView::from(&installed.settings),
            certificates: CertificatesView::from(&installed.certificates),
            completed_at: installed.completed_at.as_millis(),
        }
    }
}

impl From<&CertifiedBundle> for CertificatesView {
    fn from(certificates: &CertifiedBundle) -> Self {
        let list = |summaries: &[CertificateSummary]| summaries.iter().map(CertificateView::from).collect();
        Self {
            client: list(certificates.client()),
            ca: list(certificates.ca()),
            server: list(certificates.server()),
        }
    }
}

impl From<&Settings> for SettingsView {
    fn from(settings: &Settings) -> Self {
        Self {
            device_id: settings.device_id.as_str().into(),
            device_label: settings.device_label.as_str().into(),
            server_url: settings.server_url.as_str().into(),
            sync_interval: settings.sync_interval.as_seconds(),
            measurement_unit: settings.measurement_unit.as_str().into(),
            language: settings.language.as_str().into(),
        }
    }
}

impl From<&CertificateSummary> for CertificateView {
    fn from(summary: &CertificateSummary) -> Self {
        Self {
            serial: summary.serial.clone(),
            subject: summary.subject.clone(),
            issuer: summary.issuer.clone(),
            not_before: summary.not_before.as_millis(),
            not_after: summary.not_after.as_millis(),
            sha256: summary.sha256.to_hex(),
        }
    }
}

impl From<&ProvisioningError> for FailureView {
    fn from(error: &ProvisioningError) -> Self {
        Self {
            code: error.code().as_str().into(),
            message: error.message().into(),
            next_action: error.code().entry().next_action.into(),
        }
    }
}
