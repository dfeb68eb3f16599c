"""What both Python clients share: QR text, derived keys, the payload's members, the pinned push.

Nothing here comes from the project's Rust code: the standard library, and `cryptography` to read certificates.
"""

import argparse
import base64
import hashlib
import hmac
import http.client
import json
import pathlib
import ssl
import sys
import time

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


class Refused(Exception):
    """A sentence for a person: nothing was issued or sent, or the monitor refused."""


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def derive(key: bytes, purpose: str, device_id: str) -> bytes:
    """HKDF-SHA256 with the device id as info; `purpose` is provisioning, qr or receipt."""
    salt = f"z-monitor/{purpose}/v1".encode()
    return HKDF(SHA256(), 32, salt, device_id.encode()).derive(key)


class Station:
    """The keys of a station's folder, as `zmon-station init` makes it: one of the two trust anchors."""

    def __init__(self, master: bytes | None = None, seed: bytes | None = None, ca: str = ""):
        self.master, self.seed, self.ca = master, seed, ca

    @classmethod
    def open(cls, folder: pathlib.Path) -> "Station":
        key = lambda name: unb64((folder / name).read_text().strip()) if (folder / name).exists() else None
        station = cls(key("provisioning-master.key"), key("ed25519-signing.key"), (folder / "ca.pem").read_text())
        if (station.master is None) == (station.seed is None):
            raise Refused(f"{folder} must hold provisioning-master.key or ed25519-signing.key, and not both.")
        return station

    @property
    def algorithm(self) -> str:
        return "HS256" if self.master else "EdDSA"

    def device_key(self, device_id: str) -> bytes:
        return derive(self.master, "provisioning", device_id)

    def receipt_key(self, device_id: str) -> bytes:
        return derive(self.device_key(device_id), "receipt", device_id)

    def read_qr(self, text: str) -> dict:
        """The QR code's members, after its `mac` was verified: before that, nothing may be issued for it."""
        qr = json.loads(text)
        if qr["v"] != 1:
            raise Refused("The QR code is of another protocol version.")
        if self.master is None:
            if "mac" in qr:
                raise Refused("The QR code carries a mac, but this station signs with Ed25519.")
            return qr
        spoken, separator, _ = text.rpartition(',"mac":"')
        key = derive(self.device_key(qr["deviceId"]), "qr", qr["deviceId"])
        mac = b64(hmac.digest(key, spoken.encode(), "sha256")[:16])
        if not separator or not hmac.compare_digest(f'{spoken},"mac":"{mac}"}}', text):
            raise Refused("The QR code's mac is missing or wrong: it is not from a monitor of this station.")
        return qr


def payload(qr: dict, now: int | None = None, **members) -> dict:
    """The members that bind a payload to one screen and one moment, and those that the caller gives."""
    now = now or int(time.time() * 1000)
    bound = {"version": 1, "deviceId": qr["deviceId"], "sessionKey": qr["key"], "pairingCode": qr["pairingCode"]}
    return bound | members | {"timestamp": now, "expiresAt": now + 600_000}


class Pinned(http.client.HTTPSConnection):
    """HTTPS to a monitor: the pin replaces chain and name, and is checked before the first byte of HTTP."""

    def __init__(self, qr: dict, source: str | None = None):
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        where = (source, 0) if source else None
        super().__init__(qr["ipAddress"], qr.get("port", 8443), timeout=30, context=context, source_address=where)
        self.pin = qr["pin"]

    def connect(self):
        super().connect()
        certificate = x509.load_der_x509_certificate(self.sock.getpeercert(binary_form=True))
        spki = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        if not hmac.compare_digest(b64(hashlib.sha256(spki).digest()), self.pin):
            self.close()
            raise Refused("The pin does not match: this is not the monitor that showed the QR code. Nothing was sent.")


def push(qr: dict, body: bytes, source: str | None = None) -> tuple[int, dict]:
    """Status and answer. `http.client` follows no redirect."""
    connection = Pinned(qr, source)
    try:
        connection.request("POST", "/provisioning/configure", body, {"Content-Type": "application/jose"})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def main(seal, description: str) -> None:
    """The command line of a client; `seal(station, qr, payload)` gives the POST body."""
    arguments = argparse.ArgumentParser(description=description)
    arguments.add_argument("--qr", default="-", help="file with the QR code's text; - is standard input")
    arguments.add_argument("--home", type=pathlib.Path, required=True, help="the station's folder")
    arguments.add_argument("--client", type=pathlib.Path, help="folder of `zmon-station issue`")
    arguments.add_argument("--server-url")
    arguments.add_argument("--label")
    arguments.add_argument("--unit", default="METRIC")
    arguments.add_argument("--language", default="EN")
    arguments.add_argument("--body", type=pathlib.Path, help="push this sealed body instead of a new one")
    arguments.add_argument("--save-body", type=pathlib.Path, help="write the sealed body, to push it again")
    arguments.add_argument("--no-push", action="store_true", help="seal only; push with curl, for example")
    arguments.add_argument("--receipt", type=pathlib.Path, help="write the receipt")
    options = arguments.parse_args()
    try:
        text = sys.stdin.read() if options.qr == "-" else pathlib.Path(options.qr).read_text()
        station = Station.open(options.home)
        qr = station.read_qr(text.strip())
        if options.body:
            body = options.body.read_bytes()
        else:
            if not (options.client and options.server_url and options.label):
                raise Refused("A new payload needs --client, --server-url and --label.")
            body = seal(station, qr, payload(
                qr,
                serverUrl=options.server_url,
                clientCertificate=(options.client / "certificate.pem").read_text(),
                clientPrivateKey=(options.client / "key.pem").read_text(),
                caCertificate=station.ca,
                deviceLabel=options.label,
                measurementUnit=options.unit,
                language=options.language,
            )).encode()
        if options.save_body:
            options.save_body.write_bytes(body)
        if options.no_push:
            return
        status, answer = push(qr, body)
        if status != 200:
            raise Refused(f"{status} {answer['code']}: {answer['detail']} {answer['nextAction']}")
        if options.receipt:
            options.receipt.write_text(answer["receipt"])
        print(answer["message"])
    except Refused as refusal:
        sys.exit(str(refusal))
