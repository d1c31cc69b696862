//! One end of a TCP connection: what it does, and what has become of it.

use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::{RecvError, Socket, State};

use super::pattern::{self, Incoming};

/// When an end closes its direction.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Close {
    /// When it has sent everything.
    AfterSending,
    /// When it has sent everything, and the peer has closed its direction.
    AfterPeer,
    /// When it is told to.
    WhenTold,
}

/// What an end does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Script {
    octets: u64,
    seed: u64,
    close: Close,
    reads: bool,
    /// What is sent instead of a stream.
    text: Option<&'static [u8]>,
}

impl Script {
    /// Sends so many octets, of a stream of their own, and reads everything. Closes when that is
    /// done and the peer has closed.
    pub fn sends(octets: u64) -> Self {
        Self {
            octets,
            seed: 0,
            close: Close::AfterPeer,
            reads: true,
            text: None,
        }
    }

    /// Says this, and closes.
    pub fn says(text: &'static str) -> Self {
        Self {
            text: Some(text.as_bytes()),
            ..Self::sends(text.len() as u64).closes(Close::AfterSending)
        }
    }

    /// Sends nothing.
    pub fn listens() -> Self {
        Self::sends(0)
    }

    /// Closes then.
    #[must_use]
    pub fn closes(self, close: Close) -> Self {
        Self { close, ..self }
    }

    /// Reads nothing until it is told to.
    #[must_use]
    pub fn without_reading(self) -> Self {
        Self {
            reads: false,
            ..self
        }
    }

    pub(super) fn of_stream(self, seed: u64) -> Self {
        Self { seed, ..self }
    }
}

/// How an end's connection ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ending {
    /// Both directions by FIN; the peer has acknowledged ours.
    Closed,
    /// By a reset, or because the peer refused.
    Reset,
}

/// One end of a connection.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts that become true one by one, in any order"
)]
pub struct End {
    pub(super) socket: SocketHandle,
    script: Script,
    sent: u64,
    incoming: Incoming,
    peer_closed: bool,
    closed: bool,
    aborted: bool,
    established: bool,
    ending: Option<Ending>,
}

impl End {
    pub(super) fn new(socket: SocketHandle, script: Script) -> Self {
        Self {
            socket,
            script,
            sent: 0,
            incoming: Incoming::default(),
            peer_closed: false,
            closed: false,
            aborted: false,
            established: false,
            ending: None,
        }
    }

    /// What has arrived.
    pub fn incoming(&self) -> &Incoming {
        &self.incoming
    }

    /// Octets received.
    pub fn received(&self) -> u64 {
        self.incoming.received()
    }

    /// Octets given to the connection to be sent.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Which stream it sends.
    pub fn seed(&self) -> u64 {
        self.script.seed
    }

    /// Whether the handshake is or was complete.
    pub fn is_established(&self) -> bool {
        self.established
    }

    /// Whether the peer has closed its direction by FIN, after everything before it.
    pub fn peer_closed(&self) -> bool {
        self.peer_closed
    }

    /// How it ended; `None` while it goes on.
    pub fn ending(&self) -> Option<Ending> {
        self.ending
    }

    /// Tells it to read, or not to.
    pub fn set_reading(&mut self, reads: bool) {
        self.script.reads = reads;
    }

    /// Tells it to close its direction when it has sent everything.
    pub fn close(&mut self) {
        self.script.close = Close::AfterSending;
    }

    /// Tells it to send so many octets more.
    pub fn send_more(&mut self, octets: u64) {
        self.script.octets += octets;
    }

    pub(super) fn note_abort(&mut self) {
        self.aborted = true;
    }

    /// Does what the script says. Returns whether anything was done that the host must send.
    pub(super) fn act(&mut self, socket: &mut Socket<'_>) -> bool {
        if self.ending.is_some() {
            // What came before the end can still be read.
            return self.read(socket);
        }
        self.established |= !matches!(
            socket.state(),
            State::SynSent | State::SynReceived | State::Listen | State::Closed
        );
        let acted = self.read(socket) | self.write(socket);
        self.ending = self.judge(socket);
        acted
    }

    fn read(&mut self, socket: &mut Socket<'_>) -> bool {
        if !self.script.reads || !self.established {
            return false;
        }
        let mut acted = false;
        loop {
            let taken = socket.recv(|octets| {
                self.incoming.take(octets);
                (octets.len(), octets.len())
            });
            match taken {
                Ok(1..) => acted = true,
                Err(RecvError::Finished) => {
                    self.peer_closed = true;
                    return acted;
                }
                Ok(0) | Err(RecvError::InvalidState) => return acted,
            }
        }
    }

    fn write(&mut self, socket: &mut Socket<'_>) -> bool {
        let mut acted = false;
        while self.sent < self.script.octets && socket.can_send() {
            let wanted = (self.script.octets - self.sent) as usize;
            let Script { seed, text, .. } = self.script;
            let at = self.sent;
            let written = socket.send(|room| {
                let len = wanted.min(room.len());
                match text {
                    Some(text) => room[..len].copy_from_slice(&text[at as usize..][..len]),
                    None => pattern::fill(seed, at, &mut room[..len]),
                }
                (len, len)
            });
            let Ok(written @ 1..) = written else { break };
            self.sent += written as u64;
            acted = true;
        }
        let may_close = match self.script.close {
            Close::AfterSending => self.established,
            Close::AfterPeer => self.peer_closed,
            Close::WhenTold => false,
        };
        if may_close && !self.closed && self.sent == self.script.octets {
            self.closed = true;
            socket.close();
            acted = true;
        }
        acted
    }

    fn judge(&self, socket: &Socket<'_>) -> Option<Ending> {
        // A socket that waited for a client goes back to waiting when that resets.
        match socket.state() {
            State::TimeWait => Some(Ending::Closed),
            State::Closed if self.aborted => Some(Ending::Reset),
            // Everything came: the connection went through LAST-ACK. What is left of a reset one
            // is octets that were never acknowledged, or a direction that never closed.
            State::Closed if self.closed && socket.send_queue() == 0 && self.may_finish() => {
                Some(Ending::Closed)
            }
            State::Closed | State::Listen => Some(Ending::Reset),
            _ => None,
        }
    }

    fn may_finish(&self) -> bool {
        self.peer_closed || !self.script.reads
    }
}
