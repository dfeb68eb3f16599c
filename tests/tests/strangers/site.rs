//! The device's own binary, commissioned in a folder of its own, and a station's folder beside it.

use std::fs;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::Value;
use tempfile::TempDir;
use zmon_testkit::pki::{Key, KeyType, Pki, Template};
use zmon_tests::programs::{Service, free_port, program, run, said};
use zmon_tests::qr;
use zmon_tests::station::SERVER_HOST;

/// The vectors' device, so that their certificates fit.
pub(crate) const DEVICE: &str = "ZM-ICU-MON-04";
pub(crate) const PIN: &str = "strangers-pin-5519";

/// What a device trusts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Anchor {
    Hmac,
    Ed25519,
}

/// `zmon-station` with this folder.
pub(crate) fn station(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program("zmon-station"));
    command.arg("--home").arg(home).args(arguments);
    command
}

/// A commissioned device that runs.
pub(crate) struct Site {
    directory: TempDir,
    service: Option<Service>,
    pki: Pki,
}

impl Site {
    /// Commissions a device for a station with this key: the provisioning master key, or an Ed25519 seed.
    pub(crate) fn new(anchor: Anchor, key: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o700)).unwrap();
        let mut site = Self {
            directory,
            service: None,
            pki: Pki::new(DEVICE, SERVER_HOST),
        };
        let (file, trust) = match anchor {
            Anchor::Hmac => ("provisioning-master.key", "hmac_key_file"),
            Anchor::Ed25519 => ("ed25519-signing.key", "ed25519_public_key_file"),
        };
        fs::create_dir(site.path("station")).unwrap();
        site.write(&format!("station/{file}"), key);
        // The fixtures are valid around a day in the future; these are valid now.
        let ca = Template::ca("Strangers' CA").but(|ca| ca.not_before -= 365 * 86_400);
        site.pki.ca = ca.self_signed(Key::new(KeyType::P256));
        site.write("station/ca.pem", &site.pki.ca.pem());
        run(site.station(&["derive", DEVICE, "--out"]).arg(site.path("trust")));
        let port = free_port();
        let here = site.directory.path().display();
        let group = fs::metadata(site.directory.path()).unwrap().gid();
        site.write(
            "config.toml",
            &format!(
                "[device]\nid = \"{DEVICE}\"\nserial_number = \"S1\"\naddress = \"127.0.0.1\"\n[listener]\nport = {port}\n\
                 [store]\npath = \"{here}/store.db\"\nkey_file = \"{here}/store.key\"\n\
                 [trust]\n{trust} = \"{here}/trust\"\n[control]\nsocket = \"{here}/control.sock\"\n\
                 [application]\ngroup = \"{group}\"\nsocket = \"{here}/application.sock\"\nprovisioned_file = \"{here}/provisioned\"\n\
                 [admin]\npin_hash_file = \"{here}/pin.hash\"\n"
            ),
        );
        site.write("pin", PIN);
        run(site.device(&["admin", "set-pin", "--pin-file"]).arg(site.path("pin")));
        site.restart();
        site
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A new or changed file for its owner alone.
    pub(crate) fn write(&self, name: &str, text: &str) {
        write_private(&self.path(name), text);
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// `zmon-station` with this station's folder.
    pub(crate) fn station(&self, arguments: &[&str]) -> Command {
        station(&self.path("station"), arguments)
    }

    /// `zmon-provision` with this device's configuration.
    pub(crate) fn device(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program("zmon-provision"));
        command
            .env_clear()
            .arg("--config")
            .arg(self.path("config.toml"))
            .args(arguments);
        command
    }

    /// Kills the service where one runs, and starts it.
    pub(crate) fn restart(&mut self) {
        self.service = None;
        let (mut serve, mut status) = (self.device(&["serve"]), self.device(&["status"]));
        self.service = Some(Service::start(&mut serve, &mut status, &self.path("log")));
    }

    /// Opens pairing, and reads the picture as a scanner does.
    pub(crate) fn pair(&self) -> String {
        let png = self.path("qr.png");
        run(self.device(&["pair", "--no-wait", "--png"]).arg(&png));
        qr::text_in(&png)
    }

    pub(crate) fn status(&self) -> String {
        let json = said(&mut self.device(&["status", "--json"]));
        let status: Value = serde_json::from_str(&json).unwrap();
        status["status"].as_str().unwrap().into()
    }

    pub(crate) fn deprovision(&self) {
        run(self.device(&["deprovision", "--pin-file"]).arg(self.path("pin")));
    }

    /// A folder as `zmon-station issue` makes it, with a client key of this kind.
    pub(crate) fn issue(&self, folder: &str, kind: KeyType) -> PathBuf {
        let template = Template::client(DEVICE).but(|client| client.not_before -= 365 * 86_400);
        let client = template.issued_for(Key::new(kind), &self.pki.ca);
        fs::create_dir(self.path(folder)).unwrap();
        self.write(&format!("{folder}/certificate.pem"), &client.pem());
        self.write(&format!("{folder}/key.pem"), &client.key.pkcs8_pem());
        self.path(folder)
    }
}

/// A new or changed file for its owner alone.
pub(crate) fn write_private(path: &Path, text: &str) {
    let _ = fs::remove_file(path);
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(path).unwrap();
    std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
}

/// A key of 32 bytes as text.
pub(crate) fn key_text(bytes: &[u8; 32]) -> String {
    Base64UrlUnpadded::encode_string(bytes)
}

/// `--option path` for a program.
pub(crate) fn with(command: &mut Command, options: &[(&str, &Path)]) {
    for (option, path) in options {
        command.arg(option).arg(path);
    }
}
