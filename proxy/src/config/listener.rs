//! `[[listener]]` and `[[listener.route]]`: where clients connect, what they have to say first, and
//! who serves them.
//!
//! *In*: a table of the file. *Out*: a [`RawListener`], sound by itself; whether the groups that it
//! names exist is for [`super::check`]. A route that can never be chosen is an error here: what it
//! says would silently not be done.

use core::fmt;
use core::net::{IpAddr, SocketAddr};

use toml::Spanned;
use toml::de::DeValue;

use super::check::spanned;
use super::fault::{Caution, Fault, RouteFault};
use super::report::Findings;
use super::section::Section;
use super::topology::nonempty;
use super::{BackendGroupId, EngineConfig, shares_prefix, tcp, value};
use crate::l7::{client_hello, proxy_protocol};

/// A `[[listener]]`: addresses at which clients connect, and who serves them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ListenerConfig {
    /// `name`: required; unlike that of any other listener.
    pub name: String,
    /// `addresses`: required; at least one. Each is an address of a port, and of no other
    /// listener.
    pub addresses: Vec<SocketAddr>,
    /// `backend_group`: required; given by name in the file. Who serves clients that no route
    /// takes.
    pub backend_group: BackendGroupId,
    /// `proxy_trusted`: required and not empty if `proxy_protocol = "required"`. Those who connect
    /// from there send a PROXY header first, and nobody else may connect. `None` if
    /// `proxy_protocol = "off"`, which is the default.
    pub proxy_trusted: Option<Vec<Prefix>>,
    /// `tls = "off"`, which is `None`, or `"passthrough"`.
    pub passthrough: Option<PassthroughConfig>,
    /// `engine`, `congestion`, `pacing`, `ecn`, `sack`, `timestamps`: how its connections are run.
    pub engine: EngineConfig,
}

impl ListenerConfig {
    /// Octets that a client's connection must be able to hold before anything is taken from it: the
    /// longest header, or ClientHello, with room to spare.
    pub fn least_window(&self) -> usize {
        let of_header = self
            .proxy_trusted
            .as_ref()
            .map(|_| 2 * proxy_protocol::MAX_LEN);
        let of_hello = self
            .passthrough
            .as_ref()
            .map(|_| client_hello::MAX_LEN + (3 << 10));
        of_header.max(of_hello).unwrap_or(0)
    }
}

/// What is done with TLS that is not ended here: clients are told apart by their ClientHello.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct PassthroughConfig {
    /// `sni_strict = false`: whether clients that no route takes are refused by an alert.
    pub strict: bool,
    /// Every `[[listener.route]]`, in the order of the file.
    pub routes: Vec<RouteConfig>,
}

/// A `[[listener.route]]`: which clients it takes, and who serves them. A condition that is empty
/// takes all; not all of them are.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RouteConfig {
    /// `sni = []`: names that the client asks for.
    pub names: Vec<NamePattern>,
    /// `alpn = []`: protocols of which the client offers one.
    pub alpn: Vec<String>,
    /// `source = []`: where the client is.
    pub source: Vec<Prefix>,
    /// `backend_group`: required; given by name in the file.
    pub backend_group: BackendGroupId,
}

impl RouteConfig {
    /// What the log calls it: its first name, or its place among the routes of its listener.
    pub fn label(&self, index: usize) -> String {
        let name = self.names.first();
        name.map_or_else(|| (index + 1).to_string(), ToString::to_string)
    }
}

/// A name, or all names that end like it. In lower case.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum NamePattern {
    /// `"www.example"`: this name.
    Exact(Box<str>),
    /// `"*.example"`: every name with one label or more before this.
    Below(Box<str>),
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Below(parent) => write!(f, "*.{parent}"),
        }
    }
}

/// All addresses that begin alike.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Prefix {
    /// The first of them.
    pub address: IpAddr,
    /// Bits that they share.
    pub len: u8,
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.len)
    }
}

impl Prefix {
    /// Whether the address is one of them.
    pub fn contains(self, address: IpAddr) -> bool {
        shares_prefix(self.address, address, self.len)
    }

    fn covers(self, other: Self) -> bool {
        self.len <= other.len && self.contains(other.address)
    }
}

/// A `[[listener]]` as it is written.
pub(super) struct RawListener {
    pub(super) name: Spanned<String>,
    pub(super) addresses: Vec<Spanned<SocketAddr>>,
    pub(super) group: Spanned<String>,
    pub(super) proxy_trusted: Option<Vec<Prefix>>,
    pub(super) passthrough: Option<RawPassthrough>,
    pub(super) engine: EngineConfig,
}

/// `tls = "passthrough"` as it is written.
pub(super) struct RawPassthrough {
    pub(super) strict: bool,
    pub(super) routes: Vec<RawRoute>,
}

/// A `[[listener.route]]` as it is written.
pub(super) struct RawRoute {
    names: Vec<Spanned<NamePattern>>,
    alpn: Vec<String>,
    source: Vec<Prefix>,
    pub(super) group: Spanned<String>,
    span: core::ops::Range<usize>,
}

impl RawRoute {
    /// The route without its places in the file.
    pub(super) fn into_config(self, backend_group: BackendGroupId) -> RouteConfig {
        RouteConfig {
            names: self.names.into_iter().map(Spanned::into_inner).collect(),
            alpn: self.alpn,
            source: self.source,
            backend_group,
        }
    }

    /// Whether every client that `later` takes by the name `pattern` is taken by this one, which
    /// has the same name and comes first.
    fn leaves_nothing_to(&self, later: &Self) -> bool {
        let all_protocols = self.alpn.is_empty()
            || !later.alpn.is_empty() && later.alpn.iter().all(|name| self.alpn.contains(name));
        let covered = |prefix: &Prefix| self.source.iter().any(|own| own.covers(*prefix));
        let all_sources =
            self.source.is_empty() || !later.source.is_empty() && later.source.iter().all(covered);
        all_protocols && all_sources
    }
}

/// What a listener may do about TLS.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Tls {
    Off,
    Passthrough,
}

/// Reads a `[[listener]]`.
pub(super) fn read_listener(
    mut section: Section<'_>,
    findings: &mut Findings,
) -> Option<RawListener> {
    let name = section.required("name", "name = \"web\"", findings, value::name);
    let example = "addresses = [\"192.0.2.1:80\"]";
    let addresses = nonempty(
        &mut section,
        "addresses",
        example,
        findings,
        value::socket_address,
    );
    let example = "backend_group = \"nginx\"";
    let group = section.required("backend_group", example, findings, value::name);
    let proxy_trusted = read_proxy(&mut section, findings);
    let passthrough = read_passthrough(&mut section, findings);
    let engine = tcp::engine(&mut section, findings);
    section.finish(findings);
    Some(RawListener {
        name: name?,
        addresses: addresses?,
        group: group?,
        proxy_trusted,
        passthrough,
        engine,
    })
}

/// Reads `proxy_protocol` and `proxy_trusted`.
fn read_proxy(section: &mut Section<'_>, findings: &mut Findings) -> Option<Vec<Prefix>> {
    const EXAMPLE: &str = "proxy_trusted = [\"192.0.2.8/32\"]";
    let words = [("off", false), ("required", true)];
    let required = section.or("proxy_protocol", false, findings, |value| {
        value::choice(value, &words)
    });
    if required {
        let trusted = nonempty(section, "proxy_trusted", EXAMPLE, findings, prefix)?;
        let subject = section.subject("proxy_trusted");
        findings.unique(&subject, trusted.iter().map(spanned));
        return Some(trusted.into_iter().map(Spanned::into_inner).collect());
    }
    if let Some(trusted) = section.list("proxy_trusted", EXAMPLE, findings, prefix) {
        let subject = section.subject("proxy_trusted");
        findings.warn(trusted.span(), subject, Caution::OnlyWithProxyProtocol);
    }
    None
}

/// Reads `tls`, `sni_strict` and the routes.
fn read_passthrough(section: &mut Section<'_>, findings: &mut Findings) -> Option<RawPassthrough> {
    let words = [("off", Tls::Off), ("passthrough", Tls::Passthrough)];
    let tls = section.or("tls", Tls::Off, findings, |value| {
        value::choice(value, &words)
    });
    let strict = section.optional("sni_strict", findings, value::boolean);
    let tables = section.tables(
        "route",
        "[[listener.route]]",
        "[[listener.route]]",
        findings,
    );
    let places: Vec<_> = tables.iter().map(Section::span).collect();
    let mut routes = Vec::with_capacity(tables.len());
    for table in tables {
        routes.extend(read_route(table, findings));
    }
    if tls == Tls::Off {
        if let Some(place) = places.first() {
            findings.error(place.clone(), "[[listener.route]]", RouteFault::WithoutTls);
        }
        if let Some(strict) = strict {
            findings.warn(
                strict.span(),
                section.subject("sni_strict"),
                Caution::OnlyWithPassthrough,
            );
        }
        return None;
    }
    check_routes(&routes, findings);
    if let Some(strict) = strict.as_ref().filter(|strict| *strict.get_ref())
        && places.is_empty()
    {
        let subject = section.subject("sni_strict");
        findings.error(strict.span(), subject, RouteFault::NobodyServed);
    }
    Some(RawPassthrough {
        strict: strict.is_some_and(Spanned::into_inner),
        routes,
    })
}

fn read_route(mut section: Section<'_>, findings: &mut Findings) -> Option<RawRoute> {
    let before = findings.error_count();
    let names = section.list("sni", "sni = [\"www.example\"]", findings, name_pattern);
    let alpn = section.list("alpn", "alpn = [\"h2\"]", findings, protocol);
    let source = section.list("source", "source = [\"192.0.2.0/24\"]", findings, prefix);
    let example = "backend_group = \"nginx\"";
    let group = section.required("backend_group", example, findings, value::name);
    let span = section.span();
    let names = names.map_or_else(Vec::new, Spanned::into_inner);
    let alpn = alpn.map_or_else(Vec::new, Spanned::into_inner);
    let source = source.map_or_else(Vec::new, Spanned::into_inner);
    let sound = findings.error_count() == before;
    if sound && names.is_empty() && alpn.is_empty() && source.is_empty() {
        findings.error(span.clone(), "[[listener.route]]", RouteFault::TakesAll);
    }
    findings.unique(&section.subject("sni"), names.iter().map(spanned));
    findings.unique(&section.subject("alpn"), alpn.iter().map(spanned));
    findings.unique(&section.subject("source"), source.iter().map(spanned));
    section.finish(findings);
    Some(RawRoute {
        names,
        alpn: alpn.into_iter().map(Spanned::into_inner).collect(),
        source: source.into_iter().map(Spanned::into_inner).collect(),
        group: group?,
        span,
    })
}

/// Reports every name of a route, or route without names, for which an earlier one leaves nothing.
fn check_routes(routes: &[RawRoute], findings: &mut Findings) {
    for (index, later) in routes.iter().enumerate() {
        let earlier = routes[..index]
            .iter()
            .filter(|route| route.leaves_nothing_to(later));
        for name in &later.names {
            let same = |own: &&Spanned<NamePattern>| own.get_ref() == name.get_ref();
            let first = earlier
                .clone()
                .find_map(|route| route.names.iter().find(same));
            if let Some(first) = first {
                let fault = RouteFault::Shadowed {
                    what: name.get_ref().to_string(),
                    first_line: findings.line_of(first.span().start),
                };
                findings.error(name.span(), "`sni` in [[listener.route]]", fault);
            }
        }
        if !later.names.is_empty() {
            continue;
        }
        if let Some(first) = earlier.clone().find(|route| route.names.is_empty()) {
            let fault = RouteFault::Shadowed {
                what: "the route".to_owned(),
                first_line: findings.line_of(first.span.start),
            };
            findings.error(later.span.clone(), "[[listener.route]]", fault);
        }
    }
}

/// A prefix without bits after it.
fn prefix(value: &DeValue<'_>) -> Result<Prefix, Fault> {
    let read = value::prefix(value, "192.0.2.0/24")?;
    let first = read.network();
    if first != read.address {
        return Err(RouteFault::HostBits {
            address: read.address,
            first,
            len: read.prefix_len,
        }
        .into());
    }
    Ok(Prefix {
        address: first,
        len: read.prefix_len,
    })
}

/// A host name, or one with `*.` before it.
fn name_pattern(value: &DeValue<'_>) -> Result<NamePattern, Fault> {
    let text = value::string(value, "\"www.example\"")?;
    let parent = text.strip_prefix("*.");
    let name = client_hello::host_name(parent.unwrap_or(text).as_bytes());
    // Something must have room before the parent, with a dot.
    let name = name.filter(|name| parent.is_none() || name.len() <= client_hello::LONGEST_NAME - 2);
    match (name, parent) {
        (Some(name), None) => Ok(NamePattern::Exact(name)),
        (Some(name), Some(_)) => Ok(NamePattern::Below(name)),
        (None, _) => Err(RouteFault::BadName {
            text: text.to_owned(),
        }
        .into()),
    }
}

/// The name of a protocol, as ALPN has it.
fn protocol(value: &DeValue<'_>) -> Result<String, Fault> {
    let text = value::string(value, "\"h2\"")?;
    if text.is_empty() || text.len() > 255 {
        return Err(RouteFault::BadProtocol {
            text: text.to_owned(),
        }
        .into());
    }
    Ok(text.to_owned())
}
