//! Memory in huge pages, where the kernel has free ones.

mod rig;

use std::fs;

use dpdk_io::{DpdkError, Eal, EalConfig};

/// Free huge pages of 2 MiB.
fn free() -> u32 {
    let free = fs::read_to_string("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages");
    free.map_or(0, |free| free.trim().parse().unwrap_or(0))
}

#[test]
fn frames_pass_in_huge_pages() {
    let config = EalConfig {
        huge_pages: true,
        memory_mib: 1 << 30,
        virtual_devices: vec!["net_ring0".to_owned()],
        ..EalConfig::default()
    };
    let missing = Eal::init(&config).unwrap_err();
    assert!(
        matches!(missing, DpdkError::HugePagesMissing { wanted_mib, .. } if wanted_mib == 1 << 30),
        "{missing}"
    );
    if free() < 64 {
        println!("skipped: needs 64 free huge pages of 2 MiB");
        return;
    }
    let config = EalConfig {
        memory_mib: 128,
        ..config
    };
    let eal = Eal::init(&config).unwrap();
    let pool = rig::pool(&eal);
    let mut port = rig::open(&eal, "net_ring0", 1, &pool);
    let mut queue = rig::pair(&mut port);
    let frames = rig::frames(100);
    rig::send(&mut queue, &frames);
    rig::assert_frames(&rig::receive(&mut queue, 100), &frames);
    drop(queue);
    rig::finish(eal, vec![port], pool);
}
