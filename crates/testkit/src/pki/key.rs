//! Keys in every form.

use openssl::asn1::Asn1Object;
use openssl::bn::{BigNum, BigNumContext};
use openssl::dsa::Dsa;
use openssl::ec::{EcGroup, EcKey, PointConversionForm};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{Id, PKey, Private};
use openssl::rsa::Rsa;

use super::extension::der;
use super::{pem, text};

/// Kinds of keys, good and bad.
#[derive(Clone, Copy, Debug)]
pub enum KeyType {
    /// NIST P-256.
    P256,
    /// NIST P-384.
    P384,
    /// NIST P-521.
    P521,
    /// The curve secp256k1.
    Secp256k1,
    /// Ed25519.
    Ed25519,
    /// RSA of so many bits with exponent 65537.
    Rsa(u32),
    /// RSA of so many bits with exponent 3.
    RsaExponent3(u32),
    /// DSA of 1024 bits.
    Dsa,
}

/// A key pair.
#[derive(Clone)]
pub struct Key(pub(super) PKey<Private>);

impl Key {
    /// A fresh key.
    #[must_use]
    pub fn new(kind: KeyType) -> Self {
        let curve = |nid| {
            let group = EcGroup::from_curve_name(nid).expect("OpenSSL knows the curve");
            PKey::from_ec_key(EcKey::generate(&group).expect("OpenSSL makes keys"))
        };
        let rsa = |bits, exponent: u32| {
            let exponent = BigNum::from_u32(exponent).expect("a small number");
            PKey::from_rsa(Rsa::generate_with_e(bits, &exponent).expect("OpenSSL makes keys"))
        };
        let key = match kind {
            KeyType::P256 => curve(Nid::X9_62_PRIME256V1),
            KeyType::P384 => curve(Nid::SECP384R1),
            KeyType::P521 => curve(Nid::SECP521R1),
            KeyType::Secp256k1 => curve(Nid::SECP256K1),
            KeyType::Ed25519 => PKey::generate_ed25519(),
            KeyType::Rsa(bits) => rsa(bits, 65_537),
            KeyType::RsaExponent3(bits) => rsa(bits, 3),
            KeyType::Dsa => PKey::from_dsa(Dsa::generate(1024).expect("OpenSSL makes keys")),
        };
        Self(key.expect("OpenSSL wraps its own keys"))
    }

    /// What key identifiers call it: 20 octets of the SHA-256 of its public key (RFC 7093, 2).
    #[must_use]
    pub fn identifier(&self) -> Vec<u8> {
        let public = self.0.public_key_to_der().expect("a public key");
        let digest = openssl::hash::hash(MessageDigest::sha256(), &public).expect("OpenSSL knows SHA-256");
        digest[..20].to_vec()
    }

    /// PEM, `PRIVATE KEY`.
    #[must_use]
    pub fn pkcs8_pem(&self) -> String {
        text(self.0.private_key_to_pem_pkcs8().expect("a private key"))
    }

    /// PEM, `EC PRIVATE KEY`.
    #[must_use]
    pub fn sec1_pem(&self) -> String {
        text(self.ec().private_key_to_pem().expect("a private key"))
    }

    /// PEM, `RSA PRIVATE KEY`.
    #[must_use]
    pub fn pkcs1_pem(&self) -> String {
        let rsa = self.0.rsa().expect("an RSA key");
        text(rsa.private_key_to_pem().expect("a private key"))
    }

    /// A P-256 key as PEM, `EC PRIVATE KEY`, without the optional public key.
    #[must_use]
    pub fn sec1_pem_without_public(&self) -> String {
        let scalar = self.ec().private_key().to_vec_padded(32).expect("a P-256 key");
        let curve = Asn1Object::from_str("1.2.840.10045.3.1.7").expect("an object identifier");
        let parts = [
            der(0x02, &[1]),
            der(0x04, &scalar),
            der(0xa0, &der(0x06, curve.as_slice())),
        ];
        pem("EC PRIVATE KEY", &der(0x30, &parts.concat()))
    }

    /// A P-256 key as PEM, `EC PRIVATE KEY`, with its own scalar and the public key of another.
    #[must_use]
    pub fn sec1_pem_with_public_of(&self, other: &Self) -> String {
        let scalar = self.ec().private_key().to_vec_padded(32).expect("a P-256 key");
        let ec = other.ec();
        let mut context = BigNumContext::new().expect("memory");
        let point = ec
            .public_key()
            .to_bytes(ec.group(), PointConversionForm::UNCOMPRESSED, &mut context)
            .expect("a point");
        let curve = Asn1Object::from_str("1.2.840.10045.3.1.7").expect("an object identifier");
        let parts = [
            der(0x02, &[1]),
            der(0x04, &scalar),
            der(0xa0, &der(0x06, curve.as_slice())),
            der(0xa1, &der(0x03, &[&[0], point.as_slice()].concat())),
        ];
        pem("EC PRIVATE KEY", &der(0x30, &parts.concat()))
    }

    /// An RSA key as PEM, `RSA PRIVATE KEY`, with its own public parts and the private parts of another.
    #[must_use]
    pub fn pkcs1_pem_with_private_of(&self, other: &Self) -> String {
        let (own, other) = (self.0.rsa().expect("an RSA key"), other.0.rsa().expect("an RSA key"));
        let part = |number: Option<&openssl::bn::BigNumRef>| {
            let mut octets = number.expect("a part of an RSA key").to_vec();
            octets.insert(0, 0);
            let redundant = octets.get(1).is_some_and(|second| second & 0x80 == 0);
            der(0x02, &octets[usize::from(redundant)..])
        };
        let parts = [
            der(0x02, &[0]),
            part(Some(own.n())),
            part(Some(own.e())),
            part(Some(other.d())),
            part(other.p()),
            part(other.q()),
            part(other.dmp1()),
            part(other.dmq1()),
            part(other.iqmp()),
        ];
        pem("RSA PRIVATE KEY", &der(0x30, &parts.concat()))
    }

    fn ec(&self) -> EcKey<Private> {
        self.0.ec_key().expect("a key on an elliptic curve")
    }

    /// Ed25519 hashes by itself.
    pub(super) fn digest(&self, wanted: MessageDigest) -> MessageDigest {
        if self.0.id() == Id::ED25519 {
            MessageDigest::null()
        } else {
            wanted
        }
    }
}
