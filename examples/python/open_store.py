#!/usr/bin/env python3
"""Opens a monitor's store with SQLCipher of other hands, and prints what is in it.

For whoever has to look into a store without the monitor's software: database and wrapped key from one backup, and the key
of the key source. Nothing is written, and private keys are not printed. Stop the service first, or work on a copy.
"""

import argparse
import hashlib
import hmac
import json
import sys

import sqlcipher3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

MAGIC = b"z-monitor/dbkey\0"
SALT = b"z-monitor/wrapped-database-key/v1"


def derive(wrapping_key, info, length):
    return HKDF(hashes.SHA256(), length, SALT, info).derive(wrapping_key)


def unwrap(wrapped, wrapping_key):
    """The database key out of the 128 bytes of a wrapped one (docs/store.md)."""
    content, checksum = wrapped[:96], wrapped[96:]
    if len(wrapped) != 128 or not content.startswith(MAGIC) or hashlib.sha256(content).digest() != checksum:
        sys.exit("The wrapped key is damaged, or of a later version.")
    version, nonce, check, sealed = content[16:20], content[20:32], content[32:48], content[48:]
    if version != (1).to_bytes(4, "big"):
        sys.exit("The wrapped key is of a later version.")
    if not hmac.compare_digest(check, derive(wrapping_key, b"key check" + nonce, 16)):
        sys.exit("The wrapped key was wrapped by another key.")
    try:
        return AESGCM(derive(wrapping_key, b"encryption", 32)).decrypt(nonce, sealed, content[:48])
    except InvalidTag:
        sys.exit("The wrapped key is damaged.")


def rows(connection, query):
    cursor = connection.execute(query)
    names = [column[0] for column in cursor.description]
    readable = lambda value: value.hex() if isinstance(value, bytes) else value
    return [dict(zip(names, map(readable, row))) for row in cursor]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("database")
    parser.add_argument("--key-file", required=True, help="32 bytes: what the monitor's key source gives")
    arguments = parser.parse_args()
    with open(arguments.key_file, "rb") as file:
        wrapping_key = file.read()
    with open(arguments.database + "-key", "rb") as file:
        key = unwrap(file.read(), wrapping_key)
    connection = sqlcipher3.connect(arguments.database)
    connection.execute(f"""PRAGMA key = "x'{key.hex()}'\"""")
    try:
        connection.execute("PRAGMA query_only = ON")
        tables = {
            "device": "SELECT * FROM device",
            "settings": "SELECT * FROM settings ORDER BY key",
            "credentials": "SELECT role, length(pem) AS pem_length FROM credentials ORDER BY role",
            "certificates": "SELECT * FROM certificates ORDER BY role, position",
            "administration": "SELECT * FROM administration",
            "audit": "SELECT * FROM audit ORDER BY seq",
        }
        print(json.dumps({name: rows(connection, query) for name, query in tables.items()}, indent=2))
    except sqlcipher3.DatabaseError as error:
        sys.exit(f"The database does not open with this key: {error}.")


if __name__ == "__main__":
    main()
