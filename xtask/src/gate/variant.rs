//! What a release is built from has no simulation in it, nor anything else that is for development alone.

use std::process::Command;

use anyhow::{Result, bail, ensure};

use crate::process;
use crate::workspace::Workspace;

/// The device's program.
const PROGRAM: &str = "zmon-app";
/// The feature that makes a device able to simulate.
const SIMULATION: &str = "simulation";
/// The features that no release has, in any crate: the other one describes interfaces, for documents.
const NEVER_RELEASED: [&str; 2] = [SIMULATION, "openapi"];

/// Compiles the device as a release does, and makes sure that its features, and those of all crates in it, name nothing that is
/// for development alone.
pub(super) fn check(workspace: &Workspace) -> Result<String> {
    let tree = features(workspace, &[])?;
    let released = for_development(&tree);
    if !released.is_empty() {
        bail!(
            "the release of {PROGRAM} would hold what is for development alone ({}): no default feature may name one of {}",
            released.join(", "),
            NEVER_RELEASED.join(", ")
        );
    }
    // The look itself: it finds the feature where it is.
    let tree = features(workspace, &["--features", SIMULATION])?;
    let asked = for_development(&tree);
    ensure!(
        asked.iter().any(|package| package.starts_with(PROGRAM)),
        "{PROGRAM} has no feature `{SIMULATION}`, or cargo tells of features in another way; mend this check"
    );
    process::run(
        workspace
            .plain_cargo("clippy")
            .args(["-p", PROGRAM, "--", "-D", "warnings"]),
    )?;
    Ok("without simulation".to_owned())
}

/// One line `PACKAGE|FEATURE,FEATURE` for each crate in the device.
fn features(workspace: &Workspace, chosen: &[&str]) -> Result<String> {
    let mut command: Command = workspace.plain_cargo("tree");
    command.args(["-p", PROGRAM, "--edges", "normal,build", "--prefix", "none"]);
    command.args(["--format", "{p}|{f}"]).args(chosen);
    process::output(&mut command)
}

/// The packages whose features name what is for development alone.
fn for_development(tree: &str) -> Vec<&str> {
    tree.lines()
        .filter_map(|line| line.split_once('|'))
        // A crate that stands there again is marked behind its features.
        .filter(|(_, features)| {
            features
                .split([',', ' '])
                .any(|feature| NEVER_RELEASED.contains(&feature))
        })
        .map(|(package, _)| package)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_finds_what_is_for_development_in_any_crate() {
        let tree = "zmon-app v0.1.0 (/there)|\nserde v1.0.0|default,std\nzmon-ports v0.1.0 (/there)|simulation (*)\n\
                    zmon-service v0.1.0 (/there)|default,simulation\nother v1.0.0|simulations";
        assert_eq!(
            for_development(tree),
            ["zmon-ports v0.1.0 (/there)", "zmon-service v0.1.0 (/there)"]
        );
        assert!(for_development("zmon-app v0.1.0 (/simulation)|default").is_empty());
        assert_eq!(for_development("zmon-local-api v0.1.0|openapi").len(), 1);
    }
}
