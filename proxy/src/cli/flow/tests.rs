use clap::Parser as _;

use super::super::{Cli, Command};
use super::*;

fn planned(arguments: &[&str]) -> (u8, String, String) {
    let arguments = ["weirgate", "flow", "plan"].iter().chain(arguments);
    let Command::Flow(FlowCommand::Plan(args)) = Cli::parse_from(arguments).command else {
        panic!("that is `flow plan`");
    };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = plan(&args, &mut out, &mut err).unwrap();
    let text = |octets| String::from_utf8(octets).unwrap();
    (code, text(out), text(err))
}

/// The plans of the README's configuration.
fn plans(arguments: &[&str]) -> String {
    let (code, out, err) = planned(arguments);
    assert_eq!((code, err.as_str()), (EXIT_OK, ""));
    out
}

/// What an operator reads of each driver. Look at what changes, and accept it with
/// `cargo insta review`.
#[test]
fn each_driver_has_plans_for_the_configuration_of_the_readme() {
    for driver in Driver::all() {
        let plans = plans(&["--driver", driver.name()]);
        insta::assert_snapshot!(driver.name(), plans);
    }
}

#[test]
fn the_readme_shows_the_example() {
    let readme = include_str!("../../../../README.md");
    let example = include_str!("../../../examples/readme.toml");
    let shown = format!("```toml\n{example}```\n");
    assert!(readme.contains(&shown), "not in the README:\n{example}");
    assert_eq!(example_warnings(), 0);
}

fn example_warnings() -> usize {
    let text = include_str!("../../../examples/readme.toml");
    Config::parse(text, Path::new("readme.toml"))
        .unwrap()
        .1
        .len()
}

#[test]
fn an_unknown_driver_is_a_wrong_command_line() {
    let arguments = ["weirgate", "flow", "plan", "--driver", "i40"];
    let error = Cli::try_parse_from(arguments).unwrap_err();
    assert_eq!(error.exit_code(), i32::from(EXIT_USAGE));
    let text = error.to_string();
    for part in ["nothing is known of a driver `i40`", "net_i40e", "net_null"] {
        assert!(text.contains(part), "{part:?} is missing: {text}");
    }
}

#[test]
fn too_few_queues_are_shared_with_a_reason() {
    let shared = plans(&["--driver", "mlx5", "--queues", "4"]);
    let reason = "ipv4-tcp and ipv6-tcp are in the same queues: there are 4 queues, and 5 would be";
    assert!(shared.contains(reason), "{shared}");
    let spread = plans(&["--driver", "mlx5", "--queues", "2"]);
    let reason = "told apart by software: there are 2 queues, and 3 would be";
    assert!(spread.contains(reason), "{spread}");
    assert!(!spread.contains("flow create"), "{spread}");
    let handed = plans(&["--driver", "mlx5", "--queues", "1"]);
    assert!(handed.contains("1 of 2 workers receive"), "{handed}");
    for queues in ["0", "1025", "many"] {
        let arguments = [
            "weirgate", "flow", "plan", "--driver", "tap", "--queues", queues,
        ];
        assert!(Cli::try_parse_from(arguments).is_err(), "{queues}");
    }
}

#[test]
fn the_release_decides_what_a_driver_can() {
    let old = plans(&["--driver", "bnxt", "--release", "18.02"]);
    let new = plans(&["--driver", "bnxt", "--release", "24.11"]);
    assert!(old.contains("net_bnxt of DPDK 18.02"), "{old}");
    assert!(new.contains("net_bnxt of DPDK 24.11"), "{new}");
    assert_ne!(old.contains("flow create"), new.contains("flow create"));
    let arguments = [
        "weirgate",
        "flow",
        "plan",
        "--driver",
        "tap",
        "--release",
        "new",
    ];
    let error = Cli::try_parse_from(arguments).unwrap_err().to_string();
    assert!(error.contains("`new` is no release of DPDK"), "{error}");
}

#[test]
fn members_are_for_ports_that_have_some() {
    let bond = plans(&[
        "--driver", "bonding", "--member", "mlx5", "--member", "mlx5",
    ]);
    assert!(bond.contains("flow create 0"), "{bond}");
    let (code, out, err) = planned(&["--driver", "mlx5", "--member", "mlx5"]);
    assert_eq!((code, out.as_str()), (EXIT_USAGE, ""));
    assert!(err.contains("mlx5_pci has no members"), "{err}");
}

#[test]
fn the_configuration_says_what_is_steered() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("w.toml");
    let with = |lines: &str, driver: &str| {
        let text = include_str!("../../../examples/readme.toml");
        std::fs::write(&path, format!("{lines}\n{text}")).unwrap();
        planned(&["--driver", driver, "--config", path.to_str().unwrap()])
    };
    let (code, out, err) = with("[steering]\nrules = false", "mlx5");
    assert_eq!((code, err.as_str()), (EXIT_OK, ""));
    assert!(out.contains("flow rules are switched off"), "{out}");
    assert!(!out.contains("flow create"), "{out}");
    let (_, out, _) = with("[steering]\nclasses = []", "mlx5");
    assert!(
        out.contains("told apart by software: no rules were asked for"),
        "{out}"
    );
    assert!(out.contains("# arp\nflow create 0"), "{out}");
    let (_, out, _) = with("[steering]\nisolate = true", "mlx5");
    assert!(
        out.contains("# Port `client` has the address of its device"),
        "{out}"
    );
    assert!(out.contains("flow isolate 0 1"), "{out}");
    let (code, out, err) = with("[steering]\nclasses = [\"ipv4_tcp\"]", "mlx5");
    assert_eq!((code, out.as_str()), (EXIT_CONFIG, ""));
    assert!(err.contains("did you mean `ipv4-tcp`?"), "{err}");
    let receiver = "idle = \"adaptive\"";
    let text = include_str!("../../../examples/readme.toml");
    std::fs::write(&path, text.replacen(receiver, "rx_lcores = [2]", 1)).unwrap();
    let out = plans(&["--driver", "mlx5", "--config", path.to_str().unwrap()]);
    assert!(
        out.starts_with("# Workers of the plan are the lcores that receive: 2\n"),
        "{out}"
    );
    assert!(out.contains(", 1 worker\n"), "{out}");
}
