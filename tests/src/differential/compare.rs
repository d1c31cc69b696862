//! Where two TCPs differ.

use core::fmt;

use netstack::wire::tcp::Flags;

use super::case::{Case, Step};
use super::known::Reference;
use super::peer::{Answer, Observation, Outcome};

/// What two TCPs differ in after a step.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Aspect {
    /// One of them had no connection any more, or never.
    Connection,
    /// Octets are wrong.
    Octets,
    /// What a call gave.
    Outcome,
    /// The state.
    State,
    /// What is acknowledged.
    Acknowledged,
    /// Whether and how the step was answered.
    Answer,
    /// How far octets were sent.
    Sent,
}

/// The first difference between two TCPs in a case.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Difference {
    /// After which step.
    pub step: usize,
    /// In what.
    pub aspect: Aspect,
    /// What was observed of both before the step.
    pub before: Observation,
    /// What ours did.
    pub ours: Observation,
    /// What the other one did.
    pub theirs: Observation,
}

/// The first step after which two TCPs differ.
pub fn difference(
    reference: Reference,
    case: &Case,
    ours: &[Observation],
    theirs: &[Observation],
) -> Option<Difference> {
    // What the handshake left.
    let mut before = Observation {
        acknowledged: 1,
        sent: 1,
        state: Some("TCP_ESTABLISHED"),
        ..Observation::default()
    };
    let mut taken = 1;
    for (at, step) in case.steps.iter().enumerate() {
        let (Some(our), Some(their)) = (ours.get(at), theirs.get(at)) else {
            let nothing = Observation::default;
            return (ours.len() != theirs.len()).then(|| Difference {
                step: at,
                aspect: Aspect::Connection,
                before,
                ours: ours.get(at).cloned().unwrap_or_else(nothing),
                theirs: theirs.get(at).cloned().unwrap_or_else(nothing),
            });
        };
        // What is under way may be sent again, sooner or later.
        let idle = before.sent == taken;
        let differs = match reference {
            Reference::Linux => differs(step, idle, our, their),
            Reference::Smoltcp => octets_differ(our, their),
        };
        if let Some(aspect) = differs {
            return Some(Difference {
                step: at,
                aspect,
                before,
                ours: our.clone(),
                theirs: their.clone(),
            });
        }
        if let Step::Segment(segment) = step
            && segment.flags.contains(Flags::ACK)
            && segment.ack.wrapping_sub(our.sent).cast_signed() <= 0
            && segment.ack.wrapping_sub(taken).cast_signed() > 0
        {
            taken = segment.ack;
        }
        before = our.clone();
    }
    None
}

/// smoltcp has no PAWS, forgets a FIN that comes too early, begins with a window of 2 KiB, answers
/// less: only what sessions read of the same octets is compared with it.
fn octets_differ(ours: &Observation, theirs: &Observation) -> Option<Aspect> {
    let read = |seen: &Observation| match seen.outcome {
        Some(Outcome::Octets(len)) => len,
        _ => 0,
    };
    if ours.spoiled || theirs.spoiled {
        Some(Aspect::Octets)
    } else if ours.acknowledged == theirs.acknowledged
        && ours.state == theirs.state
        && read(ours) != read(theirs)
    {
        Some(Aspect::Outcome)
    } else {
        None
    }
}

fn differs(step: &Step, idle: bool, ours: &Observation, theirs: &Observation) -> Option<Aspect> {
    let resets = |seen: &Observation| seen.answer == Answer::Reset;
    // A step that opens the window is answered or not by how far.
    let answers = idle && matches!(step, Step::Segment(_));
    if ours.spoiled || theirs.spoiled {
        Some(Aspect::Octets)
    } else if ours.outcome != theirs.outcome {
        Some(Aspect::Outcome)
    } else if resets(ours) != resets(theirs) {
        Some(Aspect::Answer)
    } else if ours.acknowledged != theirs.acknowledged {
        Some(Aspect::Acknowledged)
    } else if ours.state != theirs.state {
        Some(Aspect::State)
    } else if answers && ours.answer != theirs.answer {
        Some(Aspect::Answer)
    } else if idle && ours.sent != theirs.sent {
        Some(Aspect::Sent)
    } else {
        None
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "after step {}, in {:?}:", self.step + 1, self.aspect)?;
        writeln!(f, "  before: {}", self.before)?;
        writeln!(f, "  ours:   {}", self.ours)?;
        write!(f, "  theirs: {}", self.theirs)
    }
}

impl fmt::Display for Observation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?}, acknowledged {}, sent {}, {}",
            self.answer,
            self.acknowledged,
            self.sent,
            self.state.unwrap_or("no socket")
        )?;
        if let Some(outcome) = self.outcome {
            write!(f, ", {outcome:?}")?;
        }
        if self.spoiled {
            f.write_str(", WRONG OCTETS")?;
        }
        Ok(())
    }
}
