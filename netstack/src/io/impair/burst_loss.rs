//! Losses that come in runs: the model of Gilbert.
//!
//! A direction is good or bad, and each frame first changes that by chance: good becomes bad with
//! one probability, bad becomes good with another. A bad direction loses every frame, a good one
//! none of them. (Elliott added chances of a loss to both; the good direction's is
//! [`super::Impairment::loss_ppm`].)

/// How runs of losses begin and end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BurstLoss {
    /// Of a million frames after one that went through, how many begin a run.
    pub begin_ppm: u32,
    /// Of a million frames after one that was lost in a run, how many end it. The mean length of
    /// a run is a million over this.
    pub end_ppm: u32,
}

impl BurstLoss {
    /// The runs of `length` frames on average that take `loss_ppm` of all frames.
    ///
    /// # Panics
    /// If `length` is zero, or if all frames are to be lost.
    pub fn new(loss_ppm: u32, length: u32) -> Self {
        let end_ppm = ALL / length;
        let begin = u64::from(end_ppm) * u64::from(loss_ppm) / u64::from(ALL - loss_ppm);
        Self {
            begin_ppm: u32::try_from(begin).unwrap_or(ALL),
            end_ppm,
        }
    }

    /// Whether the next frame is lost, after one of which `lost` says whether it was; `draw` is a
    /// random number below a million.
    pub fn takes_next(self, lost: bool, draw: u32) -> bool {
        if lost {
            draw >= self.end_ppm
        } else {
            draw < self.begin_ppm
        }
    }
}

/// All frames, in parts per million.
const ALL: u32 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn share_and_length_give_the_chances() {
        let (begin_ppm, end_ppm) = (2525, 250_000);
        let bursts = BurstLoss { begin_ppm, end_ppm };
        assert_eq!(BurstLoss::new(10_000, 4), bursts);
        assert_eq!(BurstLoss::new(0, 1).begin_ppm, 0);
    }
}
