//! The contracts of `ConfigurationStore` and `AuditStore`, for the fake and for real adapters alike.

use zmon_domain::audit::{AUDIT_FORMAT, AuditEntry, AuditEvent, AuditHead, AuditVerdict, AuditWalk};
use zmon_domain::error::ErrorCode;
use zmon_domain::pairing::SessionId;
use zmon_domain::settings::SettingKey;
use zmon_domain::time::Timestamp;
use zmon_ports::{AuditStore, ConfigurationStore, ProvisioningStore};

use crate::fake_store::sha256;
use crate::installation::{CA_CERTIFICATE, CLIENT_CERTIFICATE, SERVER_CERTIFICATE, installation};
use crate::payload::CANARY_KEY;
use crate::store::{seal_destruction, seal_with_head};

const AT: Timestamp = Timestamp::from_millis(1_700_000_000_123);

/// Holds a store to the contracts of its reading ports. `make` gives a newly created store each time.
///
/// # Panics
/// Where the store breaks a contract.
pub async fn contract<S: ProvisioningStore + ConfigurationStore + AuditStore>(make: impl AsyncFn() -> S) {
    gives_nothing_where_nothing_is_installed(&make().await).await;
    gives_what_was_installed_together(&make().await, true).await;
    gives_what_was_installed_together(&make().await, false).await;
    gives_the_next_installation_and_nothing_of_the_last(&make().await).await;
    leaves_no_record_of_reading(&make().await).await;
    gives_records_in_pages(&make().await).await;
    gives_records_that_make_a_chain(&make().await).await;
}

async fn install(store: &impl ProvisioningStore, label: &str, pinned: bool) {
    let (sample, entries) = installation(label, pinned);
    let outcome = store.install(&sample, &entries, &seal_with_head).await;
    outcome.expect("the sample is installed");
}

async fn gives_nothing_where_nothing_is_installed<S: ProvisioningStore + ConfigurationStore>(store: &S) {
    let nothing = async || {
        let configuration = store.active_configuration().await.expect("the store is read");
        let credentials = store.active_credentials().await.expect("the store is read");
        assert!(configuration.is_none() && credentials.is_none());
    };
    nothing().await;
    install(store, "Bed 4", true).await;
    store
        .erase(AT, &[], false, &seal_destruction)
        .await
        .expect("the sample is erased");
    nothing().await;
}

async fn gives_what_was_installed_together<S: ProvisioningStore + ConfigurationStore>(store: &S, pinned: bool) {
    let (sample, entries) = installation("Bed 4 \u{b7} Intensiv", pinned);
    let outcome = store.install(&sample, &entries, &seal_with_head).await;
    let installed = outcome.expect("the sample is installed");
    let read = store.active_configuration().await.expect("the store is read");
    let configuration = read.expect("something is installed");
    assert_eq!(configuration.settings.values(), sample.settings());
    for key in SettingKey::ALL {
        assert_eq!(configuration.settings.change(key), &sample.change(), "{key:?}");
    }
    let by = &sample.change().by;
    assert!(by.contains(&sample.session().to_string()), "{by} names the session");
    assert_eq!(configuration.certificates, installed.certificates);
    assert_eq!(configuration.completed_at, installed.completed_at);
    assert_eq!(configuration.texts.client, CLIENT_CERTIFICATE);
    assert_eq!(configuration.texts.ca, CA_CERTIFICATE);
    assert_eq!(
        configuration.texts.server.as_deref(),
        pinned.then_some(SERVER_CERTIFICATE)
    );
    assert!(!format!("{configuration:?}").contains("PRIVATE KEY"));

    let read = store.active_credentials().await.expect("the store is read");
    let active = read.expect("something is installed");
    assert_eq!(active.completed_at, installed.completed_at);
    assert_eq!(active.credentials.client_private_key.expose(), CANARY_KEY);
    assert_eq!(active.credentials.client_certificate, CLIENT_CERTIFICATE);
    assert_eq!(active.credentials.ca_certificate, CA_CERTIFICATE);
    assert_eq!(active.credentials.server_certificate, configuration.texts.server);
}

async fn gives_the_next_installation_and_nothing_of_the_last<S: ProvisioningStore + ConfigurationStore>(store: &S) {
    install(store, "First", true).await;
    store
        .erase(AT, &[], false, &seal_destruction)
        .await
        .expect("the sample is erased");
    install(store, "Second", false).await;
    let read = store.active_configuration().await.expect("the store is read");
    let configuration = read.expect("something is installed");
    assert_eq!(configuration.settings.values().text(SettingKey::DeviceLabel), "Second");
    assert_eq!(configuration.texts.server, None);
}

async fn leaves_no_record_of_reading<S: ProvisioningStore + ConfigurationStore + AuditStore>(store: &S) {
    install(store, "Bed 4", true).await;
    let before = store.audit_head().await.expect("the audit is read");
    store.active_configuration().await.expect("the store is read");
    store.active_credentials().await.expect("the store is read");
    store.verify_audit().await.expect("the audit is read");
    assert_eq!(store.audit_head().await.expect("the audit is read"), before);
    assert_eq!(store.load().await.expect("the store is read").audit, before);
}

async fn gives_records_in_pages<S: ProvisioningStore + AuditStore>(store: &S) {
    let entries = vec![AuditEntry::new(AuditEvent::ServiceStarted); 9];
    store.record(AT, &entries, None).await.expect("entries are recorded");
    let read = async |from, limit| store.audit_records(from, limit).await.expect("the audit is read");
    let all = read(1, 100).await;
    assert_eq!(all.len(), 10);
    assert_eq!(all[0].event, AuditEvent::StoreCreated.as_str());
    assert_eq!(read(0, 100).await, all, "the first is number 1");
    assert_eq!(read(4, 3).await, all[3..6]);
    assert_eq!(read(10, 3).await, all[9..]);
    assert_eq!(read(11, 3).await, []);
    assert_eq!(read(u64::MAX, 3).await, []);
    assert_eq!(read(1, 0).await, []);
}

async fn gives_records_that_make_a_chain<S: ProvisioningStore + AuditStore>(store: &S) {
    let whole = AuditEntry::new(AuditEvent::ProvisioningFailed)
        .in_session(SessionId::from_random([255; 8]))
        .with_code(ErrorCode::SignatureInvalid)
        .with_detail("a detail with 'quotes', \u{fc}ml\u{e4}uts and\nlines");
    let bare = AuditEntry::new(AuditEvent::PairingCancelled);
    let entries = [whole, bare];
    let head = store.record(AT, &entries, None).await.expect("entries are recorded");
    let records = store.audit_records(1, 100).await.expect("the audit is read");
    let mut walk = AuditWalk::new(sha256);
    let mut before = AuditHead::EMPTY;
    for record in &records {
        assert_eq!(
            walk.step(record, head),
            Ok(record.as_head()),
            "{AUDIT_FORMAT}: {record:?}"
        );
        before = if record.sequence == 1 { record.as_head() } else { before };
    }
    assert_eq!(walk.end(head), Ok(head));
    assert_eq!(store.audit_head().await.expect("the audit is read"), head);
    let verdict = store.verify_audit().await.expect("the audit is read");
    assert_eq!(verdict, AuditVerdict::Intact(head));
    // What the port appends is what the domain says that it appends.
    for (record, entry) in records[1..].iter().zip(&entries) {
        assert_eq!(
            record,
            &zmon_domain::audit::AuditRecord::following(before, AT, entry, sha256)
        );
        before = record.as_head();
    }
}

#[cfg(test)]
mod tests {
    use crate::fake_store::FakeStore;

    #[tokio::test]
    async fn it_is_kept_by_the_fake() {
        super::contract(async || FakeStore::default()).await;
    }
}
