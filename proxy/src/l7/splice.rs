//! Octets from one half of a session to the other.
//!
//! There is no buffer between the halves: what one half has received is queued with the other as
//! far as that has room, and only then consumed. So a receiver that does not read fills its half's
//! send buffer, then the other half's receive buffer, and then closes the sender's window.

use netstack::tcp::Connection;

/// Moves what can be moved from `from` to `to`, and passes the end of the direction on once all
/// octets before it have been. Returns how many octets moved.
pub fn forward(from: &mut Connection, to: &mut Connection) -> u64 {
    let mut moved = 0;
    while let Some(chunk) = from.received() {
        let taken = to.send(chunk);
        if taken == 0 {
            break;
        }
        from.consume(taken);
        moved += taken as u64;
    }
    if from.receive_finished() && to.is_established() && !to.send_closed() {
        to.close();
    }
    moved
}
