//! Connections that we open.
//!
//! In: from where to where, and which source ports are better than others. Out: a connection that
//! sends its SYN when it is flushed. Its source port is free towards that end: no connection has it,
//! and none has had it a moment ago.

use core::net::SocketAddr;
use core::time::Duration;
use std::sync::Arc;

use super::{ConnId, Endpoint, Holder, find};
use crate::counters;
use crate::io::PacketBuf;
use crate::ip::{FiveTuple, Ip, NetworkId};
use crate::tcp::connection::Connection;
use crate::tcp::connection_options::ConnectionOptions;
use crate::tcp::engine::Engine;
use crate::tcp::{Numbers, PROTOCOL, TcpIp};
use crate::time::Instant;

/// How old an entry in TIME-WAIT must be before we may use its port for a new connection. Our own
/// initial sequence number is then above the old ones.
const PORT_REST: Duration = Duration::from_secs(1);

/// Where a connection is to be opened to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ConnectTarget<I: Ip> {
    /// The network of both addresses.
    pub network: NetworkId,
    /// Our address.
    pub local: I::Addr,
    /// The address and port of the backend.
    pub remote: (I::Addr, u16),
    /// The MTU of the path as far as it is known, in octets.
    pub mtu: usize,
    /// When the connection is given up if it is not established, however long a connect may take.
    pub by: Instant,
}

/// Why a connection could not be opened.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ConnectError {
    /// Every source port towards that end is in use.
    #[error("no free source port towards the backend")]
    NoPort,
    /// The worker has all the connections it may have.
    #[error("all connections of the worker are in use")]
    NoConnection,
}

impl<B: PacketBuf> Endpoint<B> {
    /// Opens a connection, held by session `owner`. Source ports whose replies satisfy
    /// `comes_home` are used first.
    pub fn connect<I: TcpIp>(
        &mut self,
        now: Instant,
        target: ConnectTarget<I>,
        options: &Arc<ConnectionOptions>,
        owner: u32,
        mut comes_home: impl FnMut(&FiveTuple<I>) -> bool,
    ) -> Result<ConnId, ConnectError> {
        if self.connections.len() >= self.config.max_connections {
            self.counters.increment(counters::Event::TcpConnectRefused);
            return Err(ConnectError::NoConnection);
        }
        let ConnectTarget {
            network,
            local,
            remote,
            mtu,
            by,
        } = target;
        let flow_from = |dport| FiveTuple::<I> {
            src: remote.0,
            dst: local,
            sport: remote.1,
            dport,
            protocol: PROTOCOL,
        };
        let remote_end = SocketAddr::new(remote.0.into(), remote.1);
        let (demux, connections) = (&self.demux, &self.connections);
        let is_free = |flow: &FiveTuple<I>| {
            let resting = I::time_wait(demux).get(network, flow);
            find(demux, connections, network, flow).is_none()
                && resting.is_none_or(|entry| entry.since + PORT_REST <= now)
        };
        let ports = &mut self.ports;
        let at_home = ports.allocate(network, local.into(), remote_end, |port| {
            let flow = flow_from(port);
            is_free(&flow) && comes_home(&flow)
        });
        // Better a reply that has to be handed over than none.
        let port = at_home.or_else(|| {
            ports.allocate(network, local.into(), remote_end, |port| {
                is_free(&flow_from(port))
            })
        });
        let Some(port) = port else {
            self.counters.increment(counters::Event::TcpPortsExhausted);
            return Err(ConnectError::NoPort);
        };
        let flow = flow_from(port);
        let numbers = self.numbers_above_old::<I>(now, network, flow);
        let on_path = options.on_path::<I>(mtu);
        let engine = Engine::connect(&mut self.context, &on_path, numbers, I::flow(flow), now);
        let connection = Connection::connect(engine, options, now, by);
        self.counters.increment(counters::Event::TcpConnects);
        Ok(self.insert(network, flow, connection, Holder::Session(owner)))
    }

    /// Numbers above those of an earlier connection of the flow (RFC 6191 section 2); the earlier
    /// one is forgotten.
    fn numbers_above_old<I: TcpIp>(
        &mut self,
        now: Instant,
        network: NetworkId,
        flow: FiveTuple<I>,
    ) -> Numbers {
        let numbers = self.isn.numbers(network, I::flow(flow), now);
        let time_wait = I::time_wait_mut(&mut self.demux);
        let Some(old) = time_wait.get(network, &flow) else {
            return numbers;
        };
        time_wait.remove(network, &flow);
        self.counters.increment(counters::Event::TcpTimeWaitReused);
        old.numbers_after(numbers)
    }
}
