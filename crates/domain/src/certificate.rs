//! Facts about certificates and keys, and the rules of step 10 that judge them.

use alloc::string::String;
use alloc::vec::Vec;

use crate::error::ProvisioningError;
use crate::identity::DeviceId;
use crate::pairing::Sha256Digest;
use crate::settings::ServerHost;
use crate::time::Timestamp;

/// What is kept about each installed certificate (`context.md`, "Tracked").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateSummary {
    /// Serial number, lower-case hexadecimal.
    pub serial: String,
    /// Subject, RFC 4514 style.
    pub subject: String,
    /// Issuer, RFC 4514 style.
    pub issuer: String,
    /// Start of validity.
    pub not_before: Timestamp,
    /// End of validity.
    pub not_after: Timestamp,
    /// SHA-256 of the DER encoding.
    pub sha256: Sha256Digest,
}

/// Certificates that passed step 10; only [`judge`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertifiedBundle {
    client: Vec<CertificateSummary>,
    ca: Vec<CertificateSummary>,
    server: Vec<CertificateSummary>,
}

impl CertifiedBundle {
    /// The client's chain, leaf first, never empty.
    #[must_use]
    pub fn client(&self) -> &[CertificateSummary] {
        &self.client
    }

    /// The trust roots, never empty.
    #[must_use]
    pub fn ca(&self) -> &[CertificateSummary] {
        &self.ca
    }

    /// The pinned server certificate's chain, leaf first; empty where nothing is pinned.
    #[must_use]
    pub fn server(&self) -> &[CertificateSummary] {
        &self.server
    }

    /// The client's own certificate.
    #[must_use]
    pub fn leaf(&self) -> &CertificateSummary {
        &self.client[0]
    }
}

/// What the PEM texts of one payload turned out to be.
#[derive(Clone, Debug)]
pub struct BundleFacts {}

/// What the bundle is judged against.
#[derive(Clone, Copy, Debug)]
pub struct Expectation<'a> {
    /// The device that the client certificate must name.
    pub device_id: &'a DeviceId,
    /// The host that a pinned server certificate must name.
    pub server_host: &'a ServerHost,
    /// Now: the later of wall clock, floor and the payload's verified timestamp.
    pub now: Timestamp,
    /// Only then is the start of validity enforced.
    pub synchronised: bool,
}

/// Step 10 of the validation order.
///
/// # Errors
/// `InvalidCertificate`, naming which certificate or key and why.
pub fn judge(facts: &BundleFacts, expected: &Expectation<'_>) -> Result<CertifiedBundle, ProvisioningError> {
    let _ = (facts, expected);
    Err(crate::error::ErrorCode::InvalidCertificate.into())
}
