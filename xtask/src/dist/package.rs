//! The Debian package: the program, its unit, its documents, and what installing and removing do.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::{MATERIALS, PROGRAM};
use crate::process;
use crate::workspace::Workspace;

/// Scripts that dpkg runs.
const SCRIPTS: [&str; 3] = ["postinst", "prerm", "postrm"];
/// What is taken from the repository: from where, and to where.
const FILES: [(&str, &str); 8] = [
    (
        "deploy/zmon-provision.service",
        "usr/lib/systemd/system/zmon-provision.service",
    ),
    // Not enabled: a monitor may have no display of its own.
    ("deploy/zmon-kiosk.service", "usr/lib/systemd/system/zmon-kiosk.service"),
    ("docs/kiosk.md", "usr/share/doc/zmon-provision/kiosk.md"),
    ("deploy/debian/copyright", "usr/share/doc/zmon-provision/copyright"),
    ("docs/deployment.md", "usr/share/doc/zmon-provision/deployment.md"),
    ("docs/configuration.md", "usr/share/doc/zmon-provision/configuration.md"),
    (
        "deploy/config.toml",
        "usr/share/doc/zmon-provision/examples/config.toml",
    ),
    (
        "deploy/nftables.conf",
        "usr/share/doc/zmon-provision/examples/nftables.conf",
    ),
];

/// A package of one program.
pub(crate) struct Package<'a> {
    /// Debian's name of the architecture.
    pub(crate) architecture: &'a str,
    pub(crate) version: &'a str,
    pub(crate) program: &'a Path,
    /// Its bill of materials, where there is one.
    pub(crate) materials: Option<&'a Path>,
    /// Seconds since 1970: every file's time, so that the same source gives the same package.
    pub(crate) seconds: &'a str,
}

impl Package<'_> {
    /// Writes it into `folder`, and says where. [`crate::manual::write`] has to come before.
    pub(crate) fn write(&self, workspace: &Workspace, folder: &Path) -> Result<PathBuf> {
        let staging = tempfile::tempdir_in(folder).context("cannot make a folder")?;
        let root = staging.path().join("root");
        add(self.program, &root.join("usr/bin").join(PROGRAM), 0o755)?;
        for (from, to) in FILES {
            add(&workspace.root().join(from), &root.join(to), 0o644)?;
        }
        if let Some(materials) = self.materials {
            add(
                materials,
                &root.join("usr/share/doc/zmon-provision").join(MATERIALS),
                0o644,
            )?;
        }
        Self::add_manual(workspace, &root)?;
        let installed = size(&root)?.div_ceil(1024).to_string();
        let source = workspace.root().join("deploy/debian");
        let control = fs::read_to_string(source.join("control"))?
            .replace("@VERSION@", self.version)
            .replace("@ARCHITECTURE@", self.architecture)
            .replace("@INSTALLED_SIZE@", &installed);
        for script in SCRIPTS {
            add(&source.join(script), &root.join("DEBIAN").join(script), 0o755)?;
        }
        fs::write(root.join("DEBIAN/control"), control)?;
        let package = folder.join(format!("{PROGRAM}_{}_{}.deb", self.version, self.architecture));
        process::run_quietly(
            Command::new("dpkg-deb")
                .env("SOURCE_DATE_EPOCH", self.seconds)
                .args(["--root-owner-group", "-Zxz", "--build"])
                .args([&root, &package]),
        )
        .context("cannot make a package; dpkg-deb is part of Debian")?;
        Ok(package)
    }

    /// Man pages and completions of the program, as [`crate::manual::write`] left them.
    fn add_manual(workspace: &Workspace, root: &Path) -> Result<()> {
        for page in fs::read_dir(workspace.target().join("man"))? {
            let page = page?.path();
            let name = page.file_name().context("a page is a file")?;
            if name.as_encoded_bytes().starts_with(PROGRAM.as_bytes()) {
                add(&page, &root.join("usr/share/man/man1").join(name), 0o644)?;
            }
        }
        for (from, to) in COMPLETIONS {
            add(
                &workspace.target().join("completions").join(from),
                &root.join(to),
                0o644,
            )?;
        }
        Ok(())
    }
}

/// Where shells look for the program's completions, by what `cargo xtask man` calls the files.
const COMPLETIONS: [(&str, &str); 3] = [
    (
        "zmon-provision.bash",
        "usr/share/bash-completion/completions/zmon-provision",
    ),
    ("_zmon-provision", "usr/share/zsh/vendor-completions/_zmon-provision"),
    (
        "zmon-provision.fish",
        "usr/share/fish/vendor_completions.d/zmon-provision.fish",
    ),
];

fn add(from: &Path, to: &Path, mode: u32) -> Result<()> {
    let mut folder = to.parent().context("a file is in a folder")?;
    fs::create_dir_all(folder)?;
    // Whatever this process's mask says.
    while !folder.ends_with("root") {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
        folder = folder.parent().context("the root is above")?;
    }
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
    fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
    fs::set_permissions(to, fs::Permissions::from_mode(mode)).context("cannot change a mode")
}

/// Bytes of all files below `folder`.
fn size(folder: &Path) -> Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        sum += if entry.file_type()?.is_dir() {
            size(&entry.path())?
        } else {
            entry.metadata()?.len()
        };
    }
    Ok(sum)
}
