//! A device that no driver knows: the start fails, and says which devices to look at.

use dpdk_io::{Eal, EalConfig};

#[test]
fn a_device_without_driver_is_named() {
    let config = EalConfig {
        virtual_devices: vec!["net_nosuch0,x=1".to_owned()],
        ..EalConfig::default()
    };
    assert_eq!(
        Eal::init(&config).unwrap_err().to_string(),
        "no driver knows one of the devices `net_nosuch0,x=1`: check how it is written, and that \
         the package of its driver is installed (Debian: `librte-net-...`)"
    );
}
