//! The differences that are meant to be there.

use netstack::wire::tcp::Flags;

use super::case::{Case, Segment, Stamp, Step};
use super::compare::{Aspect, Difference};
use super::peer::Answer;

/// Whom ours is compared with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reference {
    /// The kernel.
    Linux,
    /// smoltcp.
    Smoltcp,
}

/// A difference that is meant to be there.
#[derive(Debug)]
pub struct Known {
    /// A few words.
    pub name: &'static str,
    /// From whom ours differs.
    pub from: &'static [Reference],
    /// Why.
    pub reason: &'static str,
    /// Whether a difference is this one.
    pub(super) is: fn(&Case, &Difference) -> bool,
}

/// All of them. The first that fits counts.
pub const KNOWN: &[Known] = &[
    Known {
        name: "an acknowledgment from before the beginning",
        from: &[Reference::Linux],
        reason: "RFC 5961 section 5.2 lets acknowledgments be as old as the largest window. Linux \
                 also wants them to be of octets that were sent, of which it keeps a count.",
        is: |case, difference| {
            let until = segments(case, difference).chain(segment(case, difference));
            let mut acks = until.filter(|it| it.flags.contains(Flags::ACK));
            acks.any(|it| it.ack.wrapping_sub(1) >= 1 << 31)
        },
    },
    Known {
        name: "old octets that end where the last acknowledgment did",
        from: &[Reference::Linux],
        reason: "RFC 9293 section 3.10.7.4, first step: not acceptable, so neither is its ACK. \
                 Linux begins the window at the octet acknowledged last, with that included.",
        is: |case, difference| {
            let until = segments(case, difference).chain(segment(case, difference));
            let mut octets = until.filter(|it| it.len > 0);
            octets.any(|it| end(it) == difference.before.acknowledged)
                && difference.aspect == Aspect::State
        },
    },
    Known {
        name: "text after a FIN",
        from: &[Reference::Smoltcp],
        reason: "RFC 9293 section 3.10.7.4, seventh step: it is ignored. smoltcp takes it in.",
        is: |_, difference| difference.theirs.spoiled && !difference.ours.spoiled,
    },
    Known {
        name: "text after a FIN",
        from: &[Reference::Linux],
        reason: "RFC 9293 section 3.10.7.4, seventh step: it is ignored. Linux resets, or answers \
                 in TIME-WAIT.",
        is: |case, difference| {
            let ended = matches!(
                difference.before.state,
                Some("TCP_CLOSE_WAIT" | "TCP_LAST_ACK" | "TCP_CLOSING" | "TCP_TIME_WAIT")
            );
            let closed = difference.before.state.is_none();
            (ended || closed) && segment(case, difference).is_some_and(|it| reaches(it, difference))
        },
    },
    Known {
        name: "a FIN ahead of a gap, and octets behind it",
        from: &[Reference::Linux],
        reason: "The peer contradicts itself. Ours believes what it heard first; Linux forgets \
                 the one that is not in order.",
        is: |case, difference| {
            let acknowledged = difference.before.acknowledged;
            let until = || segments(case, difference).chain(segment(case, difference));
            let ahead = |octet: u32| octet.wrapping_sub(acknowledged).cast_signed() > 0;
            let is_fin = |it: &&Segment| it.flags.contains(Flags::FIN) && ahead(end(it));
            let mut fins = until().filter(is_fin);
            fins.any(|fin| until().any(|it| end(it).wrapping_sub(end(fin)).cast_signed() > 0))
        },
    },
    Known {
        name: "what begins beyond the peer's end, in TIME-WAIT",
        from: &[Reference::Linux],
        reason: "RFC 9293 section 3.10.7.4: it is in the window, and nothing in it is to be \
                 acknowledged. Linux has no window any more, and answers.",
        is: |case, difference| {
            difference.before.state == Some("TCP_TIME_WAIT")
                && difference.aspect == Aspect::Answer
                && difference.ours.answer == Answer::Nothing
                && segment(case, difference).is_some_and(|it| {
                    let ahead = it.seq.wrapping_sub(difference.before.acknowledged);
                    it.len == 0 && ahead.cast_signed() > 0
                })
        },
    },
    Known {
        name: "a reset with the number of the peer's FIN",
        from: &[Reference::Linux],
        reason: "RFC 5961 section 3.2: it must have the number after that. Linux makes an \
                 exception for peers that do not count their FIN.",
        is: |case, difference| {
            let ended = matches!(
                difference.before.state,
                Some("TCP_CLOSE_WAIT" | "TCP_LAST_ACK" | "TCP_CLOSING")
            );
            let number = difference.before.acknowledged.wrapping_sub(1);
            ended
                && has(case, difference, Flags::RST)
                && segment(case, difference).is_some_and(|it| it.seq == number)
        },
    },
    Known {
        name: "stamps",
        from: &[Reference::Smoltcp],
        reason: "smoltcp does not look at the age of stamps (RFC 7323 section 5).",
        is: |case, difference| {
            case.handshake.stamps && segments(case, difference).any(|it| it.stamp != Stamp::Fresh)
        },
    },
    Known {
        name: "which segment's window counts",
        from: &[Reference::Linux],
        reason: "RFC 9293 section 3.10.7.4, fifth step: that of the segment with the highest \
                 number. Linux takes no smaller one, unless it is 0, from a segment with the same \
                 number.",
        is: |case, difference| {
            difference.aspect == Aspect::Sent
                && segments(case, difference).any(|it| (1..SMALL_WINDOW).contains(&it.window))
        },
    },
    Known {
        name: "the congestion window after a timeout",
        from: &[Reference::Linux],
        reason: "What is not acknowledged for a step may time out, and the window is then that \
                 of the controller; when timers fire is not compared.",
        is: |case, difference| {
            let wrote = |step: &Step| matches!(step, Step::Write(_));
            difference.ours.sent != difference.theirs.sent
                && case.steps[..difference.step].iter().any(wrote)
        },
    },
    Known {
        name: "neither ACK nor SYN nor RST",
        from: &[Reference::Linux],
        reason: "Such a segment is of no use to anybody and is dropped before any connection sees \
                 it. Linux answers it in TIME-WAIT and FIN-WAIT-2 without a socket.",
        is: |case, difference| segment(case, difference).is_some_and(|it| !it.flags.is_sane()),
    },
    Known {
        name: "an old stamp on an old acknowledgment",
        from: &[Reference::Linux],
        reason: "RFC 7323 section 5.3 has it answered. Linux takes it for a reordered one.",
        is: |case, difference| {
            segment(case, difference).is_some_and(|it| {
                it.len == 0 && matches!(it.stamp, Stamp::Stale(_)) && case.handshake.stamps
            }) && difference.aspect == Aspect::Answer
        },
    },
    Known {
        name: "no stamps although they were agreed on",
        from: &[Reference::Linux],
        reason: "RFC 7323 section 3.2: such a segment is dropped. Linux takes it in. Once the \
                 session is gone, it may show only later.",
        is: |case, difference| {
            let gone = difference.before.state.is_none();
            let before = segments(case, difference).filter(|_| gone);
            let mut until = before.chain(segment(case, difference));
            case.handshake.stamps && until.any(|it| it.stamp == Stamp::Missing)
        },
    },
    Known {
        name: "calls on a connection that was reset",
        from: &[Reference::Linux],
        reason: "RFC 9293 section 3.10.7.4, second step: all queues are flushed; a truncated \
                 transfer must not look complete. Linux lets what had come be read, and has \
                 other errors for the calls after.",
        is: |case, difference| {
            segment(case, difference).is_none() && difference.before.state == Some("TCP_CLOSE")
        },
    },
    Known {
        name: "a reset with octets, at the end of what is held, or for a session that is gone",
        from: &[Reference::Linux],
        reason: "RFC 5961 section 3.2 judges a reset by its first number. Linux looks at the end \
                 of one with octets too, and takes the end of what was acknowledged selectively \
                 for exact. Without a socket it answers those outside the window, too.",
        is: |case, difference| {
            let gone = difference.before.state.is_none();
            has(case, difference, Flags::RST)
                && segment(case, difference).is_some_and(|it| {
                    gone || it.len > 0
                        || it.seq.wrapping_sub(difference.before.acknowledged) < 1 << 20
                })
        },
    },
    Known {
        name: "a SYN for a connection that is over, but held",
        from: &[Reference::Linux],
        reason: "Ours keeps a flow until its session has let go, and refuses a new connection of \
                 it that long. Linux has cut the socket off.",
        is: |case, difference| {
            let over = matches!(
                difference.before.state,
                Some("TCP_TIME_WAIT" | "TCP_CLOSE") | None
            );
            over && has(case, difference, Flags::SYN)
        },
    },
    Known {
        name: "octets or a FIN for a session that is gone",
        from: &[Reference::Linux],
        reason: "Ours resets when there are octets in order that nobody will read, unless both \
                 directions have ended by then; Linux when there are any.",
        is: |case, difference| {
            difference.before.state.is_none()
                && difference.theirs.answer == Answer::Reset
                && segment(case, difference)
                    .is_some_and(|it| it.len > 0 || it.flags.contains(Flags::FIN))
        },
    },
];

/// What is written at one time does not fit a smaller window.
const SMALL_WINDOW: u16 = 3000;

/// The segments before the difference.
fn segments<'c>(case: &'c Case, difference: &Difference) -> impl Iterator<Item = &'c Segment> {
    let before = case.steps[..difference.step].iter();
    before.filter_map(|step| match step {
        Step::Segment(segment) => Some(segment),
        _ => None,
    })
}

/// The segment after which two differ.
fn segment<'c>(case: &'c Case, difference: &Difference) -> Option<&'c Segment> {
    match &case.steps[difference.step] {
        Step::Segment(segment) => Some(segment),
        _ => None,
    }
}

fn has(case: &Case, difference: &Difference, flags: Flags) -> bool {
    segment(case, difference).is_some_and(|segment| segment.flags.contains(flags))
}

fn end(segment: &Segment) -> u32 {
    segment.seq.wrapping_add(u32::from(segment.len))
}

/// Whether a segment has octets that were not acknowledged before.
fn reaches(segment: &Segment, difference: &Difference) -> bool {
    let new = end(segment).wrapping_sub(difference.before.acknowledged);
    segment.len > 0 && new.cast_signed() > 0
}

/// The one that a difference is.
pub(super) fn find(
    reference: Reference,
    case: &Case,
    difference: &Difference,
) -> Option<&'static Known> {
    KNOWN
        .iter()
        .find(|known| known.from.contains(&reference) && (known.is)(case, difference))
}
