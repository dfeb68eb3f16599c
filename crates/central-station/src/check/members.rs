//! Steps 6 to 9: each member by itself, then against device, session and time.

use zmon_domain::error::{ErrorCode, ProvisioningError};
use zmon_domain::payload::{MemberValue, Members, ProvisioningPayload};
use zmon_domain::secret::SecretText;
use zmon_domain::time::{MAX_CLOCK_SKEW, MAX_PAYLOAD_LIFETIME};

use super::{Against, Findings, Given, Objection};

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
/// The one member that may be missing and has no good value here.
const PIN: &str = "serverCertificate";

pub(super) fn check(given: &Given, against: Against<'_>, findings: &mut Findings) {
    syntax(given, findings);
    addressee(given, against, findings);
    times(given, against, findings);
    pairing_code(given, against, findings);
}

/// Step 6.
fn syntax(given: &Given, findings: &mut Findings) {
    let known = || GOOD.iter().map(|(name, _)| *name).chain([PIN]);
    for name in known() {
        let mine = given.0.iter().filter(|(given, _)| given == name).cloned().collect();
        if let Err(error) = in_good_company(name, mine) {
            findings.objections.push(Objection::new(Some(name), &error));
        }
    }
    for (index, member) in given.0.iter().enumerate() {
        if known().all(|name| name != member.0)
            && let Err(error) = in_good_company(&member.0, vec![member.clone()])
        {
            // A name may be a secret that slipped; its place tells as much.
            let mut objection = Objection::new(None, &error);
            objection
                .detail
                .push_str(&format!(" It is member {} of the object.", index + 1));
            findings.objections.push(objection);
        }
    }
}

fn in_good_company(name: &str, mine: Vec<(String, MemberValue)>) -> Result<ProvisioningPayload, ProvisioningError> {
    let others = GOOD.iter().filter(|(good, _)| *good != name).map(|(good, text)| {
        let value = text.map_or(MemberValue::Integer(1), |text| {
            MemberValue::Text(SecretText::new(text.into()))
        });
        ((*good).into(), value)
    });
    ProvisioningPayload::parse(Members(others.chain(mine).collect()))
}

/// Step 7.
fn addressee(given: &Given, against: Against<'_>, findings: &mut Findings) {
    match against.device() {
        None => findings.unchecked.push("deviceId: nothing to compare it with"),
        Some(expected) if given.text("deviceId").is_some_and(|given| given != expected.as_str()) => {
            findings.object("deviceId", ErrorCode::DeviceIdMismatch, "It is another device's.");
        }
        Some(_) => {}
    }
    match against.qr {
        None => findings
            .unchecked
            .push("sessionKey and pairingCode: no QR code to compare them with"),
        Some(qr)
            if given
                .text("sessionKey")
                .is_some_and(|given| given != qr.key.to_base64url()) =>
        {
            findings.object(
                "sessionKey",
                ErrorCode::SessionMismatch,
                "It is not the key of the QR code.",
            );
        }
        Some(_) => {}
    }
}

/// Step 8.
fn times(given: &Given, against: Against<'_>, findings: &mut Findings) {
    let (Some(made), Some(expires)) = (given.moment("timestamp"), given.moment("expiresAt")) else {
        return;
    };
    if expires <= made || expires.since(made) > MAX_PAYLOAD_LIFETIME {
        findings.object(
            "expiresAt",
            ErrorCode::PayloadExpired,
            "It must lie after timestamp, by one hour at most.",
        );
    }
    if expires <= against.now {
        findings.object("expiresAt", ErrorCode::PayloadExpired, "It has passed.");
    }
    if made > against.now.plus(MAX_CLOCK_SKEW) {
        findings.object(
            "timestamp",
            ErrorCode::PayloadExpired,
            "It is more than five minutes ahead.",
        );
    }
}

/// Step 9.
fn pairing_code(given: &Given, against: Against<'_>, findings: &mut Findings) {
    if let (Some(qr), Some(given)) = (against.qr, given.text("pairingCode"))
        && !qr.pairing_code.matches(given)
    {
        findings.object(
            "pairingCode",
            ErrorCode::InvalidPairingCode,
            "It is not the code of the QR code.",
        );
    }
}
