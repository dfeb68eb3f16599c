//! The database key as it lies beside the database: wrapped by the key of the key source.

use core::fmt;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::digest::{SHA256, digest};
use ring::hkdf::{HKDF_SHA256, KeyType, Salt};
use ring::rand::{SecureRandom as _, SystemRandom};
use zeroize::{Zeroize as _, Zeroizing};
use zmon_domain::secret::SecretBytes;
use zmon_ports::WrappingKey;

/// The raw key of the encrypted database: random, made by the store, replaced by every rotation.
pub type DatabaseKey = SecretBytes<32>;

/// Length of a wrapped key in bytes.
pub const WRAPPED_KEY_LENGTH: usize = CHECKSUM + 32;

const MAGIC: &[u8; 16] = b"z-monitor/dbkey\0";
const VERSION: u32 = 1;
const SALT: &[u8] = b"z-monitor/wrapped-database-key/v1";
// Where the fields begin.
const VERSION_AT: usize = MAGIC.len();
const NONCE_AT: usize = VERSION_AT + 4;
const CHECK_AT: usize = NONCE_AT + NONCE_LEN;
const SEALED_AT: usize = CHECK_AT + CHECK_LENGTH;
const CHECKSUM: usize = SEALED_AT + 32 + 16;
const CHECK_LENGTH: usize = 16;

/// Why a wrapped key gives no database key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnwrapFault {
    /// Its bytes are not those that were written.
    Damaged,
    /// A later version of the format.
    Newer(u32),
    /// Another key wrapped it.
    WrongKey,
}

impl fmt::Display for UnwrapFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged => f.write_str("it is damaged; restore it from the same backup as the database"),
            Self::Newer(version) => write!(
                f,
                "its format has version {version}, which is newer than this software; install the newer software again"
            ),
            Self::WrongKey => f.write_str(
                "it was wrapped by another key than the key source gives now; restore the key of the key source, or \
                 configure the source that the store was made with",
            ),
        }
    }
}

impl std::error::Error for UnwrapFault {}

/// Wraps a database key. Format version 1, 128 bytes, integers big-endian:
///
/// | offset | bytes | content |
/// | --- | --- | --- |
/// | 0 | 16 | the text `z-monitor/dbkey` and a zero byte |
/// | 16 | 4 | format version, 1 |
/// | 20 | 12 | nonce, random |
/// | 32 | 16 | key check: tells whether a wrapping key is the right one |
/// | 48 | 48 | AES-256-GCM of the 32 bytes of the database key, with its tag; bytes 0 to 47 are its associated data |
/// | 96 | 32 | SHA-256 of bytes 0 to 95: tells damage from a wrong key |
///
/// Encryption key and key check are HKDF-SHA256 (RFC 5869) of the wrapping key with the salt
/// `z-monitor/wrapped-database-key/v1`: 32 bytes with the info `encryption`, and 16 bytes with the info `key check`
/// followed by the nonce. Later versions end with a SHA-256 of everything before it, too.
///
/// # Errors
/// Where the operating system gives no random bytes.
pub fn wrap(key: &DatabaseKey, by: &WrappingKey) -> std::io::Result<[u8; WRAPPED_KEY_LENGTH]> {
    let mut wrapped = [0; WRAPPED_KEY_LENGTH];
    wrapped[..VERSION_AT].copy_from_slice(MAGIC);
    wrapped[VERSION_AT..NONCE_AT].copy_from_slice(&VERSION.to_be_bytes());
    fill_random(&mut wrapped[NONCE_AT..CHECK_AT])?;
    let nonce = nonce_of(&wrapped);
    wrapped[CHECK_AT..SEALED_AT].copy_from_slice(&key_check(by, &nonce));
    let (head, rest) = wrapped.split_at_mut(SEALED_AT);
    let (sealed, tag) = rest[..CHECKSUM - SEALED_AT].split_at_mut(32);
    sealed.copy_from_slice(key.expose());
    let sealing =
        encryption_key(by).seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(&*head), sealed);
    match sealing {
        Ok(made) => tag.copy_from_slice(made.as_ref()),
        // Only for inputs beyond 64 GiB; nothing in the clear is given out all the same.
        Err(ring::error::Unspecified) => {
            wrapped.zeroize();
            return Err(std::io::Error::other("the database key cannot be encrypted"));
        }
    }
    let sum = digest(&SHA256, &wrapped[..CHECKSUM]);
    wrapped[CHECKSUM..].copy_from_slice(sum.as_ref());
    Ok(wrapped)
}

/// The database key out of what [`wrap`] made.
///
/// # Errors
/// Where the bytes are damaged or of a later version, or `by` is not the key that wrapped them.
pub fn unwrap(wrapped: &[u8], by: &WrappingKey) -> Result<DatabaseKey, UnwrapFault> {
    let (content, sum) = wrapped
        .split_last_chunk::<32>()
        .filter(|(content, _)| content.len() >= NONCE_AT && content.starts_with(MAGIC))
        .ok_or(UnwrapFault::Damaged)?;
    if digest(&SHA256, content).as_ref() != sum {
        return Err(UnwrapFault::Damaged);
    }
    let mut version = [0; 4];
    version.copy_from_slice(&content[VERSION_AT..NONCE_AT]);
    let version = u32::from_be_bytes(version);
    if version != VERSION {
        return Err(UnwrapFault::Newer(version));
    }
    if content.len() != CHECKSUM {
        return Err(UnwrapFault::Damaged);
    }
    let nonce = nonce_of(content);
    if content[CHECK_AT..SEALED_AT] != key_check(by, &nonce) {
        return Err(UnwrapFault::WrongKey);
    }
    let mut sealed = Zeroizing::new(content[SEALED_AT..].to_vec());
    let aad = Aad::from(&content[..SEALED_AT]);
    let opened = encryption_key(by)
        .open_in_place(Nonce::assume_unique_for_key(nonce), aad, &mut sealed)
        .ok()
        .and_then(|opened| opened.as_mut_array::<32>());
    opened.map(DatabaseKey::take).ok_or(UnwrapFault::Damaged)
}

/// A new database key.
pub(crate) fn new_database_key() -> std::io::Result<DatabaseKey> {
    let mut bytes = Zeroizing::new([0; 32]);
    fill_random(bytes.as_mut_slice())?;
    Ok(DatabaseKey::take(&mut bytes))
}

/// Random bytes for keys.
pub(crate) fn fill_random(bytes: &mut [u8]) -> std::io::Result<()> {
    #[expect(
        clippy::disallowed_methods,
        reason = "keys of the store are made in the one place that keeps them, before any port is connected"
    )]
    SystemRandom::new()
        .fill(bytes)
        .map_err(|_| std::io::Error::other("the operating system gives no random bytes"))
}

fn nonce_of(wrapped: &[u8]) -> [u8; NONCE_LEN] {
    let mut nonce = [0; NONCE_LEN];
    nonce.copy_from_slice(&wrapped[NONCE_AT..CHECK_AT]);
    nonce
}

fn key_check(by: &WrappingKey, nonce: &[u8; NONCE_LEN]) -> [u8; CHECK_LENGTH] {
    let mut check = [0; CHECK_LENGTH];
    derive(by, &[b"key check", nonce], &mut check);
    check
}

fn encryption_key(by: &WrappingKey) -> LessSafeKey {
    let mut key = Zeroizing::new([0; 32]);
    derive(by, &[b"encryption"], key.as_mut_slice());
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key.as_slice()).expect("a key of 32 bytes is one for AES-256"))
}

fn derive(by: &WrappingKey, info: &[&[u8]], out: &mut [u8]) {
    Salt::new(HKDF_SHA256, SALT)
        .extract(by.expose())
        .expand(info, Length(out.len()))
        .and_then(|derived| derived.fill(out))
        .expect("HKDF gives up to 8160 bytes");
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}
