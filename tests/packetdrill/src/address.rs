//! Socket addresses as octets in memory: `struct sockaddr_in` and `sockaddr_in6`.
//!
//! The family is in the byte order of the machine, all else in that of the network (RFC 3493).

use core::ffi::c_int;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::Errno;

const V4_LEN: usize = size_of::<libc::sockaddr_in>();
const V6_LEN: usize = size_of::<libc::sockaddr_in6>();

/// Where the IPv6 address begins: behind family, port and flow label.
const V6_ADDRESS: usize = 8;

/// Reads an address.
///
/// # Errors
/// `EINVAL` if there are too few octets, `EAFNOSUPPORT` if it is neither IPv4 nor IPv6.
pub(crate) fn parse(octets: &[u8]) -> Result<SocketAddr, Errno> {
    let invalid = Errno(libc::EINVAL);
    let (family, rest) = octets.split_first_chunk().ok_or(invalid)?;
    let (port, rest) = rest.split_first_chunk().ok_or(invalid)?;
    let ip: IpAddr = match c_int::from(u16::from_ne_bytes(*family)) {
        libc::AF_INET => {
            let address = rest.first_chunk::<4>().ok_or(invalid)?;
            Ipv4Addr::from(*address).into()
        }
        libc::AF_INET6 => {
            let address = octets.get(V6_ADDRESS..).ok_or(invalid)?;
            let address = address.first_chunk::<16>().ok_or(invalid)?;
            Ipv6Addr::from(*address).into()
        }
        _ => return Err(Errno(libc::EAFNOSUPPORT)),
    };
    Ok(SocketAddr::new(ip, u16::from_be_bytes(*port)))
}

/// Writes an address.
pub(crate) fn emit(address: SocketAddr) -> Vec<u8> {
    let (family, len) = match address {
        SocketAddr::V4(_) => (libc::AF_INET as u16, V4_LEN),
        SocketAddr::V6(_) => (libc::AF_INET6 as u16, V6_LEN),
    };
    let mut octets = Vec::with_capacity(len);
    octets.extend_from_slice(&family.to_ne_bytes());
    octets.extend_from_slice(&address.port().to_be_bytes());
    match address.ip() {
        IpAddr::V4(ip) => octets.extend_from_slice(&ip.octets()),
        IpAddr::V6(ip) => {
            octets.resize(V6_ADDRESS, 0);
            octets.extend_from_slice(&ip.octets());
        }
    }
    octets.resize(len, 0);
    octets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        for (address, len) in [("192.0.2.1:80", 16), ("[2001:db8::1]:65535", 28)] {
            let address = address.parse().unwrap();
            let octets = emit(address);
            assert_eq!(octets.len(), len);
            assert_eq!(parse(&octets), Ok(address));
        }
    }

    #[test]
    fn what_is_cut_short_or_of_another_family_is_refused() {
        for address in ["192.0.2.1:80", "[2001:db8::1]:80"] {
            let octets = emit(address.parse().unwrap());
            let needed = if octets.len() == V4_LEN { 8 } else { 24 };
            for len in 0..needed {
                assert_eq!(parse(&octets[..len]), Err(Errno(libc::EINVAL)), "{len}");
            }
        }
        let unix = [1, 0, b'/', 0];
        assert_eq!(parse(&unix), Err(Errno(libc::EAFNOSUPPORT)));
    }
}
