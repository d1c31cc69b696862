//! `[tcp]`, engines, and the packets that connections may hold.

use netstack::tcp::Algorithm;

use super::*;

/// [`MINIMAL`] with a native group.
fn native_with(keys: &str) -> String {
    minimal_with(
        "name = \"nginx\"",
        &format!("name = \"nginx\"\nengine = \"native\"\n{keys}"),
    )
}

#[test]
fn each_listener_and_group_has_an_engine() {
    let text = native_with(
        "congestion = \"newreno\"\npacing = true\necn = true\nsack = false\ntimestamps = false",
    );
    let text = text.replace(
        "[\"192.0.2.1:80\"]",
        "[\"192.0.2.1:80\"]\nengine = \"smoltcp\"",
    );
    let (config, warnings) = valid(&text);
    assert_eq!(warnings, []);
    assert_eq!(config.listeners[0].engine.engine, EngineKind::Smoltcp);
    let expected = EngineConfig {
        engine: EngineKind::Native,
        congestion: Algorithm::NewReno,
        pacing: true,
        ecn: true,
        sack: false,
        timestamps: false,
    };
    assert_eq!(config.backend_groups[0].engine, expected);
    let (config, _) = valid(&native_with(""));
    let plain = config.backend_groups[0].engine;
    assert!(plain.sack && plain.timestamps && !plain.ecn);
    let (config, _) = valid(&text);
    assert!(config.uses(EngineKind::Native) && config.uses(EngineKind::Smoltcp));
    // Only the listener's connections have rings.
    assert_eq!(config.ring_memory(), 10_000 * 2 * (64 << 10));
}

#[test]
fn engines_and_algorithms_are_answered_with_the_one_meant() {
    let with = |key: &str| format!("name = \"nginx\"\n{key}");
    let cases = [
        ("engine = \"natve\"", "did you mean `native`?"),
        ("engine = \"linux\"", "native, smoltcp"),
        ("congestion = \"cubik\"", "did you mean `cubic`?"),
        ("pacing = 1", "expected true or false"),
        ("ecn = \"on\"", "expected true or false"),
        ("sack = 0", "expected true or false"),
        ("timestamps = \"no\"", "expected true or false"),
    ];
    for (key, part) in cases {
        let name = key.split(' ').next().unwrap_or_default();
        let subject = format!("`{name}` in [[backend_group]]");
        fault_with("name = \"nginx\"", &with(key), 15, &[&subject, part]);
        let listener = format!("name = \"web\"\n{key}");
        let subject = format!("`{name}` in [[listener]]");
        fault_with("name = \"web\"", &listener, 11, &[&subject, part]);
    }
}

#[test]
fn what_the_engine_ignores_is_worth_a_warning() {
    let keys = "engine = \"smoltcp\"\ncongestion = \"bbr\"\npacing = true\necn = false\nsack = true\n\
                timestamps = true";
    let (_, warnings) = valid(&minimal_with(
        "name = \"nginx\"",
        &format!("name = \"nginx\"\n{keys}"),
    ));
    let reports: Vec<_> = warnings.iter().map(ToString::to_string).collect();
    assert_eq!(reports.len(), 5, "{reports:?}");
    for (report, part) in reports.iter().zip(["16:", "17:", "18:", "19:", "20:"]) {
        assert!(report.contains("write `engine = \"native\"`"), "{report}");
        assert!(report.contains(part), "{report}");
    }
    let (config, warnings) = valid(&native_with("congestion = \"bbr\"\npacing = false"));
    assert!(config.backend_groups[0].engine.paces());
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].to_string().contains("BBR paces"));
}

#[test]
fn windows_and_timeouts_have_bounds() {
    let tcp = |line: &str| format!("[tcp]\n{line}");
    let cases = [
        ("receive_max = \"2GiB\"", "from 4KiB to 1GiB"),
        ("send_max = \"1KiB\"", "from 4KiB to 1GiB"),
        ("first_window = \"17MiB\"", "from 2KiB to 16MiB"),
        ("rto_floor = \"1ms\"", "from 5ms to 1s"),
        ("rto_floor = \"off\"", "is not a duration"),
        ("keepalive_interval = \"0s\"", "a duration above zero"),
        ("keepalive_probes = 0", "from 1 to 100"),
        ("keepalive_probs = 2", "did you mean `keepalive_probes`"),
    ];
    for (line, part) in cases {
        fault_added(&tcp(line), 18, &[part]);
    }
    // The first window does not pass the largest, given or not.
    fault_added(
        &tcp("receive_max = \"32KiB\"\nfirst_window = \"64KiB\""),
        19,
        &["from 2KiB to 32KiB"],
    );
    let (config, _) = valid(&format!("{MINIMAL}{}", tcp("receive_max = \"32KiB\"")));
    assert_eq!(config.tcp.first_window, 32 << 10);
}

/// The pool of a worker with one port, beside its connections.
const OTHERS: u32 = 2 * 192 + 1024 + 4096 + 512 + 512 + 192;

#[test]
fn connections_have_their_part_of_the_pool() {
    let budget = |text: &str| valid(text).0.packet_budget();
    let of_smoltcp = MINIMAL
        .replace("name = \"web\"", "name = \"web\"\nengine = \"smoltcp\"")
        .replace("name = \"nginx\"", "name = \"nginx\"\nengine = \"smoltcp\"");
    assert_eq!(budget(&of_smoltcp).connections, 0);
    let native = native_with("");
    let given = budget(&format!("{native}[buffers]\nconnection_packets = 5000\n"));
    assert_eq!((given.connections, given.buffers), (5000, OTHERS + 5000));
    // Computed from the pool, or from the memory.
    let pool = budget(&format!("{native}[buffers]\npackets = 20000\n"));
    assert_eq!((pool.connections, pool.buffers), (20_000 - OTHERS, 20_000));
    let memory = budget(&native);
    assert_eq!(memory.connections, 32_768);
    let memory = native.replacen("vdevs", "memory = \"128MiB\"\nvdevs", 1);
    let memory = budget(&memory);
    assert!((4096..32_768).contains(&memory.connections), "{memory:?}");
    assert!(memory.memory_mib(memory.buffers) <= 96);
}

#[test]
fn connections_that_do_not_fit_the_pool_are_refused() {
    let native = native_with("");
    let with = |lines: &str| format!("{native}[buffers]\n{lines}\n");
    let least = OTHERS + 10_000;
    one_fault(
        &with("packets = 10000\nconnection_packets = 10000"),
        21,
        &[
            "`connection_packets` in [buffers]: 10000 packet buffers for connections do not fit",
            &format!("workers and their queues hold up to {OTHERS}"),
            &format!("write {} or less", 10_000 - OTHERS),
            &format!("`packets = {least}` or more"),
        ],
    );
    one_fault(&with("packets = 5000"), 20, &["`packets` in [buffers]"]);
    one_fault(&with("connection_packets = 255"), 20, &["from 256 to"]);
    one_fault(
        &with("connection_packets = 200000"),
        2,
        &[
            "256MiB is too little",
            "fewer `packets` or `connection_packets`",
        ],
    );
}
