//! Octets that tell whether they arrived whole.
//!
//! A stream begins with its seed (8 octets); what follows is a function of the seed and the
//! position. So a receiver knows of each octet what it must be, streams of different seeds differ
//! nearly everywhere, and an octet that is missing, repeated or of another stream shows.

/// Octets of the seed at the front of each stream.
pub const SEED_LEN: u64 = 8;

/// Writes the octets of stream `seed` from position `at` on.
pub fn fill(seed: u64, at: u64, octets: &mut [u8]) {
    for (octet, position) in octets.iter_mut().zip(at..) {
        *octet = octet_at(seed, position);
    }
}

fn octet_at(seed: u64, position: u64) -> u8 {
    let word = position / 8;
    let mixed = if word == 0 { seed } else { mix(seed, word) };
    mixed.to_le_bytes()[(position % 8) as usize]
}

/// The second round of SplitMix64 over the word's place.
fn mix(seed: u64, word: u64) -> u64 {
    let state = seed.wrapping_add(word.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed ^ (mixed >> 27)
}

/// What has arrived of a stream.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Incoming {
    head: Vec<u8>,
    received: u64,
    corrupt_at: Option<u64>,
}

impl Incoming {
    /// Takes in the next octets.
    pub fn take(&mut self, octets: &[u8]) {
        let missing = SEED_LEN as usize - self.head.len();
        let (head, rest) = octets.split_at(missing.min(octets.len()));
        self.head.extend_from_slice(head);
        self.received += head.len() as u64;
        let Some(seed) = self.seed() else {
            return;
        };
        let mut expected = vec![0; rest.len()];
        fill(seed, self.received, &mut expected);
        if self.corrupt_at.is_none() && rest != expected {
            let same = rest.iter().zip(&expected).take_while(|(a, b)| a == b);
            self.corrupt_at = Some(self.received + same.count() as u64);
        }
        self.received += rest.len() as u64;
    }

    /// Octets that have arrived.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Which stream it is; `None` while fewer octets have arrived than tell.
    pub fn seed(&self) -> Option<u64> {
        let head = self.head.as_slice().try_into().ok()?;
        Some(u64::from_le_bytes(head))
    }

    /// Where the first octet is that should be another.
    pub fn corrupt_at(&self) -> Option<u64> {
        self.corrupt_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_in_pieces_is_recognized() {
        let mut octets = [0; 100];
        fill(7, 0, &mut octets);
        for split in 0..octets.len() {
            let mut incoming = Incoming::default();
            incoming.take(&octets[..split]);
            incoming.take(&octets[split..]);
            assert_eq!((incoming.received(), incoming.seed()), (100, Some(7)));
            assert_eq!(incoming.corrupt_at(), None);
        }
    }

    #[test]
    fn what_is_missing_or_wrong_shows() {
        let mut octets = [0; 100];
        fill(7, 0, &mut octets);
        let mut skipped = Incoming::default();
        skipped.take(&octets[..40]);
        skipped.take(&octets[41..]);
        assert_eq!(skipped.corrupt_at(), Some(40));
        let mut changed = Incoming::default();
        octets[60] ^= 1;
        changed.take(&octets);
        assert_eq!(changed.corrupt_at(), Some(60));
    }
}
