use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::TempDir;

use super::*;

/// 32 zero bytes, base64url.
const KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// A complete configuration in a directory of its own.
struct Site {
    directory: TempDir,
    inputs: Inputs,
}

impl Site {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let key = directory.path().join("trust.key");
        fs::write(&key, format!("{KEY}\n")).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        let mut site = Self {
            directory,
            inputs: Inputs::default(),
        };
        site.file(&format!(
            "[device]\nid = \"ZM-ICU-MON-04\"\nserial_number = \"ZM/2026_001\"\naddress = \"10.1.50.104\"\n\
             [trust]\nhmac_key_file = \"{}\"\n",
            key.display()
        ));
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn file(&mut self, toml: &str) {
        let path = self.path("config.toml");
        fs::write(&path, toml).unwrap();
        self.inputs.file = Some(path);
    }

    fn more(mut self, toml: &str) -> Self {
        let before = fs::read_to_string(self.path("config.toml")).unwrap();
        self.file(&format!("{before}{toml}"));
        self
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.inputs.environment.push((name.into(), value.into()));
        self
    }

    fn set(mut self, key: &str, value: &str) -> Self {
        self.inputs.set.push((key.into(), value.into()));
        self
    }

    fn load(&self) -> Result<Configuration, Faults> {
        Configuration::load(&self.inputs)
    }

    /// Source, key and expectation of the one fault.
    fn fault(&self) -> (String, String, String) {
        let Faults(mut faults) = self.load().unwrap_err();
        assert_eq!(faults.len(), 1, "{faults:#?}");
        let Fault { source, key, what } = faults.remove(0);
        (source, key.unwrap_or_default(), what)
    }
}

#[test]
fn takes_defaults_for_what_nobody_sets() {
    let configuration = Site::new().load().unwrap();
    assert_eq!(configuration.port, 8443);
    assert_eq!(configuration.bind, None);
    assert_eq!(configuration.pairing_time, Duration::from_secs(600));
    assert_eq!(configuration.store_path, Path::new("/var/lib/zmon-provision/store.db"));
    assert_eq!(
        configuration.store_key,
        StoreKey::File("/var/lib/zmon-provision/store.key".into())
    );
    assert_eq!(
        configuration.control_socket,
        Path::new("/run/zmon-provision/control.sock")
    );
    assert_eq!(configuration.pin_hash_file, None);
    assert_eq!(configuration.log.level, tracing::Level::INFO);
    assert_eq!(configuration.log.format, LogFormat::Auto);
    assert!(matches!(configuration.trust_anchor, Ok(TrustAnchor::Hmac { .. })));
}

#[test]
fn has_a_kiosk_page_where_a_group_is_given_to_it() {
    let site = Site::new().more("[kiosk]\nport = 8481\nlanguage = \"ES\"\n");
    assert_eq!(site.load().unwrap().kiosk, None);
    let kiosk = site.set("kiosk.group", "4711").load().unwrap().kiosk.unwrap();
    assert_eq!(
        (kiosk.group, kiosk.port, kiosk.language),
        (4711, 8481, Language::Spanish)
    );
    assert_eq!(kiosk.start_file, Path::new("/run/zmon-provision/kiosk.html"));
    assert_eq!(kiosk.theme, Theme::Auto);
    for (key, value) in [
        ("group", "no-such-group"),
        ("port", "0"),
        ("language", "DE"),
        ("theme", "pink"),
    ] {
        let (_, faulty, _) = Site::new().set(&format!("kiosk.{key}"), value).fault();
        assert_eq!(faulty, format!("kiosk.{key}"));
    }
}

#[test]
fn lets_each_layer_win_over_the_one_before() {
    let mut site = Site::new();
    let port = |site: &Site| site.load().unwrap().port;
    assert_eq!(port(&site), 8443);
    site = site.more("[listener]\nport = 1001\n");
    assert_eq!(port(&site), 1001);
    site = site.variable("ZMON_LISTENER__PORT", "1002");
    assert_eq!(port(&site), 1002);
    site = site.set("listener.port", "1003");
    assert_eq!(port(&site), 1003);
    site = site.set("listener.port", "1004");
    assert_eq!(port(&site), 1004, "the last --set counts");
}

#[test]
fn names_the_origin_of_a_faulty_value() {
    let mut site = Site::new().more("[listener]\nport = 0\n");
    let file = site.path("config.toml").display().to_string();
    let expected = "expected a whole number from 1 to 65535".to_owned();
    assert_eq!(site.fault(), (file, "listener.port".into(), expected.clone()));
    site = site.variable("ZMON_LISTENER__PORT", "-1");
    let variable = "environment variable ZMON_LISTENER__PORT".to_owned();
    assert_eq!(site.fault(), (variable, "listener.port".into(), expected.clone()));
    site = site.set("listener.port", "65536");
    assert_eq!(site.fault(), ("--set".into(), "listener.port".into(), expected));
}

#[test]
fn refuses_each_value_that_breaks_its_rule() {
    let cases = [
        ("device.id", "ICU MON"),
        ("device.id", ""),
        ("device.serial_number", "ä"),
        ("device.address", "10.1.50"),
        ("device.address", "0.0.0.0"),
        ("device.address", "224.0.0.1"),
        ("listener.port", "0"),
        ("listener.port", "+8443"),
        ("listener.port", " 8443"),
        ("listener.port", ""),
        ("listener.bind", "eth0"),
        ("pairing.minutes", "0"),
        ("pairing.minutes", "11"),
        ("pairing.minutes", "1.5"),
        ("store.path", "store.db"),
        ("store.key_file", "store.key"),
        ("store.key_credential", ""),
        ("store.key_credential", "../store.key"),
        ("store.key_credential", ".key"),
        ("store.key_command", "/usr/bin/key"),
        ("store.key_command", "[]"),
        ("store.key_command", "[\"key\"]"),
        ("store.key_command", "[\"/usr/bin/key\", 1]"),
        ("control.socket", ""),
        ("control.group", "no-such-group"),
        ("control.group", "4294967295"),
        ("admin.pin_hash_file", "pin"),
        ("log.level", "INFO"),
        ("log.format", "xml"),
    ];
    for (key, value) in cases {
        let (source, named, what) = Site::new().set(key, value).fault();
        assert_eq!((source.as_str(), named.as_str()), ("--set", key));
        let row = keys::ALL.iter().find(|row| row.name == key).unwrap();
        assert_eq!(what, format!("expected {}", row.expected));
    }
}

#[test]
fn knows_systemds_credentials_by_a_directory_that_not_everything_is_in() {
    let of = |directory: &str| {
        let site = Site::new().variable("CREDENTIALS_DIRECTORY", directory);
        site.load().unwrap().credentials_directory
    };
    for not_one in ["", "run/credentials", "/"] {
        assert_eq!(of(not_one), None, "{not_one:?}");
    }
    assert_eq!(of("/run/credentials/unit"), Some("/run/credentials/unit".into()));
}

#[test]
fn takes_the_key_of_the_store_from_one_source() {
    let key = |site: &Site| site.load().unwrap().store_key;
    let site = Site::new().more("[store]\nkey_credential = \"store-key\"\n");
    let credential = |directory: Option<&str>| StoreKey::Credential {
        name: "store-key".into(),
        directory: directory.map(Into::into),
    };
    assert_eq!(key(&site), credential(None), "checked outside of the unit, too");
    let site = site.variable("CREDENTIALS_DIRECTORY", "/run/credentials/zmon-provision.service");
    assert_eq!(key(&site), credential(Some("/run/credentials/zmon-provision.service")));

    let command = StoreKey::Command {
        program: "/usr/bin/key".into(),
        arguments: vec!["--slot".into(), "$1; \"x\"".into()],
    };
    let site = Site::new().more("[store]\nkey_command = [\"/usr/bin/key\", \"--slot\", '$1; \"x\"']\n");
    assert_eq!(key(&site), command);
    let json = r#"["/usr/bin/key", "--slot", "$1; \"x\""]"#;
    assert_eq!(key(&Site::new().variable("ZMON_STORE__KEY_COMMAND", json)), command);
    assert_eq!(key(&Site::new().set("store.key_command", json)), command);
    let (.., what) = Site::new()
        .more("[store]\nkey_command = [\"/usr/bin/key\", 7]\n")
        .fault();
    assert!(what.starts_with("expected an array of strings"), "{what}");
    assert_eq!(
        key(&Site::new().set("store.key_file", "/key")),
        StoreKey::File("/key".into())
    );
}

#[test]
fn refuses_two_sources_of_the_key_of_the_store() {
    let both = [
        ("store.key_file", "/key"),
        ("store.key_credential", "key"),
        ("store.key_command", "[\"/key\"]"),
    ];
    for (first, second) in [(0, 1), (0, 2), (1, 2)] {
        let ((first, one), (second, other)) = (both[first], both[second]);
        let (_, key, what) = Site::new().set(second, other).set(first, one).fault();
        assert_eq!(key, second);
        assert_eq!(
            what,
            format!("{first} is set as well; remove one of them: the key comes from one source")
        );
    }
}

#[test]
fn refuses_a_value_of_another_type() {
    for toml in [
        "[listener]\nport = true\n",
        "[listener]\nport = [8443]\n",
        "[pairing]\nminutes = 1.0\n",
    ] {
        let (_, _, what) = Site::new().more(toml).fault();
        assert!(what.starts_with("expected a whole number"), "{what}");
    }
    let (_, key, _) = Site::new().more("[log]\nlevel = 3\n").fault();
    assert_eq!(key, "log.level");
}

#[test]
fn wants_every_required_key() {
    let mut site = Site::new();
    site.file("");
    let Faults(faults) = site.load().unwrap_err();
    let keys: Vec<_> = faults.iter().map(|fault| fault.key.as_deref().unwrap()).collect();
    assert_eq!(
        keys,
        [
            "device.id",
            "device.serial_number",
            "device.address",
            "trust.hmac_key_file"
        ]
    );
    assert!(faults.iter().all(|fault| fault.source == "not set"));
    assert!(
        faults[0]
            .what
            .contains("as ZMON_DEVICE__ID or with --set device.id=..."),
        "{}",
        faults[0].what
    );
}

#[test]
fn finds_unknown_keys_in_every_layer_and_says_what_may_be_meant() {
    let site = Site::new()
        .more("[listner]\nport = 1\n")
        .variable("ZMON_DEVICE_ID", "x")
        .variable("ZMON_LISTENER", "x")
        .set("log.levle", "info")
        .set("nothing.like.it", "x");
    let Faults(faults) = site.load().unwrap_err();
    let said: Vec<_> = faults.iter().map(ToString::to_string).collect();
    let file = site.path("config.toml");
    let all = |text: &str| said.iter().any(|line| line == text);
    assert!(
        all(&format!(
            "{}: listner.port: unknown key; did you mean listener.port?",
            file.display()
        )),
        "{said:#?}"
    );
    assert!(
        all("environment variable ZMON_DEVICE_ID: device_id: unknown key; did you mean device.id?"),
        "{said:#?}"
    );
    assert!(
        said.iter()
            .any(|line| line.starts_with("environment variable ZMON_LISTENER: listener: unknown key"))
    );
    assert!(
        all("--set: log.levle: unknown key; did you mean log.level?"),
        "{said:#?}"
    );
    assert!(all("--set: nothing.like.it: unknown key"), "{said:#?}");
    assert_eq!(said.len(), 5, "{said:#?}");
}

#[test]
fn reports_all_faults_together_and_echoes_no_value() {
    let mut site = Site::new()
        .variable("ZMON_PAIRING__MINUTES", "canary-1")
        .set("log.format", "canary-2")
        .set("device.idd", "canary-3");
    site.file("[device]\nid = \"canary 4\"\n[listener]\nport = \"canary-5\"\n");
    let faults = site.load().unwrap_err();
    let text = faults.to_string();
    let keys = [
        "device.idd",
        "device.id",
        "device.serial_number",
        "device.address",
        "listener.port",
        "pairing.minutes",
        "trust.hmac_key_file",
        "log.format",
    ];
    for key in keys {
        assert!(text.contains(&format!(": {key}: ")), "{key} is missing in {text}");
    }
    assert_eq!(faults.0.len(), keys.len(), "{text}");
    assert!(!text.contains("canary"), "{text}");
}

#[test]
fn says_in_which_line_a_file_is_not_toml_without_showing_it() {
    let mut site = Site::new();
    site.file("[device]\nid = \"x\"\nsecret = canary\n");
    let Faults(faults) = site.load().unwrap_err();
    assert!(
        faults[0].what.starts_with("the file is not TOML in line 3"),
        "{}",
        faults[0].what
    );
    assert!(!faults[0].what.contains("canary"), "{}", faults[0].what);
}

#[test]
fn wants_the_file_that_is_named_to_be_there() {
    let mut site = Site::new();
    site.inputs.file = Some(site.path("missing.toml"));
    let Faults(faults) = site.load().unwrap_err();
    assert_eq!(faults[0].source, site.path("missing.toml").display().to_string());
    assert!(
        faults[0].what.starts_with("the file cannot be read"),
        "{}",
        faults[0].what
    );
}

#[test]
fn refuses_a_variable_that_is_not_text() {
    let mut site = Site::new();
    let value = OsString::from_vec(vec![0xff]);
    site.inputs.environment.push(("ZMON_DEVICE__ID".into(), value.clone()));
    site.inputs.environment.push(("FOREIGN".into(), value));
    let (source, _, what) = site.fault();
    assert_eq!(source, "environment variable ZMON_DEVICE__ID");
    assert_eq!(what, "expected UTF-8");
}

#[test]
fn wants_exactly_one_trust_anchor() {
    let site = Site::new();
    let key = site.path("trust.key").display().to_string();
    let (_, named, what) = site.set("trust.ed25519_public_key_file", &key).fault();
    assert_eq!(named, "trust.ed25519_public_key_file");
    assert!(
        what.contains("exactly one of") && what.contains("both are set"),
        "{what}"
    );
}

#[test]
fn takes_an_ed25519_key_that_everybody_may_read() {
    let mut site = Site::new();
    let key = site.path("station.pub");
    fs::write(&key, KEY).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    site.file(&format!(
        "[device]\nid = \"A\"\nserial_number = \"B\"\naddress = \"fd00::1\"\n[trust]\ned25519_public_key_file = \"{}\"\n",
        key.display()
    ));
    let anchor = site.load().unwrap().trust_anchor.unwrap();
    assert!(matches!(anchor, TrustAnchor::Ed25519 { public_key } if public_key == [0; 32]));
}

#[test]
fn refuses_a_device_key_that_others_may_have_read() {
    for mode in [0o640, 0o604, 0o660, 0o610] {
        let site = Site::new();
        fs::set_permissions(site.path("trust.key"), fs::Permissions::from_mode(mode)).unwrap();
        let (_, key, what) = site.fault();
        assert_eq!(key, "trust.hmac_key_file");
        assert!(what.contains("nobody but its owner"), "{what}");
    }
}

#[test]
fn refuses_a_key_file_that_holds_anything_but_one_key() {
    let contents = [
        "",
        "AAAA",
        &format!("{KEY}="),
        &format!("{KEY}A"),
        &format!(" {KEY}"),
        &format!("{KEY}\n\n"),
        &"/".repeat(43),
    ];
    for content in contents {
        let site = Site::new();
        fs::write(site.path("trust.key"), content).unwrap();
        let (_, _, what) = site.fault();
        assert!(what.contains("43 characters"), "{what}");
        assert!(content.is_empty() || !what.contains(content), "{what}");
    }
    let site = Site::new();
    fs::remove_file(site.path("trust.key")).unwrap();
    assert!(site.fault().2.contains("cannot be read"));
}

#[test]
fn lets_a_service_start_far_enough_to_say_that_its_device_is_retired() {
    let mut site = Site::new();
    fs::write(site.path("trust.key"), "\0".repeat(44)).unwrap();
    for _ in 0..2 {
        let loaded = Configuration::load_to_serve(&site.inputs).unwrap();
        assert_eq!(loaded.trust_anchor_file, site.path("trust.key"));
        let fault = &loaded.trust_anchor.unwrap_err().0[0];
        assert_eq!(fault.key.as_deref(), Some("trust.hmac_key_file"));
        assert!(site.load().is_err(), "everything else needs the anchor");
        let _ = fs::remove_file(site.path("trust.key"));
    }
    site = site.set("listener.port", "0");
    let faults = Configuration::load_to_serve(&site.inputs).unwrap_err();
    assert_eq!(faults.0.len(), 2, "all faults together: {faults}");
}

#[test]
fn finds_the_socket_without_the_rest_of_the_configuration() {
    let mut site = Site::new();
    site.file("[control]\nsocket = \"/run/other.sock\"\n");
    assert_eq!(control_socket(&site.inputs).unwrap(), Path::new("/run/other.sock"));
    assert!(pin_hash_file(&site.inputs).is_err(), "it is not set");
}

#[test]
fn describes_values_and_their_origins() {
    let text = describe(&Site::new().set("log.level", "debug").inputs)
        .unwrap()
        .to_string();
    assert!(text.contains("log.level = \"debug\" (--set)\n"), "{text}");
    assert!(text.contains("listener.port = \"8443\" (default)\n"), "{text}");
    assert!(text.contains("listener.bind is not set\n"), "{text}");
    assert_eq!(text.lines().count(), keys::ALL.len());
}
