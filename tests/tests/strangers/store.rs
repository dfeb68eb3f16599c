//! The store opens with another SQLCipher and the documented key, and with nothing less.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::{Value, json};
use tempfile::TempDir;
use zmon_ports::ProvisioningStore as _;
use zmon_sqlcipher_certstore::{FileKeySource, SqlcipherStore};
use zmon_testkit::installation::{CA_CERTIFICATE, DEVICE_ID, SAMPLE_TIME, installation};
use zmon_testkit::payload::CANARY_KEY;
use zmon_testkit::skip::skip;
use zmon_testkit::store::seal_with_head;
use zmon_tests::database::tables;
use zmon_tests::kit::Python;
use zmon_tests::programs::spoken;

const LABEL: &str = "Sample label 4711";

/// A store of the real adapter, with its key source in a file.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::set_permissions(home.path(), PermissionsExt::from_mode(0o700)).unwrap();
        Self(home)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    async fn open(&self) -> SqlcipherStore {
        let source = FileKeySource::new(self.path("store.key"));
        SqlcipherStore::open(&self.path("store.db"), &source, SAMPLE_TIME)
            .await
            .unwrap()
    }

    fn read_by(&self, python: &Python, key_file: &Path) -> Output {
        let mut script = python.script("examples/python/open_store.py");
        script.arg(self.path("store.db")).arg("--key-file").arg(key_file);
        script.output().unwrap()
    }

    /// What the stranger reads with the source's key.
    fn rows(&self, python: &Python) -> Value {
        let output = self.read_by(python, &self.path("store.key"));
        assert!(output.status.success(), "{}", spoken(&output));
        let text = spoken(&output);
        assert!(
            !text.contains("PRIVATE KEY") && !text.contains(CANARY_KEY),
            "a private key is printed"
        );
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

#[tokio::test]
async fn it_opens_with_sqlcipher_of_other_hands_and_the_sources_key_and_with_nothing_less() {
    let python = match Python::find() {
        Ok(python) => python,
        Err(reason) => return skip("the store opened by another SQLCipher", &reason),
    };
    let home = Home::new();
    let store = home.open().await;
    let (installation, entries) = installation(LABEL, true);
    store.install(&installation, &entries, &seal_with_head).await.unwrap();
    let head = store.load().await.unwrap().audit;
    store.close().await;

    let rows = home.rows(&python);
    let mut read: Vec<_> = rows.as_object().unwrap().keys().cloned().collect();
    read.sort();
    assert_eq!(read, tables(&home.path("store.db"), &home.path("store.key")).await);
    assert_eq!(rows["administration"][0]["pin_misses"], 0);
    assert_eq!(rows["device"][0]["status"], "PROVISIONED");
    assert_eq!(rows["device"][0]["audit_count"], head.count);
    assert_eq!(rows["device"][0]["audit_head"], head.head.to_hex());
    assert_eq!(
        rows["audit"].as_array().unwrap().last().unwrap()["hash"],
        head.head.to_hex()
    );
    let setting = |key: &str| {
        let settings = rows["settings"].as_array().unwrap();
        settings.iter().find(|row| row["key"] == key).unwrap()["value"].clone()
    };
    assert_eq!(setting("deviceId"), DEVICE_ID);
    assert_eq!(setting("deviceLabel"), LABEL);
    let ca = installation.certificates().ca()[0].clone();
    let certificates = rows["certificates"].as_array().unwrap();
    let stored = certificates.iter().find(|row| row["role"] == "ca").unwrap();
    assert_eq!(stored["sha256"], ca.sha256.to_hex());
    assert_eq!(stored["subject"], ca.subject);
    let pem = json!({ "role": "ca", "pem_length": CA_CERTIFICATE.len() });
    assert!(rows["credentials"].as_array().unwrap().contains(&pem), "{rows}");

    // The key of the source stays, the key of the database changes.
    let before = fs::read(home.path("store.db-key")).unwrap();
    let store = home.open().await;
    store.rotate_key(SAMPLE_TIME, &[]).await.unwrap();
    store.close().await;
    assert_ne!(fs::read(home.path("store.db-key")).unwrap(), before);
    assert_eq!(home.rows(&python)["settings"], rows["settings"]);

    fs::write(home.path("other.key"), [0x5a; 32]).unwrap();
    let output = home.read_by(&python, &home.path("other.key"));
    assert!(!output.status.success());
    assert!(
        spoken(&output).contains("wrapped by another key"),
        "{}",
        spoken(&output)
    );

    let mut keyless = python.script("tests/strangers/keyless.py");
    let output = keyless.arg(home.path("store.db")).output().unwrap();
    assert!(output.status.success(), "{}", spoken(&output));
    assert_eq!(
        spoken(&output).matches("file is not a database").count(),
        3,
        "{}",
        spoken(&output)
    );
}
