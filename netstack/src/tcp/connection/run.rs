//! Segments that follow one another, taken in together.
//!
//! In: what is left of a run after a segment that was taken in, and so passed the checks that need
//! no engine: what they look at is the same in the others.

use super::Connection;
use crate::io::PacketBuf;
use crate::tcp::engine::Context;
use crate::tcp::{Flow, Run};
use crate::time::Instant;

impl<B: PacketBuf> Connection<B> {
    /// Takes in segments that follow one with the number `seq`, which was taken in; as many as
    /// simply come next. Returns how many.
    pub(in crate::tcp) fn handle_run(
        &mut self,
        context: &mut Context,
        now: Instant,
        flow: &Flow,
        seq: u32,
        run: &mut impl Run<B>,
    ) -> u64 {
        let taken = self
            .called(now, flow, |engine, call| {
                engine.handle_run(context, call, seq, run)
            })
            .unwrap_or(0);
        if taken > 0 {
            self.last_progress = now;
        }
        taken
    }
}
