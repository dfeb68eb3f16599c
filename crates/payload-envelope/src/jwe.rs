//! The sealed envelope: one JWE in compact serialisation, `ECDH-ES+A256KW` with `A256GCM`.

use josekit::jwe::enc::A256GCM;
use josekit::jwe::{ECDH_ES_A256KW, JweContentEncryption, JweDecrypter, JweHeader};
use serde_json::json;
use zeroize::Zeroizing;
use zmon_domain::pairing::{SessionPrivateKey, SessionPublicKey};

use crate::refusal::Refusal;
use crate::{compact, der, header};

/// Longest POST body in bytes: 64 KiB.
pub const MAX_BODY: usize = 64 * 1024;

const DOES_NOT_OPEN: Refusal = Refusal("The envelope was not sealed to this session's key, or was changed on its way.");

/// The plaintext of an envelope that follows the protocol to the letter.
pub(crate) fn open(body: &[u8], key: &SessionPrivateKey) -> Result<Zeroizing<Vec<u8>>, Refusal> {
    if body.len() > MAX_BODY {
        return Err(Refusal("The envelope is larger than 64 KiB."));
    }
    let text = str::from_utf8(body).map_err(|_| Refusal("The envelope is not text."))?;
    let [protected, wrapped_key, nonce, ciphertext, tag] = compact::parts(text).ok_or(Refusal(
        "The envelope does not have the five parts of a JWE in compact serialisation.",
    ))?;
    let ephemeral_key = header::ephemeral_key(protected)?;
    let wrapped_key =
        compact::decode_array::<40>(wrapped_key).ok_or(Refusal("The wrapped key is not base64url of 40 bytes."))?;
    let nonce =
        compact::decode_array::<12>(nonce).ok_or(Refusal("The initialisation vector is not base64url of 12 bytes."))?;
    let tag =
        compact::decode_array::<16>(tag).ok_or(Refusal("The authentication tag is not base64url of 16 bytes."))?;
    let ciphertext = compact::decode(ciphertext).ok_or(Refusal("The ciphertext is not base64url."))?;

    // From here on the key is used. The key agreement itself refuses an all-zero shared secret.
    let content_key = unwrap_key(key, &ephemeral_key, &wrapped_key[..])?;
    A256GCM
        .decrypt(
            &content_key,
            Some(&nonce[..]),
            &ciphertext,
            protected.as_bytes(),
            Some(&tag[..]),
        )
        .map(Zeroizing::new)
        .map_err(|_| DOES_NOT_OPEN)
}

/// Seals `plaintext`, a JWS in compact serialisation, to a session.
pub(crate) fn seal(plaintext: &str, to: &SessionPublicKey) -> Result<String, Refusal> {
    let encrypter = ECDH_ES_A256KW
        .encrypter_from_der(der::x25519_public(to.as_bytes()))
        .map_err(|_| Refusal("The session's public key cannot be used."))?;
    let mut header = JweHeader::new();
    header.set_content_encryption(A256GCM.name());
    header.set_content_type("JOSE");
    let body = josekit::jwe::serialize_compact(plaintext.as_bytes(), &header, &encrypter).map_err(|_| {
        Refusal("The payload cannot be sealed to the session's public key. Scan the QR code on the screen again.")
    })?;
    if body.len() > MAX_BODY {
        return Err(Refusal(
            "The sealed payload is larger than 64 KiB. Send fewer or smaller certificates.",
        ));
    }
    Ok(body)
}

fn unwrap_key(key: &SessionPrivateKey, ephemeral_key: &str, wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, Refusal> {
    let mut header = JweHeader::new();
    header
        .set_claim("epk", Some(json!({"kty": "OKP", "crv": "X25519", "x": ephemeral_key})))
        .map_err(|_| DOES_NOT_OPEN)?;
    let decrypter = ECDH_ES_A256KW
        .decrypter_from_der(der::x25519_private(key))
        .map_err(|_| Refusal("The session's private key cannot be used."))?;
    let content_key = decrypter
        .decrypt(Some(wrapped), &A256GCM, &header)
        .map_err(|_| DOES_NOT_OPEN)?;
    Ok(Zeroizing::new(content_key.into_owned()))
}
