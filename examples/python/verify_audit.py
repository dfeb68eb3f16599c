#!/usr/bin/env python3
"""Verifies an exported audit of a monitor, with Python's standard library alone.

    zmon-provision audit export --out audit.jsonl          # at the monitor
    python3 verify_audit.py audit.jsonl [--receipt FILE]...

The first line of an export says the format, the device, the number of records and the hash of the last one; every other
line is a record. Each record carries the hash of the one before it. What is hashed is described in docs/audit.md.

A chain shows every change within it. That its end was cut, or that it was written anew, only an earlier head can show:
each receipt that the station was given has one. Verify receipts before you rely on them (verify_receipt.py); here they
are only read.

Exit code: 0 whole, 1 changed, cut or written anew, 2 no export.
"""

import argparse
import base64
import hashlib
import json
import sys

FORMAT = "z-monitor/audit/v1"
ABSENT = b"\xff" * 8


def field(value: bytes) -> bytes:
    """A field with its length before it."""
    return len(value).to_bytes(8, "big") + value


def record_hash(record: dict) -> str:
    """The hash of a record: SHA-256 over its fields, the hash itself left out."""
    parts = [
        field(FORMAT.encode()),
        field(bytes.fromhex(record["previous"])),
        field(record["sequence"].to_bytes(8, "big")),
        field(record["at"].to_bytes(8, "big")),
        field(record["event"].encode()),
    ]
    for name in ("session", "code", "detail"):
        text = record[name]
        parts.append(ABSENT if text is None else field(text.encode()))
    return hashlib.sha256(b"".join(parts)).hexdigest()


def receipt_head(path: str) -> tuple[int, str]:
    """How many records there were when a receipt was given, and the hash of the last."""
    with open(path, encoding="ascii") as file:
        claims = file.read().strip().split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
    head = claims["auditHead"]
    return claims["auditCount"], base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)).hex()


def wrong(why: str) -> None:
    print(why, file=sys.stderr)
    sys.exit(1)


def main() -> None:
    arguments = argparse.ArgumentParser(description="Verifies an exported audit of a monitor.")
    arguments.add_argument("export")
    arguments.add_argument("--receipt", action="append", default=[], help="a receipt of this monitor")
    arguments = arguments.parse_args()
    expected = [receipt_head(path) for path in arguments.receipt]

    count, head = 0, "0" * 64
    with open(arguments.export, encoding="utf-8") as lines:
        try:
            header = json.loads(next(lines, ""))
            if header["format"] != FORMAT:
                raise ValueError(header["format"])
        except (ValueError, KeyError, TypeError):
            print(f"{arguments.export} is no export of an audit in the format {FORMAT}", file=sys.stderr)
            sys.exit(2)
        for line in lines:
            record = json.loads(line)
            count += 1
            if record["sequence"] != count:
                wrong(f"record {count} is missing")
            if record["previous"] != head:
                wrong(f"record {count} does not continue the one before it")
            if record["hash"] != record_hash(record):
                wrong(f"record {count} is not what was written")
            head = record["hash"]
            for receipt_count, receipt in expected:
                if receipt_count == count and receipt != head:
                    wrong(f"record {count} is not the one that a receipt speaks of: the audit was written anew")
    if (count, head) != (header["count"], header["head"]):
        wrong(f"the export ends with record {count}, the audit had {header['count']}")
    for receipt_count, _ in expected:
        if receipt_count > count:
            wrong(f"the audit has {count} records, but had {receipt_count} when a receipt was given: it was cut")
    print(f"{header['deviceId']}: {count} records are whole, and hold what {len(expected)} receipts say")


if __name__ == "__main__":
    main()
