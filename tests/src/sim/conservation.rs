//! No packet vanishes, and none comes from nowhere.
//!
//! Between two turns of a worker, of all packets that it ever had in its hands:
//!
//! ```text
//!   received + taken over + generated = sent + handed over + consumed + dropped + held
//! ```
//! *Received* are frames from the ports, *taken over* packets that other workers gave; *generated*
//! are segments, neighbor questions and answers, ICMP errors and announcements. *Sent* are frames
//! that the ports took, *handed over* packets that other workers got; *consumed* are those whose
//! content was taken in (by a connection, a neighbor table); *dropped* those that ended in a
//! [`DropReason`]; *held* those that wait for a port or a neighbor. An echo request that is answered
//! is received and sent, and nothing else: the reply is the same packet.
//!
//! [`DropReason`]: netstack::drop::DropReason

use netstack::counters::{Counters, Event};

/// Both sides of the equation for a worker that holds `held` packets: equal if the law holds.
pub fn balance(counters: &Counters, held: usize) -> (u64, u64) {
    let came = [Event::RxFrames, Event::TakenOver, Event::Generated];
    let went = [
        Event::TxFrames,
        Event::HandedOver,
        Event::Distributed,
        Event::Consumed,
    ];
    let sum = |events: &[Event]| {
        events
            .iter()
            .map(|event| counters.event(*event))
            .sum::<u64>()
    };
    (
        sum(&came),
        sum(&went) + counters.drops_total() + held as u64,
    )
}
