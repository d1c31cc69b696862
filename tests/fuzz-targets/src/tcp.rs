//! TCP segments: headers with their options, and the walk over raw options.

use netstack::ip::{Ip, IpAddress, V4, V6};
use netstack::wire::checksum::verify_transport_checksum;
use netstack::wire::tcp::{
    HEADER_LEN, Header, PROTOCOL, fill_checksum, mss_option_offset, raw_options,
};

pub(crate) fn run(data: &[u8]) {
    walk(data);
    if data.len() >= HEADER_LEN {
        checksum::<V4>(data);
        checksum::<V6>(data);
    }
    let Ok(header) = Header::parse(data) else {
        return;
    };
    let mut emitted = vec![0; header.emit_len()];
    header.emit(&mut emitted);
    let parsed = Header::parse(&emitted).expect("what is emitted parses");
    // Options are emitted with padding, which may leave no room for the last blocks.
    let blocks = header.options.sack_blocks.as_slice();
    let kept = parsed.options.sack_blocks.as_slice();
    assert!(blocks.starts_with(kept));
    let mut expected = header;
    expected.header_len = emitted.len();
    expected.options.sack_blocks = parsed.options.sack_blocks;
    assert_eq!(parsed, expected);
}

/// The octets that an option is said to have are where it is said to be.
fn walk(data: &[u8]) {
    for option in raw_options(data).map_while(Result::ok) {
        assert_eq!(data[option.offset], option.kind);
        let start = option.offset + 2;
        assert_eq!(&data[start..start + option.data.len()], option.data);
    }
    if let Some(offset) = mss_option_offset(data) {
        assert!(data.len() >= offset + 2);
    }
}

fn checksum<I: Ip>(data: &[u8]) {
    let addr = I::Addr::from_octets(&[0x20; 16]).expect("as long as the longest address");
    let mut segment = data.to_vec();
    fill_checksum::<I>(addr, addr, &mut segment);
    assert!(verify_transport_checksum::<I>(
        addr, addr, PROTOCOL, &segment
    ));
}
