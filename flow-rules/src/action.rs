//! What is done with the packets of a rule: one fate, and what goes with it.
//!
//! [`Actions`] is built action by action and knows in its type whether there is a fate, so a rule
//! cannot have none or two. [`ActionList`] is the same without types, for lists that were read.

use core::marker::PhantomData;
use core::ops::Deref;

use crate::kind::ActionKind;
use crate::rss::Rss;

/// Actions of a rule; `State` says whether a fate is among them.
#[derive(Debug)]
pub struct Actions<State> {
    actions: Vec<Action>,
    state: PhantomData<fn() -> State>,
}

/// There is no fate yet.
#[derive(Debug)]
pub enum Undecided {}

/// There is a fate.
#[derive(Debug)]
pub enum Decided {}

// Not derived: what can be copied does not depend on the type of the state.
impl<State> Clone for Actions<State> {
    fn clone(&self) -> Self {
        Self {
            actions: self.actions.clone(),
            state: PhantomData,
        }
    }
}

impl Actions<Undecided> {
    /// No actions.
    #[expect(
        clippy::new_without_default,
        reason = "begun to be built on; nobody needs a generic empty one"
    )]
    pub fn new() -> Self {
        Self {
            actions: Vec::new(),
            state: PhantomData,
        }
    }

    /// To this queue.
    pub fn queue(self, index: u16) -> Actions<Decided> {
        self.decide(Action::Queue { index })
    }

    /// To one of several queues, by a hash.
    pub fn rss(self, rss: Rss) -> Actions<Decided> {
        self.decide(Action::Rss(rss))
    }

    /// Dropped.
    pub fn drop(self) -> Actions<Decided> {
        self.decide(Action::Drop)
    }

    /// On to the rules of lower priority.
    pub fn passthru(self) -> Actions<Decided> {
        self.decide(Action::Passthru)
    }

    /// On to the rules of another group.
    pub fn jump(self, group: u32) -> Actions<Decided> {
        self.decide(Action::Jump { group })
    }

    /// A fate without a method of its own.
    ///
    /// # Errors
    /// [`ActionError::NoFate`] if `action` is none.
    pub fn fate(self, action: Action) -> Result<Actions<Decided>, ActionError> {
        if action.kind().is_fate() {
            Ok(self.decide(action))
        } else {
            Err(ActionError::NoFate)
        }
    }

    fn decide(mut self, fate: Action) -> Actions<Decided> {
        self.actions.push(fate);
        Actions {
            actions: self.actions,
            state: PhantomData,
        }
    }
}

impl<State> Actions<State> {
    /// With a number for the program to find in the packet.
    pub fn mark(self, id: u32) -> Self {
        self.and(Action::Mark { id })
    }

    /// With a flag for the program to find in the packet.
    pub fn flag(self) -> Self {
        self.and(Action::Flag)
    }

    /// Counted, by the counter `id` of the rule.
    pub fn count(self, id: u32) -> Self {
        self.and(Action::Count { id })
    }

    /// Metered by a meter of the device.
    pub fn meter(self, id: u32) -> Self {
        self.and(Action::Meter { id })
    }

    /// A copy to another queue; not in DPDK 22.11 and later.
    pub fn dup(self, index: u16) -> Self {
        self.and(Action::Dup { index })
    }

    /// Treated by the IPsec engine of the device.
    pub fn security(self) -> Self {
        self.and(Action::Security)
    }

    /// A place holder that does nothing.
    pub fn void(self) -> Self {
        self.and(Action::Void)
    }

    fn and(mut self, action: Action) -> Self {
        self.actions.push(action);
        self
    }
}

/// One action.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Action {
    /// To a queue.
    Queue {
        /// The queue.
        index: u16,
    },
    /// To one of several queues.
    Rss(Rss),
    /// Dropped.
    Drop,
    /// On to the rules of lower priority.
    Passthru,
    /// On to the rules of another group.
    Jump {
        /// The group.
        group: u32,
    },
    /// To the physical function.
    Pf,
    /// To a virtual function.
    Vf {
        /// Its number.
        id: u32,
        /// To the one it is for instead, if that can be told.
        original: bool,
    },
    /// To a port of DPDK; deprecated in DPDK, but there.
    PortId {
        /// The port.
        id: u32,
        /// To the one it is for instead, if that can be told.
        original: bool,
    },
    /// To a port of DPDK.
    PortRepresentor {
        /// The port.
        port: u16,
    },
    /// To what a port of DPDK stands for.
    RepresentedPort {
        /// The port.
        port: u16,
    },
    /// Given a number.
    Mark {
        /// The number.
        id: u32,
    },
    /// Given a flag.
    Flag,
    /// Counted.
    Count {
        /// Which counter of the rule.
        id: u32,
    },
    /// Metered.
    Meter {
        /// The meter.
        id: u32,
    },
    /// A copy to a queue; not in DPDK 22.11 and later.
    Dup {
        /// The queue.
        index: u16,
    },
    /// IPsec, without a session of its own.
    Security,
    /// Nothing.
    Void,
}

impl Action {
    /// What it is.
    pub fn kind(&self) -> ActionKind {
        match self {
            Self::Queue { .. } => ActionKind::Queue,
            Self::Rss(_) => ActionKind::Rss,
            Self::Drop => ActionKind::Drop,
            Self::Passthru => ActionKind::Passthru,
            Self::Jump { .. } => ActionKind::Jump,
            Self::Pf => ActionKind::Pf,
            Self::Vf { .. } => ActionKind::Vf,
            Self::PortId { .. } => ActionKind::PortId,
            Self::PortRepresentor { .. } => ActionKind::PortRepresentor,
            Self::RepresentedPort { .. } => ActionKind::RepresentedPort,
            Self::Mark { .. } => ActionKind::Mark,
            Self::Flag => ActionKind::Flag,
            Self::Count { .. } => ActionKind::Count,
            Self::Meter { .. } => ActionKind::Meter,
            Self::Dup { .. } => ActionKind::Dup,
            Self::Security => ActionKind::Security,
            Self::Void => ActionKind::Void,
        }
    }
}

impl ActionKind {
    /// The kinds that a rule can have.
    pub fn in_rules() -> impl Iterator<Item = Self> {
        let others = [
            Self::Mark,
            Self::Flag,
            Self::Count,
            Self::Meter,
            Self::Dup,
            Self::Security,
            Self::Void,
        ];
        FATES.into_iter().chain(others)
    }

    /// Whether it decides where the packets of a rule go.
    pub fn is_fate(self) -> bool {
        FATES.contains(&self)
    }

    /// Whether it needs a receive queue of the port, which only ingress rules have.
    pub(crate) fn is_for_ingress(self) -> bool {
        matches!(self, Self::Queue | Self::Rss | Self::Dup)
    }
}

/// The actions of a rule: exactly one fate, and nothing that contradicts.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct ActionList(Vec<Action>);

impl From<Actions<Decided>> for ActionList {
    fn from(actions: Actions<Decided>) -> Self {
        Self(actions.actions)
    }
}

impl ActionList {
    /// Where the packets go.
    ///
    /// # Panics
    /// Never: there is one by the way a list is made.
    pub fn fate(&self) -> &Action {
        let fate = self.0.iter().find(|action| action.kind().is_fate());
        fate.expect("a list of actions is made with a fate")
    }

    /// Checks what the types of [`Actions`] do not.
    pub(crate) fn check(&self) -> Result<(), ActionError> {
        for (second, action) in self.0.iter().enumerate() {
            let earlier = |clash: fn(&Action, &Action) -> bool| {
                let found = self.0[..second].iter().position(|each| clash(each, action));
                found.map(|first| (first, self.0[first].kind()))
            };
            if let Some((first, before)) = earlier(Action::clashes_with) {
                return Err(ActionError::Clash {
                    first,
                    before,
                    second,
                    after: action.kind(),
                });
            }
        }
        Ok(())
    }
}

impl Action {
    /// Whether one of the two has no effect, or no meaning, beside the other.
    fn clashes_with(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Mark { .. } | Self::Flag, Self::Mark { .. } | Self::Flag)
            | (Self::Meter { .. }, Self::Meter { .. })
            | (Self::Security, Self::Security) => true,
            (Self::Count { id: a }, Self::Count { id: b }) => a == b,
            (Self::Dup { index: a }, Self::Dup { index: b } | Self::Queue { index: b })
            | (Self::Queue { index: a }, Self::Dup { index: b }) => a == b,
            _ => false,
        }
    }
}

impl Deref for ActionList {
    type Target = [Action];

    fn deref(&self) -> &[Action] {
        &self.0
    }
}

impl TryFrom<Vec<Action>> for ActionList {
    type Error = ActionError;

    fn try_from(actions: Vec<Action>) -> Result<Self, ActionError> {
        let is_fate = |(_, action): &(usize, &Action)| action.kind().is_fate();
        let mut fates = actions.iter().enumerate().filter(is_fate);
        let Some((first, fate)) = fates.next() else {
            return Err(ActionError::NoFate);
        };
        if let Some((second, other)) = fates.next() {
            return Err(ActionError::TwoFates {
                first,
                fate: fate.kind(),
                second,
                other: other.kind(),
            });
        }
        Ok(Self(actions))
    }
}

/// Actions that make no sense together.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ActionError {
    /// Nothing says where the packets go.
    #[error(
        "the actions say nothing on where the packets go: add queue, rss, drop, passthru, jump, \
         or a port, pf or vf"
    )]
    NoFate,
    /// Two actions say where the packets go.
    #[error(
        "action {first}, {fate}, and action {second}, {other}, both say where the packets go: \
         keep one"
    )]
    TwoFates {
        /// The first of them, from 0.
        first: usize,
        /// What it is.
        fate: ActionKind,
        /// The second.
        second: usize,
        /// What it is.
        other: ActionKind,
    },
    /// Two actions that undo or repeat each other.
    #[error(
        "action {second}, {after}, is not possible beside action {first}, {before}: leave one out{}",
        if after == before && *after == ActionKind::Count { ", or number the counters" } else { "" }
    )]
    Clash {
        /// The first of them, from 0.
        first: usize,
        /// What it is.
        before: ActionKind,
        /// The second.
        second: usize,
        /// What it is.
        after: ActionKind,
    },
}

/// The actions that decide where packets go.
const FATES: [ActionKind; 10] = [
    ActionKind::Queue,
    ActionKind::Rss,
    ActionKind::Drop,
    ActionKind::Passthru,
    ActionKind::Jump,
    ActionKind::Pf,
    ActionKind::Vf,
    ActionKind::PortId,
    ActionKind::PortRepresentor,
    ActionKind::RepresentedPort,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn error(actions: Vec<Action>) -> String {
        let list = ActionList::try_from(actions).and_then(|list| list.check().map(|()| list));
        list.unwrap_err().to_string()
    }

    #[test]
    fn a_list_has_one_fate() {
        assert_eq!(
            error(vec![Action::Mark { id: 1 }]),
            "the actions say nothing on where the packets go: add queue, rss, drop, passthru, \
             jump, or a port, pf or vf"
        );
        assert_eq!(
            error(vec![Action::Drop, Action::Flag, Action::Queue { index: 1 }]),
            "action 0, drop, and action 2, queue, both say where the packets go: keep one"
        );
        let list = ActionList::from(Actions::new().mark(7).queue(3).count(0));
        assert_eq!(list.fate(), &Action::Queue { index: 3 });
        assert_eq!(ActionList::try_from(list.to_vec()), Ok(list));
    }

    #[test]
    fn actions_that_undo_or_repeat_each_other_are_refused() {
        assert_eq!(
            error(vec![Action::Mark { id: 1 }, Action::Drop, Action::Flag]),
            "action 2, flag, is not possible beside action 0, mark: leave one out"
        );
        assert_eq!(
            error(vec![
                Action::Count { id: 1 },
                Action::Count { id: 1 },
                Action::Drop
            ]),
            "action 1, count, is not possible beside action 0, count: leave one out, or number \
             the counters"
        );
        let counters = Actions::new().count(1).count(2).drop();
        assert_eq!(ActionList::from(counters).check(), Ok(()));
        let copy = Actions::new().dup(1).queue(1);
        assert!(ActionList::from(copy).check().is_err());
    }

    #[test]
    fn a_fate_can_be_given_as_data_but_nothing_else_can() {
        assert!(Actions::new().fate(Action::Pf).is_ok());
        let error = Actions::new().fate(Action::Flag).unwrap_err();
        assert_eq!(error, ActionError::NoFate);
    }
}
