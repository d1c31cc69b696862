//! curl fetches pages from nginx through Weirgate: every octet arrives, over every combination of
//! IP versions, and a connection carries as many requests as the client likes.

use weirgate_tests::on_each_driver;
use weirgate_tests::rig::{Config, FAMILIES, Page, Rig, fetch_all};

on_each_driver!(
    pages_arrive_whole, a_connection_is_kept;
    smoltcp: pages_arrive_whole,
);

/// A listener whose backend is reached over IPv6.
const PORT_TO_V6: u16 = 8080;

fn pages_arrive_whole(config: Config) {
    let config = config.nginx_over_ipv6(PORT_TO_V6);
    let Some(mut rig) = Rig::start(config, &Page::ALL) else {
        return;
    };
    for family in FAMILIES {
        for port in [Config::PORT, PORT_TO_V6] {
            for page in Page::ALL {
                rig.fetch_whole(family, port, page);
            }
        }
    }
    assert!(rig.weirgate.stop().unwrap().success());
}

fn a_connection_is_kept(config: Config) {
    let Some(rig) = Rig::start(config, &[Page::One, Page::Medium]) else {
        return;
    };
    for family in FAMILIES {
        let pages = [Page::One, Page::Medium].into_iter().cycle().take(200);
        let urls: Vec<_> = pages
            .map(|page| family.url(Config::PORT, page.file_name()))
            .collect();
        let client = &rig.topology.client;
        let fetch = fetch_all(client, &urls, rig.directory.path(), &[]).unwrap();
        assert_eq!(fetch.exit_code, Some(0), "{}", fetch.errors);
        assert_eq!(fetch.connections, 1, "{family:?}");
        assert_eq!(fetch.checksum, rig.nginx.checksum(Page::Medium));
    }
}
