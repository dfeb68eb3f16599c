//! `docs/error-catalogue.md`, from the catalogue in `zmon-domain`.

use std::fmt::Write as _;

use zmon_domain::error::{ErrorCode, Fault};

const HEAD: &str = "\
# Error catalogue

<!-- Generated from crates/domain/src/error.rs by `cargo xtask docs --write`; edits here are lost. -->

Every refusal carries one of these codes: in the device's answers (`code`, beside `title`, `detail`, `nextAction` and
`retryable`), in events, in the audit and in the log. Codes never change their meaning.

*Who acts* is who has to do something before it can succeed: the sender (Central Station), the operator at the
monitor, or the device (its storage, network or software). *Again* says whether the same request can succeed later
without anything being changed.

| code | title | who acts | again | what to do next |
| --- | --- | --- | --- | --- |
";

/// The document.
pub(crate) fn document() -> String {
    let mut text = HEAD.to_owned();
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
            "| `{}` | {} | {who} | {again} | {} |",
            entry.name, entry.title, entry.next_action
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_one_row_for_every_code() {
        let text = document();
        for code in ErrorCode::ALL {
            assert_eq!(text.matches(&format!("| `{code}` |")).count(), 1, "{code}");
        }
    }
}
