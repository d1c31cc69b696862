//! PROXY headers: what is read is written as something that is read as the same.

use proxy::l7::proxy_protocol::{self, AnnouncementV2};

pub(crate) fn run(data: &[u8]) {
    let Ok(Some(header)) = proxy_protocol::parse(data) else {
        return;
    };
    assert!(header.len <= data.len().min(proxy_protocol::MAX_LEN));
    assert_eq!(
        proxy_protocol::parse(&data[..header.len]),
        Ok(Some(header)),
        "what follows does not matter"
    );
    assert_eq!(proxy_protocol::parse(&data[..header.len - 1]), Ok(None));
    let Some(endpoints) = header.endpoints else {
        return;
    };
    let mut written = Vec::new();
    proxy_protocol::emit_v1(endpoints, &mut written);
    let read = proxy_protocol::parse(&written);
    assert_eq!(
        read.map(|read| read.and_then(|read| read.endpoints)),
        Ok(Some(endpoints))
    );
    written.clear();
    let announcement = AnnouncementV2 {
        crc32c: true,
        ..AnnouncementV2::default()
    };
    announcement.emit(endpoints, &mut written);
    let read = proxy_protocol::parse(&written);
    assert_eq!(
        read.map(|read| read.and_then(|read| read.endpoints)),
        Ok(Some(endpoints))
    );
}
