//! What sessions are made with: backend groups, and how each backend is reached.

use core::time::Duration;
use std::sync::Arc;

use crossbeam_channel::Sender;
use netstack::tcp::ConnectionOptions;

use super::Preface;
use crate::config::AnnounceConfig;
use crate::l7::backend_path::BackendPath;
use crate::l7::backend_pool::BackendPool;
use crate::l7::report::SessionReport;

/// A backend group as a worker uses it.
#[derive(Debug)]
pub struct Group {
    /// Who is next.
    pub pool: BackendPool,
    /// How each backend is reached, in the order of the pool.
    pub paths: Vec<BackendPath>,
    /// What connections to it are made with.
    pub options: Arc<ConnectionOptions>,
    /// Backends tried for one session at most.
    pub tries: u8,
    /// How backends are told who the client is, if they are.
    pub announce: Option<AnnounceConfig>,
}

/// What is done for the clients of a listener.
#[derive(Debug)]
pub struct ListenerPlan {
    /// The group that serves those whom no route takes.
    pub group: usize,
    /// What they have to say first.
    pub preface: Preface,
}

/// What sessions are made with.
#[derive(Debug)]
pub struct SessionsConfig {
    /// This worker.
    pub worker: u16,
    /// Sessions at once.
    pub max_sessions: usize,
    /// Backend groups.
    pub groups: Vec<Group>,
    /// What is done for the clients of each listener.
    pub listeners: Vec<ListenerPlan>,
    /// How long a client may take for its PROXY header.
    pub proxy_header: Duration,
    /// How long a client may take for its ClientHello.
    pub client_hello: Duration,
    /// A number that no other process has.
    pub process: u64,
    /// How long backends may be tried for one session.
    pub connect_total: Duration,
    /// Where reports go; full means lost and counted.
    pub reports: Sender<SessionReport>,
}
