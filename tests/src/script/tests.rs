//! Scripts that must be refused, and scripts that must fail: each with the line at fault.

mod spoiled;

use netstack::time::Instant;

use self::spoiled::{Fault, Spoiled};
use super::*;
use crate::stack::{Engine, Host};

fn host(script: &Script, family: Family) -> Host {
    let options = script.directives().stack_options(Engine::Smoltcp);
    let start = Instant::from_millis(1_000_000);
    Host::new(start, vec![local_address(family)], options)
}

/// Plays a script over one IP version.
fn play(text: &str, family: Family) -> Result<(), Failure> {
    let script = Script::parse(text, family).unwrap();
    script.play(&mut host(&script, family), family)
}

/// Plays a script over both IP versions; says on which line and how it failed.
fn failure(text: &str) -> (usize, String) {
    let [v4, v6] = [Family::V4, Family::V6].map(|family| play(text, family).unwrap_err());
    assert_eq!(v4, v6);
    (v4.line, v4.to_string())
}

fn refusal(text: &str) -> ParseError {
    Script::parse(text, Family::V4).unwrap_err()
}

/// Lines 1 to 8: a connection that a client opened.
const ACCEPTED: &str = "--mss=1000
0    socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0   bind(3, ..., ...) = 0
+0   listen(3, 1) = 0
+0.1 < S 0:0(0) win 8000 <mss 1000>
+0   > S. 0:0(0) ack 1 <...>
+0.1 < . 1:1(0) ack 1 win 8000
+0   accept(3, ..., ...) = 4
";

#[test]
fn wrong_texts_are_refused_with_their_line() {
    for (text, line, word) in [
        ("", 1, "an event"),
        (
            "0 < S 0:0(0) win 1\n+0 > S. 0:1(0) ack 1",
            2,
            "0:1 are not 0",
        ),
        ("0 < S 0:0(0)", 1, "win"),
        ("0 > . 1:1(0) win 5", 1, "ack"),
        ("0 > Q 1:1(0)", 1, "`Q`"),
        ("\n\n0 frobnicate(3) = 0", 3, "frobnicate"),
        ("0 close(3, 4) = 0", 1, "close"),
        ("0 close(x) = 0", 1, "argument 1"),
        ("0 close(3) = -1 EWHATEVER", 1, "EWHATEVER"),
        ("0 close(3) = 0 (closed", 1, "`)`"),
        ("0 close(3)", 1, "`=`"),
        ("0 < S 0:0(0) win 1 <mss 99999,nop>", 1, "99999"),
        ("0 < S 0:0(0) win 1 <sackOK>", 1, "2 octets"),
        ("0 < S 0:0(0) win 1 <frob 1>", 1, "frob"),
        ("0 < S 0:0(0) win 1 <...>", 1, "<...>"),
        ("0 < [ect01] S 0:0(0) win 1", 1, "ect01"),
        ("0 < [frob] S 0:0(0) win 1", 1, "frob"),
        ("0 > icmp unreachable port_unreachable [0:0(0)]", 1, "ICMP"),
        ("0 < icmp unreachable frob [0:0(0)]", 1, "frob"),
        (
            "0 < icmp unreachable port_unreachable mtu 5 [0:0(0)]",
            1,
            "mtu",
        ),
        ("0 `ls -l`", 1, "ls -l"),
        ("0 `sysctl -q net.ipv4.tcp_rmem`", 1, "name=value"),
        ("+0~0.1 > . 1:1(0) ack 1", 1, "`+`"),
        ("0.2~0.1 > . 1:1(0) ack 1", 1, "ends before"),
        ("* < . 1:1(0) ack 1 win 1", 1, "only a packet that is sent"),
        ("--frob=1\n0 close(3) = 0", 1, "--frob"),
        ("--mss=big\n0 close(3) = 0", 1, "big"),
        ("0 close(3) = 0\n--mss=1", 2, "directives come first"),
        ("// engines: frob\n0 close(3) = 0", 1, "frob"),
        ("0 %{ tcpi_state = 1 }%", 1, "comparison"),
    ] {
        let error = refusal(text);
        assert_eq!(error.line, line, "{text}: {error}");
        assert!(error.what.contains(word), "{text}: {error}");
    }
}

#[test]
fn what_does_not_happen_as_the_script_says_fails_on_its_line() {
    for (event, word) in [
        // Packets that are sent, one thing wrong in each.
        ("+0 write(4, ..., 10) = 10\n+0 > . 1:11(10) ack 1", "flags"),
        (
            "+0 write(4, ..., 10) = 10\n+0 > P. 2:12(10) ack 1",
            "sequence",
        ),
        (
            "+0 write(4, ..., 10) = 10\n+0 > P. 1:12(11) ack 1",
            "length",
        ),
        (
            "+0 write(4, ..., 10) = 10\n+0 > P. 1:11(10) ack 2",
            "acknowledgment",
        ),
        (
            "+0 write(4, ..., 10) = 10\n+0 > P. 1:11(10) ack 1 win 7",
            "window",
        ),
        (
            "+0 write(4, ..., 10) = 10\n+0 > P. 1:11(10) ack 1 urg 1",
            "urgent",
        ),
        (
            "+0 write(4, ..., 10) = 10\n+0 > P. 1:11(10) ack 1 <mss 5>",
            "options",
        ),
        (
            "+0 write(4, ..., 10) = 10\n+0 > [ce] P. 1:11(10) ack 1",
            "ECN",
        ),
        (
            "+0 write(4, ..., 10) = 10\n+0 > [ttl 5] P. 1:11(10) ack 1",
            "live",
        ),
        (
            "+0 write(4, ..., 10) = 10\n+0 > 1>2 P. 1:11(10) ack 1",
            "ports",
        ),
        (
            "+0 write(4, ..., 10) = 10\n+0.1 > P. 1:11(10) ack 1",
            "sent at",
        ),
        ("+0 close(4) = 0\n+0.1~+0.2 > F. 1:1(0) ack 1", "sent at"),
        (
            "+0.1 < P. 1:11(10) ack 1 win 9\n+0 > . 1:1(0) ack 11",
            "nothing was sent",
        ),
        // Results.
        ("\n+0 write(4, ..., 10) = 9", "gave 10"),
        ("\n+0 write(4, ..., 10) = -1 EPIPE", "gave 10"),
        ("\n+0 recv(4, ..., 10, MSG_DONTWAIT) = 0", "gave -1 EAGAIN"),
        ("\n+0 close(5) = 0", "EBADF"),
        ("\n+0 read(4, ..., 10) = 10", "waits, but"),
        (
            "\n+0 poll([{fd=4, events=POLLOUT, revents=0}], 1, 0) = 1",
            "ready for 0x4",
        ),
        (
            "\n+0 getsockopt(4, SOL_SOCKET, SO_ERROR, [104], [4]) = 0",
            "a value of 0",
        ),
        ("\n+0 %{ tcpi_state == TCP_CLOSE }%", "is false"),
        ("\n+0 %{ tcpi_rcv_wnd == 5 }%", "is not known"),
        // Time.
        ("\n0.1 close(4) = 0", "the time is past"),
        ("\n+0 `sysctl net.ipv4.tcp_frob=1`", "tcp_frob"),
    ] {
        let (line, what) = failure(&format!("{ACCEPTED}{event}\n"));
        assert_eq!(line, 10, "{event}: {what}");
        assert!(what.contains(word), "{event}: {what}");
    }
}

#[test]
fn calls_that_end_too_early_too_late_or_never_fail_on_their_line() {
    for (events, word) in [
        (
            "+0...0.2 read(4, ..., 10) = 10\n+0.1 < P. 1:11(10) ack 1 win 9",
            "ended at",
        ),
        (
            "+0...0.1 read(4, ..., 10) = 10\n+0.2 < P. 1:11(10) ack 1 win 9",
            "still waits",
        ),
        ("+0...0.1 read(4, ..., 10) = 10", "still waits"),
        (
            "+0...0.1 read(4, ..., 10) = 9\n+0.1 < P. 1:11(10) ack 1 win 9",
            "gave 10",
        ),
        ("+0...0.1 write(4, ..., 10) = 10", "ended at"),
    ] {
        let (line, what) = failure(&format!("{ACCEPTED}{events}\n"));
        assert_eq!(line, 9, "{events}: {what}");
        assert!(what.contains(word), "{events}: {what}");
    }
}

#[test]
fn a_stack_that_spoils_octets_or_packets_is_found_out() {
    let text = format!(
        "{ACCEPTED}+0 < P. 1:11(10) ack 1 win 8000
+0~+0.5 > . 1:1(0) ack 11
+0 read(4, ..., 10) = 10
+0 write(4, ..., 10) = 10
+0 > P. 1:11(10) ack 11\n"
    );
    for family in [Family::V4, Family::V6] {
        assert_eq!(play(&text, family), Ok(()));
        for (fault, line, word) in [
            (Fault::Version, 6, "IP version"),
            (Fault::Sent, 6, "a checksum is wrong"),
            (Fault::Read, 11, "gave octets that are not those"),
            (Fault::Written, 13, "the payload differs"),
        ] {
            let script = Script::parse(&text, family).unwrap();
            let host = host(&script, family);
            let failure = script.play(&mut Spoiled { host, fault }, family);
            let failure = failure.unwrap_err();
            assert_eq!(failure.line, line, "{fault:?}: {failure}");
            assert!(failure.to_string().contains(word), "{fault:?}: {failure}");
        }
    }
}

#[test]
fn a_packet_that_no_line_expects_fails_the_script_at_its_end() {
    let (_, what) = failure(&format!("{ACCEPTED}+0 write(4, ..., 10) = 10\n"));
    assert!(what.contains("no line expects"), "{what}");
    assert!(what.contains("P. 1:11(10) ack 1"), "{what}");
}

#[test]
fn a_failure_tells_line_time_and_both_packets_in_the_syntax_of_scripts() {
    let text = format!("{ACCEPTED}+0.5 write(4, ..., 10) = 10\n+0 > F. 1:11(10) ack 1 win 77\n");
    let (_, what) = failure(&text);
    assert_eq!(
        what,
        "10: at 0.700000: the flags differ\n  \
         expected > F. 1:11(10) ack 1 win 77\n  \
         got      > P. 1:11(10) ack 1 win 65535"
    );
}

#[test]
fn numbers_and_directives_may_depend_on_the_ip_version() {
    let text = "--ip_version=ipv6\n// engines: native\n0 > . 1:1(0) ack 1460/1440";
    let ack = |family| {
        let script = Script::parse(text, family).unwrap();
        let event::Action::Expect(packet) = &script.events[0].action else {
            panic!("a packet is expected");
        };
        packet.to_string()
    };
    assert_eq!(ack(Family::V4), ". 1:1(0) ack 1460");
    assert_eq!(ack(Family::V6), ". 1:1(0) ack 1440");
    let script = Script::parse(text, Family::V4).unwrap();
    assert!(!script.directives().allows_family(Family::V4));
    assert!(script.directives().allows_family(Family::V6));
    assert!(!script.directives().allows_engine(Engine::Smoltcp));
}

#[test]
fn packets_print_as_they_are_written() {
    for packet in [
        "S 0:0(0) win 8000 <mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 7>",
        "[ect0] P. 1:1001(1000) ack 1 win 257 <nop,nop,sack 1:2 3:4>",
        "[tos 0x03, ttl 5] 1001>80 FSRPUEW. 1:1(0) ack 5 win 0 urg 7",
        "- 5:6(1) win 1 <mss 5,eol,eol,nop,nop>",
        "icmp unreachable host_unreachable [1:1001(1000)]",
        "icmp packet_too_big mtu 1280 [1:1001(1000)]",
    ] {
        let script = Script::parse(&format!("0 < {packet}"), Family::V4).unwrap();
        let event::Action::Inject(parsed) = &script.events[0].action else {
            panic!("a packet arrives");
        };
        assert_eq!(parsed.to_string(), packet);
    }
}
