//! Flow rules (DPDK's rte_flow) as typed data.
//!
//! A [`FlowRule`] says which packets it is for ([`Pattern`]: a stack of protocol headers, each with
//! the fields that matter) and what is done with them ([`Actions`]: one fate, and what goes with
//! it). What makes no sense does not compile, or is an error that names the item or action:
//!
//! - a header stands only on one that can carry it: [`After`];
//! - a rule has exactly one fate: [`Actions`];
//! - a spec, a range and a mask fit each other: [`Match`];
//! - the parts of a rule fit each other: [`FlowRule::new`].
//!
//! A rule prints itself in the syntax of testpmd and is read back from it ([`mod@display`],
//! [`parse`]). [`RuleSet`] holds rules that do not hide or contradict each other ([`conflict`]).
//! [`driver`] knows what each driver can do with rules, and [`plan`] makes rules for a port.
//! Nothing here knows DPDK: headers are octets as on the wire, and what turns a rule into DPDK's
//! structures reads them with [`Item::header`].
//!
//! ```
//! use flow_rules::{Actions, Attributes, Eth, FlowRule, Ipv4, Pattern, Protocol, Tcp};
//!
//! # fn main() -> Result<(), flow_rules::RuleError> {
//! let rule = FlowRule::new(
//!     Attributes::ingress().priority(1),
//!     Pattern::new()
//!         .then(Eth::any())
//!         .then(Ipv4::with(Ipv4::DST, [192, 0, 2, 1].into()))
//!         .then(Tcp::with(Tcp::DST, 443)),
//!     Actions::new().count(0).queue(2),
//! )?;
//! let text = "priority 1 ingress pattern eth / ipv4 dst is 192.0.2.1 / tcp dst is 443 / end \
//!             actions count identifier 0 / queue index 2 / end";
//! assert_eq!(rule.to_string(), text);
//! assert_eq!(text.parse(), Ok(rule));
//! # Ok(())
//! # }
//! ```
//!
//! A TCP header cannot stand on an Ethernet header:
//!
//! ```compile_fail,E0277
//! use flow_rules::{Eth, Pattern, Protocol, Tcp};
//! let pattern = Pattern::new().then(Eth::any()).then(Tcp::any());
//! ```
//!
//! There is no second fate, and no rule without one:
//!
//! ```compile_fail,E0599
//! use flow_rules::Actions;
//! let actions = Actions::new().queue(1).drop();
//! ```
//! ```compile_fail,E0277
//! use flow_rules::{ActionList, Actions};
//! let actions: ActionList = Actions::new().mark(7).into();
//! ```

#![forbid(unsafe_code)]

pub mod conflict;
pub mod display;
pub mod driver;
pub mod parse;
pub mod plan;

mod action;
mod field;
mod item;
mod kind;
mod layer;
mod pattern;
mod rss;
mod rule;
mod value;

pub use action::{Action, ActionError, ActionList, Actions, Decided, Undecided};
pub use conflict::{Conflict, Conflicts, NamedRule, RuleSet};
pub use display::Command;
pub use driver::{Driver, Profile};
pub use field::{Field, FieldInfo, FieldMatch, Format, Match, MatchError, Part, Place};
pub use item::{Item, Raw, RawError};
pub use kind::{ActionKind, ItemKind, UnknownAction, UnknownItem};
pub use layer::{
    Any, Arp, ETag, Esp, Eth, Fuzzy, Geneve, Gre, Gtp, Gtpc, Gtpu, Icmp, Icmp6, Icmp6NdNa,
    Icmp6NdNs, Ipv4, Ipv6, Layer, Mark, Meta, Mpls, Nvgre, Pf, PhyPort, PortId, PortRepresentor,
    Protocol, RepresentedPort, Sctp, Tcp, Udp, Vf, Vlan, Vxlan, VxlanGpe,
};
pub use parse::ParseError;
pub use pattern::{After, ItemList, Pattern, PatternError, Start};
pub use rss::{HashFunction, Rss, RssError, RssType};
pub use rule::{Attributes, Direction, FlowRule, RuleError};
pub use value::{Bits, Mac, OutOfRange, Value};
