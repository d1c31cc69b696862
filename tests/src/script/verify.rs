//! Whether a packet that was sent is the one that the script expects.

use core::time::Duration;

use netstack::wire::tcp::Flags;

use super::event::{Body, Options, Packet, Tcp, TcpOption, Tos};

/// What is not as expected.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum Difference {
    #[error("the octet of services and ECN differs")]
    Tos,
    #[error("the time to live differs")]
    Ttl,
    #[error("the ports differ")]
    Ports,
    #[error("the flags differ")]
    Flags,
    #[error("the sequence number differs")]
    Seq,
    #[error("the length differs")]
    Len,
    #[error("the acknowledgment number differs")]
    Ack,
    #[error("the window differs")]
    Window,
    #[error("the urgent pointer differs")]
    Urgent,
    #[error("the options differ")]
    Options,
    #[error("the value of the timestamp differs")]
    Timestamp,
    #[error("the echo of the timestamp differs")]
    TimestampEcho,
    #[error("the payload differs")]
    Payload,
}

/// How exact timestamps must be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// The time of a tick; zero: any value will do.
    pub(super) tick: Duration,
    pub(super) tolerance: Duration,
}

/// Compares what was sent, in the script's numbers, with what is expected. What the script does
/// not say is not compared.
pub(super) fn compare(expected: &Packet, sent: &Packet, clock: Clock) -> Result<(), Difference> {
    let Tos::Whole(tos) = sent.tos else {
        return Err(Difference::Tos);
    };
    let tos_fits = match expected.tos {
        Tos::Unsaid => true,
        Tos::Ecn(ecn) => tos & 3 == ecn,
        Tos::Ect01 => matches!(tos & 3, 1 | 2),
        Tos::Whole(whole) => tos == whole,
    };
    let ttl_fits = expected.ttl.is_none() || expected.ttl == sent.ttl;
    let ports_fit = expected.ports.is_none() || expected.ports == sent.ports;
    check(tos_fits, Difference::Tos)?;
    check(ttl_fits, Difference::Ttl)?;
    check(ports_fit, Difference::Ports)?;
    match (&expected.body, &sent.body) {
        (Body::Tcp(expected), Body::Tcp(sent)) => compare_tcp(expected, sent, clock),
        _ => Err(Difference::Flags),
    }
}

fn compare_tcp(expected: &Tcp, sent: &Tcp, clock: Clock) -> Result<(), Difference> {
    check(expected.flags == sent.flags, Difference::Flags)?;
    check(expected.seq == sent.seq, Difference::Seq)?;
    check(expected.len == sent.len, Difference::Len)?;
    let ack_fits = !expected.flags.contains(Flags::ACK) || expected.ack == sent.ack;
    check(ack_fits, Difference::Ack)?;
    let window_fits = expected.window.is_none() || expected.window == sent.window;
    check(window_fits, Difference::Window)?;
    check(expected.urgent == sent.urgent, Difference::Urgent)?;
    let (Options::Exactly(expected), Options::Exactly(sent)) = (&expected.options, &sent.options)
    else {
        return Ok(());
    };
    check(expected.len() == sent.len(), Difference::Options)?;
    expected
        .iter()
        .zip(sent)
        .try_for_each(|(expected, sent)| compare_option(expected, sent, clock))
}

fn compare_option(expected: &TcpOption, sent: &TcpOption, clock: Clock) -> Result<(), Difference> {
    let (
        TcpOption::Timestamps { value, echo },
        TcpOption::Timestamps {
            value: sent_value,
            echo: sent_echo,
        },
    ) = (expected, sent)
    else {
        return check(expected == sent, Difference::Options);
    };
    check(echo == sent_echo, Difference::TimestampEcho)?;
    let ticks = value.wrapping_sub(*sent_value).cast_signed().unsigned_abs();
    // One tick more than the tolerance: the clock may be about to tick.
    let error = clock.tick * ticks.saturating_sub(1);
    check(error <= clock.tolerance, Difference::Timestamp)
}

/// An error unless it fits.
pub(super) fn check(fits: bool, difference: Difference) -> Result<(), Difference> {
    if fits { Ok(()) } else { Err(difference) }
}
