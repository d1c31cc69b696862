//! Plays cases to Weirgate's TCP, in virtual time.

use core::net::SocketAddr;

use netstack::ip::{V4, V6};
use netstack::time::Instant;

use super::Player;
use super::case::{Case, Step};
use super::peer::{self, Observation, Outcome, Peer, STEP, octet};
use crate::rig::{Family, RigError};
use crate::stack::{Engine, Errno, Fd, Host, Shutdown, Stack, StackOptions};
use crate::station::frame::TestIp;

const PORT: u16 = 80;
const START: Instant = Instant::from_millis(1_000_000);

/// Weirgate's TCP with one of its engines.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    engine: Engine,
}

impl Memory {
    /// The player for that engine.
    pub fn new(engine: Engine) -> Self {
        Self { engine }
    }

    fn play_one<I: TestIp>(self, case: &Case) -> Vec<Observation> {
        let mut table = Table::<I>::new(self.engine, case);
        let Some(mut fd) = table.open().map(Some) else {
            return Vec::new();
        };
        let observed = case.steps.iter();
        observed.map(|step| table.step(&mut fd, step)).collect()
    }
}

impl Player for Memory {
    fn play(&mut self, cases: &[Case]) -> Result<Vec<Vec<Observation>>, RigError> {
        let played = cases.iter().map(|case| match case.family {
            Family::V4 => self.play_one::<V4>(case),
            Family::V6 => self.play_one::<V6>(case),
        });
        Ok(played.collect())
    }
}

/// A host, and the peer that it talks to.
struct Table<I: TestIp> {
    host: Host,
    peer: Peer<I>,
    read: u32,
    written: u32,
}

impl<I: TestIp> Table<I> {
    fn new(engine: Engine, case: &Case) -> Self {
        let options = StackOptions::new(engine);
        Self {
            host: Host::new(START, vec![I::US.into()], options),
            peer: Peer::new((I::CLIENT, 4000), (I::US, PORT), case.handshake),
            read: 1,
            written: 1,
        }
    }

    /// Opens the connection; `None` if that fails.
    fn open(&mut self) -> Option<Fd> {
        let listening = self.host.socket().ok()?;
        let local = SocketAddr::new(I::US.into(), PORT);
        self.host.bind(listening, local).ok()?;
        self.host.listen(listening, 1).ok()?;
        self.host.inject(&self.peer.syn());
        self.carry();
        self.host.inject(&self.peer.third());
        self.carry();
        let (fd, _) = self.host.accept(listening).ok()?;
        self.peer.observe(None, None);
        Some(fd)
    }

    fn step(&mut self, fd: &mut Option<Fd>, step: &Step) -> Observation {
        let outcome = match step {
            Step::Segment(segment) => {
                let packet = self.peer.segment(segment);
                self.host.inject(&packet);
                None
            }
            _ => fd.map(|open| self.call(open, step)),
        };
        if *step == Step::Close {
            *fd = None;
        }
        let until = self.host.now() + STEP;
        self.host.advance_to(until);
        self.carry();
        let state = fd.and_then(|fd| self.host.tcp_info(fd).ok());
        let state = state.and_then(|info| info.field("tcpi_state"));
        self.peer.observe(outcome, state.and_then(peer::state_name))
    }

    fn call(&mut self, fd: Fd, step: &Step) -> Outcome {
        let result = match step {
            Step::Write(len) => {
                let end = self.written.wrapping_add(u32::from(*len));
                let octets: Vec<u8> = (self.written..end).map(octet).collect();
                let result = self.host.write(fd, &octets);
                self.written += result.unwrap_or(0) as u32;
                result
            }
            Step::Read(len) => {
                let mut octets = vec![0; usize::from(*len)];
                let result = self.host.read(fd, &mut octets);
                let len = result.unwrap_or(0);
                self.peer.check_read(self.read, &octets[..len]);
                self.read += len as u32;
                result
            }
            Step::Shutdown => self.host.shutdown(fd, Shutdown::Write).map(|()| 0),
            Step::Close => self.host.close(fd).map(|()| 0),
            Step::Segment(_) => Ok(0),
        };
        match result {
            Ok(len) => Outcome::Octets(len),
            Err(Errno::Again) => Outcome::Wait,
            Err(error) => Outcome::Failed(error.name()),
        }
    }

    /// Gives the peer what was sent.
    fn carry(&mut self) {
        while let Some((_, packet)) = self.host.next_packet() {
            if let Some((_, header, payload)) = peer::open::<I>(&packet) {
                self.peer.take(&header, payload);
            }
        }
    }
}
