//! What the two ends agree on in the handshake.
//!
//! In: what our side may offer and what the peer's SYN says. Out: [`Negotiated`]. An option is in
//! use only if both ends offered it (RFC 7323 sections 2.2 and 3.2, RFC 2018 section 2, RFC 3168
//! section 6.1.1).

use super::window::scale_for;
use crate::ip::{Ip, V4};
use crate::wire::tcp::{self, Flags, Header, Timestamps};

/// RFC 9293 section 3.7.1 (MUST-15): what a peer takes that does not say, over that version of IP.
pub(super) fn default_mss(version: u8) -> u16 {
    if version == V4::VERSION { 536 } else { 1220 }
}

/// No smaller segments are sent, whatever the peer asks for: each costs as much as a large one
/// (CVE-2019-11479). A path with an MTU of 140 octets still takes it over IPv4.
pub(super) const SMALLEST_MSS: u16 = 100;

/// Octets of the time stamps in each segment, padded.
pub(crate) const TIMESTAMPS_LEN: u16 = 12;

/// What we offer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Offer {
    /// The largest payload of a segment that we take and send, in octets.
    pub(super) mss: u16,
    /// What the peer takes if it does not say, in octets.
    pub(super) default_mss: u16,
    /// The largest window that we shall offer, in octets.
    pub(super) largest_window: u32,
    /// Whether we ask for ECN.
    pub(super) ecn: bool,
    /// Whether we offer SACK.
    pub(super) sack: bool,
    /// Whether we offer time stamps.
    pub(super) timestamps: bool,
}

impl Offer {
    /// How far our windows are shifted: as little as the largest needs.
    pub(super) fn shift(&self) -> u8 {
        scale_for(self.largest_window)
    }

    /// The options of our SYN.
    pub(super) fn options(&self, stamp: u32) -> tcp::Options {
        tcp::Options {
            mss: Some(self.mss),
            window_scale: Some(self.shift()),
            sack_permitted: self.sack,
            timestamps: self.timestamps.then_some(Timestamps {
                value: stamp,
                echo: 0,
            }),
            ..tcp::Options::default()
        }
    }

    /// The flags of our SYN (RFC 3168 section 6.1.1).
    pub(super) fn flags(&self) -> Flags {
        if self.ecn {
            Flags::SYN | Flags::ECE | Flags::CWR
        } else {
            Flags::SYN
        }
    }
}

/// What was agreed on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each says of one option whether it is in use"
)]
pub(super) struct Negotiated {
    /// The largest payload that we send in a segment, in octets, beside the time stamps.
    pub(super) send_mss: u16,
    /// The largest payload of the segments that the peer sends.
    pub(super) receive_mss: u16,
    /// How far the peer's windows are shifted.
    pub(super) send_shift: u8,
    /// How far ours are.
    pub(super) receive_shift: u8,
    /// Segments carry time stamps.
    pub(super) timestamps: bool,
    /// Acknowledgments carry SACK blocks.
    pub(super) sack: bool,
    /// Congestion is marked, not only felt.
    pub(super) ecn: bool,
    /// The peer asked for smaller segments than we send.
    pub(super) small_mss: bool,
}

/// Of this, by what each segment is written and read.
#[derive(Clone, Copy, Debug)]
pub(super) struct InUse {
    /// How far the peer's windows are shifted.
    pub(super) send_shift: u8,
    /// Segments carry time stamps.
    pub(super) timestamps: bool,
    /// Acknowledgments carry SACK blocks.
    pub(super) sack: bool,
    /// Congestion is marked, not only felt.
    pub(super) ecn: bool,
}

impl Negotiated {
    /// What comes of our offer and the peer's SYN or SYN-ACK.
    pub(super) fn new(offer: &Offer, syn: &Header) -> Self {
        let timestamps = offer.timestamps && syn.options.timestamps.is_some();
        let spent = if timestamps { TIMESTAMPS_LEN } else { 0 };
        let wanted = syn.options.mss.unwrap_or(offer.default_mss);
        let scaled = syn.options.window_scale;
        let (ece, cwr) = (
            syn.flags.contains(Flags::ECE),
            syn.flags.contains(Flags::CWR),
        );
        // A SYN asks with both flags, a SYN-ACK agrees with one.
        let agreed = ece && cwr != syn.flags.contains(Flags::ACK);
        Self {
            send_mss: wanted.max(SMALLEST_MSS).min(offer.mss) - spent,
            receive_mss: offer.mss - spent,
            send_shift: scaled.unwrap_or(0),
            receive_shift: if scaled.is_some() { offer.shift() } else { 0 },
            timestamps,
            sack: offer.sack && syn.options.sack_permitted,
            ecn: offer.ecn && agreed,
            small_mss: wanted < SMALLEST_MSS,
        }
    }

    /// What is of use as long as the connection lives.
    pub(super) fn in_use(&self) -> InUse {
        InUse {
            send_shift: self.send_shift,
            timestamps: self.timestamps,
            sack: self.sack,
            ecn: self.ecn,
        }
    }

    /// The options of our answer to a SYN.
    pub(super) fn answer(&self, offer: &Offer, stamp: u32, echo: u32) -> tcp::Options {
        let offered = offer.options(stamp);
        tcp::Options {
            window_scale: (self.receive_shift > 0 || self.send_shift > 0)
                .then_some(self.receive_shift),
            sack_permitted: self.sack,
            timestamps: self.timestamps.then_some(Timestamps { value: stamp, echo }),
            ..offered
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFER: Offer = Offer {
        mss: 1460,
        default_mss: 536,
        largest_window: 4 << 20,
        ecn: true,
        sack: true,
        timestamps: true,
    };

    fn syn(flags: Flags, options: tcp::Options) -> Header {
        Header {
            sport: 1,
            dport: 2,
            seq: 0,
            ack: 0,
            flags,
            window: 65535,
            urgent: 0,
            header_len: 20,
            options,
        }
    }

    #[test]
    fn windows_are_shifted_no_further_than_needed() {
        for (window, shift) in [(65_535, 0), (65_536, 1), (4 << 20, 7), (u32::MAX, 14)] {
            let offer = Offer {
                largest_window: window,
                ..OFFER
            };
            assert_eq!(offer.shift(), shift, "{window}");
        }
    }

    #[test]
    fn a_plain_syn_gets_nothing_but_segments_of_536() {
        let plain = Negotiated::new(&OFFER, &syn(Flags::SYN, tcp::Options::default()));
        let expected = Negotiated {
            send_mss: 536,
            receive_mss: 1460,
            send_shift: 0,
            receive_shift: 0,
            timestamps: false,
            sack: false,
            ecn: false,
            small_mss: false,
        };
        assert_eq!(plain, expected);
    }

    #[test]
    fn what_both_offer_is_in_use() {
        let theirs = Offer {
            mss: 1200,
            largest_window: 1 << 20,
            ..OFFER
        };
        let flags = Flags::SYN | Flags::ECE | Flags::CWR;
        let agreed = Negotiated::new(&OFFER, &syn(flags, theirs.options(7)));
        assert!(agreed.timestamps && agreed.sack && agreed.ecn);
        assert_eq!((agreed.send_mss, agreed.receive_mss), (1188, 1448));
        assert_eq!((agreed.send_shift, agreed.receive_shift), (5, 7));
        // RFC 3168 section 6.1.1: a SYN-ACK that reflects both flags comes from a broken peer.
        let reflected = Negotiated::new(&OFFER, &syn(flags | Flags::ACK, theirs.options(7)));
        assert!(!reflected.ecn);
        let set = Negotiated::new(
            &OFFER,
            &syn(Flags::SYN | Flags::ACK | Flags::ECE, theirs.options(7)),
        );
        assert!(set.ecn);
    }

    #[test]
    fn what_either_end_leaves_out_is_not_in_use() {
        for (sack, timestamps) in [(false, true), (true, false), (false, false)] {
            let without = Offer {
                sack,
                timestamps,
                ..OFFER
            };
            let said = without.options(7);
            assert_eq!(said.sack_permitted, sack);
            assert_eq!(said.timestamps.is_some(), timestamps);
            for (ours, theirs) in [(without, OFFER), (OFFER, without)] {
                let agreed = Negotiated::new(&ours, &syn(Flags::SYN, theirs.options(7)));
                assert_eq!((agreed.sack, agreed.timestamps), (sack, timestamps));
                let mss = if timestamps { 1448 } else { 1460 };
                assert_eq!((agreed.send_mss, agreed.receive_mss), (mss, mss));
                let answer = agreed.answer(&ours, 8, 7);
                assert_eq!(answer.sack_permitted, sack);
                assert_eq!(answer.timestamps.is_some(), timestamps);
            }
        }
    }

    #[test]
    fn tiny_segments_are_refused() {
        let options = tcp::Options {
            mss: Some(1),
            ..tcp::Options::default()
        };
        let agreed = Negotiated::new(&OFFER, &syn(Flags::SYN, options));
        assert_eq!(agreed.send_mss, SMALLEST_MSS);
        assert!(agreed.small_mss);
    }
}
