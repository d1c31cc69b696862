//! A server that sends or takes as many octets as a client asks for.
//!
//! A request is one octet, `D` (download) or `U` (upload), and the number of octets as eight more.
//! What was uploaded is answered by one octet when all of it is there.

use std::ffi::OsString;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv6Addr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sys::socket::{Shutdown, setsockopt, shutdown, sockopt::TcpCongestion};

use super::transfer::Way;
use crate::rig::{Namespace, RigError};

/// The server; dropping it ends it.
#[derive(Debug)]
pub(super) struct OctetServer {
    listener: Arc<TcpListener>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What its threads have in common.
#[derive(Debug, Default)]
struct Shared {
    received: AtomicU64,
    connections: AtomicU64,
    stopping: AtomicBool,
}

impl OctetServer {
    /// Listens on `port` of all addresses of `namespace`, with the kernel's congestion control of
    /// that name.
    pub(super) fn start(
        namespace: &Namespace,
        port: u16,
        congestion: &str,
    ) -> Result<Self, RigError> {
        let what = || RigError::io(format!("port {port} with {congestion}"));
        let listen = || {
            let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port))?;
            setsockopt(&listener, TcpCongestion, &OsString::from(congestion))?;
            Ok(listener)
        };
        let listener = Arc::new(namespace.enter(listen)?.map_err(what())?);
        let shared = Arc::new(Shared::default());
        let thread = thread::spawn({
            let (listener, shared) = (Arc::clone(&listener), Arc::clone(&shared));
            move || accept(&listener, &shared)
        });
        Ok(Self {
            listener,
            shared,
            thread: Some(thread),
        })
    }

    /// Octets received so far, of all connections.
    pub(super) fn received(&self) -> u64 {
        self.shared.received.load(Ordering::Relaxed)
    }

    /// Connections that are open.
    pub(super) fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }
}

impl Drop for OctetServer {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
        // Ends `accept`; if it does not, there is nobody to tell.
        let _ = shutdown(self.listener.as_raw_fd(), Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    while !shared.stopping.load(Ordering::Relaxed) {
        let Ok((stream, _)) = listener.accept() else {
            continue;
        };
        let shared = Arc::clone(shared);
        thread::spawn(move || {
            shared.connections.fetch_add(1, Ordering::Relaxed);
            // A client that goes away early has seen enough.
            let _ = shared.serve(stream);
            shared.connections.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

impl Shared {
    fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_read_timeout(Some(GLANCE))?;
        stream.set_write_timeout(Some(GLANCE))?;
        stream.set_nodelay(true)?;
        let mut request = [0; 9];
        let mut filled = 0;
        while filled < request.len() {
            filled += self.patiently(|| stream.read(&mut request[filled..]))?;
        }
        let [way, count @ ..] = request;
        let mut left = u64::from_be_bytes(count);
        let mut buffer = vec![0; PIECE];
        while left > 0 {
            let piece = usize::try_from(left).map_or(PIECE, |left| left.min(PIECE));
            let passed = if way == Way::Download.letter() {
                self.patiently(|| stream.write(&buffer[..piece]))?
            } else {
                let passed = self.patiently(|| stream.read(&mut buffer[..piece]))?;
                self.received.fetch_add(passed as u64, Ordering::Relaxed);
                passed
            };
            left -= passed as u64;
        }
        if way == Way::Upload.letter() {
            stream.write_all(&[0])?;
        }
        // Until the client has closed, so that no reset overtakes what it still has to read.
        stream.shutdown(std::net::Shutdown::Write)?;
        self.patiently(|| stream.read(&mut buffer)).map(drop)
    }

    /// Calls `transfer` again while it has nothing to do, until the server is dropped.
    fn patiently(&self, mut transfer: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
        loop {
            match transfer() {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
                        && !self.stopping.load(Ordering::Relaxed) => {}
                result => return result,
            }
        }
    }
}

/// How long a thread waits before it looks whether it should end.
const GLANCE: Duration = Duration::from_millis(200);
/// Octets for one call of the kernel.
const PIECE: usize = 64 << 10;
