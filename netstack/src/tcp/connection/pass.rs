//! Octets from one connection to another, without a copy.
//!
//! In: two connections of one session. Out: what the one has received is queued with the other, as
//! far as it has room. Where both engines are ours, whole payloads move from queue to queue by
//! value: nothing is counted, nothing is shared. What is left goes chunk by chunk.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{CloseCause, Connection};
use crate::io::PacketBuf;
use crate::tcp::Output;

impl<B: PacketBuf> Connection<B> {
    /// Queues what was received to be sent by `to`, as far as that has room; `out` lends buffers
    /// for octets that have to be copied. Returns how many octets moved.
    pub fn pass_to<O: Output<Buf = B>>(&mut self, to: &mut Self, out: &mut O) -> u64 {
        let mut moved = self.pass_whole_payloads(to) as u64;
        while let Some(chunk) = self.received() {
            let taken = to.send(chunk, out);
            if taken == 0 {
                break;
            }
            self.consume(taken);
            moved += taken as u64;
        }
        moved
    }

    fn pass_whole_payloads(&mut self, to: &mut Self) -> usize {
        let over = |connection: &Self| connection.ended == Some(CloseCause::EnginePanic);
        if !self.is_readable() || over(self) || over(to) {
            return 0;
        }
        let (from_engine, to_engine) = (&mut self.engine, &mut to.engine);
        let options = &to.options;
        let passed = catch_unwind(AssertUnwindSafe(|| from_engine.pass_to(to_engine, options)));
        if passed.is_err() {
            // Nobody knows which of the two it was.
            to.note_panic();
        }
        self.contain(passed).unwrap_or(0)
    }

    /// What was received before a FIN is complete and stays readable; before an RST it is not.
    pub(super) fn is_readable(&self) -> bool {
        matches!(self.ended, None | Some(CloseCause::Finished))
    }
}
