//! The rules of step 10 (`protocol.md`, "Validation order"), in the order in which a device tells what breaks them.

mod names;
mod single;

use alloc::vec::Vec;

use super::facts::{
    Block, BundleFacts, CertificateDetails, ChainFacts, PathFacts, PemFacts, Possession, PrivateKeyFacts,
};
use super::refusal::{Field, Reason, Refusal};
use super::{CertificateSummary, CertifiedBundle, Criteria, Expectation};
use single::Use;

/// No rule is broken, or the first that is.
pub(super) fn judge(facts: &BundleFacts, expected: &Expectation<'_>) -> Result<CertifiedBundle, Refusal> {
    if let Some(first) = objections(facts, &expected.into()).into_iter().next() {
        return Err(first);
    }
    let summaries = |certificates: &PemFacts<CertificateDetails>| -> Vec<CertificateSummary> {
        certificates.read().map(|details| details.summary.clone()).collect()
    };
    Ok(CertifiedBundle {
        client: summaries(&facts.client.certificates),
        ca: summaries(&facts.ca),
        server: facts
            .server
            .as_ref()
            .map(|server| summaries(&server.certificates))
            .unwrap_or_default(),
    })
}

/// Every rule that is broken. What only follows from a fault that was told is left out.
pub(super) fn objections(facts: &BundleFacts, criteria: &Criteria<'_>) -> Vec<Refusal> {
    let client = Chain::of(Field::ClientCertificate, &facts.client.certificates);
    let ca = Chain::of(Field::CaCertificate, &facts.ca);
    let server = facts
        .server
        .as_ref()
        .map(|server| Chain::of(Field::ServerCertificate, &server.certificates));
    let chains = || [Some(&client), Some(&ca), server.as_ref()].into_iter().flatten();
    let leaves = || {
        let client = (&client, &facts.client, Use::Client);
        let server = server.as_ref().zip(facts.server.as_ref());
        [Some(client), server.map(|(chain, facts)| (chain, facts, Use::Server))]
            .into_iter()
            .flatten()
    };

    let mut found = Vec::new();
    found.extend_from_slice(&client.texts);
    found.extend(texts(Field::ClientPrivateKey, &facts.key));
    found.extend_from_slice(&ca.texts);
    found.extend(server.iter().flat_map(|server| &server.texts));

    for chain in chains() {
        found.extend(chain.each(single::well_formed));
    }
    for chain in chains() {
        found.extend(chain.each(single::strong));
    }
    found.extend(possession(&facts.key, client.leaf().is_some()));
    for chain in chains() {
        found.extend(chain.each(|certificate| single::valid(certificate, criteria.now, criteria.synchronised)));
    }

    found.extend(ca.each(single::authority));
    for (chain, facts, _) in leaves() {
        let led = chain.leads(facts, &ca, &found);
        found.extend(led);
    }
    for (chain, facts, usage) in leaves() {
        let used = chain.used(facts, &ca, usage, &found);
        found.extend(used);
    }

    if let Some(device_id) = criteria.device_id {
        found.extend(client.of_leaf(|leaf| names::of_device(leaf, device_id)));
    }
    if let Some(server) = &server {
        found.extend(server.of_leaf(|leaf| names::of_server(leaf, criteria.server_host)));
    }
    found
}

/// Pairs of "this rule is broken" and the reason to tell, to the reasons.
fn broken<const N: usize>(rules: [(bool, Reason); N]) -> Vec<Reason> {
    let reasons = rules
        .into_iter()
        .filter_map(|(broken, reason)| broken.then_some(reason));
    reasons.collect()
}

/// The certificates of one field.
struct Chain<'a> {
    field: Field,
    /// What is wrong with the text and its blocks; where there is anything, paths say nothing.
    texts: Vec<Refusal>,
    /// Those that could be read, with their blocks' numbers.
    certificates: Vec<(usize, &'a CertificateDetails)>,
}

impl<'a> Chain<'a> {
    fn of(field: Field, facts: &'a PemFacts<CertificateDetails>) -> Self {
        Self {
            field,
            texts: texts(field, facts),
            certificates: facts.numbered().collect(),
        }
    }

    fn leaf(&self) -> Option<&'a CertificateDetails> {
        let first = self.certificates.first().filter(|(number, _)| *number == 1);
        first.map(|(_, leaf)| *leaf)
    }

    fn refuse(&self, number: usize, reason: Reason) -> Refusal {
        Refusal {
            field: self.field,
            block: Some(number),
            reason,
        }
    }

    /// Applies rules to each certificate in turn.
    fn each(&self, rules: impl Fn(&CertificateDetails) -> Vec<Reason>) -> Vec<Refusal> {
        let certificates = self.certificates.iter();
        let refusals = certificates.flat_map(|(number, certificate)| {
            let reasons = rules(certificate).into_iter();
            reasons.map(|reason| self.refuse(*number, reason))
        });
        refusals.collect()
    }

    /// Applies rules to the first certificate, where it could be read.
    fn of_leaf(&self, rules: impl Fn(&CertificateDetails) -> Vec<Reason>) -> Vec<Refusal> {
        let reasons = self.leaf().map(rules).into_iter().flatten();
        reasons.map(|reason| self.refuse(1, reason)).collect()
    }

    /// Intermediates may follow the leaf, nothing else; and a path leads to a certificate of `caCertificate`.
    fn leads(&self, facts: &ChainFacts, ca: &Self, found: &[Refusal]) -> Vec<Refusal> {
        let mut refusals = Vec::new();
        for (number, certificate) in self.certificates.iter().filter(|(number, _)| *number > 1) {
            if !single::is_intermediate(certificate) {
                refusals.push(self.refuse(*number, Reason::NotAnIntermediate));
            }
        }
        if self.on_whole_path(ca)
            && let Some(reason) = path_fault(facts.path)
        {
            let explained = found.iter().any(|refusal| {
                [self.field, ca.field].contains(&refusal.field) && follows_from(facts.path, refusal.reason)
            });
            refusals.extend((!explained).then(|| self.refuse(1, reason)));
        }
        refusals
    }

    /// The leaf is for this use, and its issuers may issue for it.
    fn used(&self, facts: &ChainFacts, ca: &Self, usage: Use, found: &[Refusal]) -> Vec<Refusal> {
        let mut refusals = self.of_leaf(|leaf| single::usable(leaf, usage));
        let explained = |refusal: &Refusal| refusal.field == self.field && refusal.reason == Reason::NotAnIntermediate;
        if facts.path == PathFacts::Usage
            && self.on_whole_path(ca)
            && refusals.is_empty()
            && !found.iter().any(explained)
        {
            refusals.push(self.refuse(1, Reason::IssuerUsage));
        }
        refusals
    }

    /// Whether everything that a path could need was read.
    fn on_whole_path(&self, ca: &Self) -> bool {
        self.texts.is_empty() && ca.texts.is_empty()
    }
}

/// Why no path leads to a trust root. What is wrong with the use is told by the rules about use, the leaf's before its
/// issuers'.
fn path_fault(path: PathFacts) -> Option<Reason> {
    match path {
        PathFacts::Leads | PathFacts::Usage => None,
        PathFacts::UnknownIssuer => Some(Reason::UnknownIssuer),
        PathFacts::BadSignature => Some(Reason::BadSignature),
        PathFacts::UnsupportedSignature => Some(Reason::UnsupportedSignature),
        PathFacts::NameConstraints => Some(Reason::NameConstraints),
        PathFacts::TooLong => Some(Reason::PathTooLong),
        PathFacts::NeverValidTogether => Some(Reason::NeverValidTogether),
        PathFacts::Other => Some(Reason::NoPath),
    }
}

/// Whether there may be no path for no other reason than this fault of a certificate on it.
fn follows_from(path: PathFacts, fault: Reason) -> bool {
    match path {
        PathFacts::BadSignature | PathFacts::UnsupportedSignature => {
            matches!(fault, Reason::UnacceptableKey | Reason::UnacceptableSignature)
        }
        PathFacts::NeverValidTogether => matches!(fault, Reason::NeverValid | Reason::Expired | Reason::NotYetValid),
        PathFacts::NameConstraints => fault == Reason::MalformedName,
        PathFacts::Other => true,
        PathFacts::Leads | PathFacts::Usage | PathFacts::UnknownIssuer | PathFacts::TooLong => false,
    }
}

/// Every PEM block is what its field says and nothing else is there.
fn texts<T>(field: Field, facts: &PemFacts<T>) -> Vec<Refusal> {
    let is_key = field == Field::ClientPrivateKey;
    let (too_many, other_label) = if is_key {
        (Reason::NotOneKey, Reason::NotAPrivateKey)
    } else {
        (Reason::TooManyCertificates, Reason::NotACertificate)
    };
    let text = |reason| {
        Vec::from([Refusal {
            field,
            block: None,
            reason,
        }])
    };
    let blocks = match facts {
        PemFacts::TooLong => return text(Reason::TextTooLong),
        PemFacts::TooManyBlocks => return text(too_many),
        PemFacts::StrayText => return text(Reason::StrayText),
        PemFacts::Blocks(blocks) if blocks.is_empty() => return text(Reason::Empty),
        PemFacts::Blocks(blocks) if is_key && blocks.len() > 1 => return text(Reason::NotOneKey),
        PemFacts::Blocks(blocks) => blocks.iter().enumerate(),
    };
    let refusals = blocks.filter_map(|(index, block)| {
        let reason = match block {
            Block::Read(_) => return None,
            Block::OtherLabel => other_label,
            Block::Unreadable => Reason::Unreadable,
        };
        Some(Refusal {
            field,
            block: Some(index + 1),
            reason,
        })
    });
    refusals.collect()
}

/// The one private key is acceptable, whole and the leaf's; without a leaf nobody can say whose it is.
fn possession(facts: &PemFacts<PrivateKeyFacts>, leaf: bool) -> Vec<Refusal> {
    let mut keys = facts.read();
    let (Some(key), None) = (keys.next(), keys.next()) else {
        return Vec::new();
    };
    let acceptable = single::is_acceptable(key.kind);
    let reasons = broken([
        (!acceptable, Reason::UnacceptableKey),
        (
            acceptable && leaf && key.possession == Possession::OtherKey,
            Reason::KeyMismatch,
        ),
        (acceptable && key.possession == Possession::Broken, Reason::KeyBroken),
    ]);
    let refusals = reasons.into_iter().map(|reason| Refusal {
        field: Field::ClientPrivateKey,
        block: Some(1),
        reason,
    });
    refusals.collect()
}
