//! Hand-made values: members and facts that follow every rule.

use std::time::Duration;

use zmon_domain::certificate::{
    AuthorityKeyIdentifier, BasicConstraints, Block, BundleFacts, CertificateDetails, CertificateSummary, ChainFacts,
    ExtendedKeyUsage, KeyKind, KeyUsage, PathFacts, PemFacts, Possession, PrivateKeyFacts, SignatureKind,
};
use zmon_domain::identity::DeviceId;
use zmon_domain::pairing::{SessionPublicKey, Sha256Digest};
use zmon_domain::payload::{MemberValue, Members};
use zmon_domain::secret::SecretText;
use zmon_domain::time::Timestamp;

/// The private key in [`good_members`]: nothing that signs, but easy to find where it must not be.
pub const CANARY_KEY: &str =
    "-----BEGIN PRIVATE KEY-----\nQ0FOQVJZLVBSSVZBVEUtS0VZLU9GLVRIRS1URVNUUw==\n-----END PRIVATE KEY-----\n";

/// Members of a payload for this device and session that follow every rule up to step 9 at `now`.
#[must_use]
pub fn good_members(device_id: &DeviceId, session_key: &SessionPublicKey, code: &str, now: Timestamp) -> Members {
    let text = |value: &str| MemberValue::Text(SecretText::new(value.into()));
    let number = |value: u64| MemberValue::Integer(value.into());
    let members = [
        ("version", number(1)),
        ("deviceId", text(device_id.as_str())),
        ("sessionKey", text(&session_key.to_base64url())),
        ("pairingCode", text(code)),
        ("serverUrl", text("https://central.example.org")),
        ("clientCertificate", text("client certificate")),
        ("clientPrivateKey", text(CANARY_KEY)),
        ("caCertificate", text("ca certificate")),
        ("deviceLabel", text("ICU-MON-04")),
        ("measurementUnit", text("METRIC")),
        ("language", text("EN")),
        ("timestamp", number(now.as_millis())),
        ("expiresAt", number(now.as_millis() + 3_600_000)),
    ];
    Members(members.map(|(name, value)| (name.to_owned(), value)).into())
}

/// Facts about a client certificate for this device and its CA that no rule of step 10 objects to at `now`.
#[must_use]
pub fn good_facts(device_id: &DeviceId, now: Timestamp) -> BundleFacts {
    let client = CertificateDetails {
        basic_constraints: None,
        key_usage: None,
        extended_key_usage: Some(ExtendedKeyUsage {
            critical: false,
            any: false,
            client_auth: true,
            server_auth: false,
        }),
        common_names: vec![device_id.as_str().into()],
        ..certificate(device_id.as_str(), 2, now)
    };
    let one = |certificate| PemFacts::Blocks(vec![Block::Read(certificate)]);
    BundleFacts {
        client: ChainFacts {
            certificates: one(client),
            path: PathFacts::Leads,
        },
        key: PemFacts::Blocks(vec![Block::Read(PrivateKeyFacts {
            kind: KeyKind::P256,
            possession: Possession::Proven,
        })]),
        ca: one(certificate("Test CA", 1, now)),
        server: None,
    }
}

fn certificate(name: &str, serial: u8, now: Timestamp) -> CertificateDetails {
    CertificateDetails {
        summary: summary(name, serial, now),
        version_3: true,
        serial: vec![serial],
        key: KeyKind::P256,
        signature: SignatureKind::Sha2,
        control_characters: false,
        duplicate_extension: false,
        unknown_critical_extension: false,
        malformed_name: false,
        self_issued: false,
        subject_key_identifier: Some(vec![serial]),
        authority_key_identifier: Some(AuthorityKeyIdentifier {
            key_identifier: Some(vec![1]),
            names_certificate: false,
        }),
        basic_constraints: Some(BasicConstraints {
            critical: true,
            ca: true,
        }),
        key_usage: Some(KeyUsage {
            certificate_signing: true,
            crl_signing: true,
        }),
        extended_key_usage: None,
        name_constraints_critical: None,
        alternative_name_critical: None,
        common_names: vec![name.into()],
        dns_names: Vec::new(),
        uris: Vec::new(),
        addresses: Vec::new(),
    }
}

fn summary(name: &str, serial: u8, now: Timestamp) -> CertificateSummary {
    let year = Duration::from_secs(31_557_600);
    CertificateSummary {
        serial: format!("{serial:02x}"),
        subject: format!("CN={name}"),
        issuer: "CN=Test CA".into(),
        not_before: Timestamp::from_millis(now.as_millis().saturating_sub(1_000)),
        not_after: now.plus(year),
        sha256: Sha256Digest::new([serial; 32]),
    }
}
