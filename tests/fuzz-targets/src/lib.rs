//! What the fuzzer runs.
//!
//! A target is a function that takes arbitrary octets and panics if the code under test breaks a
//! promise: a parser that panics, or a value that does not survive being emitted and parsed again.
//! The fuzzer calls it with inputs that it makes up; the test of this package calls it with the
//! committed seeds and with every input that once crashed it.
//!
//! A new target is one file here and one line in [`TARGETS`].

#![forbid(unsafe_code)]

mod arp;
mod capture;
mod checksum;
mod classify;
mod client_hello;
mod config;
mod connection;
mod ethernet;
mod icmp;
mod ip;
mod ndp;
mod proxy_protocol;
mod tcp;
mod udp;
mod worker;

/// A function that must not panic, whatever the octets are.
pub type Target = fn(&[u8]);

/// All targets by name; their seeds and crash files are in directories of that name.
pub const TARGETS: &[(&str, Target)] = &[
    ("arp", arp::run),
    ("capture", capture::run),
    ("checksum", checksum::run),
    ("classify", classify::run),
    ("client_hello", client_hello::run),
    ("config", config::run),
    ("connection_native", connection::native),
    ("connection_smoltcp", connection::smoltcp),
    ("ethernet", ethernet::run),
    ("icmp_v4", icmp::v4),
    ("icmp_v6", icmp::v6),
    ("ipv4", ip::v4),
    ("ipv6", ip::v6),
    ("ipv6_ext", ip::v6_extensions),
    ("ndp", ndp::run),
    ("proxy_protocol", proxy_protocol::run),
    ("tcp", tcp::run),
    ("udp", udp::run),
    ("worker", worker::run),
];

/// The target called `name`.
pub fn find(name: &str) -> Option<Target> {
    let (_, target) = TARGETS.iter().find(|(known, _)| *known == name)?;
    Some(*target)
}
