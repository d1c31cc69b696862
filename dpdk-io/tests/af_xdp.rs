//! net_af_xdp on a veth pair: the driver shares the memory of the pool with the kernel.

mod rig;
#[path = "rig/wire.rs"]
mod wire;

use netstack::io::PacketBuf as _;
use wire::Wire;

#[test]
fn frames_pass_to_and_from_the_kernel() {
    if !rig::enter_namespace() {
        return;
    }
    rig::add_veth("three", "three-peer", 1);
    let eal = rig::eal(&["net_af_xdp0,iface=three"]);
    let pool = rig::pool(&eal);
    let mut port = rig::open(&eal, "net_af_xdp0", 1, &pool);
    assert_eq!(port.driver(), "net_af_xdp");
    let mut queue = rig::pair(&mut port);
    let wire = Wire::new("three-peer");
    let frames = rig::frames(1000);
    // In groups that fit the buffers of the kernel's sockets.
    for group in frames.chunks(32) {
        for frame in group {
            wire.send(frame);
        }
        rig::assert_frames(&rig::receive(&mut queue, group.len()), group);
        rig::send(&mut queue, group);
        rig::assert_frames(&wire.receive_all(group.len()), group);
    }
    assert_eq!(port.stats().unwrap().tx_frames, 1000);
    assert!(port.stats().unwrap().rx_frames >= 1000);
    let in_use = pool.in_use();

    // Nothing is lost on the way: the buffers out are those in the rings, and do not grow. Nor do
    // they with payloads attached, which the queue joins as the driver takes no chains.
    for group in frames.chunks(32) {
        rig::send(&mut queue, group);
        rig::assert_frames(&wire.receive_all(group.len()), group);
        for frame in group {
            rig::send_in_pieces(&mut queue, frame);
        }
        rig::assert_frames(&wire.receive_all(group.len()), group);
    }
    assert_eq!(pool.references_in_use(), 0);
    assert!(
        pool.in_use().abs_diff(in_use) <= 64,
        "{in_use} -> {}",
        pool.in_use()
    );

    // Nor does it matter where in the pool a buffer lies.
    let mut held: Vec<_> = core::iter::from_fn(|| pool.alloc()).collect();
    held.sort_by_key(|mbuf| mbuf.data().as_ptr());
    for _ in 0..8 {
        // Those with the highest addresses are lent next.
        held.truncate(held.len() - 96);
        rig::send(&mut queue, &frames[..32]);
        rig::assert_frames(&wire.receive_all(32), &frames[..32]);
    }
    drop(held);

    // The driver keeps what is in its rings when it is closed: that is no reason to refuse.
    let rings = u32::from(port.config().rx_descriptors) + u32::from(port.config().tx_descriptors);
    drop((queue, port));
    assert!((1..=rings).contains(&pool.in_use()), "{}", pool.in_use());
    drop(pool);
    eal.shutdown().unwrap();
}
