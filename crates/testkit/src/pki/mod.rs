//! PKI fixtures: keys and certificates with every property open to change, good by default.
//!
//! OpenSSL makes them, so that what the device's own parsers read was written by other hands; and it can make what
//! careful libraries refuse to make.

mod extension;
mod key;

use openssl::asn1::{Asn1Integer, Asn1Object, Asn1OctetString, Asn1Time, Asn1Type};
use openssl::bn::BigNum;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::x509::{X509, X509Builder, X509Extension, X509Name, X509NameBuilder};
use zmon_domain::time::Timestamp;

pub use extension::{AlternativeName, Extension, oid, usage};
pub use key::{Key, KeyType};

/// The moment around which fixtures are valid: 2027-01-01T00:00:00Z.
pub const NOW: Timestamp = Timestamp::from_unix_seconds(NOW_SECONDS);
const NOW_SECONDS: i64 = 1_798_761_600;
/// One day in seconds.
pub const DAY: i64 = 86_400;

/// What a certificate will say.
#[derive(Clone)]
pub struct Template {
    /// 0 for version 1, 2 for version 3.
    pub version: i32,
    /// Magnitude of the serial number, most significant octet first.
    pub serial: Vec<u8>,
    /// Whether the serial number is negative.
    pub negative_serial: bool,
    /// Organisation of the subject; left out where it is empty.
    pub organisation: String,
    /// Common name of the subject; left out where it is empty.
    pub common_name: String,
    /// How the common name is encoded; the text's UTF-8 octets are taken as they are.
    pub common_name_type: Asn1Type,
    /// Start of validity, seconds since 1970.
    pub not_before: i64,
    /// End of validity, seconds since 1970.
    pub not_after: i64,
    /// Hash under the signature; Ed25519 has its own.
    pub digest: MessageDigest,
    /// Its extensions in their order.
    pub extensions: Vec<Extension>,
    /// Whether subject and authority key identifiers are added, where they are not among the extensions.
    pub key_identifiers: bool,
}

impl Template {
    fn new(common_name: &str, extensions: Vec<Extension>) -> Self {
        Self {
            version: 2,
            serial: vec![0x13, 0x37, 0, 1],
            negative_serial: false,
            organisation: "General Hospital".into(),
            common_name: common_name.into(),
            common_name_type: Asn1Type::UTF8STRING,
            not_before: NOW_SECONDS - DAY,
            not_after: NOW_SECONDS + 3650 * DAY,
            digest: MessageDigest::sha256(),
            extensions,
            key_identifiers: true,
        }
    }

    /// A CA, root or intermediate.
    #[must_use]
    pub fn ca(common_name: &str) -> Self {
        Self::new(
            common_name,
            vec![
                Extension::basic_constraints(true, true, None),
                Extension::key_usage(usage::CERTIFICATE_SIGNING | usage::CRL_SIGNING),
            ],
        )
    }

    /// A client's leaf, with its device id as the common name.
    #[must_use]
    pub fn client(device_id: &str) -> Self {
        Self::new(
            device_id,
            vec![
                Extension::basic_constraints(true, false, None),
                Extension::key_usage(usage::DIGITAL_SIGNATURE),
                Extension::extended_key_usage(&[oid::CLIENT_AUTH]),
            ],
        )
    }

    /// A server's leaf, with its DNS name as alternative name.
    #[must_use]
    pub fn server(host: &str) -> Self {
        Self::new(
            "Telemetry server",
            vec![
                Extension::basic_constraints(true, false, None),
                Extension::key_usage(usage::DIGITAL_SIGNATURE),
                Extension::extended_key_usage(&[oid::SERVER_AUTH]),
                Extension::alternative_names(&[AlternativeName::Dns(host)]),
            ],
        )
    }

    /// With a change.
    #[must_use]
    pub fn but(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// With this extension, instead of the one of the same kind where there is one.
    #[must_use]
    pub fn with(self, extension: Extension) -> Self {
        self.without(extension.oid)
            .but(|template| template.extensions.push(extension))
    }

    /// Without the extension of this kind.
    #[must_use]
    pub fn without(self, oid: &str) -> Self {
        self.but(|template| template.extensions.retain(|extension| extension.oid != oid))
    }

    /// Signed with its own key.
    #[must_use]
    pub fn self_signed(&self, key: Key) -> Identity {
        self.sign(&self.name(), &key.clone(), key)
    }

    /// Issued by a CA for a fresh P-256 key.
    #[must_use]
    pub fn issued_by(&self, issuer: &Identity) -> Identity {
        self.issued_for(Key::new(KeyType::P256), issuer)
    }

    /// Issued by a CA for this key.
    #[must_use]
    pub fn issued_for(&self, key: Key, issuer: &Identity) -> Identity {
        let name = issuer.certificate.subject_name().to_owned().expect("memory");
        self.sign(&name, &issuer.key, key)
    }

    fn sign(&self, issuer: &X509Name, signer: &Key, key: Key) -> Identity {
        self.build(issuer, signer, &key)
            .map(|certificate| Identity { certificate, key })
            .expect("OpenSSL makes the certificate")
    }

    fn build(&self, issuer: &X509Name, signer: &Key, key: &Key) -> Result<X509, openssl::error::ErrorStack> {
        let mut serial = BigNum::from_slice(&self.serial)?;
        serial.set_negative(self.negative_serial);
        let mut builder = X509Builder::new()?;
        builder.set_version(self.version)?;
        builder.set_serial_number(&*Asn1Integer::from_bn(&serial)?)?;
        builder.set_subject_name(&self.name())?;
        builder.set_issuer_name(issuer)?;
        builder.set_not_before(&*Asn1Time::from_unix(self.not_before)?)?;
        builder.set_not_after(&*Asn1Time::from_unix(self.not_after)?)?;
        builder.set_pubkey(&key.0)?;
        let identifiers = [
            Extension::subject_key_identifier(&key.identifier()),
            Extension::authority_key_identifier(&signer.identifier()),
        ];
        let added = identifiers.iter().filter(|identifier| {
            self.key_identifiers && self.version == 2 && self.extensions.iter().all(|own| own.oid != identifier.oid)
        });
        for extension in self.extensions.iter().chain(added) {
            let kind = Asn1Object::from_str(extension.oid)?;
            let value = Asn1OctetString::new_from_bytes(&extension.value)?;
            builder.append_extension(X509Extension::new_from_der(&kind, extension.critical, &value)?)?;
        }
        builder.sign(&signer.0, signer.digest(self.digest))?;
        Ok(builder.build())
    }

    fn name(&self) -> X509Name {
        let name = || {
            let mut name = X509NameBuilder::new()?;
            if !self.organisation.is_empty() {
                name.append_entry_by_nid(Nid::ORGANIZATIONNAME, &self.organisation)?;
            }
            if !self.common_name.is_empty() {
                name.append_entry_by_nid_with_type(Nid::COMMONNAME, &self.common_name, self.common_name_type)?;
            }
            Ok::<_, openssl::error::ErrorStack>(name.build())
        };
        name().expect("OpenSSL makes the name")
    }
}

/// A certificate and its key.
#[derive(Clone)]
pub struct Identity {
    certificate: X509,
    /// Its key.
    pub key: Key,
}

impl Identity {
    /// PEM, `CERTIFICATE`.
    #[must_use]
    pub fn pem(&self) -> String {
        text(self.certificate.to_pem().expect("a certificate"))
    }

    /// DER.
    #[must_use]
    pub fn der(&self) -> Vec<u8> {
        self.certificate.to_der().expect("a certificate")
    }
}

/// One hospital's certificates: a root, a monitor's and the server's.
#[derive(Clone)]
pub struct Pki {
    /// The root.
    pub ca: Identity,
    /// The monitor.
    pub client: Identity,
    /// The server.
    pub server: Identity,
}

impl Pki {
    /// All good, all P-256.
    #[must_use]
    pub fn new(device_id: &str, host: &str) -> Self {
        let ca = Template::ca("Z-Monitor-CA").self_signed(Key::new(KeyType::P256));
        Self {
            client: Template::client(device_id).issued_by(&ca),
            server: Template::server(host).issued_by(&ca),
            ca,
        }
    }

    /// The four PEM fields of a payload.
    #[must_use]
    pub fn texts(&self) -> Texts {
        Texts {
            client_certificate: self.client.pem(),
            client_private_key: self.client.key.pkcs8_pem(),
            ca_certificate: self.ca.pem(),
            server_certificate: Some(self.server.pem()),
        }
    }
}

/// The four PEM fields of a payload.
#[derive(Clone)]
pub struct Texts {
    /// `clientCertificate`.
    pub client_certificate: String,
    /// `clientPrivateKey`.
    pub client_private_key: String,
    /// `caCertificate`.
    pub ca_certificate: String,
    /// `serverCertificate`.
    pub server_certificate: Option<String>,
}

/// A PEM block around any content.
#[must_use]
pub fn pem(label: &str, content: &[u8]) -> String {
    let base64 = openssl::base64::encode_block(content);
    let lines: Vec<&str> = base64
        .as_bytes()
        .chunks(64)
        .map(|line| str::from_utf8(line).expect("base64 is ASCII"))
        .collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

fn text(pem: Vec<u8>) -> String {
    String::from_utf8(pem).expect("PEM is ASCII")
}
