//! The conformance vectors pass through the real `apply_configuration`.

#[tokio::test]
async fn every_payload_vector_goes_as_expected() {
    let outcome = zmon_tests::vectors::run(&zmon_tests::vectors::own_file())
        .await
        .unwrap();
    assert_eq!(outcome.all, 87);
    assert!(outcome.failing.is_empty(), "{}", outcome.failing.join("\n"));
}
