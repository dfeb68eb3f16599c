//! The one table of configuration keys. The loader, the messages about faults and `docs/configuration.md` come from it.

use std::fmt::Write as _;

/// How a value is written in TOML.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A string.
    Text,
    /// An integer.
    Number,
    /// A boolean; in the environment and on the command line `true` or `false`.
    Flag,
    /// An array of strings; in the environment and on the command line as JSON.
    List,
}

/// One key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// `section.name`.
    pub name: &'static str,
    /// How it is written in TOML.
    pub kind: Kind,
    /// Its value where nobody sets it.
    pub default: Option<&'static str>,
    /// What a value must be; follows "expected" in messages.
    pub expected: &'static str,
    /// What it is for.
    pub doc: &'static str,
}

impl Key {
    /// The environment variable that sets it: `ZMON_SECTION__NAME`.
    #[must_use]
    pub fn environment_variable(&self) -> String {
        format!("{ENVIRONMENT_PREFIX}_{}", self.name.to_uppercase().replace('.', "__"))
    }
}

/// Every environment variable that starts with this and an underscore is taken for a key.
pub const ENVIRONMENT_PREFIX: &str = "ZMON";
/// Read where `--config` names no other, if it is there.
pub const DEFAULT_FILE: &str = "/etc/zmon-provision/config.toml";

macro_rules! keys {
    ($($constant:ident = $name:literal, $kind:ident, $default:expr, $expected:expr, $doc:expr;)*) => {
        $(#[doc = $doc] pub const $constant: Key = Key {
            name: $name, kind: Kind::$kind, default: $default, expected: $expected, doc: $doc,
        };)*

        /// Every key, in the order of the reference.
        pub const ALL: &[Key] = &[$($constant,)*];
    };
}

const PATH: &str = "an absolute path";

keys! {
    DEVICE_ID = "device.id", Text, None, "1 to 32 characters of A-Z, a-z, 0-9 and '-'",
        "Unique device identifier, as the Central Station knows it. Required.";
    DEVICE_SERIAL_NUMBER = "device.serial_number", Text, None, "1 to 32 characters of A-Z, a-z, 0-9 and './_-'",
        "Serial number on the unit; shown in the QR code. Required.";
    DEVICE_ADDRESS = "device.address", Text, None, "the IPv4 or IPv6 address of one interface of this device",
        "Address that the QR code tells Central Stations to push to. Required.";
    LISTENER_PORT = "listener.port", Number, Some("8443"), "a whole number from 1 to 65535",
        "TCP port of the HTTPS listener. The port is open only while pairing is.";
    LISTENER_BIND = "listener.bind", Text, None, "an IPv4 or IPv6 address",
        "Address that the listener binds. Without it, the address in the QR code.";
    PAIRING_MINUTES = "pairing.minutes", Number, Some("10"), "a whole number from 1 to 10",
        "How long a QR code can be used, in minutes.";
    PAIRING_CONNECTION_TEST = "pairing.connection_test", Flag, Some("false"), "true or false",
        "Whether the server is tried with the new credentials before they are installed: name, port, both sides' certificates, \
         pin, an answer in HTTP, all within three seconds. A failure leaves everything as it was.";
    PAIRING_CONFIRM = "pairing.confirm", Flag, Some("false"), "true or false",
        "Whether a person at the monitor has to accept a configuration before it is installed, after comparing sender, \
         server, label and a four-digit value that the station shows, too. No answer within a minute refuses.";
    STORE_PATH = "store.path", Text, Some("/var/lib/zmon-provision/store.db"), PATH,
        "The encrypted database.";
    STORE_KEY_FILE = "store.key_file", Text, Some("/var/lib/zmon-provision/store.key"), PATH,
        "The key that wraps the key of the database, 32 bytes; see [keys](store-keys.md). Made at the first start, for its \
         owner alone. Used unless another source is set; at most one of the three `store.key_` keys can be.";
    STORE_KEY_CREDENTIAL = "store.key_credential", Text, None, "1 to 64 characters of A-Z, a-z, 0-9 and '._-', not first a '.'",
        "The same key as a systemd credential of this name (`LoadCredentialEncrypted=` in the unit), which systemd can \
         seal to the TPM: 32 bytes, or 64 hexadecimal digits.";
    STORE_KEY_COMMAND = "store.key_command", List, None, "an array of strings: a program's absolute path and its arguments",
        "The same key as the output of a program, for example one that asks hardware: 32 bytes, or 64 hexadecimal \
         digits. Started without a shell and with an empty environment; has ten seconds.";
    TRUST_HMAC_KEY_FILE = "trust.hmac_key_file", Text, None, PATH,
        "This device's key as `zmon-station derive` writes it: 32 bytes, base64url, 43 characters. Nobody but the \
         file's owner may have access. Exactly one of the two `trust` keys must be set.";
    TRUST_ED25519_PUBLIC_KEY_FILE = "trust.ed25519_public_key_file", Text, None, PATH,
        "The Central Station's Ed25519 public key: 32 bytes, base64url, 43 characters. Exactly one of the two `trust` \
         keys must be set.";
    CONTROL_SOCKET = "control.socket", Text, Some("/run/zmon-provision/control.sock"), PATH,
        "Unix socket of the local API; owner and group may use it.";
    CONTROL_GROUP = "control.group", Text, None, "the name or number of a Unix group of this device",
        "The group whose members may use `control.socket`, instead of the service's own group. The service has to be a member \
         of it.";
    APPLICATION_GROUP = "application.group", Text, None, "the name or number of a Unix group of this device",
        "The monitor application's group: whoever is in it, and nobody else, may get configuration and credentials from \
         `application.socket`. Without it there is no such socket. The service has to be a member of the group.";
    APPLICATION_SOCKET = "application.socket", Text, Some("/run/zmon-provision/application.sock"), PATH,
        "Unix socket where the monitor application gets configuration and credentials and hears of changes.";
    APPLICATION_PROVISIONED_FILE = "application.provisioned_file", Text, Some("/run/zmon-provision/provisioned"), PATH,
        "File that is there exactly while the device is provisioned, for whoever waits for that. Holds no secret.";
    KIOSK_GROUP = "kiosk.group", Text, None, "the name or number of a Unix group of this device",
        "The group of the user whose browser shows the kiosk page on the monitor's own display: whoever is in it, and \
         nobody else, can read `kiosk.start_file`. Without it there is no page. The service has to be a member of the \
         group. See [kiosk](kiosk.md).";
    KIOSK_PORT = "kiosk.port", Number, Some("8480"), "a whole number from 1 to 65535",
        "TCP port of the kiosk page, on 127.0.0.1.";
    KIOSK_START_FILE = "kiosk.start_file", Text, Some("/run/zmon-provision/kiosk.html"), PATH,
        "What the kiosk's browser is started with: it leads to the page, with the token that the page needs. Best in a \
         directory that does not outlive a restart of the monitor.";
    KIOSK_LANGUAGE = "kiosk.language", Text, Some("EN"), "EN or ES",
        "What the page speaks as long as no configuration is installed; after that, the installed `language` counts.";
    KIOSK_THEME = "kiosk.theme", Text, Some("auto"), "auto, dark or bright",
        "How the page looks until somebody changes it there; `auto` is what the browser prefers.";
    ADMIN_PIN_HASH_FILE = "admin.pin_hash_file", Text, None, PATH,
        "Argon2id hash of the administrator's PIN, written by root with `zmon-provision admin set-pin`, in a directory \
         of root's that the service's group can read. Without it nobody can de-provision.";
    LOG_LEVEL = "log.level", Text, Some("info"), "error, warn, info, debug or trace",
        "The least important messages that are logged.";
    LOG_FORMAT = "log.format", Text, Some("auto"), "auto, json or text",
        "Where messages go, and in which form. `auto`: where systemd connects standard error to its journal, entries of the journal \
         with a field for each fact (`ZMON_CODE`, `ZMON_PHASE` and so on); elsewhere as `json`. `json` and `text`: lines on standard \
         error.";
}

/// `docs/configuration.md`.
#[must_use]
pub fn reference() -> String {
    let mut text = format!(
        "# Configuration\n\n\
         <!-- Written by `zmon-provision config reference`; a test compares. Change `keys.rs` of `zmon-app`. -->\n\n\
         `zmon-provision` takes each key from the last of these that sets it:\n\n\
         1. its default\n\
         2. the TOML file named by `--config FILE`, or `{DEFAULT_FILE}` where that exists\n\
         3. the environment: `{}` sets `{}`\n\
         4. `--set KEY=VALUE` on the command line, before the command, as often as needed\n\n\
         Every fault is reported at once, with its source, its key and what was expected; unknown keys are faults.\n\
         The exit code is then 78. `zmon-provision check-config` checks without starting anything. Secrets stand in\n\
         files of their own, never in a value.\n",
        DEVICE_ID.environment_variable(),
        DEVICE_ID.name,
    );
    for key in ALL {
        let default = key.default.map_or_else(|| "none".into(), |value| format!("`{value}`"));
        let kind = match key.kind {
            Kind::Text => "string",
            Kind::Number => "integer",
            Kind::Flag => "boolean",
            Kind::List => "array",
        };
        // Writing to a `String` cannot fail.
        let _ = write!(
            text,
            "\n## `{}`\n\n{}\n\n- Value: {kind}; {}\n- Default: {default}\n- Environment: `{}`\n",
            key.name,
            key.doc,
            key.expected,
            key.environment_variable()
        );
    }
    text
}

/// What a key could be set to, as TOML.
fn example(key: &Key) -> String {
    let value = key.default.unwrap_or(match key.name {
        "device.id" => "ZM-ICU-MON-04",
        "device.serial_number" => "ZM-2024-0001234",
        "device.address" => "10.1.50.104",
        "listener.bind" => "10.1.50.104",
        "store.key_credential" => "store-key",
        "store.key_command" => r#"["/usr/bin/rpi-fw-crypto", "hmac", "--in", "/etc/zmon-provision/store-label", "--key-id", "1", "--out", "/dev/stdout"]"#,
        "trust.hmac_key_file" => "/var/lib/zmon-provision/device.key",
        "trust.ed25519_public_key_file" => "/etc/zmon-provision/station.pub",
        "control.group" => "zmon-control",
        "application.group" => "zmon-application",
        "kiosk.group" => "zmon-kiosk",
        "admin.pin_hash_file" => "/etc/zmon-provision/admin.pin",
        // A key without a default needs an example: the test of the file finds it.
        _ => "",
    });
    match key.kind {
        Kind::Text => format!("\"{value}\""),
        Kind::Number | Kind::Flag | Kind::List => value.to_owned(),
    }
}

/// What an example sets; the other keys stand in it as comments.
const SET_IN_EXAMPLE: [&str; 5] = [
    DEVICE_ID.name,
    DEVICE_SERIAL_NUMBER.name,
    DEVICE_ADDRESS.name,
    TRUST_HMAC_KEY_FILE.name,
    ADMIN_PIN_HASH_FILE.name,
];

/// `deploy/config.toml`: an example with every key.
#[must_use]
pub fn example_file() -> String {
    let mut text = format!(
        "# Example of {DEFAULT_FILE}, written by `zmon-provision config example`. What is commented out has the value that it has\n\
         # anyway, or is left unset. Secrets stand in files of their own.\n"
    );
    let mut section = "";
    for key in ALL {
        let (its_section, name) = key.name.split_once('.').unwrap_or(("", key.name));
        if section != its_section {
            section = its_section;
            // Writing to a `String` cannot fail.
            let _ = write!(text, "\n[{section}]\n");
        }
        let mark = if SET_IN_EXAMPLE.contains(&key.name) { "" } else { "# " };
        let _ = write!(
            text,
            "# {}\n# Value: {}\n{mark}{name} = {}\n",
            key.doc,
            key.expected,
            example(key)
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use zmon_domain::identity::{DeviceId, SerialNumber};

    use super::*;

    #[test]
    fn says_of_ids_what_the_domain_says() {
        assert_eq!(DEVICE_ID.expected, DeviceId::parse("").unwrap_err().expected);
        assert_eq!(
            DEVICE_SERIAL_NUMBER.expected,
            SerialNumber::parse("").unwrap_err().expected
        );
    }

    #[test]
    fn is_what_the_committed_reference_says() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert_eq!(
            committed,
            reference(),
            "write it anew: cargo run -q --bin zmon-provision -- config reference > docs/configuration.md"
        );
    }

    #[test]
    fn has_an_example_that_can_be_read_whole() {
        let example = example_file();
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/config.toml");
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert_eq!(
            committed, example,
            "write it anew: cargo run -q --bin zmon-provision -- config example > deploy/config.toml"
        );
        for key in ALL {
            let line = format!("{} = {}", key.name, super::example(key));
            let value: toml::Table = line.parse().unwrap_or_else(|fault| panic!("{line}: {fault}"));
            assert!(!value.is_empty() && !line.ends_with("\"\""), "{line}");
        }
        let set: toml::Table = example.parse().unwrap();
        assert_eq!(set["device"]["id"].as_str(), Some("ZM-ICU-MON-04"));
    }
}
