//! JWS in JWE: seal and open payloads, sign and verify receipts, derive keys.
