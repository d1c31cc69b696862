//! `[steering]`: how packets come to the workers.

use core::ops::RangeInclusive;

use flow_rules::driver::{Driver, Release};
use flow_rules::plan::{Class, Family, Options};
use toml::Spanned;

use super::fault::Caution;
use super::report::Findings;
use super::section::Section;
use super::{PortConfig, value};

/// Messages that a ring from one worker to another may hold.
const HANDOVER: RangeInclusive<u32> = 64..=65_536;
/// Flows that a receiver remembers; the upper bound catches slips before memory is asked for.
const FLOWS: RangeInclusive<usize> = 0..=16 << 20;
/// With fewer flows, the table of a receiver is too small to be of use.
const LEAST_FLOWS: usize = 4_096;

/// `[steering]`: what devices do so that packets come to the right worker, and what workers do for
/// the rest.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "the keys of the file are switches"
)]
pub struct SteeringConfig {
    /// `rules = true`: whether flow rules are installed at all. Otherwise devices are left as they
    /// are, and spread packets by themselves.
    pub rules: bool,
    /// `classes = ["ipv4-tcp", "ipv6-tcp"]`: which packets get receive queues by rules, where the
    /// device can. `"other"` is there always, and may be written.
    pub classes: Vec<Class>,
    /// `isolate = false`: whether nothing is to come from a device but what a rule matches.
    pub isolate: bool,
    /// `drop_foreign = false`: whether a device is to drop IP packets for addresses that are not
    /// ours.
    pub drop_foreign: bool,
    /// `symmetric = false`: whether both directions of a flow are to come to the same worker.
    pub symmetric: bool,
    /// `vxlan_port = 4789`: the UDP port of VXLAN.
    pub vxlan_port: u16,
    /// `handover = 1024`: packets that may wait on the way from one worker to another; a power of
    /// two.
    pub handover: u32,
    /// `flows = 0`: how many flows a receiver remembers that hands packets to several workers, so
    /// that known ones stay where they are. 0 in the file means as many as `max_sessions` needs,
    /// which is `None` here.
    pub flows: Option<usize>,
}

impl SteeringConfig {
    /// How many flows a receiver remembers: a session has two.
    pub fn flow_capacity(&self, max_sessions: usize) -> usize {
        let computed = max_sessions.saturating_mul(2).max(LEAST_FLOWS);
        self.flows.unwrap_or_else(|| computed.next_power_of_two())
    }
}

impl SteeringConfig {
    /// What there is to be steered: the classes of what workers serve.
    pub const SERVED: [Class; 2] = [Class::Ipv4Tcp, Class::Ipv6Tcp];

    /// Served classes that no rules are asked for.
    pub fn without_rules(&self) -> impl Iterator<Item = Class> {
        let served = Self::SERVED.into_iter();
        served.filter(|class| !self.classes.contains(class))
    }

    /// The most receive queues that a plan could have for a port, whatever its driver is, as far as
    /// the name of the device does not say. Only the live port knows how many it will be.
    pub fn most_rx_queues(&self, port: &PortConfig, receivers: usize) -> u16 {
        let has_rules = |driver: Driver| {
            let profile = driver.profile();
            driver.follows_members() || profile.has_rules(Release::OLDEST_SUPPORTED)
        };
        let driver = Driver::of_virtual_device(&port.device);
        if !self.rules || !driver.is_none_or(has_rules) {
            return receivers as u16;
        }
        let served_here = |class: &Class| {
            let mut addresses = port.addresses.iter().map(|own| own.address);
            class.family().is_some_and(|family| {
                addresses.any(|address| address.is_ipv4() == (family == Family::V4))
            })
        };
        let steered = self.classes.iter().filter(|class| served_here(class));
        let others = self.without_rules().any(|class| served_here(&class));
        let groups = steered.count() + usize::from(others);
        // Some devices take powers of two only; and "other" has a queue.
        (groups.max(1) * receivers.next_power_of_two() + 1) as u16
    }
}

impl Default for SteeringConfig {
    fn default() -> Self {
        Self {
            rules: true,
            classes: Self::SERVED.to_vec(),
            isolate: false,
            drop_foreign: false,
            symmetric: false,
            vxlan_port: Options::VXLAN_PORT,
            handover: 1_024,
            flows: None,
        }
    }
}

/// Reads `[steering]`.
pub(super) fn steering(root: &mut Section<'_>, findings: &mut Findings) -> SteeringConfig {
    let default = SteeringConfig::default();
    let Some(mut section) = root.table("steering", "[steering]", findings) else {
        return default;
    };
    let rules = section.or("rules", default.rules, findings, value::boolean);
    let classes = classes(&mut section, findings);
    let isolate = section.optional("isolate", findings, value::boolean);
    let drop_foreign = section.optional("drop_foreign", findings, value::boolean);
    let symmetric = section.or("symmetric", default.symmetric, findings, value::boolean);
    let vxlan_port = section.optional("vxlan_port", findings, |value| {
        value::integer(value, 1..=u16::MAX)
    });
    let handover = section.or("handover", default.handover, findings, |value| {
        value::ring(value, HANDOVER)
    });
    let flows = section.or("flows", 0, findings, |value| value::integer(value, FLOWS));
    let spans = [
        ("classes", classes.as_ref().map(Spanned::span)),
        ("isolate", wanted(isolate.as_ref())),
        ("drop_foreign", wanted(drop_foreign.as_ref())),
        ("vxlan_port", vxlan_port.as_ref().map(Spanned::span)),
    ];
    for (key, span) in spans {
        if let (Some(span), false) = (span, rules) {
            findings.warn(span, section.subject(key), Caution::OnlyWithRules);
        }
    }
    let config = SteeringConfig {
        rules,
        classes: classes.map_or(default.classes, Spanned::into_inner),
        isolate: isolate.is_some_and(Spanned::into_inner),
        drop_foreign: drop_foreign.is_some_and(Spanned::into_inner),
        symmetric,
        vxlan_port: vxlan_port
            .as_ref()
            .map_or(default.vxlan_port, |port| *port.get_ref()),
        handover,
        flows: (flows != 0).then_some(flows),
    };
    let vxlan = [Class::Ipv4Vxlan, Class::Ipv6Vxlan];
    if let Some(port) = vxlan_port
        && *port.get_ref() != default.vxlan_port
        && rules
        && !vxlan.iter().any(|class| config.classes.contains(class))
    {
        let subject = section.subject("vxlan_port");
        findings.warn(port.span(), subject, Caution::OnlyWithVxlan);
    }
    section.finish(findings);
    config
}

/// The classes that are written, each once.
fn classes(section: &mut Section<'_>, findings: &mut Findings) -> Option<Spanned<Vec<Class>>> {
    let words = Class::ALL.map(|class| (class.name(), class));
    let example = "classes = [\"ipv4-tcp\", \"ipv6-tcp\"]";
    let list = section.list("classes", example, findings, |value| {
        value::choice(value, &words)
    })?;
    let (span, classes) = (list.span(), list.into_inner());
    let places = classes
        .iter()
        .map(|class| (class.span(), class.get_ref().name()));
    findings.unique(&section.subject("classes"), places);
    let classes = classes.into_iter().map(Spanned::into_inner);
    Some(Spanned::new(span, classes.collect()))
}

/// Where something is switched on.
fn wanted(value: Option<&Spanned<bool>>) -> Option<core::ops::Range<usize>> {
    value.filter(|on| *on.get_ref()).map(Spanned::span)
}
