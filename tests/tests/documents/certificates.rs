//! `docs/certificate-rules.md`, from the reasons in `zmon-domain`.

use std::fmt::Write as _;

use zmon_domain::certificate::Reason;

const HEAD: &str = "\
# Certificate rules

<!-- Generated from the code by `cargo xtask docs --write`; edits here are lost. -->

What step 10 of the [protocol](protocol.md) objects to, the most basic first. A device tells the first objection, with the
field and the PEM block; `zmon-station check` tells all. RFC 5280 is the profile of certificates in the Internet; CA/B BR are
the Baseline Requirements of the CA/Browser Forum. How the rules compare with others' is in
[certificates.md](certificates.md).

| reason | it is told as | written in |
| --- | --- | --- |
";

/// The document.
pub(crate) fn document() -> String {
    let mut text = HEAD.to_owned();
    for reason in Reason::ALL {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "| `{reason:?}` | {reason} | {} |", reason.rule());
    }
    text
}
