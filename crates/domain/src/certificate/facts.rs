//! What the PEM texts of one payload turned out to be. Facts say; only the rules judge.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;

use super::CertificateSummary;

/// Most certificates in one field (`protocol.md`, field table). Whoever examines looks at the count before decoding.
pub const MAX_CERTIFICATES: usize = 8;
/// Longest PEM text in bytes: what fits a POST body. Whoever examines looks at the size before decoding.
pub const MAX_PEM_BYTES: usize = 64 * 1024;

/// All facts about one payload's certificates and key.
#[derive(Clone, Debug)]
pub struct BundleFacts {
    /// `clientCertificate`.
    pub client: ChainFacts,
    /// `clientPrivateKey`; nothing here tells the key.
    pub key: PemFacts<PrivateKeyFacts>,
    /// `caCertificate`.
    pub ca: PemFacts<CertificateDetails>,
    /// `serverCertificate`.
    pub server: Option<ChainFacts>,
}

/// A leaf with the certificates that follow it, and where they lead.
#[derive(Clone, Debug)]
pub struct ChainFacts {
    /// The text, leaf first.
    pub certificates: PemFacts<CertificateDetails>,
    /// Whether a path leads from the leaf to a certificate of `caCertificate`.
    pub path: PathFacts,
}

/// One PEM text.
#[derive(Clone, Debug)]
pub enum PemFacts<T> {
    /// More than [`MAX_PEM_BYTES`]; not looked at.
    TooLong,
    /// More blocks than its field may have; none was decoded.
    TooManyBlocks,
    /// Something other than white space stands outside the blocks, or a block does not end.
    StrayText,
    /// Its blocks in their order; none where the text is blank.
    Blocks(Vec<Block<T>>),
}

impl<T> PemFacts<T> {
    /// What could be read, in order.
    pub fn read(&self) -> impl Iterator<Item = &T> {
        self.numbered().map(|(_, content)| content)
    }

    /// What could be read, in order, with the numbers of the blocks, counted from 1.
    pub fn numbered(&self) -> impl Iterator<Item = (usize, &T)> {
        let blocks = match self {
            Self::Blocks(blocks) => blocks.as_slice(),
            Self::TooLong | Self::TooManyBlocks | Self::StrayText => &[],
        };
        let numbered = blocks.iter().enumerate().map(|(index, block)| (index + 1, block));
        numbered.filter_map(|(number, block)| match block {
            Block::Read(content) => Some((number, content)),
            Block::OtherLabel | Block::Unreadable => None,
        })
    }

    /// The same facts with what was read turned into something else.
    #[must_use]
    pub fn map<U>(self, turn: impl Fn(T) -> U) -> PemFacts<U> {
        match self {
            Self::TooLong => PemFacts::TooLong,
            Self::TooManyBlocks => PemFacts::TooManyBlocks,
            Self::StrayText => PemFacts::StrayText,
            Self::Blocks(blocks) => PemFacts::Blocks(
                blocks
                    .into_iter()
                    .map(|block| match block {
                        Block::OtherLabel => Block::OtherLabel,
                        Block::Unreadable => Block::Unreadable,
                        Block::Read(content) => Block::Read(turn(content)),
                    })
                    .collect(),
            ),
        }
    }
}

/// One `-----BEGIN` to `-----END`.
#[derive(Clone, Debug)]
pub enum Block<T> {
    /// Its label is not one of those that belong into the field.
    OtherLabel,
    /// It does not decode: base64, DER or an extension that the rules need.
    Unreadable,
    /// What it is.
    Read(T),
}

/// One certificate.
#[derive(Clone, Debug)]
pub struct CertificateDetails {
    /// What is kept about it where it is installed.
    pub summary: CertificateSummary,
    /// Whether it is X.509 version 3.
    pub version_3: bool,
    /// The content octets of the serial number's DER INTEGER: two's complement, most significant first.
    pub serial: Vec<u8>,
    /// Its public key.
    pub key: KeyKind,
    /// How its issuer signed it.
    pub signature: SignatureKind,
    /// Whether a text in subject, issuer or subject alternative name has a control character, NUL among them.
    pub control_characters: bool,
    /// Whether an extension stands there twice.
    pub duplicate_extension: bool,
    /// Whether an extension that neither these facts nor path building take into account is critical, or would have to be
    /// (RFC 5280, 4.2.1.11 and 4.2.1.14).
    pub unknown_critical_extension: bool,
    /// Whether a subject alternative name or a name constraint is not of the form of its kind (RFC 5280, 4.2.1.6 and
    /// 4.2.1.10), or name constraints constrain nothing.
    pub malformed_name: bool,
    /// Whether subject and issuer are the same name.
    pub self_issued: bool,
    /// Subject key identifier, where present.
    pub subject_key_identifier: Option<Vec<u8>>,
    /// Authority key identifier, where present.
    pub authority_key_identifier: Option<AuthorityKeyIdentifier>,
    /// Basic constraints, where present.
    pub basic_constraints: Option<BasicConstraints>,
    /// Key usage, where present.
    pub key_usage: Option<KeyUsage>,
    /// Extended key usage, where present.
    pub extended_key_usage: Option<ExtendedKeyUsage>,
    /// Whether name constraints are critical, where present.
    pub name_constraints_critical: Option<bool>,
    /// Whether the subject alternative name is critical, where present.
    pub alternative_name_critical: Option<bool>,
    /// Common names of the subject.
    pub common_names: Vec<String>,
    /// DNS names of the subject alternative name.
    pub dns_names: Vec<String>,
    /// URIs of the subject alternative name.
    pub uris: Vec<String>,
    /// IP addresses of the subject alternative name.
    pub addresses: Vec<IpAddr>,
}

/// The kind of a key, public or private.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// RSA.
    Rsa {
        /// Length of the modulus in bits.
        bits: usize,
        /// The public exponent; `u64::MAX` stands for everything that is not smaller.
        exponent: u64,
    },
    /// ECDSA on NIST P-256, point uncompressed.
    P256,
    /// ECDSA on NIST P-384, point uncompressed.
    P384,
    /// Ed25519.
    Ed25519,
    /// Any other, and any that is malformed.
    Other,
}

/// The kind of a signature on a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureKind {
    /// RSA (PKCS#1 v1.5 or PSS) or ECDSA, with SHA-256, SHA-384 or SHA-512.
    Sha2,
    /// Ed25519.
    Ed25519,
    /// Any other: MD5, SHA-1 and everything unlisted.
    Other,
}

/// Basic constraints (RFC 5280, 4.2.1.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BasicConstraints {
    /// Whether the extension is critical.
    pub critical: bool,
    /// Whether the subject is a CA.
    pub ca: bool,
}

/// Authority key identifier (RFC 5280, 4.2.1.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorityKeyIdentifier {
    /// The identifier of the issuer's key, where it names one.
    pub key_identifier: Option<Vec<u8>>,
    /// Whether it names the issuer's certificate by issuer or serial number.
    pub names_certificate: bool,
}

/// Key usage (RFC 5280, 4.2.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyUsage {
    /// Lists keyCertSign.
    pub certificate_signing: bool,
    /// Lists cRLSign.
    pub crl_signing: bool,
}

/// Extended key usage (RFC 5280, 4.2.1.12).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtendedKeyUsage {
    /// Whether the extension is critical.
    pub critical: bool,
    /// Lists anyExtendedKeyUsage, which counts as neither of the others.
    pub any: bool,
    /// Lists clientAuth.
    pub client_auth: bool,
    /// Lists serverAuth.
    pub server_auth: bool,
}

/// The client's private key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrivateKeyFacts {
    /// Its kind.
    pub kind: KeyKind,
    /// Whether it is the key of the first certificate in `clientCertificate`.
    pub possession: Possession,
}

/// How a private key relates to a certificate's public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Possession {
    /// It is the private half.
    Proven,
    /// It is the private half of another key, or there is no certificate to compare it with.
    OtherKey,
    /// It names the right public key, but its parts contradict one another or cannot sign.
    Broken,
}

/// Whether a path with valid signatures leads from a leaf to a certificate of `caCertificate`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathFacts {
    /// One does.
    Leads,
    /// None: no certificate has the issuer's name.
    UnknownIssuer,
    /// A certificate has the issuer's name, but the signature is not its key's.
    BadSignature,
    /// A signature of a kind that is not supported for the issuer's key.
    UnsupportedSignature,
    /// A name lies outside the name constraints of an issuer.
    NameConstraints,
    /// More intermediates than an issuer allows.
    TooLong,
    /// A certificate on the path is not for this use: an issuer that is not a CA or whose extended key usage excludes it,
    /// or a leaf that is a CA or lacks the usage.
    Usage,
    /// There is no moment at which all certificates on the path are valid.
    NeverValidTogether,
    /// None, for any other reason.
    Other,
}
