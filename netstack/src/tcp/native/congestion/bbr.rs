use super::{Acked, Congestion, Window};
use crate::time::Instant;
use core::time::Duration;
#[derive(Clone, Debug)]
pub(super) struct Bbr;
impl Bbr {
    pub(super) fn new(_seed: u32) -> Self {
        Self
    }
    pub(super) fn on_ack(&mut self, window: &mut Window, _ack: &Acked) {
        window.cwnd = window.cwnd.max(4 * window.smss).min(1 << 30);
    }
    pub(super) fn on_congestion(&mut self, _w: &mut Window, _now: Instant, _by: Congestion) {}
    pub(super) fn on_timeout(&mut self, _w: &mut Window, _now: Instant) {}
    pub(super) fn undo(&mut self, _w: &mut Window) {}
    pub(super) fn on_recovery_end(&mut self, _w: &mut Window, _now: Instant) {}
    pub(super) fn on_idle(&mut self, _w: &mut Window, _now: Instant) {}
    pub(super) fn pacing_rate(&self, _w: &Window, _s: Option<Duration>) -> Option<u64> {
        None
    }
}
