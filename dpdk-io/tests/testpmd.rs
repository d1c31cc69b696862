//! testpmd reads what rules print, and makes of it the structures that this crate makes of them.
//!
//! Both this program and testpmd are started with `flow_recorder.c` preloaded, which writes down
//! what `rte_flow_validate` is given; the two records must be equal. The rules are those of
//! `flow-rules/tests/rules.txt`.

mod rig;

use std::env;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use dpdk_io::FlowError;
use flow_rules::FlowRule;

const RULES: &str = include_str!("../../flow-rules/tests/rules.txt");
const RECORD: &str = "FLOW_RECORD";

fn rules() -> Vec<FlowRule> {
    let lines = RULES.lines();
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.parse().unwrap()).collect()
}

#[test]
fn testpmd_makes_the_same_structures_of_what_is_printed() {
    if env::var_os(RECORD).is_some() {
        return validate_all();
    }
    let directory = env::temp_dir().join(format!("flow-rules-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let recorder = compile_recorder(&directory);
    let (ours, theirs) = (directory.join("ours"), directory.join("theirs"));

    let mut this = Command::new(env::current_exe().unwrap());
    let this = this.env("LD_PRELOAD", &recorder).env(RECORD, &ours);
    assert!(this.status().unwrap().success());

    let answers = testpmd(&recorder, &theirs);
    let refused = answers.split("testpmd> ");
    let refused: Vec<_> = refused
        .filter(|answer| answer.contains("Bad arg"))
        .collect();
    let readable: Vec<_> = rules()
        .into_iter()
        .filter(FlowRule::is_testpmd_syntax)
        .collect();
    let unknown = rules().into_iter().filter(|rule| !rule.is_testpmd_syntax());
    // What DPDK dropped is refused, and nothing else.
    let unknown: Vec<_> = unknown.map(|rule| rule.to_string()).collect();
    let named = refused.iter().zip(&unknown);
    assert!(
        refused.len() == unknown.len() && { named }.all(|(answer, rule)| answer.contains(rule)),
        "{refused:#?}"
    );
    assert_eq!(
        answers.matches("Flow rule validated").count(),
        readable.len()
    );

    let (ours, theirs) = (fs::read_to_string(ours), fs::read_to_string(theirs));
    let (ours, theirs) = (ours.unwrap(), theirs.unwrap());
    let records = ours.lines().zip(theirs.lines());
    let mut differing = Vec::new();
    for (rule, (ours, theirs)) in readable.iter().zip(records) {
        if ours != theirs {
            differing.push(format!("{rule}\n  ours:   {ours}\n  theirs: {theirs}"));
        }
    }
    assert!(differing.is_empty(), "{}", differing.join("\n"));
    assert_eq!(ours.lines().count(), readable.len());
    fs::remove_dir_all(directory).unwrap();
}

/// Gives all rules to a device; run in a process that records them.
fn validate_all() {
    let eal = rig::eal(&["net_null0"]);
    let pool = rig::pool(&eal);
    let port = rig::open(&eal, "net_null0", 1, &pool);
    for rule in rules() {
        match port.validate_rule(&rule) {
            Ok(()) => assert!(rule.is_testpmd_syntax(), "{rule}"),
            Err(FlowError::NotInDpdk { .. }) => assert!(!rule.is_testpmd_syntax(), "{rule}"),
            Err(error) => panic!("{rule}: {error}"),
        }
    }
    rig::finish(eal, vec![port], pool);
}

fn compile_recorder(directory: &Path) -> PathBuf {
    let library = directory.join("flow_recorder.so");
    let flags = Command::new("pkg-config")
        .args(["--cflags", "libdpdk"])
        .output();
    let flags = String::from_utf8(flags.unwrap().stdout).unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/flow_recorder.c");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O1", "-o"]);
    compiler
        .arg(&library)
        .arg(source)
        .args(flags.split_whitespace());
    assert!(compiler.status().unwrap().success());
    library
}

/// What testpmd prints when all rules are put to it.
fn testpmd(recorder: &Path, record: &Path) -> String {
    let mut testpmd = Command::new("dpdk-testpmd")
        .args([
            "--lcores=0@0,1@0",
            "--no-huge",
            "-m",
            "128",
            "--no-pci",
            "--no-telemetry",
        ])
        .args(["--no-shconf", "--vdev=net_null0"])
        .args(["--", "-i", "--rxq=4", "--txq=4", "--total-num-mbufs=4096"])
        .env("LD_PRELOAD", recorder)
        .env(RECORD, record)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("dpdk-testpmd is in the Debian package dpdk-dev");
    let mut input = testpmd.stdin.take().unwrap();
    for rule in &rules() {
        let command = flow_rules::Command::Validate { port: 0, rule };
        writeln!(input, "{command}").unwrap();
    }
    writeln!(input, "quit").unwrap();
    drop(input);
    String::from_utf8_lossy(&testpmd.wait_with_output().unwrap().stdout).into_owned()
}
