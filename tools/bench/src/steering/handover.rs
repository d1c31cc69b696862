//! Packets through a ring, in bursts.

use std::io;
use std::thread;
use std::time::Instant;

use netstack::io::PortId;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use super::ring::{Item, Receiver, Sender, ring};
use super::{BURST, per_packet, rounds};

/// Packets that a ring holds.
const CAPACITY: usize = 512;

/// Bursts on their way between two cores: enough that neither waits for a single one.
const BURSTS_AHEAD: usize = 8;

/// Nanoseconds of a packet that goes in and out, in each of so many rounds.
pub fn on_one_core(count: usize, bursts: usize) -> Vec<f64> {
    let (mut sender, mut receiver) = ring(CAPACITY);
    let mut packets = packets(BURST);
    rounds(count, bursts, |_| {
        sender.send(&mut packets);
        receiver.receive(BURST, &mut packets);
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
    let (mut out, from_here) = ring(CAPACITY);
    let (to_here, mut back) = ring(CAPACITY);
    let mirror = thread::spawn(move || mirror(there, from_here, to_here));
    bind(here)?;
    out.send(&mut packets(BURST * BURSTS_AHEAD));
    let mut burst = Vec::with_capacity(BURST);
    let figures = (0..=count).map(|_| {
        let start = Instant::now();
        let mut received = 0;
        while received < bursts * BURST {
            back.receive(BURST, &mut burst);
            received += burst.len();
            out.send(&mut burst);
        }
        per_packet(start, received)
    });
    let figures = figures.skip(1).collect();
    drop(out);
    sched_setaffinity(THIS_THREAD, &allowed)?;
    mirror.join().expect("the other thread does not panic")?;
    Ok(Some(figures))
}

/// Sends back whatever comes, until nothing can come any more.
fn mirror(cpu: usize, mut from: Receiver, mut to: Sender) -> io::Result<()> {
    bind(cpu)?;
    let mut burst = Vec::with_capacity(BURST);
    while !from.is_abandoned() {
        from.receive(BURST, &mut burst);
        to.send(&mut burst);
    }
    Ok(())
}

/// Lets this thread run on this CPU only.
fn bind(cpu: usize) -> io::Result<()> {
    let mut cpus = CpuSet::new();
    cpus.set(cpu)?;
    Ok(sched_setaffinity(THIS_THREAD, &cpus)?)
}

fn packets(count: usize) -> Vec<Item> {
    vec![(PortId(0), vec![0; 60].into()); count]
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
