//! Where the key comes from that wraps the key of the database.

use std::path::{Path, PathBuf};

use zmon_ports::KeySource;
use zmon_sqlcipher_certstore::{CommandKeySource, CredentialKeySource, FileKeySource};

use super::layers::Reader;
use super::{Inputs, absolute_path, credentials_directory, keys};

const LONGEST_NAME: usize = 64;

/// The one source of the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreKey {
    /// A file of its own.
    File(PathBuf),
    /// A systemd credential.
    Credential {
        /// Its name.
        name: String,
        /// Where systemd has put it; none outside of the unit.
        directory: Option<PathBuf>,
    },
    /// The output of a program.
    Command {
        /// Absolute path.
        program: String,
        /// What it is called with.
        arguments: Vec<String>,
    },
}

impl StoreKey {
    /// The adapter for it.
    #[must_use]
    pub fn source(&self) -> Box<dyn KeySource> {
        match self.clone() {
            Self::File(path) => Box::new(FileKeySource::new(path)),
            Self::Credential { name, directory } => Box::new(CredentialKeySource::new(name, directory)),
            Self::Command { program, arguments } => Box::new(CommandKeySource::new(program, arguments)),
        }
    }
}

/// Reads the one source; two are a fault. Without any it is the file at its default place.
pub(super) fn load(reader: &mut Reader, inputs: &Inputs) -> Option<StoreKey> {
    let given: Vec<_> = [
        keys::STORE_KEY_FILE,
        keys::STORE_KEY_CREDENTIAL,
        keys::STORE_KEY_COMMAND,
    ]
    .into_iter()
    .filter(|key| reader.is_given(key))
    .collect();
    if let [first, others @ ..] = given.as_slice() {
        for key in others {
            let what = format!(
                "{} is set as well; remove one of them: the key comes from one source",
                first.name
            );
            reader.fault(key, what);
        }
    }
    // Each is read, so that all faults come together.
    let file = reader.require(&keys::STORE_KEY_FILE, absolute_path).map(StoreKey::File);
    let credential = reader
        .read(&keys::STORE_KEY_CREDENTIAL, name)
        .map(|name| StoreKey::Credential {
            name,
            directory: credentials_directory(inputs),
        });
    let command = reader.read(&keys::STORE_KEY_COMMAND, command);
    credential.or(command).or(file)
}

/// A name that is a file's name in the directory of the credentials.
fn name(text: &str) -> Option<String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let fits = (1..=LONGEST_NAME).contains(&text.len()) && !text.starts_with('.') && text.chars().all(allowed);
    fits.then(|| text.into())
}

fn command(json: &str) -> Option<StoreKey> {
    let mut words: Vec<String> = serde_json::from_str(json).ok()?;
    let fits = words.first().is_some_and(|program| Path::new(program).is_absolute())
        && words.iter().all(|word| !word.contains('\0'));
    fits.then(|| StoreKey::Command {
        program: words.remove(0),
        arguments: words,
    })
}
