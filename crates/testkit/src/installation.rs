//! Samples for a store: installations made the only way there is, by driving the state machine through a provisioning.

use std::sync::Arc;
use std::time::Duration;

use zmon_domain::audit::AuditEntry;
use zmon_domain::certificate::{
    Block, BundleFacts, CertificateDetails, ChainFacts, ExtendedKeyUsage, PathFacts, PemFacts,
};
use zmon_domain::checks::{Approved, Certified, Claim, Demands, InTime, Installation, Tested};
use zmon_domain::identity::DeviceId;
use zmon_domain::machine::{Effect, Event, Persisted, Session, State, step};
use zmon_domain::pairing::{PairingCode, SessionId, SessionPrivateKey, SessionPublicKey, Sha256Digest};
use zmon_domain::payload::{MemberValue, Members, SignedText};
use zmon_domain::secret::SecretText;
use zmon_domain::time::{Deadline, Monotonic, TimeView, Timestamp, WallClock};

use crate::payload::{good_facts, good_members};

/// The device of every sample.
pub const DEVICE_ID: &str = "ZM-SAMPLE-0001";
/// The client certificate of every sample, leaf and intermediate: text that a search can tell from everything else.
pub const CLIENT_CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nU0FNUExFLUNMSUVOVA==\n-----END CERTIFICATE-----\n\
     -----BEGIN CERTIFICATE-----\nU0FNUExFLUlOVEVSTUVESUFURQ==\n-----END CERTIFICATE-----\n";
/// The trust root of every sample.
pub const CA_CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nU0FNUExFLUNB\n-----END CERTIFICATE-----\n";
/// The pinned server certificate of samples that have one.
pub const SERVER_CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nU0FNUExFLVNFUlZFUg==\n-----END CERTIFICATE-----\n";
/// The `timestamp` of every sample's payload, and so its time floor: 2026-01-01T00:00:00Z.
pub const SAMPLE_TIME: Timestamp = Timestamp::from_unix_seconds(1_767_225_600);

const SERVER: &str = "central.example";
const CODE: &str = "ABC234";

/// What step 12 is given for a device with this label, with or without a pinned server certificate: the installation,
/// and the audit entries that belong to it. The private key is [`CANARY_KEY`](crate::payload::CANARY_KEY).
///
/// # Panics
/// Where the domain's rules refuse the sample.
#[must_use]
pub fn installation(device_label: &str, pinned_server: bool) -> (Installation, Vec<AuditEntry>) {
    let id = SessionId::from_random(*b"session1");
    let public_key = SessionPublicKey::new([7; 32]);
    let minutes = Duration::from_secs(600);
    let session = Session {
        id,
        pairing_code: PairingCode::parse(CODE).expect("the sample's code follows its rule"),
        private_key: Arc::new(SessionPrivateKey::take(&mut [8; 32])),
        public_key,
        expires_at: SAMPLE_TIME.plus(minutes),
        deadline: Deadline::new(Monotonic::default(), minutes),
        demands: Demands::default(),
    };
    let mut machine = Machine(State::from(Persisted::Unprovisioned));
    machine.take(Event::PairingOpened(Box::new(session)));
    let claim = machine
        .take(Event::EnvelopeOpened(id))
        .into_iter()
        .find_map(|effect| match effect {
            Effect::Check(claim) => Some(claim),
            _ => None,
        });
    let approved = approve(
        claim.expect("an opened envelope is checked"),
        &public_key,
        device_label,
        pinned_server,
    );
    machine.take(Event::SignatureVerified(id));
    machine.take(Event::PayloadAccepted(id));
    let approval = Event::PayloadApproved {
        approved: Box::new(approved),
        wall: SAMPLE_TIME.plus(Duration::from_secs(2)),
        body_sha256: Sha256Digest::new([9; 32]),
    };
    let installation = machine.take(approval).into_iter().find_map(|effect| match effect {
        Effect::Install(installation, entries) => Some((*installation, entries)),
        _ => None,
    });
    installation.expect("an approved payload is installed")
}

struct Machine(State);

impl Machine {
    fn take(&mut self, event: Event) -> Vec<Effect> {
        let state = std::mem::replace(&mut self.0, State::from(Persisted::Unprovisioned));
        let step = step(state, event, Monotonic::default());
        self.0 = step.state;
        step.outcome.expect("the machine takes every event of a provisioning")
    }
}

fn approve(claim: Claim, key: &SessionPublicKey, device_label: &str, pinned_server: bool) -> Approved {
    let wall = WallClock {
        now: SAMPLE_TIME,
        synchronised: true,
    };
    let device_id = DeviceId::parse(DEVICE_ID).expect("the sample's device id follows its rule");
    let certified = claim
        .signed(SignedText::after_verification(SecretText::default()))
        .parsed(members(&device_id, key, device_label, pinned_server))
        .and_then(|parsed| parsed.addressed_to(&device_id))
        .and_then(|addressed| addressed.in_time(TimeView::new(wall, SAMPLE_TIME, SAMPLE_TIME)))
        .and_then(InTime::paired)
        .and_then(|paired| paired.certified(&facts(&device_id, pinned_server)))
        .expect("the sample follows every rule");
    match certified {
        Certified::NoTest(Tested::Done(approved)) => approved,
        Certified::NoTest(Tested::Confirm(_)) | Certified::Test(_) => panic!("the sample demands nothing in step 11"),
    }
}

fn members(device_id: &DeviceId, key: &SessionPublicKey, device_label: &str, pinned_server: bool) -> Members {
    let mut members = good_members(device_id, key, CODE, SAMPLE_TIME).0;
    let url = format!("https://{SERVER}:8443/monitors");
    let mut texts = vec![
        ("deviceLabel", device_label),
        ("serverUrl", &url),
        ("clientCertificate", CLIENT_CERTIFICATE),
        ("caCertificate", CA_CERTIFICATE),
    ];
    if pinned_server {
        texts.push(("serverCertificate", SERVER_CERTIFICATE));
    }
    members.retain(|(name, _)| texts.iter().all(|(text, _)| text != name));
    let text = |(name, text): (&str, &str)| (name.to_owned(), MemberValue::Text(SecretText::new(text.to_owned())));
    members.extend(texts.into_iter().map(text));
    Members(members)
}

/// The good facts, with an intermediate for the client and, where wanted, a pinned server.
fn facts(device_id: &DeviceId, pinned_server: bool) -> BundleFacts {
    let mut facts = good_facts(device_id, SAMPLE_TIME);
    let mut intermediate = only(&facts.ca);
    intermediate.summary.subject = "CN=Sample intermediate".to_owned();
    intermediate.summary.sha256 = Sha256Digest::new([3; 32]);
    let client = only(&facts.client.certificates);
    let mut server = client.clone();
    server.summary.subject = format!("CN={SERVER}");
    server.dns_names = vec![SERVER.to_owned()];
    server.common_names = vec![SERVER.to_owned()];
    server.extended_key_usage = Some(ExtendedKeyUsage {
        critical: false,
        any: false,
        client_auth: false,
        server_auth: true,
    });
    facts.client.certificates = PemFacts::Blocks(vec![Block::Read(client), Block::Read(intermediate)]);
    facts.server = pinned_server.then(|| ChainFacts {
        certificates: PemFacts::Blocks(vec![Block::Read(server)]),
        path: PathFacts::Leads,
    });
    facts
}

fn only(facts: &PemFacts<CertificateDetails>) -> CertificateDetails {
    match facts {
        PemFacts::Blocks(blocks) => match &blocks[..] {
            [Block::Read(certificate)] => certificate.clone(),
            _ => panic!("the good facts have one certificate"),
        },
        _ => panic!("the good facts have blocks"),
    }
}
