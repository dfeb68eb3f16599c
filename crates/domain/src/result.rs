//! What a completed provisioning leaves behind for people and programs to read.

use alloc::string::String;
use core::fmt;

use crate::audit::AuditHead;
use crate::certificate::CertifiedBundle;
use crate::checks::Credentials;
use crate::identity::DeviceId;
use crate::pairing::Sha256Digest;
use crate::settings::{RecordedSettings, Settings};
use crate::status::ProvisioningStatus;
use crate::time::Timestamp;

/// What a receipt says (`protocol.md`, "Answers").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiptClaims {
    /// This device.
    pub device_id: DeviceId,
    /// Of the POST body.
    pub body_sha256: Sha256Digest,
    /// Of the client leaf certificate's DER.
    pub certificate_sha256: Sha256Digest,
    /// When the installation was completed.
    pub completed_at: Timestamp,
    /// The audit, this installation's records included.
    pub audit: AuditHead,
}

/// A signed receipt: a JWS in compact serialisation. Not a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt(pub String);

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a destruction record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DestructionClaims {
    /// This device.
    pub device_id: DeviceId,
    /// What was destroyed, and who ordered it.
    pub destruction: Destruction,
    /// When.
    pub destroyed_at: Timestamp,
    /// The audit, the records of this destruction included.
    pub audit: AuditHead,
}

/// What an administrator destroys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destruction {
    /// Of the client leaf certificate's DER; its private key is destroyed with it.
    pub certificate_sha256: Sha256Digest,
    /// The client leaf certificate's serial number, lower-case hexadecimal.
    pub certificate_serial: String,
    /// Who: the administrator check, and the process that presented the PIN.
    pub authorised_by: String,
    /// Whether the device was retired: that its trust anchor was to be erased next.
    pub retired: bool,
}

/// A signed record of destruction: a JWS in compact serialisation. Not a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DestructionRecord(pub String);

impl fmt::Display for DestructionRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is installed, without anything secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstalledConfiguration {
    /// The six settings.
    pub settings: Settings,
    /// What is tracked about the certificates.
    pub certificates: CertifiedBundle,
    /// When it was installed.
    pub completed_at: Timestamp,
    /// SHA-256 of the POST body that brought it.
    pub body_sha256: Sha256Digest,
    /// The receipt that its sender got.
    pub receipt: Receipt,
}

/// The outcome of a successful provisioning (`docs/decisions.md`, "Result"); a failure is a
/// [`ProvisioningError`](crate::error::ProvisioningError).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvisioningResult {
    /// What is installed now; its `settings` name device, server and label.
    pub installed: InstalledConfiguration,
}

impl ProvisioningResult {
    /// The new status: `PROVISIONED`.
    #[must_use]
    pub const fn status(&self) -> ProvisioningStatus {
        ProvisioningStatus::Provisioned
    }
}

/// The installed certificates as PEM, each leaf first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateTexts {
    /// The client's chain.
    pub client: String,
    /// The trust roots.
    pub ca: String,
    /// The pinned server certificate's chain, where one is pinned.
    pub server: Option<String>,
}

/// What the monitor application works with, but for the private key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActiveConfiguration {
    /// The six settings, with who changed them and when.
    pub settings: RecordedSettings,
    /// What is tracked about the certificates.
    pub certificates: CertifiedBundle,
    /// The certificates themselves.
    pub texts: CertificateTexts,
    /// When it was installed; tells one installation from the next.
    pub completed_at: Timestamp,
}

/// What the monitor application speaks mTLS with.
#[derive(Clone, Debug)]
pub struct ActiveCredentials {
    /// Certificates and private key.
    pub credentials: Credentials,
    /// Of the installation that they belong to: equals the one of its [`ActiveConfiguration`].
    pub completed_at: Timestamp,
}
