//! What is refused whatever the engine thinks of it: blind resets, SYNs and acknowledgments
//! (RFC 5961).
//!
//! In: a segment. Out: nothing, or why it is refused and whether the peer is told what we expect.

use super::{Connection, Rejected, State};
use crate::drop::DropReason;
use crate::io::PacketBuf;
use crate::tcp::{Segment, seq};
use crate::wire::tcp::Flags;

impl<B: PacketBuf> Connection<B> {
    /// The checks of RFC 5961 that need no engine.
    pub(super) fn check(&self, segment: &Segment<B>) -> Result<(), Rejected> {
        let Some((snd_nxt, rcv_nxt)) = self.next_numbers() else {
            return Ok(());
        };
        let established = self.is_established();
        let reject = |reason, challenge| {
            Err(Rejected {
                challenge,
                ..Rejected::silently(reason)
            })
        };
        let flags = segment.header.flags;
        if flags.contains(Flags::RST) {
            // RFC 1337: an RST must not end TIME-WAIT early.
            if self.state == State::TimeWait {
                return reject(DropReason::TcpTimeWait, false);
            }
            // RFC 5961 section 3.2: only the exact number resets; anything else may be a blind
            // attacker's guess, and a peer that means it will answer the challenge exactly. What is
            // outside the window is not even that.
            if segment.header.seq != rcv_nxt {
                let guess = established && self.engine.is_in_window(segment.header.seq);
                return reject(DropReason::TcpResetNotExact, guess);
            }
        } else if flags.contains(Flags::SYN) && established {
            // RFC 5961 section 4.2: whatever its number, a SYN gets a challenge ACK.
            return reject(DropReason::TcpSynInConnection, true);
        } else if flags.contains(Flags::ACK) && established && seq::lt(snd_nxt, segment.header.ack)
        {
            // RFC 5961 section 5.2: nobody who got our segments acknowledges what we never sent.
            return reject(DropReason::TcpBadAck, true);
        }
        Ok(())
    }
}
