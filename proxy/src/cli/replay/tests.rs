//! The command as users meet it: files in, files, lines and exit codes out.

use std::fs;

use clap::Parser as _;
use netstack::io::capture::{CaptureReader, CaptureWriter, Record};
use netstack::ip::{Ip as _, V4};
use netstack::wire::arp;
use netstack::wire::ethernet::{self, ethertype};
use netstack::wire::icmp::{self, Message};
use netstack::wire::ip_header::{self, HeaderIp as _};
use tempfile::TempDir;

use super::*;
use crate::cli::{Cli, Command};

const ONE_PORT: &str = r#"
[runtime]
lcores = [0, 1]
seed = 7
[dpdk]
vdevs = ["net_ring0"]
[[port]]
name = "edge"
device = "net_ring0"
addresses = ["192.0.2.1/24"]
[[listener]]
name = "web"
addresses = ["192.0.2.1:80"]
backend_group = "nginx"
[[backend_group]]
name = "nginx"
[[backend_group.backend]]
address = "192.0.2.10:8080"
"#;

/// The MAC address of the port when the captures were taken.
const OURS: MacAddr = MacAddr([2, 0, 0, 0, 0, 0xaa]);
const PEER: MacAddr = MacAddr([2, 0, 0, 0, 0, 0xbb]);

/// A directory with a configuration and captures.
struct Desk {
    directory: TempDir,
}

/// What a run printed and returned.
#[derive(Debug, PartialEq)]
struct Run {
    code: u8,
    out: String,
    err: String,
}

impl Desk {
    fn new(config: &str) -> Self {
        let desk = Self {
            directory: TempDir::new().unwrap(),
        };
        fs::write(desk.path("w.toml"), config).unwrap();
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn put(&self, name: &str, octets: &[u8]) {
        fs::write(self.path(name), octets).unwrap();
    }

    /// The frames of a capture.
    fn frames(&self, name: &str) -> Vec<Vec<u8>> {
        let file = fs::read(self.path(name)).unwrap();
        let mut reader = CaptureReader::new(file.as_slice()).unwrap();
        let mut record = Record::default();
        let mut frames = Vec::new();
        while reader.read(&mut record).unwrap() {
            frames.push(record.data.clone());
        }
        frames
    }

    /// Runs `weirgate replay` with these arguments; `@` stands for the directory.
    fn run(&self, arguments: &str) -> Run {
        let directory = self.directory.path().display().to_string();
        let arguments = format!("weirgate replay --config @/w.toml {arguments}");
        let arguments = arguments.replace('@', &directory);
        let Command::Replay(args) = Cli::parse_from(arguments.split_whitespace()).command else {
            panic!("{arguments}");
        };
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = replay(&args, &mut out, &mut err).unwrap();
        Run {
            code,
            out: String::from_utf8(out).unwrap(),
            err: String::from_utf8(err).unwrap().replace(&directory, "@"),
        }
    }
}

fn frame(destination: MacAddr, source: MacAddr, ethertype: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; ethernet::HEADER_LEN];
    let header = ethernet::Header {
        destination,
        source,
        ethertype,
    };
    header.emit(&mut frame);
    frame.extend_from_slice(payload);
    frame
}

/// An echo request from 192.0.2.9 to the port.
fn ping(destination: MacAddr) -> Vec<u8> {
    let (src, dst) = ("192.0.2.9".parse().unwrap(), "192.0.2.1".parse().unwrap());
    let mut packet = vec![0; V4::HEADER_LEN + icmp::HEADER_LEN];
    let message = Message::EchoRequest {
        ident: 1,
        sequence: 1,
    };
    message.emit::<V4>(&mut packet[V4::HEADER_LEN..]);
    icmp::fill_checksum::<V4>(src, dst, &mut packet[V4::HEADER_LEN..]);
    let header = ip_header::Header::<V4> {
        src,
        dst,
        protocol: V4::ICMP_PROTOCOL,
        hop_limit: 64,
        ecn: 0,
        payload_len: icmp::HEADER_LEN,
    };
    V4::emit_header(&header, &mut packet);
    frame(destination, PEER, ethertype::IPV4, &packet)
}

/// 192.0.2.9 asks for the port's MAC address, and so tells its own.
fn question() -> Vec<u8> {
    let mut packet = [0; arp::PACKET_LEN];
    let question = arp::Packet {
        operation: arp::Operation::Request,
        sender_mac: PEER,
        sender_addr: "192.0.2.9".parse().unwrap(),
        target_mac: MacAddr::default(),
        target_addr: "192.0.2.1".parse().unwrap(),
    };
    question.emit(&mut packet);
    frame(MacAddr::BROADCAST, PEER, ethertype::ARP, &packet)
}

fn capture(records: &[(u64, Vec<u8>)]) -> Vec<u8> {
    let mut writer = CaptureWriter::new(Vec::new()).unwrap();
    for (millis, frame) in records {
        writer.write(Instant::from_millis(*millis), frame).unwrap();
    }
    writer.finish().unwrap()
}

fn ping_capture() -> Vec<u8> {
    capture(&[(1_000, question()), (1_001, ping(OURS))])
}

/// The value of a counter in what was printed; 0 if it is not there.
fn counter(out: &str, name: &str) -> u64 {
    let line = out
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(0, |value| value.parse().unwrap())
}

#[test]
fn a_ping_is_answered_from_the_address_that_the_capture_shows() {
    let desk = Desk::new(ONE_PORT);
    desk.put("in.pcap", &ping_capture());
    let run = desk.run("--in @/in.pcap --out @/out.pcap --linger 1s");
    assert_eq!((run.code, run.err.as_str()), (EXIT_OK, ""), "{run:?}");
    assert_eq!(counter(&run.out, "echo_answered"), 1, "{run:?}");
    assert_eq!(counter(&run.out, "capture.edge.received"), 2, "{run:?}");
    let frames = desk.frames("out.pcap");
    assert_eq!(
        counter(&run.out, "capture.edge.written"),
        frames.len() as u64
    );
    for frame in &frames {
        assert_eq!(ethernet::Header::parse(frame).unwrap().source, OURS);
    }
    // An announcement, the answer to the question, the answer to the ping.
    assert_eq!(frames.len(), 3);
    assert_eq!(frames[2][34], 0, "type of an echo reply");
    assert!(
        run.out.lines().all(|line| line.split(' ').count() == 2),
        "{run:?}"
    );
}

#[test]
fn the_same_seed_gives_the_same_and_the_option_beats_the_configuration() {
    let desk = Desk::new(ONE_PORT);
    desk.put("in.pcap", &ping_capture());
    let configured = desk.run("--in @/in.pcap --out @/a.pcap");
    assert_eq!(
        configured,
        desk.run("--in @/in.pcap --out @/b.pcap --seed 7")
    );
    assert_eq!(desk.frames("a.pcap"), desk.frames("b.pcap"));
}

#[test]
fn a_truncated_capture_is_replayed_as_far_as_it_goes() {
    let desk = Desk::new(ONE_PORT);
    let whole = ping_capture();
    desk.put("in.pcap", &whole[..whole.len() - 1]);
    let run = desk.run("--in @/in.pcap --out @/out.pcap");
    assert_eq!(run.code, EXIT_RUNTIME);
    assert_eq!(counter(&run.out, "capture.edge.received"), 1, "{run:?}");
    assert_eq!(desk.frames("out.pcap").len(), 2);
    assert!(
        run.err
            .starts_with("weirgate replay: @/in.pcap: record 2 of the capture is cut off"),
        "{run:?}"
    );
    assert!(run.err.contains("editcap"), "{run:?}");
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let desk = Desk::new(ONE_PORT);
    desk.put("text", b"no capture at all, but long enough for a header");
    desk.put("in.pcap", &ping_capture());
    let mut raw = ping_capture();
    raw[20] = 101;
    desk.put("raw.pcap", &raw);
    for (arguments, message) in [
        (
            "--in @/absent",
            "@/absent: cannot open the capture: No such file",
        ),
        (
            "--in @/text",
            "@/text: the input is neither a pcap nor a pcapng capture",
        ),
        (
            "--in @/raw.pcap",
            "@/raw.pcap: the capture has link type 101",
        ),
        (
            "--in @/in.pcap --out @/no/such/directory",
            "@/no/such/directory: cannot create the file",
        ),
        (
            "--in @/in.pcap --out @/in.pcap",
            "@/in.pcap: the file is both read and written",
        ),
        (
            "--in /dev/null",
            "/dev/null: can be read only once, but the port's MAC address has to be",
        ),
    ] {
        let run = desk.run(arguments);
        assert_eq!(
            (run.code, run.out.as_str()),
            (EXIT_RUNTIME, ""),
            "{arguments}"
        );
        let expected = format!("weirgate replay: {message}");
        assert!(run.err.starts_with(&expected), "{arguments}: {run:?}");
        assert_eq!(run.err.lines().count(), 1, "{run:?}");
    }
    assert_eq!(fs::read(desk.path("in.pcap")).unwrap(), ping_capture());
}

#[test]
fn a_full_disk_is_told_and_the_counters_are_still_printed() {
    let desk = Desk::new(ONE_PORT);
    desk.put("in.pcap", &ping_capture());
    let run = desk.run("--in @/in.pcap --out /dev/full");
    assert_eq!(run.code, EXIT_RUNTIME);
    assert_eq!(counter(&run.out, "echo_answered"), 1, "{run:?}");
    assert!(
        run.err
            .starts_with("weirgate replay: /dev/full: cannot write the capture"),
        "{run:?}"
    );
}

#[test]
fn a_wrong_configuration_exits_as_check_does() {
    let desk = Desk::new("[runtime]\nlcore = [0]\n");
    let run = desk.run("--in @/in.pcap");
    assert_eq!((run.code, run.out.as_str()), (EXIT_CONFIG, ""));
    assert!(run.err.contains("w.toml:2:1: error: `lcore`"), "{run:?}");
}

#[test]
fn with_several_ports_files_name_theirs() {
    let two_ports = ONE_PORT
        .replace("\"net_ring0\"]", "\"net_ring0\", \"net_ring1\"]")
        .replace(
            "[[listener]]",
            "[[port]]\nname = \"inside\"\ndevice = \"net_ring1\"\n\
             addresses = [\"198.51.100.1/24\"]\n[[listener]]",
        );
    let desk = Desk::new(&two_ports);
    desk.put("in.pcap", &ping_capture());
    let run = desk.run("--in @/in.pcap");
    assert_eq!((run.code, run.out.as_str()), (EXIT_USAGE, ""));
    assert!(run.err.contains("the ports are: edge, inside"), "{run:?}");

    let chosen = desk.run("--in @/in.pcap --port edge --out @/a.pcap");
    let named = desk.run("--in edge=@/in.pcap --out edge=@/b.pcap");
    assert_eq!(chosen.code, EXIT_OK, "{chosen:?}");
    assert_eq!(chosen, named);
    assert_eq!(desk.frames("a.pcap"), desk.frames("b.pcap"));
    // The other port announced its address, to nobody.
    assert_eq!(
        counter(&named.out, "capture.inside.discarded"),
        1,
        "{named:?}"
    );

    desk.run("--in edge=@/in.pcap --out inside=@/c.pcap");
    let announcement = &desk.frames("c.pcap")[0];
    let made_up = MacAddr([2, 0, 0, 0, 0, 2]);
    assert_eq!(
        ethernet::Header::parse(announcement).unwrap().source,
        made_up
    );
}

#[test]
fn lingering_is_as_long_as_told() {
    // Nobody has told us where 192.0.2.9 is: we ask, more than once.
    let desk = Desk::new(ONE_PORT);
    desk.put("in.pcap", &capture(&[(1_000, ping(OURS))]));
    let asked = |arguments: &str| {
        let run = desk.run(&format!("--in @/in.pcap {arguments}"));
        assert_eq!(run.code, EXIT_OK, "{run:?}");
        counter(&run.out, "neighbor_asked")
    };
    assert_eq!(asked("--linger 0s"), 1);
    assert!(asked("") > 1);
}

#[test]
fn the_command_line_has_its_defaults_and_limits() {
    let parse = |arguments: &str| {
        let arguments = arguments.split_whitespace();
        Cli::try_parse_from(["weirgate", "replay"].into_iter().chain(arguments))
    };
    let Command::Replay(args) = parse("-c w.toml --in a.pcap").unwrap().command else {
        panic!("not the command");
    };
    assert_eq!(args.linger, TimeSpan(Duration::from_secs(5)));
    assert_eq!((args.seed, args.outputs.len()), (None, 0));
    assert!(parse("-c w.toml").is_err(), "an input is required");
    let error = parse("-c w.toml --in a.pcap --linger 5").unwrap_err();
    assert!(error.to_string().contains("the unit is missing"), "{error}");
    assert!(parse("-c w.toml --in a.pcap --seed -1").is_err());
}
