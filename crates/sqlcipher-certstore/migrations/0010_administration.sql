-- What administrators did and failed to do: one row.
CREATE TABLE administration (
    id          INTEGER PRIMARY KEY CHECK (id = 1),
    -- Wrong PINs in a row, each counted before the PIN was looked at.
    pin_misses  INTEGER NOT NULL CHECK (pin_misses >= 0),
    -- BEGUN or DONE; NULL: the device is not retired.
    retirement  TEXT,
    -- The signed record of the last destruction (JWS).
    destruction TEXT
) STRICT;

INSERT INTO administration VALUES (1, 0, NULL, NULL);
