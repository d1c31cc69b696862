//! What a backend is told first: who the client is, in a PROXY header.
//!
//! It goes out as soon as the connection stands, before any octet of the client's and also if the
//! client says nothing. The ends are those of the client's own connection, whatever IP version leads
//! to the backend.

use netstack::counters::Event;
use netstack::io::PacketBuf;
use netstack::tcp::{Chunk, Output};

use super::{Sessions, Turn};
use crate::config::{AnnounceVersion, ProxyTlv};
use crate::l7::about::{About, UniqueId};
use crate::l7::half::Half;
use crate::l7::proxy_protocol::{self, AnnouncementV2, Endpoints};

impl Sessions {
    /// Queues a header for a backend that has just been connected to, if its group wants one.
    pub(super) fn announce<O: Output>(&mut self, key: usize, turn: &mut Turn<'_, O>) {
        let session = &mut self.sessions[key];
        let group = session.group(&self.config);
        let (Some(announce), Some(attempt)) =
            (&self.config.groups[group].announce, session.attempt())
        else {
            return;
        };
        let flow = turn.tcp.flow(session.client);
        let told = session.about.as_ref().and_then(|about| about.endpoints);
        let endpoints = told.unwrap_or_else(|| Endpoints {
            source: flow.remote(),
            destination: flow.local(),
        });
        let wants = |tlv| announce.version == AnnounceVersion::V2 && announce.tlvs.contains(&tlv);
        let id = wants(ProxyTlv::UniqueId).then(|| {
            self.named += 1;
            UniqueId {
                process: self.config.process,
                worker: self.config.worker,
                number: self.named,
            }
        });
        let id_text = id.map(|id| id.to_string());
        let about = session.about.as_deref();
        self.scratch.clear();
        match announce.version {
            AnnounceVersion::V1 => proxy_protocol::emit_v1(endpoints, &mut self.scratch),
            AnnounceVersion::V2 => AnnouncementV2 {
                alpn: about
                    .and_then(|about| about.protocols.only())
                    .filter(|_| wants(ProxyTlv::Alpn)),
                authority: about
                    .and_then(|about| about.server_name.as_deref())
                    .filter(|_| wants(ProxyTlv::Authority)),
                unique_id: id_text.as_deref().map(str::as_bytes),
                crc32c: wants(ProxyTlv::Crc32c),
            }
            .emit(endpoints, &mut self.scratch),
        }
        turn.counters.increment(Event::ProxyHeadersSent);
        let connection = turn.tcp.connection(attempt.connection);
        let sent = connection.send(Chunk::new(&self.scratch), turn.out);
        if id.is_none() && sent == self.scratch.len() {
            return;
        }
        let about = session
            .about
            .get_or_insert_with(|| Box::new(About::nothing(group, session.accepted_at)));
        about.unique_id = id;
        about.unsent = self.scratch[sent..].to_vec();
    }
}

/// Queues more of what the backend is to be told first. Returns whether that was all.
pub(super) fn announce_more<B: PacketBuf, O: Output<Buf = B>>(
    about: Option<&mut Box<About>>,
    backend: &mut Half<'_, B>,
    out: &mut O,
) -> bool {
    let Some(about) = about.filter(|about| !about.unsent.is_empty()) else {
        return true;
    };
    let sent = backend.send(Chunk::new(&about.unsent), out);
    about.unsent.drain(..sent);
    about.unsent.is_empty()
}
