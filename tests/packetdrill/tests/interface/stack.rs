//! The library as a stack that scripts can be played against.
//!
//! Calls on sockets that wait are made in threads of the process that has the library loaded, as
//! packetdrill does, while packets go in and time goes on from its main thread. The calls that move
//! octets take turns among all that the interface has.

use core::fmt::Write;
use core::net::SocketAddr;
use core::time::Duration;
use std::collections::BTreeMap;

use netstack::time::Instant;
use weirgate_tests::stack::{
    BlockingCall, Completed, Errno, Fd, OptionName, PollEvents, SettingError, Shutdown,
    SocketOption, Stack, TcpInfo,
};

use crate::driver::{Answer, Driver, hex};

/// A stack in another process.
pub(crate) struct Loaded {
    driver: Driver,
    /// The settings that were given as flags.
    settings: Vec<(String, String)>,
    /// Calls that wait, with their numbers.
    waiting: Vec<(BlockingCall, i64)>,
    /// Whether calls on a socket wait.
    blocking: BTreeMap<Fd, bool>,
    turn: usize,
}

const RECEIVE: [&str; 5] = ["recv", "recvfrom", "recvmsg", "read", "readv"];
const SEND: [&str; 5] = ["send", "sendto", "sendmsg", "write", "writev"];

impl Loaded {
    /// Loads the library with these flags, and these settings among them.
    pub(crate) fn new(flags: &str, settings: Vec<(String, String)>) -> Self {
        let mut flags = flags.to_owned();
        for (name, value) in &settings {
            write!(flags, ",{name}={value}").unwrap();
        }
        Self {
            driver: Driver::start(&flags),
            settings,
            waiting: Vec::new(),
            blocking: BTreeMap::new(),
            turn: 0,
        }
    }

    /// The next of five names; one of the first three if there are flags.
    fn name(&mut self, names: [&'static str; 5], flags: i32) -> &'static str {
        self.turn += 1;
        names[self.turn % if flags == 0 { 5 } else { 3 }]
    }

    /// A call as the driver reads it.
    fn line(&mut self, call: &BlockingCall, flags: i32) -> String {
        match call {
            BlockingCall::Accept { fd } => format!("accept {}", fd.0),
            BlockingCall::Connect { fd, remote } => {
                format!("connect {} {} {}", fd.0, remote.ip(), remote.port())
            }
            BlockingCall::Read { fd, len, peek } => {
                let flags = flags | if *peek { libc::MSG_PEEK } else { 0 };
                let name = self.name(RECEIVE, flags);
                format!("recv {name} {} {len} {flags}", fd.0)
            }
            BlockingCall::Write { fd, octets, .. } => {
                let name = self.name(SEND, flags);
                format!("send {name} {} {} {flags}", fd.0, hex(octets))
            }
        }
    }

    /// What a call gave, of an answer.
    fn completed(&mut self, call: &BlockingCall, mut answer: Answer) -> Result<Completed, Errno> {
        let result = answer.checked()?;
        Ok(match call {
            BlockingCall::Accept { .. } => {
                let fd = Fd(result as i32);
                self.blocking.insert(fd, true);
                let ip = answer.next();
                Completed::Accepted(fd, SocketAddr::new(ip, answer.next()))
            }
            BlockingCall::Connect { .. } => Completed::Connected,
            BlockingCall::Read { .. } => {
                let octets = answer.octets();
                assert_eq!(i64::try_from(octets.len()), Ok(result));
                Completed::Read(octets)
            }
            BlockingCall::Write { .. } => Completed::Written(usize::try_from(result).unwrap()),
        })
    }

    fn unit(&mut self, line: &str) -> Result<(), Errno> {
        self.driver.call(line).checked().map(drop)
    }

    fn option_line(
        &mut self,
        fd: Fd,
        (level, name): (i32, i32),
        value: &[u8],
    ) -> Result<(), Errno> {
        self.unit(&format!(
            "setsockopt {} {level} {name} {}",
            fd.0,
            hex(value)
        ))
    }
}

/// An `int` as an option's value.
fn int(value: impl TryInto<i32>) -> Vec<u8> {
    value.try_into().unwrap_or(i32::MAX).to_ne_bytes().to_vec()
}

fn seconds(time: Duration) -> Vec<u8> {
    int(time.as_secs())
}

impl Stack for Loaded {
    fn now(&self) -> Instant {
        Instant::from_micros(self.driver.now())
    }

    /// Settings cannot be changed on the way: they were flags.
    fn configure(&mut self, name: &str, value: &str) -> Result<(), SettingError> {
        let known = |(n, v): &(String, String)| (n.as_str(), v.as_str()) == (name, value);
        if self.settings.iter().any(known) {
            return Ok(());
        }
        Err(SettingError::Unknown {
            name: name.to_owned(),
        })
    }

    fn socket(&mut self) -> Result<Fd, Errno> {
        let line = format!("socket {} {} 0", libc::AF_INET6, libc::SOCK_STREAM);
        let fd = Fd(self.driver.call(&line).checked()? as i32);
        self.blocking.insert(fd, true);
        Ok(fd)
    }

    fn bind(&mut self, fd: Fd, local: SocketAddr) -> Result<(), Errno> {
        self.unit(&format!("bind {} {} {}", fd.0, local.ip(), local.port()))
    }

    fn listen(&mut self, fd: Fd, backlog: usize) -> Result<(), Errno> {
        self.unit(&format!("listen {} {backlog}", fd.0))
    }

    fn accept(&mut self, fd: Fd) -> Result<(Fd, SocketAddr), Errno> {
        match self.proceed(&mut BlockingCall::Accept { fd }, false)? {
            Completed::Accepted(fd, remote) => Ok((fd, remote)),
            other => panic!("{other:?}"),
        }
    }

    fn connect(&mut self, fd: Fd, remote: SocketAddr) -> Result<(), Errno> {
        let call = &mut BlockingCall::Connect { fd, remote };
        self.proceed(call, false).map(drop)
    }

    fn read(&mut self, _fd: Fd, _out: &mut [u8]) -> Result<usize, Errno> {
        unreachable!("scripts read by `proceed`")
    }

    fn peek(&mut self, _fd: Fd, _out: &mut [u8]) -> Result<usize, Errno> {
        unreachable!("scripts peek by `proceed`")
    }

    fn write(&mut self, _fd: Fd, _octets: &[u8]) -> Result<usize, Errno> {
        unreachable!("scripts write by `proceed`")
    }

    fn proceed(&mut self, call: &mut BlockingCall, waits: bool) -> Result<Completed, Errno> {
        let known = self.waiting.iter().position(|(waiting, _)| waiting == call);
        if let Some(index) = known {
            let (answer, ended) = self
                .driver
                .result(self.waiting[index].1)
                .ok_or(Errno::Already)?;
            assert!(ended <= self.driver.now(), "it ended in the future");
            self.waiting.remove(index);
            return self.completed(call, answer);
        }
        if !waits {
            let line = self.line(call, libc::MSG_DONTWAIT);
            let answer = self.driver.call(&line);
            return self.completed(call, answer);
        }
        let line = self.line(call, 0);
        let number = self.driver.begin(&line);
        if let Some((answer, _)) = self.driver.result(number) {
            return self.completed(call, answer);
        }
        self.waiting.push((call.clone(), number));
        Err(Errno::InProgress)
    }

    fn shutdown(&mut self, fd: Fd, how: Shutdown) -> Result<(), Errno> {
        let how = match how {
            Shutdown::Read => libc::SHUT_RD,
            Shutdown::Write => libc::SHUT_WR,
            Shutdown::Both => libc::SHUT_RDWR,
        };
        self.unit(&format!("shutdown {} {how}", fd.0))
    }

    fn close(&mut self, fd: Fd) -> Result<(), Errno> {
        self.blocking.remove(&fd);
        self.unit(&format!("close {}", fd.0))
    }

    fn set_option(&mut self, fd: Fd, option: SocketOption) -> Result<(), Errno> {
        let socket = |name| (libc::SOL_SOCKET, name);
        let tcp = |name| (libc::IPPROTO_TCP, name);
        let (name, value) = match option {
            SocketOption::ReuseAddress(on) => (socket(libc::SO_REUSEADDR), int(on)),
            SocketOption::Linger(time) => {
                let value = [int(time.is_some()), seconds(time.unwrap_or_default())];
                (socket(libc::SO_LINGER), value.concat())
            }
            SocketOption::ReceiveBuffer(octets) => (socket(libc::SO_RCVBUF), int(octets)),
            SocketOption::SendBuffer(octets) => (socket(libc::SO_SNDBUF), int(octets)),
            SocketOption::KeepAlive(on) => (socket(libc::SO_KEEPALIVE), int(on)),
            SocketOption::KeepIdle(time) => (tcp(libc::TCP_KEEPIDLE), seconds(time)),
            SocketOption::KeepInterval(time) => (tcp(libc::TCP_KEEPINTVL), seconds(time)),
            SocketOption::KeepCount(count) => (tcp(libc::TCP_KEEPCNT), int(count)),
            SocketOption::MaxSegment(octets) => (tcp(libc::TCP_MAXSEG), int(octets)),
            SocketOption::NoDelay(on) => (tcp(libc::TCP_NODELAY), int(on)),
            SocketOption::UserTimeout(time) => (tcp(libc::TCP_USER_TIMEOUT), int(time.as_millis())),
            SocketOption::Congestion(algorithm) => {
                let name = format!("{algorithm:?}").to_lowercase();
                (tcp(libc::TCP_CONGESTION), name.into_bytes())
            }
        };
        self.option_line(fd, name, &value)
    }

    fn option(&mut self, fd: Fd, name: OptionName) -> Result<i32, Errno> {
        let (level, name) = match name {
            OptionName::Error => (libc::SOL_SOCKET, libc::SO_ERROR),
            OptionName::ReceiveBuffer => (libc::SOL_SOCKET, libc::SO_RCVBUF),
            OptionName::SendBuffer => (libc::SOL_SOCKET, libc::SO_SNDBUF),
            OptionName::MaxSegment => (libc::IPPROTO_TCP, libc::TCP_MAXSEG),
        };
        let line = format!("getsockopt {} {level} {name} 4", fd.0);
        let mut answer = self.driver.call(&line);
        answer.checked()?;
        Ok(i32::from_ne_bytes(answer.octets().try_into().unwrap()))
    }

    fn is_blocking(&self, fd: Fd) -> Result<bool, Errno> {
        self.blocking.get(&fd).copied().ok_or(Errno::BadFd)
    }

    fn set_blocking(&mut self, fd: Fd, blocking: bool) -> Result<(), Errno> {
        let flags = if blocking { 0 } else { libc::O_NONBLOCK };
        self.unit(&format!("fcntl {} {} {flags}", fd.0, libc::F_SETFL))?;
        self.blocking.insert(fd, blocking);
        Ok(())
    }

    fn poll(&mut self, fd: Fd) -> Result<PollEvents, Errno> {
        let all = PollEvents::IN
            .union(PollEvents::OUT)
            .union(PollEvents::RDHUP);
        let mut answer = self.driver.call(&format!("poll {} {} 0", fd.0, all.0));
        answer.checked()?;
        let ready = PollEvents(answer.next::<i16>().cast_unsigned());
        if ready.0 == libc::POLLNVAL as u16 {
            return Err(Errno::BadFd);
        }
        Ok(ready)
    }

    fn tcp_info(&mut self, fd: Fd) -> Result<TcpInfo, Errno> {
        let line = format!(
            "getsockopt {} {} {} 1024",
            fd.0,
            libc::IPPROTO_TCP,
            libc::TCP_INFO
        );
        let mut answer = self.driver.call(&line);
        answer.checked()?;
        Ok(info(&answer.octets()))
    }

    fn inject(&mut self, packet: &[u8]) {
        let answer = self.driver.call(&format!("inject {}", hex(packet)));
        assert_eq!(answer.checked(), Ok(0));
    }

    fn next_packet(&mut self) -> Option<(Instant, Vec<u8>)> {
        if self.driver.packets() == 0 {
            return None;
        }
        let (at, packet) = self.driver.receive()?;
        Some((Instant::from_micros(at), packet))
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.driver.deadline().map(Instant::from_micros)
    }

    fn advance_to(&mut self, at: Instant) {
        self.driver.sleep_until(at.as_nanos().div_ceil(1000));
    }
}

/// What the structure says, by the offsets that Linux documents.
fn info(octets: &[u8]) -> TcpInfo {
    let one = |offset: usize| u64::from(octets[offset]);
    let four = |offset: usize| u32::from_ne_bytes(*octets[offset..].first_chunk().unwrap());
    let eight = |offset: usize| u64::from_ne_bytes(*octets[offset..].first_chunk().unwrap());
    let mut info = TcpInfo::default();
    for (name, offset) in ONE {
        info = info.with(name, one(offset));
    }
    for (name, offset) in FOUR {
        info = info.with(name, four(offset).into());
    }
    for (name, offset) in EIGHT {
        info = info.with(name, eight(offset));
    }
    info
}

const ONE: [(&str, usize); 7] = [
    ("tcpi_state", 0),
    ("tcpi_ca_state", 1),
    ("tcpi_retransmits", 2),
    ("tcpi_probes", 3),
    ("tcpi_backoff", 4),
    ("tcpi_options", 5),
    ("tcpi_delivery_rate_app_limited", 7),
];
const FOUR: [(&str, usize); 20] = [
    ("tcpi_rto", 8),
    ("tcpi_snd_mss", 16),
    ("tcpi_rcv_mss", 20),
    ("tcpi_unacked", 24),
    ("tcpi_sacked", 28),
    ("tcpi_lost", 32),
    ("tcpi_retrans", 36),
    ("tcpi_pmtu", 60),
    ("tcpi_rtt", 68),
    ("tcpi_rttvar", 72),
    ("tcpi_snd_ssthresh", 76),
    ("tcpi_snd_cwnd", 80),
    ("tcpi_reordering", 88),
    ("tcpi_total_retrans", 100),
    ("tcpi_notsent_bytes", 144),
    ("tcpi_min_rtt", 148),
    ("tcpi_delivered", 192),
    ("tcpi_reord_seen", 220),
    ("tcpi_snd_wnd", 228),
    ("tcpi_rcv_wnd", 232),
];
const EIGHT: [(&str, usize); 6] = [
    ("tcpi_pacing_rate", 104),
    ("tcpi_delivery_rate", 160),
    ("tcpi_busy_time", 168),
    ("tcpi_rwnd_limited", 176),
    ("tcpi_sndbuf_limited", 184),
    ("tcpi_bytes_retrans", 208),
];
