//! A hundred thousand audit records go through the programs in a stream: memory stays flat.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails as the test itself")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use zmon_domain::audit::{AuditEntry, AuditEvent};
use zmon_domain::time::Timestamp;
use zmon_ports::ProvisioningStore;
use zmon_tests::programs::{Programs, run, said};

const RECORDS: usize = 100_000;
/// More than chance needs, far less than the records would: they are about 30 MB as text.
const ROOM_KIB: u64 = 6 * 1024;

/// The most memory that the process ever had.
fn peak_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

async fn fill(programs: &Programs) {
    let store = programs.store().await;
    let entry = AuditEntry::new(AuditEvent::ServiceStarted).with_detail("x".repeat(60));
    let entries = vec![entry; 5_000];
    for _ in 0..RECORDS / entries.len() {
        store
            .record(Timestamp::from_millis(1_793_491_200_000), &entries, None)
            .await
            .unwrap();
    }
    store.close().await;
}

/// Exports; gives the growth of the command's peak between the first thousand records and the last.
fn export(programs: &Programs) -> u64 {
    let mut command = programs.device();
    let mut child = command
        .args(["audit", "export"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut early, mut late, mut lines) = (0, 0, 0);
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        line.unwrap();
        lines += 1;
        // It still has more to write than the pipe holds.
        if lines == 1_000 {
            early = peak_kib(child.id());
        } else if lines == RECORDS - 1_000 {
            late = peak_kib(child.id());
        }
    }
    assert!(child.wait().unwrap().success());
    assert!(lines > RECORDS, "{lines}");
    late - early
}

#[tokio::test]
async fn a_hundred_thousand_records_take_no_more_memory_than_a_thousand() {
    let programs = Programs::commissioned();
    drop(programs.serve());
    fill(&programs).await;
    let on_the_store = export(&programs);
    let service = programs.serve();
    // Once around, so that what only the first request needs is there.
    run(programs.device().args(["audit", "list", "--limit", "1"]));
    let before = peak_kib(service.0.id());
    let through_the_socket = export(&programs);
    let text = said(programs.device().args(["audit", "verify"]));
    assert!(text.starts_with("The audit is intact: 1000"), "{text}");
    let in_the_service = peak_kib(service.0.id()) - before;
    let growth = [on_the_store, through_the_socket, in_the_service];
    assert!(growth.iter().all(|kib| *kib < ROOM_KIB), "grown by {growth:?} KiB");
}
