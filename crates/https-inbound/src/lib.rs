//! HTTPS listener that exists while pairing is open.
