//! Received octets that are looked at and left where they are.
//!
//! Who has to know what a peer says before it is known who is to have it, looks; what was seen then
//! passes on as if nobody had. Octets that are left count in the window, so a peer cannot make a
//! connection hold more by saying what nobody understands.

use super::Connection;
use crate::io::PacketBuf;

impl<B: PacketBuf> Connection<B> {
    /// Looks at the first octets that were received, at most `most`, without consuming them: where
    /// they are, or copied together into `scratch` if they are in several places.
    pub fn peek<'a>(&'a mut self, most: usize, scratch: &'a mut Vec<u8>) -> &'a [u8] {
        if !self.is_readable() {
            return &[];
        }
        scratch.clear();
        let all = self.engine.receive_queue().min(most);
        let first =
            self.guarded(|engine| engine.received().map_or(0, |chunk| chunk.octets().len()));
        if first.is_some_and(|first| first < all) {
            self.guarded(|engine| engine.copy_received(all, scratch));
            return scratch;
        }
        let chunk = self.engine.received();
        chunk.map_or(&[], |chunk| &chunk.octets()[..all])
    }

    /// Octets that were received and neither consumed nor passed on.
    pub fn receive_queue(&self) -> usize {
        self.engine.receive_queue()
    }
}
