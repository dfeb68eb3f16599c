//! The private key's facts: its kind, and whether it is the leaf's.

use ring::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair,
};
use x509_parser::asn1_rs::{Any, Class, FromDer, Oid, Tag};
use x509_parser::certificate::X509Certificate;
use x509_parser::public_key::RSAPublicKey;
use zmon_domain::certificate::{KeyKind, Possession, PrivateKeyFacts};

use crate::certificate::{Algorithm, Certificate, algorithm_kind, curve_kind, magnitude, rsa_kind};

/// PKCS#8 (RFC 5958), SEC1 (RFC 5915), PKCS#1 (RFC 8017).
pub(crate) const LABELS: [&str; 3] = ["PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY"];

/// None where it is not a key of the form that its label names.
pub(crate) fn examine(label: &str, der: &[u8], leaf: Option<&Certificate>) -> Option<PrivateKeyFacts> {
    let key = match label {
        "PRIVATE KEY" => PrivateKey::pkcs8(der)?,
        "EC PRIVATE KEY" => PrivateKey::sec1(der, None)?,
        _ => PrivateKey::pkcs1(der)?,
    };
    Some(PrivateKeyFacts {
        kind: key.kind(),
        possession: leaf.map_or(Possession::OtherKey, |leaf| key.possession(leaf)),
    })
}

/// Views into the decoded text; nothing is copied out of it.
enum PrivateKey<'a> {
    Rsa {
        pkcs1: &'a [u8],
        modulus: &'a [u8],
        exponent: &'a [u8],
    },
    Curve {
        curve: KeyKind,
        scalar: &'a [u8],
        public: Option<&'a [u8]>,
    },
    Ed25519 {
        seed: &'a [u8],
    },
    Other,
}

impl<'a> PrivateKey<'a> {
    /// `SEQUENCE { 0 or 1, privateKeyAlgorithm, privateKey OCTET STRING, ... }`
    fn pkcs8(der: &'a [u8]) -> Option<Self> {
        let mut fields = Fields::of_sequence(der)?;
        fields.version(&[0, 1])?;
        let mut algorithm = Fields(fields.universal(Tag::Sequence)?);
        let oid = algorithm.object_identifier()?;
        let curve = algorithm.object_identifier();
        let key = fields.universal(Tag::OctetString)?;
        match algorithm_kind(&oid, curve.as_ref()) {
            Some(Algorithm::Rsa) => Self::pkcs1(key),
            Some(Algorithm::Curve(KeyKind::Other)) | None => Some(Self::Other),
            Some(Algorithm::Curve(curve)) => Self::sec1(key, Some(curve)),
            Some(Algorithm::Ed25519) => {
                let mut fields = Fields(key);
                let seed = fields.universal(Tag::OctetString)?;
                fields.0.is_empty().then_some(Self::Ed25519 { seed })
            }
        }
    }

    /// `SEQUENCE { 1, privateKey OCTET STRING, parameters [0] OPTIONAL, publicKey [1] OPTIONAL }`; the curve stands in the
    /// parameters or around the key, and where it stands twice it is the same.
    fn sec1(der: &'a [u8], outer: Option<KeyKind>) -> Option<Self> {
        let mut fields = Fields::of_sequence(der)?;
        fields.version(&[1])?;
        let scalar = fields.universal(Tag::OctetString)?;
        let inner = match fields.tagged(0) {
            None => None,
            Some(field) => Some(curve_kind(&Fields(field).object_identifier()?)),
        };
        let public = match fields.tagged(1) {
            None => None,
            Some(field) => match Fields(field).universal(Tag::BitString)? {
                [0, point @ ..] => Some(point),
                _ => return None,
            },
        };
        let curve = match (outer, inner) {
            (Some(outer), Some(inner)) if outer != inner => return None,
            (outer, inner) => outer.or(inner)?,
        };
        fields.0.is_empty().then_some(Self::Curve { curve, scalar, public })
    }

    /// `SEQUENCE { 0, modulus, publicExponent, ... }`; the parts that follow are for ring to judge.
    fn pkcs1(der: &'a [u8]) -> Option<Self> {
        let mut fields = Fields::of_sequence(der)?;
        fields.version(&[0])?;
        Some(Self::Rsa {
            pkcs1: der,
            modulus: fields.universal(Tag::Integer)?,
            exponent: fields.universal(Tag::Integer)?,
        })
    }

    fn kind(&self) -> KeyKind {
        match self {
            Self::Rsa { modulus, exponent, .. } => rsa_kind(modulus, exponent),
            Self::Curve { curve, .. } => *curve,
            Self::Ed25519 { .. } => KeyKind::Ed25519,
            Self::Other => KeyKind::Other,
        }
    }

    fn possession(&self, leaf: &Certificate) -> Possession {
        let Ok((_, certificate)) = X509Certificate::from_der(&leaf.der) else {
            return Possession::OtherKey;
        };
        let leaf_key = certificate.public_key().subject_public_key.data.as_ref();
        if self.kind() != leaf.details.key {
            return Possession::OtherKey;
        }
        let proven = match self {
            Self::Rsa {
                pkcs1,
                modulus,
                exponent,
            } => match RSAPublicKey::from_der(leaf_key) {
                Ok((_, public))
                    if magnitude(public.modulus) == magnitude(modulus)
                        && magnitude(public.exponent) == magnitude(exponent) =>
                {
                    // Checks that the private parts belong to the public ones.
                    return match RsaKeyPair::from_der(pkcs1) {
                        Ok(_) => Possession::Proven,
                        Err(_) => Possession::Broken,
                    };
                }
                _ => false,
            },
            Self::Curve { curve, scalar, public } => {
                public.is_none_or(|public| public == leaf_key) && is_private_half(*curve, scalar, leaf_key)
            }
            Self::Ed25519 { seed } => Ed25519KeyPair::from_seed_and_public_key(seed, leaf_key).is_ok(),
            Self::Other => false,
        };
        if proven {
            Possession::Proven
        } else {
            Possession::OtherKey
        }
    }
}

/// Whether the scalar is the private half of the point.
fn is_private_half(curve: KeyKind, scalar: &[u8], point: &[u8]) -> bool {
    let algorithm = match curve {
        KeyKind::P256 => &ECDSA_P256_SHA256_ASN1_SIGNING,
        KeyKind::P384 => &ECDSA_P384_SHA384_ASN1_SIGNING,
        KeyKind::Rsa { .. } | KeyKind::Ed25519 | KeyKind::Other => return false,
    };
    #[expect(
        clippy::disallowed_methods,
        reason = "ring asks for chance to blind signatures; nothing is signed here and the answer does not depend on it"
    )]
    let random = ring::rand::SystemRandom::new();
    EcdsaKeyPair::from_private_key_and_public_key(algorithm, scalar, point, &random).is_ok()
}

/// DER elements, one after the other.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// The elements of a SEQUENCE behind which nothing follows.
    fn of_sequence(der: &'a [u8]) -> Option<Self> {
        let mut outer = Self(der);
        let content = outer.universal(Tag::Sequence)?;
        outer.0.is_empty().then_some(Self(content))
    }

    /// A version out of those that are known.
    fn version(&mut self, known: &[u8]) -> Option<()> {
        match self.universal(Tag::Integer)? {
            [version] if known.contains(version) => Some(()),
            _ => None,
        }
    }

    /// The parser's own `Oid::from_der` takes any tag.
    fn object_identifier(&mut self) -> Option<Oid<'a>> {
        self.universal(Tag::Oid).map(|content| Oid::new(content.into()))
    }

    fn universal(&mut self, tag: Tag) -> Option<&'a [u8]> {
        self.take(Class::Universal, tag)
    }

    /// An optional element in an explicit context-specific tag.
    fn tagged(&mut self, tag: u32) -> Option<&'a [u8]> {
        self.take(Class::ContextSpecific, Tag(tag))
    }

    /// The content of the next element, where it has this tag; else nothing is taken.
    fn take(&mut self, class: Class, tag: Tag) -> Option<&'a [u8]> {
        let (rest, element) = Any::from_der(self.0).ok()?;
        let constructed = class != Class::Universal || tag == Tag::Sequence;
        if element.class() != class || element.tag() != tag || element.header.constructed() != constructed {
            return None;
        }
        self.0 = rest;
        Some(element.data)
    }
}
