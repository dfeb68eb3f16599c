//! Rules about whom a leaf names.

use alloc::string::ToString;
use alloc::vec::Vec;

use super::broken;
use crate::certificate::facts::CertificateDetails;
use crate::certificate::refusal::Reason;
use crate::identity::DeviceId;
use crate::settings::ServerHost;

/// Any one of common name, DNS name or whole URI is the device id, case-insensitively.
pub(super) fn of_device(leaf: &CertificateDetails, device_id: &DeviceId) -> Vec<Reason> {
    let named = [&leaf.common_names, &leaf.dns_names, &leaf.uris]
        .into_iter()
        .flatten()
        .any(|name| name.eq_ignore_ascii_case(device_id.as_str()));
    broken([(!named, Reason::OtherDevice)])
}

/// A subject alternative name, never the common name, is the host, where it is known; and no name promises more.
pub(super) fn of_server(leaf: &CertificateDetails, host: Option<&ServerHost>) -> Vec<Reason> {
    broken([
        (host.is_some_and(|host| !names_host(leaf, host)), Reason::OtherHost),
        (
            leaf.common_names
                .iter()
                .any(|name| reads_like_host(name) && !is_alternative_name(leaf, name)),
            Reason::CommonNameElsewhere,
        ),
    ])
}

fn names_host(leaf: &CertificateDetails, host: &ServerHost) -> bool {
    match host {
        ServerHost::Address(address) => leaf.addresses.contains(address),
        ServerHost::Name(name) => leaf.dns_names.iter().any(|presented| matches_host(presented, name)),
    }
}

/// Whether a DNS name of a certificate is the host's, where a first label `*` stands for exactly one label and at least
/// two labels follow it (RFC 6125, 6.4). The root dot that a URL may have is no part of the name.
fn matches_host(presented: &str, host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    match presented.strip_prefix("*.") {
        None => presented.eq_ignore_ascii_case(host),
        Some(parent) => {
            parent.contains('.')
                && host
                    .split_once('.')
                    .is_some_and(|(_, rest)| parent.eq_ignore_ascii_case(rest))
        }
    }
}

/// Whether people could take it for a host's name or address: a word, not words.
fn reads_like_host(common_name: &str) -> bool {
    !common_name.contains(char::is_whitespace)
}

/// Letter for letter, addresses as RFC 5952 writes them (CA/Browser Forum Baseline Requirements, 7.1.4.3).
fn is_alternative_name(leaf: &CertificateDetails, common_name: &str) -> bool {
    leaf.dns_names.iter().any(|name| name == common_name)
        || leaf.addresses.iter().any(|address| address.to_string() == common_name)
}
