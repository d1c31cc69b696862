//! Single values: from a TOML value to a type that cannot be wrong by itself.
//!
//! Each function reads one kind of value and says what is wrong with it; whether it fits the rest
//! of the configuration is the business of [`super::check`].

use core::fmt::Display;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::ops::RangeInclusive;
use core::time::Duration;

use netstack::ip::IpAddress;
use netstack::wire::ethernet::MacAddr;
use toml::de::DeValue;

use super::fault::{AddressFault, Family, Fault, Unusable};
use super::quantity::{ByteSize, TimeSpan, parse_duration, parse_size};
use super::section::nearest;
use super::{InterfaceAddress, PortRange};

/// The longest duration: one year. Longer ones are slips, and would strain the timers for nothing.
const LONGEST_DURATION: Duration = Duration::from_hours(365 * 24);

/// The longest name, in octets.
const LONGEST_NAME: usize = 64;

fn wrong_type(value: &DeValue<'_>, expected: &'static str, example: &'static str) -> Fault {
    Fault::WrongType {
        expected,
        found: value.type_str(),
        example,
    }
}

/// A text.
pub(super) fn string<'a>(value: &'a DeValue<'_>, example: &'static str) -> Result<&'a str, Fault> {
    value
        .as_str()
        .ok_or_else(|| wrong_type(value, "a text in quotes", example))
}

/// `true` or `false`.
pub(super) fn boolean(value: &DeValue<'_>) -> Result<bool, Fault> {
    value
        .as_bool()
        .ok_or_else(|| wrong_type(value, "true or false", "true"))
}

/// A whole number in a range.
pub(super) fn integer<T>(value: &DeValue<'_>, range: RangeInclusive<T>) -> Result<T, Fault>
where
    T: TryFrom<i128> + PartialOrd + Display,
{
    let Some(integer) = value.as_integer() else {
        return Err(wrong_type(value, "a whole number", "1000"));
    };
    let parsed = i128::from_str_radix(integer.as_str(), integer.radix()).ok();
    let fitting = parsed.and_then(|number| T::try_from(number).ok());
    fitting
        .filter(|number| range.contains(number))
        .ok_or_else(|| Fault::OutOfRange {
            value: integer.to_string(),
            least: range.start().to_string(),
            most: range.end().to_string(),
        })
}

/// Places of a ring in a range: a power of two.
pub(super) fn ring(value: &DeValue<'_>, range: RangeInclusive<u32>) -> Result<u32, Fault> {
    let places: u32 = integer(value, range)?;
    if places.is_power_of_two() {
        Ok(places)
    } else {
        Err(Fault::NotPowerOfTwo { value: places })
    }
}

/// A size in a range, both in bytes.
pub(super) fn size(value: &DeValue<'_>, range: RangeInclusive<u64>) -> Result<u64, Fault> {
    let Some(text) = value.as_str() else {
        return Err(wrong_type(value, "a size in quotes", "\"64KiB\""));
    };
    let bytes = parse_size(text).map_err(|reason| Fault::BadSize {
        text: text.to_owned(),
        reason,
    })?;
    if range.contains(&bytes) {
        return Ok(bytes);
    }
    Err(Fault::OutOfRange {
        value: ByteSize(bytes).to_string(),
        least: ByteSize(*range.start()).to_string(),
        most: ByteSize(*range.end()).to_string(),
    })
}

/// A duration above zero.
pub(super) fn duration(value: &DeValue<'_>) -> Result<Duration, Fault> {
    let duration = any_duration(value, false)?;
    if duration.is_zero() {
        return Err(Fault::ZeroDuration { may_be_off: false });
    }
    Ok(duration)
}

/// A duration, or zero for "at once".
pub(super) fn duration_or_zero(value: &DeValue<'_>) -> Result<Duration, Fault> {
    any_duration(value, false)
}

/// A duration above zero, or `"off"`.
pub(super) fn duration_or_off(value: &DeValue<'_>) -> Result<Option<Duration>, Fault> {
    if value.as_str() == Some("off") {
        return Ok(None);
    }
    let duration = any_duration(value, true)?;
    if duration.is_zero() {
        return Err(Fault::ZeroDuration { may_be_off: true });
    }
    Ok(Some(duration))
}

/// A duration in a range.
pub(super) fn duration_within(
    value: &DeValue<'_>,
    range: RangeInclusive<Duration>,
) -> Result<Duration, Fault> {
    within(any_duration(value, false)?, range)
}

fn any_duration(value: &DeValue<'_>, may_be_off: bool) -> Result<Duration, Fault> {
    let Some(text) = value.as_str() else {
        return Err(wrong_type(value, "a duration in quotes", "\"10s\""));
    };
    let duration = parse_duration(text).map_err(|reason| Fault::BadDuration {
        text: text.to_owned(),
        reason,
        may_be_off,
    })?;
    within(duration, Duration::ZERO..=LONGEST_DURATION)
}

fn within(duration: Duration, range: RangeInclusive<Duration>) -> Result<Duration, Fault> {
    if range.contains(&duration) {
        return Ok(duration);
    }
    Err(Fault::OutOfRange {
        value: TimeSpan(duration).to_string(),
        least: TimeSpan(*range.start()).to_string(),
        most: TimeSpan(*range.end()).to_string(),
    })
}

/// A limit that is split among workers: each must get at least one.
pub(super) fn share(value: u64, workers: usize, zero_is_unlimited: bool) -> Result<(), Fault> {
    if value < workers as u64 {
        return Err(Fault::FewerThanWorkers {
            value,
            workers,
            zero_is_unlimited,
        });
    }
    Ok(())
}

/// One of several words.
pub(super) fn choice<T: Copy>(
    value: &DeValue<'_>,
    choices: &[(&'static str, T)],
) -> Result<T, Fault> {
    let words = || choices.iter().map(|(word, _)| *word);
    let text = string(value, choices.first().map_or("", |(word, _)| *word))?;
    let chosen = choices.iter().find(|(word, _)| *word == text);
    chosen
        .map(|(_, choice)| *choice)
        .ok_or_else(|| Fault::BadChoice {
            value: text.to_owned(),
            nearest: nearest(text, words()),
            choices: words().collect(),
        })
}

/// A name: what tells things of a kind apart in logs, metrics and messages.
pub(super) fn name(value: &DeValue<'_>) -> Result<String, Fault> {
    let text = string(value, "name = \"web\"")?;
    // A name may become part of a path, where `.` and `..` mean something.
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-:[]".contains(c);
    if text.is_empty()
        || text.starts_with('.')
        || text.len() > LONGEST_NAME
        || !text.chars().all(allowed)
    {
        return Err(Fault::BadName {
            name: text.to_owned(),
        });
    }
    Ok(text.to_owned())
}

/// The MAC address of one station.
pub(super) fn mac(value: &DeValue<'_>) -> Result<MacAddr, Fault> {
    let text = string(value, "mac = \"02:00:00:00:00:01\"")?;
    match text.parse::<MacAddr>() {
        Ok(mac) if !mac.is_multicast() && mac != MacAddr::default() => Ok(mac),
        _ => Err(AddressFault::BadMac {
            text: text.to_owned(),
        }
        .into()),
    }
}

/// A PCI address, with the domain even if it is written without; device arguments may follow.
///
/// Returns the whole text as DPDK takes it.
pub(super) fn pci_device(value: &DeValue<'_>) -> Result<String, Fault> {
    let text = string(value, "devices = [\"0000:03:00.0\"]")?;
    let (address, arguments) = match text.split_once(',') {
        Some((address, arguments)) => (address, Some(arguments)),
        None => (text, None),
    };
    let address = full_pci_address(address).ok_or_else(|| AddressFault::BadPciAddress {
        text: text.to_owned(),
    })?;
    Ok(match arguments {
        Some(arguments) => format!("{address},{arguments}"),
        None => address,
    })
}

/// `03:00.0` and `0000:03:00.0` as `0000:03:00.0`; `None` for anything else.
pub(super) fn full_pci_address(text: &str) -> Option<String> {
    let hex = |part: &str, digits: usize| {
        part.len() == digits && part.bytes().all(|octet| octet.is_ascii_hexdigit())
    };
    let (rest, function) = text.rsplit_once('.')?;
    let (rest, device) = rest.rsplit_once(':')?;
    let (domain, bus) = rest.rsplit_once(':').unwrap_or(("0000", rest));
    let digit = function.len() == 1 && function.bytes().all(|octet| (b'0'..=b'7').contains(&octet));
    (hex(domain, 4) && hex(bus, 2) && hex(device, 2) && digit)
        .then(|| format!("{domain}:{bus}:{device}.{function}").to_lowercase())
}

/// The arguments of a virtual device: its name, then options after commas.
pub(super) fn vdev(value: &DeValue<'_>) -> Result<String, Fault> {
    let text = string(value, "vdevs = [\"net_af_packet0,iface=veth0\"]")?;
    let name = device_name(text);
    let printable = text.bytes().all(|octet| octet.is_ascii_graphic());
    if name.is_empty() || !printable {
        return Err(Fault::BadName {
            name: text.to_owned(),
        });
    }
    Ok(text.to_owned())
}

/// What a port calls a device that is made available with these arguments.
pub(super) fn device_name(arguments: &str) -> &str {
    arguments
        .split_once(',')
        .map_or(arguments, |(name, _)| name)
}

/// A range of TCP ports, such as `"32768-60999"`.
pub(super) fn port_range(value: &DeValue<'_>) -> Result<PortRange, Fault> {
    let text = string(value, "source_ports = \"32768-60999\"")?;
    let malformed = || AddressFault::BadPortRange {
        text: text.to_owned(),
    };
    let (first, last) = text.split_once('-').ok_or_else(malformed)?;
    let first = decimal_u16(first).ok_or_else(malformed)?;
    let last = decimal_u16(last).ok_or_else(malformed)?;
    if first > last {
        return Err(AddressFault::InvertedRange { first, last }.into());
    }
    if first == 0 {
        return Err(AddressFault::PortZero.into());
    }
    Ok(PortRange { first, last })
}

/// A number without sign, as `u16::from_str` would also take `+1`.
fn decimal_u16(text: &str) -> Option<u16> {
    text.bytes()
        .all(|octet| octet.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
}

/// An address that a host can have on a network, without port or prefix.
pub(super) fn host_address(value: &DeValue<'_>) -> Result<IpAddr, Fault> {
    let text = string(value, "\"192.0.2.254\"")?;
    let address = text.parse().map_err(|_| AddressFault::BadAddress {
        text: text.to_owned(),
        form: "an IP address",
        example: "192.0.2.254",
    })?;
    usable(address)
}

/// An address that a host can have on a network, and a TCP port.
pub(super) fn socket_address(value: &DeValue<'_>) -> Result<SocketAddr, Fault> {
    let text = string(value, "\"192.0.2.1:80\"")?;
    let address = text.parse::<SocketAddr>().ok();
    // A zone (`%2`) would name an interface of the kernel's.
    let unscoped = |address: &SocketAddr| match address {
        SocketAddr::V4(_) => true,
        SocketAddr::V6(address) => address.scope_id() == 0,
    };
    let Some(address) = address.filter(unscoped) else {
        let example = if text.matches(':').count() > 1 {
            "[2001:db8::1]:80"
        } else {
            "192.0.2.1:80"
        };
        return Err(AddressFault::BadAddress {
            text: text.to_owned(),
            form: "an IP address and a port",
            example,
        }
        .into());
    };
    if address.port() == 0 {
        return Err(AddressFault::PortZero.into());
    }
    usable(address.ip())?;
    Ok(address)
}

/// An address of a port, with the length of its prefix.
pub(super) fn interface_address(value: &DeValue<'_>) -> Result<InterfaceAddress, Fault> {
    let parsed = prefix(value, "192.0.2.1/24")?;
    usable(parsed.address)?;
    if let IpAddr::V4(address) = parsed.address {
        edge_of_network(address, parsed.prefix_len)?;
    }
    Ok(parsed)
}

/// A network: an address that may have no bits after its prefix is left to the caller to check.
pub(super) fn prefix(
    value: &DeValue<'_>,
    example: &'static str,
) -> Result<InterfaceAddress, Fault> {
    let text = string(value, example)?;
    let malformed = || AddressFault::BadAddress {
        text: text.to_owned(),
        form: "an address with prefix length",
        example,
    };
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().map_err(|_| malformed())?;
    let family = Family::of(address);
    let Some(length) = length else {
        let example = if family == Family::V4 { 24 } else { 64 };
        return Err(AddressFault::NoPrefixLength {
            text: text.to_owned(),
            example,
        }
        .into());
    };
    let prefix_len = decimal_u16(length).filter(|length| *length <= u16::from(family.bits()));
    match prefix_len {
        Some(prefix_len) => Ok(InterfaceAddress {
            address,
            prefix_len: prefix_len as u8,
        }),
        None => Err(AddressFault::BadPrefixLength {
            text: length.to_owned(),
            family,
        }
        .into()),
    }
}

/// Refuses what cannot be the address of a host on a network.
fn usable(address: IpAddr) -> Result<IpAddr, Fault> {
    let reason = match address {
        IpAddr::V4(address) => unusable(address),
        IpAddr::V6(address) if address.to_ipv4_mapped().is_some() => Some(Unusable::V4Mapped),
        IpAddr::V6(address) => unusable(address),
    };
    match reason {
        None => Ok(address),
        Some(reason) => Err(AddressFault::UnusableAddress { address, reason }.into()),
    }
}

fn unusable<A: IpAddress>(address: A) -> Option<Unusable> {
    let generic: IpAddr = address.into();
    if address == A::UNSPECIFIED {
        Some(Unusable::Unspecified)
    } else if generic.is_multicast() {
        Some(Unusable::Multicast)
    } else if !address.is_unicast() {
        Some(Unusable::Broadcast)
    } else if address.is_loopback() {
        Some(Unusable::Loopback)
    } else {
        None
    }
}

/// Refuses the first and last address of an IPv4 network, which name no host (RFC 1122 3.2.1.3);
/// networks of one or two addresses have no such (RFC 3021).
fn edge_of_network(address: Ipv4Addr, prefix_len: u8) -> Result<(), Fault> {
    let host_mask = u32::MAX.checked_shr(u32::from(prefix_len)).unwrap_or(0);
    let host = u32::from(address) & host_mask;
    let reason = match host {
        _ if prefix_len >= 31 => return Ok(()),
        0 => Unusable::Network,
        host if host == host_mask => Unusable::Broadcast,
        _ => return Ok(()),
    };
    Err(AddressFault::UnusableAddress {
        address: address.into(),
        reason,
    }
    .into())
}

/// The first address of the prefix that `address` is in.
pub(super) fn network_of(address: IpAddr, prefix_len: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => Ipv4Addr::from(masked(address, prefix_len) as u32).into(),
        IpAddr::V6(address) => Ipv6Addr::from(masked(address, prefix_len)).into(),
    }
}

fn masked<A: IpAddress>(address: A, prefix_len: u8) -> u128 {
    let host_bits = (A::LEN * 8) as u32 - u32::from(prefix_len);
    let cleared = u128::MAX.checked_shl(host_bits).unwrap_or(0);
    address.to_bits() & cleared
}
