"""Provisions a monitor with joserfc: sign, seal, push."""

import json

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc import jwe, jws
from joserfc.jwk import OctKey, OKPKey

import zmon


def sign(station: zmon.Station, device_id: str, payload: dict) -> str:
    """A compact JWS with a header of exactly `alg`."""
    if station.master:
        key = OctKey.import_key(station.device_key(device_id))
    else:
        private = Ed25519PrivateKey.from_private_bytes(station.seed)
        key = OKPKey.import_key(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    header = {"alg": station.algorithm}
    return jws.serialize_compact(header, json.dumps(payload), key, algorithms=[station.algorithm])


def wrap(qr: dict, signed: str) -> str:
    """A compact JWE to the key in the QR code."""
    header = {"alg": "ECDH-ES+A256KW", "enc": "A256GCM", "cty": "JOSE"}
    key = OKPKey.import_key({"kty": "OKP", "crv": "X25519", "x": qr["key"]})
    return jwe.encrypt_compact(header, signed, key, algorithms=["ECDH-ES+A256KW", "A256GCM"])


def seal(station: zmon.Station, qr: dict, payload: dict) -> str:
    return wrap(qr, sign(station, qr["deviceId"], payload))


if __name__ == "__main__":
    zmon.main(seal, __doc__)
