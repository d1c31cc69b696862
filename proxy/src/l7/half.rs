//! One half of a session while octets flow: what stands between a session and the connection that
//! carries it.
//!
//! A half gives and takes the octets that the two peers mean for each other. How they travel is
//! its own business: over plain TCP they are the octets of the connection. A half over something
//! else turns them into it here, and keeps what it needs for that where the session keeps it; so
//! a `Half` is made for one look at a session, of borrowed parts.
//!
//! In: what the other half received. Out: what this one did, and how it ended. Between two halves
//! over plain TCP payloads pass by value, without being looked at.

use netstack::io::PacketBuf;
use netstack::tcp::{Chunk, CloseCause, Connection, Output};

/// One half of a session.
pub struct Half<'a, B: PacketBuf> {
    connection: &'a mut Connection<B>,
}

impl<'a, B: PacketBuf> Half<'a, B> {
    /// A half over plain TCP.
    pub fn plain(connection: &'a mut Connection<B>) -> Self {
        Self { connection }
    }

    /// The next octets from the peer, as many as are contiguous in memory.
    pub fn received(&mut self) -> Option<Chunk<'_, B>> {
        self.connection.received()
    }

    /// Says that the first `len` octets from the peer are done with.
    pub fn consume(&mut self, len: usize) {
        self.connection.consume(len);
    }

    /// How many octets to the peer there is room for now.
    pub fn room(&self) -> usize {
        self.connection.send_room()
    }

    /// Queues the front of `chunk` for the peer, as much as there is room for; returns how many
    /// octets that was. `out` lends buffers for octets that have to be copied.
    pub fn send<O: Output<Buf = B>>(&mut self, chunk: Chunk<'_, B>, out: &mut O) -> usize {
        self.connection.send(chunk, out)
    }

    /// Queues what came from the peer for the peer of `to`, as far as that has room. Returns how
    /// many octets moved.
    pub fn pass_to<O: Output<Buf = B>>(&mut self, to: &mut Half<'_, B>, out: &mut O) -> u64 {
        self.connection.pass_to(to.connection, out)
    }

    /// Whether octets can be queued for the peer at all.
    pub fn is_open(&self) -> bool {
        self.connection.is_established()
    }

    /// Whether the peer has ended its direction and everything it sent was taken.
    pub fn receive_finished(&self) -> bool {
        self.connection.receive_finished()
    }

    /// Whether our direction has ended.
    pub fn send_finished(&self) -> bool {
        self.connection.send_closed()
    }

    /// Ends our direction after everything that is queued.
    pub fn finish(&mut self) {
        self.connection.close();
    }

    /// Ends the half at once, so that the peer sees that something is missing.
    pub fn abort(&mut self) {
        self.connection.abort();
    }

    /// How the half ended; `None` while it lives.
    pub fn ended(&self) -> Option<CloseCause> {
        self.connection.ended()
    }

    /// Counts progress of either half as progress of both.
    pub fn share_progress(a: &mut Half<'_, B>, b: &mut Half<'_, B>) {
        Connection::share_progress(a.connection, b.connection);
    }
}
