//! net_pcap: frames of a capture come in, and what is sent becomes a capture.

mod rig;

use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use pcap_file::pcap::{PcapPacket, PcapReader, PcapWriter};

fn write(path: &Path, frames: &[Vec<u8>]) {
    let mut writer = PcapWriter::new(File::create(path).unwrap()).unwrap();
    for (number, frame) in (0..).zip(frames) {
        let time = Duration::from_millis(number);
        let packet = PcapPacket::new(time, frame.len() as u32, frame);
        writer.write_packet(&packet).unwrap();
    }
}

fn read(path: &Path) -> Vec<Vec<u8>> {
    let mut reader = PcapReader::new(File::open(path).unwrap()).unwrap();
    let mut frames = Vec::new();
    while let Some(packet) = reader.next_packet() {
        frames.push(packet.unwrap().data.into_owned());
    }
    frames
}

#[test]
fn frames_pass_from_a_capture_to_a_capture() {
    let directory = std::env::temp_dir().join(format!("dpdk-io-pcap-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let (input, output) = (directory.join("in.pcap"), directory.join("out.pcap"));
    let frames = rig::frames(300);
    write(&input, &frames);

    let (rx, tx) = (input.display(), output.display());
    let eal = rig::eal(&[&format!("net_pcap0,rx_pcap={rx},tx_pcap={tx}")]);
    let pool = rig::pool(&eal);
    let mut port = rig::open(&eal, "net_pcap0", 1, &pool);
    let mut queue = rig::pair(&mut port);
    let received = rig::receive(&mut queue, 300);
    rig::assert_frames(&received, &frames);
    let reversed: Vec<_> = received.into_iter().rev().collect();
    rig::send(&mut queue, &reversed);
    let stats = port.stats().unwrap();
    assert_eq!((stats.rx_frames, stats.tx_frames), (300, 300));
    let octets: usize = frames.iter().map(Vec::len).sum();
    assert_eq!(
        (stats.rx_octets, stats.tx_octets),
        (octets as u64, octets as u64)
    );

    // Up to 22.11 the driver does not say that it takes chains, so the queue joins them.
    for frame in &frames {
        rig::send_in_pieces(&mut queue, frame);
    }

    drop(queue);
    rig::finish(eal, vec![port], pool);
    let written = read(&output);
    rig::assert_frames(&written[..300], &reversed);
    rig::assert_frames(&written[300..], &frames);
    fs::remove_dir_all(&directory).unwrap();
}
