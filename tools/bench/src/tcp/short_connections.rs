//! Connections of one request each.
//!
//! A client connects from a port never used before, sends 64 octets, gets 64 octets, and closes
//! when the backend has, as with HTTP/1.0. Segments as between Linux hosts: the end of a
//! handshake, the request, the response and the backend's FIN travel by themselves; the client's
//! FIN acknowledges all of it.

use netstack::wire::tcp::Flags;
use proxy::termination::CloseReason;

use super::frame::Segment;
use super::message::{self, Kind, LEN, message};
use super::peer::PeerId;
use super::rig::{Rig, Script, Stopwatch};

/// Connections at a time.
const AT_ONCE: u32 = 64;

/// The clients and backends of this benchmark.
#[derive(Debug, Default)]
pub struct ShortConnections {
    opened: u32,
    responses: u32,
    ended: u32,
}

impl ShortConnections {
    /// Makes `sessions` sessions and returns the time in the worker.
    ///
    /// # Panics
    /// If a session does not end as it should.
    pub fn round(&mut self, rig: &mut Rig, sessions: u32) -> Stopwatch {
        rig.lap();
        let until = self.ended + sessions;
        while self.ended < until {
            while self.opened < until && self.opened < self.ended + AT_ONCE {
                rig.open(self.opened);
                self.opened += 1;
            }
            rig.turn(self);
            while let Some(report) = rig.report() {
                assert_eq!(report.reason, CloseReason::FINISHED, "{report:?}");
                let octets = (report.bytes_to_backend, report.bytes_to_client);
                assert_eq!(octets, (LEN as u64, LEN as u64), "{report:?}");
                self.ended += 1;
            }
        }
        assert_eq!(self.responses, self.ended, "a response is missing");
        rig.lap()
    }
}

impl Script for ShortConnections {
    fn established(&mut self, rig: &mut Rig, id: PeerId) {
        if let PeerId::Client(client) = id {
            let request = message(Kind::Request, client, 1);
            rig.send(id, Flags::ACK | Flags::PSH, &request);
        }
    }

    fn heard(&mut self, rig: &mut Rig, id: PeerId, segment: &Segment<'_>) {
        let fin = segment.header.flags.contains(Flags::FIN);
        match id {
            PeerId::Backend(_) if fin => rig.send(id, Flags::ACK, &[]),
            PeerId::Backend(_) => {
                let (client, number) = message::read_request(segment.payload);
                let response = message(Kind::Response, client, number);
                rig.send(id, Flags::ACK | Flags::PSH, &response);
                rig.send(id, Flags::ACK | Flags::FIN, &[]);
            }
            PeerId::Client(client) => {
                if !segment.payload.is_empty() {
                    let expected = message(Kind::Response, client, 1);
                    assert_eq!(segment.payload, expected, "another one's response");
                    self.responses += 1;
                }
                if fin {
                    rig.send(id, Flags::ACK | Flags::FIN, &[]);
                }
            }
        }
    }
}
