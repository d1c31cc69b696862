//! Replies: whether the queue of a packet that answers ours can be foreseen, so that the source port
//! of a connection to a backend can be chosen for it.
//!
//! A port's own hash is foreseen where it tells key and table. How a rule's `rss` action gets from
//! the hash to a queue is in no profile: guides do not say, and where drivers leave it to the kernel
//! (mlx5) the hash is not even Toeplitz's. What is not foreseen is handed over when it arrives.

use super::class::Class;
use super::{ClassPlan, Plan, Purpose, RestBy};

/// Where packets of a class arrive, as far as it can be foreseen.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Replies {
    /// All in queues of this worker.
    Worker(u16),
    /// Where the port's hash and its redirection table say, both as the live port tells them; the
    /// table names [`super::Rest::queues`].
    ByPort,
    /// In any queue of the class.
    Unforeseen,
}

impl Plan {
    /// Where packets of a class arrive; `None` if it has no queues here.
    pub fn replies(&self, class: Class) -> Option<Replies> {
        let plan = self.class(class)?;
        let mut workers = plan.queues.iter().map(|queue| self.worker_of(*queue));
        if let Some(Some(first)) = workers.next()
            && workers.all(|other| other == Some(first))
        {
            return Some(Replies::Worker(first));
        }
        let computable = self.driver.profile().rss.spread.is_computable();
        Some(if computable && !self.is_by_rules(plan) {
            Replies::ByPort
        } else {
            Replies::Unforeseen
        })
    }

    /// Whether rules spread a class, be it with all that is for our addresses.
    pub(super) fn is_by_rules(&self, plan: &ClassPlan) -> bool {
        let ours = plan.class.family().map(Purpose::Ours);
        let with_ours = ours.is_some_and(|ours| self.purposes.contains(&ours));
        plan.by_rule || with_ours || self.rest.by == RestBy::Rules
    }

    /// Who serves a queue.
    pub fn worker_of(&self, queue: u16) -> Option<u16> {
        let queue = self.queues.get(usize::from(queue))?;
        Some(queue.worker)
    }
}
