//! The handshake: the payload's client certificate, its CA and nothing else, its pin.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::ring::{default_provider, sign::any_supported_type};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use zeroize::Zeroizing;
use zmon_domain::checks::ConnectionTarget;
use zmon_domain::settings::ServerHost;
use zmon_ports::ConnectionFault;

use crate::words;

pub(crate) async fn handshake(
    target: ConnectionTarget<'_>,
    stream: TcpStream,
) -> Result<TlsStream<TcpStream>, ConnectionFault> {
    // What passed step 10 can be set up.
    let config = client_config(target).map_err(|cause| words::unusable(&cause))?;
    let name = server_name(target.server_url.host()).map_err(|cause| words::unusable(&cause))?;
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .map_err(|fault| words::handshake_failed(&fault))
}

fn server_name(host: &ServerHost) -> Result<ServerName<'static>, rustls::pki_types::InvalidDnsNameError> {
    match host {
        ServerHost::Address(address) => Ok(ServerName::IpAddress((*address).into())),
        // The root's dot is no part of a name in a certificate.
        ServerHost::Name(name) => ServerName::try_from(name.trim_end_matches('.').to_owned()),
    }
}

fn client_config(target: ConnectionTarget<'_>) -> Result<ClientConfig, String> {
    let credentials = target.credentials;
    let provider = Arc::new(default_provider());
    let mut roots = RootCertStore::empty();
    for root in certificates(&credentials.ca_certificate)? {
        roots.add(root).map_err(|fault| fault.to_string())?;
    }
    let chain = WebPkiServerVerifier::builder_with_provider(roots.into(), Arc::clone(&provider))
        .build()
        .map_err(|fault| fault.to_string())?;
    let pinned = credentials
        .server_certificate
        .as_deref()
        .map(certificates)
        .transpose()?;
    let verifier = Verifier {
        chain,
        pinned: pinned.and_then(|chain| chain.into_iter().next()),
        at: UnixTime::since_unix_epoch(Duration::from_millis(target.at.as_millis())),
        synchronised: target.synchronised,
    };
    let key = PrivateKeyDer::from_pem_slice(credentials.client_private_key.expose().as_bytes());
    let key = Zeroizing::new(key.map_err(|_| "the private key is not one PEM block".to_owned())?);
    let key = any_supported_type(&key).map_err(|fault| fault.to_string())?;
    let client = CertifiedKey::new(certificates(&credentials.client_certificate)?, key);
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|fault| fault.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(client)));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = Resumption::disabled();
    Ok(config)
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let blocks: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    blocks.map_err(|fault| fault.to_string())
}

/// Chain and name at a given time, and the pin.
#[derive(Debug)]
struct Verifier {
    chain: Arc<WebPkiServerVerifier>,
    pinned: Option<CertificateDer<'static>>,
    at: UnixTime,
    synchronised: bool,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let mut now = self.at;
        let verified = loop {
            let verified = self
                .chain
                .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
            match verified {
                // Without a clock nobody knows that it is too early. Later and later: this ends with the chain.
                Err(Error::InvalidCertificate(CertificateError::NotValidYetContext { not_before, .. }))
                    if !self.synchronised && not_before > now =>
                {
                    now = not_before;
                }
                verified => break verified?,
            }
        };
        match &self.pinned {
            Some(pinned) if pinned != end_entity => Err(CertificateError::ApplicationVerificationFailure.into()),
            _ => Ok(verified),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}
