use alloc::string::ToString;
use alloc::vec;

use proptest::prelude::*;

use super::*;
use crate::error::ErrorCode;

const NOW: Timestamp = Timestamp::from_millis(1_000_000);
const CLIENT: Field = Field::ClientCertificate;
const KEY: Field = Field::ClientPrivateKey;
const CA: Field = Field::CaCertificate;
const SERVER: Field = Field::ServerCertificate;

fn verdict_at(facts: &BundleFacts, now: Timestamp, synchronised: bool) -> Result<CertifiedBundle, Refusal> {
    rules::judge(
        facts,
        &Expectation {
            device_id: &DeviceId::parse("ZM-04").unwrap(),
            server_host: &ServerHost::Name("server.example.org".into()),
            now,
            synchronised,
        },
    )
}

fn verdict(facts: &BundleFacts) -> Result<CertifiedBundle, Refusal> {
    verdict_at(facts, NOW, true)
}

fn certificate(name: &str) -> CertificateDetails {
    CertificateDetails {
        summary: CertificateSummary {
            serial: "01".into(),
            subject: name.into(),
            issuer: "CN=CA".into(),
            not_before: Timestamp::from_millis(500_000),
            not_after: Timestamp::from_millis(2_000_000),
            sha256: Sha256Digest::new([1; 32]),
        },
        version_3: true,
        serial: vec![1],
        key: KeyKind::P256,
        signature: SignatureKind::Sha2,
        control_characters: false,
        duplicate_extension: false,
        unknown_critical_extension: false,
        malformed_name: false,
        self_issued: false,
        subject_key_identifier: None,
        authority_key_identifier: Some(AuthorityKeyIdentifier {
            key_identifier: Some(vec![1]),
            names_certificate: false,
        }),
        basic_constraints: None,
        key_usage: None,
        extended_key_usage: None,
        name_constraints_critical: None,
        alternative_name_critical: None,
        common_names: vec![name.into()],
        dns_names: vec![],
        uris: vec![],
        addresses: vec![],
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the facts have an option")]
fn usage(certificate_signing: bool, crl_signing: bool) -> Option<KeyUsage> {
    Some(KeyUsage {
        certificate_signing,
        crl_signing,
    })
}

#[expect(clippy::unnecessary_wraps, reason = "the facts have an option")]
fn purpose(client_auth: bool, server_auth: bool) -> Option<ExtendedKeyUsage> {
    Some(ExtendedKeyUsage {
        critical: false,
        any: false,
        client_auth,
        server_auth,
    })
}

fn authority() -> CertificateDetails {
    CertificateDetails {
        basic_constraints: Some(BasicConstraints {
            critical: true,
            ca: true,
        }),
        key_usage: usage(true, true),
        self_issued: true,
        subject_key_identifier: Some(vec![1]),
        ..certificate("CA")
    }
}

fn chain(certificates: Vec<CertificateDetails>) -> ChainFacts {
    ChainFacts {
        certificates: PemFacts::Blocks(certificates.into_iter().map(Block::Read).collect()),
        path: PathFacts::Leads,
    }
}

/// A client with an intermediate, one trust root, a pinned server.
fn good() -> BundleFacts {
    let client = CertificateDetails {
        extended_key_usage: purpose(true, false),
        ..certificate("zm-04")
    };
    let server = CertificateDetails {
        extended_key_usage: purpose(false, true),
        dns_names: vec!["server.example.org".into()],
        ..certificate("the server")
    };
    BundleFacts {
        client: chain(vec![client, authority()]),
        key: PemFacts::Blocks(vec![Block::Read(PrivateKeyFacts {
            kind: KeyKind::P256,
            possession: Possession::Proven,
        })]),
        ca: chain(vec![authority()]).certificates,
        server: Some(chain(vec![server])),
    }
}

fn details(facts: &mut PemFacts<CertificateDetails>, block: usize) -> &mut CertificateDetails {
    let PemFacts::Blocks(blocks) = facts else { panic!() };
    let Block::Read(details) = &mut blocks[block - 1] else {
        panic!()
    };
    details
}

fn key(facts: &mut BundleFacts) -> &mut PrivateKeyFacts {
    let PemFacts::Blocks(blocks) = &mut facts.key else {
        panic!()
    };
    let Block::Read(key) = &mut blocks[0] else { panic!() };
    key
}

fn server(facts: &mut BundleFacts) -> &mut CertificateDetails {
    details(&mut facts.server.as_mut().unwrap().certificates, 1)
}

fn leaf_purpose(facts: &mut BundleFacts) -> &mut ExtendedKeyUsage {
    details(&mut facts.client.certificates, 1)
        .extended_key_usage
        .as_mut()
        .unwrap()
}

/// Changes the authority key identifier of the client's block, or of the root for block 0.
fn authority_key(facts: &mut BundleFacts, block: usize, key: Option<u8>, names_certificate: bool) {
    let certificate = match block {
        0 => details(&mut facts.ca, 1),
        block => details(&mut facts.client.certificates, block),
    };
    certificate.authority_key_identifier = Some(AuthorityKeyIdentifier {
        key_identifier: key.map(|octet| vec![octet]),
        names_certificate,
    });
}

#[test]
fn it_passes_a_good_bundle_and_keeps_its_summaries() {
    let bundle = verdict(&good()).unwrap();
    assert_eq!(bundle.leaf().subject, "zm-04");
    assert_eq!(
        (bundle.client().len(), bundle.ca().len(), bundle.server().len()),
        (2, 1, 1)
    );
    let stored = CertifiedBundle::from_stored(bundle.client.clone(), bundle.ca.clone(), bundle.server.clone());
    assert_eq!(stored, Some(bundle));
}

#[test]
fn it_reads_back_no_bundle_without_client_or_ca() {
    let one = || vec![certificate("x").summary];
    assert!(CertifiedBundle::from_stored(vec![], one(), one()).is_none());
    assert!(CertifiedBundle::from_stored(one(), vec![], one()).is_none());
    assert!(CertifiedBundle::from_stored(one(), one(), vec![]).is_some());
}

#[test]
fn it_names_field_block_and_reason_in_the_error() {
    let mut facts = good();
    facts.server = Some(chain(vec![certificate("server")]));
    let expected = Expectation {
        device_id: &DeviceId::parse("ZM-04").unwrap(),
        server_host: &ServerHost::Name("server.example.org".into()),
        now: NOW,
        synchronised: true,
    };
    let error = judge(&facts, &expected).unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidCertificate);
    assert_eq!(
        error.message(),
        "serverCertificate, PEM block 1: the certificate has no extendedKeyUsage."
    );
}

/// A change to a good bundle, and where and why it is then refused.
type Case = (fn(&mut BundleFacts), Field, Option<usize>, Reason);

#[rustfmt::skip]
const CASES: &[Case] = &[
    (|f| f.client.certificates = PemFacts::Blocks(vec![]), CLIENT, None, Reason::Empty),
    (|f| f.key = PemFacts::Blocks(vec![]), KEY, None, Reason::Empty),
    (|f| f.ca = PemFacts::TooLong, CA, None, Reason::TextTooLong),
    (|f| f.ca = PemFacts::TooManyBlocks, CA, None, Reason::TooManyCertificates),
    (|f| f.key = PemFacts::TooManyBlocks, KEY, None, Reason::NotOneKey),
    (|f| { let other = *key(f); f.key = PemFacts::Blocks(vec![Block::Read(other), Block::Read(other)]); }, KEY, None, Reason::NotOneKey),
    (|f| f.key = PemFacts::StrayText, KEY, None, Reason::StrayText),
    (|f| f.ca = PemFacts::Blocks(vec![Block::Read(authority()), Block::OtherLabel]), CA, Some(2), Reason::NotACertificate),
    (|f| f.key = PemFacts::Blocks(vec![Block::OtherLabel]), KEY, Some(1), Reason::NotAPrivateKey),
    (|f| f.key = PemFacts::Blocks(vec![Block::Unreadable]), KEY, Some(1), Reason::Unreadable),
    (|f| details(&mut f.ca, 1).version_3 = false, CA, Some(1), Reason::NotVersion3),
    (|f| details(&mut f.client.certificates, 2).serial = vec![0], CLIENT, Some(2), Reason::OddSerial),
    (|f| details(&mut f.client.certificates, 1).duplicate_extension = true, CLIENT, Some(1), Reason::DuplicateExtension),
    (|f| details(&mut f.ca, 1).unknown_critical_extension = true, CA, Some(1), Reason::UnknownCriticalExtension),
    (|f| details(&mut f.ca, 1).control_characters = true, CA, Some(1), Reason::ControlCharacter),
    (|f| details(&mut f.client.certificates, 1).summary.issuer.clear(), CLIENT, Some(1), Reason::NoName),
    (|f| details(&mut f.ca, 1).summary.subject.clear(), CA, Some(1), Reason::NoName),
    (|f| details(&mut f.client.certificates, 1).malformed_name = true, CLIENT, Some(1), Reason::MalformedName),
    (|f| details(&mut f.client.certificates, 1).alternative_name_critical = Some(true), CLIENT, Some(1), Reason::AlternativeNameCritical),
    (|f| { let leaf = details(&mut f.client.certificates, 1); leaf.alternative_name_critical = Some(false); leaf.summary.subject.clear(); }, CLIENT, Some(1), Reason::AlternativeNameCritical),
    (|f| details(&mut f.client.certificates, 1).name_constraints_critical = Some(true), CLIENT, Some(1), Reason::MisplacedNameConstraints),
    (|f| details(&mut f.client.certificates, 2).name_constraints_critical = Some(false), CLIENT, Some(2), Reason::NameConstraintsNotCritical),
    (|f| details(&mut f.client.certificates, 2).subject_key_identifier = None, CLIENT, Some(2), Reason::NoSubjectKeyIdentifier),
    (|f| details(&mut f.client.certificates, 1).authority_key_identifier = None, CLIENT, Some(1), Reason::NoAuthorityKeyIdentifier),
    (|f| authority_key(f, 1, None, true), CLIENT, Some(1), Reason::NoAuthorityKeyIdentifier),
    (|f| details(&mut f.ca, 1).key = KeyKind::Other, CA, Some(1), Reason::UnacceptableKey),
    (|f| key(f).kind = KeyKind::Other, KEY, Some(1), Reason::UnacceptableKey),
    (|f| details(&mut f.ca, 1).signature = SignatureKind::Other, CA, Some(1), Reason::UnacceptableSignature),
    (|f| key(f).possession = Possession::OtherKey, KEY, Some(1), Reason::KeyMismatch),
    (|f| key(f).possession = Possession::Broken, KEY, Some(1), Reason::KeyBroken),
    (|f| details(&mut f.ca, 1).summary.not_before = Timestamp::from_millis(2_000_001), CA, Some(1), Reason::NeverValid),
    (|f| details(&mut f.ca, 1).summary.not_after = Timestamp::from_millis(999_999), CA, Some(1), Reason::Expired),
    (|f| details(&mut f.ca, 1).summary.not_before = Timestamp::from_millis(1_000_001), CA, Some(1), Reason::NotYetValid),
    (|f| details(&mut f.ca, 1).basic_constraints = None, CA, Some(1), Reason::NoBasicConstraints),
    (|f| details(&mut f.ca, 1).basic_constraints = Some(BasicConstraints { critical: false, ca: true }), CA, Some(1), Reason::BasicConstraintsNotCritical),
    (|f| details(&mut f.ca, 1).basic_constraints = Some(BasicConstraints { critical: true, ca: false }), CA, Some(1), Reason::NotACa),
    (|f| details(&mut f.ca, 1).key_usage = None, CA, Some(1), Reason::NoCertificateSigning),
    (|f| details(&mut f.ca, 1).key_usage = usage(false, true), CA, Some(1), Reason::NoCertificateSigning),
    (|f| details(&mut f.ca, 1).key_usage = usage(true, false), CA, Some(1), Reason::NoCrlSigning),
    (|f| details(&mut f.ca, 1).extended_key_usage = purpose(true, true), CA, Some(1), Reason::RootExtendedKeyUsage),
    (|f| authority_key(f, 0, Some(1), true), CA, Some(1), Reason::RootAuthorityKeyIdentifier),
    (|f| authority_key(f, 0, Some(2), false), CA, Some(1), Reason::RootAuthorityKeyIdentifier),
    (|f| authority_key(f, 0, None, false), CA, Some(1), Reason::RootAuthorityKeyIdentifier),
    (|f| details(&mut f.client.certificates, 2).basic_constraints = None, CLIENT, Some(2), Reason::NotAnIntermediate),
    (|f| details(&mut f.client.certificates, 2).key_usage = usage(false, true), CLIENT, Some(2), Reason::NotAnIntermediate),
    (|f| f.client.path = PathFacts::UnknownIssuer, CLIENT, Some(1), Reason::UnknownIssuer),
    (|f| f.server.as_mut().unwrap().path = PathFacts::BadSignature, SERVER, Some(1), Reason::BadSignature),
    (|f| f.client.path = PathFacts::UnsupportedSignature, CLIENT, Some(1), Reason::UnsupportedSignature),
    (|f| f.client.path = PathFacts::NameConstraints, CLIENT, Some(1), Reason::NameConstraints),
    (|f| f.client.path = PathFacts::TooLong, CLIENT, Some(1), Reason::PathTooLong),
    (|f| f.client.path = PathFacts::NeverValidTogether, CLIENT, Some(1), Reason::NeverValidTogether),
    (|f| f.client.path = PathFacts::Other, CLIENT, Some(1), Reason::NoPath),
    (|f| details(&mut f.client.certificates, 1).key_usage = usage(true, false), CLIENT, Some(1), Reason::LeafMaySign),
    (|f| details(&mut f.client.certificates, 1).extended_key_usage = None, CLIENT, Some(1), Reason::NoExtendedKeyUsage),
    (|f| details(&mut f.client.certificates, 1).extended_key_usage = purpose(false, true), CLIENT, Some(1), Reason::NotForClients),
    (|f| details(&mut f.server.as_mut().unwrap().certificates, 1).extended_key_usage = purpose(true, false), SERVER, Some(1), Reason::NotForServers),
    (|f| leaf_purpose(f).critical = true, CLIENT, Some(1), Reason::CriticalExtendedKeyUsage),
    (|f| leaf_purpose(f).any = true, CLIENT, Some(1), Reason::AnyUsage),
    (|f| f.client.path = PathFacts::Usage, CLIENT, Some(1), Reason::IssuerUsage),
    (|f| details(&mut f.client.certificates, 1).common_names.clear(), CLIENT, Some(1), Reason::OtherDevice),
    (|f| details(&mut f.server.as_mut().unwrap().certificates, 1).dns_names.clear(), SERVER, Some(1), Reason::OtherHost),
    (|f| server(f).common_names = vec!["server.example.com".into()], SERVER, Some(1), Reason::CommonNameElsewhere),
    (|f| server(f).common_names = vec!["Server.example.org".into()], SERVER, Some(1), Reason::CommonNameElsewhere),
];

#[test]
fn it_refuses_each_fault_with_its_own_reason() {
    for (spoil, field, block, reason) in CASES {
        let mut facts = good();
        spoil(&mut facts);
        let expected = Refusal {
            field: *field,
            block: *block,
            reason: *reason,
        };
        assert_eq!(verdict(&facts), Err(expected));
    }
}

fn all(facts: &BundleFacts) -> Vec<Refusal> {
    objections(
        facts,
        &Criteria {
            device_id: Some(&DeviceId::parse("ZM-04").unwrap()),
            server_host: Some(&ServerHost::Name("server.example.org".into())),
            now: NOW,
            synchronised: true,
        },
    )
}

#[test]
fn it_objects_to_each_fault_once_and_to_nothing_else() {
    for (spoil, field, block, reason) in CASES {
        let mut facts = good();
        spoil(&mut facts);
        let reasons: Vec<_> = all(&facts)
            .iter()
            .map(|one| (one.field, one.block, one.reason))
            .collect();
        assert_eq!(reasons, [(*field, *block, *reason)]);
    }
}

#[test]
fn it_objects_to_everything_at_once_in_the_order_of_its_verdicts() {
    let mut facts = good();
    let mut expected = Vec::new();
    for (reason, block) in [
        (Reason::OddSerial, 2),
        (Reason::UnacceptableSignature, 1),
        (Reason::KeyMismatch, 1),
        (Reason::Expired, 1),
        (Reason::NotACa, 1),
        (Reason::NotAnIntermediate, 2),
        (Reason::NameConstraints, 1),
        (Reason::NotForClients, 1),
        (Reason::OtherDevice, 1),
        (Reason::OtherHost, 1),
    ] {
        let (spoil, field, ..) = CASES.iter().find(|case| case.3 == reason).unwrap();
        spoil(&mut facts);
        expected.push((*field, Some(block), reason));
    }
    let reasons: Vec<_> = all(&facts)
        .iter()
        .map(|one| (one.field, one.block, one.reason))
        .collect();
    assert_eq!(reasons, expected);
    assert_eq!(verdict(&facts).unwrap_err().reason, expected[0].2);
}

#[test]
fn it_does_not_object_to_what_only_follows_from_another_fault() {
    let follow = |spoil: fn(&mut BundleFacts), path: PathFacts, reason: Reason| {
        let mut facts = good();
        spoil(&mut facts);
        facts.client.path = path;
        let reasons: Vec<_> = all(&facts).iter().map(|one| one.reason).collect();
        assert_eq!(reasons, [reason], "{path:?}");
    };
    let unreadable: fn(&mut BundleFacts) = |f| f.ca = PemFacts::Blocks(vec![Block::Unreadable]);
    for path in [PathFacts::UnknownIssuer, PathFacts::Usage, PathFacts::Other] {
        follow(unreadable, path, Reason::Unreadable);
    }
    follow(
        |f| details(&mut f.ca, 1).summary.not_after = Timestamp::from_millis(1),
        PathFacts::NeverValidTogether,
        Reason::NeverValid,
    );
    follow(
        |f| details(&mut f.client.certificates, 1).signature = SignatureKind::Other,
        PathFacts::UnsupportedSignature,
        Reason::UnacceptableSignature,
    );
    follow(
        |f| details(&mut f.client.certificates, 2).basic_constraints = None,
        PathFacts::Usage,
        Reason::NotAnIntermediate,
    );
    follow(
        |f| details(&mut f.client.certificates, 1).extended_key_usage = None,
        PathFacts::Usage,
        Reason::NoExtendedKeyUsage,
    );
    let mut facts = good();
    facts.client.certificates = PemFacts::StrayText;
    key(&mut facts).possession = Possession::OtherKey;
    let reasons: Vec<_> = all(&facts).iter().map(|one| one.reason).collect();
    assert_eq!(reasons, [Reason::StrayText], "nobody knows whose key it is");
}

#[test]
fn it_judges_without_device_and_host_what_does_not_depend_on_them() {
    let mut facts = good();
    details(&mut facts.client.certificates, 1).common_names.clear();
    server(&mut facts).dns_names.clear();
    server(&mut facts).common_names = vec!["other.hospital.example".into()];
    let criteria = Criteria {
        device_id: None,
        server_host: None,
        now: NOW,
        synchronised: true,
    };
    let reasons: Vec<_> = objections(&facts, &criteria).iter().map(|one| one.reason).collect();
    assert_eq!(reasons, [Reason::CommonNameElsewhere]);
}

#[test]
fn it_has_a_case_and_a_text_of_its_own_for_every_reason() {
    for reason in Reason::ALL {
        assert!(CASES.iter().any(|case| case.3 == *reason), "{reason:?}");
        let twins = Reason::ALL
            .iter()
            .filter(|other| other.to_string() == reason.to_string());
        assert_eq!(twins.count(), 1, "{reason:?}");
    }
}

#[test]
fn it_tells_the_faults_in_one_order_when_there_are_several() {
    let stages = [
        Reason::Unreadable,
        Reason::OddSerial,
        Reason::UnacceptableKey,
        Reason::KeyMismatch,
        Reason::Expired,
        Reason::NotACa,
        Reason::UnknownIssuer,
        Reason::NotForClients,
        Reason::OtherDevice,
    ];
    let spoil = |reason: Reason| CASES.iter().rev().find(|case| case.3 == reason).unwrap().0;
    for (index, first) in stages.iter().enumerate() {
        for second in &stages[index + 1..] {
            let mut facts = good();
            spoil(*second)(&mut facts);
            spoil(*first)(&mut facts);
            assert_eq!(verdict(&facts).unwrap_err().reason, *first, "before {second:?}");
        }
    }
}

#[test]
fn it_lets_the_start_of_validity_be_while_the_clock_is_not_synchronised() {
    let early = Timestamp::from_millis(499_999);
    assert_eq!(
        verdict_at(&good(), early, true).unwrap_err().reason,
        Reason::NotYetValid
    );
    assert!(verdict_at(&good(), early, false).is_ok());
}

#[test]
fn it_judges_rsa_by_length_and_exponent() {
    let accepted = |bits, exponent| {
        let mut facts = good();
        details(&mut facts.ca, 1).key = KeyKind::Rsa { bits, exponent };
        verdict(&facts).is_ok()
    };
    for bits in [2048, 2056, 3072, 4096] {
        assert!(accepted(bits, 65_537), "{bits}");
    }
    for bits in [0, 1024, 2040, 2047, 2049, 4097, 4104, 8192] {
        assert!(!accepted(bits, 65_537), "{bits}");
    }
    for exponent in [0, 1, 2, 3, 65_535, 65_536, 65_538, 1 << 33, (1 << 33) + 1, u64::MAX] {
        assert!(!accepted(2048, exponent), "{exponent}");
    }
    assert!(accepted(2048, (1 << 33) - 1));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_never_passes_an_expired_certificate(now in any::<u64>(), block in 0..4_usize, end in any::<u64>(), synchronised: bool) {
        let mut facts = good();
        let summary = match block {
            0 => &mut details(&mut facts.client.certificates, 1).summary,
            1 => &mut details(&mut facts.client.certificates, 2).summary,
            2 => &mut details(&mut facts.ca, 1).summary,
            _ => &mut details(&mut facts.server.as_mut().unwrap().certificates, 1).summary,
        };
        summary.not_after = Timestamp::from_millis(end);
        let passed = verdict_at(&facts, Timestamp::from_millis(now), synchronised).is_ok();
        prop_assert!(!passed || now / 1000 <= end / 1000);
    }

    #[test]
    fn it_takes_serials_as_numbers(content in proptest::collection::vec(any::<u8>(), 0..24)) {
        let mut facts = good();
        details(&mut facts.ca, 1).serial = content.clone();
        let positive = content.first().is_some_and(|first| *first < 0x80) && content.iter().any(|octet| *octet != 0);
        let octets = content.len() - content.iter().take_while(|octet| **octet == 0).count();
        prop_assert_eq!(verdict(&facts).is_ok(), positive && octets <= 20);
    }

    #[test]
    fn it_lets_a_wildcard_stand_for_one_whole_first_label(first in "[a-z*]{0,3}", second in "[a-z*]{1,3}", host in "[a-z]{1,3}\\.[a-z]{1,3}\\.example\\.org") {
        let presented = alloc::format!("{first}.{second}.example.org");
        let mut facts = good();
        let details = details(&mut facts.server.as_mut().unwrap().certificates, 1);
        details.dns_names = vec![presented.clone()];
        let passed = rules::judge(&facts, &Expectation {
            device_id: &DeviceId::parse("ZM-04").unwrap(),
            server_host: &ServerHost::Name(host.clone()),
            now: NOW,
            synchronised: true,
        }).is_ok();
        let same_rest = host.split_once('.').is_some_and(|(_, rest)| presented.split_once('.').is_some_and(|(_, mine)| mine == rest));
        prop_assert_eq!(passed, presented == host || (first == "*" && same_rest));
    }
}
