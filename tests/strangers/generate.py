"""Random payloads, one line of JSON for each line on standard input: generate.py jwcrypto|joserfc

A line in: `qr` (the QR code's text), `now` (ms), `master` or `seed` (base64url), `pki` (sets of PEM texts to choose from).
A line out: `body`, the `signed` message inside it, and the `payload`.
"""

import importlib
import json
import random
import sys

import zmon

LETTERS = "abc XYZ 0189-_.#/äößéñçłřžđ ΑΩπ ЖЯщ 中文监护仪 日本 한국 שלום مراقبة हिन्दी ไทย 🏥🫀💉"
library = importlib.import_module(f"provision_{sys.argv[1]}")
chance = random.SystemRandom()


def label() -> str:
    """1 to 64 scalars; the ends are no spaces, and bare marks that need a letter before them are avoided at the start."""
    length = chance.choice([1, 2, 63, 64, chance.randint(1, 64)])
    inner = "".join(chance.choice(LETTERS) for _ in range(length - 2))
    end = lambda: chance.choice("AzÄΩЖ中🏥7")
    return end() if length == 1 else end() + inner + end()


def members(pki: list[dict]) -> dict:
    found = dict(chance.choice(pki))
    pin = found.pop("serverCertificate")
    if chance.random() < 0.5:
        found["serverCertificate"] = pin
    if chance.random() < 0.7:
        found["syncInterval"] = chance.choice([1, 3600, chance.randint(1, 3600)])
    path = "".join(f"/{chance.randint(0, 10**6):x}" for _ in range(chance.randint(0, 4)))
    port = chance.choice(["", f":{chance.randint(1, 65535)}"])
    language = "".join(chance.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(chance.choice([2, 3])))
    return found | {
        "serverUrl": f"https://central.example.org{port}{path}",
        "deviceLabel": label(),
        "measurementUnit": chance.choice(["METRIC", "IMPERIAL"]),
        "language": chance.choice(["EN", "es", language, language.upper()]),
    }


for line in sys.stdin:
    asked = json.loads(line)
    key = {name: zmon.unb64(asked[name]) for name in ("master", "seed") if name in asked}
    station = zmon.Station(**key)
    qr = station.read_qr(asked["qr"])
    payload = zmon.payload(qr, asked["now"], **members(asked["pki"]))
    payload["expiresAt"] = asked["now"] + chance.randint(1, 3_600_000)
    pairs = list(payload.items())
    chance.shuffle(pairs)
    payload = dict(pairs)
    signed = library.sign(station, qr["deviceId"], payload)
    print(json.dumps({"body": library.wrap(qr, signed), "signed": signed, "payload": payload}), flush=True)
