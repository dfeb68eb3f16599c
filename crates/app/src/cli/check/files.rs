//! The device's files: store, keys, trust anchor, PIN. What is secret in them is looked at and never shown.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::process::geteuid;
use zeroize::Zeroizing;
use zmon_sqlcipher_certstore::{WRAPPED_KEY_LENGTH, unwrap, wrapped_key_files};

use super::Told;
use super::finding::{Check, Finding, Outcome};
use super::sockets::Service;
use crate::administrator::{self, NoPin};
use crate::configuration::{Configuration, StoreKey};

/// How a database begins that nobody encrypted.
const PLAIN: &[u8; 16] = b"SQLite format 3\0";
const BACKUP: &str = "restore database, wrapped key and key source from the same backup (docs/store-keys.md); without one, \
                      remove database and keys to start as an unprovisioned device";

/// The store's files, looked at before anybody opens them.
pub(super) struct Before {
    pub(super) directory: Finding,
    pub(super) key: Finding,
    pub(super) encryption: Finding,
    /// Why the database is not to be opened here.
    closed: Result<(), Finding>,
}

impl Before {
    pub(super) fn look(configuration: &Configuration, service: &Service) -> Self {
        let path = &configuration.store_path;
        let found = fs::symlink_metadata(path);
        let owner = service.user().or_else(|| found.as_ref().ok().map(Metadata::uid));
        let encryption = encryption(path, &found);
        let closed = match (&found, &encryption.outcome) {
            (Err(fault), _) if fault.kind() == io::ErrorKind::NotFound => Err(Check::Store.does_not_apply(format!(
                "there is no store at {} yet: the first start makes it",
                path.display()
            ))),
            (Err(fault), _) => Err(unreadable(Check::Store, path, fault)),
            (Ok(found), _) if found.len() == 0 => {
                Err(Check::Store.does_not_apply(format!("{} is empty: nothing was ever stored", path.display())))
            }
            (Ok(found), _) if found.uid() != geteuid().as_raw() => Err(Check::Store.is_hidden(format_args!(
                "{}, which belongs to user {},",
                path.display(),
                found.uid()
            ))),
            (_, Outcome::Fail) => Err(Check::Store.fails("it is not opened: it is not encrypted", BACKUP)),
            _ => Ok(()),
        };
        Self {
            directory: directory(path, owner),
            key: store_key(configuration, service, owner),
            encryption,
            closed,
        }
    }

    /// Whether a command may open the store where no service has it.
    pub(super) fn may_be_opened(&self) -> Result<(), String> {
        self.closed.as_ref().copied().map_err(|finding| finding.found().into())
    }

    /// Where no service has it.
    pub(super) fn store(&self, told: &Told) -> Finding {
        let check = Check::Store;
        match (&told.examination, &self.closed) {
            (Ok(_), _) => check.passes("it opens with the device's key"),
            (Err(_), Err(finding)) => finding.clone(),
            (Err(why), Ok(())) => check.fails(why, BACKUP),
        }
    }
}

/// The store that the running service has.
pub(super) fn held_store(told: &Told) -> Finding {
    let check = Check::Store;
    match &told.examination {
        Ok(_) => check.passes("the running service has it open"),
        Err(why) => check.fails(why, "see the service's log: journalctl -u zmon-provision"),
    }
}

/// What cannot be looked at is hidden from this user, or broken.
fn unreadable(check: Check, path: &Path, fault: &io::Error) -> Finding {
    match fault.kind() {
        io::ErrorKind::PermissionDenied => check.is_hidden(path.display()),
        _ => check.fails(
            format!("{}: {fault}", path.display()),
            "check the storage, and the path in the configuration",
        ),
    }
}

fn directory(store: &Path, owner: Option<u32>) -> Finding {
    let check = Check::StateDirectory;
    let directory = store.parent().unwrap_or(Path::new("/"));
    let shown = directory.display();
    let found = match fs::metadata(directory) {
        Ok(found) => found,
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => {
            return check.does_not_apply(format!("{shown} is not there yet: the first start makes it"));
        }
        Err(fault) => return unreadable(check, directory, &fault),
    };
    let mode = found.mode() & 0o7777;
    if !found.is_dir() {
        check.fails(format!("{shown} is not a directory"), "mend store.path")
    } else if mode & 0o077 != 0 {
        check.fails(
            format!("{shown} has mode {mode:o}: others can look into it"),
            format!("chmod 700 {shown}, and find out who let them in"),
        )
    } else if let Some(owner) = owner.filter(|owner| *owner != found.uid()) {
        check.fails(
            format!("{shown} belongs to user {}, the store to user {owner}", found.uid()),
            format!("chown {owner} {shown}"),
        )
    } else {
        check.passes(format!("{shown} is for user {} alone", found.uid()))
    }
}

fn encryption(path: &Path, found: &io::Result<Metadata>) -> Finding {
    let check = Check::StoreEncryption;
    if !found.as_ref().is_ok_and(|found| found.is_file() && found.len() > 0) {
        return check.does_not_apply("there is no database");
    }
    let mut beginning = Vec::new();
    match File::open(path).and_then(|file| file.take(PLAIN.len() as u64).read_to_end(&mut beginning)) {
        Err(fault) => unreadable(check, path, &fault),
        Ok(_) if beginning == PLAIN => check.fails(
            format!(
                "{} is a plain SQLite database: whoever has the card reads it",
                path.display()
            ),
            format!(
                "stop the service, keep the file as evidence, treat what it holds as known to others; then {BACKUP}"
            ),
        ),
        Ok(_) => check.passes("the database is no plain SQLite file"),
    }
}

fn store_key(configuration: &Configuration, service: &Service, owner: Option<u32>) -> Finding {
    let check = Check::StoreKey;
    let database = configuration.store_path.exists();
    let from = match &configuration.store_key {
        StoreKey::File(path) => {
            match fs::symlink_metadata(path) {
                Err(fault) if fault.kind() == io::ErrorKind::NotFound && !database => {
                    return check
                        .does_not_apply(format!("{} is not there yet: the first start makes it", path.display()));
                }
                Ok(found) if owner.is_some_and(|owner| owner != found.uid()) => {
                    let owner = owner.unwrap_or_default();
                    return check.fails(
                        format!(
                            "{} belongs to user {}, the store to user {owner}",
                            path.display(),
                            found.uid()
                        ),
                        format!("chown {owner} {}, and find out who could read it", path.display()),
                    );
                }
                _ => {}
            }
            if File::open(path).is_err_and(|fault| fault.kind() == io::ErrorKind::PermissionDenied) {
                return check.is_hidden(path.display());
            }
            format!("the file {}", path.display())
        }
        StoreKey::Credential { name, directory: None } => {
            return check.does_not_apply(format!("systemd gives the credential {name} to the unit alone"));
        }
        StoreKey::Credential { name, .. } => format!("the credential {name}"),
        // The command may work with hardware; the service has done that already.
        StoreKey::Command { program, .. } if service.runs() => {
            return match fs::metadata(program) {
                Ok(found) if found.mode() & 0o022 != 0 => check.fails(
                    format!("{program} can be written by others than its owner"),
                    format!("chmod go-w {program}, and find out who let them"),
                ),
                Ok(_) => check.passes(format!(
                    "the command {program} is there; the running service has used it"
                )),
                Err(fault) => check.fails(
                    format!("the command {program}: {fault}"),
                    "install it, or mend store.key_command",
                ),
            };
        }
        StoreKey::Command { program, .. } => format!("the command {program}"),
    };
    let wrapping = match configuration.store_key.source().wrapping_key(false) {
        Ok(key) => key,
        Err(fault) => return check.fails(fault.cause, BACKUP),
    };
    let wrapped: Vec<_> = wrapped_key_files(&configuration.store_path)
        .iter()
        .filter_map(|file| wrapped_key(file).ok())
        .collect();
    if wrapped.is_empty() {
        return if database {
            check.fails(
                format!("{from} gives a key, but the wrapped key beside the database is missing"),
                BACKUP,
            )
        } else {
            check.passes(format!("{from} gives a key; there is no database yet"))
        };
    }
    let opens = |content: &Zeroizing<Vec<u8>>| unwrap(content, &wrapping).is_ok();
    if wrapped.iter().any(opens) {
        check.passes(format!("{from} gives the key that the device's key is wrapped with"))
    } else {
        check.fails(
            format!("{from} gives another key than the one that the device's key is wrapped with"),
            BACKUP,
        )
    }
}

fn wrapped_key(file: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut content = Zeroizing::new(Vec::with_capacity(WRAPPED_KEY_LENGTH + 1));
    File::open(file)?
        .take(WRAPPED_KEY_LENGTH as u64 + 1)
        .read_to_end(&mut content)?;
    Ok(content)
}

pub(super) fn trust_anchor(configuration: &Configuration, told: &Told) -> Finding {
    let check = Check::TrustAnchor;
    let path = &configuration.trust_anchor_file;
    if told.is_retired() {
        return check.does_not_apply("the device is retired");
    }
    match &configuration.trust_anchor {
        Ok(_) => check.passes(format!("{} holds it", path.display())),
        Err(_) if File::open(path).is_err_and(|fault| fault.kind() == io::ErrorKind::PermissionDenied) => {
            check.is_hidden(path.display())
        }
        Err(faults) => check.fails(
            faults.in_one_line(),
            "carry the file that `zmon-station derive` writes to its place, for its owner alone (chmod 600)",
        ),
    }
}

pub(super) fn administrator_pin(configuration: &Configuration, service: &Service) -> Finding {
    let check = Check::AdministratorPin;
    let set = "as root: zmon-provision admin set-pin --pin-stdin";
    let Some(path) = &configuration.pin_hash_file else {
        return check.fails(
            "admin.pin_hash_file is not set: nobody can de-provision this monitor",
            format!("set it; then, {set}"),
        );
    };
    match administrator::is_set(path, service.user()) {
        Ok(()) => check.passes(format!("{} holds its hash", path.display())),
        Err(NoPin::Hidden) => check.is_hidden(path.display()),
        Err(NoPin::Absent) => check.fails(
            format!("{} is not there: nobody can de-provision this monitor", path.display()),
            set,
        ),
        Err(NoPin::Unusable(why)) => check.fails(why, format!("remove {}; then, {set}", path.display())),
    }
}
