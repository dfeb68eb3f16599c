//! Where this device and x509-limbo disagree, and why.

use crate::cases::Verdict;

/// One case.
pub(crate) struct Difference {
    pub(crate) id: &'static str,
    /// What this device says.
    pub(crate) ours: Verdict,
    pub(crate) why: &'static str,
}

const fn accepted(id: &'static str, why: &'static str) -> Difference {
    Difference {
        id,
        ours: Verdict::Accept,
        why,
    }
}

const fn refused(id: &'static str, why: &'static str) -> Difference {
    Difference {
        id,
        ours: Verdict::Refuse,
        why,
    }
}

const NO_LISTS: &str = "A payload carries no list of revoked certificates (field table of the protocol), so what is wrong \
    with one, or who is on it, is not seen. The watch for revocation is later work.";
const NO_DEPTH: &str = "The case sets a limit of intermediates for this one validation. The device's limits are fixed: \
    eight certificates in a field, the CAs' own pathLenConstraint, and rustls-webpki's six.";
const COMMON_NAME: &str = "The common name, example.com, reads like a host's and is no subject alternative name (CA/Browser \
    Forum Baseline Requirements, 7.1.4.3), which the cases of webpki::cn ask for.";
const MAIL: &str = "rustls-webpki knows no constraints of mail addresses and refuses where it meets one (RFC 5280, \
    4.2.1.10: process or reject). No device is named by a mail address.";
const SELF_ISSUED: &str =
    "RFC 5280 exempts self-issued intermediates; rustls-webpki counts and constrains them like others.";
const EVERY_BLOCK: &str =
    "Every certificate in a field keeps the rules, needed for the path or not (step 10 of the protocol).";
const LEAF_MAY_SIGN: &str = "A leaf may not sign certificates (step 10 of the protocol).";

/// In the order of the file.
pub(crate) const DIFFERENCES: &[Difference] = &[
    accepted("crl::revoked-certificate-with-crl", NO_LISTS),
    accepted("crl::crlnumber-missing", NO_LISTS),
    accepted("crl::crlnumber-critical", NO_LISTS),
    refused(
        "crl::issuer-no-keyusage-extension",
        "A certificate of caCertificate lists keyCertSign in keyUsage (step 10 of the protocol).",
    ),
    refused(
        "cve::cve-2024-0567",
        "At most eight certificates in a field (field table of the protocol).",
    ),
    refused("pathlen::validation-ignores-pathlen-in-leaf", LEAF_MAY_SIGN),
    refused("pathlen::self-issued-certs-pathlen", SELF_ISSUED),
    accepted("pathlen::max-chain-depth-0-exhausted", NO_DEPTH),
    accepted("pathlen::max-chain-depth-1-exhausted", NO_DEPTH),
    refused("pathological::multiple-chains-expired-intermediate", EVERY_BLOCK),
    refused(
        "rfc5280::eku::ee-without-eku",
        "Extended key usage is present (step 10 of the protocol); webpki::eku::ee-without-eku asks for that.",
    ),
    refused("rfc5280::nc::permitted-dns-match-more", COMMON_NAME),
    refused("rfc5280::nc::permitted-ipv4-match", COMMON_NAME),
    refused("rfc5280::nc::permitted-ipv6-match", COMMON_NAME),
    refused(
        "rfc5280::nc::permitted-dn-match",
        "rustls-webpki knows no constraints of directory names and refuses where it meets one (RFC 5280, 4.2.1.10); and the \
         certificate names no host.",
    ),
    refused("rfc5280::nc::permitted-self-issued", SELF_ISSUED),
    refused("rfc5280::nc::nc-permits-email-exact", MAIL),
    refused("rfc5280::nc::nc-permits-email-domain", MAIL),
    refused("rfc5280::nc::nc-permits-email-literal-asterisk-exact-match", MAIL),
    refused("rfc5280::nc::nc-permits-email-literal-double-asterisk", MAIL),
    refused("rfc5280::nc::nc-permits-email-literal-mid-asterisk", MAIL),
    refused("rfc5280::unknown-critical-extension-unrelated-root", EVERY_BLOCK),
    refused(
        "rfc5280::unknown-critical-extension-unrelated-intermediate",
        EVERY_BLOCK,
    ),
    refused("rfc5280::ca-as-leaf", LEAF_MAY_SIGN),
    refused(
        "webpki::nc::permitted-dns-match-noncritical",
        "Name constraints are critical (RFC 5280, 4.2.1.10); rfc5280::nc::permitted-dns-match-noncritical asks for that.",
    ),
    refused("webpki::nc::nc-permits-dns-san-pattern", COMMON_NAME),
    refused("webpki::san::exact-localhost-ip-san", COMMON_NAME),
    refused("webpki::san::leftmost-wildcard-san", COMMON_NAME),
];
