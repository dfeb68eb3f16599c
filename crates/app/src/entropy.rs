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
    use zmon_domain::pairing::{PAIRING_ALPHABET, PairingCode};

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

    /// Codes that are drawn as the device draws them.
    const CODES: usize = 500_000;

    /// Pearson's statistic: how far counts are from being equal.
    fn chi_square(counts: &[u32]) -> f64 {
        let expected = f64::from(counts.iter().sum::<u32>()) / counts.len() as f64;
        counts
            .iter()
            .map(|count| (f64::from(*count) - expected).powi(2) / expected)
            .sum()
    }

    /// What the statistic of equally likely cells exceeds once in 10^15 times: the Chernoff bound, solved for x in
    /// (x e^(1-x))^(k/2) = 10^-15 with k degrees of freedom.
    fn limit(cells: usize) -> f64 {
        let freedom = (cells - 1) as f64;
        let (mut low, mut high) = (1.0, 100.0);
        for _ in 0..100 {
            let x: f64 = (low + high) / 2.0;
            let rarer = (x.ln() + 1.0 - x) * freedom / 2.0 < -15.0 * std::f64::consts::LN_10;
            *(if rarer { &mut high } else { &mut low }) = x;
        }
        high * freedom
    }

    /// The largest statistic of any place and any two neighbouring places, as parts of its limit; below 1 all codes are
    /// equally likely as far as such a sample tells.
    fn unevenness(mut draw: impl FnMut() -> [u8; 6]) -> f64 {
        let (mut places, mut pairs) = (vec![[0_u32; 32]; 6], vec![vec![0_u32; 1024]; 5]);
        let place_of = |letter: u8| PAIRING_ALPHABET.iter().position(|other| *other == letter).unwrap();
        for _ in 0..CODES {
            let code = PairingCode::from_random(&mut draw());
            let letters: Vec<usize> = code.expose().bytes().map(place_of).collect();
            for (place, letter) in letters.iter().enumerate() {
                places[place][*letter] += 1;
            }
            for (pair, two) in letters.windows(2).enumerate() {
                pairs[pair][two[0] * 32 + two[1]] += 1;
            }
        }
        let places = places.iter().map(|counts| chi_square(counts) / limit(32));
        places
            .chain(pairs.iter().map(|counts| chi_square(counts) / limit(1024)))
            .fold(0.0, f64::max)
    }

    fn six_bytes() -> [u8; 6] {
        let mut bytes = [0; 6];
        SystemEntropy::new().fill(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn makes_every_pairing_code_equally_likely() {
        let found = unevenness(six_bytes);
        assert!(found < 1.0, "{found}");
        assert!(found > 0.5, "too even to be chance: {found}");
    }

    /// The control: each of these is what a careless generator does.
    #[test]
    fn finds_a_generator_that_prefers_codes() {
        // Folding 200 values onto 32 letters.
        let folded = unevenness(|| six_bytes().map(|byte| byte % 200));
        // One letter in thirty-two a tenth too often.
        let leaning =
            unevenness(|| six_bytes().map(|byte| if byte % 32 == 7 && six_bytes()[0] < 26 { 8 } else { byte }));
        // Each place as it should be, but one following from the other.
        let chained = unevenness(|| {
            let mut bytes = six_bytes();
            bytes[3] = if bytes[3] < 64 { bytes[2] } else { bytes[3] };
            bytes
        });
        for found in [folded, leaning, chained] {
            assert!(found > 1.0, "{folded} {leaning} {chained}");
        }
    }
}
