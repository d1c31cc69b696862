//! Octets from one half of a session to the other.
//!
//! There is no buffer between the halves: what one half has received is queued with the other as
//! far as that has room, and only then consumed. So a receiver that does not read fills its half's
//! send buffer, then the other half's receive buffer, and then closes the sender's window.

use netstack::io::PacketBuf;
use netstack::tcp::Output;

use super::half::Half;

/// Moves what can be moved from `from` to `to`, and passes the end of the direction on once all
/// octets before it have been. Returns how many octets moved. `out` lends buffers for octets that
/// have to be copied.
pub fn forward<B: PacketBuf, O: Output<Buf = B>>(
    from: &mut Half<'_, B>,
    to: &mut Half<'_, B>,
    out: &mut O,
) -> u64 {
    let moved = from.pass_to(to, out);
    if from.receive_finished() && to.is_open() && !to.send_finished() {
        to.finish();
    }
    moved
}
