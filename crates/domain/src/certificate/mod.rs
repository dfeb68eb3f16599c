//! Facts about certificates and keys, and the rules of step 10 that judge them.

mod facts;
mod refusal;
mod rules;
#[cfg(test)]
mod tests;

use alloc::string::String;
use alloc::vec::Vec;

use crate::error::ProvisioningError;
use crate::identity::DeviceId;
use crate::pairing::Sha256Digest;
use crate::settings::ServerHost;
use crate::time::Timestamp;

pub use facts::{
    AuthorityKeyIdentifier, BasicConstraints, Block, BundleFacts, CertificateDetails, ChainFacts, ExtendedKeyUsage,
    KeyKind, KeyUsage, MAX_CERTIFICATES, MAX_PEM_BYTES, PathFacts, PemFacts, Possession, PrivateKeyFacts,
    SignatureKind,
};
pub use refusal::{Field, Reason, Refusal};

/// What is kept about each installed certificate (`docs/decisions.md`, "Tracked").
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

/// Certificates that passed step 10: made by [`judge`], or read back by [`CertifiedBundle::from_stored`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertifiedBundle {
    client: Vec<CertificateSummary>,
    ca: Vec<CertificateSummary>,
    server: Vec<CertificateSummary>,
}

impl CertifiedBundle {
    /// What was stored about a bundle that [`judge`] once passed; none where the client's or the CA's list is empty.
    #[must_use]
    pub fn from_stored(
        client: Vec<CertificateSummary>,
        ca: Vec<CertificateSummary>,
        server: Vec<CertificateSummary>,
    ) -> Option<Self> {
        (!client.is_empty() && !ca.is_empty()).then_some(Self { client, ca, server })
    }

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

/// As much of an [`Expectation`] as is known without a device. Rules about what is not known are left out, so nothing is
/// certified by it.
#[derive(Clone, Copy, Debug)]
pub struct Criteria<'a> {
    /// The device that the client certificate must name.
    pub device_id: Option<&'a DeviceId>,
    /// The host that a pinned server certificate must name.
    pub server_host: Option<&'a ServerHost>,
    /// Now.
    pub now: Timestamp,
    /// Only then is the start of validity enforced.
    pub synchronised: bool,
}

impl<'a> From<&Expectation<'a>> for Criteria<'a> {
    fn from(expected: &Expectation<'a>) -> Self {
        Self {
            device_id: Some(expected.device_id),
            server_host: Some(expected.server_host),
            now: expected.now,
            synchronised: expected.synchronised,
        }
    }
}

/// Step 10 of the validation order. The most basic fault is told first: what the texts are, keys, validity, chains, use,
/// names; within each, fields in the order of the protocol's table.
///
/// # Errors
/// `InvalidCertificate`: the first of the [`objections`], which names the field, the block and the reason.
pub fn judge(facts: &BundleFacts, expected: &Expectation<'_>) -> Result<CertifiedBundle, ProvisioningError> {
    Ok(rules::judge(facts, expected)?)
}

/// Everything that step 10 objects to, in the order of [`judge`], so that all of it can be mended at once. What no more
/// than follows from another fault is left out: that no path leads through a certificate that cannot be read, for example.
#[must_use]
pub fn objections(facts: &BundleFacts, criteria: &Criteria<'_>) -> Vec<Refusal> {
    rules::objections(facts, criteria)
}
