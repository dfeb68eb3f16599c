//! One certificate's facts.

use std::collections::BTreeSet;
use std::net::IpAddr;

use rustls_pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension, X509Extension};
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_NIST_HASH_SHA256, OID_NIST_HASH_SHA384,
    OID_NIST_HASH_SHA512, OID_PKCS1_RSAENCRYPTION, OID_PKCS1_RSASSAPSS, OID_PKCS1_SHA256WITHRSA,
    OID_PKCS1_SHA384WITHRSA, OID_PKCS1_SHA512WITHRSA, OID_PKIX_AUTHORITY_INFO_ACCESS, OID_SIG_ECDSA_WITH_SHA256,
    OID_SIG_ECDSA_WITH_SHA384, OID_SIG_ECDSA_WITH_SHA512, OID_SIG_ED25519, OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER,
    OID_X509_EXT_BASIC_CONSTRAINTS, OID_X509_EXT_EXTENDED_KEY_USAGE, OID_X509_EXT_INHIBIT_ANY_POLICY,
    OID_X509_EXT_KEY_USAGE, OID_X509_EXT_NAME_CONSTRAINTS, OID_X509_EXT_POLICY_CONSTRAINTS,
    OID_X509_EXT_SUBJECT_ALT_NAME, OID_X509_EXT_SUBJECT_KEY_IDENTIFIER, Oid,
};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::RSAPublicKey;
use x509_parser::signature_algorithm::RsaSsaPssParams;
use x509_parser::x509::{AlgorithmIdentifier, SubjectPublicKeyInfo, X509Version};
use zmon_domain::certificate::{
    AuthorityKeyIdentifier, BasicConstraints, CertificateDetails, CertificateSummary, ExtendedKeyUsage, KeyKind,
    KeyUsage, SignatureKind,
};
use zmon_domain::pairing::Sha256Digest;
use zmon_domain::time::Timestamp;

use crate::{form, name};

/// What these facts and path building take into account; any other critical extension is unknown.
const KNOWN_EXTENSIONS: [Oid<'static>; 5] = [
    OID_X509_EXT_KEY_USAGE,
    OID_X509_EXT_SUBJECT_ALT_NAME,
    OID_X509_EXT_BASIC_CONSTRAINTS,
    OID_X509_EXT_NAME_CONSTRAINTS,
    OID_X509_EXT_EXTENDED_KEY_USAGE,
];

/// Further extensions that have to be what their name says; of no other one anybody looks inside.
const DECODABLE_EXTENSIONS: [Oid<'static>; 3] = [
    OID_X509_EXT_SUBJECT_KEY_IDENTIFIER,
    OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER,
    OID_PKIX_AUTHORITY_INFO_ACCESS,
];

/// Extensions that RFC 5280 wants to be critical, and that are not taken into account.
const CRITICAL_BY_RULE: [Oid<'static>; 2] = [OID_X509_EXT_POLICY_CONSTRAINTS, OID_X509_EXT_INHIBIT_ANY_POLICY];

/// A certificate with its encoding, which path building needs.
pub(crate) struct Certificate {
    pub(crate) der: CertificateDer<'static>,
    pub(crate) details: CertificateDetails,
    /// How many intermediates may stand between this CA and a leaf, where it says so.
    pub(crate) most_intermediates: Option<u32>,
}

impl Certificate {
    /// None where it is no certificate, or one that path building cannot read.
    pub(crate) fn examine(der: &[u8]) -> Option<Self> {
        let Ok(([], certificate)) = X509Certificate::from_der(der) else {
            return None;
        };
        let details = details(der, &certificate)?;
        let most_intermediates = certificate
            .basic_constraints()
            .ok()
            .flatten()
            .and_then(|constraints| constraints.value.path_len_constraint);
        let der = CertificateDer::from(der.to_vec());
        // A second, stricter opinion; what it would also refuse for a fault that the facts name is left to the rules.
        let readable = webpki::anchor_from_trusted_cert(&der).is_ok();
        (readable || details.duplicate_extension || !details.version_3).then_some(Self {
            der,
            details,
            most_intermediates,
        })
    }
}

/// None where an extension that matters cannot be decoded.
fn details(der: &[u8], certificate: &X509Certificate<'_>) -> Option<CertificateDetails> {
    let subject = certificate.subject();
    let validity = certificate.validity();
    let serial = certificate.raw_serial();
    let mut details = CertificateDetails {
        summary: CertificateSummary {
            serial: name::hex(match serial {
                [0, magnitude @ ..] if !magnitude.is_empty() => magnitude,
                all => all,
            }),
            subject: name::rfc4514(subject),
            issuer: name::rfc4514(certificate.issuer()),
            not_before: Timestamp::from_unix_seconds(validity.not_before.timestamp()),
            not_after: Timestamp::from_unix_seconds(validity.not_after.timestamp()),
            sha256: sha256(der),
        },
        version_3: certificate.version() == X509Version::V3,
        serial: serial.to_vec(),
        key: key_kind(certificate.public_key()),
        signature: signature_kind(&certificate.signature_algorithm),
        control_characters: [subject, certificate.issuer()]
            .into_iter()
            .any(name::has_control_character),
        duplicate_extension: false,
        unknown_critical_extension: false,
        malformed_name: false,
        self_issued: subject.as_raw() == certificate.issuer().as_raw(),
        subject_key_identifier: None,
        authority_key_identifier: None,
        basic_constraints: None,
        key_usage: None,
        extended_key_usage: None,
        name_constraints_critical: None,
        alternative_name_critical: None,
        common_names: subject.iter_common_name().filter_map(name::text).collect(),
        dns_names: Vec::new(),
        uris: Vec::new(),
        addresses: Vec::new(),
    };
    let mut seen = BTreeSet::new();
    for extension in certificate.extensions() {
        details.duplicate_extension |= !seen.insert(extension.oid.as_bytes());
        note_extension(extension, &mut details)?;
    }
    Some(details)
}

fn sha256(der: &[u8]) -> Sha256Digest {
    let digest = ring::digest::digest(&ring::digest::SHA256, der);
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest.as_ref());
    Sha256Digest::new(bytes)
}

/// None where an extension that matters cannot be decoded.
fn note_extension(extension: &X509Extension<'_>, details: &mut CertificateDetails) -> Option<()> {
    let critical = extension.critical;
    let known = KNOWN_EXTENSIONS.contains(&extension.oid);
    details.unknown_critical_extension |= !known && (critical || CRITICAL_BY_RULE.contains(&extension.oid));
    match extension.parsed_extension() {
        ParsedExtension::BasicConstraints(constraints) => {
            let ca = constraints.ca;
            details.basic_constraints = Some(BasicConstraints { critical, ca });
        }
        ParsedExtension::KeyUsage(usage) => {
            details.key_usage = Some(KeyUsage {
                certificate_signing: usage.key_cert_sign(),
                crl_signing: usage.crl_sign(),
            });
        }
        ParsedExtension::ExtendedKeyUsage(usage) => {
            details.extended_key_usage = Some(ExtendedKeyUsage {
                critical,
                any: usage.any,
                client_auth: usage.client_auth,
                server_auth: usage.server_auth,
            });
        }
        ParsedExtension::SubjectAlternativeName(names) => {
            details.alternative_name_critical = Some(critical);
            for name in &names.general_names {
                note_name(name, details)?;
            }
        }
        ParsedExtension::NameConstraints(constraints) => {
            details.name_constraints_critical = Some(critical);
            details.malformed_name |= !form::are_constraints(constraints);
        }
        ParsedExtension::SubjectKeyIdentifier(identifier) => {
            details.subject_key_identifier = Some(identifier.0.to_vec());
        }
        ParsedExtension::AuthorityKeyIdentifier(identifier) => {
            details.authority_key_identifier = Some(AuthorityKeyIdentifier {
                key_identifier: identifier.key_identifier.as_ref().map(|key| key.0.to_vec()),
                names_certificate: identifier.authority_cert_issuer.is_some()
                    || identifier.authority_cert_serial.is_some(),
            });
        }
        ParsedExtension::ParseError { .. } if known || DECODABLE_EXTENSIONS.contains(&extension.oid) => return None,
        _ => {}
    }
    Some(())
}

/// None where the name cannot be decoded. The texts are IA5 (RFC 5280, 4.2.1.6), which the parser does not enforce.
fn note_name(name: &GeneralName<'_>, details: &mut CertificateDetails) -> Option<()> {
    match name {
        GeneralName::DNSName(text) | GeneralName::URI(text) | GeneralName::RFC822Name(text) => {
            if !text.is_ascii() {
                return None;
            }
            details.control_characters |= text.contains(char::is_control);
        }
        GeneralName::DirectoryName(name) => details.control_characters |= name::has_control_character(name),
        GeneralName::Invalid(..) => return None,
        GeneralName::IPAddress(_)
        | GeneralName::OtherName(..)
        | GeneralName::X400Address(_)
        | GeneralName::EDIPartyName(_)
        | GeneralName::RegisteredID(_) => {}
    }
    details.malformed_name |= !form::is_name(name);
    match name {
        GeneralName::DNSName(text) => details.dns_names.push((*text).to_owned()),
        GeneralName::URI(text) => details.uris.push((*text).to_owned()),
        GeneralName::IPAddress(octets) => details.addresses.push(address(octets)?),
        _ => {}
    }
    Some(())
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(octets).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from)).ok()
}

fn signature_kind(algorithm: &AlgorithmIdentifier<'_>) -> SignatureKind {
    const SHA2: [Oid<'static>; 6] = [
        OID_PKCS1_SHA256WITHRSA,
        OID_PKCS1_SHA384WITHRSA,
        OID_PKCS1_SHA512WITHRSA,
        OID_SIG_ECDSA_WITH_SHA256,
        OID_SIG_ECDSA_WITH_SHA384,
        OID_SIG_ECDSA_WITH_SHA512,
    ];
    const SHA2_HASHES: [Oid<'static>; 3] = [OID_NIST_HASH_SHA256, OID_NIST_HASH_SHA384, OID_NIST_HASH_SHA512];
    let oid = &algorithm.algorithm;
    let pss_hash_is_sha2 = || {
        algorithm
            .parameters()
            .and_then(|parameters| RsaSsaPssParams::try_from(parameters).ok())
            .is_some_and(|parameters| SHA2_HASHES.contains(parameters.hash_algorithm_oid()))
    };
    if SHA2.contains(oid) || (*oid == OID_PKCS1_RSASSAPSS && pss_hash_is_sha2()) {
        SignatureKind::Sha2
    } else if *oid == OID_SIG_ED25519 {
        SignatureKind::Ed25519
    } else {
        SignatureKind::Other
    }
}

fn key_kind(info: &SubjectPublicKeyInfo<'_>) -> KeyKind {
    let key = info.subject_public_key.data.as_ref();
    let parameters = info.algorithm.parameters();
    let curve = parameters.and_then(|parameters| parameters.as_oid().ok());
    match algorithm_kind(&info.algorithm.algorithm, curve.as_ref()) {
        Some(Algorithm::Rsa) => match RSAPublicKey::from_der(key) {
            Ok(([], rsa)) => rsa_kind(rsa.modulus, rsa.exponent),
            _ => KeyKind::Other,
        },
        Some(Algorithm::Curve(kind)) => match (kind, key) {
            (KeyKind::P256, [4, point @ ..]) if point.len() == 64 => kind,
            (KeyKind::P384, [4, point @ ..]) if point.len() == 96 => kind,
            _ => KeyKind::Other,
        },
        Some(Algorithm::Ed25519) if key.len() == 32 => KeyKind::Ed25519,
        Some(Algorithm::Ed25519) | None => KeyKind::Other,
    }
}

/// What an algorithm identifier says about a key.
pub(crate) enum Algorithm {
    Rsa,
    /// An elliptic curve by its name; [`KeyKind::Other`] where it is not a listed one.
    Curve(KeyKind),
    Ed25519,
}

/// From an algorithm's identifier and, where its parameters are one, a curve's.
pub(crate) fn algorithm_kind(algorithm: &Oid<'_>, curve: Option<&Oid<'_>>) -> Option<Algorithm> {
    if *algorithm == OID_PKCS1_RSAENCRYPTION {
        Some(Algorithm::Rsa)
    } else if *algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY {
        Some(Algorithm::Curve(curve.map_or(KeyKind::Other, curve_kind)))
    } else if *algorithm == OID_SIG_ED25519 {
        Some(Algorithm::Ed25519)
    } else {
        None
    }
}

pub(crate) fn curve_kind(curve: &Oid<'_>) -> KeyKind {
    if *curve == OID_EC_P256 {
        KeyKind::P256
    } else if *curve == OID_NIST_EC_P384 {
        KeyKind::P384
    } else {
        KeyKind::Other
    }
}

/// From the content octets of modulus and public exponent.
pub(crate) fn rsa_kind(modulus: &[u8], exponent: &[u8]) -> KeyKind {
    let negative = |integer: &[u8]| integer.first().is_none_or(|first| first & 0x80 != 0);
    let even = |integer: &[u8]| integer.last().is_none_or(|last| last % 2 == 0);
    if negative(modulus) || negative(exponent) || even(modulus) {
        return KeyKind::Other;
    }
    let modulus = magnitude(modulus);
    let leading_zeros = modulus.first().map_or(0, |first| first.leading_zeros() as usize);
    let exponent = magnitude(exponent);
    KeyKind::Rsa {
        bits: modulus.len() * 8 - leading_zeros,
        exponent: if exponent.len() > 8 {
            u64::MAX
        } else {
            exponent.iter().fold(0, |value, octet| value << 8 | u64::from(*octet))
        },
    }
}

/// The octets of a positive integer without leading zeros.
pub(crate) fn magnitude(integer: &[u8]) -> &[u8] {
    let zeros = integer.iter().take_while(|octet| **octet == 0).count();
    &integer[zeros..]
}
