//! All of them by one command, which tries again where that helps, is stopped, is killed, and goes on.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use crate::ward::{Fleet, peak_of};

/// The most that one more row of the list may cost the station, in KiB of peak memory.
const KIB_PER_ROW: u64 = 32;

/// What a program with TLS and a picture in its memory has at the least, in KiB.
const LEAST: u64 = 4096;

fn batch(fleet: &Fleet, parallel: &str) -> Command {
    let mut command = fleet.station();
    command.arg("batch").arg(fleet.folder().join("fleet.csv"));
    command.arg("--out").arg(fleet.folder.path().join("out"));
    command.args(["--server-url", "https://central.ward.example", "--unit", "METRIC"]);
    command.args(["--language", "EN", "--parallel", parallel]);
    command
}

/// Runs it to its end; gives what it printed and its peak memory in KiB.
fn measured(command: &mut Command) -> (ExitStatus, String, u64) {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let reader = thread::spawn(move || {
        let mut text = String::new();
        stdout.read_to_string(&mut text).unwrap();
        text
    });
    let mut peak = 0;
    let status = loop {
        // Gone with the process; it never goes down before.
        peak = peak_of(child.id()).unwrap_or(peak);
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        thread::sleep(Duration::from_millis(2));
    };
    (status, reader.join().unwrap(), peak)
}

#[test]
fn two_hundred_monitors_are_provisioned_by_one_command_in_flat_memory() {
    let peak_with = |count| {
        let fleet = Fleet::open(count);
        let (status, said, peak) = measured(batch(&fleet, "16").arg("--json"));
        // Those whose pin, payload or disk is wrong are told; a lost answer is asked for again.
        let failed = fleet
            .monitors
            .iter()
            .filter(|(_, fault)| fault.as_deref().is_some_and(|fault| fault != "drop-answer"));
        let failed = failed.count();
        assert_eq!(status.code(), Some(9), "{said}");
        let said: serde_json::Value = serde_json::from_str(&said).unwrap();
        assert_eq!(said["summary"]["failed"], failed, "{said}");
        assert_eq!(said["summary"]["provisioned"], count - failed, "{said}");
        fleet.check();
        peak
    };
    let (few, many) = (peak_with(20), peak_with(200));
    // The control: what was measured is a running program that has read a picture.
    assert!(few > LEAST, "{few} KiB");
    println!("peak memory of the station: {few} KiB with 20 monitors, {many} KiB with 200");
    assert!(many.saturating_sub(few) < 180 * KIB_PER_ROW, "{few} KiB, {many} KiB");
}

/// Starts a run, waits until it has told of so many devices, sends it a signal, and gives how it ended.
fn cut_short(fleet: &Fleet, after: usize, signal: &str) -> ExitStatus {
    let mut child = batch(fleet, "4")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    for _ in 0..after {
        let line = lines.next().expect("the run ended before").unwrap();
        assert!(line.starts_with("Line "), "{line}");
    }
    let id = child.id().to_string();
    assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    // Read on, so that it never waits for its reader.
    lines.for_each(drop);
    child.wait().unwrap()
}

#[test]
fn a_run_that_is_killed_and_one_that_is_interrupted_lose_no_monitor() {
    const MONITORS: usize = 32;
    // Slow enough that pushes are under way whenever a signal comes.
    let fleet = Fleet::with(MONITORS, &["--fault", "slow:150"]);
    assert_eq!(cut_short(&fleet, 6, "-KILL").code(), None);
    assert_eq!(cut_short(&fleet, 12, "-INT").code(), Some(9));
    let report = || fs::read_to_string(fleet.folder.path().join("out/report.csv")).unwrap();
    assert!(report().contains(",Interrupted,"), "{}", report());

    let output = batch(&fleet, "4").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    // Every monitor was configured, and none twice or in vain: a session ends once.
    let outcomes = fleet.outcomes(MONITORS);
    assert!(
        outcomes.iter().all(|(_, status)| status == "PROVISIONED"),
        "{outcomes:?}"
    );
    assert_eq!(report().matches(",receipts/").count(), MONITORS, "{}", report());
    for (device, _) in &fleet.monitors {
        let receipt = fleet.folder.path().join(format!("out/receipts/{device}.jws"));
        let verified = fleet
            .station()
            .arg("verify-receipt")
            .arg(receipt)
            .args(["--device-id", device])
            .output()
            .unwrap();
        assert!(verified.status.success(), "{verified:?}");
    }
}

#[test]
fn a_second_run_in_the_same_folder_is_refused() {
    let fleet = Fleet::with(2, &["--fault", "slow:3000"]);
    let mut first = batch(&fleet, "2")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let bodies = fleet.folder.path().join("out/bodies");
    while !bodies.is_dir() || bodies.read_dir().unwrap().count() == 0 {
        thread::sleep(Duration::from_millis(10));
        assert!(first.try_wait().unwrap().is_none(), "it ended before");
    }
    let second = batch(&fleet, "2").output().unwrap();
    let said = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(3), "{said}");
    assert!(said.contains("another batch runs in this folder"), "{said}");
    assert!(first.wait().unwrap().success());
}
