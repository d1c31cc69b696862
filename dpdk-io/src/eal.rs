//! The EAL: DPDK's start in a process, from a typed configuration.
//!
//! [`Eal::init`] reserves the memory, loads the drivers, creates the virtual devices and starts
//! one thread for each configured lcore, each pinned to its CPU. The calling thread becomes the
//! control thread (DPDK's "main lcore"): it is mapped to all CPUs that the process may use, so it
//! is not pinned and does not compete with a worker for one CPU.
//!
//! [`Eal`] is the token of all that: ports and pools are made with it. Everything made keeps a
//! handle, so the order in which things are dropped is never a matter of memory safety; but only
//! when [`Eal`] goes last is DPDK cleaned up (see [`Eal::shutdown`]).

mod args;

use core::ffi::{CStr, c_char, c_int};
use core::marker::PhantomData;
use std::collections::BTreeSet;
use std::ffi::CString;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{DpdkError, Errno, check};
use crate::lcore::{Lcore, LcoreId};
use crate::mempool::RawPool;

/// How the EAL is to start.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EalConfig {
    /// The CPU of each worker. A CPU may be named twice: its workers then share it.
    pub lcores: Vec<LcoreId>,
    /// Memory for all pools and rings, in MiB.
    pub memory_mib: u32,
    /// Memory in huge pages, which must be reserved; else in ordinary pages.
    pub huge_pages: bool,
    /// Distinguishes the files of this process in DPDK's runtime directory. Processes may share
    /// one: no file is kept.
    pub file_prefix: Option<String>,
    /// PCI addresses of the devices to take (`0000:03:00.0`, with driver options after a comma).
    /// None: the PCI bus is not looked at.
    pub pci_devices: Vec<String>,
    /// Virtual devices: name and options, such as `net_af_packet0,iface=veth0`.
    pub virtual_devices: Vec<String>,
    /// What DPDK itself writes to the standard error output.
    pub log_level: LogLevel,
}

impl Default for EalConfig {
    /// No lcores and no devices, 256 MiB in ordinary pages, warnings and worse.
    fn default() -> Self {
        Self {
            lcores: Vec::new(),
            memory_mib: 256,
            huge_pages: false,
            file_prefix: None,
            pci_devices: Vec::new(),
            virtual_devices: Vec::new(),
            log_level: LogLevel::Warning,
        }
    }
}

/// The least important messages that DPDK writes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LogLevel {
    /// Errors only.
    Error,
    /// Things that work but not as asked.
    Warning,
    /// Significant ordinary events.
    Notice,
    /// Ordinary events.
    Info,
    /// Everything.
    Debug,
}

/// The initialised EAL, on the thread that did it.
///
/// # Invariants
/// 1. There is at most one in a process: `rte_eal_init` succeeds once in its life.
/// 2. It stays on the thread that called `rte_eal_init` (it is not `Send`).
/// 3. `rte_eal_cleanup` is called at most once, by `clean_up`, when no driver lingers, no other
///    `EalHandle` exists (so no port, no pool handle, no queue and no running lcore program) and
///    every buffer is in its pool. Buffers counted as returned are out of everyone's hands then:
///    a free in progress could only be on this thread (which is here), on an lcore (none runs a
///    program) or on a foreign thread (which has no cache: the pool's ring counts the buffer when
///    the free has ended).
#[derive(Debug)]
pub struct Eal {
    handle: EalHandle,
    /// `rte_eal_cleanup` has been called.
    cleaned_up: bool,
    /// Lcores that nobody has taken yet.
    lcores: Vec<Lcore>,
    /// Invariant 2.
    not_send: PhantomData<*const ()>,
}

/// Keeps the EAL from being cleaned up.
pub(crate) type EalHandle = Arc<EalShared>;

/// What the users of the EAL share.
#[derive(Debug, Default)]
pub(crate) struct EalShared {
    resources: Mutex<Resources>,
}

/// What exists in the EAL.
#[derive(Debug, Default)]
pub(crate) struct Resources {
    /// All pools ever made: buffers may be anywhere, so a pool lives as long as the EAL.
    pub(crate) pools: Vec<RawPool>,
    /// Numbers of the ports that have an owner.
    pub(crate) open_ports: BTreeSet<u16>,
    /// At most this many buffers were kept by drivers that give none back when they are closed.
    pub(crate) kept_by_drivers: u32,
    /// A driver was in use whose threads may go on after it is closed.
    pub(crate) drivers_linger: bool,
}

impl Resources {
    /// Buffers that are out of their pools.
    fn buffers_out(&self) -> u32 {
        self.pools.iter().map(RawPool::in_use).sum()
    }
}

impl EalShared {
    /// The resources, for a short moment on a control path.
    pub(crate) fn resources(&self) -> MutexGuard<'_, Resources> {
        // Each update is a single insertion or removal, so a panic cannot leave half of one.
        self.resources
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Eal {
    /// Starts the EAL.
    ///
    /// # Errors
    /// [`DpdkError::AlreadyInitialised`] the second time; a bad option, too few huge pages, or
    /// what DPDK reports. A virtual device that cannot be made is not an error here: it shows
    /// when its port is opened. After an error of DPDK itself, only a new process can try again.
    pub fn init(config: &EalConfig) -> Result<Self, DpdkError> {
        if config.huge_pages {
            let free = free_huge_pages_mib(Path::new("/sys/kernel/mm/hugepages"));
            args::check_huge_pages(config.memory_mib, free)?;
        }
        let control_cpus = allowed_cpus(Path::new("/proc/self/status"));
        let args = args::build(config, &control_cpus)?;
        start(args).map_err(|error| explain(error, config))?;
        let handle = EalHandle::default();
        let lcores = config
            .lcores
            .iter()
            .zip(args::FIRST_WORKER..)
            .map(|(&id, eal_id)| Lcore::new(id, eal_id, &handle))
            .collect();
        Ok(Self {
            handle,
            cleaned_up: false,
            lcores,
            not_send: PhantomData,
        })
    }

    /// The lcores in the order of the configuration; nothing if they were taken before.
    pub fn take_lcores(&mut self) -> Vec<Lcore> {
        core::mem::take(&mut self.lcores)
    }

    /// The DPDK that runs: `DPDK 22.11.11`.
    pub fn version(&self) -> String {
        // SAFETY: may be called at any time.
        let version = unsafe { dpdk_sys::rte_version() };
        // SAFETY: a terminated string that stays.
        let version = unsafe { CStr::from_ptr(version) };
        version.to_string_lossy().into_owned()
    }

    /// The names of all ports, open or not.
    pub fn port_names(&self) -> Vec<String> {
        crate::device::names()
    }

    /// Gives memory and devices back to the system.
    ///
    /// Where a driver is known to keep buffers when it is closed (net_af_xdp) or to have threads
    /// that go on (net_memif, net_vhost, net_virtio_user), this is left to the end of the process,
    /// which gives everything back too; that is no error.
    ///
    /// Dropping does the same, but cannot say if it worked: what is still in use then stays until
    /// the process ends.
    ///
    /// # Errors
    /// [`DpdkError::EalInUse`] if a port, pool, queue, lcore program or buffer is left: nothing is
    /// cleaned up, and never will be.
    pub fn shutdown(mut self) -> Result<(), DpdkError> {
        self.clean_up()
    }

    /// The handle that whatever is made with this EAL keeps.
    pub(crate) fn handle(&self) -> EalHandle {
        EalHandle::clone(&self.handle)
    }

    fn clean_up(&mut self) -> Result<(), DpdkError> {
        if self.cleaned_up {
            return Ok(());
        }
        self.lcores.clear();
        let handles = Arc::strong_count(&self.handle) - 1;
        // Unlike the count, `get_mut` orders what the last users did before what follows: so the
        // buffers are counted when nothing can lend them any more.
        let exclusive = Arc::get_mut(&mut self.handle).is_some();
        let resources = self.handle.resources();
        let buffers = resources.buffers_out();
        if !exclusive || buffers > resources.kept_by_drivers {
            return Err(DpdkError::EalInUse { handles, buffers });
        }
        // Buffers that are out now are most likely those that drivers kept; but a buffer of the
        // program may be among them, and a driver's thread looks at memory of its own.
        if buffers > 0 || resources.drivers_linger {
            return Ok(());
        }
        drop(resources);
        self.cleaned_up = true;
        // SAFETY: invariants 1 and 3: called once, and nothing of the EAL is in use any more.
        let code = unsafe { dpdk_sys::rte_eal_cleanup() };
        check("rte_eal_cleanup", "the EAL", code).map(|_| ())
    }
}

impl Drop for Eal {
    fn drop(&mut self) {
        // There is nobody to tell: what is in use stays mapped until the process ends.
        let _ = self.clean_up();
    }
}

/// Calls `rte_eal_init`.
fn start(args: Vec<CString>) -> Result<(), DpdkError> {
    let mut argv: Vec<*mut c_char> = args.into_iter().map(CString::into_raw).collect();
    #[expect(
        clippy::cast_possible_wrap,
        reason = "there is an argument for each device, and no machine has 2^31"
    )]
    let argc = argv.len() as c_int;
    argv.push(core::ptr::null_mut());
    // DPDK keeps and changes what it is given (as it may with the arguments of a `main`), so the
    // strings are never freed, and neither is the array. This happens once in a process.
    let argv = argv.leak();
    // SAFETY: `argv` holds `argc` terminated strings and a null after them, writable, leaked. A
    // second call reports EALREADY and changes nothing (invariant 1 of `Eal`).
    let code = unsafe { dpdk_sys::rte_eal_init(argc, argv.as_mut_ptr()) };
    if code >= 0 {
        return Ok(());
    }
    Err(DpdkError::last("rte_eal_init", "this process"))
}

/// Says more about an error of `rte_eal_init` where its number allows.
fn explain(error: DpdkError, config: &EalConfig) -> DpdkError {
    let DpdkError::Call { errno, .. } = error else {
        return error;
    };
    match errno {
        Errno::EALREADY => DpdkError::AlreadyInitialised,
        Errno::ENODEV => {
            let devices = config.virtual_devices.iter().chain(&config.pci_devices);
            DpdkError::NoDriver {
                devices: devices.cloned().collect(),
            }
        }
        _ => error,
    }
}

/// The CPUs this process may run on, as the kernel lists them (`0-3,8`); `0` if it does not say.
fn allowed_cpus(status: &Path) -> String {
    let status = fs::read_to_string(status).unwrap_or_default();
    let list = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    list.map_or_else(|| "0".to_owned(), |list| list.trim().to_owned())
}

/// Memory in free huge pages of all sizes, in MiB; `None` if the kernel does not say.
fn free_huge_pages_mib(directory: &Path) -> Option<u64> {
    let mut total_kib = 0;
    for entry in fs::read_dir(directory).ok()? {
        let entry = entry.ok()?;
        let name = entry.file_name();
        let size = name.to_str()?.strip_prefix("hugepages-")?;
        let size_kib: u64 = size.strip_suffix("kB")?.parse().ok()?;
        let free = fs::read_to_string(entry.path().join("free_hugepages")).ok()?;
        total_kib += size_kib * free.trim().parse::<u64>().ok()?;
    }
    Some(total_kib / 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_the_allowed_cpus() {
        let cpus = allowed_cpus(Path::new("/proc/self/status"));
        assert!(
            cpus.starts_with(|first: char| first.is_ascii_digit()),
            "{cpus}"
        );
        assert_eq!(allowed_cpus(Path::new("/nonexistent")), "0");
    }

    #[test]
    fn a_kernel_without_huge_pages_is_not_a_kernel_with_none_free() {
        assert_eq!(free_huge_pages_mib(Path::new("/nonexistent")), None);
    }
}
