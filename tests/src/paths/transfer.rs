//! The client's side of a measurement.

use std::ffi::OsString;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use nix::libc::linger;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::{Linger, TcpCongestion};

use super::mbit_s;
use crate::rig::Family;

/// Which end sends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Way {
    /// What is measured sends.
    Download,
    /// What is measured receives.
    Upload,
}

impl Way {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Download, Self::Upload];

    /// How a request says it.
    pub(super) fn letter(self) -> u8 {
        match self {
            Self::Download => b'D',
            Self::Upload => b'U',
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Download => "down",
            Self::Upload => "up",
        }
    }
}

/// What is transferred.
#[derive(Clone, Copy, Debug)]
pub struct Transfer {
    /// Over which IP version.
    pub family: Family,
    /// In which direction.
    pub way: Way,
    /// Connections, all at once.
    pub flows: usize,
    /// Octets for each.
    pub octets: u64,
    /// When to end it, finished or not.
    pub patience: Duration,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Octets that arrived at the client by flow, in the order in which flows were started; what
    /// was sent there, for an upload.
    pub octets: Vec<u64>,
    /// How long each flow took from connecting to its last octet; `None` if it did not finish.
    pub times: Vec<Option<Duration>>,
    /// Octets that arrived in all.
    pub arrived: u64,
    /// From the start to the end of the last flow.
    pub time: Duration,
}

impl Outcome {
    /// What arrived, in Mbit/s.
    pub fn goodput(&self) -> f64 {
        mbit_s(self.arrived, self.time)
    }
}

/// A flow at its end, its connection still open.
pub(super) struct Flow {
    /// Kept so that nothing is sent for it until the path is good.
    pub(super) stream: Option<TcpStream>,
    octets: u64,
    time: Option<Duration>,
}

impl Transfer {
    /// Runs flows to each of `addresses`; to be called where the client is. Returns the flows in
    /// order of addresses, and the outcome, as if all had been downloads.
    pub(super) fn run(&self, addresses: &[SocketAddr]) -> (Vec<Flow>, Outcome) {
        let start = Instant::now();
        let end = start + self.patience;
        let mut flows = Vec::new();
        thread::scope(|scope| {
            let targets = addresses.iter().flat_map(|to| vec![*to; self.flows]);
            let running: Vec<_> = targets
                .map(|address| scope.spawn(move || self.flow(address, end)))
                .collect();
            for flow in running {
                flows.push(flow.join().expect("a flow does not panic"));
            }
        });
        let octets: Vec<u64> = flows.iter().map(|flow| flow.octets).collect();
        let outcome = Outcome {
            arrived: octets.iter().sum(),
            octets,
            times: flows.iter().map(|flow| flow.time).collect(),
            time: start.elapsed(),
        };
        (flows, outcome)
    }

    /// One flow, to its end or to the given one.
    fn flow(&self, address: SocketAddr, end: Instant) -> Flow {
        let start = Instant::now();
        let mut flow = Flow {
            stream: None,
            octets: 0,
            time: None,
        };
        let left = end.saturating_duration_since(start).max(GLANCE);
        let Ok(mut stream) = TcpStream::connect_timeout(&address, left) else {
            return flow;
        };
        let mut request = vec![self.way.letter()];
        request.extend(self.octets.to_be_bytes());
        let ready = set_up(&stream).is_ok() && stream.write_all(&request).is_ok();
        let done = ready && self.pass(&mut stream, &mut flow.octets, end);
        flow.time = done.then(|| start.elapsed());
        flow.stream = Some(stream);
        flow
    }

    /// Moves the octets and counts them; returns whether all went through.
    fn pass(&self, stream: &mut TcpStream, octets: &mut u64, end: Instant) -> bool {
        let mut buffer = vec![0; PIECE];
        while Instant::now() < end {
            let left = usize::try_from(self.octets - *octets).map_or(PIECE, |left| left.min(PIECE));
            let passed = match self.way {
                Way::Download => stream.read(&mut buffer[..left]),
                Way::Upload if left > 0 => stream.write(&buffer[..left]),
                // The answer that all is there.
                Way::Upload => match stream.read(&mut buffer[..1]) {
                    Ok(1) => return true,
                    other => other,
                },
            };
            match passed {
                Ok(0) => return false,
                Ok(passed) => *octets += passed as u64,
                Err(error) if is_patience(error.kind()) => {}
                Err(_) => return false,
            }
            if self.way == Way::Download && *octets == self.octets {
                return true;
            }
        }
        false
    }
}

/// Whether there was just nothing to do for a while.
fn is_patience(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// Lets the thread look at the clock now and then, and the connection end with a reset. What we
/// send is always controlled in the same way: it is the other end that is measured.
fn set_up(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(GLANCE))?;
    stream.set_write_timeout(Some(GLANCE))?;
    let at_once = linger {
        l_onoff: 1,
        l_linger: 0,
    };
    setsockopt(stream, Linger, &at_once)?;
    setsockopt(stream, TcpCongestion, &OsString::from("cubic"))?;
    Ok(())
}

/// How long a thread waits before it looks at the clock.
const GLANCE: Duration = Duration::from_millis(20);
/// Octets for one call of the kernel.
const PIECE: usize = 128 << 10;
