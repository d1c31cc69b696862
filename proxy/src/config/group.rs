//! `[[backend_group]]`: servers that serve the same, and what they are told.

use core::net::SocketAddr;
use core::time::Duration;

use super::{EjectionConfig, EngineConfig, HealthConfig};

/// Position of a group in [`super::Config::backend_groups`].
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct BackendGroupId(pub usize);

/// A `[[backend_group]]`: servers that serve the same.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BackendGroupConfig {
    /// `name`: required; unlike that of any other group.
    pub name: String,
    /// `balance = "round_robin"`: how a backend is chosen for a client.
    pub balance: Balance,
    /// `tries = 3`: how many backends are tried for one client at most, from 1 to 16.
    pub tries: u8,
    /// `proxy_protocol = "off"`, which is `None`, `"v1"` or `"v2"`: whether backends are told who
    /// the client is.
    pub announce: Option<AnnounceConfig>,
    /// `engine`, `congestion`, `pacing`, `ecn`, `sack`, `timestamps`: how its connections are run.
    pub engine: EngineConfig,
    /// `[backend_group.health]`: how its backends are checked; `None` if they are not.
    pub health: Option<HealthConfig>,
    /// `[backend_group.ejection]`: when sessions avoid a backend at which others failed; `None` if
    /// they never do.
    pub ejection: Option<EjectionConfig>,
    /// `slow_start = "off"`: how long the weight of a backend grows from nothing after it came back.
    pub slow_start: Option<Duration>,
    /// Every `[[backend_group.backend]]`; at least one of them has a weight above 0.
    pub backends: Vec<BackendConfig>,
}

/// How a backend is chosen.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Balance {
    /// `"round_robin"`: in turn, as often as its weight says.
    #[default]
    RoundRobin,
    /// `"least_connections"`: the one with the fewest connections for its weight.
    LeastConnections,
    /// `"source_hash"`: by the client's address, so that a client returns to its backend.
    SourceHash,
}

impl Balance {
    /// The words of the configuration file.
    pub const WORDS: [(&'static str, Self); 3] = [
        ("round_robin", Self::RoundRobin),
        ("least_connections", Self::LeastConnections),
        ("source_hash", Self::SourceHash),
    ];
}

/// A `[[backend_group.backend]]`: one server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BackendConfig {
    /// `name`: the address if not given; unlike that of any other backend of the group.
    pub name: String,
    /// `address`: required; reachable through a port.
    pub address: SocketAddr,
    /// `weight = 1`: its share of new connections, from 0 (none) to 256.
    pub weight: u16,
    /// `max_connections = 0`: the most connections at a time, over all workers; 0 in the file
    /// means no limit, which is `None` here. Otherwise at least the number of workers.
    pub max_connections: Option<u32>,
}

/// How backends are told who the client is: by a PROXY header before everything else.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AnnounceConfig {
    /// `proxy_protocol`.
    pub version: AnnounceVersion,
    /// `proxy_tlvs = []`: what a header of version 2 says besides, where it is known.
    pub tlvs: Vec<ProxyTlv>,
}

/// A version of the PROXY protocol.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AnnounceVersion {
    /// `"v1"`: a line of text.
    V1,
    /// `"v2"`: binary, with TLVs.
    V2,
}

/// What a header of version 2 may say besides.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ProxyTlv {
    /// `"crc32c"`: a checksum of the header.
    Crc32c,
    /// `"unique_id"`: 32 hexadecimal digits that no other session has.
    UniqueId,
    /// `"alpn"`: the protocol that the client speaks. Of TLS that is passed through it is known only
    /// if the client offers just one.
    Alpn,
    /// `"authority"`: the server name that the client asked for.
    Authority,
}

impl ProxyTlv {
    /// The words of the configuration file.
    pub const WORDS: [(&'static str, Self); 4] = [
        ("crc32c", Self::Crc32c),
        ("unique_id", Self::UniqueId),
        ("alpn", Self::Alpn),
        ("authority", Self::Authority),
    ];

    /// The word of the configuration file.
    pub const fn word(self) -> &'static str {
        Self::WORDS[self as usize].0
    }
}
