//! PEM and DER in, facts about certificates and keys out.
//!
//! This crate accepts and rejects nothing: the rules of step 10 are `zmon_domain::certificate::judge`. It reads no clock;
//! the moment for which paths are built is an argument.

mod certificate;
mod form;
mod key;
mod name;
mod path;
mod pem;

use webpki::KeyUsage;
use zmon_domain::certificate::{BundleFacts, ChainFacts, MAX_CERTIFICATES, PemFacts, Possession, PrivateKeyFacts};
use zmon_domain::secret::SecretText;
use zmon_domain::time::Timestamp;
use zmon_ports::{CertificateBundle, CertificateFacts};

use crate::certificate::Certificate;
use crate::path::Moment;

/// The PEM texts of one bundle, wherever they come from, and the moment they are examined for.
///
/// No `Debug`: it holds a private key.
#[derive(Clone, Copy)]
pub struct BundleTexts<'a> {
    /// The client's certificate, leaf first.
    pub client_certificate: &'a str,
    /// The client's key.
    pub client_private_key: &'a str,
    /// The trust roots.
    pub ca_certificate: &'a str,
    /// The pinned server certificate, leaf first.
    pub server_certificate: Option<&'a str>,
    /// The moment for which certificate paths are built.
    pub at: Timestamp,
    /// Where false, paths may also be built for a later moment at which the certificates have become valid.
    pub synchronised: bool,
}

/// Examines the texts of a bundle. Every input gives facts; nothing is refused and nothing panics.
#[must_use]
pub fn examine_texts(texts: &BundleTexts<'_>) -> BundleFacts {
    let client = certificates(texts.client_certificate);
    let ca = certificates(texts.ca_certificate);
    let server = texts.server_certificate.map(certificates);
    let key = private_key(texts.client_private_key, &client);

    let moment = Moment {
        at: texts.at,
        synchronised: texts.synchronised,
    };
    let chain = |certificates: PemFacts<Certificate>, usage| ChainFacts {
        path: path::build(&certificates, &ca, usage, moment),
        certificates: certificates.map(|certificate| certificate.details),
    };
    BundleFacts {
        client: chain(client, KeyUsage::client_auth()),
        key,
        server: server.map(|server| chain(server, KeyUsage::server_auth())),
        ca: ca.map(|certificate| certificate.details),
    }
}

fn private_key(text: &str, client: &PemFacts<Certificate>) -> PemFacts<PrivateKeyFacts> {
    pem::read(text, 1, &key::LABELS, |label, der| {
        key::examine(label, der, client.read().next())
    })
}

fn certificates(text: &str) -> PemFacts<Certificate> {
    pem::read(text, MAX_CERTIFICATES, &["CERTIFICATE"], |_, der| {
        Certificate::examine(der)
    })
}

/// The port's adapter on rustls-webpki, x509-parser and ring.
#[derive(Clone, Copy, Debug, Default)]
pub struct WebpkiCertificateFacts;

impl CertificateFacts for WebpkiCertificateFacts {
    fn examine(&self, bundle: CertificateBundle<'_>) -> BundleFacts {
        examine_texts(&BundleTexts {
            client_certificate: bundle.payload.client_certificate(),
            client_private_key: bundle.payload.client_private_key().expose(),
            ca_certificate: bundle.payload.ca_certificate(),
            server_certificate: bundle.payload.server_certificate(),
            at: bundle.at,
            synchronised: bundle.synchronised,
        })
    }

    fn key_belongs(&self, client_certificate: &str, client_private_key: &SecretText) -> bool {
        let facts = private_key(client_private_key.expose(), &certificates(client_certificate));
        facts.read().any(|key| key.possession == Possession::Proven)
    }
}
