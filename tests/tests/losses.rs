//! Long paths that lose runs of packets: two native engines in virtual time.
//!
//! What is sent arrives; whose turn it is never waits for longer than his retransmission timeout
//! and a round trip; and once the path is good, connections end within bounds that follow from
//! that timeout, whether they are closed or reset.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;

use netstack::io::impair::BurstLoss;
use netstack::tcp::{Algorithm, Timeouts};
use netstack::time::Instant;
use weirgate_tests::stack::{
    Engine, Errno, Fd, Path, Shutdown, SocketOption, Stack, StackOptions, Weather,
};

/// Octets from the one end and, at the same time, from the other.
const OCTETS: [usize; 2] = [3_000_000, 300_000];

const RTT: Duration = Duration::from_millis(200);

/// How long packets are lost at most. A run of losses ends after some packets, not after some time:
/// to who sends one packet a timeout, it may seem endless.
const BAD: Duration = Duration::from_secs(30);

static PIECE: [u8; 64 << 10] = [7; 64 << 10];

fn path(addresses: [IpAddr; 2], congestion: Algorithm, loss_ppm: u32, seed: u64) -> Path {
    let options = StackOptions::new(Engine::Native);
    let options = StackOptions {
        receive_buffer: 16 << 20,
        first_window: Some(64 << 10),
        send_buffer: 16 << 20,
        send_buffers: 30_000,
        held_buffers: 60_000,
        congestion,
        // A timeout that was doubled often is as long as the usual one.
        timeouts: Timeouts {
            fin_wait_2: BAD * 10,
            ..options.timeouts
        },
        ..options
    };
    let weather = Weather {
        rtt: RTT,
        rate: 12_500,
        queue: 512 << 10,
        loss_ppm: 0,
        burst_loss: Some(BurstLoss::new(loss_ppm, 4)),
        late_ppm: 0,
    };
    Path::new(addresses, [options; 2], weather, seed)
}

/// One end of the connection, and what it has done.
struct End {
    fd: Fd,
    host: usize,
    written: usize,
    read: usize,
    peer_closed: bool,
}

impl End {
    /// Writes and reads what there is room for, and closes behind the last octet.
    fn pump(&mut self, path: &mut Path, buffer: &mut [u8]) {
        let host = &mut path.hosts[self.host];
        let len = PIECE.len().min(OCTETS[self.host] - self.written);
        if len > 0 {
            self.written += host.write(self.fd, &PIECE[..len]).unwrap_or(0);
            if self.written == OCTETS[self.host] {
                host.shutdown(self.fd, Shutdown::Write).expect("it is open");
            }
        }
        while let Ok(len) = host.read(self.fd, buffer) {
            self.read += len;
            self.peer_closed |= len == 0;
            if len == 0 {
                break;
            }
        }
    }

    fn info(&self, path: &mut Path, field: &str) -> u64 {
        let info = path.hosts[self.host].tcp_info(self.fd).expect("a socket");
        info.field(field).unwrap_or(0)
    }

    fn rto(&self, path: &mut Path) -> Duration {
        Duration::from_micros(self.info(path, "tcpi_rto"))
    }

    /// Whether everything has been sent at least once, the FIN apart.
    fn has_sent(&self, path: &mut Path) -> bool {
        self.written == OCTETS[self.host] && self.info(path, "tcpi_notsent_bytes") == 0
    }

    /// Checks that this end does not wait for nothing: the peer's window is always open here.
    fn check_silence(&self, path: &mut Path) {
        let silence = path
            .now()
            .saturating_duration_since(path.sent_at(self.host));
        // No timeout is shorter.
        if silence < RTT * 2 {
            return;
        }
        let unacknowledged = self.info(path, "tcpi_unacked");
        if unacknowledged + self.info(path, "tcpi_notsent_bytes") > 0 {
            // The timeout counts from the last acknowledgment, and timers tick in milliseconds.
            let most = self.rto(path) + RTT * 3 / 2;
            assert!(silence <= most, "host {}: {silence:?}", self.host);
        }
    }
}

/// Both ends send and close, and packets are lost until everything was sent once.
fn transfer(addresses: [IpAddr; 2], congestion: Algorithm, loss_ppm: u32, seed: u64) {
    let mut path = path(addresses, congestion, loss_ppm, seed);
    let fds = path.connect(SocketAddr::new(addresses[1], 80), 1)[0];
    let mut ends = [0, 1].map(|host| End {
        fd: fds[host],
        host,
        written: 0,
        read: 0,
        peer_closed: false,
    });
    let mut buffer = vec![0; 64 << 10];
    let mut limit = Instant::ZERO + BAD * 2;
    while !ends.iter().all(|end| end.peer_closed) {
        for end in &mut ends {
            end.pump(&mut path, &mut buffer);
            end.check_silence(&mut path);
        }
        let lossy = path.weather.burst_loss.is_some();
        let all_sent = lossy && ends.iter().all(|end| end.has_sent(&mut path));
        if lossy && (all_sent || path.now() >= Instant::ZERO + BAD) {
            path.weather.burst_loss = None;
            // The timeout that runs, a slow start for what was lost, and the FINs.
            let rto = ends.iter().map(|end| end.rto(&mut path)).max();
            let rest = if all_sent { RTT * 15 } else { BAD };
            limit = path.now() + rto.unwrap_or_default() + rest;
        }
        let now = path.now();
        assert!(now <= limit, "{congestion:?} {loss_ppm} {seed}: {now:?}");
        path.step();
    }
    assert_eq!(ends.map(|end| end.read), [OCTETS[1], OCTETS[0]]);
}

/// One end gives the connection up in the midst of it, on a path that is good from then on. Its
/// reset may arrive before octets that are missing, and has to be asked for again.
fn reset(addresses: [IpAddr; 2], seed: u64, by: usize) {
    let mut path = path(addresses, Algorithm::Cubic, 50_000, seed);
    let fds = path.connect(SocketAddr::new(addresses[1], 80), 1)[0];
    let linger = SocketOption::Linger(Some(Duration::ZERO));
    path.hosts[by]
        .set_option(fds[by], linger)
        .expect("an option");
    let mut buffer = vec![0; 64 << 10];
    let end = path.now() + Duration::from_millis(1_000 + seed * 217);
    while path.now() < end {
        // There may be no room.
        path.hosts[0].write(fds[0], &PIECE).ok();
        while let Ok(1..) = path.hosts[1].read(fds[1], &mut buffer) {}
        path.step();
    }
    path.weather.burst_loss = None;
    path.hosts[by].close(fds[by]).expect("a socket");
    let limit = path.now() + RTT * 3;
    let other = 1 - by;
    while !matches!(
        path.hosts[other].read(fds[other], &mut buffer),
        Err(error) if error != Errno::Again
    ) {
        assert!(path.now() <= limit, "seed {seed}: not over");
        path.step();
    }
}

fn over_both_versions(case: impl Fn([IpAddr; 2])) {
    let v6 = |host| Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, host);
    case([Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2)].map(Into::into));
    case([v6(1), v6(2)].map(Into::into));
}

fn transfers(congestion: Algorithm) {
    over_both_versions(|addresses| {
        for loss_ppm in [10_000, 50_000] {
            for seed in 1..=4 {
                transfer(addresses, congestion, loss_ppm, seed);
            }
        }
    });
}

#[test]
fn newreno_gets_everything_through_and_ends() {
    transfers(Algorithm::NewReno);
}

#[test]
fn cubic_gets_everything_through_and_ends() {
    transfers(Algorithm::Cubic);
}

#[test]
fn bbr_gets_everything_through_and_ends() {
    transfers(Algorithm::Bbr);
}

#[test]
fn a_reset_ends_both_ends_whatever_is_missing() {
    over_both_versions(|addresses| {
        for seed in 1..=15 {
            for by in [0, 1] {
                reset(addresses, seed, by);
            }
        }
    });
}
