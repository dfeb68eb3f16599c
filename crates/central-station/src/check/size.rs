//! Step 3: whether the payload will fit into one POST body.

use zmon_domain::error::{ErrorCode, ProvisioningError};
use zmon_payload_envelope::MAX_BODY;

use super::{Findings, Objection};

/// Characters of the shortest envelope beside the payload: the header of the JWE, its wrapped key, its nonce, its tag, the
/// four dots; within it the header of the JWS, its signature, two dots.
const JWE_FRAME: usize =
    base64url(r#"{"alg":"ECDH-ES+A256KW","enc":"A256GCM","epk":{"kty":"OKP","crv":"X25519","x":""}}"#.len() + 43)
        + base64url(40)
        + base64url(12)
        + base64url(16)
        + 4;
const JWS_FRAME: usize = base64url(r#"{"alg":"HS256"}"#.len()) + base64url(32) + 2;

pub(super) fn check(payload: &str, findings: &mut Findings) {
    let least = JWE_FRAME + base64url(JWS_FRAME + base64url(payload.len()));
    if least > MAX_BODY {
        let error = ProvisioningError::new(
            ErrorCode::PayloadTooLarge,
            format!("Sealed, it would have at least {least} bytes; a body may have {MAX_BODY}."),
        );
        findings.objections.push(Objection::new(None, &error));
    }
}

/// How long so many octets are in base64url without padding.
const fn base64url(octets: usize) -> usize {
    (octets * 4).div_ceil(3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_knows_the_length_of_the_guides_example() {
        // docs/central-station.md: header, key, nonce, ciphertext, tag. The header there is longer by `"cty":"JOSE",`.
        let least = JWE_FRAME + 5148;
        assert_eq!(184 + 54 + 16 + 5148 + 22 + 4 - base64url(13) + 1, least);
    }
}
