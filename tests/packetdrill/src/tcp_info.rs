//! `struct tcp_info` as Linux lays it out, from the fields that the stack tells by name.

use core::mem::offset_of;

use weirgate_tests::stack::TcpInfo;

/// The structure's size.
const LEN: usize = size_of::<libc::tcp_info>();

/// Writes the structure; fields that the stack does not tell are zero.
pub(crate) fn emit(info: &TcpInfo) -> Vec<u8> {
    let mut octets = vec![0; LEN];
    for (name, offset, width) in LAYOUT {
        let value = info.field(name).unwrap_or(0);
        let field = &mut octets[offset..offset + width];
        if fits(value, width) {
            field.copy_from_slice(low_octets(&value.to_ne_bytes(), width));
        } else {
            // The largest rather than what is left of it.
            field.fill(u8::MAX);
        }
    }
    octets
}

fn fits(value: u64, width: usize) -> bool {
    width == 8 || value >> (8 * width) == 0
}

/// The octets of the value's low end, in the order of the machine.
fn low_octets(value: &[u8; 8], width: usize) -> &[u8] {
    if cfg!(target_endian = "big") {
        &value[8 - width..]
    } else {
        &value[..width]
    }
}

/// Name, offset and width in octets of every field that is a number of its own.
const LAYOUT: [(&str, usize, usize); 48] = [
    ("tcpi_state", offset_of!(libc::tcp_info, tcpi_state), 1),
    (
        "tcpi_ca_state",
        offset_of!(libc::tcp_info, tcpi_ca_state),
        1,
    ),
    (
        "tcpi_retransmits",
        offset_of!(libc::tcp_info, tcpi_retransmits),
        1,
    ),
    ("tcpi_probes", offset_of!(libc::tcp_info, tcpi_probes), 1),
    ("tcpi_backoff", offset_of!(libc::tcp_info, tcpi_backoff), 1),
    ("tcpi_options", offset_of!(libc::tcp_info, tcpi_options), 1),
    // A bit in the octet after the two window scales, which are half an octet each.
    (
        "tcpi_delivery_rate_app_limited",
        offset_of!(libc::tcp_info, tcpi_options) + 2,
        1,
    ),
    ("tcpi_rto", offset_of!(libc::tcp_info, tcpi_rto), 4),
    ("tcpi_ato", offset_of!(libc::tcp_info, tcpi_ato), 4),
    ("tcpi_snd_mss", offset_of!(libc::tcp_info, tcpi_snd_mss), 4),
    ("tcpi_rcv_mss", offset_of!(libc::tcp_info, tcpi_rcv_mss), 4),
    ("tcpi_unacked", offset_of!(libc::tcp_info, tcpi_unacked), 4),
    ("tcpi_sacked", offset_of!(libc::tcp_info, tcpi_sacked), 4),
    ("tcpi_lost", offset_of!(libc::tcp_info, tcpi_lost), 4),
    ("tcpi_retrans", offset_of!(libc::tcp_info, tcpi_retrans), 4),
    (
        "tcpi_last_data_sent",
        offset_of!(libc::tcp_info, tcpi_last_data_sent),
        4,
    ),
    (
        "tcpi_last_data_recv",
        offset_of!(libc::tcp_info, tcpi_last_data_recv),
        4,
    ),
    (
        "tcpi_last_ack_recv",
        offset_of!(libc::tcp_info, tcpi_last_ack_recv),
        4,
    ),
    ("tcpi_pmtu", offset_of!(libc::tcp_info, tcpi_pmtu), 4),
    (
        "tcpi_rcv_ssthresh",
        offset_of!(libc::tcp_info, tcpi_rcv_ssthresh),
        4,
    ),
    ("tcpi_rtt", offset_of!(libc::tcp_info, tcpi_rtt), 4),
    ("tcpi_rttvar", offset_of!(libc::tcp_info, tcpi_rttvar), 4),
    (
        "tcpi_snd_ssthresh",
        offset_of!(libc::tcp_info, tcpi_snd_ssthresh),
        4,
    ),
    (
        "tcpi_snd_cwnd",
        offset_of!(libc::tcp_info, tcpi_snd_cwnd),
        4,
    ),
    ("tcpi_advmss", offset_of!(libc::tcp_info, tcpi_advmss), 4),
    (
        "tcpi_reordering",
        offset_of!(libc::tcp_info, tcpi_reordering),
        4,
    ),
    ("tcpi_rcv_rtt", offset_of!(libc::tcp_info, tcpi_rcv_rtt), 4),
    (
        "tcpi_rcv_space",
        offset_of!(libc::tcp_info, tcpi_rcv_space),
        4,
    ),
    (
        "tcpi_total_retrans",
        offset_of!(libc::tcp_info, tcpi_total_retrans),
        4,
    ),
    (
        "tcpi_pacing_rate",
        offset_of!(libc::tcp_info, tcpi_pacing_rate),
        8,
    ),
    (
        "tcpi_bytes_acked",
        offset_of!(libc::tcp_info, tcpi_bytes_acked),
        8,
    ),
    (
        "tcpi_bytes_received",
        offset_of!(libc::tcp_info, tcpi_bytes_received),
        8,
    ),
    (
        "tcpi_segs_out",
        offset_of!(libc::tcp_info, tcpi_segs_out),
        4,
    ),
    ("tcpi_segs_in", offset_of!(libc::tcp_info, tcpi_segs_in), 4),
    (
        "tcpi_notsent_bytes",
        offset_of!(libc::tcp_info, tcpi_notsent_bytes),
        4,
    ),
    ("tcpi_min_rtt", offset_of!(libc::tcp_info, tcpi_min_rtt), 4),
    (
        "tcpi_data_segs_in",
        offset_of!(libc::tcp_info, tcpi_data_segs_in),
        4,
    ),
    (
        "tcpi_data_segs_out",
        offset_of!(libc::tcp_info, tcpi_data_segs_out),
        4,
    ),
    (
        "tcpi_delivery_rate",
        offset_of!(libc::tcp_info, tcpi_delivery_rate),
        8,
    ),
    (
        "tcpi_busy_time",
        offset_of!(libc::tcp_info, tcpi_busy_time),
        8,
    ),
    (
        "tcpi_rwnd_limited",
        offset_of!(libc::tcp_info, tcpi_rwnd_limited),
        8,
    ),
    (
        "tcpi_sndbuf_limited",
        offset_of!(libc::tcp_info, tcpi_sndbuf_limited),
        8,
    ),
    (
        "tcpi_delivered",
        offset_of!(libc::tcp_info, tcpi_delivered),
        4,
    ),
    (
        "tcpi_delivered_ce",
        offset_of!(libc::tcp_info, tcpi_delivered_ce),
        4,
    ),
    (
        "tcpi_bytes_retrans",
        offset_of!(libc::tcp_info, tcpi_bytes_retrans),
        8,
    ),
    ("tcpi_rcv_wnd", offset_of!(libc::tcp_info, tcpi_rcv_wnd), 4),
    (
        "tcpi_reord_seen",
        offset_of!(libc::tcp_info, tcpi_reord_seen),
        4,
    ),
    ("tcpi_snd_wnd", offset_of!(libc::tcp_info, tcpi_snd_wnd), 4),
];

#[cfg(test)]
mod tests {
    use netstack::time::Instant;
    use weirgate_tests::stack::{Engine, Errno, Host, Stack, StackOptions};

    use super::*;

    fn u32_at(octets: &[u8], offset: usize) -> u32 {
        u32::from_ne_bytes(*octets[offset..].first_chunk().unwrap())
    }

    #[test]
    fn fields_stand_where_linux_has_them() {
        let info = TcpInfo::default()
            .with("tcpi_state", 1)
            .with("tcpi_rto", 200_000)
            .with("tcpi_snd_cwnd", 10)
            .with("tcpi_pacing_rate", 1 << 40);
        let octets = emit(&info);
        // Eight numbers of an octet and bit fields, then numbers of four.
        assert_eq!(octets[0], 1);
        assert_eq!(u32_at(&octets, 8), 200_000);
        assert_eq!(u32_at(&octets, 80), 10);
        assert_eq!(octets[104..112], (1_u64 << 40).to_ne_bytes());
    }

    #[test]
    fn a_value_that_does_not_fit_stands_as_the_largest() {
        let info = TcpInfo::default().with("tcpi_snd_ssthresh", u64::MAX);
        let offset = offset_of!(libc::tcp_info, tcpi_snd_ssthresh);
        assert_eq!(u32_at(&emit(&info), offset), u32::MAX);
    }

    #[test]
    fn every_field_the_stack_tells_has_a_place() {
        let options = StackOptions::new(Engine::Native);
        let addresses = vec!["192.168.0.1".parse().unwrap()];
        let now = Instant::from_millis(1000);
        let mut host = Host::new(now, addresses, options);
        let fd = Stack::socket(&mut host).unwrap();
        let remote = "192.0.2.1:80".parse().unwrap();
        let connecting = Stack::connect(&mut host, fd, remote);
        assert_eq!(connecting, Err(Errno::InProgress));
        let info = Stack::tcp_info(&mut host, fd).unwrap();
        let known = |name| LAYOUT.iter().any(|(known, ..)| *known == name);
        let missing: Vec<_> = info.names().filter(|name| !known(*name)).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}
