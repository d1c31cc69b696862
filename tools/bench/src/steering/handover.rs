//! Packets from one worker to another, in bursts.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use netstack::io::PortId;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use proxy::handover::{Kind, Mailbox, Mailboxes, Message};

use super::{BURST, per_packet, rounds};

/// A packet on its way: as large as that of a device, which is a pointer to it.
type Item = Message<Box<[u8; 60]>>;

/// Packets that a ring holds.
const CAPACITY: usize = 512;

/// Bursts on their way between two cores: enough that neither waits for a single one.
const BURSTS_AHEAD: usize = 8;

/// Nanoseconds of a packet that goes in and out, in each of so many rounds.
pub fn on_one_core(count: usize, bursts: usize) -> Vec<f64> {
    let [mut one, mut other] = two_workers();
    let mut packets = packets(BURST);
    rounds(count, bursts, |_| {
        one.outbox_mut().send_burst(1, &mut packets);
        other.receive(BURST, &mut packets);
    })
}

/// Nanoseconds of a packet that comes back from another core, in each of so many rounds: both cores
/// take it out of one ring and put it into another, at the same time. `None` if there is only one
/// CPU.
///
/// # Errors
/// If threads cannot be bound to CPUs.
pub fn between_two_cores(count: usize, bursts: usize) -> io::Result<Option<Vec<f64>>> {
    let allowed = sched_getaffinity(THIS_THREAD)?;
    let mut cpus = (0..CpuSet::count()).filter(|&cpu| allowed.is_set(cpu) == Ok(true));
    let (Some(here), Some(there)) = (cpus.next(), cpus.next()) else {
        return Ok(None);
    };
    let [mut one, other] = two_workers();
    let over = Arc::new(AtomicBool::new(false));
    let mirror = {
        let over = Arc::clone(&over);
        thread::spawn(move || mirror(there, other, &over))
    };
    bind(here)?;
    one.outbox_mut()
        .send_burst(1, &mut packets(BURST * BURSTS_AHEAD));
    let mut burst = Vec::with_capacity(BURST);
    let figures = (0..=count).map(|_| {
        let start = Instant::now();
        let mut received = 0;
        while received < bursts * BURST {
            received += one.receive(BURST, &mut burst);
            one.outbox_mut().send_burst(1, &mut burst);
        }
        per_packet(start, received)
    });
    let figures = figures.skip(1).collect();
    over.store(true, Ordering::Relaxed);
    sched_setaffinity(THIS_THREAD, &allowed)?;
    mirror.join().expect("the other thread does not panic")?;
    Ok(Some(figures))
}

/// Sends back whatever comes, until it is over.
fn mirror(cpu: usize, mut mailbox: Mailbox<Box<[u8; 60]>>, over: &AtomicBool) -> io::Result<()> {
    bind(cpu)?;
    let mut burst = Vec::with_capacity(BURST);
    while !over.load(Ordering::Relaxed) {
        mailbox.receive(BURST, &mut burst);
        mailbox.outbox_mut().send_burst(0, &mut burst);
    }
    Ok(())
}

fn two_workers() -> [Mailbox<Box<[u8; 60]>>; 2] {
    let Ok(workers) = Mailboxes::new(2, 0, CAPACITY).workers.try_into() else {
        unreachable!("two were asked for");
    };
    workers
}

/// Lets this thread run on this CPU only.
fn bind(cpu: usize) -> io::Result<()> {
    let mut cpus = CpuSet::new();
    cpus.set(cpu)?;
    Ok(sched_setaffinity(THIS_THREAD, &cpus)?)
}

fn packets(count: usize) -> Vec<Item> {
    let packet = |_| Message {
        port: PortId(0),
        kind: Kind::Frame,
        packet: Box::new([0; 60]),
    };
    (0..count).map(packet).collect()
}

/// What the kernel takes for the thread that asks.
const THIS_THREAD: Pid = Pid::from_raw(0);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_come_back() {
        assert_eq!(on_one_core(1, 2).len(), 1);
        if let Some(figures) = between_two_cores(2, 4).unwrap() {
            assert_eq!(figures.len(), 2);
        }
    }
}
