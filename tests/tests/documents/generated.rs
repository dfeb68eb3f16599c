//! What is committed is what the code says.

use std::fs;
use std::path::Path;

use serde_json::Value;
use zmon_domain::audit::AuditEvent;

use crate::{catalogue, certificates, metrics};

/// Set where a document is to be written rather than compared.
const WRITE: &str = "XTASK_WRITE_DOCS";

#[test]
fn it_has_the_error_catalogue() {
    is_committed("error-catalogue.md", &catalogue::document());
}

#[test]
fn it_has_the_certificate_rules() {
    is_committed("certificate-rules.md", &certificates::document());
}

#[test]
fn it_has_the_metrics() {
    is_committed("metrics.md", &metrics::document());
}

#[test]
fn it_has_the_push_interface() {
    is_committed("openapi-push.json", &json(&zmon_https_inbound::openapi()));
}

#[test]
fn it_has_the_control_api() {
    is_committed("openapi-control.json", &json(&zmon_local_api::openapi()));
}

#[test]
fn it_has_what_the_monitor_application_gets() {
    is_committed(
        "openapi-application.json",
        &json(&zmon_local_api::openapi_application()),
    );
}

#[test]
fn it_has_what_the_kiosk_page_uses() {
    is_committed("openapi-kiosk.json", &json(&zmon_local_api::openapi_kiosk()));
}

#[test]
fn it_names_every_event_of_the_audit() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/audit.md");
    let text = fs::read_to_string(path).unwrap();
    let table = text.split_once("| event | what it means |").unwrap().1;
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let named: Vec<&str> = rows.map(|row| row.split('`').nth(1).unwrap()).collect();
    let events: Vec<&str> = AuditEvent::ALL.iter().map(|event| event.as_str()).collect();
    assert_eq!(
        named, events,
        "docs/audit.md does not name the events of the code in their order"
    );
}

fn json(document: &Value) -> String {
    format!("{document:#}\n")
}

fn is_committed(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
    if is_to_be_written() {
        fs::write(&path, text).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == text,
        "docs/{name} is not what the code says; run `cargo xtask docs --write`"
    );
}

#[expect(clippy::disallowed_methods, reason = "it is told by `cargo xtask docs --write`")]
fn is_to_be_written() -> bool {
    std::env::var_os(WRITE).is_some()
}
