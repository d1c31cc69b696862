//! What net_tap makes of flow rules: filters of the kernel's traffic control.
//!
//! They hang on the queueing discipline of the interface at the kernel's end, where the kernel
//! sends: `tc -statistics filter show dev dtap0 parent 1:`. A rule of priority P and group G is the
//! filter of preference P + 17 + 4096 G; one of an isolated port drops what no rule is for.

use std::collections::BTreeMap;

use serde_json::Value;

use super::NetTap;
use crate::rig::{Namespace, RigError};

/// A flow rule as the kernel has it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Filter {
    /// The order: a filter of a smaller preference is asked first.
    pub preference: u64,
    /// What it matches, by the names of `tc`: `dst_mac`, `eth_type`, `ip_proto`, `dst_ip` ...
    pub keys: BTreeMap<String, String>,
    /// What becomes of what it matches.
    pub fate: Fate,
    /// Packets that it matched.
    pub packets: u64,
}

/// What a filter does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fate {
    /// It comes on this queue of the port.
    Queue(u16),
    /// The port never sees it.
    Drop,
    /// The next filter is asked.
    Next,
}

impl Filter {
    /// The filters of rules, first those that are asked first; without the driver's own.
    pub fn list(namespace: &Namespace) -> Result<Vec<Self>, RigError> {
        let mut filters = Self::all(namespace)?;
        filters.retain(|filter| filter.preference < DRIVER_PREFERENCES);
        Ok(filters)
    }

    /// The filter that keeps an isolated port from what no rule is for.
    pub fn of_isolation(namespace: &Namespace) -> Result<Option<Self>, RigError> {
        let mut filters = Self::all(namespace)?.into_iter();
        let last = |filter: &Self| filter.preference >= DRIVER_PREFERENCES;
        Ok(filters.find(|filter| last(filter) && filter.fate == Fate::Drop))
    }

    fn all(namespace: &Namespace) -> Result<Vec<Self>, RigError> {
        let command = format!(
            "tc -json -statistics filter show dev {} parent 1:",
            NetTap::INTERFACE
        );
        let output = namespace.exec(&command)?;
        parse(&output).ok_or(RigError::Output { command, output })
    }

    /// Whether all of `keys`, and no others than those and `dst_mac`, have these values.
    pub fn matches(&self, keys: &[(&str, &str)]) -> bool {
        let others = self.keys.iter().filter(|(name, _)| *name != "dst_mac");
        let wanted = keys.iter().filter(|(name, _)| *name != "dst_mac");
        let mac = keys.iter().find(|(name, _)| *name == "dst_mac");
        mac.is_none_or(|(name, mac)| self.keys.get(*name).is_some_and(|other| other == mac))
            && others.count() == wanted.clone().count()
            && { wanted }.all(|(name, value)| self.keys.get(*name).is_some_and(|key| key == value))
    }
}

fn parse(json: &str) -> Option<Vec<Filter>> {
    let filters: Vec<Value> = serde_json::from_str(json).ok()?;
    // Of each preference there is an entry without options, too; and the driver leaves BPF programs
    // of each queue where it was asked for a rule that spreads.
    let of_rules = |filter: &&Value| filter["kind"] == "flower" && filter["options"].is_object();
    let filters = filters.iter().filter(of_rules);
    filters.map(parse_one).collect()
}

fn parse_one(filter: &Value) -> Option<Filter> {
    let keys = filter["options"]["keys"].as_object()?.iter();
    let keys = keys.map(|(name, value)| {
        let value = value.as_str().map_or_else(|| value.to_string(), Into::into);
        (name.clone(), value)
    });
    let action = filter["options"]["actions"].get(0)?;
    let queue = action["queue_mapping"].as_u64();
    let fate = match queue {
        Some(queue) => Fate::Queue(queue.try_into().ok()?),
        None if action["control_action"]["type"] == "drop" => Fate::Drop,
        None => Fate::Next,
    };
    Some(Filter {
        preference: filter["pref"].as_u64()?,
        keys: keys.collect(),
        fate,
        packets: action["stats"]["packets"].as_u64()?,
    })
}

/// What the driver installs of its own begins here: it stands behind all rules.
const DRIVER_PREFERENCES: u64 = 0xf000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_of_flow_rules_are_read() {
        let filter = |pref: u32, keys: &str, action: &str| {
            format!(
                r#"{{"protocol":"all","pref":{pref},"kind":"flower","chain":0}},
                {{"protocol":"all","pref":{pref},"kind":"flower","chain":0,"options":
                {{"handle":1,"keys":{{{keys}}},"not_in_hw":true,"actions":
                [{{"order":1,{action},"stats":{{"bytes":74,"packets":3}}}}]}}}}"#
            )
        };
        let drop = r#""kind":"gact","control_action":{"type":"drop"}"#;
        let bpf = r#"{"protocol":"all","pref":1,"kind":"bpf","chain":0,"options":{"handle":"0x1",
            "bpf_name":"cls_q0","actions":[]}}"#;
        let json = [
            bpf.to_owned(),
            filter(
                18,
                r#""dst_mac":"02:00:00:00:00:01","eth_type":"ipv4","ip_proto":"tcp","dst_port":80"#,
                r#""kind":"skbedit","queue_mapping":1,"control_action":{"type":"pipe"}"#,
            ),
            filter(20, r#""eth_type":"ipv6""#, drop),
            filter(61455, "", drop),
        ];
        let filters = parse(&format!("[{}]", json.join(","))).unwrap();
        let [steered, dropped, isolation] = &filters[..] else {
            panic!("{filters:?}");
        };
        assert_eq!(
            (steered.preference, steered.fate, steered.packets),
            (18, Fate::Queue(1), 3)
        );
        let keys = [
            ("eth_type", "ipv4"),
            ("ip_proto", "tcp"),
            ("dst_port", "80"),
        ];
        assert!(steered.matches(&keys) && !steered.matches(&keys[..2]));
        assert_eq!(dropped.fate, Fate::Drop);
        assert!(dropped.preference < DRIVER_PREFERENCES);
        assert!(isolation.preference >= DRIVER_PREFERENCES && isolation.matches(&[]));
        assert!(dropped.matches(&[("eth_type", "ipv6")]));
        assert!(!dropped.matches(&[("eth_type", "ipv6"), ("dst_mac", "02:00:00:00:00:01")]));
    }
}
