//! Why a bundle is refused: which field, which block, which rule.

use alloc::format;
use core::fmt;

use crate::error::{ErrorCode, ProvisioningError};

/// A PEM field of the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// The client's certificate and its intermediates.
    ClientCertificate,
    /// The client's key.
    ClientPrivateKey,
    /// The trust roots.
    CaCertificate,
    /// The pinned server certificate and its intermediates.
    ServerCertificate,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ClientCertificate => "clientCertificate",
            Self::ClientPrivateKey => "clientPrivateKey",
            Self::CaCertificate => "caCertificate",
            Self::ServerCertificate => "serverCertificate",
        })
    }
}

/// The first rule of step 10 that a bundle breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The field at fault.
    pub field: Field,
    /// Its PEM block at fault, counted from 1; none where the text as a whole is.
    pub block: Option<usize>,
    /// The rule.
    pub reason: Reason,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.block {
            Some(number) => write!(f, "{}, PEM block {number}: {}.", self.field, self.reason),
            None => write!(f, "{}: {}.", self.field, self.reason),
        }
    }
}

impl From<Refusal> for ProvisioningError {
    fn from(refusal: Refusal) -> Self {
        Self::new(ErrorCode::InvalidCertificate, format!("{refusal}"))
    }
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $reason:ident: $text:literal;)*) => {
        /// The rules of step 10, by how they are broken.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Reason { $($(#[$doc])* $reason,)* }

        impl Reason {
            /// Every reason.
            pub const ALL: &'static [Self] = &[$(Self::$reason,)*];
        }

        impl fmt::Display for Reason {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$reason => $text,)* })
            }
        }
    };
}

reasons! {
    /// No block.
    Empty: "there is no PEM block in it";
    /// Over the size limit.
    TextTooLong: "the text is longer than 64 KiB";
    /// Over the count limit.
    TooManyCertificates: "there are more than 8 PEM blocks in it";
    /// Not exactly one key.
    NotOneKey: "there is more than one PEM block in it; exactly one private key belongs there";
    /// Text between the blocks, or a block without its end.
    StrayText: "there is text outside the PEM blocks, or a BEGIN line without its END line";
    /// Another label.
    NotACertificate: "this is not a CERTIFICATE block; only certificates belong there";
    /// Another label.
    NotAPrivateKey: "this is not an unencrypted PRIVATE KEY, EC PRIVATE KEY or RSA PRIVATE KEY block";
    /// Base64 or DER.
    Unreadable: "the block cannot be decoded";
    /// X.509 version 1 or 2.
    NotVersion3: "the certificate is not X.509 version 3";
    /// Zero, negative, too long.
    OddSerial: "the serial number is not a positive number of at most 20 octets";
    /// The same extension twice.
    DuplicateExtension: "the certificate has an extension twice";
    /// Critical and not understood.
    UnknownCriticalExtension: "the certificate has a critical extension that this device does not know";
    /// NUL or another control character.
    ControlCharacter: "a name in the certificate has a control character";
    /// Weak or unlisted key.
    UnacceptableKey:
        "the key is none of ECDSA P-256, ECDSA P-384, Ed25519, and RSA of 2048 to 4096 bits with a usual exponent";
    /// MD5, SHA-1 or unlisted.
    UnacceptableSignature: "the certificate is not signed with SHA-256, SHA-384, SHA-512 or Ed25519";
    /// Another key.
    KeyMismatch: "the private key does not belong to the first certificate in clientCertificate";
    /// A damaged key.
    KeyBroken: "the private key is damaged, or of a form that cannot be used for TLS";
    /// Start after end.
    NeverValid: "the certificate ends before it begins";
    /// Past its end.
    Expired: "the certificate has expired";
    /// Before its start.
    NotYetValid: "the certificate is not valid yet";
    /// A CA without basic constraints.
    NoBasicConstraints: "the CA certificate has no basicConstraints";
    /// A CA whose basic constraints are not critical.
    BasicConstraintsNotCritical: "the CA certificate's basicConstraints are not critical";
    /// Basic constraints of an end entity.
    NotACa: "the certificate is not a CA's: basicConstraints do not say CA";
    /// A CA without keyCertSign.
    NoCertificateSigning: "the CA certificate's keyUsage does not list keyCertSign";
    /// A further certificate that is none of an issuer.
    NotAnIntermediate: "the certificate is not an intermediate CA's; only those may follow the first certificate";
    /// No issuer.
    UnknownIssuer: "no certificate in caCertificate, and no intermediate that leads to one, has issued it";
    /// Wrong signature.
    BadSignature: "a certificate has its issuer's name but not the key that signed it";
    /// Signature not supported.
    UnsupportedSignature: "a signature on the way to caCertificate is of an unsupported kind";
    /// Name constraints.
    NameConstraints: "a name is outside the name constraints of an issuer";
    /// Path length.
    PathTooLong: "there are more intermediates on the way to caCertificate than an issuer allows";
    /// No common validity.
    NeverValidTogether: "the certificates on the way to caCertificate are at no time valid together";
    /// No path.
    NoPath: "no valid path leads to a certificate in caCertificate";
    /// CA true or keyCertSign.
    LeafMaySign: "the first certificate may sign certificates";
    /// No extended key usage.
    NoExtendedKeyUsage: "the certificate has no extendedKeyUsage";
    /// No clientAuth.
    NotForClients: "extendedKeyUsage does not list clientAuth";
    /// No serverAuth.
    NotForServers: "extendedKeyUsage does not list serverAuth";
    /// An issuer's usage excludes it.
    IssuerUsage: "an issuer on the way to caCertificate may not issue certificates for this use";
    /// Another device.
    OtherDevice:
        "the certificate names another device: neither common name nor a DNS or URI alternative name is the device id";
    /// Another host.
    OtherHost: "no subject alternative name is the host of serverUrl";
}
