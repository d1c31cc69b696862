//! Safe packet I/O on DPDK: everything of Weirgate that knows DPDK, and all its unsafe code.
//!
//! A program makes, in this order: the [`Eal`] (once), a [`Mempool`], [`Port`]s; starts the ports,
//! which hands out [`RxQueue`]s and [`TxQueue`]s; makes [`Queue`]s of them and moves each into the
//! program of an [`Lcore`]. A queue is a [`netstack::io::PacketIo`], so what runs on it need not
//! know DPDK.
//!
//! Nothing in the interface is a type of DPDK. Whatever is made keeps what it needs alive, so the
//! order of dropping is free; to give everything back, drop queues, ports and pools, then call
//! [`Eal::shutdown`], which says if something is left.
//!
//! ```no_run
//! use dpdk_io::{DpdkError, Eal, EalConfig, LcoreId, Mempool, MempoolConfig, Port, PortConfig};
//! use dpdk_io::{PortQueues, Queue};
//! use netstack::io::{BURST_SIZE, Burst, PacketIo};
//!
//! fn main() -> Result<(), DpdkError> {
//!     let mut eal = Eal::init(&EalConfig {
//!         lcores: vec![LcoreId(1)],
//!         virtual_devices: vec!["net_af_packet0,iface=veth0".to_owned()],
//!         ..EalConfig::default()
//!     })?;
//!     let mut lcores = eal.take_lcores();
//!     let pool = Mempool::create(&eal, &MempoolConfig { lcores: 2, ..MempoolConfig::default() })?;
//!     let mut port = Port::open(&eal, "net_af_packet0", &PortConfig::default(), &pool)?;
//!     println!("{} by {}: {:?}", port.name(), port.driver(), port.offloads());
//!
//!     // One queue pair for each worker. This one sends a thousand frames back where it got them.
//!     let PortQueues { rx, tx } = port.start()?;
//!     let queues = rx.into_iter().zip(tx);
//!     let jobs = lcores.iter_mut().zip(queues).map(|(lcore, (rx, tx))| {
//!         let mut queue = Queue::pair(rx, tx)?;
//!         lcore.launch(move || {
//!             let mut burst = Burst::with_capacity(BURST_SIZE);
//!             let mut sent = 0;
//!             while sent < 1000 {
//!                 queue.rx_burst(&mut burst);
//!                 sent += queue.tx_burst(&mut burst);
//!             }
//!         })
//!     });
//!     for job in jobs.collect::<Result<Vec<_>, _>>()? {
//!         job.join()?;
//!     }
//!     println!("{:?}", port.stats()?);
//!     drop((lcores, port, pool));
//!     eal.shutdown()
//! }
//! ```

#![warn(
    clippy::multiple_unsafe_ops_per_block,
    clippy::missing_safety_doc,
    clippy::ptr_as_ptr
)]

mod device;
mod driver;
mod eal;
mod error;
mod flow;
mod lcore;
mod mbuf;
mod mempool;
mod numa;
mod offload;
mod port;
mod queue;
mod rss;
mod stats;

pub use device::Device;
pub use eal::{Eal, EalConfig, LogLevel};
pub use error::{Direction, DpdkError, Errno};
pub use flow::{Fault, FlowError, InstalledRule, RuleCount};
pub use lcore::{Lcore, LcoreId, LcoreJob};
pub use mbuf::{Mbuf, MbufPayload};
pub use mempool::{BufferDemand, Mempool, MempoolConfig};
pub use numa::NumaNode;
pub use offload::Offloads;
pub use port::{Port, PortConfig, SteeringFault};
pub use queue::{PortQueues, Queue, QueueCounters, RxQueue, TxQueue};
pub use stats::{ExtendedStat, LinkState, PortStats, QueueStats};
