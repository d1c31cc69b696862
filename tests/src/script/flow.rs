//! A connection of a script: its ports, and its numbers between script and wire.
//!
//! The peer's sequence numbers are on the wire as the script says. Ours are not: the stack chooses
//! where they begin, so the first SYN that it sends fixes what the script's number of that SYN is
//! on the wire. The values of timestamps are translated likewise, from the first one that is sent.
//!
//! The payload at a place of a stream is always the same octet, so that both ends can tell whether
//! they got what belongs there.

use netstack::tcp::seq;
use netstack::wire::tcp::Flags;

use super::event::{Body, Options, Packet, Tcp, TcpOption};
use super::wire::Ports;

/// The peer's port when it connects and the script does not say.
const PEER_PORT: u16 = 50_000;

/// The port that is listened on, or connected to, when the script does not say.
pub(super) const DEFAULT_PORT: u16 = 8080;

/// A connection of a script.
#[derive(Clone, Debug)]
pub(super) struct Flow {
    /// Known once the script or a packet has told.
    pub(super) local_port: Option<u16>,
    pub(super) remote_port: u16,
    /// What to add to our sequence numbers of the script to get those of the wire.
    offset: Option<u32>,
    /// The script's sequence number of our SYN.
    iss: u32,
    /// The peer's SYN, answered by ours.
    irs: Option<u32>,
    /// A SYN of the peer that has not been answered.
    pending_irs: Option<u32>,
    /// The highest acknowledgment of the peer, in the script's numbers.
    acknowledged: Option<u32>,
    /// What to add to our timestamps of the script to get those of the wire.
    clock_offset: Option<u32>,
}

impl Flow {
    /// A connection that the peer opens.
    pub(super) fn passive(local_port: u16) -> Self {
        Self::new(Some(local_port), PEER_PORT)
    }

    pub(super) fn new(local_port: Option<u16>, remote_port: u16) -> Self {
        Self {
            local_port,
            remote_port,
            offset: None,
            iss: 0,
            irs: None,
            pending_irs: None,
            acknowledged: None,
            clock_offset: None,
        }
    }

    pub(super) fn ports(&self) -> Ports {
        Ports {
            local: self.local_port.unwrap_or(DEFAULT_PORT),
            remote: self.remote_port,
        }
    }

    /// A packet of the peer, from the script's numbers to those of the wire; and its payload.
    pub(super) fn arrive(&mut self, packet: &Packet) -> (Packet, Vec<u8>) {
        let mut packet = packet.clone();
        let offset = self.offset.unwrap_or(0);
        match &mut packet.body {
            Body::Icmp(icmp) => {
                icmp.seq = icmp.seq.wrapping_add(offset);
                (packet, Vec::new())
            }
            Body::Tcp(tcp) => {
                let syn = tcp.flags.contains(Flags::SYN);
                let first = if syn && self.irs.is_none() {
                    tcp.seq
                } else {
                    self.irs.unwrap_or(u32::MAX)
                };
                let at = tcp.seq.wrapping_sub(first).wrapping_sub(u32::from(!syn));
                let payload = payload(Sender::Peer, at, usize::from(tcp.len));
                if syn {
                    if tcp.flags.contains(Flags::ACK) {
                        self.irs.get_or_insert(tcp.seq);
                    } else {
                        self.pending_irs = Some(tcp.seq);
                    }
                }
                if tcp.flags.contains(Flags::ACK) {
                    if self.acknowledged.is_none_or(|old| seq::lt(old, tcp.ack)) {
                        self.acknowledged = Some(tcp.ack);
                    }
                    tcp.ack = tcp.ack.wrapping_add(offset);
                }
                self.translate_options(tcp, offset);
                (packet, payload)
            }
        }
    }

    fn translate_options(&self, tcp: &mut Tcp, offset: u32) {
        let Options::Exactly(options) = &mut tcp.options else {
            return;
        };
        for option in options {
            match option {
                TcpOption::Sack(blocks) => {
                    for (from, to) in blocks {
                        *from = from.wrapping_add(offset);
                        *to = to.wrapping_add(offset);
                    }
                }
                // RFC 7323 section 3.2: zero where nothing is echoed.
                TcpOption::Timestamps { echo, .. } if *echo != 0 => {
                    *echo = echo.wrapping_add(self.clock_offset.unwrap_or(0));
                }
                _ => {}
            }
        }
    }

    /// A segment of ours, from the numbers of the wire to those of the script, which expects
    /// `expected`.
    pub(super) fn depart(&mut self, tcp: &mut Tcp, expected: Option<&Tcp>) {
        let syn = tcp.flags.contains(Flags::SYN);
        if syn && (self.offset.is_none() || self.pending_irs.is_some()) {
            let expected = expected.filter(|expected| expected.flags.contains(Flags::SYN));
            let iss = expected.map_or(0, |expected| expected.seq);
            // A SYN-ACK that repeats an earlier SYN changes nothing: the number is the same.
            let offset = tcp.seq.wrapping_sub(iss);
            if self.offset != Some(offset) {
                self.clock_offset = None;
            }
            self.offset = Some(offset);
            self.iss = iss;
            self.acknowledged = None;
            if let Some(irs) = self.pending_irs.take() {
                self.irs = Some(irs);
            }
        }
        // RFC 9293 section 3.10.7.1: a reset that answers a segment without ACK has the number 0.
        let of_nobody = tcp.flags == Flags::RST | Flags::ACK && tcp.seq == 0;
        if !of_nobody {
            tcp.seq = tcp.seq.wrapping_sub(self.offset.unwrap_or(0));
        }
        if let Some(value) = timestamp_mut(tcp) {
            let scripted = expected.and_then(timestamp).unwrap_or(*value);
            let offset = *self
                .clock_offset
                .get_or_insert_with(|| value.wrapping_sub(scripted));
            *value = value.wrapping_sub(offset);
        }
    }

    /// Whether the payload of a segment of ours, in the script's numbers, is what belongs there.
    ///
    /// What is acknowledged does not count: a keepalive may repeat its place with any octet
    /// (RFC 9293 section 3.8.4).
    pub(super) fn payload_fits(&self, tcp: &Tcp, sent: &[u8]) -> bool {
        let syn = u32::from(!tcp.flags.contains(Flags::SYN));
        let at = tcp.seq.wrapping_sub(self.iss).wrapping_sub(syn);
        let first = self.iss.wrapping_add(1);
        let known = self.acknowledged.filter(|ack| seq::lt(first, *ack));
        let known = known.unwrap_or(first);
        let skipped = if seq::lt(tcp.seq, known) && syn != 0 {
            known.wrapping_sub(tcp.seq) as usize
        } else {
            0
        };
        let right = payload(Sender::Us, at, sent.len());
        sent.iter().skip(skipped).eq(right.iter().skip(skipped))
    }
}

/// Whose stream octets belong to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Sender {
    Us,
    Peer,
}

/// The `len` octets of a stream from `at` on.
pub(super) fn payload(sender: Sender, at: u32, len: usize) -> Vec<u8> {
    let salt = match sender {
        Sender::Us => 0x55,
        Sender::Peer => 0xaa,
    };
    let octet = |index: usize| {
        let at = at.wrapping_add(index as u32);
        // Neighbors differ, and so do places that are a segment or a window apart.
        (at.wrapping_mul(0x9e37_79b1) >> 24) as u8 ^ salt
    };
    (0..len).map(octet).collect()
}

fn timestamp(tcp: &Tcp) -> Option<u32> {
    let Options::Exactly(options) = &tcp.options else {
        return None;
    };
    options.iter().find_map(|option| match option {
        TcpOption::Timestamps { value, .. } => Some(*value),
        _ => None,
    })
}

fn timestamp_mut(tcp: &mut Tcp) -> Option<&mut u32> {
    let Options::Exactly(options) = &mut tcp.options else {
        return None;
    };
    options.iter_mut().find_map(|option| match option {
        TcpOption::Timestamps { value, .. } => Some(value),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::Script;
    use crate::script::event::Action;
    use crate::sim::Family;

    fn packet(text: &str) -> Packet {
        let script = Script::parse(&format!("0 < {text}"), Family::V4).unwrap();
        match &script.events[0].action {
            Action::Inject(packet) => packet.clone(),
            other => panic!("{other:?}"),
        }
    }

    fn tcp(text: &str) -> Tcp {
        match packet(text).body {
            Body::Tcp(tcp) => tcp,
            Body::Icmp(_) => panic!("{text}"),
        }
    }

    /// What a segment of ours is in the script's numbers.
    fn departed(flow: &mut Flow, sent: &str, expected: &str) -> String {
        let mut sent = tcp(sent);
        flow.depart(&mut sent, Some(&tcp(expected)));
        sent.to_string()
    }

    fn arrived(flow: &mut Flow, text: &str) -> String {
        flow.arrive(&packet(text)).0.to_string()
    }

    const SYN_ACK: &str = "S. 0:0(0) ack 1 win 5 <TS val 100 ecr 7,nop,nop>";

    /// A connection whose numbers begin at 1,000,000, and timestamps at 5,000.
    fn accepted() -> Flow {
        let mut flow = Flow::passive(80);
        arrived(&mut flow, "S 0:0(0) win 5");
        let sent = "S. 1000000:1000000(0) ack 1 win 5 <TS val 5000 ecr 7,nop,nop>";
        assert_eq!(departed(&mut flow, sent, SYN_ACK), SYN_ACK);
        flow
    }

    #[test]
    fn our_numbers_begin_where_the_script_has_our_syn() {
        let mut flow = accepted();
        assert_eq!(
            departed(
                &mut flow,
                "P. 1000001:1000011(10) ack 1 win 5",
                "- 0:0(0) win 5"
            ),
            "P. 1:11(10) ack 1 win 5"
        );
        // Sent again, it must have the same number.
        let other = "S. 1000002:1000002(0) ack 1 win 5";
        assert_eq!(departed(&mut flow, other, SYN_ACK), "S. 2:2(0) ack 1 win 5");
    }

    #[test]
    fn a_new_connection_of_the_same_ports_has_numbers_of_its_own() {
        let mut flow = accepted();
        arrived(&mut flow, "S 500:500(0) win 5");
        let sent = "S. 7000:7000(0) ack 501 win 5";
        let shown = "S. 0:0(0) ack 501 win 5";
        assert_eq!(departed(&mut flow, sent, shown), shown);
    }

    #[test]
    fn acknowledgments_blocks_and_echoes_of_the_peer_are_translated() {
        let mut flow = accepted();
        assert_eq!(
            arrived(&mut flow, ". 1:1(0) ack 11 win 5 <nop,nop,sack 21:31>"),
            ". 1:1(0) ack 1000011 win 5 <nop,nop,sack 1000021:1000031>"
        );
        assert_eq!(
            arrived(
                &mut flow,
                ". 1:1(0) ack 11 win 5 <nop,nop,TS val 9 ecr 150>"
            ),
            ". 1:1(0) ack 1000011 win 5 <nop,nop,TS val 9 ecr 5050>"
        );
        assert_eq!(
            arrived(&mut flow, "icmp packet_too_big mtu 1280 [1:11(10)]"),
            "icmp packet_too_big mtu 1280 [1000001:1000011(10)]"
        );
    }

    #[test]
    fn timestamps_are_counted_from_the_first_one() {
        let mut flow = accepted();
        let sent = ". 1000001:1000001(0) ack 1 win 5 <nop,nop,TS val 5250 ecr 9>";
        let shown = ". 1:1(0) ack 1 win 5 <nop,nop,TS val 350 ecr 9>";
        assert_eq!(departed(&mut flow, sent, shown), shown);
    }

    #[test]
    fn payload_belongs_to_its_place() {
        let mut flow = accepted();
        let segment = tcp("P. 11:21(10) ack 1 win 5");
        let right = payload(Sender::Us, 10, 10);
        assert!(flow.payload_fits(&segment, &right));
        assert!(!flow.payload_fits(&segment, &payload(Sender::Us, 11, 10)));
        assert!(!flow.payload_fits(&segment, &payload(Sender::Peer, 10, 10)));
        let mut wrong = right;
        wrong[0] ^= 1;
        assert!(!flow.payload_fits(&segment, &wrong));
        // Only the first octet is acknowledged.
        arrived(&mut flow, ". 1:1(0) ack 12 win 5");
        assert!(flow.payload_fits(&segment, &wrong));
        wrong[1] ^= 1;
        assert!(!flow.payload_fits(&segment, &wrong));
        // The place of our SYN is no place of the stream.
        assert!(flow.payload_fits(&tcp(". 0:1(1) ack 1 win 5"), &[0]));
    }

    #[test]
    fn the_payload_of_the_peer_follows_from_its_place() {
        let mut flow = accepted();
        let (_, octets) = flow.arrive(&packet("P. 101:111(10) ack 1 win 5"));
        assert_eq!(octets, payload(Sender::Peer, 100, 10));
    }
}
