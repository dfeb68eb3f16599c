use std::cell::RefCell;

use zmon_domain::machine::Persisted;
use zmon_ports::ProvisioningStore as _;
use zmon_testkit::installation::{CA_CERTIFICATE, CLIENT_CERTIFICATE, SERVER_CERTIFICATE, installation};
use zmon_testkit::payload::CANARY_KEY;
use zmon_testkit::store::{contract, installed, seal_with_head};

use crate::home::{Home, erase, install};

#[tokio::test]
async fn it_keeps_the_contract_of_its_port() {
    let homes = RefCell::new(Vec::new());
    contract(async || {
        let home = Home::new();
        let store = home.open().await;
        homes.borrow_mut().push(home);
        store
    })
    .await;
}

#[tokio::test]
async fn it_keeps_the_contracts_of_its_reading_ports() {
    let homes = RefCell::new(Vec::new());
    zmon_testkit::reading::contract(async || {
        let home = Home::new();
        let store = home.open().await;
        homes.borrow_mut().push(home);
        store
    })
    .await;
}

#[tokio::test]
async fn it_gives_everything_back_after_a_restart() {
    let home = Home::new();
    let store = home.open().await;
    let given = install(&store).await;
    let before = store.load().await.unwrap();
    store.close().await;
    let store = home.open().await;
    let after = store.load().await.unwrap();
    assert_eq!((after.audit, after.time_floor), (before.audit, before.time_floor));
    assert_eq!(installed(after), given);
    erase(&store).await;
    store.close().await;
    let after = home.open().await.load().await.unwrap();
    assert!(matches!(after.persisted, Persisted::Deprovisioned));
}

#[tokio::test]
async fn it_gives_credentials_byte_for_byte_and_only_while_provisioned() {
    let home = Home::new();
    let store = home.open().await;
    assert!(store.credentials().await.unwrap().is_none());
    install(&store).await;
    let credentials = store.credentials().await.unwrap().unwrap();
    assert_eq!(credentials.client_certificate, CLIENT_CERTIFICATE);
    assert_eq!(credentials.client_private_key.expose(), CANARY_KEY);
    assert_eq!(credentials.ca_certificate, CA_CERTIFICATE);
    assert_eq!(credentials.server_certificate.as_deref(), Some(SERVER_CERTIFICATE));
    erase(&store).await;
    assert!(store.credentials().await.unwrap().is_none());
    let (unpinned, entries) = installation("Unpinned", false);
    store.install(&unpinned, &entries, &seal_with_head).await.unwrap();
    assert_eq!(store.credentials().await.unwrap().unwrap().server_certificate, None);
}

#[tokio::test]
async fn it_takes_calls_from_many_tasks_at_once() {
    let home = Home::new();
    let store = std::sync::Arc::new(home.open().await);
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let store = std::sync::Arc::clone(&store);
            tokio::spawn(async move {
                let (sample, entries) = installation("Raced", true);
                store.install(&sample, &entries, &seal_with_head).await.is_ok()
            })
        })
        .collect();
    let mut winners = 0;
    for task in tasks {
        winners += usize::from(task.await.unwrap());
    }
    assert_eq!(winners, 1);
}

#[tokio::test]
async fn it_fails_clearly_after_it_was_closed() {
    let home = Home::new();
    let store = home.open().await;
    store.close().await;
    store.close().await;
    let fault = store.load().await.unwrap_err();
    assert!(fault.cause.contains("the store was closed"), "{fault}");
}
