//! The administrator's PIN: an Argon2id hash in a file.
//!
//! # Who may set it
//! The file stands in a directory that is root's, readable for the service's group and writable for nobody else: so the
//! service can check a PIN, but neither it nor anybody who took it over can set another. Root sets the PIN once
//! ([`set_pin`]) and alone can remove the file to change it. Where the directory is the caller's own, as on a developer's
//! machine, the PIN is set with a warning, since refusing would protect nothing; a hash that somebody else than root or
//! the service's user could write is not believed.
//!
//! How often a PIN may be wrong is counted by the use cases, in the encrypted store.

use std::fs::{File, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Argon2, Params};
use rustix::process::geteuid;
use tracing::warn;
use zmon_domain::admin::AdministratorAuthorised;
use zmon_domain::error::{ErrorCode, ProvisioningError};
use zmon_domain::secret::SecretText;
use zmon_ports::{AdministratorCheck, Entropy};

use crate::files::{NewFile, PRIVATE};

/// How many characters a PIN has.
const PIN_CHARACTERS: std::ops::RangeInclusive<usize> = 6..=64;
/// Longest PHC string that is read, in bytes.
const MAX_HASH: u64 = 1024;
/// What a hash may cost: several times what [`set_pin`] chooses.
const MAX_KIB: u32 = 64 * 1024;
const MAX_PASSES: u32 = 8;
const MAX_LANES: u32 = 4;
/// 128 bits, as RFC 9106 recommends.
const SALT_BYTES: usize = 16;

/// Checks PINs against the hash in a file, which is read for each check: a PIN counts as soon as it is set.
#[derive(Debug)]
pub struct PinFile {
    path: Option<PathBuf>,
}

impl PinFile {
    /// Without a file every PIN is wrong.
    #[must_use]
    pub const fn new(path: Option<PathBuf>) -> Self {
        Self { path }
    }

    /// What is not as it should be about the file, for the log at the start.
    #[must_use]
    pub fn misgivings(&self) -> Option<String> {
        let path = self.path.as_deref()?;
        let directory = directory_of(path).metadata().ok()?;
        let own = geteuid();
        (!own.is_root() && directory.uid() == own.as_raw()).then(|| {
            format!(
                "the service's own user can replace the administrator's PIN in {}; keep the file in a directory of \
                 root's that the service's group can read",
                path.display()
            )
        })
    }
}

impl AdministratorCheck for PinFile {
    async fn authorise(&self, pin: &SecretText) -> Result<AdministratorAuthorised, ProvisioningError> {
        let Some(path) = self.path.clone() else {
            warn!("an administrator's act was refused: admin.pin_hash_file is not configured");
            return Err(ErrorCode::AdminRequired.into());
        };
        let pin = pin.clone();
        let checked = tokio::task::spawn_blocking(move || check(&path, &pin)).await;
        let refusal = match checked {
            Ok(Ok(())) => return Ok(AdministratorAuthorised::after_check("administrator PIN")),
            Ok(Err(cause)) => cause,
            Err(panicked) => panicked.to_string(),
        };
        warn!(cause = refusal, "an administrator's act was refused");
        Err(ErrorCode::AdminRequired.into())
    }
}

fn check(path: &Path, pin: &SecretText) -> Result<(), String> {
    let text = read(path, geteuid().as_raw()).map_err(|fault| fault.within(path))?;
    let hash = parse(&text).ok_or_else(|| malformed(path))?;
    Argon2::default()
        .verify_password(pin.expose().as_bytes(), &hash)
        .map_err(|_| "the PIN is wrong".into())
}

/// Why no PIN can be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoPin {
    /// There is no file.
    Absent,
    /// This process may not read it.
    Hidden,
    /// It is not believed or not understood.
    Unusable(String),
}

/// Whether PINs are checked against a hash that the service, which runs as `service`, believes and understands; without a
/// user, as the file's own.
///
/// # Errors
/// Why not.
pub fn is_set(path: &Path, service: Option<u32>) -> Result<(), NoPin> {
    let owner = || path.metadata().map_or(0, |found| found.uid());
    let text = read(path, service.unwrap_or_else(owner)).map_err(|fault| match fault {
        Unread::File(fault) if fault.kind() == io::ErrorKind::NotFound => NoPin::Absent,
        Unread::File(fault) if fault.kind() == io::ErrorKind::PermissionDenied => NoPin::Hidden,
        fault => NoPin::Unusable(fault.within(path)),
    })?;
    parse(&text).map(drop).ok_or_else(|| NoPin::Unusable(malformed(path)))
}

/// Why the text of a hash cannot be had.
enum Unread {
    File(io::Error),
    Foreign(PathBuf),
}

impl Unread {
    fn within(self, path: &Path) -> String {
        let path = path.display();
        match self {
            Self::File(fault) => format!("{path} cannot be read: {fault}"),
            Self::Foreign(checked) => format!(
                "{} can be written by others than root and the service's user, so that the PIN in {path} is not believed; \
                 give it to root and take write permission from everybody else",
                checked.display()
            ),
        }
    }
}

fn read(path: &Path, service: u32) -> Result<String, Unread> {
    let file = File::open(path).map_err(Unread::File)?;
    let directory = directory_of(path);
    for (checked, found) in [(path, file.metadata()), (directory, directory.metadata())] {
        if foreign(&found.map_err(Unread::File)?, service) {
            return Err(Unread::Foreign(checked.into()));
        }
    }
    let mut text = String::new();
    file.take(MAX_HASH).read_to_string(&mut text).map_err(Unread::File)?;
    Ok(text)
}

/// A damaged file may ask for more memory than there is, or for hours: that is no hash of ours.
fn parse(text: &str) -> Option<PasswordHash> {
    let hash = PasswordHash::new(text.trim_end()).ok()?;
    let costs = Params::try_from(&hash.params).ok()?;
    let ours = hash.algorithm == argon2::Algorithm::Argon2id.ident()
        && costs.m_cost() <= MAX_KIB
        && costs.t_cost() <= MAX_PASSES
        && costs.p_cost() <= MAX_LANES;
    ours.then_some(hash)
}

fn malformed(path: &Path) -> String {
    format!("{} holds no Argon2id hash", path.display())
}

/// Whether somebody else than root and the service's user can change it. A directory in which all may write, but not
/// remove what is another's (`/tmp`), passes.
fn foreign(found: &Metadata, service: u32) -> bool {
    let owner = found.uid();
    let mode = found.mode();
    let sticky = found.is_dir() && mode & 0o1000 != 0;
    (owner != 0 && owner != service) || (mode & 0o022 != 0 && !sticky)
}

fn directory_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}

/// Why a PIN was not set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetPinFault(pub String);

impl std::fmt::Display for SetPinFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SetPinFault {}

/// Writes the hash of a new PIN: for its owner alone, and where root writes it into a directory of another group, for
/// that group to read. An existing file is never replaced. Takes about 50 ms of one processor core and 19 MiB.
///
/// # Errors
/// Where the PIN does not follow its rule, the caller is neither root nor the directory's owner, a file is there
/// already, or nothing can be written.
pub fn set_pin(path: &Path, pin: &SecretText, entropy: &impl Entropy) -> Result<(), SetPinFault> {
    let text = pin.expose();
    if !PIN_CHARACTERS.contains(&text.chars().count()) || text.chars().any(char::is_control) {
        return Err(SetPinFault(format!(
            "the PIN must have {} to {} characters and no control characters",
            PIN_CHARACTERS.start(),
            PIN_CHARACTERS.end()
        )));
    }
    let directory = directory_of(path)
        .metadata()
        .map_err(|fault| SetPinFault(format!("{} cannot be written: {fault}", path.display())))?;
    let own = geteuid();
    if !own.is_root() && directory.uid() != own.as_raw() {
        return Err(SetPinFault(format!(
            "only root sets the administrator's PIN in {}; run this command as root",
            path.display()
        )));
    }
    // Root's file, readable for the service by way of the directory's group.
    let group = (own.is_root() && directory.gid() != 0).then(|| directory.gid());
    let mut salt = [0; SALT_BYTES];
    entropy.fill(&mut salt).map_err(|fault| SetPinFault(fault.cause))?;
    let hash = Argon2::default()
        .hash_password_with_salt(text.as_bytes(), &salt)
        .map_err(|fault| SetPinFault(format!("the PIN cannot be hashed: {fault}")))?;
    write_once(path, &format!("{hash}\n"), group).map_err(|fault| {
        SetPinFault(match fault.kind() {
            io::ErrorKind::AlreadyExists => format!(
                "{} is there already and is not replaced; remove it first if the PIN is to be changed",
                path.display()
            ),
            _ => format!("{} cannot be written: {fault}", path.display()),
        })
    })
}

/// What is left to do so that the service can read what [`set_pin`] wrote and cannot replace it.
#[must_use]
pub fn hint(path: &Path) -> Option<String> {
    let directory = directory_of(path);
    let found = directory.metadata().ok()?;
    let (path, directory) = (path.display(), directory.display());
    if !geteuid().is_root() {
        Some(format!(
            "Warning: it was not root who set it, so that whoever runs as this user can replace it: {directory} should be \
             root's."
        ))
    } else if found.uid() != 0 {
        Some(format!(
            "Warning: {directory} is not root's, so that its owner can replace the PIN."
        ))
    } else if found.gid() == 0 {
        Some(format!(
            "Where the service does not run as root, let its group read the hash: chgrp GROUP {path} && chmod 640 {path}"
        ))
    } else {
        None
    }
}

/// All or nothing, and never over another file.
fn write_once(path: &Path, content: &str, group: Option<u32>) -> io::Result<()> {
    let mut file = NewFile::begin(path, PRIVATE)?;
    file.write_all(content.as_bytes())?;
    if let Some(group) = group {
        file.for_group(group)?;
    }
    file.put_new()
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::entropy::SystemEntropy;

    fn secret(text: &str) -> SecretText {
        SecretText::new(text.into())
    }

    async fn authorise(path: Option<&Path>, pin: &str) -> Result<AdministratorAuthorised, ErrorCode> {
        PinFile::new(path.map(Into::into))
            .authorise(&secret(pin))
            .await
            .map_err(|refusal| refusal.code())
    }

    fn with_pin(pin: &str) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("admin.pin");
        set_pin(&path, &secret(pin), &SystemEntropy::new()).unwrap();
        (directory, path)
    }

    #[tokio::test]
    async fn admits_the_pin_that_was_set_and_no_other() {
        let (_directory, path) = with_pin("314159");
        assert_eq!(
            authorise(Some(&path), "314159").await.unwrap().by(),
            "administrator PIN"
        );
        for wrong in ["314158", "3141590", "", "314159\n"] {
            assert_eq!(authorise(Some(&path), wrong).await, Err(ErrorCode::AdminRequired));
        }
    }

    #[tokio::test]
    async fn admits_nobody_without_a_hash() {
        let directory = tempfile::tempdir().unwrap();
        let missing = directory.path().join("none");
        let malformed = directory.path().join("malformed");
        std::fs::write(&malformed, "314159").unwrap();
        let weak = directory.path().join("weak");
        std::fs::write(&weak, "$argon2i$v=19$m=8,t=1,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAA").unwrap();
        for path in [None, Some(missing.as_path()), Some(&malformed), Some(&weak)] {
            assert_eq!(
                authorise(path, "314159").await,
                Err(ErrorCode::AdminRequired),
                "{path:?}"
            );
        }
    }

    #[tokio::test]
    async fn believes_no_hash_that_others_can_write() {
        let (directory, path) = with_pin("314159");
        let mode = |path: &Path, mode| std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        for wide in [0o602, 0o620] {
            mode(&path, wide);
            assert_eq!(authorise(Some(&path), "314159").await, Err(ErrorCode::AdminRequired));
        }
        mode(&path, 0o600);
        mode(directory.path(), 0o777);
        assert_eq!(authorise(Some(&path), "314159").await, Err(ErrorCode::AdminRequired));
        mode(directory.path(), 0o700);
        assert!(authorise(Some(&path), "314159").await.is_ok());
    }

    #[tokio::test]
    async fn lets_the_directorys_group_read_what_root_wrote() {
        if !geteuid().is_root() {
            zmon_testkit::skip::skip(
                "lets_the_directorys_group_read_what_root_wrote",
                "only root can give a file away",
            );
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        std::os::unix::fs::chown(directory.path(), None, Some(4242)).unwrap();
        let path = directory.path().join("admin.pin");
        set_pin(&path, &secret("314159"), &SystemEntropy::new()).unwrap();
        let found = std::fs::metadata(&path).unwrap();
        assert_eq!((found.uid(), found.gid(), found.mode() & 0o777), (0, 4242, 0o640));
        assert!(authorise(Some(&path), "314159").await.is_ok());
        // A file that its owner, a third party, can rewrite.
        std::os::unix::fs::chown(&path, Some(4243), None).unwrap();
        assert_eq!(authorise(Some(&path), "314159").await, Err(ErrorCode::AdminRequired));
    }

    #[test]
    fn keeps_the_hash_for_the_owner_and_the_pin_for_nobody() {
        let (directory, path) = with_pin("314159");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("$argon2id$v=19$"), "{text}");
        assert!(!text.contains("314159"));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn never_replaces_a_pin() {
        let (directory, path) = with_pin("314159");
        let before = std::fs::read_to_string(&path).unwrap();
        let refusal = set_pin(&path, &secret("271828"), &SystemEntropy::new()).unwrap_err();
        assert!(refusal.0.contains("is there already"), "{refusal}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), before);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn refuses_a_pin_that_is_too_short_too_long_or_no_text() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("admin.pin");
        for pin in ["", "12345", "12345\u{7}", &"1".repeat(65)] {
            let refusal = set_pin(&path, &secret(pin), &SystemEntropy::new()).unwrap_err();
            assert!(refusal.0.contains("6 to 64"), "{refusal}");
        }
        assert!(!path.exists());
    }
}
