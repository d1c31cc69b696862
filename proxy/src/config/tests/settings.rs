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
