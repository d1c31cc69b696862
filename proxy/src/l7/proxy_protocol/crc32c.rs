//! CRC-32C (Castagnoli), as in RFC 9260 appendix A; one octet at a time, for headers.

/// The polynomial, lowest power first.
const POLYNOMIAL: u32 = 0x82f6_3b78;

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut entry = index as u32;
        let mut bit = 0;
        while bit < 8 {
            entry = (entry >> 1) ^ (POLYNOMIAL & (entry & 1).wrapping_neg());
            bit += 1;
        }
        table[index] = entry;
        index += 1;
    }
    table
};

/// A sum under way.
pub(super) struct Crc32c(u32);

impl Crc32c {
    /// Of nothing yet.
    pub(super) fn new() -> Self {
        Self(!0)
    }

    /// Adds octets.
    pub(super) fn add(&mut self, octets: &[u8]) {
        for octet in octets {
            let index = (self.0 ^ u32::from(*octet)) & 0xff;
            self.0 = (self.0 >> 8) ^ TABLE[index as usize];
        }
    }

    /// The sum.
    pub(super) fn finish(self) -> u32 {
        !self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_value_of_the_catalogue() {
        let mut sum = Crc32c::new();
        sum.add(b"1234");
        sum.add(b"56789");
        assert_eq!(sum.finish(), 0xe306_9283);
    }
}
