//! How packets come to the workers: `[steering]`, and the lcores that only receive.

use flow_rules::plan::Class;

use super::*;
use crate::packet_budget::QueueCounts;

fn with(lines: &str) -> String {
    format!("{MINIMAL}{lines}\n")
}

/// The reports of all warnings.
fn warnings(lines: &str) -> Vec<String> {
    let (_, warnings) = valid(&with(lines));
    warnings.iter().map(ToString::to_string).collect()
}

#[test]
fn values_reach_their_fields() {
    let lines = "[steering]\nclasses = [\"ipv6-vxlan\", \"other\", \"ipv4-udp\"]\nisolate = true\n\
                 drop_foreign = true\nsymmetric = true\nvxlan_port = 8472\nhandover = 64\nflows = 5000\n\
                 [runtime]\nlcores = [0, 1]\nrx_lcores = [2]\npairing = \"all\"";
    let (config, warnings) = valid(&with(lines));
    assert_eq!(warnings, []);
    let expected = SteeringConfig {
        rules: true,
        classes: vec![Class::Ipv6Vxlan, Class::Other, Class::Ipv4Udp],
        isolate: true,
        drop_foreign: true,
        symmetric: true,
        vxlan_port: 8472,
        handover: 64,
        flows: Some(5_000),
    };
    assert_eq!(config.steering, expected);
    assert_eq!(config.steering.flow_capacity(10), 5_000);
    assert_eq!(config.runtime.rx_lcores, [2]);
    assert_eq!(config.runtime.pairing, Pairing::All);
    assert_eq!(
        (config.runtime.receivers(), config.runtime.threads()),
        (1, 3)
    );
    let (config, _) = valid(&with("[steering]\nclasses = []\nrules = false"));
    assert_eq!(
        (config.steering.classes, config.steering.rules),
        (vec![], false)
    );
}

#[test]
fn flows_are_computed_from_sessions() {
    let steering = SteeringConfig::default();
    for (sessions, flows) in [(1, 4_096), (2_049, 8_192), (10_000, 32_768)] {
        assert_eq!(steering.flow_capacity(sessions), flows);
    }
}

#[test]
fn wrong_values_are_answered() {
    let cases: [(&str, &[&str]); 8] = [
        (
            "classes = [\"ipv4-tpc\"]",
            &[
                "`classes` in [steering]",
                "did you mean `ipv4-tcp`?",
                "ipv6-vxlan, other",
            ],
        ),
        (
            "classes = [\"ipv4-tcp\", \"ipv6-tcp\", \"ipv4-tcp\"]",
            &[
                "`ipv4-tcp` was used before, in line 18",
                "remove one of the two",
            ],
        ),
        (
            "classes = \"ipv4-tcp\"",
            &["expected a list", "classes = [\"ipv4-tcp\""],
        ),
        (
            "vxlan_port = 0",
            &["`vxlan_port` in [steering]", "from 1 to 65535"],
        ),
        ("handover = 100", &["100 is not a power of two", "try 128"]),
        (
            "handover = 131072",
            &["`handover` in [steering]", "from 64 to 65536"],
        ),
        (
            "flows = 16777217",
            &["`flows` in [steering]", "from 0 to 16777216"],
        ),
        ("rule = true", &["unknown key", "did you mean `rules`?"]),
    ];
    for (line, parts) in cases {
        fault_added(&format!("[steering]\n{line}"), 18, parts);
    }
}

#[test]
fn keys_without_effect_are_warned_of() {
    let lines = "[steering]\nrules = false\nclasses = [\"ipv4-tcp\"]\nisolate = true\n\
                 drop_foreign = true\nvxlan_port = 1";
    let reports = warnings(lines);
    assert_eq!(reports.len(), 4, "{reports:?}");
    let keys = ["classes", "isolate", "drop_foreign", "vxlan_port"];
    for ((line, key), report) in (19..).zip(keys).zip(&reports) {
        let start = format!("w.toml:{line}:");
        assert!(report.starts_with(&start), "{report}");
        let part = format!("`{key}` in [steering]: has no effect when `rules` is false");
        assert!(report.contains(&part), "{report}");
    }
    assert_eq!(
        warnings("[steering]\nrules = false\nisolate = false").len(),
        0
    );
    let [report] = &warnings("[steering]\nvxlan_port = 8472")[..] else {
        panic!("one warning");
    };
    assert!(
        report.contains("no VXLAN class is in `classes`"),
        "{report}"
    );
    let [report] = &warnings("[runtime]\npairing = \"all\"")[..] else {
        panic!("one warning");
    };
    assert!(
        report.contains("has no effect without `rx_lcores`"),
        "{report}"
    );
}

#[test]
fn a_receiver_should_have_its_cpu_to_itself() {
    let lines = |rx_lcores: &str| format!("[runtime]\nlcores = [0, 1]\nrx_lcores = {rx_lcores}");
    assert_eq!(warnings(&lines("[2, 3]")).len(), 0);
    let reports = warnings(&lines("[2, 1, 2]"));
    assert_eq!(reports.len(), 2, "{reports:?}");
    for (report, parts) in reports.iter().zip([
        [
            "w.toml:19:17: warning: `rx_lcores` in [runtime]",
            "lcore 1",
            "with a worker",
        ],
        [
            "w.toml:19:20: warning:",
            "lcore 2",
            "with another that receives",
        ],
    ]) {
        for part in parts {
            assert!(report.contains(part), "{part:?} is missing: {report}");
        }
    }
    fault_added(&lines("[1024]"), 19, &["choose a value from 0 to 1023"]);
    let many: Vec<_> = (0..127).map(|lcore| lcore.to_string()).collect();
    fault_added(
        &lines(&format!("[{}]", many.join(", "))),
        19,
        &[
            "129 workers and receivers are more than the 128",
            "list at most 128",
        ],
    );
}

/// The device's name says what it can have; otherwise there may be a queue for each class and
/// receiver, and one for "other".
#[test]
fn packets_of_all_queues_that_may_be_planned_are_counted() {
    let queues = |device: &str, lines: &str| {
        let text = MINIMAL.replace("net_ring0", device);
        let (config, _) = valid(&format!("{text}[runtime]\nlcores = [0, 1, 2]\n{lines}\n"));
        config.most_queues()
    };
    let pair = |rx, tx| [QueueCounts { rx, tx }];
    let none = "";
    assert_eq!(queues("net_ring0", none), pair(3, 3));
    assert_eq!(queues("net_af_packet3", none), pair(3, 3));
    // Two classes, of four queues each for three workers.
    assert_eq!(queues("net_tap0", none), pair(9, 3));
    assert_eq!(queues("mystery", none), pair(9, 3));
    assert_eq!(queues("mystery", "rx_lcores = [3]"), pair(3, 3));
    assert_eq!(queues("mystery", "[steering]\nrules = false"), pair(3, 3));
    assert_eq!(queues("mystery", "[steering]\nclasses = []"), pair(5, 3));
    // TCP comes without rules, as one more.
    let udp = "[steering]\nclasses = [\"ipv4-udp\", \"other\"]";
    assert_eq!(queues("mystery", udp), pair(9, 3));
    let text = MINIMAL
        .replace("net_ring0", "mystery")
        .replace(", \"2001:db8::1/64\"", "");
    let (config, _) = valid(&text);
    assert_eq!(config.most_queues(), pair(2, 1));
    let budget = config.packet_budget_for(&config.most_queues());
    assert_eq!(budget.buffers, config.packet_budget().buffers + 512 + 96);
    // What is checked is the most.
    let packets = config.packet_budget().buffers;
    let line = format!("{text}[buffers]\npackets = {packets}\n");
    one_fault(&line, 18, &[&format!("write {} or more", budget.buffers)]);
}
