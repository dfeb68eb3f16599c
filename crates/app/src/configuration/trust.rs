//! The trust anchor's file.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use base64ct::{Base64UrlUnpadded, Encoding};
use zeroize::Zeroizing;
use zmon_domain::secret::SecretBytes;
use zmon_payload_envelope::TrustAnchor;

use super::absolute_path;
use super::fault::Fault;
use super::keys::{self, Key};
use super::layers::Reader;

/// A key in base64url without padding.
const KEY_CHARACTERS: usize = 43;

/// Where the trust anchor is, and what was found there.
pub(super) struct Found {
    pub(super) path: PathBuf,
    pub(super) anchor: Result<TrustAnchor, Fault>,
}

/// Reads the one trust anchor; none and both are faults. A file that is not as it must be is told in the outcome.
pub(super) fn load(reader: &mut Reader) -> Option<Found> {
    let hmac = keys::TRUST_HMAC_KEY_FILE;
    let ed25519 = keys::TRUST_ED25519_PUBLIC_KEY_FILE;
    let both = reader.is_set(&hmac);
    let one = both != reader.is_set(&ed25519);
    if !one {
        let what = format!(
            "expected exactly one of {} and {}, {} set: the trust anchor fixes the only signature algorithm",
            hmac.name,
            ed25519.name,
            if both { "both are" } else { "none is" }
        );
        reader.fault(if both { &ed25519 } else { &hmac }, what);
    }
    // Both are read, so that their faults come together.
    let device_key = read_at(reader, &hmac, true, |mut key| TrustAnchor::Hmac {
        device_key: SecretBytes::take(&mut key),
    });
    let public_key = read_at(reader, &ed25519, false, |key| TrustAnchor::Ed25519 { public_key: *key });
    if !one {
        for fault in [&device_key, &public_key].into_iter().flatten() {
            if let Err(fault) = &fault.anchor {
                reader.note(fault.clone());
            }
        }
        return None;
    }
    device_key.or(public_key)
}

fn read_at(
    reader: &mut Reader,
    key: &Key,
    secret: bool,
    anchor: impl FnOnce(Zeroizing<[u8; 32]>) -> TrustAnchor,
) -> Option<Found> {
    let path = reader.read(key, absolute_path)?;
    let anchor = read_key(&path, secret)
        .map(anchor)
        .map_err(|what| reader.fault_of(key, what));
    Some(Found { path, anchor })
}

/// Reads one key in base64url; a secret one only where nobody but the file's owner has access.
///
/// # Errors
/// A sentence that names the file and says what to do.
pub(crate) fn read_key(path: &Path, secret: bool) -> Result<Zeroizing<[u8; 32]>, String> {
    let unreadable = |fault: std::io::Error| format!("{} cannot be read: {fault}", path.display());
    let file = File::open(path).map_err(unreadable)?;
    if secret && file.metadata().map_err(unreadable)?.mode() & 0o077 != 0 {
        return Err(format!(
            "expected a file that nobody but its owner has access to; chmod 600 {}, and replace the key if others \
             may have read it",
            path.display()
        ));
    }
    // Room for a line end and one byte too many; reserved at once, so that the key is not copied about.
    let mut text = Zeroizing::new(Vec::with_capacity(KEY_CHARACTERS + 3));
    file.take(KEY_CHARACTERS as u64 + 3)
        .read_to_end(&mut text)
        .map_err(unreadable)?;
    let trimmed = text.strip_suffix(b"\n").unwrap_or(&text);
    let trimmed = trimmed.strip_suffix(b"\r").unwrap_or(trimmed);
    let mut key = Zeroizing::new([0; 32]);
    let whole = trimmed.len() == KEY_CHARACTERS
        && Base64UrlUnpadded::decode(trimmed, key.as_mut_slice()).is_ok_and(|decoded| decoded.len() == 32);
    if whole {
        Ok(key)
    } else {
        Err(format!(
            "expected {} to hold 32 bytes in base64url without padding: {KEY_CHARACTERS} characters in one line",
            path.display()
        ))
    }
}
