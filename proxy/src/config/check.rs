//! What ports, listeners and groups say about each other: names are told apart, devices exist,
//! addresses belong to somebody, and every backend can be reached. Then, whether packets have room.
//!
//! A part that could not be read has been reported; what refers to it is not judged, so that one
//! slip is one error.

use core::net::{IpAddr, SocketAddr};
use core::ops::Range;

use netstack::tcp::EngineKind;
use toml::Spanned;

use super::fault::{Caution, Family, Fault, TopologyFault};
use super::listener::{RawListener, RawPassthrough};
use super::report::Findings;
use super::section::nearest;
use super::settings::BufferSpans;
use super::topology::{RawBackend, RawGroup, RawPort, RawRoute, Topology};
use super::{
    BackendGroupConfig, BackendGroupId, Config, DpdkConfig, InterfaceAddress, LimitConfig,
    ListenerConfig, PassthroughConfig, PortConfig, value,
};

type Checked = (
    Vec<PortConfig>,
    Vec<ListenerConfig>,
    Vec<BackendGroupConfig>,
);

/// Checks the topology against itself and the devices. Returns `None` only if there is an error,
/// found now or before. `dpdk` is `None` if the devices could not be read.
pub(super) fn check(
    topology: Topology,
    dpdk: Option<&DpdkConfig>,
    limits: &LimitConfig,
    findings: &mut Findings,
) -> Option<Checked> {
    let Topology {
        ports,
        listeners,
        groups,
        ports_sound,
        groups_sound,
    } = topology;
    check_ports(&ports, findings);
    if let Some(dpdk) = dpdk {
        check_devices(&ports, dpdk, findings);
    }
    if ports_sound {
        check_gateways(&ports, findings);
    }
    check_listeners(&listeners, &ports, ports_sound, findings);
    check_groups(&groups, limits, findings);
    for backend in groups.iter().flat_map(|group| &group.backends) {
        check_backend(backend, &ports, &listeners, ports_sound, findings);
    }
    if !groups_sound {
        return None;
    }
    let listeners = resolve_groups(listeners, &groups, findings)?;
    Some((
        ports.into_iter().map(RawPort::into_config).collect(),
        listeners,
        groups.into_iter().map(RawGroup::into_config).collect(),
    ))
}

fn check_ports(ports: &[RawPort], findings: &mut Findings) {
    findings.unique(
        "`name` in [[port]]",
        ports.iter().map(|port| spanned(&port.name)),
    );
    findings.unique(
        "`device` in [[port]]",
        ports.iter().map(|port| spanned(&port.device)),
    );
    let addresses = ports.iter().flat_map(|port| &port.addresses);
    let addresses = addresses.map(|own| (own.span(), own.get_ref().address));
    findings.unique("`addresses` in [[port]]", addresses);
    // The ports share one routing table, in which a destination has one route.
    let routes = ports.iter().flat_map(|port| &port.routes).map(|route| {
        (
            route.to_span.clone(),
            format!("{}/{}", route.route.to, route.route.prefix_len),
        )
    });
    findings.unique("`to` in `routes`", routes);
}

fn check_devices(ports: &[RawPort], dpdk: &DpdkConfig, findings: &mut Findings) {
    let devices = dpdk.vdevs.iter().chain(&dpdk.devices);
    let devices = devices
        .map(|device| value::device_name(device))
        .collect::<Vec<_>>();
    for port in ports {
        let device = port.device.get_ref();
        if !devices.contains(&device.as_str()) {
            let nearest = nearest(device, devices.iter().copied()).map(str::to_owned);
            let fault = TopologyFault::UnknownDevice {
                nearest,
                known: devices.join(", "),
            };
            findings.error(port.device.span(), "`device` in [[port]]", fault);
        }
    }
}

fn check_gateways(ports: &[RawPort], findings: &mut Findings) {
    for port in ports {
        for route in &port.routes {
            check_gateway(route, port, ports, findings);
        }
    }
}

/// A gateway must be a neighbor of the port.
fn check_gateway(route: &RawRoute, port: &RawPort, ports: &[RawPort], findings: &mut Findings) {
    let gateway = route.route.via;
    // RFC 4291 2.5.6: every IPv6 link has the link-local prefix, configured or not.
    let link_local = match gateway {
        IpAddr::V6(address) => address.is_unicast_link_local(),
        IpAddr::V4(_) => false,
    };
    let has_family = |own: &Spanned<_>| Family::of(address_of(own)) == Family::of(gateway);
    let mut on_link = port
        .addresses
        .iter()
        .filter(|own| own.get_ref().is_on_link(gateway));
    let fault = if ports.iter().any(|port| port.owns(gateway)) {
        TopologyFault::GatewayIsOurs { gateway }
    } else if on_link.next().is_none() && !(link_local && port.addresses.iter().any(has_family)) {
        TopologyFault::GatewayOffLink { gateway }
    } else {
        return;
    };
    findings.error(route.via_span.clone(), "`via` in `routes`", fault);
}

fn check_listeners(
    listeners: &[RawListener],
    ports: &[RawPort],
    ports_sound: bool,
    findings: &mut Findings,
) {
    const SUBJECT: &str = "`addresses` in [[listener]]";
    let names = listeners.iter().map(|listener| spanned(&listener.name));
    findings.unique("`name` in [[listener]]", names);
    let addresses = listeners.iter().flat_map(|listener| &listener.addresses);
    findings.unique(SUBJECT, addresses.clone().map(spanned));
    if !ports_sound {
        return;
    }
    for spanned in addresses {
        let address = *spanned.get_ref();
        if ports.iter().any(|port| port.owns(address.ip())) {
            continue;
        }
        let of_family = ports
            .iter()
            .flat_map(|port| &port.addresses)
            .map(address_of)
            .filter(|own| Family::of(*own) == Family::of(address.ip()))
            .map(|own| SocketAddr::new(own, address.port()).to_string())
            .collect::<Vec<_>>();
        let fault = TopologyFault::AddressOfNoPort {
            address,
            known: of_family.join(", "),
        };
        findings.error(spanned.span(), SUBJECT, fault);
    }
}

fn check_groups(groups: &[RawGroup], limits: &LimitConfig, findings: &mut Findings) {
    let names = groups.iter().map(|group| spanned(&group.name));
    findings.unique("`name` in [[backend_group]]", names);
    for group in groups {
        let backends = &group.backends;
        let addresses = backends.iter().map(|backend| spanned(&backend.address));
        findings.unique("`address` in [[backend_group.backend]]", addresses);
        // A name made of the address is told apart by the address.
        let named = backends
            .iter()
            .filter(|backend| backend.name.span() != backend.address.span());
        let names = named.map(|backend| spanned(&backend.name));
        findings.unique("`name` in [[backend_group.backend]]", names);

        let chosen = backends
            .iter()
            .filter(|backend| *backend.weight.get_ref() != 0);
        if let (Some(first), 0) = (backends.first(), chosen.clone().count()) {
            let subject = "`weight` in [[backend_group.backend]]";
            findings.error(first.weight.span(), subject, TopologyFault::NoWeight);
        }
        check_absences(group, chosen.clone().count(), findings);
        let total = chosen
            .map(|backend| backend.max_connections.map(u64::from))
            .sum();
        match total {
            Some(total) if total < limits.max_sessions as u64 => {
                let caution = Caution::GroupFull {
                    total,
                    max_sessions: limits.max_sessions,
                };
                findings.warn(
                    group.span.clone(),
                    "`max_connections` in [[backend_group]]",
                    caution,
                );
            }
            _ => {}
        }
    }
}

/// Whether backends can go, and come back. `takers` is how many of them have a weight.
fn check_absences(group: &RawGroup, takers: usize, findings: &mut Findings) {
    if let Some(slow_start) = &group.slow_start
        && group.health.is_none()
        && group.ejection.is_none()
    {
        let subject = "`slow_start` in [[backend_group]]";
        findings.warn(slow_start.span(), subject, Caution::NeverComesBack);
    }
    if let Some(ejection) = &group.ejection
        && takers > 0
        && ejection.most_of(takers) == 0
    {
        let caution = Caution::EjectsNothing {
            max_share: ejection.max_share,
            backends: takers,
        };
        let subject = "`max_share` in [backend_group.ejection]";
        findings.warn(group.span.clone(), subject, caution);
    }
}

/// A backend must be somebody else, and reachable.
fn check_backend(
    backend: &RawBackend,
    ports: &[RawPort],
    listeners: &[RawListener],
    ports_sound: bool,
    findings: &mut Findings,
) {
    let address = *backend.address.get_ref();
    let listener = listeners
        .iter()
        .find(|listener| {
            listener
                .addresses
                .iter()
                .any(|own| *own.get_ref() == address)
        })
        .map(|listener| listener.name.get_ref().clone());
    let fault = if listener.is_some() || ports.iter().any(|port| port.owns(address.ip())) {
        TopologyFault::BackendIsOurs {
            backend: address,
            listener,
        }
    } else if ports_sound && !ports.iter().any(|port| port.reaches(address.ip())) {
        let own = ports
            .iter()
            .flat_map(|port| &port.addresses)
            .map(address_of);
        let family_configured = own
            .into_iter()
            .any(|own| Family::of(own) == Family::of(address.ip()));
        TopologyFault::Unroutable {
            backend: address.ip(),
            family_configured,
        }
    } else {
        return;
    };
    findings.error(
        backend.address.span(),
        "`address` in [[backend_group.backend]]",
        fault,
    );
}

/// The groups, and which of them are named by a listener.
struct Names<'a> {
    groups: &'a [RawGroup],
    used: Vec<bool>,
}

impl Names<'_> {
    /// The group of this name; an error, if there is none.
    fn find(
        &mut self,
        name: &Spanned<String>,
        subject: &str,
        findings: &mut Findings,
    ) -> Option<BackendGroupId> {
        let names = || {
            self.groups
                .iter()
                .map(|group| group.name.get_ref().as_str())
        };
        let Some(index) = names().position(|known| known == name.get_ref()) else {
            let nearest = nearest(name.get_ref(), names()).map(str::to_owned);
            let known = names().collect::<Vec<_>>().join(", ");
            let fault = TopologyFault::UnknownGroup { nearest, known };
            findings.error(name.span(), subject, fault);
            return None;
        };
        self.used[index] = true;
        Some(BackendGroupId(index))
    }

    fn resolve_routes(
        &mut self,
        passthrough: RawPassthrough,
        findings: &mut Findings,
    ) -> Option<PassthroughConfig> {
        let RawPassthrough { strict, routes } = passthrough;
        let subject = "`backend_group` in [[listener.route]]";
        let count = routes.len();
        let resolved = routes.into_iter().filter_map(|route| {
            let group = self.find(&route.group, subject, findings)?;
            Some(route.into_config(group))
        });
        let routes: Vec<_> = resolved.collect();
        (routes.len() == count).then_some(PassthroughConfig { strict, routes })
    }

    fn resolve_listener(
        &mut self,
        listener: RawListener,
        findings: &mut Findings,
    ) -> Option<ListenerConfig> {
        let subject = "`backend_group` in [[listener]]";
        let group = self.find(&listener.group, subject, findings);
        let passthrough = listener
            .passthrough
            .map(|passthrough| self.resolve_routes(passthrough, findings));
        let addresses = listener.addresses.into_iter().map(Spanned::into_inner);
        Some(ListenerConfig {
            name: listener.name.into_inner(),
            addresses: addresses.collect(),
            backend_group: group?,
            proxy_trusted: listener.proxy_trusted,
            passthrough: match passthrough {
                Some(resolved) => Some(resolved?),
                None => None,
            },
            engine: listener.engine,
        })
    }
}

/// Replaces names of groups by their positions.
fn resolve_groups(
    listeners: Vec<RawListener>,
    groups: &[RawGroup],
    findings: &mut Findings,
) -> Option<Vec<ListenerConfig>> {
    let used = vec![false; groups.len()];
    let mut names = Names { groups, used };
    let count = listeners.len();
    let resolved = listeners
        .into_iter()
        .filter_map(|listener| names.resolve_listener(listener, findings));
    let resolved: Vec<_> = resolved.collect();
    for (group, _) in groups.iter().zip(names.used).filter(|(_, used)| !used) {
        findings.warn(
            group.name.span(),
            "`name` in [[backend_group]]",
            Caution::UnusedGroup,
        );
    }
    (resolved.len() == count).then_some(resolved)
}

/// What clients say before they are served stays in their connections until it is complete.
pub(super) fn check_peeking(
    config: &Config,
    spans: &BufferSpans,
    first_window_span: Range<usize>,
    findings: &mut Findings,
) {
    let least = |engine: EngineKind| {
        let listeners = config.listeners.iter();
        let of_engine = listeners.filter(|listener| listener.engine.engine == engine);
        of_engine
            .map(ListenerConfig::least_window)
            .max()
            .unwrap_or(0)
    };
    let checked = [
        (
            EngineKind::Smoltcp,
            config.buffers.client_receive,
            spans.client_receive.clone(),
            "`client_receive` in [buffers]",
        ),
        (
            EngineKind::Native,
            config.tcp.first_window,
            first_window_span,
            "`first_window` in [tcp]",
        ),
    ];
    for (engine, size, span, subject) in checked {
        let least = least(engine);
        if size < least {
            let fault = Fault::TooLittleToPeek {
                bytes: size as u64,
                least: least as u64,
            };
            findings.error(span, subject, fault);
        }
    }
}

/// The pool must hold all packets there can be, and the memory must hold the pool.
///
/// Not asked if there is an error: the figures would be those of another configuration.
pub(super) fn check_packets(
    config: &Config,
    spans: &BufferSpans,
    memory_span: Range<usize>,
    findings: &mut Findings,
) {
    if findings.error_count() > 0 {
        return;
    }
    let budget = config.packet_budget_for(&config.most_queues());
    let packets = config.buffers.packets.unwrap_or(budget.buffers);
    if packets < budget.buffers {
        // Who asked for too many in connections is told there, if the rest would fit.
        let others = budget.buffers - budget.connections;
        let most = packets.saturating_sub(others);
        if let Some(asked) = config.buffers.connection_packets
            && most > 0
        {
            let fault = Fault::ConnectionsBeyondPool {
                asked,
                packets,
                others,
                least: budget.buffers,
            };
            let span = spans.connection_packets.clone();
            findings.error(span, "`connection_packets` in [buffers]", fault);
        } else {
            let fault = Fault::TooFewPackets {
                packets,
                workers: config.workers(),
                least: budget.buffers,
            };
            findings.error(spans.packets.clone(), "`packets` in [buffers]", fault);
        }
    }
    // More packets than now are needed: ask for the memory of those at once.
    let packets = packets.max(budget.buffers);
    let needed_mib = budget.memory_mib(packets);
    if needed_mib > config.dpdk.memory >> 20 {
        let fault = Fault::TooLittleMemory {
            bytes: config.dpdk.memory,
            packets,
            needed_mib,
        };
        findings.error(memory_span, "`memory` in [dpdk]", fault);
    }
}

/// A value with its place in front, as [`Findings::unique`] wants it.
pub(super) fn spanned<T>(value: &Spanned<T>) -> (Range<usize>, &T) {
    (value.span(), value.get_ref())
}

fn address_of(own: &Spanned<InterfaceAddress>) -> IpAddr {
    own.get_ref().address
}
