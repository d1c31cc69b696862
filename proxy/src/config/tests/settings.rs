//! Workers, durations, sizes, words and limits.

use super::*;

#[test]
fn durations_have_units_and_sense() {
    let cases = [
        ("idle = \"5 m\"", "the unit is not known", "or \"off\""),
        ("connect = \"5\"", "the unit is missing", "such as \"10s\""),
        (
            "connect = \"off\"",
            "`off` is not a duration",
            "such as \"10s\"",
        ),
        (
            "connect = \"0s\"",
            "zero is not possible",
            "write a duration above zero",
        ),
        ("idle = \"0s\"", "zero is not possible", "write \"off\""),
        ("time_wait = \"0ms\"", "zero is not possible", "above zero"),
        (
            "drain = \"366d\"",
            "366d is not between 0s and 365d",
            "choose a value",
        ),
    ];
    for (line, statement, help) in cases {
        fault_added(&format!("[timeouts]\n{line}"), 18, &[statement, help]);
    }
    fault_added(
        "[runtime]\nidle_sleep = \"1s\"",
        18,
        &["1s is not between 1us and 100ms"],
    );
}

#[test]
fn sizes_have_units_and_bounds() {
    fault_added(
        "[buffers]\nclient_send = \"64k\"",
        18,
        &["unit is not known", "\"64KiB\""],
    );
    for size in ["2047B", "17MiB"] {
        for ring in [
            "client_receive",
            "client_send",
            "backend_receive",
            "backend_send",
        ] {
            let lines = format!("[buffers]\n{ring} = \"{size}\"");
            fault_added(&lines, 18, &[ring, "from 2KiB to 16MiB"]);
        }
    }
    fault_with(
        "vdevs",
        "memory = \"1MiB\"\nvdevs",
        3,
        &["from 16MiB to 4TiB"],
    );
    fault_with(
        "vdevs",
        "memory = \"20000KiB\"\nvdevs",
        3,
        &["round it up: \"20MiB\""],
    );
}

#[test]
fn words_are_answered_with_the_one_meant() {
    fault_added(
        "[log]\nlevel = \"warning\"",
        18,
        &["off, error, warn, info, debug, trace"],
    );
    fault_added("[log]\nformat = \"jsn\"", 18, &["did you mean `json`?"]);
    fault_added("[runtime]\nidle = \"bussy\"", 18, &["did you mean `busy`?"]);
    fault_with(
        "name = \"nginx\"",
        "name = \"nginx\"\nbalance = \"roundrobin\"",
        15,
        &["did you mean `round_robin`?"],
    );
}

#[test]
fn workers_share_lcores_with_a_warning() {
    let warned = |lcores: &str| {
        let (config, warnings) = valid(&format!("{MINIMAL}[runtime]\nlcores = {lcores}\n"));
        let reports: Vec<_> = warnings.iter().map(ToString::to_string).collect();
        (config.workers(), reports)
    };
    assert_eq!(warned("[1, 0, 3]"), (3, vec![]));
    let (workers, reports) = warned("[0, 1, 0, 1, 0]");
    assert_eq!(workers, 5);
    assert_eq!(reports.len(), 2, "one for each CPU: {reports:?}");
    for (report, parts) in reports.iter().zip([
        [
            "w.toml:18:17: warning: `lcores` in [runtime]",
            "3 workers share lcore 0",
        ],
        [
            "w.toml:18:20: warning: `lcores` in [runtime]",
            "2 workers share lcore 1",
        ],
    ]) {
        for part in parts.iter().chain(&["list as many CPUs"]) {
            assert!(report.contains(part), "{part:?} is missing: {report}");
        }
    }
}

#[test]
fn workers_need_lcores() {
    fault_added(
        "[runtime]\nlcores = []",
        18,
        &["the list is empty", "lcores = [0, 1]"],
    );
    fault_added(
        "[runtime]\nlcores = [1024]",
        18,
        &["choose a value from 0 to 1023"],
    );
    fault_added(
        "[runtime]\nlcores = [-1]",
        18,
        &["-1 is not between 0 and 1023"],
    );
    let many = (0..129)
        .map(|lcore| lcore.to_string())
        .collect::<Vec<_>>()
        .join(", ");
    fault_added(
        &format!("[runtime]\nlcores = [{many}]"),
        18,
        &["129 workers are more than the 128", "list at most 128"],
    );
}

#[test]
fn limits_leave_every_worker_a_share() {
    let with_workers = |line: &str| format!("[runtime]\nlcores = [0, 1, 2]\n[limits]\n{line}");
    let parts = [
        "2 is fewer than the 3 workers",
        "write 3 or more, or list fewer lcores",
    ];
    for key in ["max_sessions", "syn_backlog", "time_wait", "neighbors"] {
        fault_added(&with_workers(&format!("{key} = 2")), 20, &parts);
    }
    fault_added(
        "[limits]\nmax_sessions = 0",
        18,
        &["choose a value from 1 to"],
    );
    let parts = ["47 ports are too few for 3 workers", "at least 48 ports"];
    fault_added(&with_workers("source_ports = \"1000-1046\""), 20, &parts);
    valid(&format!(
        "{MINIMAL}{}",
        with_workers("source_ports = \"1000-1047\"")
    ));
    let text = format!(
        "{}[runtime]\nlcores = [0, 1]\n",
        minimal_with(
            "198.51.100.10:8080\"",
            "198.51.100.10:8080\"\nmax_connections = 1"
        )
    );
    one_fault(
        &text,
        17,
        &[
            "1 is fewer than the 2 workers",
            "2 or more, or 0 for no limit",
        ],
    );
}

/// One worker with one port: two threads with caches, what the worker holds, and its queue pair.
const PACKETS_OF_MINIMAL: u32 = 2 * 192 + 1024 + 4096 + 512 + 512 + 192;

#[test]
fn there_are_packets_for_every_queue_and_worker() {
    let least = PACKETS_OF_MINIMAL;
    let with = |packets: u32| format!("[buffers]\npackets = {packets}");
    let (config, _) = valid(&format!("{MINIMAL}{}\n", with(least)));
    assert_eq!(config.buffers.packets, Some(least));
    valid(&format!("{MINIMAL}{}\n", with(0)));
    let parts = [
        &format!(
            "`packets` in [buffers]: {} packet buffers are too few",
            least - 1
        ),
        &format!("write {least} or more, or 0"),
        "18:11",
    ];
    fault_added(&with(least - 1), 18, &parts.map(|part| part as &str));
    // More workers need more.
    fault_added(
        &format!("{}\n[runtime]\nlcores = [0, 1]", with(least)),
        18,
        &["2 workers and their queues hold up to 13248"],
    );
}

#[test]
fn the_memory_holds_the_packets() {
    let with = |memory: &str| format!("memory = \"{memory}\"\nvdevs");
    valid(&minimal_with("vdevs", &with("36MiB")));
    fault_with(
        "vdevs",
        &with("35MiB"),
        3,
        &[
            "3:10: error: `memory` in [dpdk]: 35MiB is too little",
            &format!("{PACKETS_OF_MINIMAL} packet buffers need 36MiB"),
            "write `memory = \"36MiB\"` or more",
        ],
    );
    // The default may be too little: then the table is at fault.
    fault_added(
        "[buffers]\npackets = 1000000",
        2,
        &["256MiB is too little: 1000000 packet buffers need 2969MiB"],
    );
}

/// Each is judged as if the other were right, and neither in a file with other faults.
#[test]
fn packets_and_memory_are_judged_together() {
    let text = minimal_with("vdevs", "memory = \"16MiB\"\nvdevs");
    let errors = parse(&format!("{text}[buffers]\npackets = 1\n")).unwrap_err();
    let report = errors.to_string();
    assert_eq!(errors.len(), 2, "{report}");
    let needed = format!("{PACKETS_OF_MINIMAL} packet buffers need 36MiB");
    assert!(report.contains(&needed), "{report}");
    fault_added("[buffers]\npackets = 1\nshoes = 2", 19, &["unknown key"]);
}

#[test]
fn port_ranges_go_upwards() {
    let range = |range: &str| format!("[limits]\nsource_ports = \"{range}\"");
    fault_added(
        &range("60999-32768"),
        18,
        &["ends (32768) before", "\"32768-60999\""],
    );
    for text in [
        "32768",
        "1024-65536",
        "1024..2048",
        "+1024-2048",
        "-",
        "a-b",
    ] {
        fault_added(
            &range(text),
            18,
            &["not a range of ports", "\"32768-60999\""],
        );
    }
    fault_added(&range("0-1024"), 18, &["TCP port 0", "from 1 to 65535"]);
}
