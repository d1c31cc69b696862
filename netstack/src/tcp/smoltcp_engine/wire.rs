//! What passes between the wire and the engine, translated on the way.
//!
//! The engine draws its initial sequence numbers from a generator that can be predicted; ours are
//! keyed, so what the engine calls `x` is `x + delta` on the wire. What the engine keeps to itself
//! (what is in flight, which window was offered) is read from the segments as they pass. And what
//! the engine does with three kinds of segment is put right here: one with an acknowledgment that
//! others have overtaken, which it would drop with its payload; one with a FIN behind octets that
//! do not fit the window, which it would take for the end of what it has; and an ACK of its own
//! while it retransmits.

use crate::io::PacketBuf;
use crate::ip::{Ip, V4, V6};
use crate::tcp::{ConnectionOptions, Segment, seq};
use crate::wire::tcp::{self, Flags};

/// What has passed, in wire sequence numbers.
pub(super) struct Wire {
    /// The initial sequence number to be used.
    iss: u32,
    /// Wire minus engine sequence number; known once the engine has sent its SYN.
    delta: Option<u32>,
    pub(super) snd_una: u32,
    pub(super) snd_max: u32,
    pub(super) irs: Option<u32>,
    /// The peer's window as it stood in the newest acknowledgment, not scaled.
    snd_wnd: u16,
    /// What was sent last is an octet that asks whether a closed window is still closed.
    probed: bool,
    /// The end of the window that we offered.
    rcv_edge: Option<u32>,
    /// How far the windows that we offer are shifted.
    rcv_shift: u8,
    /// The largest payload the path takes, without options.
    mss: u16,
    /// The most that can be in flight.
    send_buffer: u32,
    /// Since the peer was last heard, it was sent something that it has to answer: a segment that
    /// occupies sequence space, or a probe.
    pub(super) unanswered: bool,
    pub(super) retransmits: u32,
    pub(super) resets: u32,
}

impl Wire {
    pub(super) fn new(options: &ConnectionOptions, iss: u32) -> Self {
        Self {
            iss,
            delta: None,
            snd_una: iss,
            snd_max: iss,
            irs: None,
            snd_wnd: 0,
            probed: false,
            rcv_edge: None,
            rcv_shift: 0,
            mss: options.mss,
            send_buffer: u32::try_from(options.send_buffer).unwrap_or(u32::MAX),
            unanswered: false,
            retransmits: 0,
            resets: 0,
        }
    }

    /// Notes what a received segment says and translates it for the engine, which expects
    /// `rcv_nxt` next.
    pub(super) fn receive<B: PacketBuf>(&mut self, segment: &mut Segment<B>, rcv_nxt: Option<u32>) {
        let header = segment.header;
        let payload_len = segment.payload_len() as u32;
        let octets = &mut segment.packet.data_mut()[segment.tcp_offset..];
        self.unanswered = false;
        if header.flags.contains(Flags::SYN) {
            self.clamp_mss(octets);
        }
        let end = header.seq.wrapping_add(payload_len);
        // RFC 9293 section 3.10.7.4: what is beyond the window is cut off, and the FIN with it.
        if header.flags.contains(Flags::FIN) && self.rcv_edge.is_some_and(|edge| seq::lt(edge, end))
        {
            octets[tcp::FLAGS_OFFSET] = header.flags.without(Flags::FIN).0;
        }
        if !header.flags.contains(Flags::ACK) {
            return;
        }
        // A peer whose last segments were lost and that has filled our window sends its ACKs from
        // the window's very end. RFC 9293 section 3.10.7.4 has them accepted only before it, and
        // both ends would wait for each other.
        if let Some(rcv_nxt) = rcv_nxt
            && header.flags.without(Flags::PSH) == Flags::ACK
            && payload_len == 0
            && Some(header.seq) == self.rcv_edge
        {
            octets[tcp::SEQ_OFFSET..][..4].copy_from_slice(&rcv_nxt.to_be_bytes());
        }
        let mut ack = header.ack;
        if seq::lt(self.snd_una, ack) && seq::le(ack, self.snd_max) {
            self.snd_una = ack;
        }
        let oldest = self.snd_una.wrapping_sub(self.send_buffer);
        if self.irs.is_none() || !seq::lt(ack, self.snd_una) {
            if !header.flags.contains(Flags::SYN) {
                self.snd_wnd = header.window;
                self.keep_ajar(ack, octets);
            }
        } else if end != header.seq || header.flags.contains(Flags::FIN) {
            // RFC 9293 section 3.10.7.4: an old acknowledgment is ignored, but what comes with it
            // counts. Older than all that can have been in flight: RFC 5961 section 5.2, dropped.
            if seq::le(oldest, ack) {
                ack = self.snd_una;
                octets[tcp::WINDOW_OFFSET..][..2].copy_from_slice(&self.snd_wnd.to_be_bytes());
            }
        }
        let ack = ack.wrapping_sub(self.delta.unwrap_or(0));
        octets[tcp::ACK_OFFSET..][..4].copy_from_slice(&ack.to_be_bytes());
    }

    /// Hides from the engine that the peer closed its window before what is in flight. It would
    /// stop the retransmission timer, and not start it again when the window opens. So it sees the
    /// smallest window there is: what it sends into that at its timeouts are the probes.
    fn keep_ajar(&self, ack: u32, octets: &mut [u8]) {
        let in_flight = self.snd_max.wrapping_sub(ack);
        let only_probe = self.probed && in_flight == 1;
        if self.snd_wnd == 0 && in_flight.cast_signed() > 0 && !only_probe {
            octets[tcp::WINDOW_OFFSET..][..2].copy_from_slice(&1_u16.to_be_bytes());
        }
    }

    /// Notes that the engine took the SYN `header` for the peer's.
    pub(super) fn synchronize(&mut self, header: &tcp::Header) {
        self.irs = Some(header.seq);
        // RFC 7323 section 2.2: windows are shifted only if both ends offer it.
        if header.options.window_scale.is_none() {
            self.rcv_shift = 0;
        }
    }

    /// Notes what the engine sends and translates it for the wire.
    pub(super) fn send(&mut self, packet: &mut [u8]) {
        // smoltcp writes neither IP options nor extension headers.
        let ip_header_len = if packet[0] >> 4 == V4::VERSION {
            V4::HEADER_LEN
        } else {
            V6::HEADER_LEN
        };
        let segment = &mut packet[ip_header_len..];
        let Ok(header) = tcp::Header::parse(segment) else {
            debug_assert!(false, "the engine writes segments that parse");
            return;
        };
        let syn = header.flags.contains(Flags::SYN);
        if syn {
            self.delta
                .get_or_insert_with(|| self.iss.wrapping_sub(header.seq));
            self.rcv_shift = header.options.window_scale.unwrap_or(0);
            self.clamp_mss(segment);
        }
        self.resets += u32::from(header.flags.contains(Flags::RST));
        self.note_window(&header);

        let payload = (segment.len() - header.header_len) as u32;
        let fin = header.flags.contains(Flags::FIN);
        let len = payload + u32::from(syn) + u32::from(fin);
        let seq = if len == 0 && header.flags.contains(Flags::ACK) {
            // RFC 9293 section 3.10.7.4: an ACK says SND.NXT. smoltcp goes back with it when it
            // retransmits, and a peer that has more than that would not look at the ACK.
            self.snd_max
        } else {
            header.seq.wrapping_add(self.delta.unwrap_or(0))
        };
        segment[tcp::SEQ_OFFSET..][..4].copy_from_slice(&seq.to_be_bytes());
        let end = seq.wrapping_add(len);
        if len > 0 {
            self.unanswered = true;
            self.probed = payload == 1 && len == 1 && self.snd_wnd == 0 && seq == self.snd_una;
        }
        if seq::lt(self.snd_max, end) {
            self.snd_max = end;
        } else if len > 0 && seq::lt(self.snd_una, end) {
            // A keepalive ends at snd_una; it repeats nothing that is missing.
            self.retransmits += 1;
        }
    }

    /// What stands in the window field of a segment that offers no more than was offered before.
    pub(super) fn window(&self, rcv_nxt: u32) -> u16 {
        let room = self
            .rcv_edge
            .filter(|edge| seq::lt(rcv_nxt, *edge))
            .map_or(0, |edge| edge.wrapping_sub(rcv_nxt));
        u16::try_from(room >> self.rcv_shift).unwrap_or(u16::MAX)
    }

    /// Whether `seq` is inside the window that begins at `rcv_nxt`, or at its very end.
    pub(super) fn offers(&self, rcv_nxt: u32, seq: u32) -> bool {
        let offered = self.rcv_edge.map_or(0, |edge| edge.wrapping_sub(rcv_nxt));
        seq.wrapping_sub(rcv_nxt) <= offered
    }

    fn note_window(&mut self, header: &tcp::Header) {
        if !header.flags.contains(Flags::ACK) || header.flags.contains(Flags::RST) {
            return;
        }
        // RFC 7323 section 2.2: the window of a SYN is never shifted.
        let shift = if header.flags.contains(Flags::SYN) {
            0
        } else {
            self.rcv_shift
        };
        let edge = header.ack.wrapping_add(u32::from(header.window) << shift);
        if self.rcv_edge.is_none_or(|old| seq::lt(old, edge)) {
            self.rcv_edge = Some(edge);
        }
    }

    /// Lowers the MSS option of a SYN to what the path takes (RFC 9293 section 3.7.1).
    fn clamp_mss(&self, segment: &mut [u8]) {
        if let Some(at) = tcp::mss_option_offset(segment) {
            let value = &mut segment[at..at + 2];
            let mss = u16::from_be_bytes([value[0], value[1]]);
            value.copy_from_slice(&mss.min(self.mss).to_be_bytes());
        }
    }
}
