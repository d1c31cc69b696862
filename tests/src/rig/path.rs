//! A long, narrow, bad path between two Ethernet interfaces, in real time.
//!
//! A thread carries every frame from one interface to the other through [`Impair`]: so what a real
//! kernel meets here is what simulated hosts meet in memory. It does nothing while there is nothing
//! to carry; a frame may be late by what the system takes to wake the thread, some 60 microseconds
//! on an idle machine.

use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use netstack::io::impair::{Impair, ImpairCounters, Impairment};
use netstack::io::mem::MemBuf;
use netstack::io::{BURST_SIZE, Burst, PacketIo};
use netstack::time::Instant;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use proxy::drive::Clock;

use super::packet_socket::PacketSocket;
use super::{Namespace, RigError};

/// A path. Dropping it ends it, and nothing gets through any more.
#[derive(Debug)]
pub struct Path {
    /// Gone when the path is to end.
    orders: Option<Sender<Order>>,
    thread: Option<JoinHandle<()>>,
}

/// What a path does with frames, by direction.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct PathImpairment {
    /// Of which random numbers.
    pub seed: u64,
    /// Frames towards the near interface.
    pub towards_near: Impairment,
    /// Frames from the near interface.
    pub from_near: Impairment,
}

/// What a path did with frames since it was last changed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct PathCounters {
    /// Frames towards the near interface.
    pub towards_near: ImpairCounters,
    /// Frames from the near interface.
    pub from_near: ImpairCounters,
    /// Frames that the kernel did not take.
    pub refused: u64,
}

impl PathImpairment {
    /// The same in both directions.
    pub fn both_ways(seed: u64, impairment: Impairment) -> Self {
        Self {
            seed,
            towards_near: impairment,
            from_near: impairment,
        }
    }
}

impl Path {
    /// Joins two interfaces of `namespace`; frames come through unimpaired.
    pub fn start(namespace: &Namespace, near: &str, far: &str) -> Result<Self, RigError> {
        let open = || {
            let near = PacketSocket::open(near, BUFFERS)?;
            Ok((near, PacketSocket::open(far, BUFFERS)?))
        };
        let (near, far) = namespace.enter(open)??;
        let (orders, waiting) = channel();
        let thread = thread::spawn(move || Carrier::new(near, far).carry(&waiting));
        Ok(Self {
            orders: Some(orders),
            thread: Some(thread),
        })
    }

    /// Changes what happens from now on; frames on their way are lost. Returns what happened up to
    /// now.
    ///
    /// # Panics
    /// If the path's thread has panicked.
    pub fn change(&self, impairment: PathImpairment) -> PathCounters {
        let (answer, counters) = sync_channel(1);
        let order = Order { impairment, answer };
        let orders = self.orders.as_ref();
        let sent = orders.is_some_and(|orders| orders.send(order).is_ok());
        assert!(sent, "the path's thread has ended");
        counters.recv().expect("the path's thread answers")
    }
}

impl Drop for Path {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            // That it panicked has been seen by whoever talked to it.
            let _ = thread.join();
        }
    }
}

/// A change, and whom to tell what was before.
struct Order {
    impairment: PathImpairment,
    answer: SyncSender<PathCounters>,
}

/// The thread's state.
struct Carrier {
    clock: Clock,
    near: Impair<PacketSocket>,
    far: PacketSocket,
    to_near: Burst<MemBuf>,
    to_far: Burst<MemBuf>,
}

impl Carrier {
    fn new(near: PacketSocket, far: PacketSocket) -> Self {
        Self {
            clock: Clock::start(),
            near: impaired(near, PathImpairment::default()),
            far,
            to_near: Burst::with_capacity(BURST_SIZE),
            to_far: Burst::with_capacity(BURST_SIZE),
        }
    }

    /// Carries frames until nobody can give orders any more.
    fn carry(mut self, orders: &Receiver<Order>) {
        use std::sync::mpsc::TryRecvError::{Disconnected, Empty};
        loop {
            match orders.try_recv() {
                Ok(order) => self = self.changed(order),
                Err(Empty) => {}
                Err(Disconnected) => return,
            }
            let now = self.clock.now();
            self.near.begin_turn(now);
            let from_far = self.far.rx_burst(&mut self.to_near);
            self.near.tx_burst(&mut self.to_near);
            let from_near = self.near.rx_burst(&mut self.to_far);
            self.far.tx_burst(&mut self.to_far);
            if from_far + from_near == 0 {
                self.wait(now);
            }
        }
    }

    fn changed(self, order: Order) -> Self {
        let counters = PathCounters {
            towards_near: self.near.tx_counters(),
            from_near: self.near.rx_counters(),
            refused: self.near.inner().refused() + self.far.refused(),
        };
        // That nobody waits for the answer is no error.
        let _ = order.answer.send(counters);
        Self {
            near: impaired(self.near.into_inner(), order.impairment),
            ..self
        }
    }

    /// Sleeps until a frame comes, or is due.
    fn wait(&self, now: Instant) {
        let patience = match self.near.next_event() {
            Some(event) => event.saturating_duration_since(now).min(LONGEST_SLEEP),
            None => LONGEST_SLEEP,
        };
        let near = self.near.inner().descriptor();
        let mut wanted = [near, self.far.descriptor()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        // Woken by a signal, it just looks again.
        let _ = ppoll(&mut wanted, Some(TimeSpec::from_duration(patience)), None);
    }
}

fn impaired(near: PacketSocket, impairment: PathImpairment) -> Impair<PacketSocket> {
    let PathImpairment {
        seed,
        towards_near,
        from_near,
    } = impairment;
    Impair::new(near, seed, from_near, towards_near, BUFFERS)
}

/// Frames on their way in one direction at most: 400 ms of them at 200 Mbit/s.
const BUFFERS: usize = 8192;
/// After this time the thread looks for orders.
const LONGEST_SLEEP: Duration = Duration::from_millis(5);
