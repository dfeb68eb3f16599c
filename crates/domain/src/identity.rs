//! Who the device is: values parsed once, at the edge.

use alloc::string::String;
use core::fmt;

/// A value that does not follow its rule; the message says the rule and never the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unacceptable {
    /// What the value must be.
    pub expected: &'static str,
}

impl Unacceptable {
    pub(crate) const fn expected(expected: &'static str) -> Self {
        Self { expected }
    }
}

impl fmt::Display for Unacceptable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "must be {}", self.expected)
    }
}

impl core::error::Error for Unacceptable {}

macro_rules! restricted_text {
    ($(#[$doc:meta])* $name:ident, $allowed:expr, $expected:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// # Errors
            /// Where the text does not follow the rule.
            pub fn parse(text: &str) -> Result<Self, Unacceptable> {
                let allowed = $allowed;
                if (1..=32).contains(&text.len()) && text.bytes().all(|b: u8| allowed(b)) {
                    Ok(Self(text.into()))
                } else {
                    Err(Unacceptable::expected($expected))
                }
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

restricted_text!(
    /// Unique device identifier: `[A-Za-z0-9-]{1,32}`, compared byte for byte.
    DeviceId,
    |b: u8| b.is_ascii_alphanumeric() || b == b'-',
    "1 to 32 characters of A-Z, a-z, 0-9 and '-'"
);

restricted_text!(
    /// Serial number on the unit: 1 to 32 characters of `[A-Za-z0-9./_-]`.
    SerialNumber,
    |b: u8| b.is_ascii_alphanumeric() || b"./_-".contains(&b),
    "1 to 32 characters of A-Z, a-z, 0-9 and './_-'"
);
