//! Whether the names of an extension have the form of their kind. The parser takes any text.

use std::net::IpAddr;

use x509_parser::extensions::{GeneralName, GeneralSubtree, NameConstraints};

/// Longest DNS name, and longest label of one, in octets (RFC 1035, 2.3.4).
const MAX_DNS_NAME: usize = 253;
const MAX_LABEL: usize = 63;

/// Whether an alternative name is of its kind's form (RFC 5280, 4.2.1.6). URIs are taken as they are: a device id is one.
pub(crate) fn is_name(name: &GeneralName<'_>) -> bool {
    match name {
        GeneralName::DNSName(text) => {
            is_dns_name(text.strip_prefix("*.").unwrap_or(text)) && text.parse::<IpAddr>().is_err()
        }
        GeneralName::RFC822Name(text) => is_mailbox(text),
        _ => true,
    }
}

/// Whether name constraints constrain something, and every subtree is of its kind's form (RFC 5280, 4.2.1.10). Which kinds
/// are heeded is path building's to decide; it refuses where it meets one that it does not know.
pub(crate) fn are_constraints(constraints: &NameConstraints<'_>) -> bool {
    let subtrees = [&constraints.permitted_subtrees, &constraints.excluded_subtrees];
    let mut subtrees = subtrees.into_iter().flatten().flatten().peekable();
    subtrees.peek().is_some() && subtrees.all(is_subtree)
}

fn is_subtree(subtree: &GeneralSubtree<'_>) -> bool {
    match &subtree.base {
        // The empty one stands for all names.
        GeneralName::DNSName(text) => text.is_empty() || is_dns_name(text),
        GeneralName::RFC822Name(text) => is_mailbox(text) || is_dns_name(text.strip_prefix('.').unwrap_or(text)),
        GeneralName::IPAddress(octets) => is_address_range(octets),
        GeneralName::Invalid(..) => false,
        _ => true,
    }
}

/// The preferred name syntax (RFC 1034, 3.5, with RFC 1123, 2.1).
fn is_dns_name(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=MAX_LABEL).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= MAX_DNS_NAME && text.split('.').all(is_label)
}

/// One `@`, something before it and a host after it (RFC 5280, 4.2.1.6: the form of RFC 2821, without a quoted part).
fn is_mailbox(text: &str) -> bool {
    let is_local = |local: &str| !local.is_empty() && local.bytes().all(|byte| byte.is_ascii_graphic());
    match text.split_once('@') {
        Some((local, host)) => is_local(local) && is_dns_name(host),
        None => false,
    }
}

/// An address and a mask of ones followed by zeros.
fn is_address_range(octets: &[u8]) -> bool {
    let mask = match octets.len() {
        8 | 32 => &octets[octets.len() / 2..],
        _ => return false,
    };
    let mut bits = mask
        .iter()
        .flat_map(|octet| (0..8).rev().map(move |bit| octet >> bit & 1));
    bits.by_ref().find(|bit| *bit == 0);
    bits.all(|bit| bit == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_knows_dns_names_by_their_labels() {
        let long = format!("{}.example", "a".repeat(63));
        for name in ["a", "ZM-04", "a.b", "xn--n3h.com", "4.example", "*.example.org", &long] {
            assert!(is_name(&GeneralName::DNSName(name)), "{name}");
        }
        let long = "a".repeat(64);
        let deep = "a.".repeat(127) + "a";
        for name in [
            "",
            ".",
            "a.",
            ".a",
            "a..b",
            "-a",
            "a-",
            "a_b.example",
            "a b",
            "*",
            "*a.b",
            "a.*.b",
            "**.b",
            "8.8.8.8",
            "::1",
            "a.*",
            &long,
            &deep,
        ] {
            assert!(!is_name(&GeneralName::DNSName(name)), "{name}");
        }
    }

    #[test]
    fn it_knows_mailboxes_by_their_one_at() {
        for name in ["a@b", "*@example.com", "a.b+c@d.example"] {
            assert!(is_name(&GeneralName::RFC822Name(name)), "{name}");
        }
        for name in ["", "a", "@b", "a@", "a@b@c", "a b@c", "a@.b", "a@b_c"] {
            assert!(!is_name(&GeneralName::RFC822Name(name)), "{name}");
        }
    }

    #[test]
    fn it_knows_constraints_that_constrain() {
        let some = |base| Some(vec![GeneralSubtree { base }]);
        let permitted = |base| NameConstraints {
            permitted_subtrees: some(base),
            excluded_subtrees: None,
        };
        for range in [&[10, 1, 0, 0, 255, 255, 0, 0][..], &[0; 32]] {
            assert!(are_constraints(&permitted(GeneralName::IPAddress(range))), "{range:?}");
        }
        for range in [&[10, 1, 0, 0, 255, 255, 1, 0][..], &[10, 1, 0, 0]] {
            assert!(!are_constraints(&permitted(GeneralName::IPAddress(range))), "{range:?}");
        }
        for name in ["", "example.org"] {
            assert!(are_constraints(&permitted(GeneralName::DNSName(name))), "{name}");
        }
        for name in [".example.org", "*.example.org"] {
            assert!(!are_constraints(&permitted(GeneralName::DNSName(name))), "{name}");
        }
        for name in ["a@example.org", "example.org", ".example.org"] {
            assert!(are_constraints(&permitted(GeneralName::RFC822Name(name))), "{name}");
        }
        assert!(!are_constraints(&permitted(GeneralName::RFC822Name("a@b@c"))));
        let (none, empty) = (None, Some(vec![]));
        for subtrees in [none, empty] {
            assert!(!are_constraints(&NameConstraints {
                permitted_subtrees: subtrees,
                excluded_subtrees: None,
            }));
        }
        assert!(are_constraints(&NameConstraints {
            permitted_subtrees: None,
            excluded_subtrees: some(GeneralName::DNSName("example.org")),
        }));
    }
}
