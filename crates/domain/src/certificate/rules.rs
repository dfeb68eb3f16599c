//! The rules of step 10 (`protocol.md`, "Validation order").

use alloc::vec::Vec;

use super::facts::{
    Block, BundleFacts, CertificateDetails, KeyKind, PathFacts, PemFacts, Possession, PrivateKeyFacts, SignatureKind,
};
use super::refusal::{Field, Reason, Refusal};
use super::{CertifiedBundle, Expectation};
use crate::settings::ServerHost;

/// Longest serial number in octets (RFC 5280, 4.1.2.2).
const MAX_SERIAL: usize = 20;
/// Acceptable lengths of an RSA modulus in bits.
const RSA_BITS: core::ops::RangeInclusive<usize> = 2048..=4096;
/// Acceptable public exponents of RSA: what the device's TLS can use, and no small one.
const RSA_EXPONENTS: core::ops::RangeInclusive<u64> = 65_537..=(1 << 33) - 1;

pub(super) fn judge(facts: &BundleFacts, expected: &Expectation<'_>) -> Result<CertifiedBundle, Refusal> {
    let client = Chain::read(Field::ClientCertificate, &facts.client.certificates)?;
    let key = private_key(&facts.key)?;
    let ca = Chain::read(Field::CaCertificate, &facts.ca)?;
    let server = facts
        .server
        .as_ref()
        .map(|server| Chain::read(Field::ServerCertificate, &server.certificates))
        .transpose()?;
    let every = || [Some(&client), Some(&ca), server.as_ref()].into_iter().flatten();

    for chain in every() {
        chain.each(well_formed)?;
    }
    for chain in every() {
        chain.each(strong)?;
    }
    possessed(key)?;
    for chain in every() {
        chain.each(|certificate| valid(certificate, expected))?;
    }

    ca.each(authority)?;
    client.leads(facts.client.path)?;
    if let (Some(server), Some(facts)) = (&server, &facts.server) {
        server.leads(facts.path)?;
    }

    client.used_for(Use::Client, facts.client.path)?;
    if let (Some(server), Some(facts)) = (&server, &facts.server) {
        server.used_for(Use::Server, facts.path)?;
    }

    if !names_device(client.leaf(), expected.device_id.as_str()) {
        return Err(client.refuse_leaf(Reason::OtherDevice));
    }
    if let Some(server) = &server
        && !names_host(server.leaf(), expected.server_host)
    {
        return Err(server.refuse_leaf(Reason::OtherHost));
    }

    Ok(CertifiedBundle {
        client: client.summaries(),
        ca: ca.summaries(),
        server: server.map(|server| server.summaries()).unwrap_or_default(),
    })
}

/// The certificates of one field; never empty.
struct Chain<'a> {
    field: Field,
    certificates: Vec<&'a CertificateDetails>,
}

impl<'a> Chain<'a> {
    fn read(field: Field, facts: &'a PemFacts<CertificateDetails>) -> Result<Self, Refusal> {
        let certificates = blocks(field, facts, Reason::TooManyCertificates, Reason::NotACertificate)?;
        Ok(Self { field, certificates })
    }

    fn leaf(&self) -> &'a CertificateDetails {
        self.certificates[0]
    }

    fn summaries(&self) -> Vec<super::CertificateSummary> {
        self.certificates
            .iter()
            .map(|details| details.summary.clone())
            .collect()
    }

    fn refuse(&self, index: usize, reason: Reason) -> Refusal {
        Refusal {
            field: self.field,
            block: Some(index + 1),
            reason,
        }
    }

    fn refuse_leaf(&self, reason: Reason) -> Refusal {
        self.refuse(0, reason)
    }

    /// Applies a rule to each certificate in turn.
    fn each(&self, rule: impl Fn(&CertificateDetails) -> Result<(), Reason>) -> Result<(), Refusal> {
        self.certificates
            .iter()
            .enumerate()
            .try_for_each(|(index, certificate)| rule(certificate).map_err(|reason| self.refuse(index, reason)))
    }

    /// Intermediates may follow the leaf, nothing else; and a path leads to a certificate of `caCertificate`.
    fn leads(&self, path: PathFacts) -> Result<(), Refusal> {
        for (index, certificate) in self.certificates.iter().enumerate().skip(1) {
            let ca = certificate.basic_constraints.is_some_and(|constraints| constraints.ca);
            if !ca || certificate.may_sign_certificates == Some(false) {
                return Err(self.refuse(index, Reason::NotAnIntermediate));
            }
        }
        let reason = match path {
            // What is wrong with the use is told by the rules about use, the leaf's before its issuers'.
            PathFacts::Leads | PathFacts::Usage => return Ok(()),
            PathFacts::UnknownIssuer => Reason::UnknownIssuer,
            PathFacts::BadSignature => Reason::BadSignature,
            PathFacts::UnsupportedSignature => Reason::UnsupportedSignature,
            PathFacts::NameConstraints => Reason::NameConstraints,
            PathFacts::TooLong => Reason::PathTooLong,
            PathFacts::NeverValidTogether => Reason::NeverValidTogether,
            PathFacts::Other => Reason::NoPath,
        };
        Err(self.refuse_leaf(reason))
    }

    fn used_for(&self, usage: Use, path: PathFacts) -> Result<(), Refusal> {
        usable(self.leaf(), usage).map_err(|reason| self.refuse_leaf(reason))?;
        if path == PathFacts::Usage {
            return Err(self.refuse_leaf(Reason::IssuerUsage));
        }
        Ok(())
    }
}

/// What a leaf is for.
#[derive(Clone, Copy)]
enum Use {
    Client,
    Server,
}

fn private_key(facts: &PemFacts<PrivateKeyFacts>) -> Result<&PrivateKeyFacts, Refusal> {
    let field = Field::ClientPrivateKey;
    match blocks(field, facts, Reason::NotOneKey, Reason::NotAPrivateKey)?[..] {
        [key] => Ok(key),
        _ => Err(Refusal {
            field,
            block: None,
            reason: Reason::NotOneKey,
        }),
    }
}

/// Every PEM block is what its field says and nothing else is there. Never empty.
fn blocks<T>(field: Field, facts: &PemFacts<T>, too_many: Reason, other_label: Reason) -> Result<Vec<&T>, Refusal> {
    let refuse = |block, reason| Refusal { field, block, reason };
    let blocks = match facts {
        PemFacts::TooLong => return Err(refuse(None, Reason::TextTooLong)),
        PemFacts::TooManyBlocks => return Err(refuse(None, too_many)),
        PemFacts::StrayText => return Err(refuse(None, Reason::StrayText)),
        PemFacts::Blocks(blocks) if blocks.is_empty() => return Err(refuse(None, Reason::Empty)),
        PemFacts::Blocks(blocks) => blocks,
    };
    blocks
        .iter()
        .enumerate()
        .map(|(index, block)| match block {
            Block::Read(content) => Ok(content),
            Block::OtherLabel => Err(refuse(Some(index + 1), other_label)),
            Block::Unreadable => Err(refuse(Some(index + 1), Reason::Unreadable)),
        })
        .collect()
}

fn well_formed(certificate: &CertificateDetails) -> Result<(), Reason> {
    if !certificate.version_3 {
        return Err(Reason::NotVersion3);
    }
    if !is_usual_serial(&certificate.serial) {
        return Err(Reason::OddSerial);
    }
    if certificate.duplicate_extension {
        return Err(Reason::DuplicateExtension);
    }
    if certificate.unknown_critical_extension {
        return Err(Reason::UnknownCriticalExtension);
    }
    if certificate.control_characters {
        return Err(Reason::ControlCharacter);
    }
    Ok(())
}

/// Positive and at most 20 octets, the sign's not counted.
fn is_usual_serial(content: &[u8]) -> bool {
    let negative = content.first().is_none_or(|first| first & 0x80 != 0);
    let magnitude = content.iter().skip_while(|octet| **octet == 0).count();
    !negative && (1..=MAX_SERIAL).contains(&magnitude)
}

fn strong(certificate: &CertificateDetails) -> Result<(), Reason> {
    if !is_acceptable(certificate.key) {
        return Err(Reason::UnacceptableKey);
    }
    match certificate.signature {
        SignatureKind::Sha2 | SignatureKind::Ed25519 => Ok(()),
        SignatureKind::Other => Err(Reason::UnacceptableSignature),
    }
}

fn is_acceptable(key: KeyKind) -> bool {
    match key {
        KeyKind::P256 | KeyKind::P384 | KeyKind::Ed25519 => true,
        KeyKind::Rsa { bits, exponent } => {
            RSA_BITS.contains(&bits) && bits % 8 == 0 && RSA_EXPONENTS.contains(&exponent) && exponent % 2 == 1
        }
        KeyKind::Other => false,
    }
}

fn possessed(key: &PrivateKeyFacts) -> Result<(), Refusal> {
    let refuse = |reason| {
        Err(Refusal {
            field: Field::ClientPrivateKey,
            block: Some(1),
            reason,
        })
    };
    if !is_acceptable(key.kind) {
        return refuse(Reason::UnacceptableKey);
    }
    match key.possession {
        Possession::Proven => Ok(()),
        Possession::OtherKey => refuse(Reason::KeyMismatch),
        Possession::Broken => refuse(Reason::KeyBroken),
    }
}

/// The end of validity is always enforced, its start only while the clock is synchronised.
fn valid(certificate: &CertificateDetails, expected: &Expectation<'_>) -> Result<(), Reason> {
    let summary = &certificate.summary;
    if summary.not_before > summary.not_after {
        return Err(Reason::NeverValid);
    }
    if expected.now > summary.not_after {
        return Err(Reason::Expired);
    }
    if expected.synchronised && expected.now < summary.not_before {
        return Err(Reason::NotYetValid);
    }
    Ok(())
}

fn authority(certificate: &CertificateDetails) -> Result<(), Reason> {
    let constraints = certificate.basic_constraints.ok_or(Reason::NoBasicConstraints)?;
    if !constraints.ca {
        return Err(Reason::NotACa);
    }
    if !constraints.critical {
        return Err(Reason::BasicConstraintsNotCritical);
    }
    if certificate.may_sign_certificates != Some(true) {
        return Err(Reason::NoCertificateSigning);
    }
    Ok(())
}

fn usable(leaf: &CertificateDetails, usage: Use) -> Result<(), Reason> {
    if leaf.basic_constraints.is_some_and(|constraints| constraints.ca) || leaf.may_sign_certificates == Some(true) {
        return Err(Reason::LeafMaySign);
    }
    let extended = leaf.extended_key_usage.ok_or(Reason::NoExtendedKeyUsage)?;
    match usage {
        Use::Client if !extended.client_auth => Err(Reason::NotForClients),
        Use::Server if !extended.server_auth => Err(Reason::NotForServers),
        Use::Client | Use::Server => Ok(()),
    }
}

/// Any one of common name, DNS name or whole URI, case-insensitively.
fn names_device(leaf: &CertificateDetails, device_id: &str) -> bool {
    [&leaf.common_names, &leaf.dns_names, &leaf.uris]
        .into_iter()
        .flatten()
        .any(|name| name.eq_ignore_ascii_case(device_id))
}

/// A subject alternative name, never the common name.
fn names_host(leaf: &CertificateDetails, host: &ServerHost) -> bool {
    match host {
        ServerHost::Address(address) => leaf.addresses.contains(address),
        ServerHost::Name(name) => leaf.dns_names.iter().any(|presented| matches_host(presented, name)),
    }
}

/// Whether a DNS name of a certificate is the host's, where a first label `*` stands for exactly one label and at least
/// two labels follow it (RFC 6125, 6.4). The root dot that a URL may have is no part of the name.
fn matches_host(presented: &str, host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    match presented.strip_prefix("*.") {
        None => presented.eq_ignore_ascii_case(host),
        Some(parent) => {
            parent.contains('.')
                && host
                    .split_once('.')
                    .is_some_and(|(_, rest)| parent.eq_ignore_ascii_case(rest))
        }
    }
}
