//! Files of the store that were damaged or replaced: an error, or everything that was there, and never a panic.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::LazyLock;

use proptest::prelude::*;
use zmon_domain::result::InstalledConfiguration;
use zmon_ports::{KeySource as _, ProvisioningStore as _, StoreFault};
use zmon_sqlcipher_certstore::FileKeySource;
use zmon_testkit::mutation::{any_bytes, cases, changed};

use crate::home::{Home, LABEL, install};

/// A store that is provisioned and closed: its database, its key, and what is installed.
static WHOLE: LazyLock<(Vec<u8>, Vec<u8>, InstalledConfiguration)> = LazyLock::new(|| {
    let home = Home::new();
    let installed = on_a_runtime(async {
        let store = home.open().await;
        let installed = install(&store).await;
        store.close().await;
        installed
    });
    let key = std::fs::read(home.path().join("keys/database.key")).unwrap();
    (std::fs::read(home.database()).unwrap(), key, installed)
});

fn on_a_runtime<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(work)
}

fn write_for_the_owner(path: &Path, bytes: &[u8]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
    std::fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
}

proptest! {
    #![proptest_config(cases(32))]

    #[test]
    fn it_reads_all_of_a_damaged_database_or_nothing(damaged in changed(WHOLE.0.as_slice()), noise in any_bytes(9_000)) {
        for bytes in [damaged, noise] {
            let home = Home::new();
            write_for_the_owner(&home.path().join("keys/database.key"), &WHOLE.1);
            write_for_the_owner(&home.database(), &bytes);
            let read = on_a_runtime(async {
                let store = home.try_open().await?;
                let state = store.load().await?;
                store.credentials().await?;
                Ok::<_, StoreFault>(state)
            });
            match read {
                Ok(state) => prop_assert_eq!(&zmon_testkit::store::installed(state), &WHOLE.2),
                Err(fault) => prop_assert!(!fault.cause.contains(LABEL) && !fault.cause.contains("BEGIN"), "{}", fault),
            }
        }
    }
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn it_takes_thirty_two_bytes_for_a_key_and_nothing_else(file in changed([7; 32]), noise in any_bytes(70)) {
        let home = Home::new();
        let path = home.path().join("key");
        let keys = FileKeySource::new(&path);
        for bytes in [file, noise] {
            write_for_the_owner(&path, &bytes);
            match keys.database_key(true) {
                Ok(key) => prop_assert_eq!(key.expose().as_slice(), &bytes),
                Err(_) => prop_assert_ne!(bytes.len(), 32),
            }
        }
    }
}
