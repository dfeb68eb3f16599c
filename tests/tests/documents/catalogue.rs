//! `docs/error-catalogue.md`, from the catalogue in `zmon-domain` and what the two interfaces say of themselves.

use std::fmt::Write as _;

use serde_json::{Value, json};
use zmon_domain::error::{ErrorCode, Fault};

const HEAD: &str = "\
# Error catalogue

<!-- Generated from the code by `cargo xtask docs --write`; edits here are lost. -->

Every refusal carries one of these codes: in the device's answers (`code`, beside `title`, `detail`, `nextAction` and
`retryable`), in events, in the audit and in the log. Codes never change their meaning.

*Push* and *control* are its HTTP statuses at the two interfaces, where it can be answered there
([openapi-push.json](openapi-push.json), [openapi-control.json](openapi-control.json)). *Usual cause* is what is behind it most of
the time; `detail` says what it was.

*Who acts* is who has to do something before it can succeed: the sender (Central Station), the operator at the
monitor, or the device (its storage, network or software). *Again* says whether the same request can succeed later
without anything being changed.

| code | push | control | title | usual cause | who acts | again | what to do next |
| --- | --- | --- | --- | --- | --- | --- | --- |
";

/// The document.
pub(crate) fn document() -> String {
    let mut text = HEAD.to_owned();
    let [push, control] = [zmon_https_inbound::openapi(), zmon_local_api::openapi()];
    for code in ErrorCode::ALL {
        let entry = code.entry();
        let who = match entry.fault {
            Fault::Sender => "sender",
            Fault::Operator => "operator",
            Fault::Device => "device",
        };
        let again = if entry.retryable { "yes" } else { "no" };
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "| `{code}` | {} | {} | {} | {} | {who} | {again} | {} |",
            status(&push, *code),
            status(&control, *code),
            entry.title,
            entry.usual_cause,
            entry.next_action
        );
    }
    text
}

/// The status under which an interface lists the code; nothing where it never answers with it.
fn status(interface: &Value, code: ErrorCode) -> String {
    let operations = interface["paths"].as_object().unwrap().values();
    let responses = operations
        .flat_map(|path| path.as_object().unwrap().values())
        .map(|operation| &operation["responses"])
        .chain([&interface["components"]["responses"]]);
    let mut found: Vec<_> = responses
        .flat_map(|responses| responses.as_object().unwrap().values())
        .map(|response| &response["content"]["application/problem+json"]["schema"]["allOf"][1]["properties"])
        .filter(|listed| {
            listed["code"]["enum"]
                .as_array()
                .is_some_and(|codes| codes.contains(&json!(code.as_str())))
        })
        .map(|listed| listed["status"]["const"].to_string())
        .collect();
    found.dedup();
    assert!(found.len() <= 1, "{code}: {found:?}");
    found.pop().unwrap_or_default()
}

#[test]
fn it_has_one_row_for_every_code_and_a_status_for_each() {
    let text = document();
    for code in ErrorCode::ALL {
        let start = format!("| `{code}` | ");
        assert_eq!(text.matches(&start).count(), 1, "{code}");
        assert!(!text.contains(&format!("{start} |  |")), "{code} has no status");
    }
}
