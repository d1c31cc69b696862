//! One kind of path, and what is transferred over it.

use std::time::Duration;

use netstack::io::impair::{Bottleneck, BurstLoss, Impairment};

use super::bed::{Bed, Stack};
use super::transfer::{Outcome, Transfer, Way};
use crate::rig::{Family, PathImpairment, RigError};

/// Frames that a path loses, in parts per million.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Loss {
    /// None but those that find the queue full.
    None,
    /// One by one.
    Random(u32),
    /// In runs, four frames long on average.
    Burst(u32),
}

/// The narrowest line of a path.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Line {
    /// Mbit/s.
    pub rate: u32,
    /// Octets of queue in front of it.
    pub queue: usize,
}

/// A path.
#[derive(Clone, Debug)]
pub struct Cell {
    /// What is special about it.
    pub name: String,
    /// Over which IP version.
    pub family: Family,
    /// By which congestion control, if it is that one and not the one that was asked for.
    pub congestion: Option<&'static str>,
    /// Milliseconds there and back.
    pub rtt: u32,
    /// Frames lost, both there and back.
    pub loss: Loss,
    /// Frames late by up to a quarter of the round trip, in parts per million.
    pub reordered: u32,
    /// Frames that come twice, in parts per million.
    pub duplicated: u32,
    /// The line, the same for both directions.
    pub line: Line,
}

impl Line {
    /// Wide enough not to matter much, and slow enough for a small machine: 100 Mbit/s, 512 KiB.
    pub const WIDE: Self = Self {
        rate: 100,
        queue: 512 << 10,
    };

    /// A line of `rate` Mbit/s with a queue of so many hundredths of what fits a round trip of
    /// `rtt` milliseconds.
    pub fn narrow(rate: u32, rtt: u32, hundredths: u32) -> Self {
        // A Mbit/s for a millisecond is 125 octets.
        let product = rate as usize * rtt as usize * 125;
        Self {
            rate,
            queue: product * hundredths as usize / 100,
        }
    }
}

impl Cell {
    /// A wide line without faults.
    pub fn new(rtt: u32) -> Self {
        Self {
            name: "good".to_owned(),
            family: Family::V4,
            congestion: None,
            rtt,
            loss: Loss::None,
            reordered: 0,
            duplicated: 0,
            line: Line::WIDE,
        }
    }

    /// What happens to frames in each direction.
    pub fn impairment(&self, seed: u64) -> PathImpairment {
        let rtt = Duration::from_millis(u64::from(self.rtt));
        let (loss_ppm, burst_loss) = match self.loss {
            Loss::None => (0, None),
            Loss::Random(ppm) => (ppm, None),
            Loss::Burst(ppm) => (0, Some(BurstLoss::new(ppm, BURST_LENGTH))),
        };
        let impairment = Impairment {
            loss_ppm,
            burst_loss,
            bottleneck: Some(Bottleneck {
                rate: u64::from(self.line.rate) * 1_000_000,
                queue: self.line.queue,
            }),
            duplicate_ppm: self.duplicated,
            reorder_ppm: self.reordered,
            reorder_jitter: rtt / 4,
            delay: rtt / 2,
            ..Impairment::default()
        };
        PathImpairment::both_ways(seed, impairment)
    }

    /// What is transferred: few octets where many are lost, by more flows, so that chance does not
    /// decide.
    pub fn transfer(&self, way: Way, patience: Duration) -> Transfer {
        let lost = match self.loss {
            Loss::None => 0,
            Loss::Random(ppm) | Loss::Burst(ppm) => ppm,
        };
        let flows = match lost {
            0..=500 => 1,
            501..=5_000 => 4,
            _ => 8,
        };
        Transfer {
            family: self.family,
            way,
            flows,
            octets: OCTETS / flows as u64,
            patience,
        }
    }

    /// Measures it.
    pub fn measure(
        &self,
        bed: &Bed,
        stack: Stack,
        way: Way,
        seed: u64,
        patience: Duration,
    ) -> Result<Outcome, RigError> {
        let transfer = self.transfer(way, patience);
        let (outcome, _) = bed.measure(self.impairment(seed), &[stack], &transfer)?;
        Ok(outcome)
    }
}

/// Frames in a row that a burst takes, on average.
const BURST_LENGTH: u32 = 4;
/// Octets that are transferred at most, by all flows together.
const OCTETS: u64 = 20 << 20;
