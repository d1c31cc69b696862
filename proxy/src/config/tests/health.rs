//! `[backend_group.health]`, `[backend_group.ejection]` and `slow_start`.

use super::*;
use crate::config::fault::Caution;

/// [`MINIMAL`] with a table of its group; the table's header is line 15, its keys begin in 16.
fn with_table(header: &str, keys: &str) -> String {
    minimal_with(
        "[[backend_group.backend]]",
        &format!("[backend_group.{header}]\n{keys}\n[[backend_group.backend]]"),
    )
}

/// The checks that these keys say.
pub(super) fn checked(keys: &str) -> Option<HealthConfig> {
    let (config, warnings) = valid(&with_table("health", keys));
    assert_eq!(warnings, []);
    config.backend_groups[0].health.clone()
}

/// The ejection that these keys say, of two backends.
pub(super) fn ejecting(keys: &str) -> Option<EjectionConfig> {
    let second = "[[backend_group.backend]]\naddress = \"198.51.100.11:8080\"\n";
    let (config, warnings) = valid(&(with_table("ejection", keys) + second));
    assert_eq!(warnings, []);
    config.backend_groups[0].ejection.clone()
}

fn cautions(text: &str) -> Vec<(usize, String, Caution)> {
    let (_, warnings) = valid(text);
    let warnings = warnings.into_iter();
    warnings
        .map(|warning| (warning.location.line, warning.subject, warning.caution))
        .collect()
}

#[test]
fn defaults_and_values() {
    let default = HealthConfig {
        check: Check::Tcp,
        interval: Duration::from_secs(2),
        jitter: 10,
        timeout: Duration::from_secs(1),
        rise: 2,
        fall: 3,
        port: None,
    };
    assert_eq!(checked("check = \"tcp\""), Some(default));
    let keys = "check = \"http\"\ninterval = \"250ms\"\njitter = 0\ntimeout = \"100ms\"\n\
                rise = 1\nfall = 100\nport = 81\npath = \"/a?b=%20\"\nhost = \"[::1]:8\"\n\
                status = [\"204\", \"300-301\"]";
    let health = HealthConfig {
        check: Check::Http {
            path: "/a?b=%20".to_owned(),
            host: Some("[::1]:8".to_owned()),
            status: vec![204..=204, 300..=301],
        },
        interval: Duration::from_millis(250),
        jitter: 0,
        timeout: Duration::from_millis(100),
        rise: 1,
        fall: 100,
        port: Some(81),
    };
    assert_eq!(checked(keys), Some(health));
    let keys = "check = \"send_expect\"\nsend = \"PING\\r\\n\"\nexpect = '\\x2bPONG'";
    let check = Check::SendExpect {
        send: b"PING\r\n".to_vec(),
        expect: b"+PONG".to_vec(),
    };
    assert_eq!(checked(keys).unwrap().check, check);
    let default = EjectionConfig {
        failures: 5,
        base: Duration::from_secs(10),
        max: Duration::from_mins(5),
        max_share: 50,
    };
    assert_eq!(ejecting(""), Some(default));
    let keys = "failures = 1\nbase = \"10m\"\nmax_share = 100";
    let ejection = EjectionConfig {
        failures: 1,
        base: Duration::from_mins(10),
        max: Duration::from_mins(10),
        max_share: 100,
    };
    assert_eq!(ejecting(keys), Some(ejection));
}

#[test]
fn values_that_make_no_check() {
    for (keys, line, parts) in [
        (
            "",
            15,
            &["`check` in [backend_group.health]", "missing"][..],
        ),
        (
            "check = \"tls\"",
            16,
            &["not one of the values", "tcp, send_expect, http"],
        ),
        (
            "check = \"tcp\"\nfall = 0",
            17,
            &["0 is not between 1 and 100"],
        ),
        (
            "check = \"tcp\"\nrise = 0",
            17,
            &["0 is not between 1 and 100"],
        ),
        (
            "check = \"tcp\"\njitter = 51",
            17,
            &["51 is not between 0 and 50"],
        ),
        (
            "check = \"tcp\"\ninterval = \"9ms\"",
            17,
            &["9ms is not between 10ms"],
        ),
        (
            "check = \"tcp\"\ntimeout = \"0s\"",
            17,
            &["0s is not between 1ms"],
        ),
        (
            "check = \"tcp\"\nport = 0",
            17,
            &["0 is not between 1 and 65535"],
        ),
        (
            "check = \"send_expect\"",
            15,
            &["`expect` in", "missing", "+PONG"],
        ),
        (
            "check = \"send_expect\"\nexpect = \"\"",
            17,
            &["every answer", "\"tcp\""],
        ),
        (
            "check = \"send_expect\"\nexpect = '\\q'",
            17,
            &["backslash", "\\xHH"],
        ),
        (
            "check = \"http\"\npath = \"health\"",
            17,
            &["no path", "begin with `/`"],
        ),
        ("check = \"http\"\npath = \"/a b\"", 17, &["no path", "%HH"]),
        ("check = \"http\"\npath = \"/\\r\\nX: y\"", 17, &["no path"]),
        ("check = \"http\"\nhost = \"a\\r\\nX: y\"", 17, &["no host"]),
        ("check = \"http\"\nstatus = []", 17, &["the list is empty"]),
        (
            "check = \"http\"\nstatus = [\"99\"]",
            17,
            &["`99` is no final status"],
        ),
        (
            "check = \"http\"\nstatus = [\"100\"]",
            17,
            &["`100` is no final status"],
        ),
        (
            "check = \"http\"\nstatus = [\"300-200\"]",
            17,
            &["`300-200` is no"],
        ),
        ("check = \"http\"\nstatus = [200]", 17, &["expected a text"]),
    ] {
        one_fault(&with_table("health", keys), line, parts);
    }
    let long = format!("check = \"send_expect\"\nexpect = \"{}\"", "x".repeat(257));
    one_fault(&with_table("health", &long), 17, &["more than 256 octets"]);
    for (keys, parts) in [
        ("failures = 0", "0 is not between 1 and 1000"),
        ("max_share = 101", "101 is not between 1 and 100"),
        ("base = \"1m\"\nmax = \"30s\"", "30s is not between 1m and"),
    ] {
        let line = 15 + keys.lines().count();
        one_fault(&with_table("ejection", keys), line, &[parts]);
    }
}

#[test]
fn odd_values_are_warned_of() {
    let health = "[backend_group.health]";
    for (keys, line, key, caution) in [
        (
            "check = \"tcp\"\ninterval = \"500ms\"",
            15,
            "timeout",
            Caution::CheckOutlivesInterval,
        ),
        (
            "check = \"tcp\"\ntimeout = \"3s\"",
            17,
            "timeout",
            Caution::CheckOutlivesInterval,
        ),
        (
            "check = \"tcp\"\nfall = 1",
            17,
            "fall",
            Caution::FallsAtOnce,
        ),
        (
            "check = \"tcp\"\npath = \"/\"",
            17,
            "path",
            Caution::OfAnotherCheck,
        ),
        (
            "check = \"http\"\nsend = \"x\"",
            17,
            "send",
            Caution::OfAnotherCheck,
        ),
    ] {
        let expected = (line, format!("`{key}` in {health}"), caution);
        assert_eq!(cautions(&with_table("health", keys)), [expected], "{keys}");
    }
    let text = minimal_with("name = \"nginx\"", "name = \"nginx\"\nslow_start = \"30s\"");
    let subject = "`slow_start` in [[backend_group]]".to_owned();
    assert_eq!(cautions(&text), [(15, subject, Caution::NeverComesBack)]);
    // One backend, of which half is none.
    let subject = "`max_share` in [backend_group.ejection]".to_owned();
    let caution = Caution::EjectsNothing {
        max_share: 50,
        backends: 1,
    };
    assert_eq!(
        cautions(&with_table("ejection", "")),
        [(13, subject, caution)]
    );
}
