-- What a device keeps about its provisioning. Times are milliseconds since 1970-01-01T00:00:00Z.

-- The device itself: one row, written when the store is created.
CREATE TABLE device (
    id              INTEGER PRIMARY KEY CHECK (id = 1),
    -- UNPROVISIONED, PROVISIONED or DEPROVISIONED.
    status          TEXT    NOT NULL,
    -- NULL: the release date.
    time_floor_ms   INTEGER,
    -- Of the installation; all three are NULL where nothing is installed.
    completed_at_ms INTEGER,
    body_sha256     BLOB,
    receipt         TEXT,
    -- Number of audit records and hash of the last: a cut at the end of the audit shows.
    audit_count     INTEGER NOT NULL,
    audit_head      BLOB    NOT NULL
) STRICT;

CREATE TABLE settings (
    key           TEXT    PRIMARY KEY,
    value         TEXT    NOT NULL,
    changed_at_ms INTEGER NOT NULL,
    changed_by    TEXT    NOT NULL
) STRICT;

-- PEM as it was received.
CREATE TABLE credentials (
    role TEXT PRIMARY KEY CHECK (role IN ('client', 'client key', 'ca', 'server')),
    pem  TEXT NOT NULL
) STRICT;

-- What is tracked about each certificate of `credentials`, in the order of its PEM.
CREATE TABLE certificates (
    role          TEXT    NOT NULL CHECK (role IN ('client', 'ca', 'server')) REFERENCES credentials (role),
    position      INTEGER NOT NULL,
    serial        TEXT    NOT NULL,
    subject       TEXT    NOT NULL,
    issuer        TEXT    NOT NULL,
    not_before_ms INTEGER NOT NULL,
    not_after_ms  INTEGER NOT NULL,
    sha256        BLOB    NOT NULL CHECK (length(sha256) = 32),
    PRIMARY KEY (role, position)
) STRICT;

-- The audit: a hash chain (its encoding is described in src/audit.rs) to which records are only ever appended.
CREATE TABLE audit (
    seq      INTEGER PRIMARY KEY,
    at_ms    INTEGER NOT NULL,
    event    TEXT    NOT NULL,
    session  TEXT,
    code     TEXT,
    detail   TEXT,
    previous BLOB    NOT NULL CHECK (length(previous) = 32),
    hash     BLOB    NOT NULL CHECK (length(hash) = 32)
) STRICT;

CREATE TRIGGER audit_is_never_changed BEFORE UPDATE ON audit
BEGIN
    SELECT RAISE(ABORT, 'audit records are never changed');
END;

CREATE TRIGGER audit_is_never_removed BEFORE DELETE ON audit
BEGIN
    SELECT RAISE(ABORT, 'audit records are never removed');
END;

-- INSERT OR REPLACE removes without firing the trigger above; it is stopped here, as every gap and fork is.
CREATE TRIGGER audit_is_only_appended BEFORE INSERT ON audit
WHEN NEW.seq IS NOT (SELECT coalesce(max(seq), 0) + 1 FROM audit)
    OR NEW.previous IS NOT coalesce((SELECT hash FROM audit ORDER BY seq DESC LIMIT 1), zeroblob(32))
BEGIN
    SELECT RAISE(ABORT, 'audit records are only appended');
END;
