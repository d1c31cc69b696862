//! A session of two halves, between which octets flow.

use netstack::counters::Event;
use netstack::tcp::{CloseCause, Output};
use netstack::time::Instant;

use super::announce::announce_more;
use super::{Attempt, Session, Sessions, Stage, Turn, close_reason};
use crate::l7::half::Half;
use crate::l7::splice;
use crate::termination::{CloseReason, Phase, Side};

#[derive(Debug)]
pub(super) struct Joined {
    pub(super) attempt: Attempt,
    pub(super) connected_at: Instant,
    pub(super) bytes_to_backend: u64,
    pub(super) bytes_to_client: u64,
}

impl Sessions {
    /// Something happened to one of two joined halves.
    pub(super) fn joined<O: Output>(&mut self, key: usize, turn: &mut Turn<'_, O>) {
        let Session {
            client,
            stage,
            about,
            ..
        } = &mut self.sessions[key];
        let Stage::Joined { joined, .. } = stage else {
            return;
        };
        let (client_id, backend_id) = (*client, joined.attempt.connection);
        // Most often something has happened to both, and once is enough.
        turn.tcp.attend(client_id);
        turn.tcp.attend(backend_id);
        let Some((client, backend)) = turn.tcp.pair(client_id, backend_id) else {
            return;
        };
        let (mut client, mut backend) = (Half::plain(client), Half::plain(backend));
        let to_backend = if announce_more(about.as_mut(), &mut backend, turn.out) {
            splice::forward(&mut client, &mut backend, turn.out)
        } else {
            0
        };
        let to_client = splice::forward(&mut backend, &mut client, turn.out);
        Half::share_progress(&mut client, &mut backend);
        let ended = (client.ended(), backend.ended());
        let first = joined.bytes_to_client == 0 && to_client > 0;
        joined.bytes_to_backend += to_backend;
        joined.bytes_to_client += to_client;
        turn.counters.add(Event::BytesToBackend, to_backend);
        turn.counters.add(Event::BytesToClient, to_client);
        if first {
            let backend = joined.attempt.backend;
            self.pool_of(key).note_served(turn.now, backend);
        }
        let reason = match ended {
            (Some(CloseCause::Finished), Some(CloseCause::Finished)) => CloseReason::FINISHED,
            (Some(cause), _) if cause != CloseCause::Finished => {
                close_reason(Side::Client, cause, Phase::Data)
            }
            (_, Some(cause)) if cause != CloseCause::Finished => {
                close_reason(Side::Backend, cause, Phase::Data)
            }
            _ => {
                turn.tcp.flush(client_id, turn.now, turn.out);
                turn.tcp.flush(backend_id, turn.now, turn.out);
                return;
            }
        };
        self.note_end(key, reason, turn);
        self.close(key, reason, turn);
    }
}
