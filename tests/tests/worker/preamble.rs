//! What clients have to say before a backend is chosen, and what backends are told first: PROXY
//! headers of both versions and directions, and ClientHellos that decide who serves.

use core::net::SocketAddr;
use core::time::Duration;

use netstack::counters::{Counters, Event};
use netstack::ip::{V4, V6};
use netstack::tcp::EngineKind;
use netstack::wire::tcp::Flags;
use proxy::l7::client_hello::MAX_LEN;
use proxy::l7::proxy_protocol::{self, AnnouncementV2, Endpoints};
use weirgate_tests::station::frame::{Tcp, TestIp, framed};
use weirgate_tests::station::sent::{SentSegment, segment};
use weirgate_tests::station::{ENGINES, Station, config_for};

const TRUSTED: &str =
    "proxy_protocol = \"required\"\nproxy_trusted = [\"192.0.2.0/28\", \"2001:db8::/120\"]\n";
const PASSTHROUGH: &str = "tls = \"passthrough\"\n";

/// A station whose listeners and groups have these lines besides.
fn station(engine: EngineKind, listener: &str, group: &str) -> Station {
    let mut config = config_for(engine)
        .replace("client_receive = \"2KiB\"", "client_receive = \"32KiB\"")
        .replace("first_window = \"2KiB\"", "first_window = \"32KiB\"")
        .replace("receive_max = \"4KiB\"", "receive_max = \"64KiB\"");
    for name in ["four", "six"] {
        let named = format!("backend_group = \"{name}\"\n");
        let with_routes = listener.replace("GROUP", name);
        config = config.replace(&named, &format!("{named}{with_routes}"));
        // The line of the group itself, and of nothing else.
        let named = format!("\nname = \"{name}\"\n");
        config = config.replace(&named, &format!("{named}{group}"));
    }
    let mut station = Station::new(&config, 256);
    station.meet();
    station
}

/// A client, and the backend that it gets.
struct Talk<I: TestIp> {
    station: Station,
    client: Tcp,
    backend: Option<Tcp>,
    /// What the backend received.
    told: Vec<u8>,
    /// What the client received, and whether it was reset or the direction ended.
    heard: Vec<u8>,
    reset: bool,
    finished: bool,
    ip: core::marker::PhantomData<I>,
}

impl<I: TestIp> Talk<I> {
    /// After the client's handshake.
    fn new(mut station: Station) -> Self {
        station.inject(&Tcp::new(Flags::SYN).frame::<I>());
        station.turn();
        let sent = station.take_sent();
        let answer = segment::<I>(&sent[0]).expect("a SYN-ACK");
        let mut client = Tcp::new(Flags::ACK);
        (client.seq, client.ack) = (1001, answer.header.seq.wrapping_add(1));
        let mut talk = Self {
            station,
            client,
            backend: None,
            told: Vec::new(),
            heard: Vec::new(),
            reset: false,
            finished: false,
            ip: core::marker::PhantomData,
        };
        let ack = talk.client.frame::<I>();
        talk.station.inject(&ack);
        talk.settle();
        talk
    }

    /// The client sends this in one segment.
    fn say(&mut self, octets: &[u8]) {
        let mut segment = self.client.clone();
        segment.flags = Flags::ACK | Flags::PSH;
        segment.payload = octets.to_vec();
        self.client.seq = self.client.seq.wrapping_add(octets.len() as u32);
        self.station.inject(&segment.frame::<I>());
        self.settle();
    }

    /// The client ends its direction.
    fn finish(&mut self) {
        let mut segment = self.client.clone();
        segment.flags = Flags::ACK | Flags::FIN;
        self.client.seq = self.client.seq.wrapping_add(1);
        self.station.inject(&segment.frame::<I>());
        self.settle();
    }

    /// Turns until nothing is sent; whoever is spoken to answers.
    fn settle(&mut self) {
        for _ in 0..50 {
            self.station.turn();
            let sent = self.station.take_sent();
            if sent.is_empty() {
                return;
            }
            for frame in sent {
                if let Some(sent) = segment::<I>(&frame) {
                    self.take(&sent, &frame[frame.len() - sent.payload_len..]);
                }
            }
        }
        panic!("it does not settle");
    }

    fn take(&mut self, sent: &SentSegment<I>, payload: &[u8]) {
        let flags = sent.header.flags;
        let takes = payload.len() as u32 + u32::from(flags.contains(Flags::FIN));
        if sent.dst == I::CLIENT {
            self.heard.extend(payload);
            self.reset |= flags.contains(Flags::RST);
            self.finished |= flags.contains(Flags::FIN);
            if takes > 0 {
                self.client.ack = sent.header.seq.wrapping_add(takes);
                self.station.inject(&self.client.frame::<I>());
            }
            return;
        }
        let backend = if flags == Flags::SYN {
            let mut answer = Tcp::new(Flags::SYN | Flags::ACK);
            (answer.sport, answer.dport) = (sent.header.dport, sent.header.sport);
            (answer.seq, answer.ack) = (5000, sent.header.seq.wrapping_add(1));
            self.backend.insert(answer)
        } else {
            let backend = self.backend.as_mut().expect("a SYN came first");
            self.told.extend(payload);
            if takes == 0 {
                return;
            }
            (backend.flags, backend.seq) = (Flags::ACK, 5001);
            backend.ack = sent.header.seq.wrapping_add(takes);
            backend
        };
        let packet = backend.between::<I>(I::BACKEND, I::US);
        self.station.inject(&framed::<I>(&packet));
    }

    fn counters(&self) -> &Counters {
        self.station.counters(0)
    }

    /// The codes of the sessions that have ended.
    fn codes(&self) -> Vec<String> {
        let reports = self.station.reports();
        reports
            .iter()
            .map(|report| report.reason.to_string())
            .collect()
    }

    /// Lets everything end, and asserts that no buffer is missing.
    fn end(mut self) {
        self.station.advance(Duration::from_hours(2));
        self.settle();
        self.station.finish();
    }
}

/// Calls it with both engines and both IP versions.
macro_rules! everywhere {
    ($case:ident) => {
        for engine in ENGINES {
            $case::<V4>(engine);
            $case::<V6>(engine);
        }
    };
}

fn address<I: TestIp>(address: I::Addr, port: u16) -> SocketAddr {
    SocketAddr::new(address.into(), port)
}

/// The ends of a client that somebody trusted speaks for.
fn told_ends() -> Endpoints {
    Endpoints {
        source: "203.0.113.7:55555".parse().unwrap(),
        destination: "203.0.113.1:443".parse().unwrap(),
    }
}

fn v1() -> Vec<u8> {
    let mut octets = Vec::new();
    proxy_protocol::emit_v1(told_ends(), &mut octets);
    octets
}

fn v2() -> Vec<u8> {
    let mut octets = Vec::new();
    let announcement = AnnouncementV2 {
        crc32c: true,
        authority: Some("x.example"),
        ..AnnouncementV2::default()
    };
    announcement.emit(told_ends(), &mut octets);
    octets
}

/// A ClientHello for this name, in one record, with so much padding.
fn hello(name: &str, padding: usize) -> Vec<u8> {
    let long = |content: &[u8]| [&(content.len() as u16).to_be_bytes()[..], content].concat();
    let names = long(&[&[0][..], &long(name.as_bytes())].concat());
    let extensions = [
        &[0, 0][..],
        &long(&names),
        &[0, 16],
        &long(&long(b"\x02h2")),
        &[0, 21],
        &long(&vec![0; padding]),
    ]
    .concat();
    let body = [
        &[3, 3][..],
        &[7; 32],
        &[0],
        &long(&[0x13, 1]),
        &[1, 0],
        &long(&extensions),
    ];
    let body = body.concat();
    let mut message = (body.len() as u32).to_be_bytes().to_vec();
    message[0] = 1;
    message.extend(body);
    [&[22, 3, 1][..], &long(&message)].concat()
}

fn a_header_is_believed<I: TestIp>(engine: EngineKind) {
    for header in [v1(), v2()] {
        for cut in [1, 7, header.len() - 1, header.len()] {
            let mut talk = Talk::<I>::new(station(engine, TRUSTED, ""));
            talk.say(&header[..cut]);
            assert_eq!(talk.backend.is_some(), cut == header.len());
            talk.say(&[&header[cut..], b"hello"].concat());
            assert_eq!(talk.told, b"hello", "only what is behind the header");
            assert_eq!(talk.counters().event(Event::ProxyHeaders), 1);
            talk.station.advance(Duration::from_secs(10));
            talk.settle();
            assert!(
                talk.codes().is_empty(),
                "the time for the header is over, not the session's"
            );
            let mut reset = talk.client.clone();
            reset.flags = Flags::RST;
            talk.station.inject(&reset.frame::<I>());
            talk.settle();
            let reports = talk.station.reports();
            assert_eq!(reports[0].client(), told_ends().source);
            assert_eq!(reports[0].peer, address::<I>(I::CLIENT, 4000));
            assert_eq!(reports[0].reason.to_string(), "CD");
            talk.end();
        }
    }
}

#[test]
fn headers_are_believed() {
    everywhere!(a_header_is_believed);
}

/// What a client says, and how that ends.
fn refused<I: TestIp>(engine: EngineKind, listener: &str, says: &[&[u8]], event: Event) {
    let mut talk = Talk::<I>::new(station(engine, listener, ""));
    for octets in says {
        talk.say(octets);
    }
    let what = format!("{:?} {engine:?}", event.name());
    assert!(talk.reset && talk.backend.is_none(), "{what}");
    assert_eq!(talk.counters().event(event), 1, "{what}");
    assert_eq!(talk.counters().event(Event::SessionsAborted), 1, "{what}");
    assert_eq!(talk.codes(), ["IP"], "{what}");
    talk.end();
}

fn everything_else_is_refused<I: TestIp>(engine: EngineKind) {
    let event = Event::ProxyHeadersRefused;
    refused::<I>(engine, TRUSTED, &[b"GET / HTTP/1.0\r\n\r\n"], event);
    refused::<I>(engine, TRUSTED, &[b"P", b"ROXY", b" TCP4 x\r\n"], event);
    refused::<I>(engine, TRUSTED, &[b"PROXY UNKNOWN", &[b' '; 100]], event);
    refused::<I>(engine, TRUSTED, &[&hello("a.example", 0)], event);
    let mut bad_sum = v2();
    bad_sum[17] ^= 1;
    refused::<I>(engine, TRUSTED, &[&bad_sum], event);
    let endless = [
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff".as_slice(),
        &[4; 100],
    ]
    .concat();
    refused::<I>(engine, TRUSTED, &[&endless], event);

    refused::<I>(engine, PASSTHROUGH, &[b"GET / "], Event::ClientHellosNotTls);
    refused::<I>(engine, PASSTHROUGH, &[&v1()], Event::ClientHellosNotTls);
    let large = [22, 3, 1, 0x40, 0, 1, 0, 0x40, 0];
    refused::<I>(engine, PASSTHROUGH, &[&large], Event::ClientHellosTooLarge);
    let mut twice = hello("a.example", 0);
    twice[44] = 9;
    refused::<I>(engine, PASSTHROUGH, &[&twice], Event::ClientHellosMalformed);
}

#[test]
fn other_octets_are_refused() {
    everywhere!(everything_else_is_refused);
}

fn nobody_else_may<I: TestIp>(engine: EngineKind) {
    let listener = "proxy_protocol = \"required\"\nproxy_trusted = [\"198.51.100.0/24\"]\n";
    let talk = Talk::<I>::new(station(engine, listener, ""));
    assert!(talk.reset);
    assert_eq!(talk.counters().event(Event::ProxyUntrusted), 1);
    assert_eq!(talk.codes(), ["DP"]);
    talk.end();
}

#[test]
fn strangers_may_not_speak_for_others() {
    everywhere!(nobody_else_may);
}

fn silence_ends<I: TestIp>(engine: EngineKind) {
    for (listener, first, seconds, event) in [
        (TRUSTED, &b"PROXY"[..], 3, Event::ProxyHeaderTimeouts),
        (TRUSTED, b"", 3, Event::ProxyHeaderTimeouts),
        (PASSTHROUGH, b"\x16\x03", 5, Event::ClientHelloTimeouts),
    ] {
        let mut talk = Talk::<I>::new(station(engine, listener, ""));
        if !first.is_empty() {
            talk.say(first);
        }
        talk.station
            .advance(Duration::from_millis(seconds * 1000 - 10));
        talk.settle();
        assert!(!talk.reset, "too early");
        talk.station.advance(Duration::from_millis(12));
        talk.settle();
        assert!(talk.reset);
        assert_eq!(talk.counters().event(event), 1);
        assert_eq!(talk.codes(), ["cP"]);
        talk.end();
    }
}

#[test]
fn who_takes_too_long_is_refused() {
    everywhere!(silence_ends);
}

fn leaving_early<I: TestIp>(engine: EngineKind) {
    for (says, code) in [(&b""[..], "CP"), (b"\x16\x03\x01", "IP")] {
        let mut talk = Talk::<I>::new(station(engine, PASSTHROUGH, ""));
        if !says.is_empty() {
            talk.say(says);
        }
        talk.finish();
        assert_eq!(talk.codes(), [code]);
        talk.end();
    }
}

#[test]
fn who_leaves_early_has_left() {
    everywhere!(leaving_early);
}

/// One octet a second: it holds no more than it has sent, and its time ends.
fn a_trickle<I: TestIp>(engine: EngineKind) {
    let mut talk = Talk::<I>::new(station(engine, PASSTHROUGH, ""));
    for octet in hello("a.example", 0) {
        if talk.reset {
            break;
        }
        talk.say(&[octet]);
        talk.station.advance(Duration::from_secs(1));
        talk.settle();
    }
    assert!(talk.reset);
    assert_eq!(talk.counters().event(Event::ClientHelloTimeouts), 1);
    talk.end();
}

#[test]
fn a_trickle_is_ended() {
    everywhere!(a_trickle);
}

fn hellos_pass_on_unchanged<I: TestIp>(engine: EngineKind) {
    for (padding, piece) in [(0, 9000), (0, 1), (3000, 1400), (3000, 700), (15_900, 1400)] {
        let mut talk = Talk::<I>::new(station(engine, PASSTHROUGH, ""));
        let hello = hello("a.example", padding);
        assert!(hello.len() < MAX_LEN);
        for octets in hello.chunks(piece) {
            assert!(talk.backend.is_none(), "before it is complete");
            talk.say(octets);
        }
        talk.say(b"and more");
        assert_eq!(
            talk.told,
            [&hello[..], b"and more"].concat(),
            "{padding} {piece}"
        );
        assert_eq!(talk.counters().event(Event::ClientHellos), 1);
        talk.end();
    }
}

#[test]
fn hellos_pass_on() {
    everywhere!(hellos_pass_on_unchanged);
}

const STRICT: &str = "tls = \"passthrough\"\nsni_strict = true\n[[listener.route]]\n\
                      sni = [\"*.example\"]\nbackend_group = \"GROUP\"\n";

fn unknown_names_get_an_alert<I: TestIp>(engine: EngineKind) {
    let mut talk = Talk::<I>::new(station(engine, STRICT, ""));
    talk.say(&hello("other.test", 0));
    assert_eq!(talk.heard, [21, 3, 3, 0, 2, 2, 112]);
    assert!(talk.finished && !talk.reset && talk.backend.is_none());
    assert_eq!(talk.counters().event(Event::SniUnrecognized), 1);
    assert_eq!(talk.codes(), ["DP"]);
    talk.finish();
    talk.end();

    let mut talk = Talk::<I>::new(station(engine, STRICT, ""));
    let hello = hello("www.EXAMPLE", 0);
    talk.say(&hello);
    assert_eq!(talk.told, hello);
    talk.end();
}

#[test]
fn strictness() {
    everywhere!(unknown_names_get_an_alert);
}

/// A header, then a ClientHello, then a header to the backend that says what both said.
fn all_at_once<I: TestIp>(engine: EngineKind) {
    let routed = STRICT.replace(
        "backend_group",
        "source = [\"203.0.113.0/24\"]\nbackend_group",
    );
    let listener = format!("{TRUSTED}{routed}");
    let group = "proxy_protocol = \"v2\"\nproxy_tlvs = [\"alpn\", \"authority\", \"crc32c\"]\n";
    let mut talk = Talk::<I>::new(station(engine, &listener, group));
    let hello = hello("www.example", 2000);
    let said = [&v1()[..], &hello].concat();
    for octets in said.chunks(1000) {
        talk.say(octets);
    }
    let mut expected = Vec::new();
    let announcement = AnnouncementV2 {
        alpn: Some(b"h2"),
        authority: Some("www.example"),
        unique_id: None,
        crc32c: true,
    };
    announcement.emit(told_ends(), &mut expected);
    expected.extend(hello);
    assert_eq!(talk.told, expected);
    assert_eq!(talk.counters().event(Event::ProxyHeadersSent), 1);
    talk.end();
}

#[test]
fn everything_at_once() {
    everywhere!(all_at_once);
}

/// Also if the client says nothing, as where servers speak first.
fn backends_are_told_first<I: TestIp>(engine: EngineKind) {
    let ends = Endpoints {
        source: address::<I>(I::CLIENT, 4000),
        destination: address::<I>(I::US, 80),
    };
    let mut talk = Talk::<I>::new(station(engine, "", "proxy_protocol = \"v1\"\n"));
    let mut expected = Vec::new();
    proxy_protocol::emit_v1(ends, &mut expected);
    assert_eq!(talk.told, expected);
    talk.say(b"hello");
    assert_eq!(talk.told, [&expected[..], b"hello"].concat());
    talk.end();

    let group = "proxy_protocol = \"v2\"\nproxy_tlvs = [\"unique_id\", \"alpn\", \"authority\"]\n";
    let talk = Talk::<I>::new(station(engine, "", group));
    let header = proxy_protocol::parse(&talk.told).unwrap().unwrap();
    assert_eq!(
        (header.endpoints, header.len),
        (Some(ends), talk.told.len())
    );
    let id = &talk.told[talk.told.len() - 35..];
    assert_eq!(id[..3], [5, 0, 32]);
    assert!(id[3..].iter().all(u8::is_ascii_hexdigit));
    talk.end();
}

#[test]
fn backends_are_told() {
    everywhere!(backends_are_told_first);
}

/// A header may say that there is nothing to say: then the connection itself counts.
fn checks_of_the_balancer<I: TestIp>(engine: EngineKind) {
    let mut talk = Talk::<I>::new(station(engine, TRUSTED, "proxy_protocol = \"v1\"\n"));
    talk.say(b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00");
    let mut expected = Vec::new();
    let ends = Endpoints {
        source: address::<I>(I::CLIENT, 4000),
        destination: address::<I>(I::US, 80),
    };
    proxy_protocol::emit_v1(ends, &mut expected);
    assert_eq!(talk.told, expected);
    talk.end();
}

#[test]
fn checks_speak_for_themselves() {
    everywhere!(checks_of_the_balancer);
}
