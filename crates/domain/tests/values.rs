//! Values follow their rules from the moment they exist.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails as the test itself")]

use std::time::Duration;

use proptest::prelude::*;
use zmon_domain::error::ErrorCode;
use zmon_domain::identity::{DeviceId, SerialNumber};
use zmon_domain::pairing::{PAIRING_ALPHABET, PairingCode, SessionPublicKey};
use zmon_domain::payload::{MemberValue, Members, ProvisioningPayload};
use zmon_domain::qr::{QrCodeData, QrFields, QrImages};
use zmon_domain::secret::SecretText;
use zmon_domain::settings::{DeviceLabel, Language, MeasurementUnit, ServerHost, ServerUrl, SyncInterval};
use zmon_domain::time::{Deadline, Monotonic, TimeView, Timestamp, WallClock};

#[test]
fn a_device_id_has_1_to_32_letters_digits_and_hyphens() {
    for good in ["A", "ZM-ICU-MON-04", &"x".repeat(32)] {
        assert!(DeviceId::parse(good).is_ok(), "{good}");
    }
    for bad in ["", "ZM_1", "ZM 1", "ZM.1", "é", &"x".repeat(33)] {
        assert!(DeviceId::parse(bad).is_err(), "{bad}");
    }
    assert!(SerialNumber::parse("SN/77.1_b-2").is_ok());
    assert!(SerialNumber::parse("SN\"1").is_err());
}

#[test]
fn a_server_url_is_https_with_a_host_and_nothing_secret_in_it() {
    for good in [
        "https://central.example.org",
        "HTTPS://central.example.org:8443/api/v1?x=1",
        "https://10.1.2.3/",
        "https://[2001:db8::1]:443/",
        "https://central_1.ward.local./",
    ] {
        assert!(ServerUrl::parse(good).is_ok(), "{good}");
    }
    let long = format!("https://a/{}", "x".repeat(2039));
    for bad in [
        "",
        "central.example.org",
        "//central.example.org",
        "http://central.example.org",
        "https://",
        "https:///path",
        "https://user@central.example.org",
        "https://user:secret@central.example.org",
        "https://@central.example.org",
        "https://central.example.org#part",
        "https://central.example.org#",
        "https://central.example.org:99999",
        "https://central.example.org/a b",
        "https://cen\\tral.example.org",
        "https://central..example.org",
        "https://-central.example.org",
        "https://%63entral.example.org",
        "https://[v1.x]/",
        " https://central.example.org",
        "https:central.example.org",
        &long,
    ] {
        assert!(ServerUrl::parse(bad).is_err(), "{bad}");
    }
    assert!(ServerUrl::parse(&long[..2048]).is_ok());
    let host = ServerUrl::parse("https://Central.Example.ORG/x")
        .unwrap()
        .host()
        .clone();
    assert_eq!(host, ServerHost::Name("central.example.org".into()));
}

#[test]
fn a_label_shows_as_itself() {
    for good in ["ICU-MON-04", "Überwachung 3", "ñ", &"x".repeat(64), "監視"] {
        assert!(DeviceLabel::parse(good).is_ok(), "{good}");
    }
    for bad in [
        "",
        " ",
        " a",
        "a ",
        "a\nb",
        "a\u{0}",
        "a\u{202e}b",
        "a\u{200b}b",
        "a\u{2028}b",
        "a\u{ad}b",
        &"é".repeat(65),
    ] {
        assert!(DeviceLabel::parse(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn small_values_follow_their_rules() {
    assert_eq!(SyncInterval::default().as_seconds(), 10);
    for (seconds, fits) in [
        (0, false),
        (1, true),
        (3600, true),
        (3601, false),
        (-1, false),
        (65_546, false),
    ] {
        assert_eq!(SyncInterval::from_seconds(seconds).is_ok(), fits, "{seconds}");
    }
    assert_eq!(Language::parse("es").unwrap().as_str(), "ES");
    for bad in ["", "e", "engl", "e1", "é"] {
        assert!(Language::parse(bad).is_err(), "{bad}");
    }
    assert!(MeasurementUnit::parse("metric").is_err());
}

#[test]
fn every_pairing_code_character_is_equally_likely() {
    let mut seen = [0_u32; 256];
    for byte in 0..=255_u8 {
        let code = PairingCode::from_random(&mut [byte; 6]);
        seen[usize::from(code.expose().as_bytes()[0])] += 1;
    }
    for c in PAIRING_ALPHABET {
        assert_eq!(seen[usize::from(*c)], 8);
    }
}

proptest! {
    #[test]
    fn a_pairing_code_matches_itself_in_any_case_and_nothing_else(mut random: [u8; 6], other in ".{0,70}") {
        let code = PairingCode::from_random(&mut random);
        let text = code.expose().to_owned();
        prop_assert!(code.matches(&text) && code.matches(&text.to_ascii_lowercase()));
        prop_assert_eq!(code.matches(&other), other.eq_ignore_ascii_case(&text));
        let longer = [text.as_str(), "\0"].concat();
        prop_assert!(!code.matches(&longer));
        prop_assert!(!code.matches(&text[..5]));
    }

    #[test]
    fn a_deadline_never_moves_back(steps in prop::collection::vec(0_u64..2_000, 1..50)) {
        let mut deadline = Deadline::new(Monotonic::from_nanos(500), Duration::from_nanos(1_000));
        let mut latest = 500;
        for now in steps {
            latest = latest.max(now);
            prop_assert_eq!(deadline.reached(Monotonic::from_nanos(now)), latest >= 1_500);
        }
    }

    #[test]
    fn now_is_the_later_of_wall_clock_and_floor(wall: u64, floor: u64, synchronised: bool) {
        let wall = WallClock { now: Timestamp::from_millis(wall), synchronised };
        let view = TimeView::new(wall, Timestamp::from_millis(floor), Timestamp::default());
        prop_assert_eq!(view.now().as_millis(), wall.now.as_millis().max(floor));
    }

    #[test]
    fn parsing_members_never_panics_and_never_echoes_values(
        names in prop::collection::vec(prop_oneof![Just("deviceId"), Just("version"), Just("serverUrl"), Just("x")], 0..6),
        value in "[a-z]{12,20}",
    ) {
        let members = names.into_iter().map(|name| (name.to_owned(), text(&value))).collect();
        let error = ProvisioningPayload::parse(Members(members)).unwrap_err();
        prop_assert_eq!(error.code(), ErrorCode::PayloadInvalid);
        prop_assert!(!error.to_string().contains(&value));
    }
}

fn text(value: &str) -> MemberValue {
    MemberValue::Text(SecretText::new(value.into()))
}

fn good_members() -> Vec<(String, MemberValue)> {
    let texts = [
        ("deviceId", "ZM-1"),
        ("sessionKey", "k"),
        ("pairingCode", "X7Y9Z2"),
        ("serverUrl", "https://central.example.org"),
        ("clientCertificate", "c"),
        ("clientPrivateKey", "p"),
        ("caCertificate", "a"),
        ("serverCertificate", "s"),
        ("deviceLabel", "ICU 4"),
        ("measurementUnit", "METRIC"),
        ("language", "EN"),
    ];
    let numbers = [("version", 1), ("syncInterval", 10), ("timestamp", 1), ("expiresAt", 2)];
    let texts = texts.map(|(name, value)| (name.to_owned(), text(value)));
    let numbers = numbers.map(|(name, value)| (name.to_owned(), MemberValue::Integer(value)));
    texts.into_iter().chain(numbers).collect()
}

fn parse_with(change: impl FnOnce(&mut Vec<(String, MemberValue)>)) -> Result<(), String> {
    let mut members = good_members();
    change(&mut members);
    ProvisioningPayload::parse(Members(members))
        .map(|_| ())
        .map_err(|error| {
            assert_eq!(error.code(), ErrorCode::PayloadInvalid);
            error.message().to_owned()
        })
}

#[test]
fn each_missing_field_is_named_unless_it_is_optional() {
    for (name, _) in good_members() {
        let outcome = parse_with(|members| members.retain(|(field, _)| *field != name));
        if name == "syncInterval" || name == "serverCertificate" {
            assert_eq!(outcome, Ok(()), "{name}");
        } else {
            assert!(outcome.unwrap_err().contains(&name), "{name}");
        }
    }
}

#[test]
fn each_field_of_another_type_or_twice_is_named() {
    for (index, (name, value)) in good_members().into_iter().enumerate() {
        let wrong = match value {
            MemberValue::Text(_) => MemberValue::Integer(1),
            MemberValue::Integer(_) | MemberValue::Other => text("1"),
        };
        for wrong in [wrong, MemberValue::Other] {
            assert!(
                parse_with(|members| members[index].1 = wrong)
                    .unwrap_err()
                    .contains(&name),
                "{name}"
            );
        }
        let twice = parse_with(|members| members.push(good_members().swap_remove(index)));
        assert!(twice.unwrap_err().contains(&name), "{name}");
    }
    assert!(parse_with(|members| members.push(("signature".into(), text("x")))).is_err());
    assert_eq!(parse_with(|_| ()), Ok(()));
}

#[test]
fn limits_of_fields_are_exact() {
    let set = |name: &'static str, value: MemberValue| {
        parse_with(|members| members.iter_mut().find(|(field, _)| field == name).unwrap().1 = value)
    };
    assert_eq!(set("pairingCode", text(&"x".repeat(64))), Ok(()));
    assert!(set("pairingCode", text(&"x".repeat(65))).is_err());
    assert!(set("version", MemberValue::Integer(2)).is_err());
    assert!(set("timestamp", MemberValue::Integer(-1)).is_err());
    assert_eq!(set("expiresAt", MemberValue::Integer(i128::from(u64::MAX))), Ok(()));
    assert!(set("syncInterval", MemberValue::Integer(3601)).is_err());
}

fn qr_fields(device_id: &str) -> QrFields {
    QrFields {
        device_id: DeviceId::parse(device_id).unwrap(),
        serial_number: SerialNumber::parse(&"s".repeat(32)).unwrap(),
        ip_address: "2001:db8:1111:2222:3333:4444:5555:6666".parse().unwrap(),
        port: 9443,
        pairing_code: PairingCode::parse("X7Y9Z2").unwrap(),
        timestamp: Timestamp::from_millis(1_795_435_200_000),
        key: SessionPublicKey::new([7; 32]),
        pin: zmon_domain::pairing::TlsPin::new([9; 32]),
    }
}

#[test]
fn qr_content_that_does_not_fit_is_refused() {
    let fields = qr_fields(&"d".repeat(32));
    let error = QrCodeData::content(&fields, Some(&[1; 16])).unwrap_err();
    assert_eq!(error.code(), ErrorCode::QrContentTooLong);
    let fields = QrFields {
        ip_address: [10, 1, 50, 104].into(),
        port: 8443,
        ..qr_fields("ZM-1")
    };
    assert!(QrCodeData::content(&fields, Some(&[1; 16])).unwrap().len() <= 310);
}

#[test]
fn qr_data_counts_down_and_hides_the_code_from_debug_output() {
    let fields = qr_fields("ZM-1");
    let expires_at = fields.timestamp.plus(Duration::from_secs(600));
    let images = QrImages {
        png: Vec::new(),
        svg: String::new(),
        text: String::new(),
    };
    let qr = QrCodeData::new(fields.clone(), expires_at, fields.to_content(), images);
    assert_eq!(qr.seconds_until_expiry(fields.timestamp), 600);
    assert_eq!(qr.seconds_until_expiry(expires_at.plus(Duration::from_secs(5))), 0);
    assert!(!qr.is_expired(expires_at) && qr.is_expired(expires_at.plus(Duration::from_millis(1))));
    assert!(qr.qr_code_content().contains("X7Y9Z2"));
    assert!(!format!("{qr:?}").contains("X7Y9Z2"));
}

#[test]
fn every_error_of_the_catalogue_says_what_to_do_next() {
    for code in ErrorCode::ALL {
        let entry = code.entry();
        assert!(!entry.title.is_empty() && entry.next_action.ends_with('.'), "{code}");
        assert_eq!(ErrorCode::from_name(code.as_str()), Some(*code));
    }
}
