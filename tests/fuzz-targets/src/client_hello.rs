//! ClientHellos: reading one in pieces comes to the same as reading it at once.

use proxy::l7::client_hello::{MAX_LEN, Parsed, parse};

pub(crate) fn run(data: &[u8]) {
    let mut scratch = Vec::new();
    let whole = parse(data, &mut scratch);
    if let Ok(Parsed::Needs(len)) = whole {
        assert!(data.len() < len && len <= MAX_LEN);
    }
    if let Ok(Parsed::Complete(hello)) = &whole {
        assert!(!hello.protocols.to_string().contains('\n'));
    }
    let mut len = 0;
    loop {
        match parse(&data[..len], &mut scratch) {
            Ok(Parsed::Needs(more)) => {
                assert!(more > len, "it gets further");
                if more > data.len() {
                    // What is wrong is not always seen when the least is there, but no later.
                    assert!(!matches!(whole, Ok(Parsed::Complete(_))));
                    return;
                }
                len = more;
            }
            early => {
                assert_eq!(early, whole);
                return;
            }
        }
    }
}
