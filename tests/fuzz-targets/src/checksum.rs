//! The Internet checksum: in pieces and incrementally it is what it is as a whole.
//!
//! The first octets say where the data is cut, which word changes, and to what.

use netstack::wire::checksum::{Sum, checksum, update_u16, update_u32};

pub(crate) fn run(data: &[u8]) {
    let Some((&[cut, at, new @ ..], data)) = data.split_first_chunk::<6>() else {
        return;
    };
    let whole = checksum(data);
    assert_eq!(whole, naive(data));

    let (front, back) = data.split_at(data.len().min(usize::from(cut)));
    let mut sum = Sum::new();
    sum.add_octets(front);
    sum.add_octets(back);
    assert_eq!(sum.checksum(), whole);

    let at = usize::from(at) * 2;
    let mut changed = data.to_vec();
    let Some(word) = changed.get_mut(at..).and_then(<[u8]>::first_chunk_mut) else {
        return;
    };
    let old = u32::from_be_bytes(*word);
    *word = new;
    let new = u32::from_be_bytes(new);
    let full = checksum(&changed);
    let by_words = update_u16(whole, (old >> 16) as u16, (new >> 16) as u16);
    let by_words = update_u16(by_words, old as u16, new as u16);
    for incremental in [update_u32(whole, old, new), by_words] {
        // Both stand for zero; which of the two data without any octet set gives is not told by
        // the change alone.
        let zero = [0, 0xffff];
        assert!(
            incremental == full || zero.contains(&full) && zero.contains(&incremental),
            "{incremental:04x} instead of {full:04x}"
        );
        if changed.iter().any(|octet| *octet != 0) {
            assert_eq!(incremental, full);
        }
    }
}

/// Word by word, as RFC 1071 section 1 has it.
fn naive(octets: &[u8]) -> u16 {
    let mut sum = 0_u32;
    for pair in octets.chunks(2) {
        let low = pair.get(1).copied().unwrap_or(0);
        sum += u32::from(u16::from_be_bytes([pair[0], low]));
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
