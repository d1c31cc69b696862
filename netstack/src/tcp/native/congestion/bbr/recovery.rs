//! BBR in loss recovery, and how it forgets one that was for nothing (sections 5.5.11 and 5.6.4.4).

use super::super::{Congestion, MAX_CWND, Window};
use super::{Bbr, State};

/// What a spurious recovery is undone with.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Undo {
    /// Whether there is something to undo.
    is_set: bool,
    /// The state that was left because of losses.
    pub(super) state: Option<State>,
    bw_shortterm: u64,
    inflight_shortterm: u32,
    inflight_longterm: u32,
}

impl Bbr {
    /// The network is congested.
    pub(in super::super) fn on_congestion(&mut self, window: &Window, by: Congestion) {
        match by {
            Congestion::Loss => {
                self.save_cwnd(window);
                self.save_for_undo();
                self.in_recovery = true;
            }
            Congestion::Ecn => self.model.note_loss(),
        }
    }

    /// Section 5.6.4.4: everything is lost, so one segment may leave.
    pub(in super::super) fn on_timeout(&mut self, window: &mut Window) {
        if !self.in_recovery {
            self.save_for_undo();
        }
        self.save_cwnd(window);
        self.in_recovery = true;
        self.model.note_loss();
        window.cwnd = window.smss;
    }

    /// Section 5.5.11.2.
    pub(in super::super) fn undo(&mut self, window: &mut Window) {
        if !core::mem::take(&mut self.undo.is_set) {
            return;
        }
        self.in_recovery = false;
        self.restore_cwnd(window);
        let (model, undo) = (&mut self.model, &self.undo);
        model.forget_losses_of_round();
        model.full_pipe.reset(0);
        model.bw_shortterm = model.bw_shortterm.max(undo.bw_shortterm);
        model.inflight_shortterm = model.inflight_shortterm.max(undo.inflight_shortterm);
        model.inflight_longterm = model.inflight_longterm.max(undo.inflight_longterm);
        match self.undo.state.take() {
            Some(State::Startup) if self.state != State::Startup => {
                self.model.full_pipe.reached = false;
                if self.state != State::ProbeRtt {
                    self.state = State::Startup;
                }
            }
            Some(State::Up) if !matches!(self.state, State::Up | State::ProbeRtt) => {
                self.start_refill();
            }
            _ => {}
        }
    }

    pub(in super::super) fn on_recovery_end(&mut self, window: &mut Window) {
        if self.in_recovery {
            self.in_recovery = false;
            self.restore_cwnd(window);
            self.bound_cwnd(window);
        }
    }

    pub(super) fn save_cwnd(&mut self, window: &Window) {
        self.prior_cwnd = if self.in_recovery || self.state == State::ProbeRtt {
            self.prior_cwnd.max(window.cwnd)
        } else {
            window.cwnd
        };
    }

    pub(super) fn restore_cwnd(&self, window: &mut Window) {
        window.cwnd = window.cwnd.max(self.prior_cwnd).min(MAX_CWND);
    }

    fn save_for_undo(&mut self) {
        self.undo = Undo {
            is_set: true,
            state: None,
            bw_shortterm: self.model.bw_shortterm,
            inflight_shortterm: self.model.inflight_shortterm,
            inflight_longterm: self.model.inflight_longterm,
        };
    }
}
