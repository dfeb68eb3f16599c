//! Files and variables that a tired person or a broken tool has written: every fault is told, and nothing of a key.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails as the test itself")]

use std::fs::{Permissions, set_permissions, write};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::LazyLock;

use proptest::prelude::*;
use tempfile::TempDir;
use zmon_app::administrator::{PinFile, set_pin};
use zmon_app::configuration::{Configuration, Inputs, describe};
use zmon_app::entropy::SystemEntropy;
use zmon_domain::error::ErrorCode;
use zmon_domain::secret::SecretText;
use zmon_ports::AdministratorCheck;
use zmon_testkit::mutation::{any_bytes, cases, changed, changed_text};

const KEY: &str = "cAnArYAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Of the PIN 314159.
static HASH: LazyLock<String> = LazyLock::new(|| {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("admin.pin");
    set_pin(&path, &SecretText::new("314159".into()), &SystemEntropy::new()).unwrap();
    std::fs::read_to_string(path).unwrap()
});

struct Site {
    directory: TempDir,
    toml: String,
}

impl Site {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let toml = format!(
            "[device]\nid = \"ZM-ICU-MON-04\"\nserial_number = \"SN-1\"\naddress = \"10.1.50.104\"\n\
             [listener]\nport = 8443\n[pairing]\nminutes = 10\n[trust]\nhmac_key_file = \"{}\"\n",
            directory.path().join("trust.key").display()
        );
        let site = Self { directory, toml };
        site.key(KEY.as_bytes());
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn key(&self, bytes: &[u8]) {
        write(self.path("trust.key"), bytes).unwrap();
        set_permissions(self.path("trust.key"), Permissions::from_mode(0o600)).unwrap();
    }

    fn inputs(&self, toml: &[u8]) -> Inputs {
        write(self.path("config.toml"), toml).unwrap();
        Inputs {
            file: Some(self.path("config.toml")),
            ..Inputs::default()
        }
    }
}

/// A configuration that was taken follows the rules; one that was not has a fault that names its place.
fn check(inputs: &Inputs) -> Result<(), TestCaseError> {
    let said = match Configuration::load(inputs) {
        Ok(configuration) => {
            prop_assert!(configuration.port > 0 && configuration.store_path.is_absolute());
            prop_assert!((60..=600).contains(&configuration.pairing_time.as_secs()));
            format!("{configuration:?}")
        }
        Err(faults) => {
            prop_assert!(!faults.to_string().trim().is_empty());
            format!("{faults} {faults:?}")
        }
    };
    prop_assert!(!said.contains("cAnArY"), "{}", said);
    let _ = describe(inputs);
    Ok(())
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn it_takes_or_explains_a_changed_configuration(change in changed_text(&Site::new().toml), noise in any_bytes(300)) {
        let site = Site::new();
        // The paths of two sites differ; the change is what matters.
        check(&site.inputs(change.as_bytes()))?;
        check(&site.inputs(&noise))?;
        check(&site.inputs(&[site.toml.as_bytes(), &noise].concat()))?;
    }

    #[test]
    fn it_takes_or_explains_any_variable_and_any_argument(
        name in prop_oneof![Just("DEVICE__ID".to_owned()), "[A-Z_]{0,20}", any::<String>()],
        value in any_bytes(60),
        key in prop_oneof![Just("device.id".to_owned()), "[a-z_.\\[\\]0-9]{0,20}", any::<String>()],
        text in any::<String>(),
    ) {
        let site = Site::new();
        let mut inputs = site.inputs(site.toml.as_bytes());
        let name = format!("{}_{name}", zmon_app::configuration::keys::ENVIRONMENT_PREFIX);
        inputs.environment.push((name.into(), std::ffi::OsString::from_vec(value)));
        inputs.set.push((key, text));
        check(&inputs)?;
    }

    #[test]
    fn it_takes_a_trust_anchor_in_one_spelling_alone(file in changed(KEY), noise in any_bytes(80)) {
        let site = Site::new();
        for bytes in [file, noise] {
            site.key(&bytes);
            let inputs = site.inputs(site.toml.as_bytes());
            check(&inputs)?;
            if Configuration::load(&inputs).is_ok() {
                let line = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                prop_assert!(line.len() == 43 && line.iter().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(b)), "{:?}", line);
            }
        }
    }
}

proptest! {
    // A wrong PIN costs a second, and these wait for it side by side.
    #![proptest_config(cases(4))]

    #[test]
    fn it_admits_nobody_by_a_damaged_hash(
        damaged in prop::collection::vec(changed(HASH.as_str()), 8),
        costs in prop::collection::vec((any::<u32>(), any::<u32>(), any::<u32>()), 4),
        noise in prop::collection::vec(any_bytes(200), 2),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let costly = costs.into_iter().map(|(m, t, p)| {
            HASH.replace("m=19456,t=2,p=1", &format!("m={m},t={t},p={p}")).into_bytes()
        });
        let files = damaged.into_iter().chain(costly).chain(noise).enumerate();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let checks: Vec<_> = files.map(|(number, bytes)| {
            let path = directory.path().join(number.to_string());
            write(&path, bytes).unwrap();
            set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
            runtime.spawn(async move {
                PinFile::new(Some(path)).authorise(&SecretText::new("271828".into())).await.map_err(|refusal| refusal.code())
            })
        }).collect();
        for check in checks {
            prop_assert_eq!(runtime.block_on(check).unwrap().err(), Some(ErrorCode::AdminRequired));
        }
    }
}

/// As deep as a file of a megabyte can be: told, not died of.
#[test]
fn it_refuses_a_table_in_a_table_in_a_table() {
    let site = Site::new();
    for deep in [
        format!("{}b = 1\n", "a.".repeat(200_000)),
        format!("[{}b]\n", "a.".repeat(200_000)),
        format!("a = {}1{}\n", "[".repeat(200_000), "]".repeat(200_000)),
        format!("a = {}{}\n", "{ a = ".repeat(200_000), "}".repeat(200_000)),
    ] {
        let faults = Configuration::load(&site.inputs(deep.as_bytes()))
            .unwrap_err()
            .to_string();
        assert!(faults.contains("config.toml"), "{}", &faults[..faults.len().min(400)]);
    }
}
