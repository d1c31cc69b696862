//! A connection under arbitrary segments and calls, with either engine.
//!
//! The input says what the handshake agrees on, then step by step what the peer sends and what the
//! session does. Numbers are near those in use more often than not, so that noise gets into
//! reassembly, the scoreboard and the states of closing. Whatever happens, nobody reads octets
//! that were not sent, and nothing is acknowledged that never came.

use netstack::wire::tcp::Flags;
use weirgate_tests::differential::{Case, Handshake, Memory, Player, Segment, Stamp, Step};
use weirgate_tests::rig::Family;
use weirgate_tests::stack::Engine;

/// Steps of an input at most: each takes virtual time, in which timers fire.
const MAX_STEPS: usize = 64;

pub(crate) fn native(data: &[u8]) {
    run(Engine::Native, data);
}

pub(crate) fn smoltcp(data: &[u8]) {
    run(Engine::Smoltcp, data);
}

fn run(engine: Engine, data: &[u8]) {
    let Some(case) = case(&mut data.iter().copied()) else {
        return;
    };
    let sent = furthest(&case);
    let played = Memory::new(engine).play(&[case]);
    for observed in played.into_iter().flatten().flatten() {
        // smoltcp takes in text after a FIN, which then stands one octet too far ahead.
        let ours = engine == Engine::Native;
        assert!(!observed.spoiled || !ours, "octets are wrong: {observed}");
        assert!(observed.acknowledged <= sent, "{observed}, sent {sent}");
    }
}

/// The end of what the peer sends in its window.
fn furthest(case: &Case) -> u32 {
    let ends = case.steps.iter().filter_map(|step| match step {
        Step::Segment(segment) => Some(
            segment
                .seq
                .wrapping_add(u32::from(segment.len))
                .wrapping_add(1),
        ),
        _ => None,
    });
    // What lies before the beginning wraps around.
    ends.filter(|end| *end < 1 << 31).max().unwrap_or(1).max(1)
}

fn case(input: &mut impl Iterator<Item = u8>) -> Option<Case> {
    let agreed = input.next()?;
    let handshake = Handshake {
        mss: [64, 536, 1000, 1400][usize::from(agreed & 3)],
        scale: (agreed & 4 != 0).then_some(agreed >> 5),
        sack: agreed & 8 == 0,
        stamps: agreed & 16 == 0,
    };
    let mut next = 1;
    let mut written = 1;
    let steps = core::iter::from_fn(|| step(input, &mut next, &mut written));
    // The largest shifts go with IPv6: no octet more, so old inputs mean what they did.
    let family = if agreed & 0x80 == 0 {
        Family::V4
    } else {
        Family::V6
    };
    Some(Case {
        family,
        handshake,
        steps: steps.take(MAX_STEPS).collect(),
    })
}

/// A step; `next` and `written` follow what it adds in either direction.
fn step(input: &mut impl Iterator<Item = u8>, next: &mut u32, written: &mut u32) -> Option<Step> {
    let [kind, size, shift, ack, options] = [(); 5].map(|()| input.next());
    let (kind, size, shift) = (kind?, size?, shift?);
    let len = u16::from(size) * 6;
    Some(match kind {
        0..=31 => {
            *written += u32::from(len);
            Step::Write(len)
        }
        32..=63 => Step::Read(len * 8),
        64..=67 => Step::Shutdown,
        68 => Step::Close,
        _ => {
            let flags = match kind {
                69..=199 => Flags::ACK,
                200..=210 => Flags::ACK | Flags::FIN,
                _ => Flags(size),
            };
            let seq = near(*next, shift);
            let end = seq.wrapping_add(u32::from(len));
            if flags == Flags::ACK && seq == *next {
                *next = end;
            }
            let options = options.unwrap_or(0);
            Step::Segment(Segment {
                flags,
                seq,
                len,
                ack: near(*written, ack.unwrap_or(0)),
                window: u16::from(options) << 8 | 0xff,
                stamp: stamp(options),
                sack: blocks(options, *written, shift),
            })
        }
    })
}

/// Small steps exactly, larger ones out of any window.
fn near(number: u32, shift: u8) -> u32 {
    let shift = i32::from(shift.cast_signed());
    let shift = match shift.abs() {
        0..=63 => 0,
        64..=99 => shift * 7,
        _ => shift << 22,
    };
    number.wrapping_add_signed(shift)
}

fn stamp(options: u8) -> Stamp {
    match options & 15 {
        0 => Stamp::Missing,
        1 => Stamp::Stale(100),
        2 => Stamp::Stale(1 << 20),
        3 => Stamp::Ahead(1 << 10),
        4 => Stamp::ForeignEcho,
        _ => Stamp::Fresh,
    }
}

fn blocks(options: u8, written: u32, shift: u8) -> Vec<(u32, u32)> {
    let count = u32::from(options >> 4 & 3);
    let blocks = (0..count).map(|nth| {
        let left = near(written, shift).wrapping_sub(nth * 700 + u32::from(options) * 9);
        (left, left.wrapping_add(u32::from(shift) * 5))
    });
    blocks.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_survived() {
        let mut random = 88_172_645_463_325_252_u64;
        for _ in 0..400 {
            let noise = core::iter::repeat_with(|| {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                (random >> 24) as u8
            });
            let noise: Vec<u8> = noise.take(300).collect();
            native(&noise);
            smoltcp(&noise);
        }
    }
}
