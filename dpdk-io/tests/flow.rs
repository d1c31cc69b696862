//! Flow rules on devices without a NIC: net_null has none, and net_failsafe without a device
//! behind it takes and keeps every rule.

mod rig;

use dpdk_io::{Eal, Errno, Fault, FlowError, Mempool, Port, PortConfig};
use flow_rules::FlowRule;

fn rule(text: &str) -> FlowRule {
    text.parse().unwrap()
}

#[test]
fn rules_live_as_long_as_their_handles_and_their_port() {
    let eal = rig::eal(&["net_null0", "net_null1", "net_failsafe0,exec(/bin/true)"]);
    let pool = rig::pool(&eal);
    let mut null = rig::open(&eal, "net_null0", 1, &pool);
    a_driver_without_rules_is_told_from_a_bad_rule(&mut null);

    let config = PortConfig {
        rx_queues: 2,
        tx_queues: 2,
        isolated: true,
        ..PortConfig::default()
    };
    let other = a_port_that_cannot_be_isolated_is_open_and_says_so(&eal, &config, &pool);
    let mut port = Port::open(&eal, "net_failsafe0", &config, &pool).unwrap();
    isolation_is_told_and_ends(&mut port);
    handles_own_their_rules(&port);
    rules_end_with_the_run_of_the_port(&mut port);

    let web = rule("ingress pattern eth / ipv4 / tcp / end actions queue index 0 / end");
    let left = port.install_rule(&web).unwrap();
    assert!(left.is_live());
    rig::finish(eal, vec![null, other, port], pool);
    assert!(!left.is_live(), "the port is closed");
}

fn a_port_that_cannot_be_isolated_is_open_and_says_so(
    eal: &Eal,
    config: &PortConfig,
    pool: &Mempool,
) -> Port {
    let mut port = Port::open(eal, "net_null1", config, pool).unwrap();
    assert!(!port.config().isolated);
    let faults: Vec<_> = port.steering_faults().map(ToString::to_string).collect();
    assert_eq!(
        faults,
        [
            "port `net_null1` is not isolated and receives also what no flow rule brings to it: \
             rte_flow_isolate: port `net_null1` refuses this, and does not say what of it: \
             Function not implemented (error 38). Its driver has no flow rules: steer in software"
        ]
    );
    drop(port.start().unwrap());
    assert_eq!(port.steering_faults().count(), 1, "the start adds none");
    port
}

fn isolation_is_told_and_ends(port: &mut Port) {
    assert!(port.config().isolated);
    assert_eq!(port.steering_faults().next(), None);
    port.isolate(false).unwrap();
    assert!(!port.config().isolated);
    port.isolate(true).unwrap();
    assert!(port.config().isolated);
}

fn a_driver_without_rules_is_told_from_a_bad_rule(port: &mut Port) {
    let web = rule("ingress pattern eth / ipv4 / tcp / end actions queue index 0 / end");
    let error = port.validate_rule(&web).unwrap_err();
    assert_eq!(
        error.to_string(),
        "rte_flow_validate: port `net_null0` refuses this, and does not say what of it: Function \
         not implemented (error 38). Its driver has no flow rules: steer in software"
    );
    let error = port.install_rule(&web).unwrap_err();
    assert!(
        matches!(
            &error,
            FlowError::Refused {
                call: "rte_flow_create",
                errno: Errno::ENOSYS,
                ..
            }
        ),
        "{error:?}"
    );
    assert!(matches!(
        port.isolate(true),
        Err(FlowError::Refused {
            errno: Errno::ENOSYS,
            ..
        })
    ));
    assert!(port.flush_rules().is_err());

    let old = rule("ingress pattern vf id is 1 / eth / end actions drop / end");
    let error = port.validate_rule(&old).unwrap_err();
    assert_eq!(
        error.to_string(),
        "item 0, `vf id is 1` cannot be given to a device: DPDK 22.11 and later do not have it: \
         use represented_port"
    );
    let copy = rule("ingress pattern eth / end actions dup index 1 / drop / end");
    let error = port.install_rule(&copy).unwrap_err();
    let FlowError::NotInDpdk { fault, .. } = error else {
        panic!("{error}");
    };
    assert!(matches!(*fault, Fault::Action { index: 0, .. }), "{fault}");
}

fn handles_own_their_rules(port: &Port) {
    let counted = rule(
        "ingress pattern eth / ipv4 dst spec 192.0.2.0 dst prefix 24 / udp / raw relative is 1 \
         search is 0 offset is 0 limit is 0 pattern_hex is 0102 / end actions count identifier 3 / \
         rss types ipv4-udp end key 6d5a key_len 2 queues 0 1 end / end",
    );
    port.validate_rule(&counted).unwrap();
    let first = port.install_rule(&counted).unwrap();
    let second = port.install_rule(&counted).unwrap();
    assert_eq!(first.rule(), &counted);
    first.remove().unwrap();
    assert!(second.is_live());

    // The driver passes the question on to the device behind it, and there is none.
    let error = second.count(true).unwrap_err();
    assert!(
        matches!(
            &error,
            FlowError::Refused {
                call: "rte_flow_query",
                ..
            }
        ),
        "{error:?}"
    );
    drop(second);

    let plain = rule("priority 1 ingress pattern eth / end actions drop / end");
    let plain = port.install_rule(&plain).unwrap();
    let error = plain.count(false).unwrap_err();
    assert_eq!(
        error.to_string(),
        "rule `priority 1 ingress pattern eth / end actions drop / end` has no counter to ask: add \
         the action count"
    );
    port.flush_rules().unwrap();
    assert!(!plain.is_live());
    let error = plain.remove().unwrap_err();
    assert!(
        error
            .to_string()
            .contains("is gone from port `net_failsafe0`"),
        "{error}"
    );
}

fn rules_end_with_the_run_of_the_port(port: &mut Port) {
    let queues = port.start().unwrap();
    let web = rule("ingress pattern eth / ipv6 / tcp / end actions queue index 1 / end");
    let installed = port.install_rule(&web).unwrap();
    drop(queues);
    assert!(installed.is_live());
    port.stop().unwrap();
    assert!(!installed.is_live());
    assert!(matches!(
        installed.count(false),
        Err(FlowError::NoCounter(_))
    ));
    assert!(matches!(installed.remove(), Err(FlowError::Gone { .. })));
}
