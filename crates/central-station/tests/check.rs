//! The dry run tells everything at once, and no secret.

use proptest::prelude::*;
use zmon_central_station::check::{Against, check};
use zmon_domain::time::Timestamp;

const AGAINST: Against<'static> = Against {
    device_id: None,
    qr: None,
    now: Timestamp::from_millis(10_000_000),
};

#[test]
fn it_tells_every_fault_at_once_and_echoes_no_secret() {
    let payload = r#"{"version":2,"deviceId":"ZM-1","pairingCode":"SECRET","serverUrl":"http://h/","syncInterval":0,
        "clientCertificate":"SECRET","clientPrivateKey":"SECRET","caCertificate":"SECRET","deviceLabel":"",
        "measurementUnit":"FEET","language":"EN","language":"EN","SECRET":1,"timestamp":5,"expiresAt":1}"#;
    let objections = check(payload, AGAINST);
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
    ] {
        assert!(fields.contains(&field), "{field}: {fields:?}");
    }
    assert_eq!(fields.iter().filter(|field| **field == "expiresAt").count(), 2);
    assert!(!format!("{objections:?}").contains("SECRET"), "{objections:?}");
    let payload = payload.replace("http:", "https:");
    assert!(
        check(&payload, AGAINST)
            .iter()
            .any(|one| one.code == "InvalidCertificate")
    );
}

proptest! {
    #[test]
    fn it_survives_any_payload(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(!check(&String::from_utf8_lossy(&bytes), AGAINST).is_empty());
    }
}
