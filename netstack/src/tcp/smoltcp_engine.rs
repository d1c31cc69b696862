//! smoltcp as the engine of a connection.
//!
//! smoltcp looks for the socket of a packet by scanning a set of sockets. So every connection has
//! a set of its own with one socket in it, and one interface (plain IP, any address) serves all
//! sets of a worker; which set a packet belongs to is decided before, by our flow index.
//!
//! smoltcp draws its initial sequence numbers from a generator that can be predicted. Ours are
//! keyed (RFC 6528), so sequence numbers are translated at this border, by [`Wire`]. smoltcp
//! ignores SACK blocks it receives, so they are not translated. Its checksums are switched off;
//! packets are checked before and completed after.

mod wire;

use core::time::Duration;

use core::hint::black_box;

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet, SocketStorage};
use smoltcp::phy::{self, Checksum, ChecksumCapabilities, DeviceCapabilities, Medium};
use smoltcp::socket::tcp::{self as socket, Socket, SocketBuffer};
use smoltcp::time::Instant as SmoltcpInstant;
use smoltcp::wire::{HardwareAddress, IpAddress, IpEndpoint, IpListenEndpoint};

use self::wire::Wire;
use super::connection::Transmitted;
use super::{ConnectionOptions, Flow, Output, Segment, State, seq};
use crate::io::PacketBuf;
use crate::time::Instant;
use crate::wire::tcp::Flags;

/// How long an acknowledgment may wait for data to travel with (RFC 9293 section 3.8.6.3 allows
/// up to 500 ms).
const DELAYED_ACK: Duration = Duration::from_millis(10);

/// What all connections of a worker share.
pub(super) struct Context {
    interface: Interface,
    /// Where a reply is written for which there is no buffer; its content is lost.
    scratch: Vec<u8>,
    mtu: usize,
}

impl Context {
    /// `mtu` is the largest of all ports; the limit of each path is kept by the MSS.
    pub(super) fn new(now: Instant, mtu: usize) -> Self {
        let mut device = Bench { mtu };
        let mut interface = Interface::new(
            Config::new(HardwareAddress::Ip),
            &mut device,
            to_smoltcp(now),
        );
        interface.set_any_ip(true);
        Self {
            interface,
            scratch: vec![0; mtu],
            mtu,
        }
    }
}

/// One connection.
pub(super) struct Engine {
    sockets: SocketSet<'static>,
    handle: SocketHandle,
    wire: Wire,
    /// Octets that were received and consumed, modulo 2^32.
    consumed: u32,
    fin_received: bool,
    /// When it entered TIME-WAIT.
    time_wait_since: Option<Instant>,
    #[cfg(test)]
    pub(super) panic_on_next_segment: bool,
}

impl Engine {
    /// An engine that waits for the SYN of `flow`.
    pub(super) fn listen(options: &ConnectionOptions, iss: u32, flow: Flow) -> Self {
        let mut socket = new_socket(options);
        let (local, _) = endpoints(flow);
        let listening = socket.listen(IpListenEndpoint {
            addr: Some(local.addr),
            port: local.port,
        });
        debug_assert!(
            listening.is_ok(),
            "a fresh socket listens on any port but 0"
        );
        Self::new(socket, options, iss)
    }

    /// An engine that sends a SYN at its first `poll_transmit`.
    pub(super) fn connect(
        context: &mut Context,
        options: &ConnectionOptions,
        iss: u32,
        flow: Flow,
    ) -> Self {
        let mut socket = new_socket(options);
        let (local, remote) = endpoints(flow);
        let connecting = socket.connect(context.interface.context(), remote, local);
        debug_assert!(
            connecting.is_ok(),
            "the flow has addresses of one family and ports"
        );
        Self::new(socket, options, iss)
    }

    fn new(socket: Socket<'static>, options: &ConnectionOptions, iss: u32) -> Self {
        let mut sockets = SocketSet::new(vec![SocketStorage::EMPTY]);
        let handle = sockets.add(socket);
        Self {
            sockets,
            handle,
            wire: Wire::new(options, iss),
            consumed: 0,
            fin_received: false,
            time_wait_since: None,
            #[cfg(test)]
            panic_on_next_segment: false,
        }
    }

    /// Takes in a segment of this connection.
    pub(super) fn handle_segment<B: PacketBuf, O: Output>(
        &mut self,
        context: &mut Context,
        now: Instant,
        segment: &mut Segment<B>,
        out: &mut O,
    ) {
        #[cfg(test)]
        assert!(!self.panic_on_next_segment, "panic asked for by a test");
        let unsynchronized = self.is_unsynchronized();
        let only_fin_repeated = self.repeats_ack_of_all_but_fin(segment);
        let rcv_nxt = self.rcv_nxt();
        self.wire.receive(segment, rcv_nxt);
        // smoltcp takes the third of these for the loss of data, finds none to send again, and
        // stops its timer: the FIN would never be sent again.
        if only_fin_repeated {
            return;
        }
        let mut device = Device {
            received: Some(segment.packet.data()),
            buffer: None,
            out,
            wire: &mut self.wire,
            scratch: &mut context.scratch,
            mtu: context.mtu,
        };
        context
            .interface
            .poll_ingress_single(to_smoltcp(now), &mut device, &mut self.sockets);
        if unsynchronized && matches!(self.state(), State::SynReceived | State::Established) {
            self.wire.synchronize(&segment.header);
        }
        if self.state() == State::TimeWait {
            self.time_wait_since.get_or_insert(now);
        }
        self.fin_received |= matches!(
            self.state(),
            State::CloseWait | State::Closing | State::LastAck | State::TimeWait
        );
    }

    /// Sends at most `allowed` segments.
    pub(super) fn poll_transmit<O: Output>(
        &mut self,
        context: &mut Context,
        now: Instant,
        out: &mut O,
        allowed: usize,
    ) -> Transmitted {
        // smoltcp forgets a socket, with what was received on it, 10 s after it entered TIME-WAIT,
        // but the session may still have to read. So its clock stops there, when the ACK that
        // waited for company is due: nothing comes any more that it could go with.
        let now = self
            .time_wait_since
            .map_or(now, |since| since + DELAYED_ACK);
        for _ in 0..allowed {
            if self.poll_timeout(context, now).is_none_or(|at| at > now) {
                return Transmitted::All;
            }
            // smoltcp takes a fast retransmission for done even if there was no buffer for it, so
            // it is asked only when there is one.
            let Some(buffer) = out.alloc() else {
                return Transmitted::NoBuffer;
            };
            let mut device = Device {
                received: None,
                buffer: Some(buffer),
                out: &mut *out,
                wire: &mut self.wire,
                scratch: &mut context.scratch,
                mtu: context.mtu,
            };
            let result =
                context
                    .interface
                    .poll_egress(to_smoltcp(now), &mut device, &mut self.sockets);
            if matches!(result, smoltcp::iface::PollResult::None) {
                return Transmitted::All;
            }
        }
        Transmitted::Allowed
    }

    /// When `poll_transmit` must be called again at the latest.
    pub(super) fn poll_timeout(&self, context: &mut Context, now: Instant) -> Option<Instant> {
        let at = context.interface.poll_at(to_smoltcp(now), &self.sockets)?;
        Some(Instant::from_micros(at.total_micros().unsigned_abs()))
    }

    /// The state in the words of RFC 9293.
    pub(super) fn state(&self) -> State {
        match self.socket().state() {
            // A socket leaves LISTEN with its SYN and comes back only by a reset.
            socket::State::Closed | socket::State::Listen => State::Closed,
            socket::State::SynSent => State::SynSent,
            socket::State::SynReceived => State::SynReceived,
            socket::State::Established => State::Established,
            socket::State::FinWait1 => State::FinWait1,
            socket::State::FinWait2 => State::FinWait2,
            socket::State::CloseWait => State::CloseWait,
            socket::State::Closing => State::Closing,
            socket::State::LastAck => State::LastAck,
            socket::State::TimeWait => State::TimeWait,
        }
    }

    /// The next received octets that are contiguous in memory; empty if there are none.
    pub(super) fn received(&mut self) -> &[u8] {
        let socket = self.sockets.get_mut::<Socket<'_>>(self.handle);
        let len = socket.recv_queue();
        socket.peek(len).unwrap_or_default()
    }

    /// Copies the first `len` received octets, or all if there are fewer, behind those in `into`.
    pub(super) fn copy_received(&mut self, len: usize, into: &mut Vec<u8>) {
        let before = into.len();
        into.resize(before + len.min(self.receive_queue()), 0);
        let copied = self.socket_mut().peek_slice(&mut into[before..]);
        into.truncate(before + copied.unwrap_or(0));
    }

    /// Forgets the first `len` received octets.
    pub(super) fn consume(&mut self, len: usize) {
        let consumed = self.socket_mut().recv(|octets| {
            let len = len.min(octets.len());
            (len, len)
        });
        self.consumed = self.consumed.wrapping_add(consumed.unwrap_or(0) as u32);
    }

    /// Octets received in order and not yet consumed.
    pub(super) fn receive_queue(&self) -> usize {
        self.socket().recv_queue()
    }

    /// Queues as many of `octets` as there is room for; returns how many.
    pub(super) fn send(&mut self, octets: &[u8]) -> usize {
        self.socket_mut().send_slice(octets).unwrap_or(0)
    }

    /// How many octets may still be queued.
    pub(super) fn send_room(&self) -> usize {
        let socket = self.socket();
        if socket.may_send() {
            socket.send_capacity() - socket.send_queue()
        } else {
            0
        }
    }

    /// Octets queued that the peer has not acknowledged.
    pub(super) fn send_queue(&self) -> usize {
        self.socket().send_queue()
    }

    /// Ends our direction after all that is queued.
    pub(super) fn close(&mut self) {
        self.socket_mut().close();
    }

    /// Ends the connection; `poll_transmit` sends the RST.
    pub(super) fn abort(&mut self) {
        self.socket_mut().abort();
    }

    /// Whether the peer has ended its direction (its FIN has been reached).
    pub(super) fn fin_received(&self) -> bool {
        self.fin_received
    }

    /// The first sequence number not yet acknowledged by the peer.
    pub(super) fn snd_una(&self) -> u32 {
        self.wire.snd_una
    }

    /// The first sequence number never sent.
    pub(super) fn snd_nxt(&self) -> u32 {
        self.wire.snd_max
    }

    /// Whether `seq` is a number that was sent and is not acknowledged.
    pub(super) fn is_in_flight(&self, seq: u32) -> bool {
        seq::le(self.snd_una(), seq) && seq::lt(seq, self.snd_nxt())
    }

    /// Whether `seq` is inside the window that we offer, or at its very end.
    pub(super) fn is_in_window(&self, seq: u32) -> bool {
        self.rcv_nxt()
            .is_some_and(|rcv_nxt| self.wire.offers(rcv_nxt, seq))
    }

    /// The next sequence number expected; `None` before the peer's SYN.
    pub(super) fn rcv_nxt(&self) -> Option<u32> {
        let after_syn = self.wire.irs?.wrapping_add(1);
        let received = self.consumed.wrapping_add(self.receive_queue() as u32);
        Some(
            after_syn
                .wrapping_add(received)
                .wrapping_add(u32::from(self.fin_received)),
        )
    }

    /// The window field of a segment that says nothing but what the peer was told before.
    pub(super) fn window(&self) -> u16 {
        self.rcv_nxt()
            .map_or(0, |rcv_nxt| self.wire.window(rcv_nxt))
    }

    /// Whether the peer has something to answer, sent since it was last heard.
    pub(super) fn is_unanswered(&self) -> bool {
        self.wire.unanswered
    }

    /// Reads a field of each cache line that the next segment will need, so that they are fetched.
    pub(super) fn touch_state(&self) {
        let socket = self.socket();
        black_box((
            socket.state(),
            socket.recv_queue(),
            socket.send_queue(),
            socket.local_endpoint(),
            socket.timeout(),
            socket.keep_alive(),
            socket.ack_delay(),
            socket.hop_limit(),
        ));
    }

    /// Segments sent again since this was last asked.
    pub(super) fn take_retransmits(&mut self) -> u32 {
        core::mem::take(&mut self.wire.retransmits)
    }

    /// Resets sent since this was last asked.
    pub(super) fn take_resets(&mut self) -> u32 {
        core::mem::take(&mut self.wire.resets)
    }

    /// Whether the peer's SYN has not come yet.
    fn is_unsynchronized(&self) -> bool {
        matches!(
            self.socket().state(),
            socket::State::Listen | socket::State::SynSent
        )
    }

    /// Whether a segment says nothing but, once more, that everything except our FIN has arrived.
    /// A FIN of the peer that does not come next says nothing yet.
    fn repeats_ack_of_all_but_fin<B: PacketBuf>(&self, segment: &Segment<B>) -> bool {
        let Some(rcv_nxt) = self.rcv_nxt() else {
            return false;
        };
        let header = &segment.header;
        let flags = header.flags.without(Flags::PSH);
        let says_nothing = if header.seq == rcv_nxt {
            flags == Flags::ACK
        } else {
            flags.without(Flags::FIN) == Flags::ACK && self.wire.offers(rcv_nxt, header.seq)
        };
        let ending = matches!(
            self.state(),
            State::FinWait1 | State::Closing | State::LastAck
        );
        ending
            && says_nothing
            && segment.payload_len() == 0
            && header.ack == self.wire.snd_una
            && header.ack.wrapping_add(1) == self.wire.snd_max
            && self.send_queue() == 0
    }

    fn socket(&self) -> &Socket<'static> {
        self.sockets.get(self.handle)
    }

    fn socket_mut(&mut self) -> &mut Socket<'static> {
        self.sockets.get_mut(self.handle)
    }
}

fn new_socket(options: &ConnectionOptions) -> Socket<'static> {
    let mut socket = Socket::new(
        SocketBuffer::new(vec![0; options.receive_buffer]),
        SocketBuffer::new(vec![0; options.send_buffer]),
    );
    socket.set_congestion_control(socket::CongestionControl::Cubic);
    // A proxy sends on what it got as it got it: waiting for more (Nagle) only adds delay.
    socket.set_nagle_enabled(false);
    socket.set_ack_delay(Some(DELAYED_ACK.into()));
    socket.set_keep_alive(options.keepalive.map(|keepalive| keepalive.idle.into()));
    socket
}

/// The local and the remote end.
fn endpoints(flow: Flow) -> (IpEndpoint, IpEndpoint) {
    match flow {
        Flow::V4(flow) => (
            IpEndpoint::new(IpAddress::Ipv4(flow.dst), flow.dport),
            IpEndpoint::new(IpAddress::Ipv4(flow.src), flow.sport),
        ),
        Flow::V6(flow) => (
            IpEndpoint::new(IpAddress::Ipv6(flow.dst), flow.dport),
            IpEndpoint::new(IpAddress::Ipv6(flow.src), flow.sport),
        ),
    }
}

fn to_smoltcp(now: Instant) -> SmoltcpInstant {
    SmoltcpInstant::from_micros(i64::try_from(now.as_micros()).unwrap_or(i64::MAX))
}

/// What smoltcp takes for its network device: a packet in, and one out.
struct Device<'a, O: Output> {
    received: Option<&'a [u8]>,
    /// For the one segment that smoltcp may send of its own accord.
    buffer: Option<O::Buf>,
    out: &'a mut O,
    wire: &'a mut Wire,
    scratch: &'a mut [u8],
    mtu: usize,
}

impl<O: Output> phy::Device for Device<'_, O> {
    type RxToken<'t>
        = RxToken<'t>
    where
        Self: 't;
    type TxToken<'t>
        = TxToken<'t, O>
    where
        Self: 't;

    fn receive(&mut self, _now: SmoltcpInstant) -> Option<(RxToken<'_>, TxToken<'_, O>)> {
        let octets = self.received.take()?;
        // Few segments are answered at once: a buffer is lent when one is.
        let reply = TxToken {
            buffer: None,
            out: self.out,
            wire: self.wire,
            scratch: self.scratch,
        };
        Some((RxToken(octets), reply))
    }

    fn transmit(&mut self, _now: SmoltcpInstant) -> Option<TxToken<'_, O>> {
        let buffer = self.buffer.take()?;
        Some(TxToken {
            buffer: Some(buffer),
            out: self.out,
            wire: self.wire,
            scratch: self.scratch,
        })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        capabilities(self.mtu)
    }
}

/// A device that exists only while the interface is made.
struct Bench {
    mtu: usize,
}

impl phy::Device for Bench {
    type RxToken<'t> = RxToken<'t>;
    type TxToken<'t> = NoTxToken;

    fn receive(&mut self, _now: SmoltcpInstant) -> Option<(RxToken<'_>, NoTxToken)> {
        None
    }

    fn transmit(&mut self, _now: SmoltcpInstant) -> Option<NoTxToken> {
        None
    }

    fn capabilities(&self) -> DeviceCapabilities {
        capabilities(self.mtu)
    }
}

/// Never made.
enum NoTxToken {}

impl phy::TxToken for NoTxToken {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, _len: usize, _fill: F) -> R {
        match self {}
    }
}

fn capabilities(mtu: usize) -> DeviceCapabilities {
    let mut checksum = ChecksumCapabilities::ignored();
    // The IPv4 header checksum is the worker's work too.
    checksum.ipv4 = Checksum::None;
    let mut capabilities = DeviceCapabilities::default();
    capabilities.medium = Medium::Ip;
    capabilities.max_transmission_unit = mtu;
    capabilities.checksum = checksum;
    capabilities
}

struct RxToken<'a>(&'a [u8]);

impl phy::RxToken for RxToken<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(self.0)
    }
}

struct TxToken<'a, O: Output> {
    /// `None`: lent when something is sent.
    buffer: Option<O::Buf>,
    out: &'a mut O,
    wire: &'a mut Wire,
    scratch: &'a mut [u8],
}

impl<O: Output> phy::TxToken for TxToken<'_, O> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, fill: F) -> R {
        let lent = self.buffer.or_else(|| self.out.alloc());
        let buffer = lent.and_then(|mut buffer| {
            let fits = buffer.append(len).is_some();
            fits.then_some(buffer)
        });
        let Some(mut buffer) = buffer else {
            self.out.lost();
            return fill(&mut self.scratch[..len]);
        };
        let result = fill(buffer.data_mut());
        self.wire.send(buffer.data_mut());
        self.out.send(buffer);
        result
    }
}
