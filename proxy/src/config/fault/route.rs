//! What can be wrong with routes by server name, and with prefixes.

use core::net::IpAddr;

use thiserror::Error;

/// Parts of a listener that cannot be done, or would never be.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum RouteFault {
    /// A text that no server name can equal.
    #[error("no client asks for the name `{}`", .text.escape_debug())]
    BadName {
        /// The value.
        text: String,
    },
    /// A text that is no name of a protocol.
    #[error("`{}` is not the name of a protocol", .text.escape_debug())]
    BadProtocol {
        /// The value.
        text: String,
    },
    /// A prefix that names a host.
    #[error("{address}/{len} has bits set after its prefix")]
    HostBits {
        /// The address.
        address: IpAddr,
        /// The first address of the prefix.
        first: IpAddr,
        /// Bits of the prefix.
        len: u8,
    },
    /// A name, or a route, that an earlier route leaves nothing for.
    #[error("{what} is never used: line {first_line} takes all its clients")]
    Shadowed {
        /// What is not used.
        what: String,
        /// The line of what takes them.
        first_line: usize,
    },
    /// A route without a condition.
    #[error("the route takes every client")]
    TakesAll,
    /// Routes where nobody looks at what clients say.
    #[error("a route needs `tls` in its [[listener]]")]
    WithoutTls,
    /// Refusing all clients.
    #[error("without a route, every client is refused")]
    NobodyServed,
}

impl RouteFault {
    /// What to do about it.
    pub fn help(&self) -> String {
        match self {
            Self::BadName { .. } => "write a host name such as \"www.example\", or \"*.example\" \
                                     for all names below it; `*` stands for whole labels at the \
                                     front only, and addresses are no names"
                .into(),
            Self::BadProtocol { .. } => "write 1 to 255 octets, such as \"h2\"".into(),
            Self::HostBits { first, len, .. } => format!("write \"{first}/{len}\""),
            Self::Shadowed { .. } => {
                "remove it, or put the route with more conditions first".into()
            }
            Self::TakesAll => "give it `sni`, `alpn` or `source`; who is left is served by \
                               `backend_group` of the [[listener]]"
                .into(),
            Self::WithoutTls => "write `tls = \"passthrough\"` there, or remove the route".into(),
            Self::NobodyServed => "add a [[listener.route]], or remove the line".into(),
        }
    }
}
