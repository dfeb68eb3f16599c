"""Provisions a monitor with jwcrypto: sign, seal, push."""

import json

from jwcrypto.jwe import JWE
from jwcrypto.jwk import JWK
from jwcrypto.jws import JWS

import zmon


def sign(station: zmon.Station, device_id: str, payload: dict) -> str:
    """A compact JWS with a header of exactly `alg`."""
    if station.master:
        key = JWK(kty="oct", k=zmon.b64(station.device_key(device_id)))
    else:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        key = JWK.from_pyca(Ed25519PrivateKey.from_private_bytes(station.seed))
    jws = JWS(json.dumps(payload))
    jws.add_signature(key, alg=station.algorithm, protected=json.dumps({"alg": station.algorithm}))
    return jws.serialize(compact=True)


def wrap(qr: dict, signed: str) -> str:
    """A compact JWE to the key in the QR code."""
    header = {"alg": "ECDH-ES+A256KW", "enc": "A256GCM", "cty": "JOSE"}
    jwe = JWE(signed.encode(), json.dumps(header))
    jwe.add_recipient(JWK(kty="OKP", crv="X25519", x=qr["key"]))
    return jwe.serialize(compact=True)


def seal(station: zmon.Station, qr: dict, payload: dict) -> str:
    return wrap(qr, sign(station, qr["deviceId"], payload))


if __name__ == "__main__":
    zmon.main(seal, __doc__)
