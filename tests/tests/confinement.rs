//! The service's unit confines it.

use std::path::Path;
use std::process::Command;

use zmon_testkit::skip::skip;

/// Ten times the exposure level of `systemd-analyze security` that is allowed: 1.5.
const THRESHOLD: &str = "--threshold=15";

/// Whether `systemd-analyze` finds the exposure of this unit small enough; none where it is not there or too old.
fn is_confined(unit: &Path) -> Option<bool> {
    let said = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--no-pager", THRESHOLD])
        .arg(unit)
        .output()
        .ok()?;
    let words = String::from_utf8_lossy(&said.stdout);
    words
        .contains("Overall exposure level for zmon-provision.service")
        .then(|| said.status.success())
}

#[test]
fn it_leaves_an_exposure_of_1_5_at_most() {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/zmon-provision.service");
    let Some(confined) = is_confined(&unit) else {
        return skip(
            "exposure of the service's unit",
            "systemd-analyze is not installed or too old",
        );
    };
    assert!(
        confined,
        "see `systemd-analyze security --offline=true {}`",
        unit.display()
    );

    // The control: the same unit with one protection less.
    let folder = tempfile::tempdir().unwrap();
    let weaker = folder.path().join("zmon-provision.service");
    let text = std::fs::read_to_string(&unit).unwrap();
    assert!(text.contains("NoNewPrivileges=yes\n"));
    std::fs::write(&weaker, text.replace("NoNewPrivileges=yes\n", "")).unwrap();
    assert_eq!(is_confined(&weaker), Some(false));
}
