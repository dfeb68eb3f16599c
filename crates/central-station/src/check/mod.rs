//! A dry run: what a device would object to in a payload, all fields at once, by the device's own rules.

mod certificates;
mod members;
mod size;

use serde::Serialize;
use zmon_domain::error::{ErrorCode, ProvisioningError};
use zmon_domain::identity::DeviceId;
use zmon_domain::payload::MemberValue;
use zmon_domain::qr::QrFields;
use zmon_domain::time::Timestamp;

/// What a dry run found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Findings {
    /// What a device would object to, in the order of its checks. The device tells the first.
    pub objections: Vec<Objection>,
    /// What a device also checks, and nobody can without it or without more to compare with.
    pub unchecked: Vec<&'static str>,
}

/// One objection. Never holds a value of the payload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Objection {
    /// The member at fault; none where the payload as a whole is.
    pub field: Option<String>,
    /// Its PEM block at fault, counted from 1; none where it is no certificate or key, or the text as a whole is at fault.
    pub pem_block: Option<usize>,
    /// The code of the device's refusal.
    pub code: &'static str,
    /// What is wrong.
    pub detail: String,
    /// Where the rule is written, for certificates and keys.
    pub rule: Option<&'static str>,
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

impl<'a> Against<'a> {
    fn device(&self) -> Option<&'a DeviceId> {
        self.device_id.or(self.qr.map(|qr| &qr.device_id))
    }
}

/// Everything that a device would object to in this unsealed payload: the JSON that is signed and sealed. Certificates are
/// judged as far as the other members allow.
#[must_use]
pub fn check(payload: &str, against: Against<'_>) -> Findings {
    let mut findings = Findings::default();
    if let Some(detail) = sealed_or_signed(payload) {
        let error = ProvisioningError::new(ErrorCode::PayloadInvalid, detail);
        findings.objections.push(Objection {
            next_action: "Give the JSON as it is before it is signed and sealed.",
            ..Objection::new(None, &error)
        });
        return findings;
    }
    let given = match zmon_payload_envelope::members::read(payload) {
        Ok(members) => Given(members.0),
        Err(error) => {
            findings.objections.push(Objection::new(None, &error));
            return findings;
        }
    };
    size::check(payload, &mut findings);
    members::check(&given, against, &mut findings);
    certificates::check(&given, against, &mut findings);
    findings
        .unchecked
        .push("seal and signature, which the payload is yet to get");
    findings
        .unchecked
        .push("the connection to the server and the consent at the screen, where the monitor asks for them");
    findings
}

/// Where it is one of the two, what to say about it.
fn sealed_or_signed(payload: &str) -> Option<&'static str> {
    let text = payload.trim();
    let compact = text.starts_with("eyJ")
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    match text.matches('.').count() {
        4 if compact => Some("This is a sealed payload (a compact JWE), which nobody but the monitor can open."),
        2 if compact => Some("This is a signed payload (a compact JWS), not the JSON in it."),
        _ => None,
    }
}

/// The members of the payload.
struct Given(Vec<(String, MemberValue)>);

impl Given {
    /// The member, where it is a text.
    fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find_map(|(given, value)| match value {
            MemberValue::Text(text) if given == name => Some(text.expose()),
            _ => None,
        })
    }

    /// The member, where it is a moment.
    fn moment(&self, name: &str) -> Option<Timestamp> {
        self.0.iter().find_map(|(given, value)| match value {
            MemberValue::Integer(number) if given == name => u64::try_from(*number).ok().map(Timestamp::from_millis),
            _ => None,
        })
    }
}

impl Objection {
    fn new(field: Option<&str>, error: &ProvisioningError) -> Self {
        Self {
            field: field.map(Into::into),
            pem_block: None,
            code: error.code().as_str(),
            detail: error.message().into(),
            rule: None,
            next_action: error.code().entry().next_action,
        }
    }
}

impl Findings {
    fn object(&mut self, field: &str, code: ErrorCode, detail: &'static str) {
        let error = ProvisioningError::new(code, detail);
        self.objections.push(Objection::new(Some(field), &error));
    }
}
