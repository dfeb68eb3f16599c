//! What cargo knows about this workspace.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use cargo_metadata::{Metadata, MetadataCommand, TargetKind};

use crate::process;

/// The one feature selection of builds and tests; a second one would compile a second variant of the crates.
const FEATURES: [&str; 2] = ["--features", "zmon-app/simulation,zmon-service/simulation"];

/// The workspace as declared by its manifests.
pub(crate) struct Workspace {
    metadata: Metadata,
}

impl Workspace {
    /// Reads the manifests from the current directory upwards.
    pub(crate) fn read() -> Result<Self> {
        let metadata = MetadataCommand::new()
            .no_deps()
            .exec()
            .context("cargo could not read the workspace's manifests")?;
        Ok(Self { metadata })
    }

    /// Every package that a program for `target` may be built from, as the lock file has them.
    pub(crate) fn resolved(&self, target: &str) -> Result<Metadata> {
        MetadataCommand::new()
            .current_dir(self.root())
            .other_options(["--locked".to_owned(), format!("--filter-platform={target}")])
            .exec()
            .context("cargo could not read the workspace's manifests")
    }

    /// The repository's root.
    pub(crate) fn root(&self) -> &Path {
        self.metadata.workspace_root.as_std_path()
    }

    /// Where cargo builds.
    pub(crate) fn target(&self) -> &Path {
        self.metadata.target_directory.as_std_path()
    }

    /// Every package of the workspace.
    pub(crate) fn packages(&self) -> &[cargo_metadata::Package] {
        &self.metadata.packages
    }

    /// The names of a package's integration test binaries.
    pub(crate) fn tests_of(&self, package: &str) -> Vec<String> {
        self.packages()
            .iter()
            .filter(|found| found.name == package)
            .flat_map(|found| &found.targets)
            .filter(|target| target.kind.contains(&TargetKind::Test))
            .map(|target| target.name.clone())
            .collect()
    }

    /// `cargo SUBCOMMAND --workspace` with the one feature selection.
    pub(crate) fn cargo(&self, subcommand: &str) -> Command {
        let mut command = self.plain_cargo(subcommand);
        command.arg("--workspace").args(FEATURES);
        command
    }

    /// `cargo SUBCOMMAND` at the root, without noise where nobody watches.
    pub(crate) fn plain_cargo(&self, subcommand: &str) -> Command {
        let mut command = Command::new("cargo");
        command.current_dir(self.root()).arg(subcommand);
        process::forget_configuration(&mut command);
        if !process::somebody_watches() {
            command.env("CARGO_TERM_QUIET", "true");
        }
        command
    }

    /// Builds every binary, and says where they are.
    pub(crate) fn build_binaries(&self) -> Result<PathBuf> {
        process::run(self.cargo("build").arg("--bins"))?;
        Ok(self.metadata.target_directory.as_std_path().join("debug"))
    }
}
