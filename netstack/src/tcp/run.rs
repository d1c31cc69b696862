//! Segments of one flow that follow one another in a burst.
//!
//! A sender in full flight sends many segments that differ in their sequence numbers and octets
//! only. Whoever sorts a burst hands such a *run* in as a whole ([`crate::tcp::Endpoint::handle_run`]):
//! the connection is found once, the first segment is checked as any other, and for the others it
//! is enough that they come next. They are not joined before that: each is counted, measured and
//! acknowledged as if it had come alone, and stays in the buffer that it came in.

use super::Segment;
use crate::io::PacketBuf;
use crate::wire::tcp::Flags;

/// What is left of a run: each segment [is followed by](Segment::is_followed_by) the next.
pub trait Run<B: PacketBuf> {
    /// The next segment.
    fn peek(&self) -> Option<&Segment<B>>;

    /// Takes the next segment.
    fn take(&mut self) -> Option<Segment<B>>;
}

/// What follows a segment that came alone: nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Alone;

impl<B: PacketBuf> Run<B> for Alone {
    fn peek(&self) -> Option<&Segment<B>> {
        None
    }

    fn take(&mut self) -> Option<Segment<B>> {
        None
    }
}

impl<B: PacketBuf> Segment<B> {
    /// Whether the segment brings octets and says nothing special: it may be one of a run.
    pub fn is_plain(&self) -> bool {
        let flags = self.header.flags.without(Flags::PSH);
        flags == Flags::ACK && self.payload_len() > 0 && !self.is_marked()
    }

    /// Whether `next`, a [plain](Self::is_plain) segment of the same flow, says the same as this
    /// plain segment and brings the octets that come next.
    pub fn is_followed_by(&self, next: &Self) -> bool {
        let (this, that) = (&self.header, &next.header);
        that.seq == this.seq.wrapping_add(self.payload_len() as u32)
            && (that.ack, that.window) == (this.ack, this.window)
            && that.options == this.options
            && next.ecn() == self.ecn()
    }
}
