//! A rule as DPDK's structures.
//!
//! An item's spec, last and mask are structures of one type that begins with the header as it is
//! on the wire: the octets come from [`Item::header`], what lies beside them is set by name (and
//! all of ARP, whose structure has gaps). An item that compares no field has no spec, and no item has a last without a range. An item that
//! does compare something always says what counts, so a driver's own masks never do.
//!
//! The encoding keeps where each structure lies, to tell what the cause of an error points at.

use core::any::Any;
use core::ffi::c_void;
use core::ptr;
use std::rc::Rc;

use dpdk_sys as sys;
use flow_rules::{
    Action, Attributes, Direction, FlowRule, HashFunction, Item, ItemKind, Part, Raw, Rss, RssType,
};

use super::error::{Culprit, FlowError};

/// A rule in DPDK's structures, and all they point to.
///
/// # Invariants
/// 1. `items` and `actions` end with an END entry.
/// 2. Each pointer in them is null or points to a whole structure of the type that rte_flow has
///    for its entry, which lies in an `Rc` of `objects`; so does what that structure points to.
///    These `Rc`s are neither changed nor dropped before the encoding.
pub(super) struct Encoded<'a> {
    rule: &'a FlowRule,
    attributes: sys::rte_flow_attr,
    items: Vec<sys::rte_flow_item>,
    actions: Vec<sys::rte_flow_action>,
    objects: Vec<Object>,
}

/// A structure that an item or action points to.
struct Object {
    owner: Culprit,
    start: usize,
    len: usize,
    /// Only kept alive.
    _memory: Rc<dyn Any>,
}

/// The spec, last and mask of an item; null where there is none.
struct Parts {
    spec: *const c_void,
    last: *const c_void,
    mask: *const c_void,
}

impl<'a> Encoded<'a> {
    /// The structures of `rule`.
    ///
    /// # Errors
    /// [`FlowError::NotInDpdk`] for what this release of DPDK has no structure for.
    pub(super) fn new(rule: &'a FlowRule) -> Result<Self, FlowError> {
        let mut encoded = Self {
            rule,
            attributes: attributes(rule.attributes()),
            items: Vec::new(),
            actions: Vec::new(),
            objects: Vec::new(),
        };
        for (index, item) in rule.items().iter().enumerate() {
            let parts = encoded.item(index, item)?;
            encoded.items.push(sys::rte_flow_item {
                type_: item_type(index, item)?,
                spec: parts.spec,
                last: parts.last,
                mask: parts.mask,
            });
        }
        encoded.items.push(sys::rte_flow_item {
            type_: sys::RTE_FLOW_ITEM_TYPE_END,
            spec: ptr::null(),
            last: ptr::null(),
            mask: ptr::null(),
        });
        for (index, action) in rule.actions().iter().enumerate() {
            let (type_, conf) = encoded.action(index, action)?;
            encoded.actions.push(sys::rte_flow_action { type_, conf });
        }
        encoded.actions.push(sys::rte_flow_action {
            type_: sys::RTE_FLOW_ACTION_TYPE_END,
            conf: ptr::null(),
        });
        Ok(encoded)
    }

    pub(super) fn rule(&self) -> &'a FlowRule {
        self.rule
    }

    pub(super) fn attributes(&self) -> *const sys::rte_flow_attr {
        &raw const self.attributes
    }

    pub(super) fn items(&self) -> *const sys::rte_flow_item {
        self.items.as_ptr()
    }

    pub(super) fn actions(&self) -> *const sys::rte_flow_action {
        self.actions.as_ptr()
    }

    /// The entry at `index` of the actions.
    pub(super) fn action_at(&self, index: usize) -> *const sys::rte_flow_action {
        &raw const self.actions[index]
    }

    /// What of the rule lies at `address`.
    pub(super) fn culprit(&self, address: *const c_void) -> Option<Culprit> {
        let address = address.addr();
        let item = entry(&self.items, address).filter(|&index| index < self.rule.items().len());
        let action = entry(&self.actions, address);
        let action = action.filter(|&index| index < self.rule.actions().len());
        if let Some(index) = item {
            return Some(Culprit::Item { index, part: None });
        }
        if let Some(index) = action {
            return Some(Culprit::Action { index });
        }
        let mut objects = self.objects.iter();
        let within =
            |object: &&Object| (object.start..object.start + object.len).contains(&address);
        objects.find(within).map(|object| object.owner)
    }

    /// Keeps `value` for as long as the encoding lives.
    fn keep<T: 'static>(&mut self, owner: Culprit, value: T) -> *const T {
        let memory = Rc::new(value);
        let address = Rc::as_ptr(&memory);
        self.objects.push(Object {
            owner,
            start: address.addr(),
            len: size_of::<T>(),
            _memory: memory,
        });
        address
    }

    /// Keeps the elements of `values`.
    fn keep_all<T: Copy + 'static>(&mut self, owner: Culprit, values: &[T]) -> *const T {
        let values = values.to_vec();
        let (address, len) = (values.as_ptr(), size_of_val(values.as_slice()));
        self.objects.push(Object {
            owner,
            start: address.addr(),
            len,
            _memory: Rc::new(values),
        });
        address
    }

    fn item(&mut self, index: usize, item: &Item) -> Result<Parts, FlowError> {
        use ItemKind as K;
        Ok(match item.kind() {
            K::Eth => self.parts(index, item, |part| {
                let mut header: sys::rte_flow_item_eth = header(item, part);
                header.set_has_vlan(beside(item, "has_vlan", part));
                header
            }),
            K::Vlan => self.parts(index, item, |part| {
                let mut header: sys::rte_flow_item_vlan = header(item, part);
                header.set_has_more_vlan(beside(item, "has_more_vlan", part));
                header
            }),
            K::Ipv6 => self.parts(index, item, |part| {
                let mut header: sys::rte_flow_item_ipv6 = header(item, part);
                header.set_has_frag_ext(beside(item, "has_frag_ext", part));
                header
            }),
            K::ETag => self.headers::<sys::rte_flow_item_e_tag>(index, item),
            K::Mpls => self.headers::<sys::rte_flow_item_mpls>(index, item),
            K::Arp => self.parts(index, item, |part| arp(item, part)),
            K::Ipv4 => self.headers::<sys::rte_flow_item_ipv4>(index, item),
            K::Icmp => self.headers::<sys::rte_flow_item_icmp>(index, item),
            K::Icmp6 => self.headers::<sys::rte_flow_item_icmp6>(index, item),
            K::Icmp6NdNs => self.headers::<sys::rte_flow_item_icmp6_nd_ns>(index, item),
            K::Icmp6NdNa => self.headers::<sys::rte_flow_item_icmp6_nd_na>(index, item),
            K::Udp => self.headers::<sys::rte_flow_item_udp>(index, item),
            K::Tcp => self.headers::<sys::rte_flow_item_tcp>(index, item),
            K::Sctp => self.headers::<sys::rte_flow_item_sctp>(index, item),
            K::Esp => self.headers::<sys::rte_flow_item_esp>(index, item),
            K::Gre => self.headers::<sys::rte_flow_item_gre>(index, item),
            K::Nvgre => self.headers::<sys::rte_flow_item_nvgre>(index, item),
            K::Vxlan => self.headers::<sys::rte_flow_item_vxlan>(index, item),
            K::VxlanGpe => self.headers::<sys::rte_flow_item_vxlan_gpe>(index, item),
            K::Geneve => self.headers::<sys::rte_flow_item_geneve>(index, item),
            K::Gtp | K::Gtpc | K::Gtpu => self.headers::<sys::rte_flow_item_gtp>(index, item),
            K::Raw => self.raw(index, item),
            K::Any => self.parts(index, item, |part| sys::rte_flow_item_any {
                num: beside(item, "num", part),
            }),
            K::Fuzzy => self.parts(index, item, |part| sys::rte_flow_item_fuzzy {
                thresh: beside(item, "thresh", part),
            }),
            K::Mark => self.parts(index, item, |part| sys::rte_flow_item_mark {
                id: beside(item, "id", part),
            }),
            K::PortId => self.parts(index, item, |part| sys::rte_flow_item_port_id {
                id: beside(item, "id", part),
            }),
            K::PortRepresentor => self.parts(index, item, |part| sys::rte_flow_item_ethdev {
                port_id: beside(item, "port_id", part) as u16,
            }),
            K::RepresentedPort => self.parts(index, item, |part| sys::rte_flow_item_ethdev {
                port_id: beside(item, "ethdev_port_id", part) as u16,
            }),
            K::Void | K::Invert => Parts::none(),
            _ => return Err(not_in_dpdk(index, item)),
        })
    }

    fn headers<T: Header>(&mut self, index: usize, item: &Item) -> Parts {
        self.parts(index, item, |part| header::<T>(item, part))
    }

    /// The parts that `item` needs, each made by `make`.
    fn parts<T: 'static>(&mut self, index: usize, item: &Item, make: impl Fn(Part) -> T) -> Parts {
        let mut keep = |part| {
            let part_of = Culprit::Item {
                index,
                part: Some(part),
            };
            self.keep(part_of, make(part)).cast()
        };
        if item.matches().is_empty() {
            return Parts::none();
        }
        Parts {
            spec: keep(Part::Spec),
            last: if item.has_range() {
                keep(Part::Last)
            } else {
                ptr::null()
            },
            mask: keep(Part::Mask),
        }
    }

    fn raw(&mut self, index: usize, item: &Item) -> Parts {
        let Some(raw) = item.raw() else {
            return Parts::none();
        };
        let owner = |part| Culprit::Item {
            index,
            part: Some(part),
        };
        let octets = self.keep_all(owner(Part::Spec), raw.octets());
        let spec = raw_spec(raw, octets);
        let spec = self.keep(owner(Part::Spec), spec).cast();
        let ones = self.keep_all(owner(Part::Mask), &vec![0xff; raw.octets().len()]);
        let mask = self.keep(owner(Part::Mask), raw_mask(ones)).cast();
        Parts {
            spec,
            last: ptr::null(),
            mask,
        }
    }

    fn action(
        &mut self,
        index: usize,
        action: &Action,
    ) -> Result<(sys::rte_flow_action_type, *const c_void), FlowError> {
        let owner = Culprit::Action { index };
        Ok(match *action {
            Action::Queue { index } => {
                let conf = self.keep(owner, sys::rte_flow_action_queue { index });
                (sys::RTE_FLOW_ACTION_TYPE_QUEUE, conf.cast())
            }
            Action::Rss(ref rss) => (sys::RTE_FLOW_ACTION_TYPE_RSS, self.rss(owner, rss)),
            Action::Jump { group } => {
                let conf = self.keep(owner, sys::rte_flow_action_jump { group });
                (sys::RTE_FLOW_ACTION_TYPE_JUMP, conf.cast())
            }
            Action::Vf { .. }
            | Action::PortId { .. }
            | Action::PortRepresentor { .. }
            | Action::RepresentedPort { .. } => self.elsewhere(owner, action),
            Action::Mark { id } => {
                let conf = self.keep(owner, sys::rte_flow_action_mark { id });
                (sys::RTE_FLOW_ACTION_TYPE_MARK, conf.cast())
            }
            Action::Count { id } => {
                let conf = self.keep(owner, sys::rte_flow_action_count { id });
                (sys::RTE_FLOW_ACTION_TYPE_COUNT, conf.cast())
            }
            Action::Meter { id } => {
                let conf = self.keep(owner, sys::rte_flow_action_meter { mtr_id: id });
                (sys::RTE_FLOW_ACTION_TYPE_METER, conf.cast())
            }
            Action::Drop => (sys::RTE_FLOW_ACTION_TYPE_DROP, ptr::null()),
            Action::Passthru => (sys::RTE_FLOW_ACTION_TYPE_PASSTHRU, ptr::null()),
            Action::Pf => (sys::RTE_FLOW_ACTION_TYPE_PF, ptr::null()),
            Action::Flag => (sys::RTE_FLOW_ACTION_TYPE_FLAG, ptr::null()),
            Action::Void => (sys::RTE_FLOW_ACTION_TYPE_VOID, ptr::null()),
            Action::Dup { .. } => {
                let advice = "DPDK 22.11 and later do not have it: copy packets in software";
                return Err(FlowError::not_in_dpdk(owner.of_action(action), advice));
            }
            Action::Security => {
                let advice = "it needs a session of an IPsec engine, which nothing here makes";
                return Err(FlowError::not_in_dpdk(owner.of_action(action), advice));
            }
        })
    }

    /// An action that leads to another port or function; nothing for any other.
    fn elsewhere(
        &mut self,
        owner: Culprit,
        action: &Action,
    ) -> (sys::rte_flow_action_type, *const c_void) {
        match *action {
            Action::Vf { id, original } => {
                let mut conf = sys::rte_flow_action_vf::default();
                conf.set_original(u32::from(original));
                conf.id = id;
                let conf = self.keep(owner, conf);
                (sys::RTE_FLOW_ACTION_TYPE_VF, conf.cast())
            }
            Action::PortId { id, original } => {
                let mut conf = sys::rte_flow_action_port_id::default();
                conf.set_original(u32::from(original));
                conf.id = id;
                let conf = self.keep(owner, conf);
                (sys::RTE_FLOW_ACTION_TYPE_PORT_ID, conf.cast())
            }
            Action::PortRepresentor { port } => {
                let conf = self.keep(owner, sys::rte_flow_action_ethdev { port_id: port });
                (sys::RTE_FLOW_ACTION_TYPE_PORT_REPRESENTOR, conf.cast())
            }
            Action::RepresentedPort { port } => {
                let conf = self.keep(owner, sys::rte_flow_action_ethdev { port_id: port });
                (sys::RTE_FLOW_ACTION_TYPE_REPRESENTED_PORT, conf.cast())
            }
            _ => (sys::RTE_FLOW_ACTION_TYPE_VOID, ptr::null()),
        }
    }

    fn rss(&mut self, owner: Culprit, rss: &Rss) -> *const c_void {
        let key = rss.hash_key().unwrap_or_default();
        let conf = sys::rte_flow_action_rss {
            func: match rss.hash_function() {
                HashFunction::Default => sys::RTE_ETH_HASH_FUNCTION_DEFAULT,
                HashFunction::Toeplitz => sys::RTE_ETH_HASH_FUNCTION_TOEPLITZ,
                HashFunction::SimpleXor => sys::RTE_ETH_HASH_FUNCTION_SIMPLE_XOR,
                HashFunction::SymmetricToeplitz => sys::RTE_ETH_HASH_FUNCTION_SYMMETRIC_TOEPLITZ,
            },
            level: rss.hash_level(),
            types: rss.hashed().iter().map(|&hashed| rss_bit(hashed)).sum(),
            key_len: key.len() as u32,
            queue_num: rss.queues().len() as u32,
            key: if key.is_empty() {
                ptr::null()
            } else {
                self.keep_all(owner, key)
            },
            queue: self.keep_all(owner, rss.queues()),
        };
        self.keep(owner, conf).cast()
    }
}

impl Parts {
    fn none() -> Self {
        Self {
            spec: ptr::null(),
            last: ptr::null(),
            mask: ptr::null(),
        }
    }
}

/// Which entry of `entries` lies at `address`.
fn entry<T>(entries: &[T], address: usize) -> Option<usize> {
    let offset = address.checked_sub(entries.as_ptr().addr())?;
    let index = offset / size_of::<T>();
    (index < entries.len()).then_some(index)
}

fn attributes(of: Attributes) -> sys::rte_flow_attr {
    let mut attributes = sys::rte_flow_attr {
        group: of.group_number(),
        priority: of.priority_number(),
        ..sys::rte_flow_attr::default()
    };
    match of.direction() {
        Direction::Ingress => attributes.set_ingress(1),
        Direction::Egress => attributes.set_egress(1),
        Direction::Transfer => attributes.set_transfer(1),
    }
    attributes
}

fn item_type(index: usize, item: &Item) -> Result<sys::rte_flow_item_type, FlowError> {
    use ItemKind as K;
    Ok(match item.kind() {
        K::Eth => sys::RTE_FLOW_ITEM_TYPE_ETH,
        K::Vlan => sys::RTE_FLOW_ITEM_TYPE_VLAN,
        K::ETag => sys::RTE_FLOW_ITEM_TYPE_E_TAG,
        K::Mpls => sys::RTE_FLOW_ITEM_TYPE_MPLS,
        K::Arp => sys::RTE_FLOW_ITEM_TYPE_ARP_ETH_IPV4,
        K::Ipv4 => sys::RTE_FLOW_ITEM_TYPE_IPV4,
        K::Ipv6 => sys::RTE_FLOW_ITEM_TYPE_IPV6,
        K::Icmp => sys::RTE_FLOW_ITEM_TYPE_ICMP,
        K::Icmp6 => sys::RTE_FLOW_ITEM_TYPE_ICMP6,
        K::Icmp6NdNs => sys::RTE_FLOW_ITEM_TYPE_ICMP6_ND_NS,
        K::Icmp6NdNa => sys::RTE_FLOW_ITEM_TYPE_ICMP6_ND_NA,
        K::Udp => sys::RTE_FLOW_ITEM_TYPE_UDP,
        K::Tcp => sys::RTE_FLOW_ITEM_TYPE_TCP,
        K::Sctp => sys::RTE_FLOW_ITEM_TYPE_SCTP,
        K::Esp => sys::RTE_FLOW_ITEM_TYPE_ESP,
        K::Gre => sys::RTE_FLOW_ITEM_TYPE_GRE,
        K::Nvgre => sys::RTE_FLOW_ITEM_TYPE_NVGRE,
        K::Vxlan => sys::RTE_FLOW_ITEM_TYPE_VXLAN,
        K::VxlanGpe => sys::RTE_FLOW_ITEM_TYPE_VXLAN_GPE,
        K::Geneve => sys::RTE_FLOW_ITEM_TYPE_GENEVE,
        K::Gtp => sys::RTE_FLOW_ITEM_TYPE_GTP,
        K::Gtpc => sys::RTE_FLOW_ITEM_TYPE_GTPC,
        K::Gtpu => sys::RTE_FLOW_ITEM_TYPE_GTPU,
        K::Raw => sys::RTE_FLOW_ITEM_TYPE_RAW,
        K::Any => sys::RTE_FLOW_ITEM_TYPE_ANY,
        K::Void => sys::RTE_FLOW_ITEM_TYPE_VOID,
        K::Invert => sys::RTE_FLOW_ITEM_TYPE_INVERT,
        K::Fuzzy => sys::RTE_FLOW_ITEM_TYPE_FUZZY,
        K::Mark => sys::RTE_FLOW_ITEM_TYPE_MARK,
        K::PortId => sys::RTE_FLOW_ITEM_TYPE_PORT_ID,
        K::PortRepresentor => sys::RTE_FLOW_ITEM_TYPE_PORT_REPRESENTOR,
        K::RepresentedPort => sys::RTE_FLOW_ITEM_TYPE_REPRESENTED_PORT,
        _ => return Err(not_in_dpdk(index, item)),
    })
}

/// For the items that DPDK 22.11 dropped; all others that a rule can have are encoded.
fn not_in_dpdk(index: usize, item: &Item) -> FlowError {
    let advice = "DPDK 22.11 and later do not have it: use represented_port";
    FlowError::not_in_dpdk(Culprit::Item { index, part: None }.of_item(item), advice)
}

/// What `item` compares a field of 32 bits or fewer with, 0 for nothing.
fn beside(item: &Item, field: &str, part: Part) -> u32 {
    let value = item.field(field).map_or(0, |field| field.value(part));
    value as u32
}

/// The one structure for a header that is not as on the wire: there is a gap before an address.
fn arp(item: &Item, part: Part) -> sys::rte_flow_item_arp_eth_ipv4 {
    let mac = |name: &str| {
        let value = item.field(name).map_or(0, |field| field.value(part));
        let [_, _, _, _, _, _, _, _, _, _, addr_bytes @ ..] = value.to_be_bytes();
        sys::rte_ether_addr { addr_bytes }
    };
    sys::rte_flow_item_arp_eth_ipv4 {
        sha: mac("sha"),
        spa: beside(item, "spa", part).to_be(),
        tha: mac("tha"),
        tpa: beside(item, "tpa", part).to_be(),
        ..sys::rte_flow_item_arp_eth_ipv4::default()
    }
}

/// A structure that begins with a header as it is on the wire.
///
/// # Safety
/// `repr(C)`, no pointers, and any octets make a valid value.
unsafe trait Header: Default + 'static {}

/// A part of `item` as the structure that rte_flow has for it.
fn header<T: Header>(item: &Item, part: Part) -> T {
    let octets = item.header(part);
    assert!(octets.len() <= size_of::<T>(), "{} is longer", item.kind());
    let mut header = T::default();
    let start: *mut u8 = (&raw mut header).cast();
    // SAFETY: the octets fit into `header` as just checked, both are distinct memory, and by
    // `Header` any octets make a valid value.
    unsafe { ptr::copy_nonoverlapping(octets.as_ptr(), start, octets.len()) };
    header
}

/// States of structures of rte_flow that they are headers.
macro_rules! headers {
    ($($header:ident)*) => {
        $(
            // SAFETY: generated from C: integers and arrays of them, also in unions. (That the
            // header comes first is not a matter of safety; `tests/testpmd.rs` shows it.)
            unsafe impl Header for sys::$header {}
        )*
    };
}

headers! {
    rte_flow_item_e_tag rte_flow_item_esp rte_flow_item_eth
    rte_flow_item_geneve rte_flow_item_gre rte_flow_item_gtp rte_flow_item_icmp
    rte_flow_item_icmp6 rte_flow_item_icmp6_nd_na rte_flow_item_icmp6_nd_ns rte_flow_item_ipv4
    rte_flow_item_ipv6 rte_flow_item_mpls rte_flow_item_nvgre rte_flow_item_sctp
    rte_flow_item_tcp rte_flow_item_udp rte_flow_item_vlan rte_flow_item_vxlan
    rte_flow_item_vxlan_gpe
}

fn raw_spec(raw: &Raw, octets: *const u8) -> sys::rte_flow_item_raw {
    let mut spec = sys::rte_flow_item_raw {
        offset: raw.offset(),
        limit: raw.search_limit().unwrap_or(0),
        // At most `Raw::MAX_LEN`.
        length: raw.octets().len() as u16,
        pattern: octets,
        ..sys::rte_flow_item_raw::default()
    };
    spec.set_relative(u32::from(raw.is_relative()));
    spec.set_search(u32::from(raw.search_limit().is_some()));
    spec
}

/// All of a raw item counts.
fn raw_mask(ones: *const u8) -> sys::rte_flow_item_raw {
    let mut mask = sys::rte_flow_item_raw {
        offset: -1,
        limit: u16::MAX,
        length: u16::MAX,
        pattern: ones,
        ..sys::rte_flow_item_raw::default()
    };
    mask.set_relative(1);
    mask.set_search(1);
    mask
}

fn rss_bit(hashed: RssType) -> u64 {
    match hashed {
        RssType::Ipv4 => sys::DPDK_ETH_RSS_IPV4,
        RssType::Ipv4Frag => sys::DPDK_ETH_RSS_FRAG_IPV4,
        RssType::Ipv4Tcp => sys::DPDK_ETH_RSS_NONFRAG_IPV4_TCP,
        RssType::Ipv4Udp => sys::DPDK_ETH_RSS_NONFRAG_IPV4_UDP,
        RssType::Ipv4Sctp => sys::DPDK_ETH_RSS_NONFRAG_IPV4_SCTP,
        RssType::Ipv4Other => sys::DPDK_ETH_RSS_NONFRAG_IPV4_OTHER,
        RssType::Ipv6 => sys::DPDK_ETH_RSS_IPV6,
        RssType::Ipv6Frag => sys::DPDK_ETH_RSS_FRAG_IPV6,
        RssType::Ipv6Tcp => sys::DPDK_ETH_RSS_NONFRAG_IPV6_TCP,
        RssType::Ipv6Udp => sys::DPDK_ETH_RSS_NONFRAG_IPV6_UDP,
        RssType::Ipv6Sctp => sys::DPDK_ETH_RSS_NONFRAG_IPV6_SCTP,
        RssType::Ipv6Other => sys::DPDK_ETH_RSS_NONFRAG_IPV6_OTHER,
        RssType::L2Payload => sys::DPDK_ETH_RSS_L2_PAYLOAD,
        RssType::Ipv6Ex => sys::DPDK_ETH_RSS_IPV6_EX,
        RssType::Ipv6TcpEx => sys::DPDK_ETH_RSS_IPV6_TCP_EX,
        RssType::Ipv6UdpEx => sys::DPDK_ETH_RSS_IPV6_UDP_EX,
        RssType::Port => sys::DPDK_ETH_RSS_PORT,
        RssType::Vxlan => sys::DPDK_ETH_RSS_VXLAN,
        RssType::Geneve => sys::DPDK_ETH_RSS_GENEVE,
        RssType::Nvgre => sys::DPDK_ETH_RSS_NVGRE,
        RssType::Gtpu => sys::DPDK_ETH_RSS_GTPU,
        RssType::Esp => sys::DPDK_ETH_RSS_ESP,
        RssType::L3SrcOnly => sys::DPDK_ETH_RSS_L3_SRC_ONLY,
        RssType::L3DstOnly => sys::DPDK_ETH_RSS_L3_DST_ONLY,
        RssType::L4SrcOnly => sys::DPDK_ETH_RSS_L4_SRC_ONLY,
        RssType::L4DstOnly => sys::DPDK_ETH_RSS_L4_DST_ONLY,
    }
}
