//! What a stranger may cost the device.

use std::time::Duration;

/// Limits of the listener. The defaults are those of the product; tests shorten them.
///
/// Sources: `protocol.md`, "Push" and "Validation order"; `threats.md`, row 9.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// From the accepted connection to the end of the TLS handshake.
    pub handshake: Duration,
    /// For a request head, and for the pause before it on a connection that is kept alive.
    pub head: Duration,
    /// From the head to the end of the body.
    pub body: Duration,
    /// For a whole connection, not counting the time in which a payload is being processed.
    pub connection: Duration,
    /// What connections get to finish their answers after the listener was closed.
    pub closing: Duration,
    /// How long a connection is read on after its last answer, so that a client that is still sending hears it.
    pub linger: Duration,
    /// How many bytes are read on at most after the last answer.
    pub linger_bytes: usize,
    /// Largest body in bytes.
    pub max_body: usize,
    /// Connections at once.
    pub connections: usize,
    /// Connections at once from one address (IPv6: from one /64).
    pub connections_per_address: usize,
    /// How many of [`Self::connections`] are held back for addresses that have none yet.
    pub reserved_connections: usize,
    /// Envelopes that do not open before an address has to wait.
    pub free_attempts: u32,
    /// The time between attempts after that.
    pub attempt_interval: Duration,
    /// Status requests that an address may send at once.
    pub status_burst: u32,
    /// The time in which it earns one more.
    pub status_interval: Duration,
    /// Addresses remembered for each of the two rates.
    pub tracked_addresses: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(5),
            head: Duration::from_secs(5),
            body: Duration::from_secs(10),
            connection: Duration::from_secs(30),
            closing: Duration::from_secs(2),
            linger: Duration::from_secs(3),
            linger_bytes: 2 * 1024 * 1024,
            max_body: 64 * 1024,
            connections: 64,
            connections_per_address: 4,
            reserved_connections: 8,
            free_attempts: 3,
            attempt_interval: Duration::from_secs(5),
            status_burst: 10,
            status_interval: Duration::from_millis(200),
            tracked_addresses: 1024,
        }
    }
}
