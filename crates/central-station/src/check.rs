//! A dry run: what a device would object to in a payload, all fields at once, by the device's own rules.

use serde::Serialize;
use zmon_domain::certificate::{Expectation, judge};
use zmon_domain::error::{ErrorCode, ProvisioningError};
use zmon_domain::identity::DeviceId;
use zmon_domain::payload::{MemberValue, Members, ProvisioningPayload};
use zmon_domain::qr::QrFields;
use zmon_domain::secret::SecretText;
use zmon_domain::settings::ServerUrl;
use zmon_domain::time::{MAX_CLOCK_SKEW, MAX_PAYLOAD_LIFETIME, Timestamp};
use zmon_payload_envelope::members;
use zmon_x509_facts::{BundleTexts, examine_texts};

/// One objection. Never holds a value of the payload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Objection {
    /// The member at fault; none where the payload as a whole is.
    pub field: Option<String>,
    /// The code of the device's refusal.
    pub code: &'static str,
    /// What is wrong.
    pub detail: String,
    /// What to do next.
    pub next_action: &'static str,
}

/// What the payload is compared with.
#[derive(Clone, Copy, Debug)]
pub struct Against<'a> {
    /// The device, where it is known.
    pub device_id: Option<&'a DeviceId>,
    /// The session, where its QR code is at hand.
    pub qr: Option<&'a QrFields>,
    /// The moment; the device's clock counts as synchronised.
    pub now: Timestamp,
}

/// A value for each member that every rule of step 6 accepts: a member is judged in their company, alone at fault.
const GOOD: [(&str, Option<&str>); 14] = [
    ("version", None),
    ("deviceId", Some("d")),
    ("sessionKey", Some("k")),
    ("pairingCode", Some("c")),
    ("serverUrl", Some("https://h/")),
    ("syncInterval", None),
    ("clientCertificate", Some("p")),
    ("clientPrivateKey", Some("p")),
    ("caCertificate", Some("p")),
    ("deviceLabel", Some("l")),
    ("measurementUnit", Some("METRIC")),
    ("language", Some("EN")),
    ("timestamp", None),
    ("expiresAt", None),
];

/// Everything that a device would object to in this unsealed payload. Of the certificates, which are judged as one
/// bundle and only where their fields are text, the first objection.
#[must_use]
pub fn check(payload: &str, against: Against<'_>) -> Vec<Objection> {
    let given = match members::read(payload) {
        Ok(members) => members.0,
        Err(error) => return vec![objection(None, &error)],
    };
    let mut objections = Vec::new();
    let mut names: Vec<&str> = GOOD
        .iter()
        .map(|(name, _)| *name)
        .chain(["serverCertificate"])
        .collect();
    names.extend(
        given
            .iter()
            .map(|(name, _)| name.as_str())
            .filter(|name| !names.contains(name))
            .collect::<Vec<_>>(),
    );
    for name in names {
        let known = GOOD.iter().any(|(good, _)| *good == name) || name == "serverCertificate";
        let others = GOOD.iter().filter(|(good, _)| *good != name).map(|(good, text)| {
            let value = text.map_or(MemberValue::Integer(1), |text| {
                MemberValue::Text(SecretText::new(text.into()))
            });
            ((*good).into(), value)
        });
        let mine = given.iter().filter(|(given, _)| given == name).cloned();
        if let Err(error) = ProvisioningPayload::parse(Members(others.chain(mine).collect())) {
            objections.push(objection(known.then_some(name), &error));
        }
    }
    let text = |name: &str| {
        given.iter().find_map(|(given, value)| match value {
            MemberValue::Text(text) if given == name => Some(text.expose()),
            _ => None,
        })
    };
    let moment = |name: &str| {
        given.iter().find_map(|(given, value)| match value {
            MemberValue::Integer(number) if given == name => u64::try_from(*number).ok(),
            _ => None,
        })
    };
    let mut refuse = |field: &str, code: ErrorCode, detail: &'static str| {
        objections.push(objection(Some(field), &ProvisioningError::new(code, detail)));
    };
    let device_id = against.device_id.or(against.qr.map(|qr| &qr.device_id));
    if let (Some(expected), Some(given)) = (device_id, text("deviceId"))
        && expected.as_str() != given
    {
        refuse("deviceId", ErrorCode::DeviceIdMismatch, "It is another device's.");
    }
    if let (Some(qr), Some(given)) = (against.qr, text("sessionKey"))
        && qr.key.to_base64url() != given
    {
        refuse(
            "sessionKey",
            ErrorCode::SessionMismatch,
            "It is not the key of the QR code.",
        );
    }
    if let (Some(qr), Some(given)) = (against.qr, text("pairingCode"))
        && !qr.pairing_code.matches(given)
    {
        refuse(
            "pairingCode",
            ErrorCode::InvalidPairingCode,
            "It is not the code of the QR code.",
        );
    }
    let made = moment("timestamp").map(Timestamp::from_millis);
    if let (Some(made), Some(expires)) = (made, moment("expiresAt").map(Timestamp::from_millis)) {
        if expires <= made || expires.since(made) > MAX_PAYLOAD_LIFETIME {
            refuse(
                "expiresAt",
                ErrorCode::PayloadExpired,
                "It must lie after timestamp, by one hour at most.",
            );
        }
        if expires <= against.now {
            refuse("expiresAt", ErrorCode::PayloadExpired, "It has passed.");
        }
        if made > against.now.plus(MAX_CLOCK_SKEW) {
            refuse(
                "timestamp",
                ErrorCode::PayloadExpired,
                "It is more than five minutes ahead.",
            );
        }
    }
    let now = made.map_or(against.now, |made| made.max(against.now));
    let named = text("deviceId").and_then(|id| DeviceId::parse(id).ok());
    let url = text("serverUrl").and_then(|url| ServerUrl::parse(url).ok());
    if let (Some(client_certificate), Some(client_private_key), Some(ca_certificate), Some(url), Some(device_id)) = (
        text("clientCertificate"),
        text("clientPrivateKey"),
        text("caCertificate"),
        url,
        device_id.or(named.as_ref()),
    ) {
        let facts = examine_texts(&BundleTexts {
            client_certificate,
            client_private_key,
            ca_certificate,
            server_certificate: text("serverCertificate"),
            at: now,
            synchronised: true,
        });
        let expected = Expectation {
            device_id,
            server_host: url.host(),
            now,
            synchronised: true,
        };
        if let Err(error) = judge(&facts, &expected) {
            let field = error.message().split([':', ',']).next().map(str::to_owned);
            objections.push(objection(field.as_deref(), &error));
        }
    }
    objections
}

fn objection(field: Option<&str>, error: &ProvisioningError) -> Objection {
    Objection {
        field: field.map(Into::into),
        code: error.code().as_str(),
        detail: error.message().into(),
        next_action: error.code().entry().next_action,
    }
}
