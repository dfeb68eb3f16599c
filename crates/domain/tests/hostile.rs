//! Values from a stranger: each follows its rule, written down here a second time, or is refused without being repeated.

use proptest::prelude::*;
use zmon_domain::error::ErrorCode;
use zmon_domain::identity::{DeviceId, SerialNumber};
use zmon_domain::pairing::{PairingCode, SessionPublicKey};
use zmon_domain::payload::{MemberValue, Members, ProvisioningPayload};
use zmon_domain::secret::SecretText;
use zmon_domain::settings::{DeviceLabel, Language, MeasurementUnit, ServerHost, ServerUrl, Settings, SyncInterval};
use zmon_testkit::mutation::{cases, changed_text};
use zmon_testkit::payload::good_members;
use zmon_testkit::pki::NOW;

const URL: &str = "https://central.example.org:8443/api/v1?x=1";

/// Good values, changed ones, and anything.
fn text(good: &str) -> impl Strategy<Value = String> + use<> {
    prop_oneof![
        Just(good.to_owned()),
        changed_text(good),
        any::<String>(),
        "[ -~]{0,70}"
    ]
}

fn made_of(text: &str, lengths: std::ops::RangeInclusive<usize>, also: &str) -> bool {
    lengths.contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || also.contains(c))
}

proptest! {
    #![proptest_config(cases(1_000))]

    #[test]
    fn a_url_is_taken_only_where_its_parts_are_plain(text in text(URL), host in "[a-z0-9.:@%\\[\\]\\\\/ -]{0,20}") {
        for text in [text, format!("https://{host}/"), format!("HTTPS://u@{host}")] {
            let Ok(url) = ServerUrl::parse(&text) else { continue };
            prop_assert_eq!(url.as_str(), &text);
            prop_assert!(text.len() <= 2048 && text.is_ascii());
            prop_assert!(text[..8].eq_ignore_ascii_case("https://"), "{}", text);
            prop_assert!(!text.contains(['#', ' ', '\\', '<', '>', '"', '\0']), "{}", text);
            let authority = text[8..].split(['/', '?']).next().unwrap();
            prop_assert!(!authority.contains('@'), "{}", text);
            match url.host() {
                ServerHost::Name(name) => {
                    prop_assert!(authority.to_ascii_lowercase().starts_with(name.as_str()), "{}", text);
                    prop_assert!(!name.is_empty() && made_of(name, 1..=254, ".-_"), "{}", text);
                }
                ServerHost::Address(address) => prop_assert!(authority.contains('.') || address.is_ipv6()),
            }
            // Read again it says the same.
            prop_assert_eq!(ServerUrl::parse(url.as_str()).unwrap(), url);
        }
    }

    #[test]
    fn small_texts_are_taken_by_their_rule_alone(
        id in text("ZM-ICU-MON-04"),
        serial in text("SN/77.1_b-2"),
        label in text("ICU-MON 04"),
        language in text("EN"),
        unit in text("METRIC"),
        code in text("X7Y9Z2"),
    ) {
        prop_assert_eq!(DeviceId::parse(&id).is_ok(), made_of(&id, 1..=32, "-"));
        prop_assert_eq!(SerialNumber::parse(&serial).is_ok(), made_of(&serial, 1..=32, "./_-"));
        prop_assert_eq!(Language::parse(&language).is_ok(), (2..=3).contains(&language.len()) && language.bytes().all(|b| b.is_ascii_alphabetic()));
        prop_assert_eq!(MeasurementUnit::parse(&unit).is_ok(), unit == "METRIC" || unit == "IMPERIAL");
        let upper = code.to_ascii_uppercase();
        prop_assert_eq!(PairingCode::parse(&code).is_ok(), made_of(&upper, 6..=6, "") && !upper.contains(['0', '1', 'I', 'O']));
        if let Ok(taken) = DeviceLabel::parse(&label) {
            prop_assert_eq!(taken.as_str(), &label);
            prop_assert!((1..=64).contains(&label.chars().count()) && !label.chars().any(char::is_control));
            prop_assert_eq!(label.trim(), &label);
        }
    }

    /// Each field in turn gets anything.
    #[test]
    fn a_payload_with_any_value_is_taken_or_names_the_field_and_never_its_value(
        field in 0_usize..13,
        value in text(URL),
        number in any::<i128>(),
        as_number in any::<bool>(),
    ) {
        let device_id = DeviceId::parse("ZM-1").unwrap();
        let mut members = good_members(&device_id, &SessionPublicKey::new([7; 32]), "X7Y9Z2", NOW).0;
        let name = members[field].0.clone();
        let value = format!("{value}~canary~");
        members[field].1 = if as_number {
            MemberValue::Integer(number)
        } else {
            MemberValue::Text(SecretText::new(value.clone()))
        };
        match ProvisioningPayload::parse(Members(members)) {
            Ok(payload) => {
                let shown = format!("{payload:?}");
                prop_assert!(!shown.contains("BEGIN PRIVATE KEY"), "{}", shown);
            }
            Err(refusal) => {
                prop_assert_eq!(refusal.code(), ErrorCode::PayloadInvalid);
                let said = format!("{refusal} {refusal:?}");
                prop_assert!(said.contains(&name), "{}", said);
                prop_assert!(!said.contains("~canary~") && !said.contains("X7Y9Z2"), "{}", said);
                prop_assert!(number.unsigned_abs() < 1_000_000 || !said.contains(&number.to_string()), "{}", said);
            }
        }
    }

    /// What a damaged store may hold goes through the same rules.
    #[test]
    fn stored_settings_are_read_by_the_same_rules(
        values in (text("ZM-1"), text("Bed 7"), text(URL), text("10"), text("METRIC"), text("EN")),
        without in 0_usize..12,
    ) {
        let keys = ["deviceId", "deviceLabel", "serverUrl", "syncInterval", "measurementUnit", "language"];
        let values = [values.0, values.1, values.2, values.3, values.4, values.5];
        let find = |key: &str| {
            let place = keys.iter().position(|known| *known == key)?;
            (place != without).then(|| values[place].as_str())
        };
        match Settings::from_pairs(find) {
            Ok(settings) => {
                prop_assert!(without >= keys.len());
                for (key, stored) in settings.to_pairs() {
                    let given = find(key).unwrap();
                    let same = stored == given || key == "language" && stored == given.to_ascii_uppercase()
                        || key == "syncInterval" && given.parse() == stored.parse::<i128>();
                    prop_assert!(same, "{} {} {}", key, stored, given);
                }
            }
            Err(fault) => prop_assert!(keys.contains(&fault.key)),
        }
    }

    #[test]
    fn an_interval_is_taken_from_one_second_to_an_hour(seconds in prop_oneof![any::<i128>(), -10_i128..4_000]) {
        prop_assert_eq!(SyncInterval::from_seconds(seconds).is_ok(), (1..=3_600).contains(&seconds));
    }
}
