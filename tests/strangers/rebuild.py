"""Rebuilds a case of the vectors for a live session and pushes it: one line of JSON for each line on standard input.

A line in: the `case` and the vectors' `device` and `keys`, the `qr` code's text, `master` or `seed` of the live anchor
(base64url), `source`, the address to push from, and where the times are not to be moved to now, `delta`, by how much they are
moved. A line out: the HTTP `status`, the problem's `code`, `fault`, which says what the interface document does not say of the
answer, and the monitor's status `after` it.

The vector is opened with the vectors' session key. What binds it to session and moment is made live; everything else
stays as it is, to the byte: the payload's text, the headers, and which key signed. Only what cannot be opened, since the
case breaks just that, is broken again by name.
"""

import hmac
import json
import os
import re
import sys
import time

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.concatkdf import ConcatKDFHash
from cryptography.hazmat.primitives.keywrap import aes_key_wrap
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwcrypto.jwe import JWE
from jwcrypto.jwk import JWK

import interface
import zmon

JWS = re.compile(r"[\w-]+\.[\w-]*\.[\w-]*", re.ASCII)
HEADER = {"alg": "ECDH-ES+A256KW", "cty": "JOSE", "enc": "A256GCM"}
ZERO = zmon.b64(bytes(32))


def raw_public(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


class Rebuilt:
    """One case for one live session."""

    def __init__(self, asked: dict):
        self.asked, self.case, self.name = asked, asked["case"], asked["case"]["name"]
        self.device, self.keys = asked["device"], asked["keys"]
        self.qr = json.loads(asked["qr"])
        self.delta = asked.get("delta", int(time.time() * 1000) - self.case["nowMs"])

    def body(self) -> str:
        match self.name:
            case "reject-not-jose":
                return self.case["body"]
            case "reject-bare-jws":
                return self.message(self.case["body"])
            case "reject-wrong-session-key":
                return self.seal(self.good(), HEADER, JWK.generate(kty="OKP", crv="X25519").export(False, True)["x"])
            case "reject-flipped-tag":
                start, _, tag = self.seal(self.good(), HEADER).rpartition(".")
                return f"{start}.{'B' if tag[0] == 'A' else 'A'}{tag[1:]}"
            case "reject-extra-part":
                return self.seal(self.good(), HEADER) + "."
            case "reject-padded-base64":
                return self.seal(self.good(), HEADER).replace(".", "=.", 1)
            case "reject-json-serialisation":
                names = json.loads(self.case["body"])
                order = ["protected", "encrypted_key", "iv", "ciphertext", "tag"]
                assert list(names) == order
                return json.dumps(dict(zip(order, self.seal(self.good(), HEADER).split("."))))
            case "reject-low-order-epk":
                return self.seal_with_nothing(self.good())
        header = json.loads(zmon.unb64(self.case["body"].split(".")[0]))
        header.pop("epk")
        return self.seal(self.message(self.open()), header)

    def open(self) -> str:
        key = JWK(kty="OKP", crv="X25519", x=self.device["sessionPublicKey"], d=self.device["sessionPrivateKey"])
        jwe = JWE()
        jwe.deserialize(self.case["body"], key)
        return jwe.payload.decode("latin-1")

    def good(self) -> str:
        """What a vector held that cannot be opened: the plain good case."""
        self.case = self.asked["good"]
        return self.message(self.open())

    def seal(self, plain: str, header: dict, to: str | None = None) -> str:
        jwe = JWE(plain.encode("latin-1"), json.dumps(header))
        jwe.add_recipient(JWK(kty="OKP", crv="X25519", x=to or self.qr["key"]))
        return jwe.serialize(compact=True)

    def seal_with_nothing(self, plain: str) -> str:
        """With an all-zero ephemeral key everyone knows the shared secret: it is all zero, too."""
        header = zmon.b64(json.dumps(HEADER | {"epk": {"kty": "OKP", "crv": "X25519", "x": ZERO}}).encode())
        part = lambda text: len(text).to_bytes(4, "big") + text
        info = part(b"ECDH-ES+A256KW") + part(b"") + part(b"") + (256).to_bytes(4, "big")
        wrapping = ConcatKDFHash(SHA256(), 32, info).derive(bytes(32))
        content, nonce = os.urandom(32), os.urandom(12)
        sealed = AESGCM(content).encrypt(nonce, plain.encode("latin-1"), header.encode())
        parts = [aes_key_wrap(wrapping, content), nonce, sealed[:-16], sealed[-16:]]
        return ".".join([header, *map(zmon.b64, parts)])

    def message(self, plain: str) -> str:
        """The signed message for this session, by the key that stands to the live anchor as the old one to the old."""
        if not JWS.fullmatch(plain):
            return self.rebind(plain)
        header, payload, signature = plain.split(".")
        said = zmon.b64(self.rebind(zmon.unb64(payload).decode("latin-1")).encode("latin-1"))
        message = f"{header}.{said}"
        return f"{message}.{zmon.b64(self.sign(header, payload, zmon.unb64(signature), message.encode()))}"

    def sign(self, header: str, payload: str, signature: bytes, message: bytes) -> bytes:
        algorithm = json.loads(zmon.unb64(header))["alg"]
        old = f"{header}.{payload}".encode()
        if algorithm == "none":
            assert not signature
            return b""
        if algorithm == "HS256":
            return hmac.digest(self.hmac_key(old, signature), message, "sha256")
        assert algorithm == "EdDSA", algorithm
        return self.ed25519_key(old, signature).sign(message)

    def hmac_key(self, old: bytes, signature: bytes) -> bytes:
        master, device = zmon.unb64(self.keys["provisioningMasterKey"]), zmon.unb64(self.keys["deviceVerificationKey"])
        live = Ed25519PrivateKey.from_private_bytes(zmon.unb64(self.asked.get("seed", ZERO)))
        known = {
            device: device,
            master: master,
            zmon.derive(device, "receipt", self.device["deviceId"]): zmon.derive(device, "receipt", self.qr["deviceId"]),
            zmon.unb64(self.keys["ed25519PublicKey"]): raw_public(live),
        }
        for key, now in known.items():
            if hmac.compare_digest(hmac.digest(key, old, "sha256"), signature):
                return now
        assert self.name == "reject-wrong-hmac-key", "signed with a key that is not known"
        return os.urandom(32)

    def ed25519_key(self, old: bytes, signature: bytes) -> Ed25519PrivateKey:
        try:
            Ed25519PublicKey.from_public_bytes(zmon.unb64(self.keys["ed25519PublicKey"])).verify(signature, old)
        except InvalidSignature:
            assert self.name == "reject-wrong-ed25519-key", "signed with a key that is not known"
            return Ed25519PrivateKey.generate()
        # On a device with a derived key there is no anchor that this could be: any good signature will do.
        seed = zmon.unb64(self.asked["seed"]) if "seed" in self.asked else os.urandom(32)
        return Ed25519PrivateKey.from_private_bytes(seed)

    def rebind(self, text: str) -> str:
        """Session key and code where they were right, and the moments; nothing is parsed, so nothing is repaired."""
        text = text.replace(self.device["sessionPublicKey"], self.qr["key"])
        text = re.sub(f'(?i)("pairingCode":")({self.device["pairingCode"]})"', self.code, text)
        shifted = lambda found: found[1] + str(int(found[2]) + self.delta)
        return re.sub(r'("(?:timestamp|expiresAt)":"?)(\d+)', shifted, text)

    def code(self, found: re.Match) -> str:
        code = self.qr["pairingCode"]
        return f'{found[1]}{code.lower() if found[2].islower() else code}"'


for line in sys.stdin:
    asked = json.loads(line)
    rebuilt = Rebuilt(asked)
    to = {"interface": "push", "qr": rebuilt.qr, "source": asked["source"]}
    pushed = {"method": "POST", "path": "/provisioning/configure", "headers": {"Content-Type": "application/jose"}}
    answer = interface.ask(to | pushed | {"body": rebuilt.body()})
    after = interface.ask(to | {"method": "GET", "path": "/provisioning/status"})
    print(json.dumps(answer | {"after": after["body"].get("status")}), flush=True)
