//! The session's TLS key and certificate, and what TLS may do with them.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
    PublicKeyData, SanType, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::crypto::ring::sign::any_ecdsa_type;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use zeroize::Zeroize;
use zmon_domain::pairing::TlsPin;
use zmon_ports::ListenerFault;

/// What one session presents to whoever connects.
#[derive(Debug)]
pub(crate) struct TlsIdentity {
    pub(crate) config: Arc<ServerConfig>,
    pub(crate) pin: TlsPin,
}

impl TlsIdentity {
    /// A fresh ECDSA P-256 key and its self-signed certificate for `address` (`protocol.md`, "Keys").
    ///
    /// # Errors
    /// Where the operating system gives no random bytes.
    pub(crate) fn generate(address: IpAddr) -> Result<Self, ListenerFault> {
        let mut key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|e| fault("make a TLS key", &e))?;
        let certificate = certificate_for(address)
            .self_signed(&key)
            .map_err(|e| fault("sign the TLS certificate", &e))?;
        let pin = ring::digest::digest(&ring::digest::SHA256, &key.subject_public_key_info());
        let pin = pin.as_ref().try_into().map_err(|e| fault("compute the TLS pin", &e))?;

        // Erased copies leave one key, inside the signing key, which lives as long as the listener.
        let mut der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        key.zeroize();
        let signing_key = any_ecdsa_type(&der);
        der.zeroize();
        let signing_key = signing_key.map_err(|e| fault("use the TLS key", &e))?;

        let certified = CertifiedKey::new(vec![certificate.der().clone()], signing_key);
        Ok(Self {
            config: Arc::new(server_config(certified)?),
            pin: TlsPin::new(pin),
        })
    }
}

fn certificate_for(address: IpAddr) -> CertificateParams {
    let mut params = CertificateParams::default();
    // The pin decides, not the clock, which may say 1970. The end is RFC 5280's "no well-defined expiration date".
    params.not_before = date_time_ymd(1970, 1, 1);
    params.not_after = date_time_ymd(9999, 12, 31) + Duration::from_secs(86_399);
    params.subject_alt_names = vec![SanType::IpAddress(address)];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Z Monitor pairing");
    params
}

/// TLS 1.2 with ECDHE and AEAD (rustls knows no other suites) and 1.3, HTTP/1.1 only, no 0-RTT, no resumption of any kind.
fn server_config(certified: CertifiedKey) -> Result<ServerConfig, ListenerFault> {
    let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(|e| fault("set up TLS", &e))?
        .with_no_client_auth();
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.max_early_data_size = 0;
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    // The default `ticketer` never makes a ticket; tests watch that none is offered.
    Ok(config)
}

fn fault(what: &str, why: &impl std::fmt::Display) -> ListenerFault {
    ListenerFault {
        cause: format!("could not {what}: {why}"),
    }
}
