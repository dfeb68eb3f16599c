//! A certificate authority for devices and servers: ECDSA P-256 throughout.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use zmon_domain::identity::DeviceId;
use zmon_domain::pairing::Sha256Digest;
use zmon_domain::secret::SecretText;
use zmon_domain::settings::ServerHost;
use zmon_domain::time::Timestamp;

use crate::fault::{Fault, FaultCode};
use crate::sha256;

/// How long a certificate authority is valid: ten years.
const CA_LIFETIME: Duration = Duration::from_secs(3_650 * 86_400);
/// How long an issued certificate is valid: one year.
pub const LEAF_LIFETIME: Duration = Duration::from_secs(365 * 86_400);
/// Validity begins a little in the past: the clocks of station and device differ.
const BACKDATED: Duration = Duration::from_secs(300);

/// A certificate authority.
pub struct CertificateAuthority {
    issuer: Issuer<'static, KeyPair>,
    key_pem: SecretText,
    certificate_pem: String,
}

/// A certificate and its private key, as PEM.
pub struct Issued {
    /// The certificate.
    pub certificate_pem: String,
    /// Its private key, PKCS#8.
    pub private_key_pem: SecretText,
    /// SHA-256 of the certificate's DER.
    pub sha256: Sha256Digest,
    /// The certificate's DER.
    pub der: Vec<u8>,
}

impl fmt::Debug for CertificateAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CertificateAuthority")
    }
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Issued({})", self.sha256.to_hex())
    }
}

impl CertificateAuthority {
    /// A fresh one.
    ///
    /// # Errors
    /// Where no key can be made.
    pub fn create(name: &str) -> Result<Self, Fault> {
        let mut params = params(name, CA_LIFETIME);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().map_err(fault)?;
        let certificate_pem = params.self_signed(&key).map_err(fault)?.pem();
        let key_pem = SecretText::new(key.serialize_pem());
        Ok(Self {
            issuer: Issuer::new(params, key),
            key_pem,
            certificate_pem,
        })
    }

    /// One that was created before.
    ///
    /// # Errors
    /// Where a text is not what it should be, or key and certificate do not belong together.
    pub fn from_pem(key_pem: &SecretText, certificate_pem: &str) -> Result<Self, Fault> {
        let key = KeyPair::from_pem(key_pem.expose()).map_err(fault)?;
        let issuer = Issuer::from_ca_cert_pem(certificate_pem, key).map_err(fault)?;
        Ok(Self {
            issuer,
            key_pem: key_pem.clone(),
            certificate_pem: certificate_pem.into(),
        })
    }

    /// Its certificate.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// Its private key.
    #[must_use]
    pub const fn key_pem(&self) -> &SecretText {
        &self.key_pem
    }

    /// A client certificate that names this device, and its key.
    ///
    /// # Errors
    /// Where no key can be made.
    pub fn issue_client(&self, device_id: &DeviceId) -> Result<Issued, Fault> {
        let mut params = params(device_id.as_str(), LEAF_LIFETIME);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(params)
    }

    /// A server certificate for this host, to be pinned, and its key.
    ///
    /// # Errors
    /// Where no certificate that monitors accept can name the host, or no key can be made.
    pub fn issue_server(&self, host: &ServerHost) -> Result<Issued, Fault> {
        let (name, alternative) = match host {
            ServerHost::Address(address) => (address.to_string(), SanType::IpAddress(IpAddr::clone(address))),
            // URLs may have such hosts, certificates may not (RFC 5280, 4.2.1.6).
            ServerHost::Name(name) if name.contains('_') => {
                return Err(fault(
                    "a certificate cannot name a host with an underscore; give it another name",
                ));
            }
            ServerHost::Name(name) => {
                // The root's dot is no part of a name in a certificate.
                let name = name.trim_end_matches('.');
                (name.into(), SanType::DnsName(name.try_into().map_err(fault)?))
            }
        };
        let mut params = params(&name, LEAF_LIFETIME);
        params.subject_alt_names = vec![alternative];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.issue(params)
    }

    fn issue(&self, mut params: CertificateParams) -> Result<Issued, Fault> {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().map_err(fault)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(fault)?;
        Ok(Issued {
            certificate_pem: certificate.pem(),
            private_key_pem: SecretText::new(key.serialize_pem()),
            sha256: sha256(certificate.der()),
            der: certificate.der().to_vec(),
        })
    }
}

fn params(common_name: &str, lifetime: Duration) -> CertificateParams {
    let now = clock();
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.not_before = now - BACKDATED;
    params.not_after = now + lifetime;
    params
}

/// The station's wall clock.
#[must_use]
pub fn now() -> Timestamp {
    let millis = clock().unix_timestamp_nanos() / 1_000_000;
    Timestamp::from_millis(u64::try_from(millis).unwrap_or_default())
}

/// A moment, as people and programs write it (RFC 3339, UTC).
#[must_use]
pub fn written(at: Timestamp) -> String {
    let nanos = i128::from(at.as_millis()) * 1_000_000;
    let time = OffsetDateTime::from_unix_timestamp_nanos(nanos).ok();
    time.and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_else(|| "an impossible time".into())
}

#[expect(clippy::disallowed_methods, reason = "the station's one look at the clock")]
fn clock() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

fn fault(error: impl fmt::Display) -> Fault {
    Fault::new(
        FaultCode::CannotMake,
        format!("The certificate authority failed: {error}."),
    )
}
