//! Keys that nobody outside may know.
//!
//! Random at every start; or, for replays and tests, all from one seed, so that the same packets
//! at the same times lead to the same answers. Workers share them: a client meets the same choice
//! of backend on each.

use core::fmt;

use thiserror::Error;

/// The operating system gave no random octets.
#[derive(Debug, Error)]
#[error("no random numbers from the operating system: {0}")]
pub struct NoEntropy(#[from] getrandom::Error);

/// All keys of a process.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct Secrets {
    /// For initial sequence numbers and the flow index.
    pub tcp: [u64; 4],
    /// For neighbor tables.
    pub neighbors: [u64; 2],
    /// For the source hash of backends.
    pub source_hash: u64,
    /// For the times of checks of backends.
    pub check_times: u64,
    /// For the hash by which flows are told apart, as a Toeplitz key.
    pub flows: [u8; 40],
    /// No key, but a number that no other process has: part of what sessions are called to others.
    pub process: u64,
}

impl Secrets {
    /// Fresh keys.
    pub fn random() -> Result<Self, NoEntropy> {
        let mut octets = [0; 8 * 14];
        getrandom::fill(&mut octets)?;
        let mut words = octets
            .chunks_exact(8)
            .map(|word| word.try_into().map_or(0, u64::from_le_bytes));
        Ok(Self::from_words(|| words.next().unwrap_or_default()))
    }

    /// Keys that anyone who knows `seed` can compute.
    pub fn from_seed(seed: u64) -> Self {
        // SplitMix64: an equidistributed sequence, mixed.
        let mut state = seed;
        Self::from_words(move || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ (mixed >> 31)
        })
    }

    fn from_words(mut word: impl FnMut() -> u64) -> Self {
        Self {
            tcp: core::array::from_fn(|_| word()),
            neighbors: core::array::from_fn(|_| word()),
            source_hash: word(),
            flows: {
                let mut key = [0; 40];
                for octets in key.chunks_exact_mut(8) {
                    octets.copy_from_slice(&word().to_le_bytes());
                }
                key
            },
            process: word(),
            check_times: word(),
        }
    }
}

impl fmt::Debug for Secrets {
    /// Never the keys themselves.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_always_gives_the_same_keys() {
        assert_eq!(Secrets::from_seed(1), Secrets::from_seed(1));
        assert_ne!(Secrets::from_seed(1), Secrets::from_seed(2));
        let Secrets { tcp, .. } = Secrets::from_seed(0);
        assert!(tcp.iter().all(|word| *word != 0) && tcp[0] != tcp[1]);
    }

    #[test]
    fn random_keys_differ_and_do_not_print() {
        let secrets = Secrets::random().unwrap();
        assert_ne!(secrets, Secrets::random().unwrap());
        assert_eq!(format!("{secrets:?}"), "Secrets");
    }
}
