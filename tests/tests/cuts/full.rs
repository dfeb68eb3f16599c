//! A disk without any room left but what the store keeps free.

use std::fs;
use std::path::Path;

use zmon_domain::audit::{AuditEntry, AuditEvent};
use zmon_domain::status::ProvisioningStatus as Status;
use zmon_domain::time::Timestamp;
use zmon_ports::ProvisioningStore as _;
use zmon_sqlcipher_certstore::{FileKeySource, SqlcipherStore};
use zmon_testkit::skip::skip;

use crate::act::{Act, World};
use crate::disk::Mount;
use crate::site::{Site, copy};
use crate::verdict::Snapshot;
use crate::{my_turn, say};

/// The whole disk, in KiB.
const DISK: u32 = 4 * 1024;
const RESERVE: u64 = 1024 * 1024;

fn reserved(state: &Path) -> u64 {
    // Blocks, not length: what is occupied.
    fs::metadata(state.join("store.db-reserve"))
        .map(|found| std::os::unix::fs::MetadataExt::blocks(&found) * 512)
        .unwrap_or_default()
}

/// What the store holds, looked at on a disk with room.
fn taken(site: &Site) -> Snapshot {
    let elsewhere = site.path("elsewhere");
    copy(&site.state(), &elsewhere);
    for not_its_own in ["filler", "store.db-reserve"] {
        let _ = fs::remove_file(elsewhere.join(not_its_own));
    }
    Snapshot::read(&elsewhere, site).unwrap()
}

#[test]
fn it_provisions_changes_its_key_and_is_deprovisioned_on_a_full_disk() {
    let _turn = my_turn();
    let world = World::new();
    let site = Site::new(world.station);
    let state = site.state();
    let Some(disk) = Mount::new(&state, DISK) else {
        return skip("provisioning on a full disk", "a file system cannot be mounted here");
    };
    let mut service = site.serve(None);
    service.ready().unwrap();
    assert_eq!(reserved(&state), RESERVE);
    disk.fill();
    let qr = site.pair().unwrap();
    disk.fill();
    // The largest payload that is accepted.
    let (body, goal) = world.payload(Act::ProvisionMuch, &qr);
    let answer = site.push(&qr, body).unwrap();
    assert_eq!(answer.status, 200, "{} {}", answer.json(), service.log());
    disk.fill();
    let left = reserved(&state);
    service.kill();
    taken(&site)
        .judge(&world.expected(Act::FirstStart, Some(goal), true))
        .unwrap();
    let mut service = site.serve(None);
    assert_eq!(service.ready().unwrap(), "PROVISIONED", "{}", service.log());
    disk.fill();
    let rotated = site.rotate_key().unwrap();
    assert_eq!(rotated.status, 200, "{} {}", rotated.json(), service.log());
    disk.fill();
    let erased = site.deprovision().unwrap();
    assert_eq!(erased.status, 200, "{} {}", erased.json(), service.log());
    assert_eq!(
        site.status_and_warning().unwrap(),
        ("DEPROVISIONED".into(), String::new())
    );
    service.kill();
    assert_eq!(taken(&site).status(), Status::Deprovisioned);
    say(&format!(
        "full disk: a provisioning with the largest payload took {} KiB of the room kept free",
        (RESERVE - left) / 1024
    ));
}

/// The control: the room is what does it.
#[test]
fn it_opens_no_pairing_on_a_full_disk_without_the_room_kept_free() {
    let world = World::new();
    let site = Site::new(world.station);
    let state = site.state();
    let Some(disk) = Mount::new(&state, DISK) else {
        return skip("a full disk without reserve", "a file system cannot be mounted here");
    };
    let mut service = site.serve(None);
    service.ready().unwrap();
    fs::remove_file(state.join("store.db-reserve")).unwrap();
    disk.fill();
    // What the log already has on the disk may do for one or two.
    let refused = (0..100).find_map(|_| {
        let opened = site.open_pairing().unwrap();
        (opened.status != 201).then_some(opened)
    });
    let problem = refused.expect("a full disk without any room").json();
    assert_eq!(problem["code"], "StorageError", "{problem}");
    assert_eq!(site.status_and_warning().unwrap().0, "UNPROVISIONED");
    disk.clear();
    assert_eq!(site.open_pairing().unwrap().status, 201, "it works once there is room");
    service.stop();
    assert!(service.log().contains("full"), "{}", service.log());
    assert_eq!(reserved(&state), RESERVE, "and is kept free again");
}

#[test]
fn it_gives_strangers_none_of_the_room_and_keeps_counting_them() {
    let world = World::new();
    let site = Site::new(world.station);
    let state = site.state();
    let Some(disk) = Mount::new(&state, DISK) else {
        return skip("strangers on a full disk", "a file system cannot be mounted here");
    };
    let mut service = site.serve(None);
    service.ready().unwrap();
    let mut pushed = 0;
    // The log has room of its own for some time; then refused requests can no longer be recorded.
    while !service.log_so_far().contains("could not be recorded yet") {
        assert!(pushed < 60, "{}", service.log());
        disk.fill();
        let qr = site.pair().unwrap();
        assert_eq!(site.push(&qr, b"no envelope".to_vec()).unwrap().status, 400);
        pushed += 1;
        disk.fill();
        assert_eq!(site.cancel().unwrap().status, 200, "people act as ever");
    }
    disk.clear();
    site.pair().unwrap();
    assert_eq!(site.cancel().unwrap().status, 200);
    service.stop();
    let snapshot = taken(&site);
    let counted = snapshot.details(AuditEvent::RequestsRefused);
    let numbers = counted.iter().map(|detail| detail.split(' ').next().unwrap());
    let total: u32 = numbers.map(|number| number.parse::<u32>().unwrap()).sum();
    assert_eq!(total, pushed, "none is forgotten: {counted:?}");
}

#[tokio::test]
async fn it_lets_only_people_take_the_room() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let Some(disk) = Mount::new(&state, DISK) else {
        return skip("who takes the room kept free", "a file system cannot be mounted here");
    };
    let keys = FileKeySource::new(state.join("store.key"));
    let store = SqlcipherStore::open(&state.join("store.db"), &keys, Timestamp::default())
        .await
        .unwrap();
    let entry = |event| [AuditEntry::new(event).with_detail("x".repeat(10_000))];
    for event in [
        AuditEvent::RequestsRefused,
        AuditEvent::CredentialsRead,
        AuditEvent::ConfigurationRead,
        AuditEvent::ServiceStarted,
    ] {
        disk.fill();
        let mut fault = None;
        for _ in 0..100 {
            fault = store.record(Timestamp::default(), &entry(event), None).await.err();
            if fault.is_some() {
                break;
            }
        }
        assert!(fault.is_some_and(|fault| fault.cause.contains("full")), "{event:?}");
        // Reading opens the database anew.
        store.load().await.unwrap();
        disk.fill();
        assert!(reserved(&state) > RESERVE * 3 / 4, "{event:?}: {}", reserved(&state));
    }
    let act = entry(AuditEvent::ProvisioningModeEntered);
    store.record(Timestamp::default(), &act, None).await.unwrap();
    disk.clear();
    store.record(Timestamp::default(), &act, None).await.unwrap();
    assert_eq!(reserved(&state), RESERVE);
    store.close().await;
}
