//! The conformance vectors pass through the real `apply_configuration`.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails as the test itself")]

use proptest::prelude::*;
use serde_json::Value;
use zmon_testkit::mutation::{any_bytes, cases, changed};

#[tokio::test]
async fn every_payload_vector_goes_as_expected() {
    let outcome = zmon_tests::vectors::run(&zmon_tests::vectors::own_file())
        .await
        .unwrap();
    assert_eq!(outcome.all, 87);
    assert!(outcome.failing.is_empty(), "{}", outcome.failing.join("\n"));
}

/// The file with its first case alone.
fn short_file() -> Vec<u8> {
    let text = std::fs::read(zmon_tests::vectors::own_file()).unwrap();
    let mut file: Value = serde_json::from_slice(&text).unwrap();
    file["cases"].as_array_mut().unwrap().truncate(1);
    serde_json::to_vec(&file).unwrap()
}

proptest! {
    #![proptest_config(cases(24))]

    /// Others write files of vectors too: what is wrong with one is told, with the file's name.
    #[test]
    fn a_file_of_vectors_is_run_or_explained(changed in changed(short_file()), noise in any_bytes(300)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("theirs.json");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        for bytes in [changed, noise] {
            std::fs::write(&path, bytes).unwrap();
            match runtime.block_on(zmon_tests::vectors::run(&path)) {
                Ok(outcome) => prop_assert!(outcome.failing.len() <= outcome.all),
                Err(fault) => {
                    let said = format!("{fault:#}");
                    prop_assert!(said.contains("theirs.json") || said.contains("case "), "{}", said);
                }
            }
        }
    }
}
