//! One monitor after the other.

use std::path::Path;
use std::process::Output;

use crate::ward::Fleet;

/// The most that one more monitor may cost the simulator, in KiB of peak memory.
const KIB_PER_MONITOR: u64 = 1024;

/// Provisions one monitor after the other; a push whose answer was lost is pushed again.
fn provision_one_by_one(fleet: &Fleet) {
    for (device, fault) in &fleet.monitors {
        let picture = fleet.folder().join(format!("{device}.png"));
        let body = fleet.folder.path().join(format!("{device}.jose"));
        let output = provision(fleet, &picture, &body);
        let said = format!("{device}: {output:?}");
        match fault.as_deref() {
            None => assert!(output.status.success(), "{said}"),
            Some("drop-answer") => {
                assert!(said.contains("Push the same body again"), "{said}");
                let again = fleet
                    .station()
                    .arg("push")
                    .arg(&picture)
                    .arg("--body")
                    .arg(&body)
                    .output()
                    .unwrap();
                assert!(again.status.success(), "{again:?}");
            }
            Some("full-disk") => assert!(said.contains("StorageError"), "{said}"),
            Some("wrong-pin") => assert!(said.contains("Nothing was sent"), "{said}"),
            Some(_) => assert!(said.contains("SignatureInvalid"), "{said}"),
        }
    }
}

fn provision(fleet: &Fleet, picture: &Path, body: &Path) -> Output {
    let mut command = fleet.station();
    command.args(["provision", "--server-url", "https://central.ward.example"]);
    command.args(["--label", "Ward", "--unit", "METRIC", "--language", "EN", "--save-body"]);
    command.arg(body).arg(picture).output().unwrap()
}

#[test]
fn two_hundred_monitors_are_provisioned_one_by_one_and_the_faulty_ones_fail_as_they_should() {
    let peak_of = |count| {
        let fleet = Fleet::open(count);
        provision_one_by_one(&fleet);
        fleet.check();
        fleet.peak()
    };
    let (few, many) = (peak_of(20), peak_of(200));
    println!("peak memory of the simulator: {few} KiB with 20 monitors, {many} KiB with 200");
    assert!(
        many.saturating_sub(few) < 180 * KIB_PER_MONITOR,
        "{few} KiB, {many} KiB"
    );
}
