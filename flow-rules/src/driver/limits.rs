//! Numbers that a device will not go beyond.
//!
//! They serve a plan that is made without the device. A live port tells its own; where the two
//! differ, the port is right.

use super::evidence::Known;

/// What is known of a driver's limits; `None` is not known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Receive queues of a port.
    pub rx_queues: Option<Known<u16>>,
    /// Transmit queues of a port.
    pub tx_queues: Option<Known<u16>>,
    /// MAC addresses that a port can have.
    pub mac_addresses: Option<Known<u16>>,
    /// Length of the RSS key, in octets.
    pub rss_key_len: Option<Known<u16>>,
    /// Lengths that the redirection table can have, in entries.
    pub reta_lens: Option<Known<&'static [u16]>>,
    /// The longest frame, in octets, with headers and frame check sequence.
    pub frame_len: Option<Known<u32>>,
    /// Octets of [`Self::frame_len`] that are not part of the MTU.
    pub frame_overhead: Option<Known<u32>>,
    /// The driver's thresholds for receive rings.
    pub rx_thresholds: Option<Known<RingThresholds>>,
    /// The driver's thresholds for transmit rings.
    pub tx_thresholds: Option<Known<RingThresholds>>,
}

impl Limits {
    /// Nothing is known.
    pub const UNKNOWN: Self = Self {
        rx_queues: None,
        tx_queues: None,
        mac_addresses: None,
        rss_key_len: None,
        reta_lens: None,
        frame_len: None,
        frame_overhead: None,
        rx_thresholds: None,
        tx_thresholds: None,
    };

    /// The largest MTU, in octets.
    pub fn mtu(&self) -> Option<u32> {
        self.frame_len?
            .value
            .checked_sub(self.frame_overhead?.value)
    }
}

/// When a driver tells its device of free or filled descriptors; in descriptors.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RingThresholds {
    /// How many descriptors are freed at once.
    pub free: u16,
    /// Prefetch.
    pub prefetch: u8,
    /// Host.
    pub host: u8,
    /// Write-back.
    pub write_back: u8,
    /// How many descriptors are sent for one that reports; transmit rings only.
    pub report_status: Option<u16>,
}
