//! Which route a client takes, by what its ClientHello asks for and where it comes from.
//!
//! The most specific name decides: the very name, then the wildcard with the most labels, then
//! routes that ask for no name. Among routes with the same name the first in the file whose other
//! conditions hold is taken; if none is, the next name is tried. Finding one costs a look-up for
//! each label, however many routes there are.

use core::net::IpAddr;
use std::collections::HashMap;

use super::client_hello::{Protocols, ServerName};
use crate::config::{NamePattern, PassthroughConfig, Prefix, RouteConfig};

/// The routes of a listener.
#[derive(Debug)]
pub struct Routes {
    routes: Vec<Route>,
    /// Routes by name, in the order of the file.
    exact: HashMap<Box<str>, Vec<usize>>,
    /// Routes by what their wildcards stand below.
    below: HashMap<Box<str>, Vec<usize>>,
    /// Routes that ask for no name.
    any: Vec<usize>,
    strict: bool,
}

#[derive(Debug)]
struct Route {
    alpn: Vec<String>,
    source: Vec<Prefix>,
    group: usize,
}

impl Routes {
    /// The routes of a configured listener.
    pub fn new(config: &PassthroughConfig) -> Self {
        let mut routes = Self {
            routes: Vec::with_capacity(config.routes.len()),
            exact: HashMap::new(),
            below: HashMap::new(),
            any: Vec::new(),
            strict: config.strict,
        };
        for (index, route) in config.routes.iter().enumerate() {
            routes.add(index, route);
        }
        routes
    }

    fn add(&mut self, index: usize, route: &RouteConfig) {
        self.routes.push(Route {
            alpn: route.alpn.clone(),
            source: route.source.clone(),
            group: route.backend_group.0,
        });
        for name in &route.names {
            let (names, name) = match name {
                NamePattern::Exact(name) => (&mut self.exact, name),
                NamePattern::Below(parent) => (&mut self.below, parent),
            };
            names.entry(name.clone()).or_default().push(index);
        }
        if route.names.is_empty() {
            self.any.push(index);
        }
    }

    /// The route of a client at `source` that asks for this.
    pub fn find(&self, name: &ServerName, protocols: &Protocols, source: IpAddr) -> Option<usize> {
        let takes = |index: &&usize| self.routes[**index].takes(protocols, source);
        let first = |candidates: &[usize]| candidates.iter().find(takes).copied();
        let named = match name {
            ServerName::Host(name) => self.candidates(name).find_map(first),
            ServerName::Absent | ServerName::NotAHost => None,
        };
        named.or_else(|| first(&self.any))
    }

    /// The backend group of a route.
    pub fn group(&self, route: usize) -> usize {
        self.routes[route].group
    }

    /// Whether clients without a route are refused.
    pub fn is_strict(&self) -> bool {
        self.strict
    }

    /// Routes whose names match, the most specific name first.
    fn candidates<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [usize]> {
        let parents =
            core::iter::successors(name.split_once('.'), |(_, parent)| parent.split_once('.'));
        let below = parents.filter_map(|(_, parent)| self.below.get(parent));
        self.exact
            .get(name)
            .into_iter()
            .chain(below)
            .map(Vec::as_slice)
    }
}

impl Route {
    fn takes(&self, protocols: &Protocols, source: IpAddr) -> bool {
        let wanted = |offered: &[u8]| self.alpn.iter().any(|name| name.as_bytes() == offered);
        (self.alpn.is_empty() || protocols.iter().any(wanted))
            && (self.source.is_empty() || self.source.iter().any(|from| from.contains(source)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::BackendGroupId;

    fn route(names: &[&str], alpn: &[&str], source: &[(&str, u8)], group: usize) -> RouteConfig {
        RouteConfig {
            names: names
                .iter()
                .map(|name| match name.strip_prefix("*.") {
                    Some(parent) => NamePattern::Below(parent.into()),
                    None => NamePattern::Exact((*name).into()),
                })
                .collect(),
            alpn: alpn.iter().map(ToString::to_string).collect(),
            source: source
                .iter()
                .map(|(address, len)| Prefix {
                    address: address.parse().unwrap(),
                    len: *len,
                })
                .collect(),
            backend_group: BackendGroupId(group),
        }
    }

    fn protocols(names: &[&str]) -> Protocols {
        Protocols::of(names)
    }

    #[test]
    fn the_most_specific_name_whose_conditions_hold() {
        let routes = Routes::new(&PassthroughConfig {
            strict: true,
            routes: vec![
                route(&[], &["h3"], &[], 10),
                route(&["*.example"], &[], &[], 11),
                route(&["*.b.example", "other.test"], &[], &[], 12),
                route(&["a.b.example"], &["h2"], &[], 13),
                route(&["a.b.example"], &[], &[("2001:db8::", 32)], 14),
                route(&[], &[], &[("192.0.2.0", 24)], 15),
            ],
        });
        let (here, far, v6) = ("192.0.2.9", "198.51.100.9", "2001:db8::9");
        let cases: [(&str, &[&str], &str, Option<usize>); 12] = [
            ("a.b.example", &["http/1.1", "h2"], far, Some(13)),
            ("a.b.example", &[], v6, Some(14)),
            ("a.b.example", &[], far, Some(12)),
            ("x.y.b.example", &[], far, Some(12)),
            ("b.example", &[], far, Some(11)),
            ("x.example", &["h3"], here, Some(11)),
            ("example", &[], far, None),
            ("xexample", &["h3"], far, Some(10)),
            ("other.test", &[], here, Some(12)),
            ("x.other.test", &[], here, Some(15)),
            ("", &["h3"], here, Some(10)),
            ("", &[], here, Some(15)),
        ];
        for (name, alpn, source, group) in cases {
            let asked = match name {
                "" => ServerName::Absent,
                name => ServerName::Host(name.into()),
            };
            let found = routes.find(&asked, &protocols(alpn), source.parse().unwrap());
            assert_eq!(
                found.map(|route| routes.group(route)),
                group,
                "{name} {alpn:?} {source}"
            );
        }
        let odd = routes.find(
            &ServerName::NotAHost,
            &protocols(&[]),
            here.parse().unwrap(),
        );
        assert_eq!(odd.map(|route| routes.group(route)), Some(15));
        assert!(routes.is_strict());
    }
}
