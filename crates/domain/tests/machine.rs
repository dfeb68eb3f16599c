//! The state machine keeps its promises in every order of events.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails as the test itself")]

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use zmon_domain::access::Peer;
use zmon_domain::admin::AdministratorAuthorised;
use zmon_domain::audit::AuditEvent;
use zmon_domain::checks::{Approved, Certified, Claim, Demands, ServerReached, Tested, Unconfirmed};
use zmon_domain::confirmation::CONFIRMATION_TIME;
use zmon_domain::error::{ErrorCode, ProvisioningError};
use zmon_domain::identity::DeviceId;
use zmon_domain::machine::{Admission, Effect, Event, Persisted, Session, State, Step, step};
use zmon_domain::pairing::{PairingCode, SessionId, SessionPublicKey, Sha256Digest};
use zmon_domain::payload::SignedText;
use zmon_domain::result::InstalledConfiguration;
use zmon_domain::secret::{SecretBytes, SecretText};
use zmon_domain::signal::ProvisioningSignal;
use zmon_domain::status::{PersistedStatus, Phase, ProvisioningStatus as Status};
use zmon_domain::time::{Deadline, Monotonic, TimeView, Timestamp, WallClock};
use zmon_testkit::fake_service;
use zmon_testkit::payload::{good_facts, good_members};

const CODE: &str = "X7Y9Z2";
const NOW: Timestamp = Timestamp::from_millis(1_795_435_200_000);
const PAIRING: Duration = Duration::from_secs(600);
const BODY: Sha256Digest = Sha256Digest::new([9; 32]);
const CONFIRMATION: Demands = Demands {
    confirmation: true,
    connection_test: false,
};
const TEST: Demands = Demands {
    confirmation: false,
    connection_test: true,
};
const SENDER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 1, 50, 1));

fn seconds(seconds: u64) -> Monotonic {
    Monotonic::from_nanos(seconds * 1_000_000_000)
}

fn id(n: u64) -> SessionId {
    SessionId::from_random(n.to_be_bytes())
}

fn session(n: u64, now: Monotonic) -> Box<Session> {
    demanding(n, now, Demands::default())
}

/// A session of a device on which a person has to accept.
fn confirmed_session(n: u64, now: Monotonic) -> Box<Session> {
    demanding(n, now, CONFIRMATION)
}

fn demanding(n: u64, now: Monotonic, demands: Demands) -> Box<Session> {
    Box::new(Session {
        id: id(n),
        pairing_code: PairingCode::parse(CODE).unwrap(),
        private_key: Arc::new(SecretBytes::take(&mut [201; 32])),
        public_key: SessionPublicKey::new([n as u8; 32]),
        expires_at: NOW.plus(PAIRING),
        deadline: Deadline::new(now, PAIRING),
        demands,
    })
}

fn certify(claim: Claim, n: u64) -> Certified {
    let device = DeviceId::parse("ZM-1").unwrap();
    let members = good_members(&device, &SessionPublicKey::new([n as u8; 32]), CODE, NOW);
    let wall = WallClock {
        now: NOW,
        synchronised: true,
    };
    let signed = claim.signed(SignedText::after_verification(SecretText::default()));
    let addressed = signed.parsed(members).unwrap().addressed_to(&device).unwrap();
    let paired = addressed
        .in_time(TimeView::new(wall, Timestamp::default(), NOW))
        .unwrap()
        .paired()
        .unwrap();
    paired.certified(&good_facts(&device, NOW)).unwrap()
}

/// Step 11 as far as no person is asked: a test that is demanded succeeds.
fn tested(claim: Claim, n: u64) -> Tested {
    match certify(claim, n) {
        Certified::Test(untested) => untested.tested(ServerReached::after_test()),
        Certified::NoTest(tested) => tested,
    }
}

fn approved(claim: Claim, n: u64) -> Approved {
    match tested(claim, n) {
        Tested::Done(approved) => approved,
        Tested::Confirm(_) => panic!("a person has to accept this"),
    }
}

fn unconfirmed(claim: Claim, n: u64) -> Unconfirmed {
    match tested(claim, n) {
        Tested::Confirm(unconfirmed) => unconfirmed,
        Tested::Done(_) => panic!("nobody has to accept this"),
    }
}

/// What follows step 10: the approval, or the question.
fn certified_event(claim: Claim, n: u64) -> Event {
    match tested(claim, n) {
        Tested::Done(approved) => approval(approved),
        Tested::Confirm(unconfirmed) => question(unconfirmed),
    }
}

fn approved_event(claim: Claim, n: u64) -> Event {
    approval(approved(claim, n))
}

fn approval(approved: Approved) -> Event {
    Event::PayloadApproved {
        approved: Box::new(approved),
        wall: NOW,
        body_sha256: BODY,
    }
}

fn question(unconfirmed: Unconfirmed) -> Event {
    Event::ConfirmationAsked {
        unconfirmed: Box::new(unconfirmed),
        sender: Some(SENDER),
        body_sha256: BODY,
    }
}

fn answered(accept: bool) -> Event {
    let by = Some(Peer {
        uid: 1000,
        gid: 1001,
        pid: None,
    });
    Event::ConfirmationAnswered { accept, by, wall: NOW }
}

fn installed() -> Box<InstalledConfiguration> {
    Box::new(fake_service::installed())
}

fn administrator() -> AdministratorAuthorised {
    AdministratorAuthorised::after_check("administrator")
}

fn error(code: ErrorCode) -> ProvisioningError {
    code.into()
}

/// Runs an event that must be accepted.
fn accept(state: State, event: Event, now: Monotonic) -> (State, Vec<Effect>) {
    let Step { state, outcome } = step(state, event, now);
    (state, outcome.expect("the event is accepted"))
}

fn claim_of(effects: Vec<Effect>) -> Claim {
    effects
        .into_iter()
        .find_map(|effect| {
            if let Effect::Check(claim) = effect {
                Some(claim)
            } else {
                None
            }
        })
        .unwrap()
}

fn events_recorded(effects: &[Effect]) -> Vec<AuditEvent> {
    let entries = effects.iter().flat_map(|effect| match effect {
        Effect::Record(entries, _)
        | Effect::Install(_, entries)
        | Effect::Erase(_, entries)
        | Effect::Retire(entries) => entries.as_slice(),
        _ => &[],
    });
    entries.map(|entry| entry.event).collect()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Unprovisioned,
    ReadyToPair,
    VerifyingSignature,
    CheckingCertificates,
    TestingConnection,
    AwaitingConfirmation,
    Applying,
    Provisioned,
    Failed,
    Deprovisioned,
}

/// A state, and where it has one the claim of session 1.
fn at(at: At) -> (State, Option<Claim>) {
    let fresh = State::from(Persisted::Unprovisioned);
    let now = seconds(0);
    match at {
        At::Unprovisioned => (fresh, None),
        At::ReadyToPair => (accept(fresh, Event::PairingOpened(session(1, now)), now).0, None),
        At::VerifyingSignature => {
            let (state, effects) = accept(self::at(At::ReadyToPair).0, Event::EnvelopeOpened(id(1)), now);
            (state, Some(claim_of(effects)))
        }
        At::CheckingCertificates => {
            let (state, claim) = self::at(At::VerifyingSignature);
            let (state, _) = accept(state, Event::SignatureVerified(id(1)), now);
            (accept(state, Event::PayloadAccepted(id(1)), now).0, claim)
        }
        At::TestingConnection => {
            let (state, _) = accept(fresh, Event::PairingOpened(demanding(1, now, TEST)), now);
            let (state, effects) = accept(state, Event::EnvelopeOpened(id(1)), now);
            let claim = claim_of(effects);
            let (state, _) = accept(state, Event::SignatureVerified(id(1)), now);
            let (state, _) = accept(state, Event::PayloadAccepted(id(1)), now);
            let (state, _) = accept(state, Event::ConnectionTestBegun(id(1)), now);
            (state, Some(claim))
        }
        At::AwaitingConfirmation => {
            let (state, _) = accept(fresh, Event::PairingOpened(confirmed_session(1, now)), now);
            let (state, effects) = accept(state, Event::EnvelopeOpened(id(1)), now);
            let asked = question(unconfirmed(claim_of(effects), 1));
            let (state, _) = accept(state, Event::SignatureVerified(id(1)), now);
            let (state, _) = accept(state, Event::PayloadAccepted(id(1)), now);
            (accept(state, asked, now).0, None)
        }
        At::Applying => {
            let (state, claim) = self::at(At::CheckingCertificates);
            (accept(state, approved_event(claim.unwrap(), 1), now).0, None)
        }
        At::Provisioned => (
            accept(self::at(At::Applying).0, Event::Installed(installed()), now).0,
            None,
        ),
        At::Failed => {
            let refused = Event::PayloadRefused(id(1), error(ErrorCode::SignatureInvalid));
            (accept(self::at(At::VerifyingSignature).0, refused, now).0, None)
        }
        At::Deprovisioned => (State::from(Persisted::Deprovisioned), None),
    }
}

#[test]
fn the_good_path_leads_to_provisioned_with_everything_recorded() {
    let (state, claim) = at(At::CheckingCertificates);
    let (state, effects) = accept(state, approved_event(claim.unwrap(), 1), seconds(1));
    use AuditEvent as E;
    let expected = [
        E::ConfigurationReceived,
        E::PairingCodeValidated,
        E::CertificatesInstalled,
        E::ConfigurationApplied,
        E::ProvisioningCompleted,
    ];
    assert_eq!(events_recorded(&effects), expected);
    let (state, effects) = accept(state, Event::Installed(installed()), seconds(1));
    assert_eq!(state.status(), Status::Provisioned);
    assert!(
        effects
            .iter()
            .any(|e| matches!(e, Effect::Announce(ProvisioningSignal::ProvisioningCompleted(_))))
    );
    assert_eq!(state.admit(seconds(2)), Ok(Admission::Grace));
    let (state, effects) = accept(state, Event::TimePassed, seconds(121));
    assert!(effects.iter().any(|e| matches!(e, Effect::CloseListener)));
    assert_eq!(state.admit(seconds(122)), Err(ErrorCode::AlreadyProvisioned));
}

#[test]
fn every_pair_of_state_and_event_is_decided_as_the_table_says() {
    use At::*;
    let ats = [
        Unprovisioned,
        ReadyToPair,
        VerifyingSignature,
        CheckingCertificates,
        TestingConnection,
        AwaitingConfirmation,
        Applying,
        Provisioned,
        Failed,
        Deprovisioned,
    ];
    // The new status, or the code of the refusal, for each state above.
    type Row = (
        &'static str,
        fn(Option<Claim>) -> Event,
        [Result<Status, ErrorCode>; 10],
    );
    use ErrorCode as C;
    use Status as S;
    let late = |code| Err(code);
    let rows: [Row; 17] = [
        (
            "PairingOpened",
            |_| Event::PairingOpened(session(2, seconds(1))),
            [
                Ok(S::ReadyToPair),
                Err(C::PairingInProgress),
                Err(C::PairingInProgress),
                Err(C::PairingInProgress),
                Err(C::PairingInProgress),
                Err(C::PairingInProgress),
                Err(C::PairingInProgress),
                Err(C::AlreadyProvisioned),
                Ok(S::ReadyToPair),
                Ok(S::ReadyToPair),
            ],
        ),
        (
            "Cancelled",
            |_| Event::Cancelled,
            [
                Err(C::NotPairing),
                Ok(S::Unprovisioned),
                Ok(S::ProvisioningFailed),
                Ok(S::ProvisioningFailed),
                Ok(S::ProvisioningFailed),
                Ok(S::ProvisioningFailed),
                Err(C::PairingInProgress),
                Err(C::AlreadyProvisioned),
                Err(C::NotPairing),
                Err(C::NotPairing),
            ],
        ),
        (
            "TimePassed",
            |_| Event::TimePassed,
            [
                Ok(S::Unprovisioned),
                Ok(S::ReadyToPair),
                Ok(S::PairingReceived),
                Ok(S::PairingReceived),
                Ok(S::PairingReceived),
                Ok(S::PairingReceived),
                Ok(S::PairingReceived),
                Ok(S::Provisioned),
                Ok(S::ProvisioningFailed),
                Ok(S::Deprovisioned),
            ],
        ),
        (
            "EnvelopeOpened",
            |_| Event::EnvelopeOpened(id(1)),
            [
                Err(C::NotPairing),
                Ok(S::PairingReceived),
                Err(C::PairingInProgress),
                Err(C::PairingInProgress),
                Err(C::PairingInProgress),
                Err(C::PairingInProgress),
                Err(C::PairingInProgress),
                Err(C::AlreadyProvisioned),
                Err(C::NotPairing),
                Err(C::NotPairing),
            ],
        ),
        (
            "SignatureVerified",
            |_| Event::SignatureVerified(id(1)),
            [
                late(C::Cancelled),
                late(C::Cancelled),
                Ok(S::PairingReceived),
                late(C::PairingInProgress),
                Err(C::PairingInProgress),
                late(C::PairingInProgress),
                late(C::PairingInProgress),
                late(C::Cancelled),
                late(C::SignatureInvalid),
                late(C::Cancelled),
            ],
        ),
        (
            "PayloadAccepted",
            |_| Event::PayloadAccepted(id(1)),
            [
                late(C::Cancelled),
                late(C::Cancelled),
                late(C::PairingInProgress),
                late(C::PairingInProgress),
                Err(C::PairingInProgress),
                late(C::PairingInProgress),
                late(C::PairingInProgress),
                late(C::Cancelled),
                late(C::SignatureInvalid),
                late(C::Cancelled),
            ],
        ),
        (
            "PayloadRefused",
            |_| Event::PayloadRefused(id(1), error(ErrorCode::InvalidCertificate)),
            [
                late(C::Cancelled),
                late(C::Cancelled),
                Ok(S::ProvisioningFailed),
                Ok(S::ProvisioningFailed),
                Ok(S::ProvisioningFailed),
                late(C::PairingInProgress),
                late(C::PairingInProgress),
                late(C::Cancelled),
                late(C::SignatureInvalid),
                late(C::Cancelled),
            ],
        ),
        (
            "PayloadApproved",
            |claim| approved_event(claim.unwrap_or_else(|| at(VerifyingSignature).1.unwrap()), 1),
            [
                late(C::Cancelled),
                late(C::Cancelled),
                late(C::PairingInProgress),
                Ok(S::PairingReceived),
                Ok(S::PairingReceived),
                late(C::PairingInProgress),
                late(C::PairingInProgress),
                late(C::Cancelled),
                late(C::SignatureInvalid),
                late(C::Cancelled),
            ],
        ),
        (
            "Installed",
            |_| Event::Installed(installed()),
            [
                late(C::Cancelled),
                late(C::Cancelled),
                late(C::PairingInProgress),
                late(C::PairingInProgress),
                Err(C::PairingInProgress),
                late(C::PairingInProgress),
                Ok(S::Provisioned),
                late(C::Cancelled),
                late(C::SignatureInvalid),
                late(C::Cancelled),
            ],
        ),
        (
            "InstallationFailed",
            |_| Event::InstallationFailed(error(ErrorCode::StorageError)),
            [
                late(C::Cancelled),
                late(C::Cancelled),
                late(C::PairingInProgress),
                late(C::PairingInProgress),
                Err(C::PairingInProgress),
                late(C::PairingInProgress),
                Ok(S::ProvisioningFailed),
                late(C::Cancelled),
                late(C::SignatureInvalid),
                late(C::Cancelled),
            ],
        ),
        (
            "Acknowledged",
            |_| Event::Acknowledged,
            [
                Ok(S::Unprovisioned),
                Err(C::PairingInProgress),
                Err(C::PairingInProgress),
                Err(C::PairingInProgress),
                Err(C::PairingInProgress),
                Err(C::PairingInProgress),
                Err(C::PairingInProgress),
                Err(C::AlreadyProvisioned),
                Ok(S::Unprovisioned),
                Ok(S::Unprovisioned),
            ],
        ),
        (
            "DeprovisioningRequested",
            |_| Event::DeprovisioningRequested(administrator()),
            [
                Err(C::NotProvisioned),
                Err(C::NotProvisioned),
                Err(C::PairingInProgress),
                Err(C::PairingInProgress),
                Err(C::PairingInProgress),
                Err(C::PairingInProgress),
                Err(C::PairingInProgress),
                Ok(S::Provisioned),
                Err(C::NotProvisioned),
                Err(C::NotProvisioned),
            ],
        ),
        (
            "RetirementRequested",
            |_| Event::RetirementRequested(administrator()),
            [
                Ok(S::Unprovisioned),
                Err(C::PairingInProgress),
                Err(C::PairingInProgress),
                Err(C::PairingInProgress),
                Err(C::PairingInProgress),
                Err(C::PairingInProgress),
                Err(C::PairingInProgress),
                Ok(S::Provisioned),
                Ok(S::ProvisioningFailed),
                Ok(S::Deprovisioned),
            ],
        ),
        (
            "Erased",
            |_| Event::Erased(administrator()),
            [
                Err(C::NotProvisioned),
                Err(C::NotProvisioned),
                Err(C::NotProvisioned),
                Err(C::NotProvisioned),
                Err(C::NotProvisioned),
                Err(C::NotProvisioned),
                Err(C::NotProvisioned),
                Ok(S::Deprovisioned),
                Err(C::NotProvisioned),
                Err(C::NotProvisioned),
            ],
        ),
        (
            "ConfirmationAsked",
            |_| {
                let claim = claim_of(confirming_claim());
                question(unconfirmed(claim, 1))
            },
            [
                late(C::Cancelled),
                late(C::Cancelled),
                late(C::PairingInProgress),
                Ok(S::PairingReceived),
                Ok(S::PairingReceived),
                late(C::PairingInProgress),
                late(C::PairingInProgress),
                late(C::Cancelled),
                late(C::SignatureInvalid),
                late(C::Cancelled),
            ],
        ),
        (
            "ConfirmationAnswered",
            |_| answered(true),
            [
                Err(C::NotPairing),
                Err(C::NotPairing),
                Err(C::PairingInProgress),
                Err(C::PairingInProgress),
                Err(C::PairingInProgress),
                Ok(S::PairingReceived),
                Err(C::PairingInProgress),
                Err(C::AlreadyProvisioned),
                Err(C::NotPairing),
                Err(C::NotPairing),
            ],
        ),
        (
            "ConnectionTestBegun",
            |_| Event::ConnectionTestBegun(id(1)),
            [
                late(C::Cancelled),
                late(C::Cancelled),
                late(C::PairingInProgress),
                Ok(S::PairingReceived),
                late(C::PairingInProgress),
                late(C::PairingInProgress),
                late(C::PairingInProgress),
                late(C::Cancelled),
                late(C::SignatureInvalid),
                late(C::Cancelled),
            ],
        ),
    ];
    for (name, event, expected) in rows {
        for (place, expected) in ats.into_iter().zip(expected) {
            let (state, claim) = at(place);
            let before = state.status();
            let Step { state, outcome } = step(state, event(claim), seconds(1));
            let seen = outcome.map(|_| state.status()).map_err(|refusal| refusal.code());
            assert_eq!(seen, expected, "{name} at {place:?}");
            if seen.is_err() {
                assert_eq!(
                    state.status(),
                    before,
                    "a refusal of {name} at {place:?} changes nothing"
                );
            }
        }
    }
    let stopping = ats.map(|place| {
        let Step { state, outcome } = step(at(place).0, Event::Stopping, seconds(1));
        outcome.map(|_| state.status()).map_err(|refusal| refusal.code())
    });
    assert_eq!(
        stopping,
        [
            Ok(S::Unprovisioned),
            Ok(S::Unprovisioned),
            Ok(S::ProvisioningFailed),
            Ok(S::ProvisioningFailed),
            Ok(S::ProvisioningFailed),
            Ok(S::ProvisioningFailed),
            Err(C::PairingInProgress),
            Ok(S::Provisioned),
            Ok(S::ProvisioningFailed),
            Ok(S::Deprovisioned),
        ]
    );
}

/// The effects of step 4 in a session in which a person has to accept.
fn confirming_claim() -> Vec<Effect> {
    let state = State::from(Persisted::Unprovisioned);
    let (state, _) = accept(
        state,
        Event::PairingOpened(confirmed_session(1, seconds(0))),
        seconds(0),
    );
    accept(state, Event::EnvelopeOpened(id(1)), seconds(0)).1
}

#[test]
fn a_person_is_asked_about_sender_server_label_and_comparison_value() {
    let (state, _) = at(At::AwaitingConfirmation);
    assert_eq!(state.phase(), Some(Phase::AwaitingConfirmation));
    let (request, left) = state.confirmation(seconds(10)).unwrap();
    assert_eq!(left, Duration::from_secs(50));
    assert_eq!(request.sender, Some(SENDER));
    assert_eq!(request.server_url.as_str(), "https://central.example.org");
    assert_eq!(request.device_label.as_str(), "ICU-MON-04");
    // 0x0909090909090909 is 651061555542690057.
    assert_eq!(request.comparison.to_string(), "0057");
    assert_eq!(
        state.next_deadline(),
        Some(Monotonic::default().plus(CONFIRMATION_TIME))
    );
    assert_eq!(state.admit(seconds(10)), Err(ErrorCode::PairingInProgress));
}

#[test]
fn a_server_that_was_reached_is_recorded_and_one_that_was_not_ends_the_session() {
    use AuditEvent as E;
    let (state, claim) = at(At::TestingConnection);
    assert_eq!(state.phase(), Some(Phase::TestingConnection));
    let (_, effects) = accept(state, approved_event(claim.unwrap(), 1), seconds(1));
    let passed = [E::ConfigurationReceived, E::PairingCodeValidated];
    let installed = [
        E::ConnectionTested,
        E::CertificatesInstalled,
        E::ConfigurationApplied,
        E::ProvisioningCompleted,
    ];
    assert_eq!(events_recorded(&effects), [passed.as_slice(), &installed].concat());

    let refused = Event::PayloadRefused(id(1), error(ErrorCode::NetworkError));
    let (state, effects) = accept(at(At::TestingConnection).0, refused, seconds(1));
    assert_eq!(
        state.failure().map(ProvisioningError::code),
        Some(ErrorCode::NetworkError)
    );
    assert_eq!(
        events_recorded(&effects),
        [passed.as_slice(), &[E::ProvisioningFailed]].concat()
    );
}

#[test]
fn who_accepted_is_recorded_with_the_installation_and_with_its_failure() {
    let (state, effects) = accept(at(At::AwaitingConfirmation).0, answered(true), seconds(59));
    use AuditEvent as E;
    let passed = [
        E::ConfigurationReceived,
        E::PairingCodeValidated,
        E::ConfirmationAccepted,
    ];
    let installed = [
        E::CertificatesInstalled,
        E::ConfigurationApplied,
        E::ProvisioningCompleted,
    ];
    assert_eq!(events_recorded(&effects), [passed, installed].concat());
    let Some(Effect::Install(_, entries)) = effects.last() else {
        panic!("{effects:?}")
    };
    assert_eq!(entries[2].detail.as_deref(), Some("by uid 1000, gid 1001"));
    assert_eq!(entries[2].session, Some(id(1)));
    assert_eq!(state.phase(), Some(Phase::Applying));

    let failed = Event::InstallationFailed(error(ErrorCode::StorageError));
    let (_, effects) = accept(state, failed, seconds(60));
    let expected = [passed.as_slice(), &[E::ProvisioningFailed]].concat();
    assert_eq!(events_recorded(&effects), expected);
}

#[test]
fn a_refusal_no_answer_and_a_cancellation_each_end_the_session_with_their_code() {
    use AuditEvent as E;
    let cases = [
        (
            answered(false),
            1,
            ErrorCode::ConfirmationRefused,
            Some(E::ConfirmationRefused),
        ),
        (Event::TimePassed, 60, ErrorCode::ConfirmationTimeout, None),
        (Event::Cancelled, 1, ErrorCode::Cancelled, None),
        (Event::Stopping, 1, ErrorCode::ShuttingDown, None),
    ];
    for (event, now, code, recorded) in cases {
        let (state, effects) = accept(at(At::AwaitingConfirmation).0, event, seconds(now));
        assert_eq!(state.status(), Status::ProvisioningFailed);
        assert_eq!(state.failure().map(ProvisioningError::code), Some(code));
        let passed = [E::ConfigurationReceived, E::PairingCodeValidated];
        let expected: Vec<_> = passed
            .into_iter()
            .chain(recorded)
            .chain([E::ProvisioningFailed])
            .collect();
        assert_eq!(events_recorded(&effects), expected, "{code}");
    }
}

#[test]
fn an_answer_after_the_minute_comes_too_late_even_before_the_clock_was_looked_at() {
    let (state, _) = at(At::AwaitingConfirmation);
    let Step { state, outcome } = step(state, answered(true), seconds(60));
    assert_eq!(outcome.unwrap_err().code(), ErrorCode::ConfirmationTimeout);
    // Nor does a clock that goes back give a second chance.
    let Step { state, outcome } = step(state, answered(true), seconds(1));
    assert_eq!(outcome.unwrap_err().code(), ErrorCode::ConfirmationTimeout);
    let (state, _) = accept(state, Event::TimePassed, seconds(1));
    assert_eq!(
        state.failure().map(ProvisioningError::code),
        Some(ErrorCode::ConfirmationTimeout)
    );
}

#[test]
fn the_listener_answers_expired_sessions_with_their_code_for_thirty_seconds() {
    let (state, effects) = accept(at(At::ReadyToPair).0, Event::TimePassed, seconds(600));
    assert_eq!(state.status(), Status::Unprovisioned);
    assert!(
        effects
            .iter()
            .any(|e| matches!(e, Effect::Announce(ProvisioningSignal::QrCodeExpired)))
    );
    assert_eq!(state.admit(seconds(601)), Err(ErrorCode::SessionExpired));
    let (state, effects) = accept(state, Event::TimePassed, seconds(630));
    assert!(matches!(
        effects.as_slice(),
        [Effect::SummariseRefusals(_), Effect::CloseListener]
    ));
    assert_eq!(state.admit(seconds(631)), Err(ErrorCode::NotPairing));
}

#[test]
fn a_session_from_another_screen_is_answered_as_a_wrong_code() {
    let Step { state, outcome } = step(at(At::ReadyToPair).0, Event::EnvelopeOpened(id(7)), seconds(1));
    assert_eq!(outcome.unwrap_err().code(), ErrorCode::InvalidPairingCode);
    assert_eq!(state.status(), Status::ReadyToPair);
}

#[test]
fn leaving_deprovisioned_is_persisted() {
    let (state, effects) = accept(
        at(At::Deprovisioned).0,
        Event::PairingOpened(session(2, seconds(0))),
        seconds(0),
    );
    assert_eq!(events_recorded(&effects)[0], AuditEvent::ReprovisioningStarted);
    let (_, effects) = accept(state, Event::Cancelled, seconds(1));
    assert!(matches!(
        effects[0],
        Effect::Record(_, Some(PersistedStatus::Unprovisioned))
    ));
}

#[test]
fn an_erasure_names_the_certificate_and_who_ordered_it_and_only_a_retirement_says_that_it_is_one() {
    for (event, retired) in [
        (Event::DeprovisioningRequested(administrator()), false),
        (Event::RetirementRequested(administrator()), true),
    ] {
        let (state, effects) = accept(at(At::Provisioned).0, event, seconds(1));
        assert_eq!(state.status(), Status::Provisioned, "until everything is gone");
        assert!(
            matches!(effects[0], Effect::CloseListener),
            "no receipt for what is being removed"
        );
        let Some(Effect::Erase(destruction, _)) = effects.get(1) else {
            panic!("{effects:?}")
        };
        let leaf = installed().certificates.leaf().clone();
        assert_eq!(destruction.certificate_sha256, leaf.sha256);
        assert_eq!(destruction.certificate_serial, leaf.serial);
        assert_eq!(
            (destruction.authorised_by.as_str(), destruction.retired),
            ("administrator", retired)
        );
        let mut expected = vec![AuditEvent::Deprovisioned];
        expected.extend(retired.then_some(AuditEvent::DeviceRetired));
        assert_eq!(events_recorded(&effects), expected);
    }
}

#[test]
fn a_retirement_ends_a_grace_period() {
    let (state, _) = accept(at(At::ReadyToPair).0, Event::Cancelled, seconds(1));
    let (state, effects) = accept(state, Event::RetirementRequested(administrator()), seconds(2));
    assert!(
        effects.iter().any(|effect| matches!(effect, Effect::CloseListener)),
        "{effects:?}"
    );
    assert_eq!(events_recorded(&effects), [AuditEvent::DeviceRetired]);
    assert_eq!(state.next_deadline(), None);
}

#[test]
fn no_signal_and_no_state_prints_a_secret() {
    let (state, effects) = accept(
        at(At::Unprovisioned).0,
        Event::PairingOpened(session(1, seconds(0))),
        seconds(0),
    );
    let printed = format!("{state:?} {effects:?}");
    assert!(!printed.contains(CODE) && !printed.contains("201, 201"), "{printed}");
    let (state, claim) = at(At::CheckingCertificates);
    let (state, effects) = accept(state, approved_event(claim.unwrap(), 1), seconds(0));
    let printed = format!("{state:?} {effects:?}");
    assert!(!printed.contains("PRIVATE") && !printed.contains(CODE), "{printed}");
}

#[derive(Clone, Debug)]
enum Act {
    Open,
    Cancel,
    /// The event that leads on from where the device stands.
    Next,
    /// The clock moves, but nobody tells the machine yet.
    Move(i64),
    Tick,
    Envelope(u64),
    Signature(u64),
    Accepted(u64),
    Refuse(u64),
    BeginTest(u64),
    Approve(usize),
    Answer(bool),
    Installed,
    InstallationFailed,
    Acknowledge,
    RequestErase,
    RequestRetirement,
    Erased,
    Stop,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        4 => Just(Act::Open),
        1 => Just(Act::Cancel),
        12 => Just(Act::Next),
        3 => (-700_i64..700).prop_map(Act::Move),
        2 => Just(Act::Tick),
        5 => (0_u64..4).prop_map(Act::Envelope),
        5 => (0_u64..4).prop_map(Act::Signature),
        5 => (0_u64..4).prop_map(Act::Accepted),
        1 => (0_u64..4).prop_map(Act::Refuse),
        3 => (0_u64..4).prop_map(Act::BeginTest),
        5 => (0_usize..4).prop_map(Act::Approve),
        3 => any::<bool>().prop_map(Act::Answer),
        4 => Just(Act::Installed),
        1 => Just(Act::InstallationFailed),
        1 => Just(Act::Acknowledge),
        1 => Just(Act::RequestErase),
        1 => Just(Act::RequestRetirement),
        1 => Just(Act::Erased),
        1 => Just(Act::Stop),
    ];
    prop::collection::vec(act, 1..80)
}

fn next_act(state: &State) -> Act {
    use zmon_domain::status::Phase::*;
    match (state.status(), state.phase()) {
        (Status::ReadyToPair, _) => Act::Envelope(1),
        (_, Some(VerifyingSignature)) => Act::Signature(1),
        (_, Some(CheckingPayload)) => Act::Accepted(1),
        (_, Some(CheckingCertificates | TestingConnection)) => Act::Approve(0),
        (_, Some(AwaitingConfirmation)) => Act::Answer(true),
        (_, Some(Applying)) => Act::Installed,
        (Status::Provisioned, _) => Act::Erased,
        _ => Act::Open,
    }
}

fn allowed(from: Status, to: Status) -> bool {
    use Status::*;
    from == to
        || matches!(
            (from, to),
            (Unprovisioned, ReadyToPair)
                | (ReadyToPair, PairingReceived | Unprovisioned)
                | (PairingReceived, Provisioned | ProvisioningFailed)
                | (ProvisioningFailed, Unprovisioned | ReadyToPair)
                | (Provisioned, Deprovisioned)
                | (Deprovisioned, Unprovisioned | ReadyToPair)
        )
}

/// Every other session demands a person's answer, half of each a connection test.
const fn demands(session: u64) -> Demands {
    Demands {
        confirmation: session % 2 == 1,
        connection_test: session % 4 >= 2,
    }
}

/// What an observer knows who sees only events and effects.
#[derive(Default)]
struct Observer {
    opened: u64,
    deadline: u64,
    latest: u64,
    now: u64,
    claims: Vec<(u64, Claim)>,
    claimed: HashSet<u64>,
    signature_verified: HashSet<u64>,
    accepted: HashSet<u64>,
    ended: HashSet<u64>,
    /// Sessions whose payload a person accepted.
    confirmed: HashSet<u64>,
    asked_until: Option<u64>,
    installing: Option<u64>,
    tried: Option<u64>,
    current: Option<u64>,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn the_named_invariants_hold_over_random_events(acts in acts()) {
        let mut state = State::from(Persisted::Unprovisioned);
        let mut seen = Observer { now: 1_000, latest: 1_000, ..Observer::default() };
        for act in acts {
            let before = state.status();
            let act = match act {
                Act::Next => next_act(&state),
                other => other,
            };
            let event = match &act {
                Act::Open => Event::PairingOpened(demanding(seen.opened, seconds(seen.now), demands(seen.opened))),
                Act::Cancel => Event::Cancelled,
                Act::Move(by) => {
                    seen.now = seen.now.saturating_add_signed(*by);
                    continue;
                }
                Act::Tick => Event::TimePassed,
                Act::Next => unreachable!("was replaced"),
                Act::Envelope(n) => Event::EnvelopeOpened(id(seen.opened.saturating_sub(*n))),
                Act::Signature(n) => Event::SignatureVerified(id(seen.opened.saturating_sub(*n))),
                Act::Accepted(n) => Event::PayloadAccepted(id(seen.opened.saturating_sub(*n))),
                Act::BeginTest(n) => Event::ConnectionTestBegun(id(seen.opened.saturating_sub(*n))),
                Act::Refuse(n) => Event::PayloadRefused(id(seen.opened.saturating_sub(*n)), error(ErrorCode::SignatureInvalid)),
                Act::Approve(n) => {
                    if seen.claims.is_empty() { continue; }
                    let (session, claim) = seen.claims.remove(seen.claims.len() - 1 - n % seen.claims.len());
                    seen.tried = Some(session);
                    certified_event(claim, session)
                }
                Act::Answer(accept) => answered(*accept),
                Act::Installed => Event::Installed(installed()),
                Act::InstallationFailed => Event::InstallationFailed(error(ErrorCode::StorageError)),
                Act::Acknowledge => Event::Acknowledged,
                Act::RequestErase => Event::DeprovisioningRequested(administrator()),
                Act::RequestRetirement => Event::RetirementRequested(administrator()),
                Act::Erased => Event::Erased(administrator()),
                Act::Stop => Event::Stopping,
            };
            let next = step(state, event, seconds(seen.now));
            state = next.state;
            prop_assert!(allowed(before, state.status()), "no transition but those of the table: {before} to {}", state.status());
            let Ok(effects) = next.outcome else {
                prop_assert_eq!(before, state.status(), "a refusal changes nothing");
                continue;
            };
            if before == Status::ReadyToPair {
                seen.latest = seen.latest.max(seen.now);
            }
            match act {
                Act::Open => {
                    seen.deadline = seen.now + PAIRING.as_secs();
                    seen.latest = seen.now;
                    seen.opened += 1;
                }
                Act::Envelope(n) => {
                    let session = seen.opened.saturating_sub(n);
                    prop_assert!(seen.latest < seen.deadline, "time running backwards extends nothing");
                    prop_assert!(seen.claimed.insert(session), "a used code is never accepted again");
                }
                Act::Signature(n) => { seen.signature_verified.insert(seen.opened.saturating_sub(n)); }
                Act::Approve(_) => {
                    seen.current = seen.tried;
                    let now = seen.now;
                    seen.asked_until = state.confirmation(seconds(now)).map(|_| now + CONFIRMATION_TIME.as_secs());
                }
                Act::Answer(true) => {
                    prop_assert!(seen.asked_until.is_some_and(|until| seen.now < until), "nobody accepts what was not asked, or too late");
                    seen.confirmed.extend(seen.current);
                }
                Act::Accepted(n) => { seen.accepted.insert(seen.opened.saturating_sub(n)); }
                _ => {}
            }
            for effect in effects {
                match effect {
                    Effect::Check(claim) => seen.claims.push((seen.opened - 1, claim)),
                    Effect::Install(installation, entries) => {
                        let session = seen.current.unwrap();
                        let tested = entries.iter().any(|entry| entry.event == AuditEvent::ConnectionTested);
                        prop_assert_eq!(tested, demands(session).connection_test, "the audit says whether the server was reached");
                        prop_assert_eq!(installation.session(), id(session));
                        prop_assert!(!seen.ended.contains(&session), "nothing of a refused payload survives");
                        seen.installing = Some(session);
                    }
                    _ => {}
                }
            }
            if before == Status::PairingReceived && state.status() == Status::ProvisioningFailed {
                seen.ended.extend(seen.claimed.iter());
                seen.installing = None;
            }
            if before != Status::Provisioned && state.status() == Status::Provisioned {
                let session = seen.installing.take();
                prop_assert!(session.is_some_and(|session| {
                    seen.claimed.contains(&session)
                        && seen.signature_verified.contains(&session)
                        && seen.accepted.contains(&session)
                        && (!demands(session).confirmation || seen.confirmed.contains(&session))
                }), "no path to PROVISIONED without every check");
            }
            prop_assert_eq!(state.session().is_some(), state.status() == Status::ReadyToPair, "keys live in READY_TO_PAIR alone");
        }
    }
}
