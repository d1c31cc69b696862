//! Numbers that look random and follow from a seed.

/// A generator; SplitMix64.
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from `from` up to, but not, `to`.
    pub(super) fn within(&mut self, from: u32, to: u32) -> u32 {
        let span = u64::from(to.saturating_sub(from).max(1));
        from.wrapping_add((self.next() % span) as u32)
    }

    /// Whether something happens that does so in one of `of` cases.
    pub(super) fn one_in(&mut self, of: u32) -> bool {
        self.within(0, of) == 0
    }

    /// One of them.
    pub(super) fn choose<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.within(0, of.len() as u32) as usize]
    }
}
