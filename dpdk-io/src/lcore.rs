//! Lcores: the threads that DPDK pinned to CPUs, each to run one program.

use core::any::Any;
use core::ffi::{c_int, c_void};
use core::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use crate::eal::EalHandle;
use crate::error::{DpdkError, check};
use crate::numa::{self, NumaNode};

/// The number of a CPU, as the kernel counts them, that a worker runs on.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct LcoreId(pub u16);

impl fmt::Display for LcoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl LcoreId {
    /// The NUMA node of the CPU; `None` if the kernel does not say.
    pub fn numa_node(self) -> Option<NumaNode> {
        NumaNode::of_cpu(Path::new(numa::SYSTEM), self.0)
    }
}

/// A thread pinned to a CPU that waits for a program to run.
///
/// # Invariants
/// 1. `eal_id` is the number of a worker lcore of the EAL that `eal` keeps, not of the control
///    thread.
/// 2. It is the only `Lcore` with this number: whoever borrows it mutably is the only one who
///    starts programs on that thread or waits for it.
#[derive(Debug)]
pub struct Lcore {
    id: LcoreId,
    eal_id: u32,
    eal: EalHandle,
}

impl Lcore {
    /// The lcore that the EAL knows as `eal_id`; called once for each.
    pub(crate) fn new(id: LcoreId, eal_id: u32, eal: &EalHandle) -> Self {
        Self {
            id,
            eal_id,
            eal: EalHandle::clone(eal),
        }
    }

    /// The CPU it is pinned to.
    pub fn id(&self) -> LcoreId {
        self.id
    }

    /// The NUMA node of that CPU; `None` if the kernel does not say.
    pub fn numa_node(&self) -> Option<NumaNode> {
        self.id.numa_node()
    }

    /// Runs `program` on the lcore until it returns.
    ///
    /// A panic of `program` ends there and is reported by [`LcoreJob::join`]. The EAL is not
    /// cleaned up while the program runs.
    ///
    /// # Errors
    /// If the lcore still runs an earlier program, whose job was dropped without joining it.
    pub fn launch<F, T>(&mut self, program: F) -> Result<LcoreJob<'_, T>, DpdkError>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let (sender, outcome) = sync_channel(1);
        let launched = Box::into_raw(Box::new(Launched {
            program,
            outcome: sender,
            eal: EalHandle::clone(&self.eal),
        }));
        // SAFETY: invariants 1 and 2: a worker lcore, and nobody else starts programs on it. The
        // box is of the type that `run` takes, and goes to that one call.
        let code = unsafe {
            dpdk_sys::rte_eal_remote_launch(Some(run::<F, T>), launched.cast(), self.eal_id)
        };
        if let Err(error) = check("rte_eal_remote_launch", &format!("lcore {}", self.id), code) {
            // SAFETY: the lcore refused, so `run` is not called and the box is still ours.
            drop(unsafe { Box::from_raw(launched) });
            return Err(error);
        }
        Ok(LcoreJob {
            lcore: self,
            outcome,
        })
    }
}

/// A program that runs on an lcore. Dropping it lets the program run on.
#[derive(Debug)]
pub struct LcoreJob<'lcore, T> {
    lcore: &'lcore mut Lcore,
    outcome: Receiver<Result<T, String>>,
}

impl<T> LcoreJob<'_, T> {
    /// Waits, sleeping, until the program returns.
    ///
    /// # Errors
    /// [`DpdkError::LcorePanicked`] if it did not return but panicked.
    pub fn join(self) -> Result<T, DpdkError> {
        // A program always leaves an outcome; a missing one could only be a panic while leaving.
        let outcome = self.outcome.recv();
        // SAFETY: invariants 1 and 2 of `Lcore`. Takes no time: the program has ended.
        unsafe { dpdk_sys::rte_eal_wait_lcore(self.lcore.eal_id) };
        outcome
            .unwrap_or_else(|_| Err("no outcome".to_owned()))
            .map_err(|message| DpdkError::LcorePanicked {
                lcore: self.lcore.id,
                message,
            })
    }
}

/// What crosses to the lcore.
struct Launched<F, T> {
    program: F,
    outcome: SyncSender<Result<T, String>>,
    eal: EalHandle,
}

/// What DPDK calls on the lcore: runs the program in the box at `argument`.
extern "C" fn run<F, T>(argument: *mut c_void) -> c_int
where
    F: FnOnce() -> T,
{
    // SAFETY: `launch` passes a box of this type, and this is the only call that gets it.
    let launched = unsafe { Box::from_raw(argument.cast::<Launched<F, T>>()) };
    let Launched {
        program,
        outcome,
        eal,
    } = *launched;
    // The program is consumed by its call, so nobody sees what a panic left half done.
    let result = catch_unwind(AssertUnwindSafe(program)).map_err(|panic| message(&*panic));
    // Fails if the job was dropped: then nobody wants the result.
    let _ = outcome.send(result);
    drop(eal);
    0
}

/// What a panic said.
fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}
