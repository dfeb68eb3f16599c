//! The contract of `ProvisioningStore`, for the fake and for real adapters alike.

use zmon_domain::audit::{AuditEntry, AuditEvent, AuditHead};
use zmon_domain::error::ErrorCode;
use zmon_domain::machine::Persisted;
use zmon_domain::pairing::SessionId;
use zmon_domain::result::{DestructionRecord, InstalledConfiguration, Receipt};
use zmon_domain::secret::SecretText;
use zmon_domain::status::{PersistedStatus, Retirement};
use zmon_domain::time::Timestamp;
use zmon_ports::{ProvisioningStore, ReceiptFault, StoredState};

use crate::installation::{SAMPLE_TIME, installation};
use crate::payload::CANARY_KEY;

/// Holds a store to its port's contract. `make` gives a newly created store each time.
///
/// # Panics
/// Where the store breaks the contract.
pub async fn contract<S: ProvisioningStore>(make: impl AsyncFn() -> S) {
    starts_unprovisioned(&make().await).await;
    chains_records(&make().await).await;
    persists_a_status(&make().await).await;
    enters_and_leaves_provisioned_as_a_whole(&make().await).await;
    gives_back_what_was_installed(&make().await, false).await;
    gives_back_what_was_installed(&make().await, true).await;
    installs_once(&make().await).await;
    installs_nothing_without_a_receipt(&make().await).await;
    keeps_the_audit_when_it_erases(&make().await).await;
    installs_again_after_an_erasure(&make().await).await;
    leaves_a_record_of_what_it_erased(&make().await).await;
    erases_nothing_without_a_record(&make().await).await;
    keeps_how_far_a_retirement_has_come(&make().await).await;
    counts_wrong_pins(&make().await).await;
    keeps_the_time_floor(&make().await).await;
    keeps_everything_when_its_key_is_rotated(&make().await).await;
}

/// A receipt that speaks of the audit head it was made for, so that a test can compare the two.
///
/// # Errors
/// Never.
pub fn seal_with_head(head: AuditHead) -> Result<Receipt, ReceiptFault> {
    Ok(Receipt(format!("receipt over {} {}", head.count, head.head.to_hex())))
}

/// A record of destruction that speaks of the audit head and the private key it was made with.
///
/// # Errors
/// Never.
pub fn seal_destruction(head: AuditHead, key: &SecretText) -> Result<DestructionRecord, ReceiptFault> {
    let right_key = key.expose() == CANARY_KEY;
    Ok(DestructionRecord(format!(
        "destruction over {} {}, with the installed key: {right_key}",
        head.count,
        head.head.to_hex()
    )))
}

/// What is installed.
///
/// # Panics
/// Where the state is not `PROVISIONED`.
#[must_use]
pub fn installed(state: StoredState) -> InstalledConfiguration {
    match state.persisted {
        Persisted::Provisioned(installed) => *installed,
        other => panic!("the store is not PROVISIONED but {other:?}"),
    }
}

const AT: Timestamp = Timestamp::from_millis(1_700_000_000_123);

async fn load(store: &impl ProvisioningStore) -> StoredState {
    store.load().await.expect("the store loads")
}

/// Everything that `load` tells, to compare before and after.
async fn seen(store: &impl ProvisioningStore) -> String {
    format!("{:?}", load(store).await)
}

async fn install(store: &impl ProvisioningStore, label: &str, pinned: bool) -> InstalledConfiguration {
    let (installation, entries) = installation(label, pinned);
    store
        .install(&installation, &entries, &seal_with_head)
        .await
        .expect("the sample is installed")
}

async fn erase(store: &impl ProvisioningStore, entries: &[AuditEntry]) -> DestructionRecord {
    let erased = store.erase(AT, entries, false, &seal_destruction).await;
    erased.expect("the sample is erased")
}

async fn starts_unprovisioned(store: &impl ProvisioningStore) {
    let state = load(store).await;
    assert!(matches!(state.persisted, Persisted::Unprovisioned), "{state:?}");
    assert_eq!(state.time_floor, None, "a fresh store has no time floor");
    assert_eq!(state.audit.count, 1, "the audit begins with the creation");
    assert_eq!((state.pin_misses, state.destruction, state.retirement), (0, None, None));
}

async fn chains_records(store: &impl ProvisioningStore) {
    let created = load(store).await.audit;
    let entry = AuditEntry::new(AuditEvent::ProvisioningFailed)
        .in_session(SessionId::from_random(*b"12345678"))
        .with_code(ErrorCode::SignatureInvalid)
        .with_detail("a detail with 'quotes', \u{fc}ml\u{e4}uts and\nlines");
    let entries = [entry.clone(), AuditEntry::new(AuditEvent::PairingCancelled)];
    let first = store.record(AT, &entries, None).await.expect("entries are recorded");
    assert_eq!(first.count, created.count + 2);
    assert_eq!(
        load(store).await.audit,
        first,
        "the head that was given is the head that is stored"
    );
    let second = store.record(AT, &entries, None).await.expect("entries are recorded");
    assert_eq!(second.count, first.count + 2);
    assert!(
        created.head != first.head && first.head != second.head,
        "equal entries, new hashes"
    );
    let nothing = store.record(AT, &[], None).await.expect("nothing can be recorded");
    assert_eq!(nothing, second, "no entry leaves the head alone");
}

async fn persists_a_status(store: &impl ProvisioningStore) {
    let entries = [AuditEntry::new(AuditEvent::Deprovisioned)];
    let before = load(store).await.audit.count;
    let head = store.record(AT, &entries, Some(PersistedStatus::Deprovisioned)).await;
    assert_eq!(head.expect("a status is persisted").count, before + 1);
    assert!(matches!(load(store).await.persisted, Persisted::Deprovisioned));
    store
        .record(AT, &[], None)
        .await
        .expect("no status leaves the status alone");
    assert!(matches!(load(store).await.persisted, Persisted::Deprovisioned));
    let again = store.record(AT, &[], Some(PersistedStatus::Unprovisioned)).await;
    again.expect("a status is persisted without an entry");
    assert!(matches!(load(store).await.persisted, Persisted::Unprovisioned));
}

async fn enters_and_leaves_provisioned_as_a_whole(store: &impl ProvisioningStore) {
    let entries = [AuditEntry::new(AuditEvent::ServiceStarted)];
    let before = seen(store).await;
    let bare = store.record(AT, &entries, Some(PersistedStatus::Provisioned)).await;
    bare.expect_err("a device is not PROVISIONED without an installation");
    assert_eq!(seen(store).await, before);
    install(store, "ICU-MON-04", false).await;
    let before = seen(store).await;
    let kept = store.record(AT, &entries, Some(PersistedStatus::Unprovisioned)).await;
    kept.expect_err("what is installed does not stay behind under another status");
    assert_eq!(seen(store).await, before);
    store
        .record(AT, &entries, None)
        .await
        .expect("entries alone are recorded while PROVISIONED");
}

async fn gives_back_what_was_installed(store: &impl ProvisioningStore, pinned: bool) {
    let before = load(store).await.audit;
    let (installation, entries) = installation("Bed 4 \u{b7} Intensiv", pinned);
    let outcome = store.install(&installation, &entries, &seal_with_head).await;
    let given = outcome.expect("the sample is installed");
    let state = load(store).await;
    assert_eq!(state.audit.count, before.count + entries.len() as u64);
    assert_eq!(state.time_floor, Some(SAMPLE_TIME), "installing writes the time floor");
    let head = seal_with_head(state.audit).expect("the sample's receipt");
    let stored = installed(state);
    assert_eq!(stored, given, "what was given is what is stored");
    assert_eq!(
        stored.receipt, head,
        "the receipt speaks of the audit as the installation left it"
    );
    assert_eq!(&stored.settings, installation.settings());
    assert_eq!(&stored.certificates, installation.certificates());
    assert_eq!(stored.certificates.server().is_empty(), !pinned);
    assert_eq!(stored.completed_at, installation.completed_at());
    assert_eq!(stored.body_sha256, installation.body_sha256());
}

async fn installs_once(store: &impl ProvisioningStore) {
    install(store, "First", true).await;
    let before = seen(store).await;
    let (second, entries) = installation("Second", false);
    let refused = store.install(&second, &entries, &seal_with_head).await;
    refused.expect_err("a provisioned store is not provisioned again");
    assert_eq!(seen(store).await, before, "a refused installation changes nothing");
}

async fn installs_nothing_without_a_receipt(store: &impl ProvisioningStore) {
    let before = seen(store).await;
    let (sample, entries) = installation("ICU-MON-04", true);
    let broken = |_: AuditHead| {
        Err(ReceiptFault {
            cause: "the key does not sign".to_owned(),
        })
    };
    let fault = store.install(&sample, &entries, &broken).await;
    let fault = fault.expect_err("an installation without a receipt fails");
    assert!(fault.cause.contains("the key does not sign"), "{fault}");
    assert_eq!(seen(store).await, before, "a failed installation changes nothing");
    install(store, "ICU-MON-04", true).await;
}

async fn keeps_the_audit_when_it_erases(store: &impl ProvisioningStore) {
    install(store, "ICU-MON-04", true).await;
    let before = load(store).await.audit;
    let entries = [AuditEntry::new(AuditEvent::Deprovisioned)];
    erase(store, &entries).await;
    let state = load(store).await;
    assert!(matches!(state.persisted, Persisted::Deprovisioned), "{state:?}");
    assert_eq!(
        state.time_floor, None,
        "erasing returns the time floor to the release date"
    );
    assert_eq!(state.audit.count, before.count + 1, "the audit stays and grows");
    assert_ne!(state.audit.head, before.head);
}

async fn installs_again_after_an_erasure(store: &impl ProvisioningStore) {
    install(store, "First", true).await;
    erase(store, &[]).await;
    let second = install(store, "Second", false).await;
    let stored = installed(load(store).await);
    assert_eq!(stored, second);
    assert_eq!(stored.settings.device_label.as_str(), "Second");
    assert!(
        stored.certificates.server().is_empty(),
        "nothing of the first installation is left"
    );
}

async fn leaves_a_record_of_what_it_erased(store: &impl ProvisioningStore) {
    let unprovisioned = store.erase(AT, &[], false, &seal_destruction).await;
    unprovisioned.expect_err("where nothing is installed, nothing is destroyed");
    assert_eq!(load(store).await.destruction, None);
    install(store, "First", true).await;
    let entries = [AuditEntry::new(AuditEvent::Deprovisioned)];
    let record = erase(store, &entries).await;
    let state = load(store).await;
    let key = SecretText::new(CANARY_KEY.to_owned());
    assert_eq!(
        record,
        seal_destruction(state.audit, &key).expect("the sample's record"),
        "the record speaks of the audit as the destruction left it, with the key that was destroyed"
    );
    assert_eq!(state.destruction.as_ref(), Some(&record));
    assert_eq!(state.retirement, None);
    install(store, "Second", false).await;
    assert_eq!(
        load(store).await.destruction,
        Some(record.clone()),
        "an installation keeps it"
    );
    let second = erase(store, &entries).await;
    assert_ne!(second, record);
    assert_eq!(
        load(store).await.destruction,
        Some(second),
        "the next one takes its place"
    );
}

async fn erases_nothing_without_a_record(store: &impl ProvisioningStore) {
    install(store, "ICU-MON-04", true).await;
    let before = seen(store).await;
    let broken = |_: AuditHead, _: &SecretText| {
        Err(ReceiptFault {
            cause: "the key does not sign".to_owned(),
        })
    };
    let entries = [AuditEntry::new(AuditEvent::Deprovisioned)];
    let fault = store.erase(AT, &entries, true, &broken).await;
    let fault = fault.expect_err("an erasure without a record fails");
    assert!(fault.cause.contains("the key does not sign"), "{fault}");
    assert_eq!(seen(store).await, before, "a failed erasure changes nothing");
    erase(store, &entries).await;
}

async fn keeps_how_far_a_retirement_has_come(store: &impl ProvisioningStore) {
    install(store, "ICU-MON-04", false).await;
    let retired = store.erase(AT, &[], true, &seal_destruction).await;
    retired.expect("the sample is erased");
    assert_eq!(load(store).await.retirement, Some(Retirement::Begun));
    let entries = [AuditEntry::new(AuditEvent::TrustAnchorErased)];
    for stage in [Some(Retirement::Done), None, Some(Retirement::Begun)] {
        let before = load(store).await.audit.count;
        let written = store.set_retirement(AT, stage, &entries).await;
        written.expect("a retirement is written");
        let state = load(store).await;
        assert_eq!(state.retirement, stage);
        assert_eq!(state.audit.count, before + 1);
        assert!(matches!(state.persisted, Persisted::Deprovisioned), "{state:?}");
    }
}

async fn counts_wrong_pins(store: &impl ProvisioningStore) {
    let before = load(store).await.audit;
    for count in 1..=7 {
        assert_eq!(store.count_pin_miss().await.expect("a miss is counted"), count);
        assert_eq!(load(store).await.pin_misses, count);
    }
    assert_eq!(load(store).await.audit, before, "counting writes no record");
    install(store, "ICU-MON-04", false).await;
    erase(store, &[]).await;
    assert_eq!(
        load(store).await.pin_misses,
        7,
        "neither installing nor erasing forgets"
    );
    let before = load(store).await.audit.count;
    let entries = [AuditEntry::new(AuditEvent::AdministratorAuthorised)];
    let forgotten = store.forget_pin_misses(AT, &entries).await;
    forgotten.expect("misses are forgotten");
    let state = load(store).await;
    assert_eq!((state.pin_misses, state.audit.count), (0, before + 1));
    assert_eq!(store.count_pin_miss().await.expect("a miss is counted"), 1);
}

async fn keeps_the_time_floor(store: &impl ProvisioningStore) {
    let later = SAMPLE_TIME.plus(std::time::Duration::from_millis(1));
    store
        .set_time_floor(AT, Some(later), &[])
        .await
        .expect("a floor is written");
    assert_eq!(load(store).await.time_floor, Some(later));
    let before = load(store).await.audit.count;
    let entries = [AuditEntry::new(AuditEvent::TimeFloorReset)];
    store
        .set_time_floor(AT, None, &entries)
        .await
        .expect("the floor is reset");
    let state = load(store).await;
    assert_eq!(state.time_floor, None);
    assert_eq!(state.audit.count, before + 1);
    install(store, "ICU-MON-04", false).await;
    store
        .set_time_floor(AT, None, &entries)
        .await
        .expect("the floor is reset");
    let state = load(store).await;
    assert_eq!(state.time_floor, None);
    assert!(matches!(state.persisted, Persisted::Provisioned(_)), "{state:?}");
}

async fn keeps_everything_when_its_key_is_rotated(store: &impl ProvisioningStore) {
    let entries = [AuditEntry::new(AuditEvent::DatabaseKeyRotated)];
    store.rotate_key(AT, &entries).await.expect("the key is rotated");
    let state = load(store).await;
    assert!(matches!(state.persisted, Persisted::Unprovisioned), "{state:?}");
    let given = install(store, "ICU-MON-04", true).await;
    let before = load(store).await;
    for rotation in 1..=3 {
        store.rotate_key(AT, &entries).await.expect("the key is rotated again");
        let state = load(store).await;
        assert_eq!(state.audit.count, before.audit.count + rotation, "the audit grows");
        assert_eq!(state.time_floor, before.time_floor);
        assert_eq!(installed(state), given);
    }
    erase(store, &entries).await;
    assert_eq!(load(store).await.audit.count, before.audit.count + 4);
    install(store, "Again", false).await;
    let late = store.destroy_former_key().await.expect("no former key is left");
    assert!(!late, "each was destroyed with its change");
}

#[cfg(test)]
mod tests {
    use crate::fake_store::FakeStore;

    #[tokio::test]
    async fn it_is_kept_by_the_fake() {
        super::contract(async || FakeStore::default()).await;
    }
}
