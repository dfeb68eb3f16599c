"""Tries to read a store with less than its key; prints what SQLite says, and fails where anything can be read."""

import sqlite3
import sys

import sqlcipher3

ATTEMPTS = {
    "plain SQLite": (sqlite3, None),
    "SQLCipher without a key": (sqlcipher3, None),
    "SQLCipher with another raw key": (sqlcipher3, "5a" * 32),
}

for name, (library, key) in ATTEMPTS.items():
    connection = library.connect(f"file:{sys.argv[1]}?mode=ro", uri=True)
    if key:
        connection.execute(f"""PRAGMA key = "x'{key}'\"""")
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except library.DatabaseError as error:
        print(f"{name}: {error}")
    else:
        sys.exit(f"{name}: the database can be read")
