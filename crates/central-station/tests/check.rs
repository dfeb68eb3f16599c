//! The dry run tells everything at once, and no secret.

use proptest::prelude::*;
use zmon_central_station::check::{Against, Objection, check};
use zmon_domain::identity::DeviceId;
use zmon_domain::time::Timestamp;
use zmon_testkit::pki::{Extension, Key, KeyType, NOW, Pki, Template, Texts, oid, pem};

const AGAINST: Against<'static> = Against {
    device_id: None,
    qr: None,
    now: NOW,
};
const DEVICE: &str = "ZM-ICU-MON-04";
const HOST: &str = "telemetry.hospital.example";

/// Members of a good payload.
fn good() -> serde_json::Value {
    let texts = Pki::new(DEVICE, HOST).texts();
    serde_json::json!({
        "version": 1,
        "deviceId": DEVICE,
        "sessionKey": "k",
        "pairingCode": "X7Y9Z2",
        "serverUrl": format!("https://{HOST}/"),
        "clientCertificate": texts.client_certificate,
        "clientPrivateKey": texts.client_private_key,
        "caCertificate": texts.ca_certificate,
        "serverCertificate": texts.server_certificate,
        "deviceLabel": "ICU 4",
        "measurementUnit": "METRIC",
        "language": "EN",
        "timestamp": NOW.as_millis(),
        "expiresAt": NOW.as_millis() + 3_600_000,
    })
}

fn with(change: impl FnOnce(&mut serde_json::Map<String, serde_json::Value>)) -> String {
    let mut payload = good();
    change(payload.as_object_mut().expect("an object"));
    payload.to_string()
}

fn with_texts(texts: Texts) -> String {
    with(|payload| {
        payload["clientCertificate"] = texts.client_certificate.into();
        payload["clientPrivateKey"] = texts.client_private_key.into();
        payload["caCertificate"] = texts.ca_certificate.into();
        payload["serverCertificate"] = texts.server_certificate.into();
    })
}

fn objections(payload: &str) -> Vec<Objection> {
    check(payload, AGAINST).objections
}

/// Field, block and detail of each objection.
fn told(payload: &str) -> Vec<(String, Option<usize>, String)> {
    let objections = objections(payload).into_iter();
    objections
        .map(|one| (one.field.unwrap_or_default(), one.pem_block, one.detail))
        .collect()
}

#[test]
fn it_objects_to_nothing_in_a_good_payload_and_says_what_it_cannot_know() {
    let findings = check(&good().to_string(), AGAINST);
    assert_eq!(findings.objections, []);
    let unchecked = findings.unchecked.join("; ");
    for what in ["seal", "deviceId", "sessionKey and pairingCode", "connection"] {
        assert!(unchecked.contains(what), "{what}: {unchecked}");
    }
    let device_id = DeviceId::parse(DEVICE).unwrap();
    let known = Against {
        device_id: Some(&device_id),
        ..AGAINST
    };
    assert!(
        !check(&good().to_string(), known)
            .unchecked
            .join("; ")
            .contains("deviceId")
    );
}

#[test]
fn it_tells_every_fault_at_once_and_echoes_no_secret() {
    let payload = r#"{"version":2,"deviceId":"ZM-1","pairingCode":"SECRET","serverUrl":"http://h/","syncInterval":0,
        "clientCertificate":"SECRET","clientPrivateKey":"SECRET","caCertificate":"SECRET","deviceLabel":"",
        "measurementUnit":"FEET","language":"EN","language":"EN","SECRET":1,"timestamp":5,"expiresAt":1}"#;
    let objections = objections(payload);
    let fields: Vec<&str> = objections
        .iter()
        .map(|one| one.field.as_deref().unwrap_or("-"))
        .collect();
    for field in [
        "version",
        "sessionKey",
        "serverUrl",
        "syncInterval",
        "deviceLabel",
        "measurementUnit",
        "language",
        "-",
        "clientCertificate",
        "clientPrivateKey",
        "caCertificate",
    ] {
        assert!(fields.contains(&field), "{field}: {fields:?}");
    }
    assert_eq!(fields.iter().filter(|field| **field == "expiresAt").count(), 2);
    assert!(!format!("{objections:?}").contains("SECRET"), "{objections:?}");
    let unknown = objections.iter().find(|one| one.field.is_none()).unwrap();
    assert!(
        unknown.detail.ends_with("It is member 13 of the object."),
        "{}",
        unknown.detail
    );
}

#[test]
fn it_tells_every_fault_of_the_certificates_by_field_and_block() {
    let pki = Pki::new(DEVICE, HOST);
    let stranger = Template::ca("Stranger").self_signed(Key::new(KeyType::P256));
    let mut texts = pki.texts();
    let client = Template::client("ZM-OTHER")
        .with(Extension::extended_key_usage(&[oid::SERVER_AUTH]))
        .but(|client| client.not_after = client.not_before + 1)
        .issued_by(&stranger);
    texts.client_certificate = client.pem() + &pki.server.pem();
    texts.ca_certificate += &Template::ca("Old")
        .without(oid::KEY_USAGE)
        .self_signed(Key::new(KeyType::P256))
        .pem();
    texts.server_certificate = Some(Template::server("other.example").issued_by(&pki.ca).pem());
    let expected = [
        (
            "clientPrivateKey",
            1,
            "The private key does not belong to the first certificate in clientCertificate.",
        ),
        ("clientCertificate", 1, "The certificate has expired."),
        (
            "caCertificate",
            2,
            "The CA certificate's keyUsage does not list keyCertSign.",
        ),
        (
            "clientCertificate",
            2,
            "The certificate is not an intermediate CA's; only those may follow the first certificate.",
        ),
        (
            "clientCertificate",
            1,
            "No certificate in caCertificate, and no intermediate that leads to one, has issued it.",
        ),
        ("clientCertificate", 1, "extendedKeyUsage does not list clientAuth."),
        (
            "clientCertificate",
            1,
            "The certificate names another device: neither common name nor a DNS or URI alternative name is the device id.",
        ),
        (
            "serverCertificate",
            1,
            "No subject alternative name is the host of serverUrl.",
        ),
    ];
    let expected: Vec<_> = expected
        .iter()
        .map(|(field, block, detail)| ((*field).to_owned(), Some(*block), (*detail).to_owned()))
        .collect();
    assert_eq!(told(&with_texts(texts)), expected);
}

#[test]
fn it_judges_certificates_beside_members_that_are_wrong_missing_or_no_text() {
    let expired = Template::server(HOST).but(|server| server.not_after = server.not_before + 1);
    let mut pki = Pki::new(DEVICE, HOST);
    pki.server = expired.issued_by(&pki.ca);
    let pinned = pki.texts().server_certificate.unwrap();
    let payload = with(|payload| {
        payload["deviceId"] = "not an id".into();
        payload["serverUrl"] = "http://h/".into();
        payload["clientPrivateKey"] = 5.into();
        payload["caCertificate"] = (pki.ca.pem() + "x").into();
        payload["serverCertificate"] = pinned.into();
        payload.remove("clientCertificate");
    });
    let findings = check(&payload, AGAINST);
    let told: Vec<_> = findings
        .objections
        .iter()
        .map(|one| (one.field.as_deref(), one.code))
        .collect();
    assert_eq!(
        told,
        [
            (Some("serverUrl"), "PayloadInvalid"),
            (Some("clientCertificate"), "PayloadInvalid"),
            (Some("clientPrivateKey"), "PayloadInvalid"),
            (Some("caCertificate"), "InvalidCertificate"),
            (Some("serverCertificate"), "InvalidCertificate"),
        ]
    );
    assert_eq!(
        findings.objections[3].detail,
        "There is text outside the PEM blocks, or a BEGIN line without its END line."
    );
    let unchecked = findings.unchecked.join("; ");
    assert!(
        unchecked.contains("names the device") && unchecked.contains("names the host"),
        "{unchecked}"
    );
}

#[test]
fn it_says_what_it_needs_where_it_is_given_what_was_sealed_or_signed() {
    let segment = "eyJhbGciOiJIUzI1NiJ9";
    for (dots, word) in [(4, "sealed"), (2, "signed")] {
        let compact = vec![segment; dots + 1].join(".");
        let objections = objections(&format!("{compact}\n"));
        assert_eq!(objections.len(), 1);
        assert!(objections[0].detail.contains(word), "{objections:?}");
        assert!(objections[0].next_action.contains("before it is signed and sealed"));
        assert!(!format!("{objections:?}").contains(segment));
    }
    for other in ["eyJhbGciOiJIUzI1NiJ9", "1.2.3", "{\"a\":\"1.2.3\"}", "[1.2,3.4]"] {
        assert!(
            !objections(other)[0].next_action.contains("before it is signed"),
            "{other}"
        );
    }
}

#[test]
fn it_objects_to_what_no_body_has_room_for() {
    let padded = |bytes: usize| {
        let objections = objections(&with(|payload| {
            payload["caCertificate"] = pem("CERTIFICATE", &vec![0; bytes]).into();
        }));
        objections.iter().any(|one| one.code == "PayloadTooLarge")
    };
    assert!(!padded(18_000));
    assert!(padded(28_000));
}

proptest! {
    #[test]
    fn it_survives_any_payload(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(!objections(&String::from_utf8_lossy(&bytes)).is_empty());
    }

    #[test]
    fn it_survives_any_text_in_any_member(name in proptest::sample::select(vec!["clientCertificate", "clientPrivateKey", "caCertificate", "serverCertificate", "serverUrl", "deviceId"]), text in "(\\PC|\n|-----(BEGIN|END) (CERTIFICATE|PRIVATE KEY)-----\n?|[A-Za-z0-9+/=]){0,40}") {
        let own = Timestamp::from_millis(NOW.as_millis());
        let payload = with(|payload| payload[name] = text.clone().into());
        let findings = check(&payload, Against { now: own, ..AGAINST });
        prop_assert!(findings.objections.iter().all(|one| one.field.is_some()));
    }
}
