//! The classifier that steers by software: what it says of a frame must lie in the frame.

use netstack::rss::{Toeplitz, symmetric_key};
use proxy::pipeline::classify::{Classified, Classifier};

pub(crate) fn run(data: &[u8]) {
    let classified = Classifier::default().classify(data);
    if let Some(ports) = classified.ports {
        let offset = usize::from(ports.offset.get());
        assert!(offset > Classified::IP_OFFSET && offset + 4 <= data.len());
        assert!(classified.class.family() == classified.family);
    }
    let toeplitz = Toeplitz::new(&symmetric_key(40)).expect("the key is long enough");
    let hash = classified.hash(data, &toeplitz);
    assert!(hash == 0 || classified.family.is_some());
}
