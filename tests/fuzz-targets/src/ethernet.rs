//! Ethernet headers: parsing never panics, and what parses is emitted as it was.

use netstack::wire::ethernet::{HEADER_LEN, Header};

pub(crate) fn run(data: &[u8]) {
    let Ok(header) = Header::parse(data) else {
        assert!(data.len() < HEADER_LEN);
        return;
    };
    let mut emitted = [0; HEADER_LEN];
    header.emit(&mut emitted);
    assert_eq!(emitted, data[..HEADER_LEN]);
}
