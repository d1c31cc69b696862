//! Network drivers, and what each of them can do with flow rules.
//!
//! A [`Profile`] says which pattern items and actions a driver has, how it spreads packets, what
//! it offloads, where its limits are and what is odd about it. A plan is made from it without the
//! device; the live port has the last word.
//!
//! Facts depend on the release of DPDK: each carries [`Evidence`], with the release since which it
//! holds, the one that lost it, and who says so. The base is a table of notes from the time of
//! DPDK 18.02 (`tests/data/capability_table.txt`): at that release, profiles and table are equal,
//! which a test keeps. What came and went since is from DPDK's documentation, the drivers, and
//! ports that were tried; what nobody confirms is marked ([`Source::Unconfirmed`]).
//!
//! ```
//! use flow_rules::driver::{Driver, FieldName, FieldSet, Release};
//! use flow_rules::{ActionKind, ItemKind};
//!
//! let profile = Driver::Mlx4.profile();
//! let release = Release::OLDEST_SUPPORTED;
//! assert!(profile.supports_action(release, ActionKind::Drop).is_ok());
//! let refusal = profile
//!     .supports_item(release, ItemKind::Eth, FieldSet::of(&[FieldName::Type]))
//!     .expect_err("it cannot");
//! assert_eq!(refusal.to_string(), "net_mlx4 does not match type of `eth`: it matches dst");
//! ```

mod evidence;
mod field_set;
mod limits;
mod offload;
mod profile;
mod quirk;
mod release;
mod rss;
mod rule;
mod unsupported;

mod aggregate;
mod broadcom;
mod cisco;
mod i40e;
mod ice;
mod igb;
mod ixgbe;
mod mlx4;
mod mlx5;
mod rule_less;
mod solarflare;
mod tap;

use core::fmt;
use core::str::FromStr;

pub use evidence::{Evidence, Known, Remark, Source};
pub use field_set::{FieldName, FieldSet, UnknownField};
pub use limits::{Limits, RingThresholds};
pub use offload::{RxOffload, TxOffload};
pub use profile::{ActionSupport, ItemSupport, OffloadSupport, Profile, RuleAttributes, Support};
pub use quirk::{NotedQuirk, Quirk};
pub use release::{Release, UnknownRelease};
pub use rss::{Access, Rss, RuleQueues, Spread};
pub use rule::{Condition, RulePart};
pub use unsupported::Unsupported;

/// A driver whose profile is known.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Driver {
    /// A TAP device of the host's kernel.
    Tap,
    /// Solarflare, now AMD.
    Sfc,
    /// Mellanox ConnectX-3.
    Mlx4,
    /// Mellanox, now NVIDIA: ConnectX-4 and later, BlueField.
    Mlx5,
    /// Broadcom NetXtreme.
    Bnxt,
    /// Intel 700 series: X710, XL710, XXV710, X722.
    I40e,
    /// Intel 82599, X520, X540, X550.
    Ixgbe,
    /// Intel 82576, I210, I350 and others.
    Igb,
    /// Cisco VIC.
    Enic,
    /// Several ports as one.
    Bonding,
    /// A port with a stand-in.
    Failsafe,
    /// Inline IPsec, on a device of another driver.
    Ipsec,
    /// Intel 800 series: E810.
    Ice,
    /// A virtual function of an Intel 700 or 800 series device.
    Iavf,
    /// A virtual machine's, or a container's, port.
    Virtio,
    /// Amazon's cloud.
    Ena,
    /// A packet socket on an interface of the host's kernel.
    AfPacket,
    /// An XDP socket on an interface of the host's kernel.
    AfXdp,
    /// Memory shared with another process.
    Memif,
    /// A virtual machine's port, on the side of the host.
    Vhost,
    /// Rings in the memory of the process.
    Ring,
    /// Capture files, or an interface of the host's kernel through libpcap.
    Pcap,
    /// Nothing: packets that are sent are gone, those that arrive are empty.
    Null,
    /// Any driver without a profile. It is taken to have no rules, and to spread packets in a way
    /// that nobody knows: whatever it can do, software does as well.
    Unknown,
}

impl Driver {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        NAMES.iter().map(|&(driver, ..)| driver)
    }

    /// What DPDK calls it.
    pub const fn name(self) -> &'static str {
        NAMES[self as usize].1
    }

    /// Whether it serves a device that is made of software.
    pub const fn is_virtual(self) -> bool {
        matches!(
            self,
            Self::Tap
                | Self::Bonding
                | Self::Failsafe
                | Self::Virtio
                | Self::AfPacket
                | Self::AfXdp
                | Self::Memif
                | Self::Vhost
                | Self::Ring
                | Self::Pcap
                | Self::Null
        )
    }

    /// Whether its rules are made on the ports that it is put together from. Ask their profiles,
    /// too: it can do what all of them can.
    pub const fn follows_members(self) -> bool {
        matches!(self, Self::Bonding | Self::Failsafe)
    }

    /// The driver of a live port, by what the port says of it.
    pub fn of_port(name: &str) -> Self {
        name.parse().unwrap_or(Self::Unknown)
    }

    /// The driver of a virtual device, by the name of the device: that of the driver and a number.
    pub fn of_virtual_device(name: &str) -> Option<Self> {
        let name = name.trim_end_matches(|c: char| c.is_ascii_digit());
        name.parse().ok()
    }

    /// What it can do.
    pub const fn profile(self) -> &'static Profile {
        match self {
            Self::Tap => &tap::PROFILE,
            Self::Sfc => &solarflare::PROFILE,
            Self::Mlx4 => &mlx4::PROFILE,
            Self::Mlx5 => &mlx5::PROFILE,
            Self::Bnxt => &broadcom::PROFILE,
            Self::I40e => &i40e::PROFILE,
            Self::Ixgbe => &ixgbe::PROFILE,
            Self::Igb => &igb::PROFILE,
            Self::Enic => &cisco::PROFILE,
            Self::Bonding => &aggregate::BONDING,
            Self::Failsafe => &aggregate::FAILSAFE,
            Self::Ipsec => &aggregate::IPSEC,
            Self::Ice => &ice::ICE,
            Self::Iavf => &ice::IAVF,
            Self::Virtio => &rule_less::VIRTIO,
            Self::Ena => &rule_less::ENA,
            Self::AfPacket => &rule_less::AF_PACKET,
            Self::AfXdp => &rule_less::AF_XDP,
            Self::Memif => &rule_less::MEMIF,
            Self::Vhost => &rule_less::VHOST,
            Self::Ring => &rule_less::RING,
            Self::Pcap => &rule_less::PCAP,
            Self::Null => &rule_less::NULL,
            Self::Unknown => &rule_less::UNKNOWN,
        }
    }
}

impl fmt::Display for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A name that is no driver with a profile.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("nothing is known of a driver `{name}`; known are {}", known())]
pub struct UnknownDriver {
    /// What was asked for.
    pub name: String,
}

fn known() -> String {
    let known = Driver::all().filter(|driver| *driver != Driver::Unknown);
    let names: Vec<_> = known.map(Driver::name).collect();
    names.join(", ")
}

impl FromStr for Driver {
    type Err = UnknownDriver;

    /// Reads what a port says of its driver, and what people call it for short.
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        NAMES
            .iter()
            .find(|(_, dpdk, others)| *dpdk == name || others.contains(&name))
            .map(|&(driver, ..)| driver)
            .ok_or_else(|| UnknownDriver {
                name: name.to_owned(),
            })
    }
}

/// In the order of the variants: what a port says of its driver, and other names.
const NAMES: [(Driver, &str, &[&str]); 24] = [
    (Driver::Tap, "net_tap", &["tap"]),
    (Driver::Sfc, "net_sfc_efx", &["sfc", "sfc_efx", "net_sfc"]),
    (Driver::Mlx4, "net_mlx4", &["mlx4"]),
    (
        Driver::Mlx5,
        "mlx5_pci",
        &["mlx5", "net_mlx5", "mlx5_eth", "mlx5_auxiliary"],
    ),
    (Driver::Bnxt, "net_bnxt", &["bnxt"]),
    (Driver::I40e, "net_i40e", &["i40e"]),
    (Driver::Ixgbe, "net_ixgbe", &["ixgbe"]),
    (Driver::Igb, "net_e1000_igb", &["igb", "net_igb"]),
    (Driver::Enic, "net_enic", &["enic"]),
    (Driver::Bonding, "net_bonding", &["bonding", "bond"]),
    (Driver::Failsafe, "net_failsafe", &["failsafe"]),
    (Driver::Ipsec, "ipsec", &[]),
    (Driver::Ice, "net_ice", &["ice"]),
    (Driver::Iavf, "net_iavf", &["iavf"]),
    (Driver::Virtio, "net_virtio", &["virtio", "net_virtio_user"]),
    (Driver::Ena, "net_ena", &["ena"]),
    (Driver::AfPacket, "net_af_packet", &["af_packet"]),
    (Driver::AfXdp, "net_af_xdp", &["af_xdp"]),
    (Driver::Memif, "net_memif", &["memif"]),
    (Driver::Vhost, "net_vhost", &["vhost"]),
    (Driver::Ring, "net_ring", &["ring"]),
    (Driver::Pcap, "net_pcap", &["pcap"]),
    (Driver::Null, "net_null", &["null"]),
    (Driver::Unknown, "unknown", &[]),
];

#[cfg(test)]
mod tests;
