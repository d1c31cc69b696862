//! What can be wrong with a configuration, and what to do about it.
//!
//! A [`Fault`] makes a configuration unusable, a [`Caution`] does not. Each displays as the
//! statement of what is wrong; `help` says how to put it right. Where it stands in the file is
//! added by [`super::report`].

mod address;
mod health;
mod route;
mod topology;

use std::io;

use thiserror::Error;

pub use self::address::{AddressFault, Family, Unusable};
pub use self::health::HealthFault;
pub use self::route::RouteFault;
pub use self::topology::TopologyFault;
use super::quantity::{ByteSize, QuantityError};

/// Something that makes a configuration unusable.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Fault {
    /// The file could not be read.
    #[error("the file cannot be read: {0}")]
    Unreadable(io::Error),
    /// The file is not text.
    #[error("the file is not UTF-8 text")]
    NotUtf8,
    /// The file is not TOML. The words are those of the TOML parser.
    #[error("{0}")]
    Syntax(String),
    /// A key that no part of the program reads.
    #[error("unknown key")]
    UnknownKey {
        /// The known key that is written most alike.
        nearest: Option<&'static str>,
        /// All keys that may stand here.
        known: Vec<&'static str>,
    },
    /// A key that has no default is not there.
    #[error("missing")]
    MissingKey {
        /// What the line could look like.
        example: &'static str,
    },
    /// A value of another TOML type.
    #[error("expected {expected}, found {found}")]
    WrongType {
        /// The type that the key has, with an article.
        expected: &'static str,
        /// The TOML type of the value.
        found: &'static str,
        /// What the value could look like.
        example: &'static str,
    },
    /// A text that is no duration.
    #[error("`{text}` is not a duration: {reason}")]
    BadDuration {
        /// The value.
        text: String,
        /// What is wrong with it.
        reason: QuantityError,
        /// Whether `"off"` would be possible.
        may_be_off: bool,
    },
    /// A duration of zero where time must pass.
    #[error("zero is not possible here")]
    ZeroDuration {
        /// Whether `"off"` would be possible.
        may_be_off: bool,
    },
    /// A text that is no size.
    #[error("`{text}` is not a size: {reason}")]
    BadSize {
        /// The value.
        text: String,
        /// What is wrong with it.
        reason: QuantityError,
    },
    /// A value outside of its range.
    #[error("{value} is not between {least} and {most}")]
    OutOfRange {
        /// The value.
        value: String,
        /// The smallest value allowed.
        least: String,
        /// The largest value allowed.
        most: String,
    },
    /// A size that is not a multiple of what it is divided into.
    #[error("{} is not a whole number of MiB", ByteSize(*.bytes))]
    NotWholeMebibytes {
        /// The value.
        bytes: u64,
    },
    /// Places of a ring that are not a power of two.
    #[error("{value} is not a power of two")]
    NotPowerOfTwo {
        /// The value.
        value: u32,
    },
    /// A text that is none of the words allowed.
    #[error("`{value}` is not one of the values possible here")]
    BadChoice {
        /// The value.
        value: String,
        /// The word that is written most alike.
        nearest: Option<&'static str>,
        /// All words allowed.
        choices: Vec<&'static str>,
    },
    /// A name that could not be told apart in a log line or path.
    #[error("`{}` cannot be used as a name", .name.escape_debug())]
    BadName {
        /// The value.
        name: String,
    },
    /// A name that something else of the same kind has.
    #[error("`{value}` was used before, in line {first_line}")]
    Duplicate {
        /// The value.
        value: String,
        /// The line of the first use.
        first_line: usize,
    },
    /// An empty list that needs an element.
    #[error("the list is empty")]
    EmptyList {
        /// What to write into it.
        example: &'static str,
    },
    /// Neither a table nor anything else of a kind of which there must be one.
    #[error("there is none")]
    NoneConfigured {
        /// What for.
        purpose: &'static str,
    },
    /// More lcores than there may be workers.
    #[error("{count} {what} are more than the {most} that are possible")]
    TooManyWorkers {
        /// Elements of `lcores`, or of that and `rx_lcores`.
        count: usize,
        /// What runs there.
        what: &'static str,
        /// The largest number.
        most: usize,
    },
    /// A limit that leaves some worker with nothing when it is split.
    #[error("{value} is fewer than the {workers} workers among whom it is split")]
    FewerThanWorkers {
        /// The limit.
        value: u64,
        /// Number of workers.
        workers: usize,
        /// Whether zero takes the limit away.
        zero_is_unlimited: bool,
    },
    /// A port range that is too small to be split.
    #[error("{ports} ports are too few for {workers} workers")]
    TooFewSourcePorts {
        /// Ports in the range.
        ports: usize,
        /// Number of workers.
        workers: usize,
        /// Ports needed at least.
        least: usize,
    },
    /// Fewer packet buffers than can be in use at once.
    #[error(
        "{packets} packet buffers are too few: {workers} workers and their queues hold up to {least}"
    )]
    TooFewPackets {
        /// The value.
        packets: u32,
        /// Number of workers.
        workers: usize,
        /// Buffers needed at least.
        least: u32,
    },
    /// More packet buffers for connections than the pool has beside all others.
    #[error(
        "{asked} packet buffers for connections do not fit: of the {packets} in the pool, workers \
         and their queues hold up to {others}"
    )]
    ConnectionsBeyondPool {
        /// The value.
        asked: u32,
        /// Buffers in the pool.
        packets: u32,
        /// Of these, what connections cannot have.
        others: u32,
        /// What the pool would need.
        least: u32,
    },
    /// Less memory than the packet buffers take.
    #[error("{} is too little: {packets} packet buffers need {needed_mib}MiB", ByteSize(*.bytes))]
    TooLittleMemory {
        /// The value.
        bytes: u64,
        /// How many packet buffers there are to be.
        packets: u32,
        /// What they need, in MiB.
        needed_mib: u64,
    },
    /// A text that is no address, range of ports or the like.
    #[error(transparent)]
    Address(#[from] AddressFault),
    /// Routes of a listener, and prefixes.
    #[error(transparent)]
    Route(#[from] RouteFault),
    /// Less room for what a client says first than it may take.
    #[error("{} are too few for what a client may say before it is served", ByteSize(*.bytes))]
    TooLittleToPeek {
        /// The value.
        bytes: u64,
        /// The smallest value that does.
        least: u64,
    },
    /// Ports, listeners, groups and devices that do not fit each other.
    #[error(transparent)]
    Topology(#[from] TopologyFault),
    /// Checks of backends that cannot be made.
    #[error(transparent)]
    Health(#[from] HealthFault),
}

impl Fault {
    /// What to do about it.
    pub fn help(&self) -> String {
        match self {
            Self::Unreadable(_) => "check the path and the permissions of the file".into(),
            Self::NotUtf8 => "save the file in UTF-8".into(),
            Self::Syntax(_) => SYNTAX_HELP.into(),
            Self::UnknownKey { nearest, known } => nearest_of(*nearest, "keys", &known.join(", ")),
            Self::MissingKey { example } => format!("add a line such as `{example}`"),
            Self::WrongType { example, .. } => format!("write it as in `{example}`"),
            Self::BadDuration { may_be_off, .. } => duration_help(*may_be_off),
            Self::ZeroDuration { may_be_off: true } => "write \"off\" to switch it off".into(),
            Self::ZeroDuration { may_be_off: false } => "write a duration above zero".into(),
            Self::BadSize { .. } => {
                "write a number and B, KiB, MiB, GiB or TiB, such as \"64KiB\"".into()
            }
            Self::OutOfRange { least, most, .. } => {
                format!("choose a value from {least} to {most}")
            }
            Self::NotWholeMebibytes { bytes } => {
                format!("round it up: \"{}MiB\"", bytes.div_ceil(1 << 20))
            }
            Self::NotPowerOfTwo { value } => ring_help(*value),
            Self::BadChoice {
                nearest, choices, ..
            } => nearest_of(*nearest, "values", &choices.join(", ")),
            Self::BadName { .. } => {
                "use 1 to 64 letters, digits, `_`, `-`, `:`, `[`, `]` and, not first, `.`".into()
            }
            Self::Duplicate { .. } => "remove one of the two, or change it".into(),
            Self::EmptyList { example } => format!("write at least one, as in `{example}`"),
            Self::NoneConfigured { purpose } => format!("add one: {purpose}"),
            Self::TooManyWorkers { most, .. } => format!("list at most {most} lcores"),
            Self::FewerThanWorkers {
                workers,
                zero_is_unlimited,
                ..
            } => share_help(*workers, *zero_is_unlimited),
            Self::TooFewSourcePorts { least, .. } => source_ports_help(*least),
            Self::TooFewPackets { least, .. } => packets_help(*least),
            Self::ConnectionsBeyondPool {
                packets,
                others,
                least,
                ..
            } => connections_help(packets.saturating_sub(*others), *least),
            Self::TooLittleMemory { needed_mib, .. } => memory_help(*needed_mib),
            Self::Address(fault) => fault.help(),
            Self::Route(fault) => fault.help(),
            Self::TooLittleToPeek { least, .. } => peeking_help(*least),
            Self::Topology(fault) => fault.help(),
            Self::Health(fault) => fault.help(),
        }
    }
}

/// What to do about a file that is no TOML.
const SYNTAX_HELP: &str = "the file is TOML: `key = value`, texts, durations and sizes in quotes, \
                           every table and every key of a table once";

/// How durations are written.
fn duration_help(may_be_off: bool) -> String {
    let off = if may_be_off { ", or \"off\"" } else { "" };
    format!("write a number and ns, us, ms, s, m, h or d, such as \"10s\"{off}")
}

/// Why a range of ports must have a size.
fn source_ports_help(least: usize) -> String {
    format!(
        "each worker connects from source ports of its own: widen the range to at least {least} \
         ports, or list fewer lcores"
    )
}

/// Why a limit must not be smaller than the number of workers.
fn share_help(workers: usize, zero_is_unlimited: bool) -> String {
    let or = if zero_is_unlimited {
        ", or 0 for no limit"
    } else {
        ""
    };
    format!(
        "every worker enforces an equal share without asking the others, and a share is at least \
         1: write {workers} or more{or}, or list fewer lcores"
    )
}

/// What makes enough packets, or fewer enough.
fn packets_help(least: u32) -> String {
    format!(
        "write {least} or more, or 0 to have the number computed; fewer lcores, ports or \
         descriptors need less"
    )
}

/// What makes room for connections in the pool.
fn connections_help(most: u32, least: u32) -> String {
    format!("write {most} or less, 0 to have the number computed, or `packets = {least}` or more")
}

/// What makes enough memory, or less enough.
fn memory_help(needed_mib: u64) -> String {
    format!(
        "write `memory = \"{needed_mib}MiB\"` or more; fewer lcores, ports or descriptors, a \
         smaller `mtu`, fewer `packets` or `connection_packets` need less"
    )
}

/// The next size that a ring can have.
fn ring_help(value: u32) -> String {
    format!(
        "rings hold a power of two: try {}",
        value.next_power_of_two()
    )
}

/// What makes room for what is said first.
fn peeking_help(least: u64) -> String {
    format!(
        "a listener with `proxy_protocol` or `tls` keeps it in the connection: write \"{}\" or more",
        ByteSize(least)
    )
}

/// "Did you mean", where there is something to be meant, and what there is to choose from.
fn nearest_of(nearest: Option<&str>, kind: &str, known: &str) -> String {
    let known = if known.is_empty() { "none" } else { known };
    match nearest {
        Some(nearest) => format!("did you mean `{nearest}`? The {kind} possible here: {known}"),
        None => format!("the {kind} possible here: {known}"),
    }
}

/// Something that works, but perhaps not as meant.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum Caution {
    /// The seed of all secrets is in the file.
    #[error("a fixed seed makes every secret predictable")]
    FixedSeed,
    /// A key that has no effect because of another.
    #[error("has no effect when `idle` is \"busy\"")]
    OnlyWhenAdaptive,
    /// A key that only the native engine knows.
    #[error("has no effect when `engine` is \"smoltcp\"")]
    OnlyWhenNative,
    /// Pacing cannot be switched off.
    #[error("BBR paces whatever `pacing` says")]
    BbrPaces,
    /// A CPU that several workers run on.
    #[error("{workers} workers share lcore {lcore}")]
    SharedLcore {
        /// The CPU.
        lcore: u16,
        /// How many run on it.
        workers: usize,
    },
    /// A CPU that receives for workers, and has something else to do.
    #[error("lcore {lcore} receives for workers and shares its CPU with {with}")]
    SharedReceiver {
        /// The CPU.
        lcore: u16,
        /// What else runs there.
        with: &'static str,
    },
    /// A key that says something of receivers where there are none.
    #[error("has no effect without `rx_lcores`")]
    OnlyWithReceivers,
    /// A key that is about flow rules where there are none.
    #[error("has no effect when `rules` is false")]
    OnlyWithRules,
    /// A key that is about VXLAN where it is no class.
    #[error("has no effect when no VXLAN class is in `classes`")]
    OnlyWithVxlan,
    /// A key that says whom to believe, where nothing is asked.
    #[error("has no effect when `proxy_protocol` is \"off\"")]
    OnlyWithProxyProtocol,
    /// A key that only matters where the ClientHello is read.
    #[error("has no effect when `tls` is \"off\"")]
    OnlyWithPassthrough,
    /// A key for headers of version 2.
    #[error("has no effect unless `proxy_protocol` is \"v2\"")]
    OnlyInVersion2,
    /// A group that no listener uses.
    #[error("no listener uses this group")]
    UnusedGroup,
    /// A group that refuses clients before the limit on sessions does.
    #[error("the backends together take {total} connections; `max_sessions` is {max_sessions}")]
    GroupFull {
        /// Sum of `max_connections` over the backends that take new connections.
        total: u64,
        /// The limit on sessions.
        max_sessions: usize,
    },
    /// A deadline that another one precedes.
    #[error("`fin_wait_2` ends half-closed sessions earlier")]
    HalfClosedCutShort,
    /// A budget that ends before its first part does.
    #[error("the budget for all tries ends before the first try times out")]
    ConnectOutlivesBudget,
    /// Checks that may still run when the next is due.
    #[error("a check may take longer than `interval`; the next one then waits for it")]
    CheckOutlivesInterval,
    /// One failure is enough.
    #[error("a single lost packet or slow answer takes a backend down")]
    FallsAtOnce,
    /// A key that belongs to another kind of check.
    #[error("has no effect with this `check`")]
    OfAnotherCheck,
    /// Backends that never come back, because they never go.
    #[error("has no effect without [backend_group.health] or [backend_group.ejection]")]
    NeverComesBack,
    /// A share that is less than one backend.
    #[error(
        "{max_share} percent of {backends} backends that take sessions is none: nothing is ever ejected"
    )]
    EjectsNothing {
        /// The share, in percent.
        max_share: u8,
        /// Backends with a weight.
        backends: usize,
    },
}

impl Caution {
    /// What to do about it.
    pub const fn help(&self) -> &'static str {
        match self {
            Self::FixedSeed => "keep it for `replay` and tests; remove it where clients are served",
            Self::OnlyWhenAdaptive => "remove it, or write `idle = \"adaptive\"`",
            Self::OnlyWhenNative => "remove it, or write `engine = \"native\"`",
            Self::BbrPaces => "remove it, or choose another `congestion`",
            Self::SharedLcore { .. } => {
                "they take turns on the CPU: together they carry no more than one, and packets \
                 wait while another has its turn, longest if `idle` is \"busy\"; list as many CPUs \
                 as workers"
            }
            Self::SharedReceiver { .. } => {
                "all workers wait for packets while it has its turn: list a CPU of its own"
            }
            Self::OnlyWithReceivers => "remove it, or list CPUs in `rx_lcores`",
            Self::OnlyWithRules => "remove it, or write `rules = true`",
            Self::OnlyWithVxlan => "remove it, or add `\"ipv4-vxlan\"` or `\"ipv6-vxlan\"`",
            Self::OnlyWithProxyProtocol => "remove it, or write `proxy_protocol = \"required\"`",
            Self::OnlyWithPassthrough => "remove it, or write `tls = \"passthrough\"`",
            Self::OnlyInVersion2 => "remove it, or write `proxy_protocol = \"v2\"`",
            Self::UnusedGroup => "remove it, or name it in a [[listener]]",
            Self::GroupFull { .. } => {
                "when all of them are full, new clients are reset (termination code `LQ`)"
            }
            Self::HalfClosedCutShort => {
                "of a half-closed session, the half that has ended is in CLOSE-WAIT and the other in \
                 FIN-WAIT-2: make `fin_wait_2` as long as `half_closed`"
            }
            Self::ConnectOutlivesBudget => {
                "make `connect` a fraction of `connect_total`, so that another backend is tried"
            }
            Self::CheckOutlivesInterval => {
                "make `timeout` at most `interval`, or a backend that is silent is found out late"
            }
            Self::FallsAtOnce => "write 2 or more, and shorten `interval` if that takes too long",
            Self::OfAnotherCheck => {
                "remove it: `send` and `expect` belong to \"send_expect\", `path`, `host` and \
                 `status` to \"http\""
            }
            Self::NeverComesBack => "remove it, or say how backends are checked",
            Self::EjectsNothing { .. } => "raise `max_share`, or remove [backend_group.ejection]",
        }
    }
}
