//! What Weirgate says at its end that it counted.

use std::collections::HashMap;
use std::net::SocketAddr;

use netstack::counters::Event;
use netstack::drop::DropReason;

/// Counters, by their names; those that are zero are left out.
type Named = HashMap<String, u64>;

/// The counters of all who count.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    workers: Vec<Named>,
    receivers: Vec<Named>,
    /// The worker of each client.
    sessions: HashMap<SocketAddr, usize>,
}

impl Counts {
    /// What a log says.
    pub(super) fn of_log(log: &str) -> Self {
        let mut counts = Self::default();
        for line in log.lines() {
            if let Some((_, session)) = line.split_once(" session ended ") {
                counts.sessions.extend(client_and_worker(session));
            }
            let Some((_, named)) = line.split_once(" counters: ") else {
                continue;
            };
            let mut named: Named = pairs(named)
                .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
                .collect();
            if named.remove("worker").is_some() {
                counts.workers.push(named);
            } else if named.remove("receiver").is_some() {
                counts.receivers.push(named);
            }
        }
        counts
    }

    /// What each worker counted of an event.
    pub fn by_worker(&self, event: Event) -> Vec<u64> {
        let workers = self.workers.iter();
        workers.map(|named| count(named, event.name())).collect()
    }

    /// What each lcore that only receives counted of an event.
    pub fn by_receiver(&self, event: Event) -> Vec<u64> {
        let receivers = self.receivers.iter();
        receivers.map(|named| count(named, event.name())).collect()
    }

    /// How many of these clients each worker had.
    ///
    /// # Panics
    /// If nobody had one of them.
    pub fn clients_by_worker(&self, clients: &[SocketAddr]) -> Vec<u64> {
        let mut by_worker = vec![0; self.workers.len()];
        for client in clients {
            let worker = self.sessions.get(client);
            by_worker[*worker.expect("the log has all sessions")] += 1;
        }
        by_worker
    }

    /// What all together counted of an event.
    pub fn sum(&self, event: Event) -> u64 {
        self.sum_of(event.name())
    }

    /// Packets that all together dropped for a reason.
    pub fn drops(&self, reason: DropReason) -> u64 {
        self.sum_of(&format!("drop_{}", reason.name()))
    }

    fn sum_of(&self, name: &str) -> u64 {
        let all = self.workers.iter().chain(&self.receivers);
        all.map(|named| count(named, name)).sum()
    }
}

/// The words of the form `name=value`.
fn pairs(words: &str) -> impl Iterator<Item = (&str, &str)> {
    let words = words.split_whitespace();
    words.filter_map(|word| word.split_once('='))
}

/// What a line about an ended session says.
fn client_and_worker(session: &str) -> Option<(SocketAddr, usize)> {
    let value = |wanted| {
        let mut pairs = pairs(session);
        let found = pairs.find(|(name, _)| *name == wanted);
        found.map(|(_, value)| value)
    };
    Some((
        value("client")?.parse().ok()?,
        value("worker")?.parse().ok()?,
    ))
}

fn count(named: &Named, name: &str) -> u64 {
    named.get(name).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_from_a_log() {
        let log = "2026-01-01T00:00:00Z  INFO proxy::control: ready workers=2\n\
            2026-01-01T00:00:00Z  INFO weirgate::session: session ended client=[fd64::2]:7 worker=1 tries=1\n\
            2026-01-01T00:00:00Z  INFO proxy::control: counters: rx_frames=7 drop_tcp_paws=1 worker=0\n\
            2026-01-01T00:00:00Z  INFO proxy::control: counters: tx_frames=2 worker=1\n\
            2026-01-01T00:00:00Z  INFO proxy::control: counters: rx_frames=9 receiver=0\n";
        let counts = Counts::of_log(log);
        assert_eq!(counts.by_worker(Event::RxFrames), [7, 0]);
        assert_eq!(counts.by_receiver(Event::RxFrames), [9]);
        assert_eq!(counts.sum(Event::RxFrames), 16);
        assert_eq!(counts.sum(Event::TxFrames), 2);
        let client = "[fd64::2]:7".parse().unwrap();
        assert_eq!(counts.clients_by_worker(&[client]), [0, 1]);
        assert_eq!(counts.drops(DropReason::TcpPaws), 1);
    }
}
