//! Compact serialisation: parts between dots, each strict base64url.
//!
//! `base64ct` refuses padding, white space, characters outside the alphabet and non-zero trailing bits.

use base64ct::{Base64UrlUnpadded, Encoding};
use zeroize::Zeroizing;

/// Exactly `N` parts.
pub(crate) fn parts<const N: usize>(text: &str) -> Option<[&str; N]> {
    let mut parts = [""; N];
    let mut rest = text.split('.');
    for part in &mut parts {
        *part = rest.next()?;
    }
    rest.next().is_none().then_some(parts)
}

/// Exactly `N` bytes; the length is looked at before anything is decoded.
pub(crate) fn decode_array<const N: usize>(text: &str) -> Option<Zeroizing<[u8; N]>> {
    let mut bytes = Zeroizing::new([0; N]);
    if text.len() != Base64UrlUnpadded::encoded_len(bytes.as_slice()) {
        return None;
    }
    Base64UrlUnpadded::decode(text, bytes.as_mut_slice()).ok()?;
    Some(bytes)
}

/// Any number of bytes.
pub(crate) fn decode(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(vec![0; text.len() / 4 * 3 + 2]);
    let length = Base64UrlUnpadded::decode(text, &mut bytes).ok()?.len();
    bytes.truncate(length);
    Some(bytes)
}
