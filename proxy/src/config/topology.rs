//! `[[port]]`, `[[listener]]` and `[[backend_group]]` as they are written: every value is sound by
//! itself, and knows its place in the file for when [`super::check`] looks at them together.

use core::net::{IpAddr, SocketAddr};
use core::ops::Range;
use core::time::Duration;

use netstack::ip::{Ip, V6};
use netstack::wire::ethernet::MacAddr;
use toml::Spanned;
use toml::de::DeValue;

use super::fault::{Caution, Family, Fault, TopologyFault};
use super::listener::{RawListener, read_listener};
use super::report::Findings;
use super::section::Section;
use super::{
    AnnounceConfig, AnnounceVersion, BackendConfig, BackendGroupConfig, Balance, EjectionConfig,
    EngineConfig, HealthConfig, InterfaceAddress, PortConfig, ProxyTlv, Route, health, tcp, value,
};

/// Everything that refers to something else.
pub(super) struct Topology {
    pub(super) ports: Vec<RawPort>,
    pub(super) listeners: Vec<RawListener>,
    pub(super) groups: Vec<RawGroup>,
    /// Whether every port, and every group, could be read. If not, what refers to them cannot be
    /// judged.
    pub(super) ports_sound: bool,
    pub(super) groups_sound: bool,
}

/// A `[[port]]`.
pub(super) struct RawPort {
    pub(super) name: Spanned<String>,
    pub(super) device: Spanned<String>,
    pub(super) mac: Option<MacAddr>,
    pub(super) mtu: u16,
    pub(super) addresses: Vec<Spanned<InterfaceAddress>>,
    pub(super) routes: Vec<RawRoute>,
    pub(super) rx_descriptors: u16,
    pub(super) tx_descriptors: u16,
}

/// A route of a port.
pub(super) struct RawRoute {
    pub(super) route: Route,
    pub(super) to_span: Range<usize>,
    pub(super) via_span: Range<usize>,
}

/// A `[[backend_group]]`.
pub(super) struct RawGroup {
    pub(super) span: Range<usize>,
    pub(super) name: Spanned<String>,
    pub(super) balance: Balance,
    pub(super) tries: u8,
    pub(super) announce: Option<AnnounceConfig>,
    pub(super) engine: EngineConfig,
    pub(super) health: Option<HealthConfig>,
    pub(super) ejection: Option<EjectionConfig>,
    pub(super) slow_start: Option<Spanned<Duration>>,
    pub(super) backends: Vec<RawBackend>,
}

/// A `[[backend_group.backend]]`.
pub(super) struct RawBackend {
    pub(super) name: Spanned<String>,
    pub(super) address: Spanned<SocketAddr>,
    pub(super) weight: Spanned<u16>,
    pub(super) max_connections: Option<u32>,
}

/// Reads all three.
pub(super) fn read(root: &mut Section<'_>, workers: usize, findings: &mut Findings) -> Topology {
    let before = findings.error_count();
    let ports = each(
        root,
        "port",
        "[[port]]",
        "a device and its addresses",
        findings,
        read_port,
    );
    let between = findings.error_count();
    let groups = each(
        root,
        "backend_group",
        "[[backend_group]]",
        "servers for a listener's clients",
        findings,
        |section, findings| read_group(section, workers, findings),
    );
    let after = findings.error_count();
    let purpose = "addresses for clients to connect to";
    let listeners = each(
        root,
        "listener",
        "[[listener]]",
        purpose,
        findings,
        read_listener,
    );
    Topology {
        ports,
        listeners,
        groups,
        ports_sound: before == between,
        groups_sound: between == after,
    }
}

/// Reads every table `key`, of which there must be one.
fn each<'a, T>(
    section: &mut Section<'a>,
    key: &'static str,
    label: &'static str,
    purpose: &'static str,
    findings: &mut Findings,
    mut read: impl FnMut(Section<'a>, &mut Findings) -> Option<T>,
) -> Vec<T> {
    let before = findings.error_count();
    let tables = section.tables(key, label, label, findings);
    if tables.is_empty() && findings.error_count() == before {
        findings.error(section.span(), label, Fault::NoneConfigured { purpose });
    }
    tables
        .into_iter()
        .filter_map(|table| read(table, findings))
        .collect()
}

fn read_port(mut section: Section<'_>, findings: &mut Findings) -> Option<RawPort> {
    let name = section.required("name", "name = \"edge\"", findings, value::name);
    let device_example = "device = \"net_af_packet0\"";
    let device = section.required("device", device_example, findings, |value| {
        device(value, device_example)
    });
    let mac = section
        .optional("mac", findings, value::mac)
        .map(Spanned::into_inner);
    let addresses = nonempty(
        &mut section,
        "addresses",
        "addresses = [\"192.0.2.1/24\"]",
        findings,
        value::interface_address,
    );
    let has_v6 = addresses
        .iter()
        .flatten()
        .any(|own| own.get_ref().address.is_ipv6());
    let mtu = section.or("mtu", PortConfig::DEFAULT_MTU, findings, |value| {
        mtu(value, has_v6)
    });
    let mut descriptors = |key, findings: &mut Findings| {
        section.or(key, PortConfig::DEFAULT_DESCRIPTORS, findings, |value| {
            value::ring(value, 64..=4096).map(|descriptors| descriptors as u16)
        })
    };
    let rx_descriptors = descriptors("rx_descriptors", findings);
    let tx_descriptors = descriptors("tx_descriptors", findings);
    let example = "routes = [{ to = \"0.0.0.0/0\", via = \"192.0.2.254\" }]";
    let routes = section.tables("routes", "`routes`", example, findings);
    let routes = routes
        .into_iter()
        .filter_map(|route| read_route(route, findings))
        .collect();
    section.finish(findings);
    Some(RawPort {
        name: name?,
        device: device?,
        mac,
        mtu,
        addresses: addresses?,
        routes,
        rx_descriptors,
        tx_descriptors,
    })
}

/// A list that must be there and have an element; elements that cannot be read are left out.
pub(super) fn nonempty<'a, T>(
    section: &mut Section<'a>,
    key: &'static str,
    example: &'static str,
    findings: &mut Findings,
    read: impl FnMut(&'a DeValue<'a>) -> Result<T, Fault>,
) -> Option<Vec<Spanned<T>>> {
    let before = findings.error_count();
    match section.list(key, example, findings, read) {
        Some(list) if list.get_ref().is_empty() && findings.error_count() == before => {
            findings.error(
                list.span(),
                section.subject(key),
                Fault::EmptyList { example },
            );
            None
        }
        Some(list) => Some(list.into_inner()),
        None if findings.error_count() == before => {
            findings.error(
                section.span(),
                section.subject(key),
                Fault::MissingKey { example },
            );
            None
        }
        None => None,
    }
}

/// The name of a device; a PCI address is written out in full, as DPDK names the device.
fn device(value: &DeValue<'_>, example: &'static str) -> Result<String, Fault> {
    let text = value::string(value, example)?;
    Ok(value::full_pci_address(text).unwrap_or_else(|| text.to_owned()))
}

/// The MTU that a link must have for the versions that are spoken on it.
fn mtu(value: &DeValue<'_>, has_v6: bool) -> Result<u16, Fault> {
    // RFC 8200 section 5 wants 1280. RFC 791 would let IPv4 links have 68; but every host must
    // take datagrams of 576, and with less there is little room for data.
    const LEAST_V4: u16 = 576;
    const MOST: u16 = 9216;
    let least = if has_v6 { V6::MIN_MTU as u16 } else { LEAST_V4 };
    value::integer(value, least..=MOST)
}

fn read_route(mut section: Section<'_>, findings: &mut Findings) -> Option<RawRoute> {
    let to = section.required("to", "to = \"0.0.0.0/0\"", findings, |value| {
        value::prefix(value, "0.0.0.0/0")
    });
    let via = section.required(
        "via",
        "via = \"192.0.2.254\"",
        findings,
        value::host_address,
    );
    let to_subject = section.subject("to");
    let via_subject = section.subject("via");
    section.finish(findings);
    let (to, via) = (to?, via?);
    let InterfaceAddress {
        address,
        prefix_len,
    } = *to.get_ref();
    let route = Route {
        to: address,
        prefix_len,
        via: *via.get_ref(),
    };
    let (to_span, via_span) = (to.span(), via.span());
    if to.get_ref().network() != address {
        findings.error(to_span, to_subject, TopologyFault::HostBits(route));
        return None;
    }
    if Family::of(address) != Family::of(route.via) {
        findings.error(via_span, via_subject, TopologyFault::MixedFamilies(route));
        return None;
    }
    Some(RawRoute {
        route,
        to_span,
        via_span,
    })
}

fn read_group(
    mut section: Section<'_>,
    workers: usize,
    findings: &mut Findings,
) -> Option<RawGroup> {
    let name = section.required("name", "name = \"nginx\"", findings, value::name);
    let balance = section.or("balance", Balance::default(), findings, |value| {
        value::choice(value, &Balance::WORDS)
    });
    let tries = section.or("tries", 3, findings, |value| value::integer(value, 1..=16));
    let announce = read_announce(&mut section, findings);
    let engine = tcp::engine(&mut section, findings);
    let slow_start = health::slow_start(&mut section, findings);
    let health = health::health(&mut section, findings);
    let ejection = health::ejection(&mut section, findings);
    let label = "[[backend_group.backend]]";
    let backends = each(
        &mut section,
        "backend",
        label,
        "a server",
        findings,
        |section, findings| read_backend(section, workers, findings),
    );
    let span = section.span();
    section.finish(findings);
    Some(RawGroup {
        span,
        name: name?,
        balance,
        tries,
        announce,
        engine,
        health,
        ejection,
        slow_start,
        backends,
    })
}

/// Reads `proxy_protocol` and `proxy_tlvs` of a group.
fn read_announce(section: &mut Section<'_>, findings: &mut Findings) -> Option<AnnounceConfig> {
    let versions = [
        ("off", None),
        ("v1", Some(AnnounceVersion::V1)),
        ("v2", Some(AnnounceVersion::V2)),
    ];
    let version = section.or("proxy_protocol", None, findings, |value| {
        value::choice(value, &versions)
    });
    let example = "proxy_tlvs = [\"crc32c\"]";
    let tlvs = section.list("proxy_tlvs", example, findings, |value| {
        value::choice(value, &ProxyTlv::WORDS)
    });
    if let Some(tlvs) = &tlvs {
        let subject = section.subject("proxy_tlvs");
        let words = tlvs.get_ref().iter();
        findings.unique(
            &subject,
            words.map(|tlv| (tlv.span(), tlv.get_ref().word())),
        );
        if version != Some(AnnounceVersion::V2) {
            findings.warn(tlvs.span(), subject, Caution::OnlyInVersion2);
        }
    }
    let tlvs = tlvs.map_or_else(Vec::new, Spanned::into_inner);
    version.map(|version| AnnounceConfig {
        version,
        tlvs: tlvs.into_iter().map(Spanned::into_inner).collect(),
    })
}

fn read_backend(
    mut section: Section<'_>,
    workers: usize,
    findings: &mut Findings,
) -> Option<RawBackend> {
    let example = "address = \"198.51.100.10:8080\"";
    let address = section.required("address", example, findings, value::socket_address);
    let name = section.optional("name", findings, value::name);
    let weight = section.optional("weight", findings, |value| value::integer(value, 0..=256));
    let max_connections = section.or("max_connections", 0, findings, |value| {
        let limit: u32 = value::integer(value, 0..=u32::MAX)?;
        if limit != 0 {
            value::share(u64::from(limit), workers, true)?;
        }
        Ok(limit)
    });
    let span = section.span();
    section.finish(findings);
    let address = address?;
    let default_name = Spanned::new(address.span(), address.get_ref().to_string());
    Some(RawBackend {
        name: name.unwrap_or(default_name),
        weight: weight.unwrap_or_else(|| Spanned::new(span, 1)),
        address,
        max_connections: (max_connections != 0).then_some(max_connections),
    })
}

impl RawPort {
    /// Whether this is one of the port's own addresses.
    pub(super) fn owns(&self, address: IpAddr) -> bool {
        self.addresses
            .iter()
            .any(|own| own.get_ref().address == address)
    }

    /// Whether the port can send packets towards this address, and has one to send them from.
    pub(super) fn reaches(&self, address: IpAddr) -> bool {
        self.addresses
            .iter()
            .any(|own| own.get_ref().is_on_link(address))
            || self.routes.iter().any(|route| route.route.matches(address))
                && self
                    .addresses
                    .iter()
                    .any(|own| Family::of(own.get_ref().address) == Family::of(address))
    }

    /// The port without its places in the file.
    pub(super) fn into_config(self) -> PortConfig {
        PortConfig {
            name: self.name.into_inner(),
            device: self.device.into_inner(),
            mac: self.mac,
            mtu: self.mtu,
            addresses: self
                .addresses
                .into_iter()
                .map(Spanned::into_inner)
                .collect(),
            routes: self.routes.into_iter().map(|route| route.route).collect(),
            rx_descriptors: self.rx_descriptors,
            tx_descriptors: self.tx_descriptors,
        }
    }
}

impl RawGroup {
    /// The group without its places in the file.
    pub(super) fn into_config(self) -> BackendGroupConfig {
        let backends = self.backends.into_iter().map(|backend| BackendConfig {
            name: backend.name.into_inner(),
            address: backend.address.into_inner(),
            weight: backend.weight.into_inner(),
            max_connections: backend.max_connections,
        });
        BackendGroupConfig {
            name: self.name.into_inner(),
            balance: self.balance,
            tries: self.tries,
            announce: self.announce,
            engine: self.engine,
            health: self.health,
            ejection: self.ejection,
            slow_start: self.slow_start.map(Spanned::into_inner),
            backends: backends.collect(),
        }
    }
}
