//! The action that distributes packets to queues by a hash.

/// Distribution of packets to queues by a hash.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Rss {
    /// At least one.
    queues: Vec<u16>,
    types: Vec<RssType>,
    function: HashFunction,
    level: u32,
    key: Vec<u8>,
}

impl Rss {
    /// The most queues that testpmd takes.
    pub const MAX_QUEUES: usize = 128;
    /// The longest key that testpmd takes, in octets.
    pub const MAX_KEY_LEN: usize = 64;

    /// To `queues`, hashed as the device does it by default. A queue that is there twice gets
    /// twice as much.
    ///
    /// # Errors
    /// No queue, or more than [`Self::MAX_QUEUES`].
    pub fn new(queues: impl Into<Vec<u16>>) -> Result<Self, RssError> {
        let queues = queues.into();
        if queues.is_empty() {
            return Err(RssError::NoQueue);
        }
        if queues.len() > Self::MAX_QUEUES {
            return Err(RssError::TooManyQueues(queues.len()));
        }
        Ok(Self {
            queues,
            types: Vec::new(),
            function: HashFunction::Default,
            level: 0,
            key: Vec::new(),
        })
    }

    /// Hashing these fields; the device chooses if there are none.
    pub fn types(mut self, types: impl IntoIterator<Item = RssType>) -> Self {
        self.types = types.into_iter().collect();
        self.types.sort_unstable();
        self.types.dedup();
        self
    }

    /// With this function.
    pub fn function(mut self, function: HashFunction) -> Self {
        self.function = function;
        self
    }

    /// Hashing the headers of this encapsulation: 1 for the outermost, 0 for what the device
    /// chooses.
    pub fn level(mut self, level: u32) -> Self {
        self.level = level;
        self
    }

    /// With this key.
    ///
    /// # Errors
    /// A key without octets or with more than [`Self::MAX_KEY_LEN`].
    pub fn key(mut self, key: impl Into<Vec<u8>>) -> Result<Self, RssError> {
        let key = key.into();
        if key.is_empty() || key.len() > Self::MAX_KEY_LEN {
            return Err(RssError::KeyLength(key.len()));
        }
        self.key = key;
        Ok(self)
    }

    /// The queues: at least one.
    pub fn queues(&self) -> &[u16] {
        &self.queues
    }

    /// The fields that are hashed; none if the device chooses.
    pub fn hashed(&self) -> &[RssType] {
        &self.types
    }

    /// The hash function.
    pub fn hash_function(&self) -> HashFunction {
        self.function
    }

    /// The encapsulation that is hashed.
    pub fn hash_level(&self) -> u32 {
        self.level
    }

    /// The key, if it is not the device's own.
    pub fn hash_key(&self) -> Option<&[u8]> {
        (!self.key.is_empty()).then_some(&self.key)
    }
}

/// A distribution that cannot be.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RssError {
    /// Nowhere to distribute to.
    #[error("action rss has no queue: name at least one, or use drop")]
    NoQueue,
    /// More queues than can be named.
    #[error("action rss has {0} queues: at most {most} can be named", most = Rss::MAX_QUEUES)]
    TooManyQueues(usize),
    /// A key that no device takes.
    #[error(
        "the key of action rss has {0} octets: it must be 1 to {most}, or left out",
        most = Rss::MAX_KEY_LEN
    )]
    KeyLength(usize),
}

/// Hash functions.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum HashFunction {
    /// What the device does by default.
    Default,
    /// Toeplitz.
    Toeplitz,
    /// Exclusive or.
    SimpleXor,
    /// Toeplitz of values that are the same for both directions.
    SymmetricToeplitz,
}

impl HashFunction {
    /// All functions.
    pub const ALL: [Self; 4] = [
        Self::Default,
        Self::Toeplitz,
        Self::SimpleXor,
        Self::SymmetricToeplitz,
    ];

    /// As testpmd calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Toeplitz => "toeplitz",
            Self::SimpleXor => "simple_xor",
            Self::SymmetricToeplitz => "symmetric_toeplitz",
        }
    }
}

/// Packets and their fields that take part in a hash.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum RssType {
    /// IPv4: addresses.
    Ipv4,
    /// Fragments of IPv4 packets.
    Ipv4Frag,
    /// TCP over IPv4.
    Ipv4Tcp,
    /// UDP over IPv4.
    Ipv4Udp,
    /// SCTP over IPv4.
    Ipv4Sctp,
    /// Anything else over IPv4.
    Ipv4Other,
    /// IPv6: addresses.
    Ipv6,
    /// Fragments of IPv6 packets.
    Ipv6Frag,
    /// TCP over IPv6.
    Ipv6Tcp,
    /// UDP over IPv6.
    Ipv6Udp,
    /// SCTP over IPv6.
    Ipv6Sctp,
    /// Anything else over IPv6.
    Ipv6Other,
    /// Frames without IP.
    L2Payload,
    /// IPv6 with extension headers.
    Ipv6Ex,
    /// TCP over IPv6 with extension headers.
    Ipv6TcpEx,
    /// UDP over IPv6 with extension headers.
    Ipv6UdpEx,
    /// The port where it came in.
    Port,
    /// VXLAN.
    Vxlan,
    /// Geneve.
    Geneve,
    /// NVGRE.
    Nvgre,
    /// GTP, user plane.
    Gtpu,
    /// IPsec ESP: the SPI.
    Esp,
    /// Of layer 3, the source only.
    L3SrcOnly,
    /// Of layer 3, the destination only.
    L3DstOnly,
    /// Of layer 4, the source only.
    L4SrcOnly,
    /// Of layer 4, the destination only.
    L4DstOnly,
}

impl RssType {
    /// All types.
    pub const ALL: [Self; 26] = [
        Self::Ipv4,
        Self::Ipv4Frag,
        Self::Ipv4Tcp,
        Self::Ipv4Udp,
        Self::Ipv4Sctp,
        Self::Ipv4Other,
        Self::Ipv6,
        Self::Ipv6Frag,
        Self::Ipv6Tcp,
        Self::Ipv6Udp,
        Self::Ipv6Sctp,
        Self::Ipv6Other,
        Self::L2Payload,
        Self::Ipv6Ex,
        Self::Ipv6TcpEx,
        Self::Ipv6UdpEx,
        Self::Port,
        Self::Vxlan,
        Self::Geneve,
        Self::Nvgre,
        Self::Gtpu,
        Self::Esp,
        Self::L3SrcOnly,
        Self::L3DstOnly,
        Self::L4SrcOnly,
        Self::L4DstOnly,
    ];

    /// As testpmd calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ipv4 => "ipv4",
            Self::Ipv4Frag => "ipv4-frag",
            Self::Ipv4Tcp => "ipv4-tcp",
            Self::Ipv4Udp => "ipv4-udp",
            Self::Ipv4Sctp => "ipv4-sctp",
            Self::Ipv4Other => "ipv4-other",
            Self::Ipv6 => "ipv6",
            Self::Ipv6Frag => "ipv6-frag",
            Self::Ipv6Tcp => "ipv6-tcp",
            Self::Ipv6Udp => "ipv6-udp",
            Self::Ipv6Sctp => "ipv6-sctp",
            Self::Ipv6Other => "ipv6-other",
            Self::L2Payload => "l2-payload",
            Self::Ipv6Ex => "ipv6-ex",
            Self::Ipv6TcpEx => "ipv6-tcp-ex",
            Self::Ipv6UdpEx => "ipv6-udp-ex",
            Self::Port => "port",
            Self::Vxlan => "vxlan",
            Self::Geneve => "geneve",
            Self::Nvgre => "nvgre",
            Self::Gtpu => "gtpu",
            Self::Esp => "esp",
            Self::L3SrcOnly => "l3-src-only",
            Self::L3DstOnly => "l3-dst-only",
            Self::L4SrcOnly => "l4-src-only",
            Self::L4DstOnly => "l4-dst-only",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rss_needs_queues_and_a_key_octets() {
        assert_eq!(Rss::new([]), Err(RssError::NoQueue));
        assert_eq!(Rss::new([0; 129]), Err(RssError::TooManyQueues(129)));
        let rss = Rss::new([0, 1]).unwrap();
        assert_eq!(rss.clone().key([]), Err(RssError::KeyLength(0)));
        assert_eq!(rss.key([0; 65]), Err(RssError::KeyLength(65)));
    }
}
