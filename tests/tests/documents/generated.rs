//! What is committed is what the code says.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::{catalogue, certificates};

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
