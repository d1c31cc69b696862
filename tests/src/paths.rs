//! How fast data comes through bad paths: Weirgate's TCP beside that of Linux.
//!
//! A client behind a path of a given length, rate and badness fetches data from, or sends data to,
//! two others that are at the same place: Weirgate, with a server behind it on a good wire, and a
//! Linux host. What differs is the TCP that faces the path. The same random numbers decide for
//! both which frames are lost.
//!
//! [`Bed`] is the place, [`Transfer`] what is measured there, [`Cell`] one kind of path. The
//! program `paths` measures a whole table of them.

mod bed;
mod cell;
mod duplicates;
mod octets;
mod priority;
mod report;
mod transfer;

use std::time::Duration;

pub use bed::{Bed, Stack};
pub use cell::{Cell, Line, Loss};
pub use priority::Priority;
pub use report::{Options, Report, USAGE};
pub use transfer::{Outcome, Transfer, Way};

/// Jain's fairness index of what several flows got: 1 if all got the same, 1/n if one got all.
pub fn jain(shares: &[f64]) -> f64 {
    let sum: f64 = shares.iter().sum();
    let squares: f64 = shares.iter().map(|share| share * share).sum();
    let count: f64 = shares.iter().map(|_| 1.0).sum();
    sum * sum / (count * squares)
}

/// Mbit/s.
#[expect(clippy::cast_precision_loss, reason = "far fewer octets than 2^52")]
fn mbit_s(octets: u64, time: Duration) -> f64 {
    octets as f64 * 8.0 / time.as_secs_f64() / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_is_one_for_equal_shares_and_one_nth_for_one_that_gets_all() {
        let near = |a: f64, b: f64| (a - b).abs() < 1e-9;
        assert!(near(jain(&[3.0; 4]), 1.0));
        assert!(near(jain(&[0.0, 0.0, 7.0, 0.0]), 0.25));
        assert!(near(jain(&[1.0, 3.0]), 0.8));
    }
}
