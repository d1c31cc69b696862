use core::net::IpAddr;

use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::*;
use crate::action::Action;
use crate::conflict;
use crate::driver::Quirk;
use crate::item::Item;
use crate::kind::ItemKind;
use crate::rule::FlowRule;
use crate::value::{Mac, Value};

const MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);

fn ip(text: &str) -> IpAddr {
    text.parse().expect(text)
}

fn port(driver: Driver) -> Port {
    Port {
        number: 0,
        name: "client".to_owned(),
        driver,
        members: Vec::new(),
        release: Release::OLDEST_SUPPORTED,
        rx_queues: None,
        mac: MAC,
        addresses: vec![ip("192.0.2.1"), ip("2001:db8::1")],
    }
}

fn request(port: Port, workers: u16) -> Request {
    Request {
        ports: vec![port],
        workers,
        classes: Class::ALL.to_vec(),
        without_rules: vec![],
        listeners: Vec::new(),
        options: Options::default(),
    }
}

fn plan_of(request: &Request) -> Plan {
    let mut plans = request.plan().expect("there is a plan");
    plans.pop().expect("for the port")
}

fn plan(driver: Driver, workers: u16, rx_queues: Option<u16>) -> Plan {
    let port = Port {
        rx_queues,
        ..port(driver)
    };
    plan_of(&request(port, workers))
}

/// A packet, by its headers: what a rule can ask for.
type Packet = Vec<(ItemKind, Vec<(&'static str, u128)>)>;

/// The first packet of a flow of a class, to `address` in a frame to `mac`.
fn packet(class: Class, address: IpAddr, mac: Mac) -> Packet {
    let (ip, ethertype, dst) = match address {
        IpAddr::V4(address) => (ItemKind::Ipv4, 0x0800, address.to_bits().into()),
        IpAddr::V6(address) => (ItemKind::Ipv6, 0x86dd, address.to_bits()),
    };
    let (proto, above, dport) = match class {
        Class::Ipv4Tcp | Class::Ipv6Tcp => (6, ItemKind::Tcp, 50_000),
        Class::Ipv4Udp | Class::Ipv6Udp => (17, ItemKind::Udp, 50_000),
        Class::Ipv4Vxlan | Class::Ipv6Vxlan => (17, ItemKind::Udp, 4789),
        Class::Other if address.is_ipv4() => (1, ItemKind::Icmp, 0),
        Class::Other => (58, ItemKind::Icmp6, 0),
    };
    vec![
        (
            ItemKind::Eth,
            vec![("dst", mac.to_bits()), ("type", ethertype)],
        ),
        (ip, vec![("dst", dst), ("proto", proto)]),
        (above, vec![("dst", dport)]),
    ]
}

fn matches(rule: &FlowRule, packet: &Packet) -> bool {
    let mut headers = packet.iter();
    rule.items().iter().all(|item: &Item| {
        headers.next().is_some_and(|(kind, fields)| {
            *kind == item.kind()
                && item.matches().iter().all(|wanted| {
                    let mut fields = fields.iter();
                    let field = fields.find(|(name, _)| *name == wanted.info().name);
                    field.is_some_and(|(_, value)| wanted.bits.admits(*value))
                })
        })
    })
}

/// Where the device puts a packet by the plan: `None` drops it.
fn queues_for(plan: &Plan, packet: &Packet) -> Option<Vec<u16>> {
    let hits = plan.rules.iter().map(|named| &named.rule);
    let mut hits: Vec<_> = hits.filter(|rule| matches(rule, packet)).collect();
    hits.sort_by_key(|rule| rule.attributes().priority_number());
    match hits.first().map(|rule| rule.actions().fate()) {
        Some(Action::Queue { index }) => Some(vec![*index]),
        Some(Action::Rss(rss)) => Some(rss.queues().to_vec()),
        Some(Action::Drop) => None,
        Some(other) => panic!("no rule of a plan does {other}"),
        None if plan.isolated => None,
        None => Some(plan.rest.queues.clone()),
    }
}

fn classes() -> impl Strategy<Value = Vec<Class>> {
    subsequence(Class::ALL.to_vec(), 0..=Class::ALL.len())
}

fn options() -> impl Strategy<Value = Options> {
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    (proptest::bool::weighted(0.9), flags).prop_map(|(rules, (isolation, drops, symmetric))| {
        Options {
            rules,
            isolation,
            drops,
            symmetric,
            ..Options::default()
        }
    })
}

fn requests(driver: Driver) -> impl Strategy<Value = Request> {
    let all = ["192.0.2.1", "192.0.2.2", "2001:db8::1", "fe80::1:2:3"].map(ip);
    let members = [Driver::Mlx5, Driver::Mlx4, Driver::Ice, Driver::I40e];
    let most = if driver.follows_members() { 2 } else { 0 };
    let members = subsequence(members.to_vec(), 0..=most);
    (
        prop_oneof![1..6_u16, select(vec![8, 16, 63, 128, 129, 200])],
        proptest::option::of(prop_oneof![1..40_u16, 40..1025_u16]),
        (classes(), classes()),
        subsequence(all.to_vec(), 0..=4),
        subsequence(vec![ip("198.51.100.7"), ip("2001:db8:7::7")], 0..=2),
        options(),
        members,
        select(vec![
            Release::CAPABILITY_TABLE,
            Release::OLDEST_SUPPORTED,
            Release::new(25, 11),
        ]),
    )
        .prop_map(
            move |(
                workers,
                rx_queues,
                (classes, without_rules),
                addresses,
                vips,
                options,
                members,
                release,
            )| {
                let listener = |ip| Listener {
                    address: (ip, 443).into(),
                    transport: Transport::Tcp,
                };
                let port = Port {
                    members,
                    release,
                    rx_queues,
                    addresses,
                    ..port(driver)
                };
                Request {
                    classes,
                    without_rules,
                    options,
                    listeners: vips.into_iter().map(listener).collect(),
                    ..request(port, workers)
                }
            },
        )
}

/// Every rule is one that the profiles have, and that they take together.
fn check_rules(request: &Request, plan: &Plan) -> Result<(), TestCaseError> {
    let port = &request.ports[0];
    let queues = plan.queues.len() as u16;
    let own = [port.driver];
    let rulers = if port.members.is_empty() {
        &own[..]
    } else {
        &port.members
    };
    for driver in rulers {
        let profile = driver.profile();
        let mut shapes: Vec<(Vec<ItemKind>, Vec<&str>)> = Vec::new();
        for named in plan.rules.iter() {
            let taken = profile.supports_rule(plan.release, &named.rule, queues);
            prop_assert!(taken.is_ok(), "{}: {taken:?}", named.name);
            let items = named.rule.items();
            let kinds = items.iter().map(Item::kind).collect();
            let fields = items.iter().flat_map(Item::matches);
            let fields = fields.map(|field| field.info().name).collect();
            shapes.push((kinds, fields));
        }
        if profile
            .quirks(plan.release)
            .any(|quirk| quirk == Quirk::SameFields)
        {
            for (kinds, fields) in &shapes {
                let other = shapes
                    .iter()
                    .find(|(others, more)| others == kinds && more != fields);
                prop_assert_eq!(other, None);
            }
        }
    }
    prop_assert_eq!(conflict::find(&plan.rules), vec![]);
    prop_assert_eq!(plan.purposes.len(), plan.rules.len());
    let mut named = rss_of(plan).flat_map(Rss::queues);
    prop_assert!(named.all(|queue| *queue < queues));
    Ok(())
}

/// How rules spread packets.
fn rss_of(plan: &Plan) -> impl Iterator<Item = &Rss> {
    let fates = plan.rules.iter().map(|named| named.rule.actions().fate());
    fates.filter_map(|fate| match fate {
        Action::Rss(rss) => Some(rss),
        _ => None,
    })
}

/// Every class reaches every worker, where the plan says.
fn check_classes(request: &Request, plan: &Plan) -> Result<(), TestCaseError> {
    let available = request.ports[0].rx_queues.unwrap_or(u16::MAX);
    prop_assert!(plan.queues.len() <= available.into());
    let refused = |each: &Fallback| matches!(each, Fallback::Refused { .. });
    let refused = plan.fallbacks.iter().any(refused);
    for class in &plan.classes {
        let distributed = plan.fallbacks.iter().find_map(|each| match each {
            Fallback::Distributed {
                classes, receiving, ..
            } => classes.contains(&class.class).then_some(*receiving),
            _ => None,
        });
        let own = |how: &&Destination| matches!(how, Destination::Queues(_));
        let receiving = class.destinations.iter().filter(own).count();
        let distributed = distributed.map(usize::from);
        prop_assert!(distributed.is_none_or(|said| refused || said == receiving));
        prop_assert_eq!(class.destinations.len(), usize::from(plan.workers));
        for (worker, how) in (0..).zip(&class.destinations) {
            match how {
                Destination::Queues(numbers) => {
                    prop_assert!(!numbers.is_empty());
                    for number in numbers {
                        let queue = &plan.queues[usize::from(*number)];
                        prop_assert_eq!(queue.worker, worker);
                        prop_assert!(queue.classes.contains(&class.class));
                    }
                }
                Destination::HandedOver => {
                    let known = class.class == Class::Other
                        || refused && !class.by_rule
                        || distributed.is_some();
                    prop_assert!(known, "{} does not reach {worker}", class.class);
                }
            }
        }
    }
    for (number, queue) in (0..).zip(&plan.queues) {
        prop_assert!(queue.worker < plan.workers);
        for class in &queue.classes {
            let class = plan.class(*class).expect("it has a plan");
            prop_assert!(class.queues.contains(&number));
        }
    }
    Ok(())
}

/// Packets for us arrive where their class is expected, others only if nothing was to stop them.
fn check_packets(request: &Request, plan: &Plan) -> Result<(), TestCaseError> {
    let ours = request.addresses_on(&request.ports[0]);
    for class in &plan.classes {
        for &address in &ours {
            let fits = class
                .class
                .family()
                .is_none_or(|family| (family == Family::V4) == address.is_ipv4());
            if !fits {
                continue;
            }
            let arrives = queues_for(plan, &packet(class.class, address, MAC));
            let arrives = arrives.expect("what is ours is not dropped");
            if class.class == Class::Other {
                prop_assert!(arrives.iter().all(|queue| class.queues.contains(queue)));
            } else {
                prop_assert_eq!(&arrives, &class.queues, "{} to {}", class.class, address);
            }
        }
    }
    for (family, other) in [(Family::V4, "203.0.113.9"), (Family::V6, "2001:db8:9::9")] {
        let dropped = plan.purposes.contains(&Purpose::Foreign(family));
        for class in Class::ALL
            .into_iter()
            .filter(|class| class.family() == Some(family))
        {
            let arrives = queues_for(plan, &packet(class, ip(other), MAC));
            prop_assert_eq!(arrives.is_none(), dropped, "{} to {}", class, other);
        }
        let elsewhere = packet(Class::Ipv4Tcp, ip(other), Mac([2, 0, 0, 0, 0, 9]));
        let arrives = queues_for(plan, &elsewhere).is_some();
        prop_assert!(!plan.isolated || !arrives, "a frame for another");
    }
    for address in ours.iter().filter(|address| address.is_ipv6()) {
        let IpAddr::V6(address) = address else {
            continue;
        };
        for group in rules::groups_of(*address) {
            let mac = rules::multicast_mac(group);
            let arrives = queues_for(plan, &packet(Class::Other, group.into(), mac));
            prop_assert!(arrives.is_some(), "neighbor discovery for {address}");
        }
    }
    let arp = vec![(
        ItemKind::Eth,
        vec![("dst", Mac([0xff; 6]).to_bits()), ("type", 0x0806)],
    )];
    prop_assert!(queues_for(plan, &arp).is_some());
    Ok(())
}

/// What was wanted and is not done by the device has its sentence.
fn check_fallbacks(request: &Request, plan: &Plan) -> Result<(), TestCaseError> {
    let has = |wanted: &dyn Fn(&Fallback) -> bool| plan.fallbacks.iter().any(wanted);
    for class in plan
        .classes
        .iter()
        .filter(|class| !class.by_rule && class.class != Class::Other)
    {
        let said = has(
            &|each| matches!(each, Fallback::Classified { classes, .. } if classes.contains(&class.class)),
        );
        prop_assert!(said, "{}", class.class);
    }
    for queue in &plan.queues {
        let steered = queue.classes.iter().filter(|class| {
            plan.class(**class)
                .is_some_and(|plan| plan.by_rule && plan.class != Class::Other)
        });
        let steered: Vec<_> = steered.copied().collect();
        let said =
            has(&|each| matches!(each, Fallback::Shared { classes, .. } if *classes == steered));
        prop_assert!(steered.len() < 2 || said, "{steered:?}");
    }
    let not_isolated = has(&|each| matches!(each, Fallback::NotIsolated { .. }));
    prop_assert_eq!(request.options.isolation && !plan.isolated, not_isolated);
    for family in Family::ALL {
        let arrive = has(
            &|each| matches!(each, Fallback::ForeignArrive { families, .. } if families.contains(&family)),
        );
        let dropped = plan.purposes.contains(&Purpose::Foreign(family));
        prop_assert_eq!(request.options.drops && !dropped, arrive);
    }
    let spreads =
        plan.rest.queues.len() > 1 || plan.classes.iter().any(|class| class.rss.is_some());
    let keyless = plan.rest.key.is_none() && rss_of(plan).all(|rss| rss.hash_key().is_none());
    let not_symmetric = has(&|each| matches!(each, Fallback::NotSymmetric { .. }));
    let wanted = request.options.symmetric && plan.workers > 1 && spreads;
    prop_assert_eq!(wanted && keyless, not_symmetric);
    for fallback in &plan.fallbacks {
        prop_assert!(fallback.to_string().ends_with('.'));
    }
    check_replies(plan)
}

/// Replies that nobody foresees are told of, and no others.
fn check_replies(plan: &Plan) -> Result<(), TestCaseError> {
    for class in &plan.classes {
        let replies = plan.replies(class.class).expect("it has queues");
        let said = plan.fallbacks.iter().any(|each| {
            matches!(each, Fallback::RepliesHandedOver { classes, .. } if classes.contains(&class.class))
        });
        let connects = class.class.hashed().is_some() && class.class.enclosing().is_none();
        prop_assert_eq!(said, connects && replies == Replies::Unforeseen);
        match replies {
            Replies::Worker(worker) => {
                let all = class.queues.iter();
                prop_assert!(
                    all.map(|queue| plan.worker_of(*queue))
                        .all(|w| w == Some(worker))
                );
            }
            Replies::ByPort => {
                prop_assert!(!class.by_rule && plan.rest.by != RestBy::Rules);
                // The queue for "other" alone is not in the table.
                let table = &plan.rest.queues;
                prop_assert!(class.class == Class::Other || class.queues == *table);
            }
            Replies::Unforeseen => prop_assert!(plan.workers > 1),
        }
    }
    prop_assert_eq!(plan.worker_of(plan.queues.len() as u16), None);
    Ok(())
}

fn check(request: &Request) -> Result<(), TestCaseError> {
    let plan = plan_of(request);
    let used = plan.queues.iter().all(|queue| !queue.classes.is_empty());
    prop_assert!(used, "{:?}", plan.queues);
    check_rules(request, &plan)?;
    check_classes(request, &plan)?;
    check_packets(request, &plan)?;
    check_fallbacks(request, &plan)
}

proptest! {
    #[test]
    fn a_plan_keeps_its_promises_by_the_profile(
        request in select(Driver::all().collect::<Vec<_>>()).prop_flat_map(requests),
    ) {
        check(&request)?;
    }

    #[test]
    fn nothing_of_ours_is_lost_with_a_refused_rule(
        request in select(vec![Driver::Mlx5, Driver::Tap, Driver::Ice, Driver::Mlx4])
            .prop_flat_map(requests),
        seed in any::<prop::sample::Index>(),
    ) {
        let mut plan = plan_of(&request);
        while !plan.rules.is_empty() {
            plan.refuse(seed.index(plan.rules.len()));
            check_classes(&request, &plan)?;
            let ours = request.addresses_on(&request.ports[0]);
            for class in &plan.classes {
                for &address in &ours {
                    let arrives = queues_for(&plan, &packet(class.class, address, MAC));
                    prop_assert!(arrives.is_some(), "{} to {}", class.class, address);
                }
            }
        }
        prop_assert!(!plan.isolated);
    }
}

/// Exhaustive where it matters most: every driver, a few workers, every set of classes.
#[test]
fn every_driver_has_a_plan_for_all_classes_and_workers() {
    for driver in Driver::all() {
        for workers in [1, 2, 3, 4, 7] {
            for set in 0..1_u32 << Class::ALL.len() {
                let classes = (0..).zip(Class::ALL).filter(|(bit, _)| set >> bit & 1 == 1);
                let request = Request {
                    classes: classes.map(|(_, class)| class).collect(),
                    options: Options {
                        isolation: true,
                        drops: true,
                        ..Options::default()
                    },
                    ..request(port(driver), workers)
                };
                check(&request).unwrap_or_else(|error| panic!("{driver} {workers}: {error}"));
            }
        }
    }
}

#[test]
fn classes_share_when_there_are_few_queues() {
    let queues = |rx_queues| plan(Driver::Mlx5, 2, Some(rx_queues));
    let told = |fallback: &Fallback| matches!(fallback, Fallback::RepliesHandedOver { .. });
    assert!(queues(13).fallbacks.iter().all(told));
    assert_eq!(queues(12).queues.len(), 9);
    assert_eq!(
        queues(8).queues[2].classes,
        [
            Class::Ipv4Udp,
            Class::Ipv4Vxlan,
            Class::Ipv6Udp,
            Class::Ipv6Vxlan
        ]
    );
    let all = queues(2);
    assert_eq!((all.queues.len(), all.rules.len()), (2, 0));
    let [Fallback::Classified { why, .. }] = &all.fallbacks[..] else {
        panic!("{:?}", all.fallbacks);
    };
    assert_eq!(why.to_string(), "there are 2 queues, and 3 would be needed");
}

#[test]
fn fewer_queues_than_workers_are_shared_out() {
    let plan = plan(Driver::Tap, 3, Some(1));
    assert_eq!(plan.queues.len(), 1);
    let tcp = plan.class(Class::Ipv4Tcp).expect("it has a plan");
    let handed = [Destination::HandedOver, Destination::HandedOver];
    assert_eq!(tcp.destinations[0], Destination::Queues(vec![0]));
    assert_eq!(tcp.destinations[1..], handed);
    let text = plan.to_string();
    assert!(
        text.contains("# - 1 of 3 workers receive each of ipv4-tcp,"),
        "{text}"
    );
}

/// Which worker serves each queue, and the queue of TCP over IPv4 and over IPv6.
fn dealt(plan: &Plan) -> (Vec<u16>, [Vec<u16>; 2]) {
    let workers = plan.queues.iter().map(|queue| queue.worker);
    let tcp = [Class::Ipv4Tcp, Class::Ipv6Tcp];
    let queues = tcp.map(|class| plan.class(class).expect("a plan").queues.clone());
    (workers.collect(), queues)
}

#[test]
fn where_rules_cannot_spread_workers_take_turns() {
    let tap = |workers, change: &dyn Fn(&mut Request)| {
        let mut request = request(port(Driver::Tap), workers);
        request.classes = vec![Class::Ipv4Tcp, Class::Ipv6Tcp];
        change(&mut request);
        plan_of(&request)
    };
    let one = tap(1, &|_| ());
    assert_eq!(dealt(&one), (vec![0, 0, 0], [vec![0], vec![1]]));
    let told = |plan: &Plan| plan.fallbacks.iter().any(is_distributed);
    assert!(!told(&one), "{:?}", one.fallbacks);
    let two = tap(2, &|_| ());
    assert_eq!(dealt(&two), (vec![0, 1, 0], [vec![0], vec![1]]));
    let tcp = two.class(Class::Ipv6Tcp).expect("a plan");
    let queues = Destination::Queues(vec![1]);
    assert_eq!(tcp.destinations, [Destination::HandedOver, queues]);
    assert!(tcp.by_rule && told(&two));
    // A class without a rule is the third in turn; it says itself that it has 16 queues.
    let rest = tap(3, &|request| {
        request.without_rules = vec![request.classes.remove(1)];
        request.classes.push(Class::Ipv4Udp);
        request.ports[0].rx_queues = Some(16);
    });
    assert_eq!(dealt(&rest), (vec![0, 1, 2], [vec![0], vec![2]]));
    // Without rules the kernel spreads, over no more queues than there can be.
    let off = tap(6, &|request| request.options.rules = false);
    assert_eq!((off.queues.len(), off.rules.len()), (4, 0));
    let none = tap(2, &|request| {
        request.without_rules = core::mem::take(&mut request.classes);
    });
    assert_eq!(dealt(&none), (vec![0, 1], [vec![0, 1], vec![0, 1]]));
    // But an isolated port needs a rule for all, which leads to one queue.
    let isolated = tap(2, &|request| {
        request.without_rules = core::mem::take(&mut request.classes);
        request.options.isolation = true;
    });
    assert!(isolated.isolated && told(&isolated));
    assert_eq!(dealt(&isolated), (vec![0], [vec![0], vec![0]]));
}

fn is_distributed(fallback: &Fallback) -> bool {
    matches!(fallback, Fallback::Distributed { .. })
}

#[test]
fn a_device_of_powers_of_two_serves_three_workers_with_four_queues() {
    let plan = plan(Driver::Ice, 3, None);
    let tcp = plan.class(Class::Ipv4Tcp).expect("it has a plan");
    assert_eq!(tcp.destinations[0], Destination::Queues(vec![0, 3]));
    let uneven = |each: &Fallback| {
        matches!(
            each,
            Fallback::Uneven {
                queues: 4,
                workers: 3,
                ..
            }
        )
    };
    assert!(plan.fallbacks.iter().any(uneven));
}

#[test]
fn all_queues_of_a_fixed_device_are_served() {
    let plan = plan(Driver::AfPacket, 2, Some(5));
    let workers: Vec<_> = plan.queues.iter().map(|queue| queue.worker).collect();
    assert_eq!(workers, [0, 1, 0, 1, 0]);
    assert_eq!(self::plan(Driver::Memif, 2, Some(5)).queues.len(), 2);
}

#[test]
fn one_worker_needs_no_rss() {
    for driver in Driver::all() {
        let plan = plan(driver, 1, None);
        assert!(
            plan.classes.iter().all(|class| class.rss.is_none()),
            "{driver}"
        );
    }
    // It has queues by class even where a rule cannot spread.
    assert_eq!(plan(Driver::I40e, 1, None).queues.len(), 5);
}

#[test]
fn a_bond_can_do_what_its_members_can() {
    let bond = |members: &[Driver]| {
        let port = Port {
            members: members.to_vec(),
            ..port(Driver::Bonding)
        };
        plan_of(&request(port, 2))
    };
    assert!(bond(&[]).rules.is_empty());
    let both = bond(&[Driver::Mlx5, Driver::Mlx4]);
    assert!(both.class(Class::Ipv4Tcp).expect("a plan").by_rule);
    assert!(!both.class(Class::Ipv6Tcp).expect("a plan").by_rule);
}

#[test]
fn a_symmetric_key_is_as_long_as_the_device_wants() {
    let plan = |driver| {
        let mut request = request(port(driver), 2);
        request.options.symmetric = true;
        plan_of(&request)
    };
    let key = plan(Driver::I40e).rest.key.expect("it can be set");
    assert_eq!((key.len(), &key[..4]), (52, &[0x6d, 0x5a, 0x6d, 0x5a][..]));
    let mlx5 = plan(Driver::Mlx5);
    let rss = mlx5.class(Class::Ipv4Tcp).expect("a plan").rss.clone();
    assert_eq!(
        rss.expect("two queues").hash_key().map(<[u8]>::len),
        Some(40)
    );
}

#[test]
fn a_refused_rule_takes_its_consequences_along() {
    let mut request = request(port(Driver::Mlx5), 2);
    request.options.isolation = true;
    request.options.drops = true;
    let mut plan = plan_of(&request);
    let index = |plan: &Plan, wanted: Purpose| {
        let found = plan.purposes.iter().position(|purpose| *purpose == wanted);
        found.expect("there is such a rule")
    };
    let at = index(&plan, Purpose::Class(Class::Ipv4Tcp));
    plan.refuse(at);
    assert!(!plan.class(Class::Ipv4Tcp).expect("a plan").by_rule);
    let at = index(&plan, Purpose::Ours(Family::V4));
    plan.refuse(at);
    assert!(!plan.purposes.contains(&Purpose::Foreign(Family::V4)));
    assert!(plan.purposes.contains(&Purpose::Foreign(Family::V6)));
    let at = index(&plan, Purpose::Rest);
    let warning = plan.refuse(at).to_string();
    assert!(
        !plan.isolated && warning.contains("not isolated"),
        "{warning}"
    );
}

#[test]
fn what_cannot_be_planned_says_why() {
    let error = |change: &dyn Fn(&mut Request)| {
        let mut request = request(port(Driver::Mlx5), 2);
        change(&mut request);
        request.plan().expect_err("no plan").to_string()
    };
    assert_eq!(
        error(&|request| request.workers = 0),
        "there is no worker to serve the queues: configure at least one lcore"
    );
    assert_eq!(
        error(&|request| request.ports[0].rx_queues = Some(0)),
        "port client has no receive queue: give its device at least one"
    );
    assert_eq!(
        error(&|request| request.ports[0].addresses.push(ip("224.0.0.1"))),
        "224.0.0.1, of port client, is not the address of a host: give a unicast address"
    );
    let listener = Listener {
        address: "[::]:4789".parse().expect("an address"),
        transport: Transport::Udp,
    };
    assert_eq!(
        error(&|request| request.listeners.push(listener)),
        "UDP port 4789 is that of VXLAN and of the listener [::]:4789: give one of them another \
         port, or leave VXLAN out of the classes"
    );
}

#[test]
fn without_rules_the_port_spreads_all_classes() {
    let plan = |change: &dyn Fn(&mut Request)| {
        let mut request = request(port(Driver::Mlx5), 2);
        request.classes = vec![Class::Ipv4Tcp, Class::Ipv6Tcp];
        change(&mut request);
        plan_of(&request)
    };
    let all_by_port = |plan: &Plan| {
        let tcp = plan.class(Class::Ipv4Tcp).expect("it is served");
        tcp.queues == [0, 1] && plan.replies(Class::Ipv4Tcp) == Some(Replies::ByPort)
    };
    let off = plan(&|request| request.options.rules = false);
    assert!(all_by_port(&off) && off.rules.is_empty());
    assert_eq!((off.queues.len(), off.other_queue()), (2, None));
    let text = off.to_string();
    assert!(
        text.contains("told apart by software: flow rules are switched off"),
        "{text}"
    );
    // Not asked for is not forbidden: "other" has its queue.
    let none = plan(&|request| request.without_rules = core::mem::take(&mut request.classes));
    assert!(all_by_port(&none));
    assert_eq!((none.rules.len(), none.other_queue()), (3, Some(2)));
    let text = none.to_string();
    assert!(text.contains("no rules were asked for"), "{text}");
    // Classes with rules beside those without.
    let udp = plan(&|request| {
        request.without_rules = core::mem::take(&mut request.classes);
        request.classes = vec![Class::Ipv4Udp];
    });
    assert_eq!(udp.class(Class::Ipv4Udp).expect("a plan").queues, [0, 1]);
    assert_eq!(udp.class(Class::Ipv4Tcp).expect("a plan").queues, [2, 3]);
    assert_eq!(udp.replies(Class::Ipv4Tcp), Some(Replies::ByPort));
    assert_eq!(udp.replies(Class::Ipv4Udp), Some(Replies::Unforeseen));
    assert_eq!(udp.replies(Class::Ipv4Vxlan), None);
    // The rule that lets pass what is ours spreads it, too.
    let drops = plan(&|request| {
        request.without_rules = core::mem::take(&mut request.classes);
        request.options.drops = true;
    });
    assert!(drops.purposes.contains(&Purpose::Ours(Family::V4)));
    assert_eq!(drops.replies(Class::Ipv4Tcp), Some(Replies::Unforeseen));
}

#[test]
fn without_a_rule_for_the_rest_it_may_come_anywhere() {
    let mut plan = plan(Driver::Tap, 2, None);
    let rest = plan.purposes.iter().position(|each| *each == Purpose::Rest);
    plan.refuse(rest.expect("a rule for the rest"));
    assert_eq!(plan.rest.by, RestBy::Fixed { by: "the device" });
    let queues = plan.class(Class::Other).expect("a plan").queues.clone();
    assert_eq!(queues, [0, 1, 2]);
    assert!(
        plan.queues
            .iter()
            .all(|queue| queue.classes.contains(&Class::Other))
    );
    let told = |plan: &Plan| plan.fallbacks.iter().any(is_distributed);
    assert!(told(&plan));
    while !plan.rules.is_empty() {
        plan.refuse(0);
    }
    assert!(!told(&plan), "{:?}", plan.fallbacks);
}

#[test]
fn a_driver_that_nobody_knows_has_a_plan() {
    let plan = plan(Driver::of_port("net_example"), 2, Some(8));
    assert_eq!((plan.queues.len(), plan.rules.len()), (2, 0));
    assert_eq!(plan.replies(Class::Ipv4Tcp), Some(Replies::Unforeseen));
}
