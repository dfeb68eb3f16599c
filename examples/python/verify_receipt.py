"""Verifies a monitor's receipt: HS256 with the receipt key, or with an Ed25519 anchor by the client certificate."""

import argparse
import hashlib
import json
import pathlib
import sys

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from jwcrypto.common import JWException
from jwcrypto.jwk import JWK
from jwcrypto.jws import JWS

import zmon

CLAIMS = {"version", "deviceId", "bodySha256", "certificateSha256", "completedAt", "auditCount", "auditHead"}


def key_and_algorithm(station: zmon.Station, device_id: str, certificate: x509.Certificate) -> tuple[JWK, str]:
    """The key fixes the algorithm; the receipt's header never chooses it."""
    if station.master:
        return JWK(kty="oct", k=zmon.b64(station.receipt_key(device_id))), "HS256"
    public = certificate.public_key()
    match public:
        case ec.EllipticCurvePublicKey(curve=ec.SECP256R1()):
            algorithm = "ES256"
        case ec.EllipticCurvePublicKey(curve=ec.SECP384R1()):
            algorithm = "ES384"
        case ed25519.Ed25519PublicKey():
            algorithm = "EdDSA"
        case rsa.RSAPublicKey():
            algorithm = "PS256"
        case _:
            raise zmon.Refused("The certificate's key is of a kind that receipts are not signed with.")
    return JWK.from_pyca(public), algorithm


def verify(station: zmon.Station, device_id: str, certificate_pem: str, body: bytes, receipt: str) -> dict:
    """The receipt's claims; `Refused` where it is not genuine or speaks of something else."""
    certificate = x509.load_pem_x509_certificate(certificate_pem.encode())
    key, algorithm = key_and_algorithm(station, device_id, certificate)
    jws = JWS()
    jws.allowed_algs = [algorithm]
    try:
        jws.deserialize(receipt, key, alg=algorithm)
    except (JWException, ValueError) as error:
        raise zmon.Refused(f"The receipt is not genuine: {type(error).__name__}.") from error
    if jws.jose_header != {"alg": algorithm, "typ": "zm-receipt"}:
        raise zmon.Refused("The receipt's header is not that of a receipt.")
    claims = json.loads(jws.payload)
    expected = {
        "version": 1,
        "deviceId": device_id,
        "bodySha256": zmon.b64(hashlib.sha256(body).digest()),
        "certificateSha256": zmon.b64(hashlib.sha256(certificate.public_bytes(Encoding.DER)).digest()),
    }
    if set(claims) != CLAIMS or any(claims[name] != value for name, value in expected.items()):
        raise zmon.Refused("The receipt is for another device, payload or certificate.")
    return claims


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("receipt", type=pathlib.Path)
    arguments.add_argument("--home", type=pathlib.Path, required=True, help="the station's folder")
    arguments.add_argument("--device-id", required=True)
    arguments.add_argument("--body", type=pathlib.Path, required=True, help="the body that was pushed")
    arguments.add_argument("--certificate", type=pathlib.Path, required=True, help="the issued client certificate")
    options = arguments.parse_args()
    try:
        claims = verify(
            zmon.Station.open(options.home),
            options.device_id,
            options.certificate.read_text(),
            options.body.read_bytes(),
            options.receipt.read_text().strip(),
        )
    except zmon.Refused as refusal:
        sys.exit(str(refusal))
    print(json.dumps(claims))


if __name__ == "__main__":
    main()
