//! What listeners ask of their clients first, and their routes; what backends are told.

use super::*;

/// The minimal configuration whose listener has these lines besides, from line 13.
fn listener(lines: &str) -> String {
    let named = "backend_group = \"nginx\"\n";
    minimal_with(named, &format!("{named}{lines}\n"))
}

/// The same with TLS that is passed through, from line 14.
fn routes(lines: &str) -> String {
    listener(&format!("tls = \"passthrough\"\n{lines}"))
}

fn route(conditions: &str) -> String {
    format!("[[listener.route]]\n{conditions}\nbackend_group = \"nginx\"\n")
}

fn warning(text: &str) -> String {
    let (_, warnings) = valid(text);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    warnings[0].to_string()
}

#[test]
fn values_reach_their_fields() {
    let prefix = |address: &str, len| Prefix {
        address: address.parse().unwrap(),
        len,
    };
    let lines = "proxy_protocol = \"required\"\nproxy_trusted = [\"192.0.2.0/24\", \"::/0\"]\n\
                 tls = \"passthrough\"\nsni_strict = true\n";
    let conditions =
        "sni = [\"WWW.example\", \"*.example\"]\nalpn = [\"h2\"]\nsource = [\"10.0.0.0/8\"]";
    let (config, warnings) = valid(&listener(&format!("{lines}{}", route(conditions))));
    assert_eq!(warnings, []);
    let listener = &config.listeners[0];
    let trusted = vec![prefix("192.0.2.0", 24), prefix("::", 0)];
    assert_eq!(listener.proxy_trusted, Some(trusted));
    let expected = PassthroughConfig {
        strict: true,
        routes: vec![RouteConfig {
            names: vec![
                NamePattern::Exact("www.example".into()),
                NamePattern::Below("example".into()),
            ],
            alpn: vec!["h2".to_owned()],
            source: vec![prefix("10.0.0.0", 8)],
            backend_group: BackendGroupId(0),
        }],
    };
    assert_eq!(listener.passthrough.as_ref(), Some(&expected));
    assert_eq!(expected.routes[0].label(4), "www.example");
    let named = "name = \"nginx\"\n";
    let keys = "proxy_protocol = \"v2\"\nproxy_tlvs = [\"unique_id\", \"crc32c\"]\n";
    let (config, warnings) = valid(&minimal_with(named, &format!("{named}{keys}")));
    assert_eq!(warnings, []);
    let announce = AnnounceConfig {
        version: AnnounceVersion::V2,
        tlvs: vec![ProxyTlv::UniqueId, ProxyTlv::Crc32c],
    };
    assert_eq!(config.backend_groups[0].announce, Some(announce));
    let (config, _) = valid(MINIMAL);
    let listener = &config.listeners[0];
    assert_eq!(
        (&listener.proxy_trusted, &listener.passthrough),
        (&None, &None)
    );
    assert_eq!(config.backend_groups[0].announce, None);
}

#[test]
fn whoever_may_speak_for_others_must_be_named() {
    let required = "proxy_protocol = \"required\"";
    one_fault(
        &listener(required),
        9,
        &["`proxy_trusted` in [[listener]]: missing"],
    );
    let with = |list: &str| listener(&format!("{required}\nproxy_trusted = {list}"));
    one_fault(&with("[]"), 14, &["the list is empty", "192.0.2.8/32"]);
    one_fault(
        &with("[\"192.0.2.9/24\"]"),
        14,
        &["bits set after", "\"192.0.2.0/24\""],
    );
    one_fault(
        &with("[\"10.0.0.0/8\", \"10.0.0.0/8\"]"),
        14,
        &["was used before, in line 14"],
    );
    one_fault(
        &listener("proxy_protocol = \"v2\""),
        13,
        &["possible here: off, required"],
    );
    let unused = warning(&listener("proxy_trusted = [\"10.0.0.0/8\"]"));
    assert!(
        unused.contains(":13:") && unused.contains("no effect"),
        "{unused}"
    );
}

#[test]
fn names_that_nobody_asks_for() {
    for name in [
        "",
        "*",
        "*.",
        "a.*.b",
        "**.a",
        "*a.example",
        "192.0.2.1",
        "a b",
        "a..b",
        "a.",
    ] {
        one_fault(
            &routes(&route(&format!("sni = [\"{name}\"]"))),
            15,
            &["no client asks for the name", "`*` stands for whole labels"],
        );
    }
    let long = format!("{}a", "a.".repeat(126));
    assert_eq!(long.len(), 253);
    valid(&routes(&route(&format!("sni = [\"{long}\"]"))));
    let parent = routes(&route(&format!("sni = [\"*.{long}\"]")));
    one_fault(&parent, 15, &["no client asks for the name"]);
}

#[test]
fn routes_that_are_never_used() {
    let twice = "sni = [\"a.example\", \"A.example\"]";
    one_fault(
        &routes(&route(twice)),
        15,
        &["`a.example` was used before, in line 15"],
    );
    let pair = |first: &str, second: &str| routes(&format!("{}{}", route(first), route(second)));
    let name = "sni = [\"a.example\"]";
    for (first, second) in [
        (name.to_owned(), name.to_owned()),
        (name.to_owned(), format!("{name}\nalpn = [\"h2\"]")),
        (
            format!("{name}\nalpn = [\"h3\", \"h2\"]"),
            format!("{name}\nalpn = [\"h2\"]"),
        ),
        (
            format!("{name}\nsource = [\"10.0.0.0/8\"]"),
            format!("{name}\nsource = [\"10.1.0.0/16\"]"),
        ),
    ] {
        let text = pair(&first, &second);
        let line = 15 + first.lines().count() + 2;
        one_fault(
            &text,
            line,
            &["a.example is never used: line 15 takes all its clients"],
        );
    }
    let fallback = pair(
        "alpn = [\"h2\"]",
        "alpn = [\"h2\"]\nsource = [\"10.0.0.0/8\"]",
    );
    one_fault(
        &fallback,
        17,
        &["the route is never used: line 14 takes all its clients"],
    );
    valid(&pair(&format!("{name}\nalpn = [\"h2\"]"), name));
    valid(&pair(name, "sni = [\"*.example\"]"));
    one_fault(
        &routes(&route("")),
        14,
        &["the route takes every client", "`sni`, `alpn` or `source`"],
    );
}

#[test]
fn routes_need_somebody_to_look_and_to_serve() {
    let text = listener(&route("sni = [\"a.example\"]"));
    one_fault(&text, 13, &["a route needs `tls`", "passthrough"]);
    let strict = warning(&listener("sni_strict = true"));
    assert!(
        strict.contains(":13:") && strict.contains("no effect"),
        "{strict}"
    );
    one_fault(
        &routes("sni_strict = true"),
        14,
        &["every client is refused"],
    );
    let text = routes("[[listener.route]]\nsni = [\"a.example\"]\nbackend_group = \"ngnix\"");
    one_fault(
        &text,
        16,
        &[
            "no [[backend_group]] has this name",
            "did you mean `nginx`?",
        ],
    );
}

#[test]
fn what_is_said_first_must_fit_the_connection() {
    let small = "[buffers]\nclient_receive = \"8KiB\"\n";
    let text = |lines: &str, more: &str| format!("{}{more}", listener(lines));
    let tls = "tls = \"passthrough\"";
    one_fault(
        &text(tls, small),
        19,
        &["8KiB are too few", "write \"20KiB\" or more"],
    );
    let proxy = "proxy_protocol = \"required\"\nproxy_trusted = [\"::/0\"]";
    valid(&text(proxy, small));
    let native = format!("{tls}\nengine = \"native\"");
    valid(&text(&native, small));
    let window = "[tcp]\nfirst_window = \"16KiB\"\n";
    one_fault(
        &text(&native, window),
        20,
        &["`first_window` in [tcp]", "20KiB"],
    );
}

#[test]
fn tlvs_are_for_version_2() {
    let with = |keys: &str| {
        let named = "name = \"nginx\"\n";
        minimal_with(named, &format!("{named}{keys}\n"))
    };
    let text = with("proxy_protocol = \"v1\"\nproxy_tlvs = [\"crc32c\"]");
    let unused = warning(&text);
    assert!(
        unused.contains(":16:") && unused.contains("\"v2\""),
        "{unused}"
    );
    let text = with("proxy_protocol = \"v2\"\nproxy_tlvs = [\"crc\"]");
    one_fault(
        &text,
        16,
        &["possible here: crc32c, unique_id, alpn, authority"],
    );
    let text = with("proxy_protocol = \"v2\"\nproxy_tlvs = [\"alpn\", \"alpn\"]");
    one_fault(&text, 16, &["`alpn` was used before"]);
}
