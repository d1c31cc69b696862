//! Flow rules on a device: validated, installed, asked, removed; and isolation, which makes them
//! all that a port receives.
//!
//! A rule is data ([`flow_rules::FlowRule`]); a port turns it into DPDK's structures, and what the
//! device says to it into a [`FlowError`] that names the item or action at fault. An
//! [`InstalledRule`] removes its rule when it is dropped. Rules end with the port's run at the
//! latest: stopping, closing or flushing it removes them, and their handles then say so.

mod encode;
mod error;

use core::ptr::{self, NonNull};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dpdk_sys as sys;
use flow_rules::{ActionKind, FlowRule};

use crate::error::Errno;
use crate::port::Port;
use encode::Encoded;
pub use error::{Fault, FlowError};

impl Port {
    /// Asks the driver whether the device would take `rule`.
    ///
    /// # Errors
    /// What of the rule it refuses, and why.
    pub fn validate_rule(&self, rule: &FlowRule) -> Result<(), FlowError> {
        let rules = self.rules();
        let _live = rules.lock();
        let encoded = Encoded::new(rule)?;
        let mut error = no_error();
        // SAFETY: invariants 2 and 3 of `RuleTable`, 1 and 2 of `Encoded`; `error` lives through
        // the call.
        let code = unsafe {
            sys::rte_flow_validate(
                rules.port,
                encoded.attributes(),
                encoded.items(),
                encoded.actions(),
                &raw mut error,
            )
        };
        rules.check("rte_flow_validate", code, &error, Some(&encoded))
    }

    /// Installs `rule` on the device.
    ///
    /// # Errors
    /// What of the rule the driver refuses, and why.
    pub fn install_rule(&self, rule: &FlowRule) -> Result<InstalledRule, FlowError> {
        let rules = self.rules();
        let mut live = rules.lock();
        let encoded = Encoded::new(rule)?;
        let mut error = no_error();
        // SAFETY: invariants 2 and 3 of `RuleTable`, 1 and 2 of `Encoded`; `error` lives through
        // the call.
        let flow = unsafe {
            sys::rte_flow_create(
                rules.port,
                encoded.attributes(),
                encoded.items(),
                encoded.actions(),
                &raw mut error,
            )
        };
        let Some(flow) = NonNull::new(flow) else {
            // SAFETY: reads a thread-local integer; there is nothing to uphold.
            let errno = Errno(unsafe { sys::dpdk_shim_errno() });
            return Err(rules.refused("rte_flow_create", errno, &error, Some(&encoded)));
        };
        let id = live.next;
        live.next += 1;
        live.flows.insert(id, Flow(flow));
        Ok(InstalledRule {
            rules: Arc::clone(rules),
            id,
            rule: rule.clone(),
        })
    }

    /// Removes all rules of the port. Their handles have nothing left to remove.
    ///
    /// # Errors
    /// What the driver reports. The rules are lost also then, and what the device does is open
    /// until it is stopped.
    pub fn flush_rules(&self) -> Result<(), FlowError> {
        let rules = self.rules();
        let mut live = rules.lock();
        live.flows.clear();
        let mut error = no_error();
        // SAFETY: invariants 2 and 3 of `RuleTable`; `error` lives through the call, which ends
        // all flows whatever it reports: none is left in the table.
        let code = unsafe { sys::rte_flow_flush(rules.port, &raw mut error) };
        rules.check("rte_flow_flush", code, &error, None)
    }
}

/// A rule on a device; removed when this is dropped.
#[derive(Debug)]
pub struct InstalledRule {
    rules: Arc<RuleTable>,
    id: u64,
    rule: FlowRule,
}

impl InstalledRule {
    /// The rule.
    pub fn rule(&self) -> &FlowRule {
        &self.rule
    }

    /// Whether it is still on the device.
    pub fn is_live(&self) -> bool {
        self.rules.lock().flows.contains_key(&self.id)
    }

    /// What the first counter of the rule has counted, since then or since the last reset.
    ///
    /// # Errors
    /// [`FlowError::NoCounter`], [`FlowError::Gone`], or what the driver reports.
    pub fn count(&self, reset: bool) -> Result<RuleCount, FlowError> {
        let mut actions = self.rule.actions().iter();
        let counter = actions.position(|action| action.kind() == ActionKind::Count);
        let counter = counter.ok_or_else(|| FlowError::NoCounter(Box::new(self.rule.clone())))?;
        let live = self.rules.lock();
        let flow = live.flows.get(&self.id).ok_or_else(|| self.gone())?.0;
        let encoded = Encoded::new(&self.rule)?;
        let mut count = sys::rte_flow_query_count::default();
        count.set_reset(u32::from(reset));
        let mut error = no_error();
        // SAFETY: invariants 1 to 3 of `RuleTable`, 2 of `Encoded`: an action COUNT, for which the
        // answer is a `rte_flow_query_count`; it and `error` live through the call.
        let code = unsafe {
            sys::rte_flow_query(
                self.rules.port,
                flow.as_ptr(),
                encoded.action_at(counter),
                (&raw mut count).cast(),
                &raw mut error,
            )
        };
        self.rules
            .check("rte_flow_query", code, &error, Some(&encoded))?;
        Ok(RuleCount {
            frames: (count.hits_set() != 0).then_some(count.hits),
            octets: (count.bytes_set() != 0).then_some(count.bytes),
        })
    }

    /// Removes the rule.
    ///
    /// # Errors
    /// [`FlowError::Gone`], or what the driver reports: the rule then stays until the port is
    /// stopped.
    pub fn remove(self) -> Result<(), FlowError> {
        match self.rules.remove(self.id) {
            Some(result) => result,
            None => Err(self.gone()),
        }
    }

    fn gone(&self) -> FlowError {
        FlowError::Gone {
            device: self.rules.device.clone(),
            rule: Box::new(self.rule.clone()),
        }
    }
}

impl Drop for InstalledRule {
    fn drop(&mut self) {
        // There is nobody to tell; the rule goes when the port is stopped.
        let _ = self.rules.remove(self.id);
    }
}

/// What a rule has counted, as far as the device counts it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct RuleCount {
    /// Frames that matched.
    pub frames: Option<u64>,
    /// Their octets.
    pub octets: Option<u64>,
}

/// The rules on a port.
///
/// # Invariants
/// 1. Each flow in the table was made by `rte_flow_create` for `port`, and neither destroyed nor
///    flushed since.
/// 2. While a flow is in the table, and while a `Port` exists, `port` is open: before it is
///    stopped or closed, `end` empties the table.
/// 3. Functions of rte_flow are called with the table locked: one at a time for a port.
#[derive(Debug)]
pub(crate) struct RuleTable {
    port: u16,
    device: String,
    live: Mutex<Live>,
}

#[derive(Debug, Default)]
struct Live {
    flows: BTreeMap<u64, Flow>,
    /// The number of the next rule.
    next: u64,
}

/// A flow of DPDK.
#[derive(Debug)]
struct Flow(NonNull<sys::rte_flow>);

// SAFETY: DPDK ties a flow to its port, not to a thread; it is used with the table locked
// (invariant 3 of `RuleTable`).
unsafe impl Send for Flow {}

impl RuleTable {
    /// The table of the port `port`, which is open and called `device`.
    pub(crate) fn new(port: u16, device: &str) -> Arc<Self> {
        Arc::new(Self {
            port,
            device: device.to_owned(),
            live: Mutex::default(),
        })
    }

    /// Removes all rules. What the driver says to it does not matter: the port is stopped next.
    pub(crate) fn end(&self) {
        let mut live = self.lock();
        while let Some((_, flow)) = live.flows.pop_first() {
            let _ = self.destroy(flow.0);
        }
    }

    /// Isolates the port, or ends that.
    pub(crate) fn isolate(&self, on: bool) -> Result<(), FlowError> {
        let _live = self.lock();
        let mut error = no_error();
        // SAFETY: invariants 2 and 3; `error` lives through the call.
        let code = unsafe { sys::rte_flow_isolate(self.port, i32::from(on), &raw mut error) };
        self.check("rte_flow_isolate", code, &error, None)
    }

    fn lock(&self) -> MutexGuard<'_, Live> {
        // Each update is a single insertion or removal, so a panic cannot leave half of one.
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes the rule `id`; `None` if it is gone. If the driver cannot, the rule stays.
    fn remove(&self, id: u64) -> Option<Result<(), FlowError>> {
        let mut live = self.lock();
        let flow = live.flows.get(&id)?.0;
        let result = self.destroy(flow);
        if result.is_ok() {
            live.flows.remove(&id);
        }
        Some(result)
    }

    /// Calls `rte_flow_destroy`, for a flow of the table, with the table locked.
    fn destroy(&self, flow: NonNull<sys::rte_flow>) -> Result<(), FlowError> {
        let mut error = no_error();
        // SAFETY: invariants 1 to 3, as the caller sees to; `error` lives through the call.
        let code = unsafe { sys::rte_flow_destroy(self.port, flow.as_ptr(), &raw mut error) };
        self.check("rte_flow_destroy", code, &error, None)
    }

    /// `Ok` for a result of rte_flow that is not negative.
    fn check(
        &self,
        call: &'static str,
        code: i32,
        error: &sys::rte_flow_error,
        encoded: Option<&Encoded<'_>>,
    ) -> Result<(), FlowError> {
        if code >= 0 {
            return Ok(());
        }
        Err(self.refused(call, Errno(code.saturating_neg()), error, encoded))
    }

    fn refused(
        &self,
        call: &'static str,
        errno: Errno,
        error: &sys::rte_flow_error,
        encoded: Option<&Encoded<'_>>,
    ) -> FlowError {
        // SAFETY: the message was null before the call, and DPDK writes constant strings there.
        unsafe { FlowError::decode(call, &self.device, errno, error, encoded) }
    }
}

/// Nothing known: some drivers report an error without saying anything about it.
fn no_error() -> sys::rte_flow_error {
    sys::rte_flow_error {
        type_: sys::RTE_FLOW_ERROR_TYPE_NONE,
        cause: ptr::null(),
        message: ptr::null(),
    }
}
