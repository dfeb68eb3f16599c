//! Rules about one certificate.

use alloc::vec::Vec;

use super::broken;
use crate::certificate::facts::{CertificateDetails, KeyKind, SignatureKind};
use crate::certificate::refusal::Reason;
use crate::time::Timestamp;

/// Longest serial number in octets (RFC 5280, 4.1.2.2).
const MAX_SERIAL: usize = 20;
/// Acceptable lengths of an RSA modulus in bits.
const RSA_BITS: core::ops::RangeInclusive<usize> = 2048..=4096;
/// Acceptable public exponents of RSA: what the device's TLS can use, and no small one.
const RSA_EXPONENTS: core::ops::RangeInclusive<u64> = 65_537..=(1 << 33) - 1;

/// What a leaf is for.
#[derive(Clone, Copy)]
pub(super) enum Use {
    Client,
    Server,
}

/// RFC 5280, chapter 4: what every certificate is.
pub(super) fn well_formed(certificate: &CertificateDetails) -> Vec<Reason> {
    let ca = is_ca(certificate);
    let named = !certificate.summary.subject.is_empty();
    let key_of_issuer = certificate
        .authority_key_identifier
        .as_ref()
        .and_then(|identifier| identifier.key_identifier.as_ref());
    broken([
        (!certificate.version_3, Reason::NotVersion3),
        (!is_usual_serial(&certificate.serial), Reason::OddSerial),
        (certificate.duplicate_extension, Reason::DuplicateExtension),
        (certificate.unknown_critical_extension, Reason::UnknownCriticalExtension),
        (certificate.control_characters, Reason::ControlCharacter),
        (certificate.summary.issuer.is_empty() || ca && !named, Reason::NoName),
        (certificate.malformed_name, Reason::MalformedName),
        (
            certificate
                .alternative_name_critical
                .is_some_and(|critical| critical == named),
            Reason::AlternativeNameCritical,
        ),
        (
            certificate.name_constraints_critical.is_some() && !ca,
            Reason::MisplacedNameConstraints,
        ),
        (
            certificate.name_constraints_critical == Some(false) && ca,
            Reason::NameConstraintsNotCritical,
        ),
        (
            certificate.subject_key_identifier.is_none() && ca && certificate.version_3,
            Reason::NoSubjectKeyIdentifier,
        ),
        (
            key_of_issuer.is_none() && !certificate.self_issued && certificate.version_3,
            Reason::NoAuthorityKeyIdentifier,
        ),
    ])
}

/// Positive and at most 20 octets, the sign's not counted.
fn is_usual_serial(content: &[u8]) -> bool {
    let negative = content.first().is_none_or(|first| first & 0x80 != 0);
    let magnitude = content.iter().skip_while(|octet| **octet == 0).count();
    !negative && (1..=MAX_SERIAL).contains(&magnitude)
}

/// Key and signature are of a listed kind.
pub(super) fn strong(certificate: &CertificateDetails) -> Vec<Reason> {
    broken([
        (!is_acceptable(certificate.key), Reason::UnacceptableKey),
        (
            certificate.signature == SignatureKind::Other,
            Reason::UnacceptableSignature,
        ),
    ])
}

pub(super) fn is_acceptable(key: KeyKind) -> bool {
    match key {
        KeyKind::P256 | KeyKind::P384 | KeyKind::Ed25519 => true,
        KeyKind::Rsa { bits, exponent } => {
            RSA_BITS.contains(&bits) && bits % 8 == 0 && RSA_EXPONENTS.contains(&exponent) && exponent % 2 == 1
        }
        KeyKind::Other => false,
    }
}

/// The end of validity is always enforced, its start only while the clock is synchronised. Both count in whole seconds,
/// and the last one belongs to it (RFC 5280, 4.1.2.5).
pub(super) fn valid(certificate: &CertificateDetails, now: Timestamp, synchronised: bool) -> Vec<Reason> {
    let (start, end) = (certificate.summary.not_before, certificate.summary.not_after);
    if start > end {
        return Vec::from([Reason::NeverValid]);
    }
    let second = |at: Timestamp| at.as_millis() / 1000;
    broken([
        (second(now) > second(end), Reason::Expired),
        (synchronised && now < start, Reason::NotYetValid),
    ])
}

/// A certificate of `caCertificate` is a CA's; one that nobody else issued is a root's (CA/Browser Forum Baseline
/// Requirements, 7.1.2.1).
pub(super) fn authority(certificate: &CertificateDetails) -> Vec<Reason> {
    let Some(constraints) = certificate.basic_constraints else {
        return Vec::from([Reason::NoBasicConstraints]);
    };
    if !constraints.ca {
        return Vec::from([Reason::NotACa]);
    }
    let root = certificate.self_issued;
    let key_usage = certificate.key_usage;
    let other_issuer = certificate.authority_key_identifier.as_ref().is_some_and(|identifier| {
        identifier.names_certificate || identifier.key_identifier != certificate.subject_key_identifier
    });
    broken([
        (!constraints.critical, Reason::BasicConstraintsNotCritical),
        (
            !key_usage.is_some_and(|usage| usage.certificate_signing),
            Reason::NoCertificateSigning,
        ),
        (
            root && key_usage.is_some_and(|usage| !usage.crl_signing),
            Reason::NoCrlSigning,
        ),
        (
            root && certificate.extended_key_usage.is_some(),
            Reason::RootExtendedKeyUsage,
        ),
        (root && other_issuer, Reason::RootAuthorityKeyIdentifier),
    ])
}

/// Whether it may stand between a leaf and a trust root.
pub(super) fn is_intermediate(certificate: &CertificateDetails) -> bool {
    is_ca(certificate) && certificate.key_usage.is_none_or(|usage| usage.certificate_signing)
}

/// A leaf may not sign certificates and lists what it is for.
pub(super) fn usable(leaf: &CertificateDetails, usage: Use) -> Vec<Reason> {
    let may_sign = is_ca(leaf) || leaf.key_usage.is_some_and(|usage| usage.certificate_signing);
    let extended = leaf.extended_key_usage;
    let lacks = |listed: fn(&_) -> bool| extended.as_ref().is_some_and(|extended| !listed(extended));
    let purpose = match usage {
        Use::Client => (lacks(|extended| extended.client_auth), Reason::NotForClients),
        Use::Server => (lacks(|extended| extended.server_auth), Reason::NotForServers),
    };
    broken([
        (may_sign, Reason::LeafMaySign),
        (extended.is_none(), Reason::NoExtendedKeyUsage),
        purpose,
        (extended.is_some_and(|extended| extended.any), Reason::AnyUsage),
        (
            extended.is_some_and(|extended| extended.critical),
            Reason::CriticalExtendedKeyUsage,
        ),
    ])
}

fn is_ca(certificate: &CertificateDetails) -> bool {
    certificate.basic_constraints.is_some_and(|constraints| constraints.ca)
}
