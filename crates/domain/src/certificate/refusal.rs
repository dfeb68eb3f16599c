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

/// A rule of step 10 that a bundle breaks.
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
    ($($(#[$doc:meta])* $reason:ident: $text:literal, $rule:literal;)*) => {
        /// The rules of step 10, by how they are broken.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Reason { $($(#[$doc])* $reason,)* }

        impl Reason {
            /// Every reason.
            pub const ALL: &'static [Self] = &[$(Self::$reason,)*];

            /// Where the rule is written.
            #[must_use]
            pub const fn rule(self) -> &'static str {
                match self { $(Self::$reason => $rule,)* }
            }
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
    Empty: "there is no PEM block in it", "protocol, step 10";
    /// Over the size limit.
    TextTooLong: "the text is longer than 64 KiB", "protocol, \"Push\": 64 KiB";
    /// Over the count limit.
    TooManyCertificates: "there are more than 8 PEM blocks in it", "protocol, field table";
    /// Not exactly one key.
    NotOneKey: "there is more than one PEM block in it; exactly one private key belongs there", "protocol, field table";
    /// Text between the blocks, or a block without its end.
    StrayText: "there is text outside the PEM blocks, or a BEGIN line without its END line", "protocol, step 10";
    /// Another label.
    NotACertificate: "this is not a CERTIFICATE block; only certificates belong there", "protocol, step 10";
    /// Another label.
    NotAPrivateKey:
        "this is not an unencrypted PRIVATE KEY, EC PRIVATE KEY or RSA PRIVATE KEY block",
        "protocol, field table";
    /// Base64 or DER.
    Unreadable: "the block cannot be decoded", "RFC 7468; RFC 5280, 4.1";
    /// X.509 version 1 or 2.
    NotVersion3: "the certificate is not X.509 version 3", "RFC 5280, 4.1.2.1";
    /// Zero, negative, too long.
    OddSerial: "the serial number is not a positive number of at most 20 octets", "RFC 5280, 4.1.2.2";
    /// The same extension twice.
    DuplicateExtension: "the certificate has an extension twice", "RFC 5280, 4.2";
    /// Critical and not understood.
    UnknownCriticalExtension:
        "the certificate has an extension that this device does not know and that is critical or would have to be",
        "RFC 5280, 4.2, 4.2.1.11, 4.2.1.14";
    /// NUL or another control character.
    ControlCharacter: "a name in the certificate has a control character", "protocol, step 10; RFC 5280, 4.2.1.6";
    /// An empty name.
    NoName: "the issuer's name is empty, or a CA's own", "RFC 5280, 4.1.2.4, 4.1.2.6";
    /// RFC 5280, 4.2.1.6 and 4.2.1.10.
    MalformedName:
        "an alternative name or a name constraint is not of the form that its kind has to have",
        "RFC 5280, 4.2.1.6, 4.2.1.10";
    /// RFC 5280, 4.2.1.6.
    AlternativeNameCritical:
        "subjectAltName is critical beside a subject, or not critical without one",
        "RFC 5280, 4.2.1.6";
    /// RFC 5280, 4.2.1.10: of CAs alone.
    MisplacedNameConstraints: "nameConstraints stand in a certificate that is not a CA's", "RFC 5280, 4.2.1.10";
    /// RFC 5280, 4.2.1.10.
    NameConstraintsNotCritical: "nameConstraints are not critical", "RFC 5280, 4.2.1.10";
    /// RFC 5280, 4.2.1.2.
    NoSubjectKeyIdentifier: "the CA certificate has no subjectKeyIdentifier", "RFC 5280, 4.2.1.2";
    /// RFC 5280, 4.2.1.1.
    NoAuthorityKeyIdentifier:
        "the certificate was issued by another one, but its authorityKeyIdentifier names no key",
        "RFC 5280, 4.2.1.1";
    /// Weak or unlisted key.
    UnacceptableKey:
        "the key is none of ECDSA P-256, ECDSA P-384, Ed25519, and RSA of 2048 to 4096 bits with a usual exponent",
        "protocol, field table";
    /// MD5, SHA-1 or unlisted.
    UnacceptableSignature:
        "the certificate is not signed with SHA-256, SHA-384, SHA-512 or Ed25519",
        "protocol, step 10";
    /// Another key.
    KeyMismatch: "the private key does not belong to the first certificate in clientCertificate", "protocol, step 10";
    /// A damaged key.
    KeyBroken: "the private key is damaged, or of a form that cannot be used for TLS", "protocol, step 10";
    /// Start after end.
    NeverValid: "the certificate ends before it begins", "RFC 5280, 4.1.2.5";
    /// Past its end.
    Expired: "the certificate has expired", "protocol, step 10";
    /// Before its start.
    NotYetValid: "the certificate is not valid yet", "protocol, step 10 and \"Time without a clock\"";
    /// A CA without basic constraints.
    NoBasicConstraints: "the CA certificate has no basicConstraints", "protocol, step 10";
    /// A CA whose basic constraints are not critical.
    BasicConstraintsNotCritical: "the CA certificate's basicConstraints are not critical", "protocol, step 10";
    /// Basic constraints of an end entity.
    NotACa: "the certificate is not a CA's: basicConstraints do not say CA", "protocol, step 10";
    /// A CA without keyCertSign.
    NoCertificateSigning: "the CA certificate's keyUsage does not list keyCertSign", "protocol, step 10";
    /// A root that cannot take back what it issued.
    NoCrlSigning: "the root certificate's keyUsage does not list cRLSign", "CA/B BR, 7.1.2.10.7";
    /// A root for some uses only.
    RootExtendedKeyUsage: "the root certificate has an extendedKeyUsage", "CA/B BR, 7.1.2.1.2";
    /// A root that names another key as its issuer's.
    RootAuthorityKeyIdentifier:
        "the root certificate's authorityKeyIdentifier is something other than its subjectKeyIdentifier",
        "CA/B BR, 7.1.2.1.3";
    /// A further certificate that is none of an issuer.
    NotAnIntermediate:
        "the certificate is not an intermediate CA's; only those may follow the first certificate",
        "protocol, field table";
    /// No issuer.
    UnknownIssuer:
        "no certificate in caCertificate, and no intermediate that leads to one, has issued it",
        "protocol, step 10";
    /// Wrong signature.
    BadSignature: "a certificate has its issuer's name but not the key that signed it", "RFC 5280, 6.1.3";
    /// Signature not supported.
    UnsupportedSignature: "a signature on the way to caCertificate is of an unsupported kind", "protocol, step 10";
    /// Name constraints.
    NameConstraints: "a name is outside the name constraints of an issuer", "RFC 5280, 4.2.1.10";
    /// Path length.
    PathTooLong: "there are more intermediates on the way to caCertificate than an issuer allows", "RFC 5280, 4.2.1.9";
    /// No common validity.
    NeverValidTogether: "the certificates on the way to caCertificate are at no time valid together", "RFC 5280, 6.1.3";
    /// No path.
    NoPath: "no valid path leads to a certificate in caCertificate", "protocol, step 10";
    /// CA true or keyCertSign.
    LeafMaySign: "the first certificate may sign certificates", "protocol, step 10";
    /// No extended key usage.
    NoExtendedKeyUsage: "the certificate has no extendedKeyUsage", "protocol, step 10";
    /// extendedKeyUsage is critical.
    CriticalExtendedKeyUsage: "extendedKeyUsage is critical", "CA/B BR, 7.1.2.7.6";
    /// anyExtendedKeyUsage, beside others or alone.
    AnyUsage:
        "extendedKeyUsage lists anyExtendedKeyUsage; a leaf lists what it is for",
        "protocol, step 10; CA/B BR, 7.1.2.7.10";
    /// No clientAuth.
    NotForClients: "extendedKeyUsage does not list clientAuth", "protocol, step 10";
    /// No serverAuth.
    NotForServers: "extendedKeyUsage does not list serverAuth", "protocol, step 10";
    /// An issuer's usage excludes it.
    IssuerUsage: "an issuer on the way to caCertificate may not issue certificates for this use", "RFC 5280, 4.2.1.12";
    /// Another device.
    OtherDevice:
        "the certificate names another device: neither common name nor a DNS or URI alternative name is the device id",
        "protocol, step 10";
    /// Another host.
    OtherHost: "no subject alternative name is the host of serverUrl", "protocol, step 10; RFC 6125, 6.4";
    /// A common name that reads like a host's but is none.
    CommonNameElsewhere:
        "the common name reads like a host's, but is no subject alternative name, letter for letter",
        "CA/B BR, 7.1.4.3";
}
