//! The operating system's random bytes.

use ring::rand::{SecureRandom, SystemRandom};
use zmon_ports::{Entropy, EntropyUnavailable};

/// `getrandom(2)`, which waits until the kernel's pool is ready.
#[derive(Clone, Debug)]
pub struct SystemEntropy(SystemRandom);

impl SystemEntropy {
    /// Needs no preparation.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the adapter that everyone else takes chance from"
    )]
    pub fn new() -> Self {
        Self(SystemRandom::new())
    }
}

impl Default for SystemEntropy {
    fn default() -> Self {
        Self::new()
    }
}

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyUnavailable> {
        self.0.fill(bytes).map_err(|_| EntropyUnavailable {
            cause: "the operating system gives no random bytes".into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_gives_the_same_bytes_twice() {
        let mut draws: Vec<[u8; 16]> = (0..1000)
            .map(|_| {
                let mut bytes = [0; 16];
                SystemEntropy::new().fill(&mut bytes).unwrap();
                bytes
            })
            .collect();
        draws.sort_unstable();
        draws.dedup();
        assert_eq!(draws.len(), 1000);
    }
}
