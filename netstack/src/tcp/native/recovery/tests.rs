//! Recovery by segment and time.

use super::super::acknowledged::Acknowledgment;
use super::super::congestion::{Algorithm, Controller};
use super::super::options::Negotiated;
use super::super::transmit::SendOptions;
use super::*;
use crate::io::PacketBuf;
use crate::io::mem::{MemBuf, MemPayload};
use crate::wire::tcp::SackBlocks;

pub(in super::super) const MSS: u32 = 1000;

/// A send half that has sent so many segments, the first of them number 0.
pub(in super::super) fn sending(count: u32) -> SendHalf<MemPayload> {
    let options = SendOptions {
        iss: u32::MAX,
        wnd: 1 << 20,
        wl1: 0,
        algorithm: Algorithm::Cubic,
        pacing: false,
        rto_floor: Duration::from_millis(200),
    };
    let negotiated = Negotiated {
        send_mss: MSS as u16,
        receive_mss: MSS as u16,
        send_shift: 7,
        receive_shift: 7,
        timestamps: false,
        sack: true,
        ecn: false,
        small_mss: false,
    };
    let mut send = SendHalf::new(&options, &negotiated);
    for nth in 0..count {
        let segment = [0; MSS as usize];
        send.queue.push(MemBuf::from_frame(&segment).into_payload());
        let part = Part {
            seq: nth * MSS,
            len: MSS,
            fin: false,
            again: None,
        };
        send.sent(Instant::ZERO, part);
    }
    send
}

/// An acknowledgment of `ack` segments, and of all from there to `sacked` but the next one.
fn acknowledge(send: &mut SendHalf<MemPayload>, millis: u64, ack: u32, sacked: u32) {
    let mut blocks = SackBlocks::default();
    if sacked > ack {
        assert!(blocks.push((ack + 1) * MSS, sacked * MSS));
    }
    let ack = Acknowledgment {
        seq: 0,
        ack: ack * MSS,
        wnd: 1 << 20,
        blocks: &blocks,
        echo: None,
        congested: false,
        occupies: false,
    };
    send.handle_ack(Instant::from_millis(millis), &ack);
}

#[test]
fn a_reduction_is_taken_back_if_all_arrives_before_anything_is_sent_again() {
    let mut send = sending(10);
    let before = send.window;
    acknowledge(&mut send, 20, 0, 5);
    assert!(send.is_recovering() && send.window.ssthresh < before.ssthresh);
    acknowledge(&mut send, 21, 10, 10);
    assert!(!send.is_recovering());
    assert_eq!(send.window.ssthresh, before.ssthresh);
    assert!(send.window.cwnd >= before.cwnd);
    assert_eq!(send.undone, 1);
    assert!(send.rack.has_reordered());
}

#[test]
fn a_reduction_stays_if_what_was_lost_had_to_be_sent_again() {
    let mut send = sending(10);
    acknowledge(&mut send, 20, 0, 5);
    let part = Part {
        seq: 0,
        len: MSS,
        fin: false,
        again: Some(0),
    };
    send.sent(Instant::from_millis(20), part);
    let threshold = send.window.ssthresh;
    acknowledge(&mut send, 45, 10, 10);
    assert!(!send.is_recovering());
    assert_eq!((send.window.ssthresh, send.undone), (threshold, 0));
}

#[test]
fn bbr_has_its_window_back_after_a_timeout() {
    let mut send = sending(10);
    send.controller = Controller::new(Algorithm::Bbr, 1);
    let before = send.window.cwnd;
    send.time_out(Instant::from_millis(500));
    assert_eq!(send.window.cwnd, MSS);
    acknowledge(&mut send, 600, 10, 10);
    assert!(send.window.cwnd >= before, "{}", send.window.cwnd);
}

#[test]
fn bbr_is_limited_by_its_window_only_if_that_kept_something_back() {
    let mut send = sending(10);
    assert!(send.is_cwnd_limited(6 * MSS), "slow start");
    send.controller = Controller::new(Algorithm::Bbr, 1);
    assert!(!send.is_cwnd_limited(6 * MSS));
    send.cwnd_limited = true;
    assert!(send.is_cwnd_limited(6 * MSS));
}
