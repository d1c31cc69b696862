//! What a device says to a rule that it does not take, with the part of the rule that it means.

use core::ffi::CStr;
use core::fmt;

use dpdk_sys as sys;
use flow_rules::{Action, Attributes, FlowRule, Item, Part};

use super::encode::Encoded;
use crate::error::Errno;

/// Why flow rules could not be changed or asked.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FlowError {
    /// The device or its driver does not do it.
    #[error("{call}: port `{device}` refuses {fault}{}: {errno}{}", said(message.as_deref()), advice(*errno))]
    Refused {
        /// Name of the DPDK function.
        call: &'static str,
        /// The port.
        device: String,
        /// What is at fault.
        fault: Box<Fault>,
        /// What the driver says, in its own words.
        message: Option<String>,
        /// What DPDK reports.
        errno: Errno,
    },
    /// DPDK has no such item or action.
    #[error("{fault} cannot be given to a device: {advice}")]
    NotInDpdk {
        /// The item or action.
        fault: Box<Fault>,
        /// What to do.
        advice: &'static str,
    },
    /// The rule counts nothing.
    #[error("rule `{0}` has no counter to ask: add the action count")]
    NoCounter(Box<FlowRule>),
    /// The rule is not installed any more.
    #[error(
        "rule `{rule}` is gone from port `{device}`, which was stopped, closed or flushed: \
         install it again"
    )]
    Gone {
        /// The port.
        device: String,
        /// The rule.
        rule: Box<FlowRule>,
    },
}

/// The part of a rule, or of a device, that an error is about. Indices count from 0.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Fault {
    /// It is not told.
    Unknown,
    /// The rule as a whole, or its handle.
    Rule,
    /// The state that the device is in.
    DeviceState,
    /// The attributes.
    Attributes(Attributes),
    /// The group.
    Group(u32),
    /// The priority.
    Priority(u32),
    /// The direction.
    Direction(&'static str),
    /// The pattern: how many items, or one of them that is not told.
    Pattern,
    /// An item.
    Item {
        /// Which.
        index: usize,
        /// What it is.
        item: Item,
        /// Which part of it, if that is told.
        part: Option<Part>,
    },
    /// The actions: how many, or one of them that is not told.
    Actions,
    /// An action.
    Action {
        /// Which.
        index: usize,
        /// What it is.
        action: Action,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("this, and does not say what of it"),
            Self::Rule => f.write_str("the rule"),
            Self::DeviceState => f.write_str("this in the state it is in"),
            Self::Attributes(attributes) => write!(f, "the attributes `{attributes}`"),
            Self::Group(group) => write!(f, "group {group}"),
            Self::Priority(priority) => write!(f, "priority {priority}"),
            Self::Direction(direction) => write!(f, "the direction {direction}"),
            Self::Pattern => f.write_str("the pattern"),
            Self::Item { index, item, part } => {
                if let Some(part) = part {
                    write!(f, "the {part} of ")?;
                }
                write!(f, "item {index}, `{item}`")
            }
            Self::Actions => f.write_str("the actions"),
            Self::Action { index, action } => write!(f, "action {index}, `{action}`"),
        }
    }
}

/// What lies at an address in an encoded rule.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Culprit {
    Item { index: usize, part: Option<Part> },
    Action { index: usize },
}

impl Culprit {
    pub(super) fn of_item(self, item: &Item) -> Fault {
        match self {
            Self::Item { index, part } => Fault::Item {
                index,
                item: item.clone(),
                part,
            },
            Self::Action { .. } => Fault::Pattern,
        }
    }

    pub(super) fn of_action(self, action: &Action) -> Fault {
        match self {
            Self::Action { index } => Fault::Action {
                index,
                action: action.clone(),
            },
            Self::Item { .. } => Fault::Actions,
        }
    }

    fn of(self, rule: &FlowRule) -> Fault {
        match self {
            Self::Item { index, .. } => self.of_item(&rule.items()[index]),
            Self::Action { index } => self.of_action(&rule.actions()[index]),
        }
    }
}

impl FlowError {
    pub(super) fn not_in_dpdk(fault: Fault, advice: &'static str) -> Self {
        Self::NotInDpdk {
            fault: Box::new(fault),
            advice,
        }
    }

    /// The error that `call` left in `error`.
    ///
    /// # Safety
    /// The message of `error` is null or a terminated string.
    pub(super) unsafe fn decode(
        call: &'static str,
        device: &str,
        errno: Errno,
        error: &sys::rte_flow_error,
        encoded: Option<&Encoded<'_>>,
    ) -> Self {
        let message = (!error.message.is_null()).then(|| {
            // SAFETY: not null, and then a terminated string as the caller says.
            let text = unsafe { CStr::from_ptr(error.message) };
            text.to_string_lossy().into_owned()
        });
        // Without a message of its own, DPDK puts the text of the number there.
        let message = message.filter(|text| !errno.to_string().starts_with(text.as_str()));
        Self::Refused {
            call,
            device: device.to_owned(),
            fault: Box::new(fault(error, encoded)),
            message,
            errno,
        }
    }
}

/// What `error` is about: by the address of its cause if that lies in the rule, else by its type.
fn fault(error: &sys::rte_flow_error, encoded: Option<&Encoded<'_>>) -> Fault {
    let Some(encoded) = encoded else {
        return match error.type_ {
            sys::RTE_FLOW_ERROR_TYPE_HANDLE => Fault::Rule,
            sys::RTE_FLOW_ERROR_TYPE_STATE => Fault::DeviceState,
            _ => Fault::Unknown,
        };
    };
    let rule = encoded.rule();
    if let Some(culprit) = encoded.culprit(error.cause) {
        return culprit.of(rule);
    }
    let attributes = rule.attributes();
    match error.type_ {
        sys::RTE_FLOW_ERROR_TYPE_HANDLE => Fault::Rule,
        sys::RTE_FLOW_ERROR_TYPE_STATE => Fault::DeviceState,
        sys::RTE_FLOW_ERROR_TYPE_ATTR => Fault::Attributes(attributes),
        sys::RTE_FLOW_ERROR_TYPE_ATTR_GROUP => Fault::Group(attributes.group_number()),
        sys::RTE_FLOW_ERROR_TYPE_ATTR_PRIORITY => Fault::Priority(attributes.priority_number()),
        sys::RTE_FLOW_ERROR_TYPE_ATTR_INGRESS
        | sys::RTE_FLOW_ERROR_TYPE_ATTR_EGRESS
        | sys::RTE_FLOW_ERROR_TYPE_ATTR_TRANSFER => Fault::Direction(attributes.direction().name()),
        sys::RTE_FLOW_ERROR_TYPE_ITEM_NUM
        | sys::RTE_FLOW_ERROR_TYPE_ITEM_SPEC
        | sys::RTE_FLOW_ERROR_TYPE_ITEM_LAST
        | sys::RTE_FLOW_ERROR_TYPE_ITEM_MASK
        | sys::RTE_FLOW_ERROR_TYPE_ITEM => Fault::Pattern,
        sys::RTE_FLOW_ERROR_TYPE_ACTION_NUM
        | sys::RTE_FLOW_ERROR_TYPE_ACTION_CONF
        | sys::RTE_FLOW_ERROR_TYPE_ACTION => Fault::Actions,
        _ => Fault::Unknown,
    }
}

fn said(message: Option<&str>) -> String {
    message.map_or_else(String::new, |message| format!(" (\"{message}\")"))
}

/// What to do about it, where that is known.
fn advice(errno: Errno) -> &'static str {
    match errno {
        Errno::ENOSYS => ". Its driver has no flow rules: steer in software",
        Errno::ENOTSUP | Errno::EINVAL => {
            ". The device cannot do this: leave that part out, or do it in software"
        }
        // net_tap says so of all that the kernel refuses, and why in a message of its own only.
        Errno::EEXIST => {
            ". If a rule for the same packets is there already, destroy it first; \
             if none is, what the driver printed says more"
        }
        Errno::ENOSPC | Errno::ENOMEM => ". The device has room for fewer rules",
        Errno::EBUSY => ". The device is in use in a way that forbids it: try before it is started",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use core::ffi::c_void;
    use core::ptr;

    use super::*;

    const RULE: &str = "group 1 priority 2 ingress pattern eth / ipv4 dst is 192.0.2.1 / \
                        tcp dst is 80 / end actions mark id 7 / queue index 9 / end";

    /// What is reported when the driver says `type_` and points at what `cause` picks.
    fn fault_of(
        type_: sys::rte_flow_error_type,
        cause: impl Fn(&Encoded<'_>) -> *const c_void,
    ) -> String {
        let rule = RULE.parse().unwrap();
        let encoded = Encoded::new(&rule).unwrap();
        let error = sys::rte_flow_error {
            type_,
            cause: cause(&encoded),
            message: c"not so".as_ptr(),
        };
        // SAFETY: the message is a terminated string.
        let error =
            unsafe { FlowError::decode("call", "port", Errno::ENOTSUP, &error, Some(&encoded)) };
        let FlowError::Refused { fault, message, .. } = error else {
            panic!("{error}");
        };
        assert_eq!(message.as_deref(), Some("not so"));
        fault.to_string()
    }

    #[test]
    fn a_cause_in_the_rule_is_named() {
        let item = |index| move |rule: &Encoded<'_>| rule.items().wrapping_add(index).cast();
        let kind = sys::RTE_FLOW_ERROR_TYPE_ITEM;
        assert_eq!(fault_of(kind, item(0)), "item 0, `eth`");
        assert_eq!(fault_of(kind, item(2)), "item 2, `tcp dst is 80`");
        // The END of the pattern is nobody's.
        assert_eq!(fault_of(kind, item(3)), "the pattern");

        let action = |rule: &Encoded<'_>| rule.actions().wrapping_add(1).cast();
        let kind = sys::RTE_FLOW_ERROR_TYPE_ACTION;
        assert_eq!(fault_of(kind, action), "action 1, `queue index 9`");
        // Some drivers point there whatever the type says.
        let kind = sys::RTE_FLOW_ERROR_TYPE_UNSPECIFIED;
        assert_eq!(fault_of(kind, action), "action 1, `queue index 9`");
    }

    #[test]
    fn a_cause_behind_an_item_or_action_is_named() {
        let mask = |rule: &Encoded<'_>| {
            let item = rule.items().wrapping_add(1);
            // SAFETY: the second of four entries of the encoded pattern.
            unsafe { (*item).mask }.wrapping_byte_add(17)
        };
        let kind = sys::RTE_FLOW_ERROR_TYPE_ITEM_MASK;
        assert_eq!(
            fault_of(kind, mask),
            "the mask of item 1, `ipv4 dst is 192.0.2.1`"
        );
        let conf = |rule: &Encoded<'_>| {
            // SAFETY: the first of three entries of the encoded actions.
            unsafe { (*rule.action_at(0)).conf }
        };
        let kind = sys::RTE_FLOW_ERROR_TYPE_ACTION_CONF;
        assert_eq!(fault_of(kind, conf), "action 0, `mark id 7`");
    }

    #[test]
    fn without_a_cause_the_type_tells() {
        let nothing = |_: &Encoded<'_>| ptr::null();
        for (kind, text) in [
            (sys::RTE_FLOW_ERROR_TYPE_ITEM, "the pattern"),
            (sys::RTE_FLOW_ERROR_TYPE_ACTION_NUM, "the actions"),
            (sys::RTE_FLOW_ERROR_TYPE_ATTR_GROUP, "group 1"),
            (sys::RTE_FLOW_ERROR_TYPE_ATTR_PRIORITY, "priority 2"),
            (
                sys::RTE_FLOW_ERROR_TYPE_ATTR_EGRESS,
                "the direction ingress",
            ),
            (
                sys::RTE_FLOW_ERROR_TYPE_ATTR,
                "the attributes `group 1 priority 2 ingress`",
            ),
            (sys::RTE_FLOW_ERROR_TYPE_HANDLE, "the rule"),
            (sys::RTE_FLOW_ERROR_TYPE_STATE, "this in the state it is in"),
        ] {
            assert_eq!(fault_of(kind, nothing), text);
        }
    }

    #[test]
    fn the_message_says_what_to_do() {
        let rule: FlowRule = RULE.parse().unwrap();
        let error = FlowError::Refused {
            call: "rte_flow_create",
            device: "net_tap0".to_owned(),
            fault: Box::new(
                Culprit::Item {
                    index: 2,
                    part: None,
                }
                .of(&rule),
            ),
            message: Some("no such filter".to_owned()),
            errno: Errno::ENOTSUP,
        };
        assert_eq!(
            error.to_string(),
            "rte_flow_create: port `net_tap0` refuses item 2, `tcp dst is 80` (\"no such filter\"): \
             Operation not supported (error 95). The device cannot do this: leave that part out, or \
             do it in software"
        );
    }
}
