//! Step 10: certificates and key, as far as the other members allow.

use zmon_domain::certificate::{Criteria, Field, Refusal, objections};
use zmon_domain::error::ErrorCode;
use zmon_domain::identity::DeviceId;
use zmon_domain::settings::ServerUrl;
use zmon_x509_facts::{BundleTexts, examine_texts};

use super::{Against, Findings, Given, Objection};

pub(super) fn check(given: &Given, against: Against<'_>, findings: &mut Findings) {
    let text = |field: Field| given.text(&field.to_string());
    let now = given
        .moment("timestamp")
        .map_or(against.now, |made| made.max(against.now));
    let named = given.text("deviceId").and_then(|id| DeviceId::parse(id).ok());
    let url = given.text("serverUrl").and_then(|url| ServerUrl::parse(url).ok());
    let criteria = Criteria {
        device_id: against.device().or(named.as_ref()),
        server_host: url.as_ref().map(ServerUrl::host),
        now,
        synchronised: true,
    };
    // What is missing counts as empty here, and that it is missing was told before.
    let facts = examine_texts(&BundleTexts {
        client_certificate: text(Field::ClientCertificate).unwrap_or_default(),
        client_private_key: text(Field::ClientPrivateKey).unwrap_or_default(),
        ca_certificate: text(Field::CaCertificate).unwrap_or_default(),
        server_certificate: text(Field::ServerCertificate),
        at: now,
        synchronised: true,
    });
    let refusals = objections(&facts, &criteria);
    let refusals = refusals.iter().filter(|refusal| text(refusal.field).is_some());
    findings.objections.extend(refusals.map(objection));

    if criteria.device_id.is_none() {
        findings
            .unchecked
            .push("whether clientCertificate names the device: deviceId is none");
    }
    if criteria.server_host.is_none() && facts.server.is_some() {
        findings
            .unchecked
            .push("whether serverCertificate names the host: serverUrl has none");
    }
}

fn objection(refusal: &Refusal) -> Objection {
    let code = ErrorCode::InvalidCertificate;
    Objection {
        field: Some(refusal.field.to_string()),
        pem_block: refusal.block,
        code: code.as_str(),
        detail: format!("{}.", capitalised(&refusal.reason.to_string())),
        rule: Some(refusal.reason.rule()),
        next_action: code.entry().next_action,
    }
}

/// With a capital letter, unless it begins with the name of something.
fn capitalised(text: &str) -> String {
    let first = text.split(' ').next().unwrap_or_default();
    if first.contains(char::is_uppercase) {
        return text.to_owned();
    }
    let mut letters = text.chars();
    letters
        .next()
        .map(|letter| letter.to_ascii_uppercase().to_string() + letters.as_str())
        .unwrap_or_default()
}
