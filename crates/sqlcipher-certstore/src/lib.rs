//! Encrypted store for certificates, key, settings, status and audit on SQLCipher.
