//! Which file belongs to which port, and what its MAC address is.
//!
//! On the command line a capture is `FILE`, of the only port or the one that was chosen for all
//! such, or `PORT=FILE`. Names of ports have neither `=` nor `/`, so `./a=b.pcap` is a file.
//!
//! A port whose MAC address the configuration leaves to its device has none here. Then the capture
//! tells: whoever sent a packet to one of the port's addresses knew it.

use core::net::IpAddr;
use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use netstack::io::capture::{CaptureError, CaptureReader, Record};
use netstack::wire::ethernet::{self, MacAddr, ethertype};
use netstack::wire::{ipv4, ipv6};
use thiserror::Error;

use crate::config::{Config, PortConfig};

/// Why files could not be given to ports.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum AssignError {
    /// A name that no port has.
    #[error("no port is called {name:?}; the ports are: {known}")]
    UnknownPort {
        /// The name.
        name: String,
        /// The names of all ports.
        known: String,
    },
    /// A file for one of several ports.
    #[error(
        "{option} {}: there are several ports: write {option} PORT={}, or choose one for all such \
         files by --port; the ports are: {known}",
        file.display(), file.display()
    )]
    WhichPort {
        /// The option.
        option: &'static str,
        /// The file.
        file: PathBuf,
        /// The names of all ports.
        known: String,
    },
    /// Two files for one port.
    #[error("{option}: port {port:?} has two files; merge captures by `mergecap` first")]
    Twice {
        /// The option.
        option: &'static str,
        /// The port's name.
        port: String,
    },
}

/// Finds the file of each port, in the order of the configuration, among the values of `option`.
///
/// Values that name no port belong to the port called `chosen`, or else to the only one.
pub fn assign<'a>(
    config: &Config,
    chosen: Option<&str>,
    option: &'static str,
    values: impl IntoIterator<Item = &'a OsStr>,
) -> Result<Vec<Option<PathBuf>>, AssignError> {
    let names: Vec<&str> = config.ports.iter().map(|port| port.name.as_str()).collect();
    let find = |name: &str| {
        let position = names.iter().position(|known| *known == name);
        position.ok_or_else(|| AssignError::UnknownPort {
            name: name.to_owned(),
            known: names.join(", "),
        })
    };
    let chosen = match (chosen, names.as_slice()) {
        (Some(name), _) => Some(find(name)?),
        (None, [_]) => Some(0),
        (None, _) => None,
    };
    let mut files = vec![None; names.len()];
    for value in values {
        let (port, file) = match split(value) {
            Some((name, file)) => (find(name)?, file),
            None => match chosen {
                Some(port) => (port, value),
                None => {
                    return Err(AssignError::WhichPort {
                        option,
                        file: value.into(),
                        known: names.join(", "),
                    });
                }
            },
        };
        if files[port].replace(PathBuf::from(file)).is_some() {
            return Err(AssignError::Twice {
                option,
                port: names[port].to_owned(),
            });
        }
    }
    Ok(files)
}

/// Takes `PORT=FILE` apart; `None` if the value is a file alone.
fn split(value: &OsStr) -> Option<(&str, &OsStr)> {
    let octets = value.as_bytes();
    let equals = octets.iter().position(|octet| *octet == b'=')?;
    let name = str::from_utf8(&octets[..equals]).ok()?;
    let is_name = !name.is_empty() && !name.contains('/');
    is_name.then(|| (name, OsStr::from_bytes(&octets[equals + 1..])))
}

/// The MAC address that a capture shows for the port: where the first packet to one of its
/// addresses was sent, if it was sent to one station.
pub fn find_mac(input: impl Read, port: &PortConfig) -> Result<Option<MacAddr>, CaptureError> {
    let mut reader = CaptureReader::new(input)?;
    let mut record = Record::default();
    while reader.read(&mut record)? {
        if let Some((mac, address)) = destinations(&record.data)
            && !mac.is_multicast()
            && port.addresses.iter().any(|own| own.address == address)
        {
            return Ok(Some(mac));
        }
    }
    Ok(None)
}

/// The MAC address of a port, by its position, for which neither configuration nor capture tells
/// one: `02:00:00:00:00:01` for the first.
pub fn default_mac(position: u16) -> MacAddr {
    let [high, low] = position.wrapping_add(1).to_be_bytes();
    MacAddr([2, 0, 0, 0, high, low])
}

/// Where an IP packet is sent: to which station, and to which host.
fn destinations(frame: &[u8]) -> Option<(MacAddr, IpAddr)> {
    let header = ethernet::Header::parse(frame).ok()?;
    let packet = &frame[ethernet::HEADER_LEN..];
    let address = match header.ethertype {
        ethertype::IPV4 => IpAddr::V4(ipv4::Header::parse(packet).ok()?.dst),
        ethertype::IPV6 => IpAddr::V6(ipv6::Header::parse(packet).ok()?.dst),
        _ => return None,
    };
    Some((header.destination, address))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use netstack::io::capture::CaptureWriter;
    use netstack::ip::{Ip, V4, V6};
    use netstack::time::Instant;
    use netstack::wire::ip_header::{Header, HeaderIp};

    use super::*;

    const STATION: MacAddr = MacAddr([2, 0, 0, 0, 0, 0xaa]);

    fn config() -> Config {
        let text = include_str!("../../examples/weirgate.toml");
        Config::parse(text, Path::new("w.toml")).unwrap().0
    }

    /// The file of each port; `-` if it has none.
    fn assigned(chosen: Option<&str>, values: &[&str]) -> Result<Vec<String>, String> {
        let values = values.iter().map(OsStr::new);
        let files = assign(&config(), chosen, "--in", values);
        let files = files.map_err(|error| error.to_string())?;
        let shown =
            |file: Option<PathBuf>| file.unwrap_or_else(|| "-".into()).display().to_string();
        Ok(files.into_iter().map(shown).collect())
    }

    #[test]
    fn files_go_to_the_ports_they_name() {
        let both = ["a.pcap", "b.pcap"];
        assert_eq!(
            assigned(None, &["inside=b.pcap", "edge=a.pcap"]).unwrap(),
            both
        );
        assert_eq!(
            assigned(Some("edge"), &["inside=b.pcap", "a.pcap"]).unwrap(),
            both
        );
        assert_eq!(assigned(None, &[]).unwrap(), ["-", "-"]);
        // Only the first `=` separates, and a directory is no name of a port.
        assert_eq!(assigned(None, &["edge=a=b"]).unwrap(), ["a=b", "-"]);
        assert_eq!(assigned(Some("edge"), &["./x=b"]).unwrap(), ["./x=b", "-"]);
        assert_eq!(assigned(Some("edge"), &["=b"]).unwrap(), ["=b", "-"]);
    }

    #[test]
    fn the_only_port_needs_no_name() {
        let mut config = config();
        config.ports.truncate(1);
        let assigned = assign(&config, None, "--in", [OsStr::new("a.pcap")]);
        assert_eq!(assigned, Ok(vec![Some("a.pcap".into())]));
    }

    #[test]
    fn what_is_wrong_is_said_with_the_names_there_are() {
        for (chosen, values, message) in [
            (
                None,
                &["a.pcap"][..],
                "--in a.pcap: there are several ports: write --in PORT=a.pcap",
            ),
            (
                None,
                &["egde=a.pcap"],
                "no port is called \"egde\"; the ports are: edge, inside",
            ),
            (Some("egde"), &["a.pcap"], "no port is called \"egde\""),
            (
                Some("edge"),
                &["a", "edge=b"],
                "--in: port \"edge\" has two files",
            ),
        ] {
            let error = assigned(chosen, values).unwrap_err();
            assert!(error.starts_with(message), "{error}");
        }
    }

    /// A frame to `station` with a packet to `dst`.
    fn frame<I: HeaderIp>(station: MacAddr, dst: I::Addr) -> Vec<u8> {
        let mut frame = vec![0; ethernet::HEADER_LEN + I::HEADER_LEN];
        let header = Header::<I> {
            src: dst,
            dst,
            protocol: 6,
            hop_limit: 64,
            ecn: 0,
            payload_len: 0,
        };
        I::emit_header(&header, &mut frame[ethernet::HEADER_LEN..]);
        let header = ethernet::Header {
            destination: station,
            source: MacAddr([2, 0, 0, 0, 0, 0xbb]),
            ethertype: I::ETHERTYPE,
        };
        header.emit(&mut frame);
        frame
    }

    fn finds_the_station<I: Ip + HeaderIp>(own: &str, other: &str)
    where
        I::Addr: core::str::FromStr<Err: core::fmt::Debug>,
    {
        let (own, other): (I::Addr, I::Addr) = (own.parse().unwrap(), other.parse().unwrap());
        let wrong = MacAddr([2, 0, 0, 0, 0, 0xcc]);
        let found = |frames: &[Vec<u8>]| {
            let mut writer = CaptureWriter::new(Vec::new()).unwrap();
            for frame in frames {
                writer.write(Instant::ZERO, frame).unwrap();
            }
            let capture = writer.finish().unwrap();
            find_mac(capture.as_slice(), &config().ports[0]).unwrap()
        };
        let [to_other, to_all, to_us] = [
            frame::<I>(wrong, other),
            frame::<I>(MacAddr::BROADCAST, own),
            frame::<I>(STATION, own),
        ];
        let noise = [vec![1, 2, 3], to_other, to_all];
        assert_eq!(found(&noise), None);
        assert_eq!(found(&[noise.as_slice(), &[to_us]].concat()), Some(STATION));
    }

    #[test]
    fn the_mac_address_is_where_packets_to_us_were_sent() {
        finds_the_station::<V4>("192.0.2.1", "192.0.2.2");
        finds_the_station::<V6>("2001:db8::1", "2001:db8::2");
    }

    #[test]
    fn made_up_addresses_tell_the_position() {
        assert_eq!(default_mac(0).to_string(), "02:00:00:00:00:01");
        assert_eq!(default_mac(255).to_string(), "02:00:00:00:01:00");
    }
}
