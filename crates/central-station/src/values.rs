//! Values as people write them, on the command line or in a list; the rules are the device's.

use std::net::IpAddr;

use zmon_domain::identity::{DeviceId, Unacceptable};
use zmon_domain::settings::{DeviceLabel, Language, MeasurementUnit, ServerHost, ServerUrl, SyncInterval};

pub(crate) fn device(text: &str) -> Result<DeviceId, String> {
    stated(DeviceId::parse(text))
}

pub(crate) fn server_url(text: &str) -> Result<ServerUrl, String> {
    stated(ServerUrl::parse(text))
}

/// What a device makes of this text as the host of a URL, where it is the host and nothing more: no port, no path.
pub(crate) fn server_host(text: &str) -> Result<ServerHost, String> {
    let address = text.parse().ok();
    let host = match address {
        Some(IpAddr::V6(address)) => format!("[{address}]"),
        _ => text.to_owned(),
    };
    let host = ServerUrl::parse(&format!("https://{host}")).map(|url| url.host().clone());
    let is_all = |host: &ServerHost| match host {
        ServerHost::Address(found) => Some(*found) == address,
        ServerHost::Name(found) => found.eq_ignore_ascii_case(text),
    };
    let alone = host.ok().filter(is_all);
    alone.ok_or_else(|| "must be a DNS name or an IP address".into())
}

pub(crate) fn label(text: &str) -> Result<DeviceLabel, String> {
    stated(DeviceLabel::parse(text))
}

pub(crate) fn unit(text: &str) -> Result<MeasurementUnit, String> {
    stated(MeasurementUnit::parse(text))
}

pub(crate) fn language(text: &str) -> Result<Language, String> {
    stated(Language::parse(text))
}

pub(crate) fn sync_interval(text: &str) -> Result<SyncInterval, String> {
    let seconds: i128 = text.parse().map_err(|_| "must be a number of seconds, 1 to 3600")?;
    stated(SyncInterval::from_seconds(seconds))
}

/// The rule of a value, as the device words it.
fn stated<T>(value: Result<T, Unacceptable>) -> Result<T, String> {
    value.map_err(|fault| fault.to_string())
}
