//! One test for each rule, through the text of a file and the text of the error.
//!
//! Here: files as a whole, keys and types; below: the rules of single values and of what parts of
//! a file say about each other.

mod health;
mod listener;
mod settings;
mod steering;
mod tcp;
mod topology;

use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;

const EXAMPLE: &str = include_str!("../../examples/weirgate.toml");

/// The smallest useful configuration; line numbers below count from `\n[dpdk]` being line 2.
const MINIMAL: &str = r#"
[dpdk]
vdevs = ["net_ring0"]
[[port]]
name = "edge"
device = "net_ring0"
addresses = ["192.0.2.1/24", "2001:db8::1/64"]
routes = [{ to = "198.51.100.0/24", via = "192.0.2.254" }]
[[listener]]
name = "web"
addresses = ["192.0.2.1:80"]
backend_group = "nginx"
[[backend_group]]
name = "nginx"
[[backend_group.backend]]
address = "198.51.100.10:8080"
"#;

fn parse(text: &str) -> Result<(Config, Vec<ConfigWarning>), ConfigErrors> {
    Config::parse(text, Path::new("w.toml"))
}

fn valid(text: &str) -> (Config, Vec<ConfigWarning>) {
    parse(text).unwrap_or_else(|errors| panic!("{errors}"))
}

/// [`MINIMAL`] with one text replaced by another.
fn minimal_with(old: &str, new: &str) -> String {
    assert!(
        MINIMAL.contains(old),
        "{old:?} is not in the minimal configuration"
    );
    MINIMAL.replacen(old, new, 1)
}

/// Asserts that the text has exactly one fault, at `line`, whose report contains all `parts`.
#[track_caller]
fn one_fault(text: &str, line: usize, parts: &[&str]) {
    let errors = parse(text).expect_err("the configuration has a fault");
    assert_eq!(errors.len(), 1, "{errors}");
    let report = errors.to_string();
    assert!(
        report.starts_with(&format!("w.toml:{line}:")),
        "not line {line}: {report}"
    );
    for part in parts {
        assert!(report.contains(part), "{part:?} is missing: {report}");
    }
}

/// The same with one text of [`MINIMAL`] replaced.
#[track_caller]
fn fault_with(old: &str, new: &str, line: usize, parts: &[&str]) {
    one_fault(&minimal_with(old, new), line, parts);
}

/// The same with lines added to [`MINIMAL`]; the first of them is line 17.
#[track_caller]
fn fault_added(lines: &str, line: usize, parts: &[&str]) {
    one_fault(&format!("{MINIMAL}{lines}\n"), line, parts);
}

#[test]
fn the_example_is_valid_and_shows_the_defaults() {
    let (config, warnings) = valid(EXAMPLE);
    assert_eq!(warnings.len(), 1, "only the seed: {warnings:?}");
    assert!(matches!(warnings[0].caution, fault::Caution::FixedSeed));
    assert_eq!(config.workers(), 2);
    assert_eq!(config.runtime.idle, IdlePolicy::default());
    assert_eq!(config.runtime.seed, Some(42));
    assert!(config.runtime.rx_lcores.is_empty());
    assert_eq!(config.runtime.pairing, Pairing::default());
    assert_eq!(config.dpdk.memory, DpdkConfig::default().memory);
    assert_eq!(config.timeouts, TimeoutConfig::default());
    assert_eq!(config.tcp, TcpConfig::default());
    assert_eq!(config.buffers, BufferConfig::default());
    assert_eq!(config.limits, LimitConfig::default());
    assert_eq!(config.steering, SteeringConfig::default());
    assert_eq!(config.log, LogConfig::default());
    assert_eq!(config.ports[0].mtu, PortConfig::DEFAULT_MTU);
    assert_eq!(config.ports[0].mac, Some(MacAddr([2, 0, 0, 0, 0, 1])));
    assert_eq!(
        config.ports[0].rx_descriptors,
        PortConfig::DEFAULT_DESCRIPTORS
    );
    assert_eq!(config.ports[1].device, "0000:03:00.0");
    let group = config.backend_group(config.listeners[0].backend_group);
    assert_eq!(group.engine.engine, EngineKind::Native);
    let health = group.health.as_ref().unwrap();
    let tcp_check = health::checked("check = \"tcp\"").unwrap();
    let same = HealthConfig {
        check: Check::Tcp,
        port: None,
        ..health.clone()
    };
    assert_eq!(same, tcp_check);
    assert_eq!(group.ejection, health::ejecting(""));
    assert_eq!(group.backends[0].name, "n1");
    assert_eq!(group.backends[1].name, "203.0.113.11:8080");
    assert_eq!(group.backends[1].weight, 2);
}

/// Every key that the code asks for is in the example: an unknown key is answered with the list
/// of known ones.
#[test]
fn the_example_shows_every_key() {
    let document = DeTable::parse(EXAMPLE).unwrap();
    let mut text = EXAMPLE.to_owned();
    for header in [
        "[runtime]",
        "[dpdk]",
        "[timeouts]",
        "[tcp]",
        "[buffers]",
        "[limits]",
        "[steering]",
        "[log]",
        "[[listener]]",
    ] {
        text = text.replacen(header, &format!("{header}\nx = 0"), 1);
    }
    for header in [
        "[[port]]",
        "[[listener.route]]",
        "[[backend_group]]",
        "[backend_group.health]",
        "[backend_group.ejection]",
        "[[backend_group.backend]]",
    ] {
        text = text.replacen(header, &format!("{header}\nx = 0"), 1);
    }
    text = text.replacen("{ to", "{ x = 0, to", 1);
    text.insert_str(0, "x = 0\n");
    let errors = parse(&text).unwrap_err();
    assert_eq!(errors.len(), 17, "one for each table: {errors}");
    let shown = keys_of(document.get_ref());
    for error in errors.iter() {
        let Fault::UnknownKey { known, .. } = &error.fault else {
            panic!("{error}");
        };
        for key in known {
            assert!(
                shown.contains(&(*key).to_owned()),
                "`{key}` is not in the example"
            );
        }
    }
}

fn keys_of(table: &DeTable<'_>) -> Vec<String> {
    fn collect(value: &toml::de::DeValue<'_>, keys: &mut Vec<String>) {
        if let Some(table) = value.as_table() {
            keys.extend(keys_of(table));
        }
        for element in value.as_array().into_iter().flatten() {
            collect(element.get_ref(), keys);
        }
    }
    let mut keys = Vec::new();
    for (key, value) in table {
        keys.push(key.get_ref().to_string());
        collect(value.get_ref(), &mut keys);
    }
    keys
}

#[test]
fn everything_else_has_a_default() {
    let (config, warnings) = valid(MINIMAL);
    assert_eq!(warnings, []);
    assert_eq!(config.runtime, RuntimeConfig::default());
    assert_eq!(config.timeouts, TimeoutConfig::default());
    assert_eq!(config.tcp, TcpConfig::default());
    assert_eq!(config.listeners[0].engine, EngineConfig::default());
    assert_eq!(config.backend_groups[0].engine, EngineConfig::default());
    assert_eq!(config.buffers, BufferConfig::default());
    assert_eq!(config.limits, LimitConfig::default());
    assert_eq!(config.steering, SteeringConfig::default());
    assert_eq!(config.log, LogConfig::default());
    let group = &config.backend_groups[0];
    assert_eq!((group.balance, group.tries), (Balance::RoundRobin, 3));
    assert_eq!((&group.health, &group.ejection), (&None, &None));
    assert_eq!(group.slow_start, None);
    assert_eq!(group.backends[0].max_connections, None);
    assert_eq!(group.backends[0].weight, 1);
}

#[test]
fn values_reach_their_fields() {
    let text = format!(
        "{}\n{}",
        minimal_with(
            "[[backend_group.backend]]",
            "balance = \"source_hash\"\ntries = 1\n[[backend_group.backend]]\nmax_connections = 20000"
        ),
        r#"
[runtime]
lcores = [3, 1]
idle = "busy"
[timeouts]
idle = "off"
user = "90s"
drain = "0s"
[buffers]
client_receive = "2KiB"
backend_send = "16MiB"
packets = 20000
[limits]
max_sessions = 2
source_ports = "1024-1055"
[log]
format = "json"
level = "off"
connections = false
"#
    );
    let (config, warnings) = valid(&text);
    assert_eq!(warnings, []);
    assert_eq!(config.runtime.lcores, [3, 1]);
    assert_eq!(config.runtime.idle, IdlePolicy::Busy);
    assert_eq!(config.timeouts.idle, None);
    assert_eq!(config.timeouts.user, Some(Duration::from_secs(90)));
    assert_eq!(config.timeouts.drain, Duration::ZERO);
    assert_eq!(config.buffers.client_receive, 2 << 10);
    assert_eq!(config.buffers.backend_send, 16 << 20);
    assert_eq!(config.buffers.packets, Some(20_000));
    assert_eq!(config.limits.source_ports.count(), 32);
    assert_eq!(
        config.ring_memory(),
        2 * ((2 << 10) + (16 << 20) + 2 * (64 << 10))
    );
    assert_eq!(config.log.format, LogFormat::Json);
    assert_eq!(config.log.level, LevelFilter::OFF);
    assert!(!config.log.connections);
    assert_eq!(config.backend_groups[0].balance, Balance::SourceHash);
    assert_eq!(
        config.backend_groups[0].backends[0].max_connections,
        Some(20_000)
    );
}

#[test]
fn all_faults_are_found_at_once_and_in_order() {
    let text = format!(
        "{}[limits]\nmax_session = 1\n[timeouts]\nidle = \"5\"\nconnect = 5\n",
        minimal_with("backend_group = \"nginx\"", "backend_group = \"nginy\"")
    );
    let errors = parse(&text).unwrap_err();
    let lines: Vec<_> = errors
        .iter()
        .map(|error| error.location.as_ref().unwrap().line)
        .collect();
    assert_eq!(lines, [12, 18, 20, 21], "{errors}");
}

#[test]
fn syntax_errors_are_shown_and_nothing_else() {
    fault_with(
        "name = \"edge\"",
        "name = ",
        5,
        &["= help: the file is TOML"],
    );
    fault_with(
        "name = \"edge\"",
        "name = edge",
        5,
        &["= help: the file is TOML"],
    );
    fault_with(
        "[[listener]]",
        "name = \"b\"\n[[listener]]",
        9,
        &["duplicate key"],
    );
}

#[test]
fn an_unknown_key_is_answered_with_the_one_meant() {
    fault_with(
        "device =",
        "mut = 1500\ndevice =",
        6,
        &[
            "6:1: error: `mut` in [[port]]: unknown key",
            "did you mean `mtu`?",
            "routes",
            "^^^",
        ],
    );
    fault_added(
        "[log]\nconections = true",
        18,
        &["did you mean `connections`?"],
    );
    fault_added(
        "[timeout]",
        17,
        &["`timeout`: unknown key", "did you mean `timeouts`?"],
    );
    fault_added(
        "[limits]\nshoes = 1",
        18,
        &["possible here: source_ports, max_sessions"],
    );
    fault_with(
        "{ to",
        "{ gateway = 1, to",
        8,
        &["`gateway` in `routes`", "to, via"],
    );
}

#[test]
fn a_wrong_type_is_answered_with_an_example() {
    let cases = [
        (
            "[log]\nconnections = \"yes\"",
            "expected true or false, found string",
        ),
        (
            "[log]\nlevel = 3",
            "expected a text in quotes, found integer",
        ),
        ("[timeouts]\nidle = 300", "write it as in `\"10s\"`"),
        (
            "[buffers]\nclient_send = 65536",
            "write it as in `\"64KiB\"`",
        ),
        ("[limits]\nmax_sessions = \"10\"", "write it as in `1000`"),
        (
            "[limits]\nmax_sessions = 1e3",
            "expected a whole number, found float",
        ),
        ("[runtime]\nlcores = 2", "write it as in `lcores = [0, 1]`"),
    ];
    for (lines, part) in cases {
        fault_added(lines, 18, &[part]);
    }
    fault_with(
        "[[port]]",
        "[port]",
        4,
        &["expected a list, found table", "`[[port]]`"],
    );
    one_fault(
        &format!("log = 1\n{MINIMAL}"),
        1,
        &["expected a table, found integer"],
    );
    fault_with(
        "[{ to",
        "[1, { to",
        8,
        &["expected a list of tables, found integer"],
    );
}

#[test]
fn something_to_do_must_be_configured() {
    let errors = parse("").unwrap_err();
    let report = errors.to_string();
    assert_eq!(errors.len(), 3);
    for part in [
        "[[port]]: there is none",
        "[[listener]]: there",
        "[[backend_group]]: there",
    ] {
        assert!(report.contains(part), "{report}");
    }
    fault_with(
        "[[backend_group.backend]]\naddress = \"198.51.100.10:8080\"",
        "",
        13,
        &[
            "[[backend_group.backend]]: there is none",
            "add one: a server",
        ],
    );
    fault_with(
        "addresses = [\"192.0.2.1:80\"]",
        "addresses = []",
        11,
        &["list is empty"],
    );
}

#[test]
fn required_keys_are_missed() {
    let cases = [
        ("name = \"edge\"\n", 4, "name = \"edge\""),
        ("device = \"net_ring0\"\n", 4, "device = \"net_af_packet0\""),
        (
            "addresses = [\"192.0.2.1:80\"]\n",
            9,
            "addresses = [\"192.0.2.1:80\"]",
        ),
        (
            "backend_group = \"nginx\"\n",
            9,
            "backend_group = \"nginx\"",
        ),
        (
            "address = \"198.51.100.10:8080\"\n",
            15,
            "address = \"198.51.100.10:8080\"",
        ),
        (", via = \"192.0.2.254\"", 8, "via = \"192.0.2.254\""),
    ];
    for (old, line, example) in cases {
        fault_with(old, "", line, &["missing", "add a line such as", example]);
    }
}

/// One slip is one error: what refers to a part that cannot be read is not judged.
#[test]
fn faults_do_not_cascade() {
    fault_with(
        "\"192.0.2.1/24\"",
        "\"192.0.2.1/240\"",
        7,
        &["not a prefix length"],
    );
    fault_with("\"net_ring0\"]", "3]", 3, &["expected a text"]);
    fault_with(
        "name = \"nginx\"\n",
        "",
        13,
        &["`name` in [[backend_group]]: missing"],
    );
    fault_with(
        "device = \"net_ring0\"",
        "device = 1",
        6,
        &["expected a text"],
    );
}

#[test]
fn warnings_have_places_too() {
    let warned = |text: &str, parts: &[&str]| {
        let (_, warnings) = valid(text);
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        let report = warnings[0].to_string();
        for part in parts {
            assert!(report.contains(part), "{part:?} is missing: {report}");
        }
    };
    let added = |lines: &str| format!("{MINIMAL}{lines}\n");
    warned(
        &added("[runtime]\nseed = 7"),
        &["w.toml:18:8: warning: `seed`", "predictable"],
    );
    warned(
        &added("[runtime]\nidle = \"busy\"\nidle_spins = 7"),
        &[":19:", "has no effect"],
    );
    warned(
        &added("max_connections = 10"),
        &[":13:", "10 connections", "10000", "LQ"],
    );
    warned(
        &added("[timeouts]\nconnect = \"20s\""),
        &[":18:", "another backend"],
    );
    let group =
        "[[backend_group]]\nname = \"b\"\n[[backend_group.backend]]\naddress = \"198.51.100.1:1\"";
    warned(&added(group), &[":18:", "no listener uses"]);
}

#[test]
fn files_that_cannot_be_read_are_errors() {
    let errors = Config::load(Path::new("/nonexistent/w.toml")).unwrap_err();
    let report = errors.to_string();
    assert!(
        report.starts_with("/nonexistent/w.toml: error: the file cannot be read"),
        "{report}"
    );
    assert!(report.contains("= help: check the path"), "{report}");
}

#[test]
fn files_that_are_not_text_are_errors_with_a_place() {
    let path = std::env::temp_dir().join(format!("weirgate-test-{}.toml", std::process::id()));
    std::fs::write(&path, b"[log]\nlevel = \"\xff\"\n").unwrap();
    let errors = Config::load(&path).unwrap_err();
    std::fs::remove_file(&path).unwrap();
    let report = errors.to_string();
    assert!(
        report.contains(":2:10: error: the file is not UTF-8 text"),
        "{report}"
    );
}

/// Lines that a random file is made of: every key with good and bad values, in any order.
fn any_line() -> impl Strategy<Value = String> {
    let lines: Vec<String> = EXAMPLE.lines().map(str::to_owned).collect();
    let value = prop_oneof![
        Just("0".to_owned()),
        Just("-9223372036854775808".to_owned()),
        Just("99999999999999999999999999999999999999999999".to_owned()),
        Just("\"\"".to_owned()),
        Just("[]".to_owned()),
        Just("[[[]]]".to_owned()),
        Just("{}".to_owned()),
        Just("1979-05-27".to_owned()),
        Just("nan".to_owned()),
        "\"\\PC{0,12}\"",
    ];
    prop_oneof![
        4 => proptest::sample::select(lines.clone()),
        2 => (proptest::sample::select(lines), value).prop_map(|(line, value)| {
            match line.split_once('=') {
                Some((key, _)) => format!("{key}= {value}"),
                None => line,
            }
        }),
        1 => "\\PC{0,20}",
    ]
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "[\\PC\\n\\r\\t\\x00]{0,200}") {
        if let Err(errors) = parse(&text) {
            prop_assert!(!errors.to_string().is_empty());
        }
    }

    #[test]
    fn any_lines_are_read_or_refused(lines in prop::collection::vec(any_line(), 0..60)) {
        if let Err(errors) = parse(&lines.join("\n")) {
            prop_assert!(errors.to_string().contains("= help: "));
        }
    }

    /// A whole file with one line changed gets past the syntax and deep into the checks.
    #[test]
    fn any_change_of_a_line_is_read_or_refused(
        line in any_line(),
        at in 0..EXAMPLE.lines().count(),
    ) {
        let mut text = String::new();
        for (number, original) in EXAMPLE.lines().enumerate() {
            writeln!(text, "{}", if number == at { &line } else { original }).unwrap();
        }
        if let Err(errors) = parse(&text) {
            prop_assert!(errors.iter().all(|error| !error.fault.help().is_empty()));
        }
    }
}
