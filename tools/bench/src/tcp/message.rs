//! What clients and backends say: octets that can be checked.

/// Octets of a request and of a response.
pub const LEN: usize = 64;

/// Who speaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// The client.
    Request,
    /// The backend.
    Response,
}

/// The octets of the message `number` of `client`.
pub fn message(kind: Kind, client: u32, number: u32) -> [u8; LEN] {
    let seed = u64::from(client) << 32 | u64::from(number);
    let salt = match kind {
        Kind::Request => 0x9e37_79b9_7f4a_7c15,
        Kind::Response => 0xd1b5_4a32_d192_ed03_u64,
    };
    let mut octets = [0; LEN];
    octets[..8].copy_from_slice(&seed.to_be_bytes());
    for (at, word) in (1_u64..).zip(octets[8..].chunks_exact_mut(8)) {
        let mixed = (seed ^ at).wrapping_mul(salt).rotate_left(29) ^ salt;
        word.copy_from_slice(&mixed.to_be_bytes());
    }
    octets
}

/// Client and number of a request.
///
/// # Panics
/// If `octets` are not a request: the worker changed it on the way.
pub fn read_request(octets: &[u8]) -> (u32, u32) {
    let seed = octets
        .first_chunk()
        .map_or(0, |seed| u64::from_be_bytes(*seed));
    let (client, number) = ((seed >> 32) as u32, seed as u32);
    assert_eq!(
        octets,
        message(Kind::Request, client, number),
        "not a request"
    );
    (client, number)
}

/// The octet at a position of a long stream.
#[derive(Debug)]
pub struct Pattern {
    octets: Vec<u8>,
}

impl Pattern {
    /// After how many octets the pattern repeats: a prime, so that no ring or segment divides it.
    const PERIOD: usize = 65_521;

    /// The pattern, of which up to `longest` octets are looked at in one piece.
    pub fn new(longest: usize) -> Self {
        let octets = (0..Self::PERIOD)
            .map(|at| (at as u32).wrapping_mul(0x9e37_79b9).to_be_bytes()[0])
            .collect::<Vec<u8>>();
        Self {
            octets: octets
                .iter()
                .copied()
                .cycle()
                .take(Self::PERIOD + longest)
                .collect(),
        }
    }

    /// `len` octets from position `at` on.
    pub fn piece(&self, at: u64, len: usize) -> &[u8] {
        let start = (at % Self::PERIOD as u64) as usize;
        &self.octets[start..start + len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_tells_whose_it_is() {
        let request = message(Kind::Request, 7, 9);
        assert_eq!(read_request(&request), (7, 9));
        assert_ne!(request, message(Kind::Response, 7, 9));
        assert_ne!(request[8..], message(Kind::Request, 7, 10)[8..]);
    }

    #[test]
    #[should_panic(expected = "not a request")]
    fn a_changed_request_is_noticed() {
        let mut request = message(Kind::Request, 7, 9);
        request[63] ^= 1;
        read_request(&request);
    }

    #[test]
    fn a_pattern_goes_on_over_its_end() {
        let pattern = Pattern::new(100);
        let period = Pattern::PERIOD as u64;
        assert_eq!(pattern.piece(period - 1, 3)[1..], *pattern.piece(0, 2));
    }
}
