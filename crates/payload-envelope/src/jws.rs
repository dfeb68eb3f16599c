//! Signed text: one JWS in compact serialisation. The key fixes the algorithm; the header has to agree.

use josekit::jws::{JwsHeader, JwsSigner};
use openssl::nid::Nid;
use openssl::pkey::{Id, PKey, Public};
use ring::hmac;
use ring::signature::{self, UnparsedPublicKey};
use zeroize::Zeroizing;
use zmon_domain::secret::{SecretBytes, SecretText};

use crate::refusal::Refusal;
use crate::{compact, der, header};

/// A JWS whose header is exactly `alg`, and `typ` where one is given.
pub(crate) fn sign(payload: &[u8], typ: Option<&str>, signer: &dyn JwsSigner) -> Result<String, Refusal> {
    let mut header = JwsHeader::new();
    if let Some(typ) = typ {
        header.set_token_type(typ);
    }
    josekit::jws::serialize_compact(payload, &header, signer).map_err(|_| Refusal("The key cannot sign."))
}

/// `HS256`.
pub(crate) fn hmac_signer(key: &SecretBytes<32>) -> Result<Box<dyn JwsSigner>, Refusal> {
    match josekit::jws::HS256.signer_from_bytes(key.expose()) {
        Ok(signer) => Ok(Box::new(signer)),
        Err(_) => Err(Refusal("The HMAC key cannot be used.")),
    }
}

/// `EdDSA` with an Ed25519 key, given as its 32-byte seed.
pub(crate) fn ed25519_signer(seed: &SecretBytes<32>) -> Result<Box<dyn JwsSigner>, Refusal> {
    match josekit::jws::EdDSA.signer_from_der(der::ed25519_private(seed)) {
        Ok(signer) => Ok(Box::new(signer)),
        Err(_) => Err(Refusal("The Ed25519 key cannot be used.")),
    }
}

/// `ES256`, `ES384`, `EdDSA` or `PS256`, by the type of a private key in PEM: PKCS#8, SEC1 or PKCS#1.
pub(crate) fn client_signer(pem: &SecretText) -> Result<Box<dyn JwsSigner>, Refusal> {
    const UNUSABLE: Refusal = Refusal("The client key cannot be used for signing.");
    // Without the callback OpenSSL would ask the terminal for the passphrase of an encrypted key.
    let key = PKey::private_key_from_pem_callback(pem.expose().as_bytes(), |_| Ok(0)).map_err(|_| UNUSABLE)?;
    let der = Zeroizing::new(key.private_key_to_pkcs8().map_err(|_| UNUSABLE)?);
    let kind = Kind::of(&*key)?;
    let signer: Result<Box<dyn JwsSigner>, _> = match kind {
        Kind::P256 => josekit::jws::ES256
            .signer_from_der(&*der)
            .map(|signer| Box::new(signer) as _),
        Kind::P384 => josekit::jws::ES384
            .signer_from_der(&*der)
            .map(|signer| Box::new(signer) as _),
        Kind::Ed25519 => josekit::jws::EdDSA
            .signer_from_der(&*der)
            .map(|signer| Box::new(signer) as _),
        Kind::Rsa => josekit::jws::PS256
            .signer_from_der(&*der)
            .map(|signer| Box::new(signer) as _),
    };
    signer.map_err(|_| UNUSABLE)
}

/// A key that verifies, and with it the one algorithm that it is for.
pub(crate) enum VerifyingKey {
    /// `HS256`.
    Hmac(SecretBytes<32>),
    /// A public key.
    Public {
        algorithm: &'static str,
        key: UnparsedPublicKey<Vec<u8>>,
    },
}

impl VerifyingKey {
    /// `EdDSA` with an Ed25519 public key.
    pub(crate) fn ed25519(public_key: &[u8]) -> Self {
        Self::Public {
            algorithm: "EdDSA",
            key: UnparsedPublicKey::new(&signature::ED25519, public_key.to_vec()),
        }
    }

    /// `ES256`, `ES384`, `EdDSA` or `PS256`, by the key's type.
    pub(crate) fn client(public_key: &PKey<Public>) -> Result<Self, Refusal> {
        const UNUSABLE: Refusal = Refusal("The client's public key cannot be used for verifying.");
        let (algorithm, mechanism, bytes): (_, &'static dyn signature::VerificationAlgorithm, _) =
            match Kind::of(public_key)? {
                Kind::P256 => (
                    "ES256",
                    &signature::ECDSA_P256_SHA256_FIXED,
                    public_key.ec_key().and_then(|key| point(&key)),
                ),
                Kind::P384 => (
                    "ES384",
                    &signature::ECDSA_P384_SHA384_FIXED,
                    public_key.ec_key().and_then(|key| point(&key)),
                ),
                Kind::Ed25519 => ("EdDSA", &signature::ED25519, public_key.raw_public_key()),
                Kind::Rsa => (
                    "PS256",
                    &signature::RSA_PSS_2048_8192_SHA256,
                    public_key.rsa().and_then(|key| key.public_key_to_der_pkcs1()),
                ),
            };
        Ok(Self::Public {
            algorithm,
            key: UnparsedPublicKey::new(mechanism, bytes.map_err(|_| UNUSABLE)?),
        })
    }

    /// The payload of a JWS with a header of exactly this key's `alg`, and `typ` where one is given.
    pub(crate) fn verify(&self, text: &str, typ: Option<&str>) -> Result<Zeroizing<Vec<u8>>, Refusal> {
        let [protected, payload, signature] = compact::parts(text).ok_or(Refusal(
            "The message does not have the three parts of a JWS in compact serialisation.",
        ))?;
        header::check_signed(protected, self.algorithm(), typ)?;
        let signature = compact::decode(signature).ok_or(Refusal("The signature is not base64url."))?;
        let signed = &text.as_bytes()[..protected.len() + 1 + payload.len()];
        let verified = match self {
            Self::Hmac(key) => hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, key.expose()), signed, &signature),
            Self::Public { key, .. } => key.verify(signed, &signature),
        };
        verified.map_err(|_| Refusal("The signature was made with another key, or the message was changed."))?;
        compact::decode(payload).ok_or(Refusal("The signed payload is not base64url."))
    }

    fn algorithm(&self) -> &'static str {
        match self {
            Self::Hmac(_) => "HS256",
            Self::Public { algorithm, .. } => algorithm,
        }
    }
}

/// The client keys of the protocol.
#[derive(Clone, Copy)]
enum Kind {
    P256,
    P384,
    Ed25519,
    Rsa,
}

impl Kind {
    fn of<T: openssl::pkey::HasPublic>(key: &openssl::pkey::PKeyRef<T>) -> Result<Self, Refusal> {
        let kind = match key.id() {
            Id::EC => match key.ec_key().ok().and_then(|key| key.group().curve_name()) {
                Some(Nid::X9_62_PRIME256V1) => Some(Self::P256),
                Some(Nid::SECP384R1) => Some(Self::P384),
                _ => None,
            },
            Id::ED25519 => Some(Self::Ed25519),
            Id::RSA if (2048..=4096).contains(&key.bits()) => Some(Self::Rsa),
            _ => None,
        };
        kind.ok_or(Refusal(
            "The client key is none of ECDSA P-256 or P-384, Ed25519, RSA of 2048 to 4096 bits.",
        ))
    }
}

fn point(key: &openssl::ec::EcKey<Public>) -> Result<Vec<u8>, openssl::error::ErrorStack> {
    let mut context = openssl::bn::BigNumContext::new()?;
    key.public_key().to_bytes(
        key.group(),
        openssl::ec::PointConversionForm::UNCOMPRESSED,
        &mut context,
    )
}
