//! Files of the store that were damaged or replaced: an error, or everything that was there, and never a panic.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use proptest::prelude::*;
use zmon_domain::result::InstalledConfiguration;
use zmon_ports::{KeySource as _, ProvisioningStore as _, StoreFault};
use zmon_sqlcipher_certstore::FileKeySource;
use zmon_testkit::mutation::{any_bytes, cases, changed};

use crate::home::{Home, LABEL, install};

/// Every file of a store that is provisioned and closed, and what is installed.
struct Whole {
    files: Vec<(PathBuf, Vec<u8>)>,
    installed: InstalledConfiguration,
}

static WHOLE: LazyLock<Whole> = LazyLock::new(|| {
    let home = Home::new();
    let installed = on_a_runtime(async {
        let store = home.open().await;
        let installed = install(&store).await;
        store.close().await;
        installed
    });
    let files = ["data", "keys"].into_iter().flat_map(|folder| {
        let folder = home.path().join(folder);
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        files.collect::<Vec<_>>()
    });
    let files = files.map(|path| {
        let bytes = std::fs::read(&path).unwrap();
        (path.strip_prefix(home.path()).unwrap().to_owned(), bytes)
    });
    Whole {
        files: files.collect(),
        installed,
    }
});

impl Whole {
    fn file(&self, name: &str) -> &[u8] {
        &self.files.iter().find(|(path, _)| path.ends_with(name)).unwrap().1
    }
}

fn on_a_runtime<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(work)
}

fn write_for_the_owner(path: &Path, bytes: &[u8]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
    std::fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
}

/// With this file replaced, the store opens as it was or tells a fault that repeats nothing.
fn check(name: &str, bytes: &[u8]) -> Result<(), TestCaseError> {
    let home = Home::new();
    for (path, whole) in &WHOLE.files {
        let bytes = if path.ends_with(name) { bytes } else { whole };
        write_for_the_owner(&home.path().join(path), bytes);
    }
    let read = on_a_runtime(async {
        let store = home.try_open().await?;
        let state = store.load().await?;
        store.credentials().await?;
        Ok::<_, StoreFault>(state)
    });
    match read {
        Ok(state) => prop_assert_eq!(&zmon_testkit::store::installed(state), &WHOLE.installed),
        Err(fault) => prop_assert!(
            !fault.cause.contains(LABEL) && !fault.cause.contains("BEGIN"),
            "{}",
            fault
        ),
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases(32))]

    #[test]
    fn it_reads_all_of_a_damaged_database_or_nothing(damaged in changed(WHOLE.file("store.db")), noise in any_bytes(9_000)) {
        check("store.db", &damaged)?;
        check("store.db", &noise)?;
    }

    #[test]
    fn it_opens_with_no_damaged_key(wrapped in changed(WHOLE.file("store.db-key")), key in changed(WHOLE.file("database.key"))) {
        check("store.db-key", &wrapped)?;
        check("database.key", &key)?;
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
            match keys.wrapping_key(true) {
                Ok(key) => prop_assert_eq!(key.expose().as_slice(), &bytes),
                Err(_) => prop_assert_ne!(bytes.len(), 32),
            }
        }
    }
}
