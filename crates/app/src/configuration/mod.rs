//! Layered configuration: defaults, TOML file, environment, command line. All faults are reported together.

mod fault;
pub mod keys;
mod layers;
mod store_key;
#[cfg(test)]
mod tests;
mod trust;

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use nix::unistd::Group;
use serde::Serialize;
use zmon_domain::checks::Demands;
use zmon_domain::identity::{DeviceId, SerialNumber};
use zmon_domain::pairing::MAX_PAIRING_TIME;
use zmon_local_api::{Language, Theme};
use zmon_payload_envelope::TrustAnchor;

use crate::telemetry::JournalStream;

pub use fault::{Fault, Faults};
pub use layers::Inputs;
use layers::Reader;
pub use store_key::StoreKey;
#[cfg(feature = "simulation")]
pub(crate) use trust::read_key;

/// Everything that `serve` needs to know.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// Which device this is.
    pub device_id: DeviceId,
    /// As on the unit.
    pub serial_number: SerialNumber,
    /// What the QR code tells Central Stations to push to.
    pub address: IpAddr,
    /// TCP port of the HTTPS listener.
    pub port: u16,
    /// What the HTTPS listener binds instead of `address`.
    pub bind: Option<IpAddr>,
    /// How long a QR code can be used.
    pub pairing_time: Duration,
    /// What step 11 demands of a payload.
    pub demands: Demands,
    /// The encrypted database.
    pub store_path: PathBuf,
    /// Where the key comes from that wraps its key.
    pub store_key: StoreKey,
    /// What payloads are verified with; a fault of its file, where [`Configuration::load_to_serve`] met one.
    pub trust_anchor: Result<TrustAnchor, Faults>,
    /// The trust anchor's file.
    pub trust_anchor_file: PathBuf,
    /// Where systemd has put the service's credentials.
    pub credentials_directory: Option<PathBuf>,
    /// Unix socket of the local API.
    pub control_socket: PathBuf,
    /// Number of the group whose members may use it, instead of the service's own.
    pub control_group: Option<u32>,
    /// What the monitor application is given, and where.
    pub application: Application,
    /// The kiosk page, where there is one.
    pub kiosk: Option<Kiosk>,
    /// Hash of the administrator's PIN.
    pub pin_hash_file: Option<PathBuf>,
    /// How to log.
    pub log: Log,
}

/// Where the monitor application gets what it works with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Application {
    /// Number of the group whose members may use the socket; without it there is none.
    pub group: Option<u32>,
    /// The socket.
    pub socket: PathBuf,
    /// The file that is there while the device is provisioned.
    pub provisioned_file: PathBuf,
}

/// The page on the monitor's own display.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kiosk {
    /// Number of the group whose members may read the start file.
    pub group: u32,
    /// TCP port on 127.0.0.1.
    pub port: u16,
    /// What the browser is started with.
    pub start_file: PathBuf,
    /// What the page speaks as long as no language is installed.
    pub language: Language,
    /// How it looks where nobody chose.
    pub theme: Theme,
}

/// How to log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// The least important level that is logged.
    pub level: tracing::Level,
    /// Where to, and in which form.
    pub format: LogFormat,
    /// What standard error is, where it may be the journal's.
    pub journal_stream: Option<JournalStream>,
}

/// Where the log goes, and in which form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Entries with fields where standard error is the journal's, else as [`Self::Json`].
    Auto,
    /// Lines on standard error, a JSON object each.
    Json,
    /// Lines on standard error, in words for a person at a terminal.
    Text,
}

impl Configuration {
    /// Reads and checks everything, the trust anchor's file included.
    ///
    /// # Errors
    /// Every fault at once.
    pub fn load(inputs: &Inputs) -> Result<Self, Faults> {
        Self::read(inputs, true)
    }

    /// The same, but that a trust anchor's file may be missing or damaged: so it is on a retired device, which only the
    /// store can tell.
    ///
    /// # Errors
    /// Every fault at once, unless that file is the only one.
    pub fn load_to_serve(inputs: &Inputs) -> Result<Self, Faults> {
        Self::read(inputs, false)
    }

    fn read(inputs: &Inputs, anchor_required: bool) -> Result<Self, Faults> {
        let mut reader = Reader::new(inputs);
        // Each is read before any is looked at, so that all faults come together.
        let device_id = reader.require(&keys::DEVICE_ID, |text| DeviceId::parse(text).ok());
        let serial_number = reader.require(&keys::DEVICE_SERIAL_NUMBER, |text| SerialNumber::parse(text).ok());
        let address = reader.require(&keys::DEVICE_ADDRESS, reachable_address);
        let port = reader.require(&keys::LISTENER_PORT, port_number);
        let bind = reader.read(&keys::LISTENER_BIND, |text| text.parse().ok());
        let pairing_time = reader.require(&keys::PAIRING_MINUTES, pairing_time);
        let connection_test = reader.require(&keys::PAIRING_CONNECTION_TEST, flag);
        let confirmation = reader.require(&keys::PAIRING_CONFIRM, flag);
        let store_path = reader.require(&keys::STORE_PATH, absolute_path);
        let store_key = store_key::load(&mut reader, inputs);
        let trust_anchor = trust::load(&mut reader);
        let control_socket = reader.require(&keys::CONTROL_SOCKET, absolute_path);
        let control_group = reader.read(&keys::CONTROL_GROUP, group_number);
        let group = reader.read(&keys::APPLICATION_GROUP, group_number);
        let application_socket = reader.require(&keys::APPLICATION_SOCKET, absolute_path);
        let provisioned_file = reader.require(&keys::APPLICATION_PROVISIONED_FILE, absolute_path);
        let kiosk_group = reader.read(&keys::KIOSK_GROUP, group_number);
        let kiosk_port = reader.require(&keys::KIOSK_PORT, port_number);
        let start_file = reader.require(&keys::KIOSK_START_FILE, absolute_path);
        let kiosk_language = reader.require(&keys::KIOSK_LANGUAGE, Language::from_name);
        let theme = reader.require(&keys::KIOSK_THEME, Theme::from_name);
        let pin_hash_file = reader.read(&keys::ADMIN_PIN_HASH_FILE, absolute_path);
        let level = reader.require(&keys::LOG_LEVEL, log_level);
        let format = reader.require(&keys::LOG_FORMAT, log_format);
        if let Some(trust::Found { anchor: Err(fault), .. }) = &trust_anchor
            && (anchor_required || reader.has_faults())
        {
            reader.note(fault.clone());
        }
        let complete = || {
            let trust::Found { path, anchor } = trust_anchor?;
            Some(Self {
                device_id: device_id?,
                serial_number: serial_number?,
                address: address?,
                port: port?,
                bind,
                pairing_time: pairing_time?,
                demands: Demands {
                    connection_test: connection_test?,
                    confirmation: confirmation?,
                },
                store_path: store_path?,
                store_key: store_key?,
                trust_anchor: anchor.map_err(|fault| Faults(vec![fault])),
                trust_anchor_file: path,
                credentials_directory: credentials_directory(inputs),
                control_socket: control_socket?,
                control_group,
                application: Application {
                    group,
                    socket: application_socket?,
                    provisioned_file: provisioned_file?,
                },
                kiosk: match kiosk_group {
                    None => None,
                    Some(group) => Some(Kiosk {
                        group,
                        port: kiosk_port?,
                        start_file: start_file?,
                        language: kiosk_language?,
                        theme: theme?,
                    }),
                },
                pin_hash_file,
                log: Log {
                    level: level?,
                    format: format?,
                    journal_stream: journal_stream(inputs),
                },
            })
        };
        reader.finish(complete())
    }
}

/// The socket of the local API: all that commands which talk to the running service need to know.
///
/// # Errors
/// Every fault of this key and of the layers as such.
pub fn control_socket(inputs: &Inputs) -> Result<PathBuf, Faults> {
    let mut reader = Reader::new(inputs);
    let socket = reader.require(&keys::CONTROL_SOCKET, absolute_path);
    reader.finish(socket)
}

/// The socket where the monitor application gets configuration and credentials.
///
/// # Errors
/// Every fault of this key and of the layers as such.
pub fn application_socket(inputs: &Inputs) -> Result<PathBuf, Faults> {
    let mut reader = Reader::new(inputs);
    let socket = reader.require(&keys::APPLICATION_SOCKET, absolute_path);
    reader.finish(socket)
}

/// Where the hash of the administrator's PIN belongs.
///
/// # Errors
/// Where the key is not set or faulty, and every fault of the layers as such.
pub fn pin_hash_file(inputs: &Inputs) -> Result<PathBuf, Faults> {
    let mut reader = Reader::new(inputs);
    let file = reader.require(&keys::ADMIN_PIN_HASH_FILE, absolute_path);
    reader.finish(file)
}

/// Every key with its value and where that comes from. No value is a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Description {
    keys: Vec<DescribedKey>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct DescribedKey {
    key: &'static str,
    /// As a person would write it; null where it is not set.
    value: Option<String>,
    source: String,
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for DescribedKey { key, value, source } in &self.keys {
            match value {
                Some(value) => writeln!(f, "{key} = {value:?} ({source})")?,
                None => writeln!(f, "{key} is not set")?,
            }
        }
        Ok(())
    }
}

/// Describes every key.
///
/// # Errors
/// Every fault of the layers as such.
pub fn describe(inputs: &Inputs) -> Result<Description, Faults> {
    let reader = Reader::new(inputs);
    let keys = keys::ALL.iter().map(|key| DescribedKey {
        key: key.name,
        value: reader.shown(key),
        source: reader.origin(key),
    });
    let keys = keys.collect();
    reader.finish(Some(Description { keys }))
}

/// Digits and nothing else: no sign, no white space.
fn number<T: FromStr>(text: &str) -> Option<T> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

fn port_number(text: &str) -> Option<u16> {
    number(text).filter(|port| *port != 0)
}

/// An address that one interface can have.
fn reachable_address(text: &str) -> Option<IpAddr> {
    let address: IpAddr = text.parse().ok()?;
    (!address.is_unspecified() && !address.is_multicast()).then_some(address)
}

fn pairing_time(text: &str) -> Option<Duration> {
    let time = Duration::from_secs(60 * u64::from(number::<u16>(text)?));
    (!time.is_zero() && time <= MAX_PAIRING_TIME).then_some(time)
}

/// A group by its number, or by a name that this device knows.
fn group_number(text: &str) -> Option<u32> {
    let group = number(text).or_else(|| Some(Group::from_name(text).ok()??.gid.as_raw()));
    // To the kernel, the largest number is no group: a file that is given to it stays with the group that it has.
    group.filter(|group| *group != u32::MAX)
}

/// What systemd sets for the processes of a unit that has credentials. Every path is below an empty one.
fn credentials_directory(inputs: &Inputs) -> Option<PathBuf> {
    let directory = PathBuf::from(inputs.variable("CREDENTIALS_DIRECTORY")?);
    (directory.is_absolute() && directory.parent().is_some()).then_some(directory)
}

fn flag(text: &str) -> Option<bool> {
    text.parse().ok()
}

fn absolute_path(text: &str) -> Option<PathBuf> {
    let path = PathBuf::from(text);
    path.is_absolute().then_some(path)
}

fn log_level(text: &str) -> Option<tracing::Level> {
    use tracing::Level;
    match text {
        "error" => Some(Level::ERROR),
        "warn" => Some(Level::WARN),
        "info" => Some(Level::INFO),
        "debug" => Some(Level::DEBUG),
        "trace" => Some(Level::TRACE),
        _ => None,
    }
}

fn journal_stream(inputs: &Inputs) -> Option<JournalStream> {
    JournalStream::parse(inputs.variable("JOURNAL_STREAM")?.to_str()?)
}

fn log_format(text: &str) -> Option<LogFormat> {
    match text {
        "auto" => Some(LogFormat::Auto),
        "json" => Some(LogFormat::Json),
        "text" => Some(LogFormat::Text),
        _ => None,
    }
}
