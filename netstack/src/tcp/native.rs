//! The native TCP engine.

#![expect(
    dead_code,
    reason = "the parts of the engine are tested alone before the engine puts them together"
)]

mod congestion;
mod pacing;
mod rate;

pub use congestion::Algorithm;
