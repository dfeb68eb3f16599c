//! The device's own binary over HTTPS, provisioned by Python's, Node's and curl's TLS.

use std::path::Path;
use std::process::{Command, Output};

use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::{Value, json};
use zmon_domain::identity::DeviceId;
use zmon_domain::secret::SecretBytes;
use zmon_payload_envelope::keys::{derive_device_key, derive_qr_key, qr_mac};
use zmon_testkit::pki::KeyType;
use zmon_testkit::skip::skip;
use zmon_tests::kit::{Lines, Node, Python, repository};
use zmon_tests::programs::{run, said, spoken};

use crate::site::{Anchor, DEVICE, Site, key_text, station, with};

const KEY: [u8; 32] = [29; 32];

#[test]
fn it_is_provisioned_by_strangers_with_a_derived_key() {
    provisioned_by_each(Anchor::Hmac, "pushes by strangers, derived key");
}

#[test]
fn it_is_provisioned_by_strangers_with_an_ed25519_key() {
    provisioned_by_each(Anchor::Ed25519, "pushes by strangers, Ed25519 key");
}

fn provisioned_by_each(anchor: Anchor, name: &str) {
    let strangers = match Strangers::find() {
        Ok(strangers) => strangers,
        Err(reason) => return skip(name, &reason),
    };
    let mut site = Site::new(anchor, &key_text(&KEY));
    // Each with another kind of client key, for the receipt's four algorithms.
    let clients = [
        (Client::Jwcrypto, KeyType::P256),
        (Client::Joserfc, KeyType::Ed25519),
        (Client::Node, KeyType::Rsa(2048)),
        (Client::Curl, KeyType::P384),
    ];
    for (client, kind) in clients {
        strangers.one_life(client, kind, &mut site, anchor);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Client {
    Jwcrypto,
    Joserfc,
    Node,
    Curl,
}

/// Every client, and whoever verifies receipts.
pub(crate) struct Strangers {
    python: Python,
    node: Node,
}

impl Strangers {
    pub(crate) fn find() -> Result<Self, String> {
        let curl = Command::new("curl").arg("--version").output();
        if !curl.is_ok_and(|output| output.status.success()) {
            return Err("curl is not installed".into());
        }
        Ok(Self {
            python: Python::find()?,
            node: Node::find()?,
        })
    }

    /// From the QR code to a receipt, and what must not go through on the way.
    fn one_life(&self, client: Client, kind: KeyType, site: &mut Site, anchor: Anchor) {
        let folder = format!("{client:?}");
        let issued = site.issue(&folder, kind);
        let certificate = issued.join("certificate.pem");
        let qr = site.pair();
        site.write("qr", &qr);
        let [body, other, receipt] = ["body", "other", "receipt"].map(|name| site.path(name));
        for file in [&body, &other] {
            run(options(&mut self.seal(client, site), &issued)
                .arg("--save-body")
                .arg(file));
        }
        assert_ne!(site.read("body"), site.read("other"), "every seal is fresh");

        self.says_nothing_to_another_host(client, site, &qr, &body, anchor);
        if anchor == Anchor::Hmac {
            site.write("wrong", &qr.replacen("\"S1\"", "\"S2\"", 1));
            let mut forged = self.seal(client, site);
            let outcome = options(&mut forged, &issued)
                .arg("--qr")
                .arg(site.path("wrong"))
                .output();
            let words = spoken(&outcome.unwrap());
            assert!(words.contains("mac is missing or wrong"), "{client:?}: {words}");
        }

        let first = self.receipt(client, site, &body);
        assert_eq!(site.status(), "PROVISIONED", "{client:?}");
        assert_eq!(
            self.receipt(client, site, &body),
            first,
            "the same body gets the same receipt"
        );
        let refused = spoken(&self.push(client, site, "qr", &other));
        assert!(
            refused.contains("409") && refused.contains("AlreadyProvisioned"),
            "{client:?}: {refused}"
        );

        site.restart();
        let kept = said(&mut site.device(&["status", "--receipt"]));
        assert_eq!(kept.trim(), first, "the receipt outlives a restart");
        site.write("receipt", &first);
        self.everybody_verifies(&site.path("station"), &receipt, &body, &certificate);
        for (what, receipt, body) in [
            ("signature", tampered(&first, 2), &body),
            ("claims", tampered(&first, 1), &body),
            ("header", tampered(&first, 0), &body),
            ("body", first, &other),
        ] {
            site.write("tampered", &receipt);
            self.nobody_verifies(what, &site.path("station"), &site.path("tampered"), body, &certificate);
        }
        site.deprovision();
    }

    /// Where another host answers at the monitor's address, the pin is noticed before the first byte of HTTP.
    fn says_nothing_to_another_host(&self, client: Client, site: &Site, qr: &str, body: &Path, anchor: Anchor) {
        let members: Value = serde_json::from_str(qr).unwrap();
        let mut host = Lines::start(self.python.script("tests/strangers/recorder.py"));
        let mut meets = |takes_its_pin: bool| {
            let at = host.ask(&json!({}));
            let mut wrong = qr.replacen(
                &format!("\"port\":{}", members["port"]),
                &format!("\"port\":{}", at["port"]),
                1,
            );
            if takes_its_pin {
                wrong = wrong.replacen(members["pin"].as_str().unwrap(), at["pin"].as_str().unwrap(), 1);
            }
            site.write("wrong", &authenticated(&wrong, anchor));
            let outcome = self.push(client, site, "wrong", body);
            assert!(!outcome.status.success(), "{client:?} got no answer");
            let bytes = host.ask(&json!({}))["bytes"].as_u64().unwrap();
            (bytes, spoken(&outcome).to_lowercase())
        };
        let (bytes, words) = meets(false);
        assert_eq!(bytes, 0, "{client:?} must not say anything");
        assert!(
            words.contains("pin does not match") || words.contains("pinned public key"),
            "{client:?}: {words}"
        );
        let (bytes, words) = meets(true);
        assert!(
            bytes > 0,
            "the control: {client:?} speaks where the pin is right: {words}"
        );
        assert_eq!(site.status(), "READY_TO_PAIR", "{client:?}");
    }

    /// What seals for this client; curl pushes what Python sealed.
    fn seal(&self, client: Client, site: &Site) -> Command {
        let mut command = match client {
            Client::Jwcrypto => self.python.script("examples/python/provision_jwcrypto.py"),
            Client::Joserfc | Client::Curl => self.python.script("examples/python/provision_joserfc.py"),
            Client::Node => self.node.script("provision.mjs"),
        };
        command.arg("--no-push");
        with(
            &mut command,
            &[("--home", &site.path("station")), ("--qr", &site.path("qr"))],
        );
        command
    }

    fn push(&self, client: Client, site: &Site, qr: &str, body: &Path) -> Output {
        let mut command = match client {
            Client::Jwcrypto => self.python.script("examples/python/provision_jwcrypto.py"),
            Client::Joserfc => self.python.script("examples/python/provision_joserfc.py"),
            Client::Node => self.node.script("provision.mjs"),
            Client::Curl => {
                let mut command = Command::new(repository().join("examples/shell/push.sh"));
                command.arg(site.path(qr)).arg(body);
                return command.output().unwrap();
            }
        };
        let (home, qr, receipt) = (site.path("station"), site.path(qr), site.path("receipt"));
        with(
            &mut command,
            &[
                ("--home", &home),
                ("--qr", &qr),
                ("--body", body),
                ("--receipt", &receipt),
            ],
        );
        command.output().unwrap()
    }

    /// Pushes; the device has to accept.
    fn receipt(&self, client: Client, site: &Site, body: &Path) -> String {
        let outcome = self.push(client, site, "qr", body);
        assert!(
            outcome.status.success(),
            "{client:?}: {} {}",
            spoken(&outcome),
            site.read("log")
        );
        if client == Client::Curl {
            let answer: Value = serde_json::from_slice(&outcome.stdout).unwrap();
            assert_eq!(answer["status"], "PROVISIONED", "{answer}");
            return answer["receipt"].as_str().unwrap().into();
        }
        site.read("receipt")
    }

    /// In Rust, Python and JavaScript.
    fn verifiers(&self, home: &Path, receipt: &Path, body: &Path, certificate: &Path) -> [Output; 3] {
        let foreign = |mut command: Command| {
            command.arg(receipt).arg("--home").arg(home);
            command
        };
        let mut ours = station(home, &["verify-receipt"]);
        ours.arg(receipt);
        let python = foreign(self.python.script("examples/python/verify_receipt.py"));
        let javascript = foreign(self.node.script("verify_receipt.mjs"));
        [ours, python, javascript].map(|mut command| {
            command.args(["--device-id", DEVICE]);
            with(&mut command, &[("--body", body), ("--certificate", certificate)]);
            command.output().unwrap()
        })
    }

    pub(crate) fn everybody_verifies(&self, home: &Path, receipt: &Path, body: &Path, certificate: &Path) {
        for outcome in self.verifiers(home, receipt, body, certificate) {
            assert!(outcome.status.success(), "{}", spoken(&outcome));
        }
    }

    pub(crate) fn nobody_verifies(&self, what: &str, home: &Path, receipt: &Path, body: &Path, certificate: &Path) {
        for outcome in self.verifiers(home, receipt, body, certificate) {
            let words = spoken(&outcome);
            assert!(
                !outcome.status.success() && words.contains("he receipt"),
                "{what}: {words}"
            );
        }
    }
}

/// What a new payload needs.
fn options<'a>(command: &'a mut Command, issued: &Path) -> &'a mut Command {
    command.args(["--server-url", "https://central.example.org", "--label", "ICU 4 β"]);
    with(command, &[("--client", issued)]);
    command
}

/// A changed QR text with the `mac` that belongs to it.
fn authenticated(qr: &str, anchor: Anchor) -> String {
    if anchor == Anchor::Ed25519 {
        return qr.into();
    }
    let device_id = DeviceId::parse(DEVICE).unwrap();
    let device_key = derive_device_key(&SecretBytes::take(&mut KEY.clone()), &device_id);
    let (spoken, _) = qr.rsplit_once(",\"mac\":\"").unwrap();
    let mac = qr_mac(&derive_qr_key(&device_key, &device_id), spoken);
    format!("{spoken},\"mac\":\"{}\"}}", Base64UrlUnpadded::encode_string(&mac))
}

/// The receipt with one character in the middle of one of its three parts made another.
fn tampered(receipt: &str, part: usize) -> String {
    let mut parts: Vec<String> = receipt.split('.').map(str::to_owned).collect();
    let at = parts[part].len() / 2;
    let other = if parts[part].as_bytes()[at] == b'A' { "B" } else { "A" };
    parts[part].replace_range(at..=at, other);
    parts.join(".")
}
