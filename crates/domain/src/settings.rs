//! The six settings that a provisioned device has, each parsed once.

use alloc::format;
use alloc::string::String;
use core::fmt;
use core::net::IpAddr;

use fluent_uri::Uri;
use fluent_uri::component::Host as UriHost;
use unicode_general_category::{GeneralCategory, get_general_category};

use crate::identity::{DeviceId, Unacceptable};
use crate::time::Timestamp;

/// Longest `serverUrl` in bytes.
const MAX_SERVER_URL: usize = 2048;
/// Where an `https` URL leaves the port open.
const HTTPS_PORT: u16 = 443;
/// Longest `deviceLabel` in Unicode scalars.
const MAX_DEVICE_LABEL: usize = 64;

/// The host that `serverUrl` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerHost {
    /// A DNS name, lower case.
    Name(String),
    /// An IP address.
    Address(IpAddr),
}

/// The central server's URL: absolute, `https`, with a host, without user info and fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerUrl {
    text: String,
    host: ServerHost,
    port: u16,
    resource: String,
}

impl ServerUrl {
    /// # Errors
    /// Where the text does not follow the rule.
    pub fn parse(text: &str) -> Result<Self, Unacceptable> {
        let fault = Unacceptable::expected(
            "an absolute https URL with a host, without user info and fragment, of at most 2048 bytes",
        );
        if text.len() > MAX_SERVER_URL {
            return Err(fault);
        }
        let uri = Uri::parse(text).map_err(|_| fault)?;
        let authority = uri.authority().ok_or(fault)?;
        let port_fits = authority
            .port()
            .is_none_or(|port| port.as_str().is_empty() || authority.port_to_u16().is_ok());
        if !uri.scheme().as_str().eq_ignore_ascii_case("https")
            || authority.has_userinfo()
            || uri.has_fragment()
            || !port_fits
        {
            return Err(fault);
        }
        let host = match authority.host_parsed() {
            UriHost::Ipv4(address) => ServerHost::Address(address.into()),
            UriHost::Ipv6(address) => ServerHost::Address(address.into()),
            UriHost::RegName(name) if is_dns_name(name.as_str()) => {
                ServerHost::Name(name.as_str().to_ascii_lowercase())
            }
            _ => return Err(fault),
        };
        let path = uri.path().as_str();
        let query = uri.query().map(|query| format!("?{}", query.as_str()));
        Ok(Self {
            text: text.into(),
            host,
            // Fits, or is not there.
            port: authority.port_to_u16().ok().flatten().unwrap_or(HTTPS_PORT),
            resource: format!(
                "{}{}",
                if path.is_empty() { "/" } else { path },
                query.unwrap_or_default()
            ),
        })
    }

    /// Its TCP port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Its path, at least a slash, and query.
    #[must_use]
    pub fn resource(&self) -> &str {
        &self.resource
    }

    /// The URL as it was received.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Its host.
    #[must_use]
    pub const fn host(&self) -> &ServerHost {
        &self.host
    }
}

/// Letters, digits, hyphens and underscores in labels of 1 to 63, 253 in all, with an optional root dot.
fn is_dns_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name.len() <= 253
        && name.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
                && !label.starts_with('-')
                && !label.ends_with('-')
        })
}

/// Seconds between two synchronisations with the server: 1 to 3600, 10 unless told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncInterval(u16);

impl SyncInterval {
    /// From seconds.
    ///
    /// # Errors
    /// Outside 1 to 3600.
    pub fn from_seconds(seconds: i128) -> Result<Self, Unacceptable> {
        let fault = Unacceptable::expected("a whole number of seconds from 1 to 3600");
        u16::try_from(seconds)
            .ok()
            .filter(|s| (1..=3600).contains(s))
            .map(Self)
            .ok_or(fault)
    }

    /// In seconds.
    #[must_use]
    pub const fn as_seconds(self) -> u16 {
        self.0
    }
}

impl Default for SyncInterval {
    fn default() -> Self {
        Self(10)
    }
}

/// What people call the monitor, for example `ICU-MON-04`: 1 to 64 Unicode scalars without control, format or bidi
/// characters and without spaces at either end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceLabel(String);

impl DeviceLabel {
    /// # Errors
    /// Where the text does not follow the rule.
    pub fn parse(text: &str) -> Result<Self, Unacceptable> {
        let fault = Unacceptable::expected(
            "1 to 64 characters without control, format or bidi characters and without spaces at the ends",
        );
        let length_fits = (1..=MAX_DEVICE_LABEL).contains(&text.chars().take(MAX_DEVICE_LABEL + 1).count());
        if length_fits && text.chars().all(is_visible_or_space) && text.trim() == text {
            Ok(Self(text.into()))
        } else {
            Err(fault)
        }
    }

    /// The label.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether a screen shows the character as itself. Bidi controls are format characters (category Cf).
fn is_visible_or_space(c: char) -> bool {
    !matches!(
        get_general_category(c),
        GeneralCategory::Control
            | GeneralCategory::Format
            | GeneralCategory::LineSeparator
            | GeneralCategory::ParagraphSeparator
            | GeneralCategory::Surrogate
    )
}

/// Units that the monitor shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MeasurementUnit {
    /// Metric units.
    Metric,
    /// Imperial units.
    Imperial,
}

impl MeasurementUnit {
    /// # Errors
    /// Anything but `METRIC` and `IMPERIAL`.
    pub fn parse(text: &str) -> Result<Self, Unacceptable> {
        match text {
            "METRIC" => Ok(Self::Metric),
            "IMPERIAL" => Ok(Self::Imperial),
            _ => Err(Unacceptable::expected("METRIC or IMPERIAL")),
        }
    }

    /// The protocol's spelling.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Metric => "METRIC",
            Self::Imperial => "IMPERIAL",
        }
    }
}

/// A language by its two or three ASCII letters, kept in upper case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Language(String);

impl Language {
    /// # Errors
    /// Anything but two or three ASCII letters.
    pub fn parse(text: &str) -> Result<Self, Unacceptable> {
        if (2..=3).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphabetic()) {
            Ok(Self(text.to_ascii_uppercase()))
        } else {
            Err(Unacceptable::expected("two or three letters such as EN or ES"))
        }
    }

    /// The upper-case tag.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The key of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is the setting of the same name")]
pub enum SettingKey {
    DeviceId,
    DeviceLabel,
    ServerUrl,
    SyncInterval,
    MeasurementUnit,
    Language,
}

impl SettingKey {
    /// Every key.
    pub const ALL: [Self; 6] = [
        Self::DeviceId,
        Self::DeviceLabel,
        Self::ServerUrl,
        Self::SyncInterval,
        Self::MeasurementUnit,
        Self::Language,
    ];

    /// The name that stands in payloads, in the store and in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DeviceId => "deviceId",
            Self::DeviceLabel => "deviceLabel",
            Self::ServerUrl => "serverUrl",
            Self::SyncInterval => "syncInterval",
            Self::MeasurementUnit => "measurementUnit",
            Self::Language => "language",
        }
    }
}

/// What is written on success (`docs/decisions.md`, "Settings written on success").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Setting `deviceId`.
    pub device_id: DeviceId,
    /// Setting `deviceLabel`.
    pub device_label: DeviceLabel,
    /// Setting `serverUrl`.
    pub server_url: ServerUrl,
    /// Setting `syncInterval`.
    pub sync_interval: SyncInterval,
    /// Setting `measurementUnit`.
    pub measurement_unit: MeasurementUnit,
    /// Setting `language`.
    pub language: Language,
}

impl Settings {
    /// Key and value of each, as they are stored; [`Self::from_pairs`] reads them back.
    #[must_use]
    pub fn to_pairs(&self) -> [(&'static str, String); 6] {
        SettingKey::ALL.map(|key| (key.as_str(), self.text(key)))
    }

    /// The value of one setting, as it is stored.
    #[must_use]
    pub fn text(&self, key: SettingKey) -> String {
        use alloc::string::ToString as _;
        match key {
            SettingKey::DeviceId => self.device_id.to_string(),
            SettingKey::DeviceLabel => self.device_label.as_str().into(),
            SettingKey::ServerUrl => self.server_url.as_str().into(),
            SettingKey::SyncInterval => self.sync_interval.as_seconds().to_string(),
            SettingKey::MeasurementUnit => self.measurement_unit.as_str().into(),
            SettingKey::Language => self.language.as_str().into(),
        }
    }

    /// From stored pairs, through the same rules as received ones.
    ///
    /// # Errors
    /// The key whose value is missing or does not follow its rule.
    pub fn from_pairs<'a>(find: impl Fn(&str) -> Option<&'a str>) -> Result<Self, StoredSettingFault> {
        let get = |key| find(key).ok_or(StoredSettingFault { key });
        let at = |key| move |_: Unacceptable| StoredSettingFault { key };
        let seconds = get("syncInterval")?
            .parse()
            .map_err(|_| StoredSettingFault { key: "syncInterval" })?;
        Ok(Self {
            device_id: DeviceId::parse(get("deviceId")?).map_err(at("deviceId"))?,
            device_label: DeviceLabel::parse(get("deviceLabel")?).map_err(at("deviceLabel"))?,
            server_url: ServerUrl::parse(get("serverUrl")?).map_err(at("serverUrl"))?,
            sync_interval: SyncInterval::from_seconds(seconds).map_err(at("syncInterval"))?,
            measurement_unit: MeasurementUnit::parse(get("measurementUnit")?).map_err(at("measurementUnit"))?,
            language: Language::parse(get("language")?).map_err(at("language"))?,
        })
    }
}

/// Who changed a setting, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingChange {
    /// When.
    pub at: Timestamp,
    /// Who, in words.
    pub by: String,
}

/// The six settings, each with its last change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedSettings {
    values: Settings,
    changes: [SettingChange; 6],
}

impl RecordedSettings {
    /// All six changed by one act.
    #[must_use]
    pub fn changed_together(values: Settings, change: &SettingChange) -> Self {
        let changes = SettingKey::ALL.map(|_| change.clone());
        Self { values, changes }
    }

    /// From stored rows: value, and last change.
    ///
    /// # Errors
    /// The key that is missing or whose value does not follow its rule.
    pub fn from_stored<'a>(
        find: impl Fn(&str) -> Option<(&'a str, SettingChange)>,
    ) -> Result<Self, StoredSettingFault> {
        let values = Settings::from_pairs(|key| find(key).map(|(value, _)| value))?;
        // Every key was found, or there would be no values.
        let changes = SettingKey::ALL.map(|key| match find(key.as_str()) {
            Some((_, change)) => Ok(change),
            None => Err(StoredSettingFault { key: key.as_str() }),
        });
        let [a, b, c, d, e, f] = changes;
        Ok(Self {
            values,
            changes: [a?, b?, c?, d?, e?, f?],
        })
    }

    /// The settings.
    #[must_use]
    pub const fn values(&self) -> &Settings {
        &self.values
    }

    /// The last change of one.
    #[must_use]
    pub const fn change(&self, key: SettingKey) -> &SettingChange {
        &self.changes[key as usize]
    }
}

/// A stored setting that is missing or does not follow its rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredSettingFault {
    /// Its key.
    pub key: &'static str,
}

impl fmt::Display for StoredSettingFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the stored setting {} is missing or malformed", self.key)
    }
}

impl core::error::Error for StoredSettingFault {}
