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
        basic_constraints: None,
        may_sign_certificates: Some(false),
        extended_key_usage: None,
        common_names: vec![name.into()],
        dns_names: vec![],
        uris: vec![],
        addresses: vec![],
    }
}

fn authority() -> CertificateDetails {
    CertificateDetails {
        basic_constraints: Some(BasicConstraints {
            critical: true,
            ca: true,
        }),
        may_sign_certificates: Some(true),
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
    let purpose = |client_auth| {
        Some(ExtendedKeyUsage {
            client_auth,
            server_auth: !client_auth,
        })
    };
    let client = CertificateDetails {
        extended_key_usage: purpose(true),
        ..certificate("zm-04")
    };
    let server = CertificateDetails {
        extended_key_usage: purpose(false),
        dns_names: vec!["server.example.org".into()],
        ..certificate("server")
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
    (|f| details(&mut f.ca, 1).may_sign_certificates = None, CA, Some(1), Reason::NoCertificateSigning),
    (|f| details(&mut f.ca, 1).may_sign_certificates = Some(false), CA, Some(1), Reason::NoCertificateSigning),
    (|f| details(&mut f.client.certificates, 2).basic_constraints = None, CLIENT, Some(2), Reason::NotAnIntermediate),
    (|f| details(&mut f.client.certificates, 2).may_sign_certificates = Some(false), CLIENT, Some(2), Reason::NotAnIntermediate),
    (|f| f.client.path = PathFacts::UnknownIssuer, CLIENT, Some(1), Reason::UnknownIssuer),
    (|f| f.server.as_mut().unwrap().path = PathFacts::BadSignature, SERVER, Some(1), Reason::BadSignature),
    (|f| f.client.path = PathFacts::UnsupportedSignature, CLIENT, Some(1), Reason::UnsupportedSignature),
    (|f| f.client.path = PathFacts::NameConstraints, CLIENT, Some(1), Reason::NameConstraints),
    (|f| f.client.path = PathFacts::TooLong, CLIENT, Some(1), Reason::PathTooLong),
    (|f| f.client.path = PathFacts::NeverValidTogether, CLIENT, Some(1), Reason::NeverValidTogether),
    (|f| f.client.path = PathFacts::Other, CLIENT, Some(1), Reason::NoPath),
    (|f| details(&mut f.client.certificates, 1).may_sign_certificates = Some(true), CLIENT, Some(1), Reason::LeafMaySign),
    (|f| details(&mut f.client.certificates, 1).extended_key_usage = None, CLIENT, Some(1), Reason::NoExtendedKeyUsage),
    (|f| details(&mut f.client.certificates, 1).extended_key_usage = Some(ExtendedKeyUsage { client_auth: false, server_auth: true }), CLIENT, Some(1), Reason::NotForClients),
    (|f| details(&mut f.server.as_mut().unwrap().certificates, 1).extended_key_usage = Some(ExtendedKeyUsage { client_auth: true, server_auth: false }), SERVER, Some(1), Reason::NotForServers),
    (|f| f.client.path = PathFacts::Usage, CLIENT, Some(1), Reason::IssuerUsage),
    (|f| details(&mut f.client.certificates, 1).common_names.clear(), CLIENT, Some(1), Reason::OtherDevice),
    (|f| details(&mut f.server.as_mut().unwrap().certificates, 1).dns_names.clear(), SERVER, Some(1), Reason::OtherHost),
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
        prop_assert!(!passed || now <= end);
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
