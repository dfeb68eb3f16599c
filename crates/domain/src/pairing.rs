//! Pairing code and session keys.

use alloc::string::String;
use core::fmt;
use core::time::Duration;

use base64ct::{Base64UrlUnpadded, Encoding};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use crate::identity::Unacceptable;
use crate::secret::SecretBytes;

/// Longest time that a pairing session stays open: ten minutes. Configuration may shorten it, never lengthen it.
pub const MAX_PAIRING_TIME: Duration = Duration::from_secs(600);
/// The characters of a pairing code: no 0, O, 1, I.
pub const PAIRING_ALPHABET: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
/// Longest `pairingCode` in a payload, in bytes.
pub const MAX_RECEIVED_CODE: usize = 64;

/// Six characters that prove that the sender saw this screen in this session. Never a key.
#[derive(Clone, PartialEq, Eq)]
pub struct PairingCode(SecretBytes<6>);

impl PairingCode {
    /// One of all codes, uniformly: 32 characters divide 256 evenly.
    pub fn from_random(random: &mut [u8; 6]) -> Self {
        for byte in random.iter_mut() {
            *byte = PAIRING_ALPHABET[usize::from(*byte % 32)];
        }
        Self(SecretBytes::take(random))
    }

    /// A code as it stands in a QR code or is typed by a person, in either case.
    ///
    /// # Errors
    /// Anything but six characters of the alphabet.
    pub fn parse(text: &str) -> Result<Self, Unacceptable> {
        let fault = Unacceptable::expected("6 characters of A-Z and 2-9 without I and O");
        let mut bytes: [u8; 6] = text.to_ascii_uppercase().into_bytes().try_into().map_err(|_| fault)?;
        if bytes.iter().all(|byte| PAIRING_ALPHABET.contains(byte)) {
            Ok(Self(SecretBytes::take(&mut bytes)))
        } else {
            Err(fault)
        }
    }

    /// For the screen and the QR code alone.
    #[must_use]
    pub fn expose(&self) -> &str {
        // The constructors admit ASCII only.
        core::str::from_utf8(self.0.expose()).unwrap_or_default()
    }

    /// Compares with a received text, ASCII case-insensitively, in a time that depends neither on the text, nor on its
    /// length, nor on where it differs (`benches/constant_time.rs`).
    #[must_use]
    pub fn matches(&self, received: &str) -> bool {
        let bytes = if received.is_empty() {
            b"\0"
        } else {
            received.as_bytes()
        };
        let last = bytes.len() - 1;
        let mut padded = [0_u8; MAX_RECEIVED_CODE];
        for (place, slot) in padded.iter_mut().enumerate() {
            let inside = Choice::from(u8::from(place <= last));
            *slot = u8::conditional_select(&0, &bytes[place.min(last)], inside);
        }
        padded.make_ascii_uppercase();
        let (head, tail) = padded.split_at(6);
        let same_head = head.ct_eq(self.0.expose());
        let no_tail = tail.ct_eq([0_u8; MAX_RECEIVED_CODE - 6].as_slice());
        (same_head & no_tail & received.len().ct_eq(&6)).into()
    }
}

impl fmt::Debug for PairingCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// Names one pairing session in events, logs and the audit; not a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionId(u64);

impl SessionId {
    /// From random bytes.
    #[must_use]
    pub const fn from_random(random: [u8; 8]) -> Self {
        Self(u64::from_be_bytes(random))
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The session's X25519 private key.
pub type SessionPrivateKey = SecretBytes<32>;

macro_rules! public_bytes {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name([u8; 32]);

        impl $name {
            /// From its 32 bytes.
            #[must_use]
            pub const fn new(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// From strict base64url without padding.
            #[must_use]
            pub fn from_base64url(text: &str) -> Option<Self> {
                let mut bytes = [0; 32];
                let decoded = Base64UrlUnpadded::decode(text, &mut bytes).ok()?;
                (decoded.len() == 32).then_some(Self(bytes))
            }

            /// Its bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }

            /// Base64url without padding, as in the QR code.
            #[must_use]
            pub fn to_base64url(&self) -> String {
                Base64UrlUnpadded::encode_string(&self.0)
            }
        }
    };
}

public_bytes!(
    /// The session's X25519 public key: `key` in the QR code, `sessionKey` in the payload.
    SessionPublicKey
);
public_bytes!(
    /// SHA-256 of the session's TLS certificate's SubjectPublicKeyInfo: `pin` in the QR code.
    TlsPin
);
public_bytes!(
    /// A SHA-256 digest (of a POST body, of a certificate).
    Sha256Digest
);

impl Sha256Digest {
    /// Lower-case hexadecimal, as people compare fingerprints.
    #[must_use]
    pub fn to_hex(&self) -> String {
        self.0
            .iter()
            .flat_map(|b| [b >> 4, b & 15])
            .map(|n| char::from(b"0123456789abcdef"[usize::from(n)]))
            .collect()
    }

    /// The digest of that spelling, which must be the one that [`Self::to_hex`] writes.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let nibble = |digit: u8| match digit {
            b'0'..=b'9' => Some(digit - b'0'),
            b'a'..=b'f' => Some(digit - b'a' + 10),
            _ => None,
        };
        let digits: &[u8; 64] = text.as_bytes().try_into().ok()?;
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
        }
        Some(Self::new(bytes))
    }
}
