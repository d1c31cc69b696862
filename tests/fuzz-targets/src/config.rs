//! Configuration texts: either errors that say something, or a configuration that hangs together.

use std::path::Path;

use proxy::config::Config;
use proxy::host::Host;

pub(crate) fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match Config::parse(&text, Path::new("fuzz.toml")) {
        Err(errors) => assert!(!errors.to_string().is_empty()),
        Ok((config, warnings)) => {
            for warning in warnings {
                assert!(!warning.to_string().is_empty());
            }
            Host::new(&config).expect("addresses and routes of a valid configuration fit");
        }
    }
}
