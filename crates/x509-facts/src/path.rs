//! Whether a path with valid signatures leads from a leaf to a trust root.

use std::collections::BTreeSet;
use std::time::Duration;

use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, Error, ExtendedKeyUsageValidator, KeyPurposeIdIter, KeyUsage, VerifiedPath};
use zmon_domain::certificate::{PathFacts, PemFacts};
use zmon_domain::time::Timestamp;

use crate::certificate::Certificate;

/// When paths have to be valid.
#[derive(Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) at: Timestamp,
    /// Where false, a later moment at which certificates have become valid will do as well.
    pub(crate) synchronised: bool,
}

/// Builds a path through the further certificates of `chain` to one of `authorities`.
///
/// Looks at what could be read; where something could not, the result says nothing about the text as a whole.
pub(crate) fn build(
    chain: &PemFacts<Certificate>,
    authorities: &PemFacts<Certificate>,
    usage: KeyUsage,
    moment: Moment,
) -> PathFacts {
    let mut certificates = chain.read();
    let Some(leaf) = certificates.next() else {
        return PathFacts::Other;
    };
    let Ok(leaf) = EndEntityCert::try_from(&leaf.der) else {
        return PathFacts::Other;
    };
    let intermediates: Vec<_> = certificates
        .map(|certificate| CertificateDer::from(certificate.der.as_ref()))
        .collect();
    let (anchors, limits): (Vec<_>, Vec<_>) = authorities
        .read()
        .filter_map(|authority| {
            let anchor = webpki::anchor_from_trusted_cert(&authority.der).ok()?;
            Some((anchor, authority.most_intermediates))
        })
        .unzip();
    let within_limit = |path: &VerifiedPath<'_>| root_allows(path, &anchors, &limits);

    let verify = |at: Timestamp, usage: Option<KeyUsage>| {
        leaf.verify_for_usage(
            webpki::ALL_VERIFICATION_ALGS,
            &anchors,
            &intermediates,
            UnixTime::since_unix_epoch(Duration::from_millis(at.as_millis())),
            RequiredUse(usage),
            None,
            Some(&within_limit),
        )
        .map(drop)
    };
    // What else than time stands in the way, if anything.
    let obstacle = |at: Timestamp| {
        // The library looks at the use first; a leaf without issuer is told as one, whatever it is for.
        match verify(at, Some(usage)).or_else(|error| verify(at, None).and(Err(error))) {
            Ok(()) => PathFacts::Leads,
            Err(Error::CertExpired { .. } | Error::CertNotValidYet { .. }) => PathFacts::NeverValidTogether,
            Err(error) => fault(&error),
        }
    };
    let mut outcome = PathFacts::NeverValidTogether;
    for at in moments(chain, moment) {
        match obstacle(at) {
            PathFacts::Leads => return PathFacts::Leads,
            PathFacts::NeverValidTogether => {}
            other => outcome = other,
        }
    }
    if outcome == PathFacts::NeverValidTogether {
        // The library tells time first. At another moment it tells what will still be wrong when time is mended.
        let others: Vec<_> = other_moments(chain).into_iter().map(obstacle).collect();
        let lasting = others.iter().find(|other| **other != PathFacts::NeverValidTogether);
        if let Some(lasting) = lasting
            && !others.contains(&PathFacts::Leads)
        {
            outcome = *lasting;
        }
    }
    outcome
}

/// The use that every extended key usage on the path has to list; none where any will do.
struct RequiredUse(Option<KeyUsage>);

impl ExtendedKeyUsageValidator for RequiredUse {
    fn validate(&self, purposes: KeyPurposeIdIter<'_, '_>) -> Result<(), Error> {
        self.0.map_or(Ok(()), |usage| usage.validate(purposes))
    }
}

/// `moment.at`, and where the clock is not synchronised each later start of a validity.
fn moments(chain: &PemFacts<Certificate>, moment: Moment) -> BTreeSet<Timestamp> {
    let starts = chain.read().map(|certificate| certificate.details.summary.not_before);
    starts
        .filter(|start| !moment.synchronised && *start > moment.at)
        .chain([moment.at])
        .collect()
}

/// When a certificate's validity starts or ends: at one of these a path is valid, if it ever is.
fn other_moments(chain: &PemFacts<Certificate>) -> BTreeSet<Timestamp> {
    let certificates = chain.read().map(|certificate| &certificate.details.summary);
    certificates
        .flat_map(|summary| [summary.not_before, summary.not_after])
        .collect()
}

/// The root's own limit of intermediates, which the library leaves to whoever trusts the root. Self-issued certificates
/// do not count (RFC 5280, 4.2.1.9).
fn root_allows(path: &VerifiedPath<'_>, anchors: &[TrustAnchor<'_>], limits: &[Option<u32>]) -> Result<(), Error> {
    let intermediates = path
        .intermediate_certificates()
        .filter(|certificate| certificate.subject() != certificate.issuer());
    let count = intermediates.count();
    // A CA that was renewed is there twice, with one name and one key: any of its certificates may allow the path.
    let allowed = anchors
        .iter()
        .zip(limits)
        .filter(|(anchor, _)| *anchor == path.anchor())
        .any(|(_, limit)| limit.is_none_or(|limit| u32::try_from(count).is_ok_and(|count| count <= limit)));
    if allowed {
        Ok(())
    } else {
        Err(Error::PathLenConstraintViolated)
    }
}

fn fault(error: &Error) -> PathFacts {
    match error {
        Error::UnknownIssuer => PathFacts::UnknownIssuer,
        Error::InvalidSignatureForPublicKey => PathFacts::BadSignature,
        Error::UnsupportedSignatureAlgorithmContext(_) | Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => {
            PathFacts::UnsupportedSignature
        }
        Error::NameConstraintViolation => PathFacts::NameConstraints,
        Error::PathLenConstraintViolated | Error::MaximumPathDepthExceeded => PathFacts::TooLong,
        Error::CaUsedAsEndEntity
        | Error::EndEntityUsedAsCa
        | Error::EmptyEkuExtension
        | Error::RequiredEkuNotFoundContext(_) => PathFacts::Usage,
        _ => PathFacts::Other,
    }
}
