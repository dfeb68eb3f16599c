//! The station's folder: master key or signing key, and the certificate authority. Folder 0700, files 0600.

use std::fs::{DirBuilder, File, OpenOptions, Permissions, rename};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroize;
use zmon_domain::identity::DeviceId;
use zmon_domain::secret::{SecretBytes, SecretText};
use zmon_payload_envelope::keys;
use zmon_payload_envelope::seal::SigningKey;

use crate::ca::CertificateAuthority;
use crate::fault::Fault;

const MASTER_KEY: &str = "provisioning-master.key";
const SIGNING_KEY: &str = "ed25519-signing.key";
const CA_KEY: &str = "ca.key";
const CA_CERTIFICATE: &str = "ca.pem";

/// What a station's devices trust.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnchorKind {
    /// A key derived for each device from the provisioning master key.
    Hmac,
    /// The station's Ed25519 key, the public half of which stands on every device.
    Ed25519,
}

/// The station's keys, on disk.
#[derive(Clone, Debug)]
pub struct Home {
    directory: PathBuf,
}

impl Home {
    /// Creates the folder with fresh keys and a certificate authority called `name`: whole, or not at all.
    ///
    /// # Errors
    /// Where the folder holds something already, or cannot be written. Nothing is overwritten.
    pub fn create(directory: &Path, name: &str, anchor: AnchorKind) -> Result<Self, Fault> {
        if directory.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
            let directory = directory.display();
            return Err(Fault::local(format!(
                "{directory} is not empty; keys are made once, in a new folder, and never replaced."
            )));
        }
        let parent = parent(directory);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(parent)
            .map_err(at("create", parent))?;
        // Made beside its place and renamed: a station with half of its keys never exists.
        let unfinished = tempfile::Builder::new()
            .prefix(".zmon-station-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(parent)
            .map_err(at("create a folder in", parent))?;
        let home = Self::open(unfinished.path());
        let ca = CertificateAuthority::create(name)?;
        let file = match anchor {
            AnchorKind::Hmac => MASTER_KEY,
            AnchorKind::Ed25519 => SIGNING_KEY,
        };
        home.write(file, keys::print_key(&random_key()?).expose())?;
        home.write(CA_KEY, ca.key_pem().expose())?;
        home.write(CA_CERTIFICATE, ca.certificate_pem())?;
        rename(unfinished.path(), directory).map_err(at("create", directory))?;
        // Its folder has another name now.
        let _ = unfinished.keep();
        sync_folder(parent)?;
        Ok(Self::open(directory))
    }

    /// An existing folder.
    #[must_use]
    pub fn open(directory: &Path) -> Self {
        Self {
            directory: directory.into(),
        }
    }

    /// The certificate authority.
    ///
    /// # Errors
    /// Where its files cannot be read.
    pub fn certificate_authority(&self) -> Result<CertificateAuthority, Fault> {
        let key = self.read(CA_KEY)?;
        CertificateAuthority::from_pem(&key, self.read(CA_CERTIFICATE)?.expose())
    }

    /// What payloads for this device are signed with.
    ///
    /// # Errors
    /// Where the key cannot be read, or the folder has both kinds.
    pub fn signing_key(&self, device_id: &DeviceId) -> Result<SigningKey, Fault> {
        match (self.has(MASTER_KEY), self.has(SIGNING_KEY)) {
            (true, true) => Err(Fault::local(format!(
                "{} has a master key and an Ed25519 signing key. Keep the one that your devices trust.",
                self.directory.display()
            ))),
            (_, true) => Ok(SigningKey::Ed25519 {
                seed: self.read_key(SIGNING_KEY)?,
            }),
            (_, false) => {
                let device_key = keys::derive_device_key(&self.read_key(MASTER_KEY)?, device_id);
                Ok(SigningKey::Hmac { device_key })
            }
        }
    }

    /// The line that is installed on a device at commissioning: its derived key (a secret), or the station's public
    /// key.
    ///
    /// # Errors
    /// As [`Self::signing_key`].
    pub fn trust_anchor_line(&self, device_id: &DeviceId) -> Result<SecretText, Fault> {
        Ok(match self.signing_key(device_id)? {
            SigningKey::Hmac { device_key } => keys::print_key(&device_key),
            SigningKey::Ed25519 { seed } => SecretText::new(keys::print_public_key(&keys::ed25519_public_key(&seed))),
        })
    }

    /// Where it is.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    fn has(&self, file: &str) -> bool {
        self.directory.join(file).exists()
    }

    fn read_key(&self, file: &str) -> Result<SecretBytes<32>, Fault> {
        let text = self.read(file)?;
        keys::parse_key(text.expose().trim_end()).map_err(|refusal| {
            Fault::local(format!(
                "{} is not a key: {refusal}",
                self.directory.join(file).display()
            ))
        })
    }

    fn read(&self, file: &str) -> Result<SecretText, Fault> {
        let path = self.directory.join(file);
        let unreadable = |error: std::io::Error| {
            let path = path.display();
            Fault::local(format!(
                "Cannot read {path}: {error}. Make the station's keys with `zmon-station init`."
            ))
        };
        let mode = path.metadata().map_err(unreadable)?.permissions().mode();
        if mode & 0o077 != 0 {
            let path = path.display();
            return Err(Fault::local(format!(
                "{path} can be read by others (mode {:04o}). Give it mode 0600, and think whether its keys are still secret.",
                mode & 0o7777
            )));
        }
        std::fs::read_to_string(&path).map(SecretText::new).map_err(unreadable)
    }

    fn write(&self, file: &str, text: &str) -> Result<(), Fault> {
        write_new(&self.directory.join(file), text)
    }
}

/// Writes a new file of mode 0600 and makes it durable; an existing file is never touched.
///
/// # Errors
/// Where the file exists or cannot be written.
pub fn write_new(path: &Path, text: &str) -> Result<(), Fault> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| {
            if error.kind() == ErrorKind::AlreadyExists {
                return Fault::local(format!("{} exists already; it is not overwritten.", path.display()));
            }
            at("create", path)(error)
        })?;
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| file.write_all(b"\n"))
        .and_then(|()| file.sync_all());
    written.map_err(at("write", path))?;
    sync_folder(parent(path))
}

/// The folder in which something stands.
fn parent(path: &Path) -> &Path {
    path.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// Makes the names in a folder durable.
fn sync_folder(folder: &Path) -> Result<(), Fault> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(at("make durable", folder))
}

pub(crate) fn at(what: &'static str, path: &Path) -> impl Fn(std::io::Error) -> Fault {
    let path = path.display().to_string();
    move |error| Fault::local(format!("Cannot {what} {path}: {error}."))
}

#[expect(clippy::disallowed_methods, reason = "the station's one source of chance")]
fn random_key() -> Result<SecretBytes<32>, Fault> {
    let mut bytes = [0; 32];
    SystemRandom::new().fill(&mut bytes).map_err(|_| {
        bytes.zeroize();
        Fault::local("The operating system gives no random bytes.")
    })?;
    Ok(SecretBytes::take(&mut bytes))
}
