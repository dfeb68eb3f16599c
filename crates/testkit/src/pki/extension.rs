//! Certificate extensions from their parts.

use openssl::asn1::Asn1Object;

/// Object identifiers of extensions and key purposes.
pub mod oid {
    /// Extension authorityInfoAccess.
    pub const AUTHORITY_INFORMATION: &str = "1.3.6.1.5.5.7.1.1";
    /// Extension subjectKeyIdentifier.
    pub const SUBJECT_KEY_IDENTIFIER: &str = "2.5.29.14";
    /// Extension keyUsage.
    pub const KEY_USAGE: &str = "2.5.29.15";
    /// Extension subjectAltName.
    pub const ALTERNATIVE_NAME: &str = "2.5.29.17";
    /// Extension basicConstraints.
    pub const BASIC_CONSTRAINTS: &str = "2.5.29.19";
    /// Extension nameConstraints.
    pub const NAME_CONSTRAINTS: &str = "2.5.29.30";
    /// Extension authorityKeyIdentifier.
    pub const AUTHORITY_KEY_IDENTIFIER: &str = "2.5.29.35";
    /// Extension policyConstraints.
    pub const POLICY_CONSTRAINTS: &str = "2.5.29.36";
    /// Extension extendedKeyUsage.
    pub const EXTENDED_KEY_USAGE: &str = "2.5.29.37";
    /// Key purpose serverAuth.
    pub const SERVER_AUTH: &str = "1.3.6.1.5.5.7.3.1";
    /// Key purpose clientAuth.
    pub const CLIENT_AUTH: &str = "1.3.6.1.5.5.7.3.2";
    /// Key purpose anyExtendedKeyUsage.
    pub const ANY_USAGE: &str = "2.5.29.37.0";
}

/// Bits of keyUsage, as they stand in the first octet.
pub mod usage {
    /// digitalSignature.
    pub const DIGITAL_SIGNATURE: u8 = 0b1000_0000;
    /// keyCertSign.
    pub const CERTIFICATE_SIGNING: u8 = 0b0000_0100;
    /// cRLSign.
    pub const CRL_SIGNING: u8 = 0b0000_0010;
}

/// A certificate extension.
#[derive(Clone, Debug)]
pub struct Extension {
    /// Its object identifier, dotted.
    pub oid: &'static str,
    /// Whether it is critical.
    pub critical: bool,
    /// The DER of its value.
    pub value: Vec<u8>,
}

impl Extension {
    /// basicConstraints.
    #[must_use]
    pub fn basic_constraints(critical: bool, ca: bool, most_intermediates: Option<u8>) -> Self {
        let ca = if ca { der(0x01, &[0xff]) } else { Vec::new() };
        let limit = most_intermediates.map(|limit| der(0x02, &[limit])).unwrap_or_default();
        Self {
            oid: oid::BASIC_CONSTRAINTS,
            critical,
            value: der(0x30, &[ca, limit].concat()),
        }
    }

    /// keyUsage, critical; bits of [`usage`].
    #[must_use]
    pub fn key_usage(bits: u8) -> Self {
        let unused = bits.trailing_zeros().min(7);
        Self {
            oid: oid::KEY_USAGE,
            critical: true,
            value: der(0x03, &[unused as u8, bits]),
        }
    }

    /// extendedKeyUsage, not critical.
    #[must_use]
    pub fn extended_key_usage(purposes: &[&str]) -> Self {
        let purposes: Vec<u8> = purposes
            .iter()
            .flat_map(|purpose| {
                der(
                    0x06,
                    Asn1Object::from_str(purpose).expect("an object identifier").as_slice(),
                )
            })
            .collect();
        Self {
            oid: oid::EXTENDED_KEY_USAGE,
            critical: false,
            value: der(0x30, &purposes),
        }
    }

    /// subjectAltName, not critical.
    #[must_use]
    pub fn alternative_names(names: &[AlternativeName<'_>]) -> Self {
        let names: Vec<u8> = names
            .iter()
            .flat_map(|name| match name {
                AlternativeName::Dns(name) => der(0x82, name.as_bytes()),
                AlternativeName::Uri(name) => der(0x86, name.as_bytes()),
                AlternativeName::Address(octets) => der(0x87, octets),
            })
            .collect();
        Self {
            oid: oid::ALTERNATIVE_NAME,
            critical: false,
            value: der(0x30, &names),
        }
    }

    /// nameConstraints, critical: one permitted DNS subtree.
    #[must_use]
    pub fn permitted_dns(subtree: &str) -> Self {
        Self {
            oid: oid::NAME_CONSTRAINTS,
            critical: true,
            value: der(0x30, &der(0xa0, &der(0x30, &der(0x82, subtree.as_bytes())))),
        }
    }

    /// subjectKeyIdentifier, not critical.
    #[must_use]
    pub fn subject_key_identifier(identifier: &[u8]) -> Self {
        Self {
            oid: oid::SUBJECT_KEY_IDENTIFIER,
            critical: false,
            value: der(0x04, identifier),
        }
    }

    /// authorityKeyIdentifier, not critical: the identifier of the issuer's key alone.
    #[must_use]
    pub fn authority_key_identifier(identifier: &[u8]) -> Self {
        Self {
            oid: oid::AUTHORITY_KEY_IDENTIFIER,
            critical: false,
            value: der(0x30, &der(0x80, identifier)),
        }
    }

    /// The same, critical or not.
    #[must_use]
    pub fn critical(self, critical: bool) -> Self {
        Self { critical, ..self }
    }

    /// An extension that nobody knows.
    #[must_use]
    pub fn unknown(critical: bool) -> Self {
        Self {
            oid: "1.3.6.1.4.1.55555.1",
            critical,
            value: der(0x05, &[]),
        }
    }
}

/// A subject alternative name.
#[derive(Clone, Copy, Debug)]
pub enum AlternativeName<'a> {
    /// A DNS name.
    Dns(&'a str),
    /// A URI.
    Uri(&'a str),
    /// An IP address, 4 or 16 octets.
    Address(&'a [u8]),
}

/// A DER element of at most 65,535 octets.
pub(super) fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let header = match length {
        0..0x80 => vec![tag, length as u8],
        0x80..0x100 => vec![tag, 0x81, length as u8],
        _ => vec![tag, 0x82, (length >> 8) as u8, length as u8],
    };
    [header.as_slice(), content].concat()
}
