//! What tcpdump wrote: the frames of a pcap file, of which the first bytes are enough.

use crate::nic::Mac;
use anyhow::Context;
use lab_protocol::plan::net::Direction;
use pcap_file::pcap::PcapReader;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Bytes of an Ethernet header.
pub const ETHERNET: u32 = 14;

const ETHERTYPE_IPV4: [u8; 2] = [0x08, 0x00];
const ETHERTYPE_IPV6: [u8; 2] = [0x86, 0xdd];
const PROTOCOL_TCP: u8 = 6;

/// A frame that passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Bytes, with the Ethernet header
    pub length: u32,
    /// Whom it is from
    pub source: Mac,
    /// True if it holds TCP
    pub tcp: bool,
}

impl Frame {
    /// A frame of `length` bytes, of which `data` is the beginning; `None` if that has no Ethernet header.
    fn parse(length: u32, data: &[u8]) -> Option<Self> {
        let source = data.get(6..12)?.try_into().ok()?;
        let ethertype = data.get(12..14)?;
        let protocol = if ethertype == ETHERTYPE_IPV4 {
            data.get(23)
        } else if ethertype == ETHERTYPE_IPV6 {
            data.get(20)
        } else {
            None
        };
        Some(Self {
            length,
            source: Mac(source),
            tcp: protocol == Some(&PROTOCOL_TCP),
        })
    }

    /// True if it goes this way, seen from the guest with this address.
    pub fn goes(&self, direction: Direction, guest: Mac) -> bool {
        match direction {
            Direction::Send => self.source == guest,
            Direction::Receive => self.source != guest,
            Direction::Both => true,
        }
    }
}

/// All frames of a file.
pub fn read(file: &Path) -> anyhow::Result<Vec<Frame>> {
    let opened = File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
    parse(opened).with_context(|| format!("{}", file.display()))
}

fn parse(from: impl Read) -> anyhow::Result<Vec<Frame>> {
    let mut reader = PcapReader::new(from)?;
    let mut frames = Vec::new();
    // Raw, since frames are longer than what is kept of them, which the library takes for an error.
    while let Some(packet) = reader.next_raw_packet() {
        let packet = packet?;
        let frame = Frame::parse(packet.orig_len, &packet.data);
        frames.push(frame.context("a frame without an Ethernet header")?);
    }
    Ok(frames)
}

/// Frames and bytes each way, as they passed: with the padding of short ones, and a large one as one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Frames that the guest sent
    pub frames_sent: u64,
    /// Their bytes
    pub bytes_sent: u64,
    /// Frames that the guest received
    pub frames_received: u64,
    /// Their bytes
    pub bytes_received: u64,
}

impl Totals {
    /// Counts frames.
    pub fn of(frames: &[Frame], guest: Mac) -> Self {
        let mut totals = Self::default();
        for frame in frames {
            if frame.goes(Direction::Send, guest) {
                totals.frames_sent += 1;
                totals.bytes_sent += u64::from(frame.length);
            } else {
                totals.frames_received += 1;
                totals.bytes_received += u64::from(frame.length);
            }
        }
        totals
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pcap_file::pcap::PcapHeader;
    use pcap_file::pcap::PcapWriter;
    use pcap_file::pcap::RawPcapPacket;

    const GUEST: Mac = Mac([0, 0x16, 0x3e, 0, 0, 1]);

    /// The beginning of a frame.
    fn frame(source: [u8; 6], ethertype: [u8; 2], protocol: u8) -> Vec<u8> {
        let mut bytes = vec![0; 60];
        bytes[6..12].copy_from_slice(&source);
        bytes[12..14].copy_from_slice(&ethertype);
        match ethertype {
            ETHERTYPE_IPV4 => bytes[23] = protocol,
            ETHERTYPE_IPV6 => bytes[20] = protocol,
            _ => {}
        }
        bytes
    }

    #[test]
    fn frames_are_read_and_counted_each_way() {
        let mut file = Vec::new();
        let header = PcapHeader {
            snaplen: 128,
            ..PcapHeader::default()
        };
        let mut writer = PcapWriter::with_header(&mut file, header).unwrap();
        for (length, bytes) in [
            (1514, frame(GUEST.0, ETHERTYPE_IPV4, 6)),
            (60, frame(GUEST.0, ETHERTYPE_IPV4, 6)),
            (9000, frame(GUEST.0, ETHERTYPE_IPV4, 6)),
            (3014, frame([2; 6], ETHERTYPE_IPV6, 6)),
            (42, frame([2; 6], [8, 6], 0)),
        ] {
            let packet = RawPcapPacket {
                ts_sec: 0,
                ts_frac: 0,
                incl_len: bytes.len() as u32,
                orig_len: length,
                data: bytes.into(),
            };
            writer.write_raw_packet(&packet).unwrap();
        }
        let frames = parse(file.as_slice()).unwrap();
        let tcp: Vec<bool> = frames.iter().map(|frame| frame.tcp).collect();
        assert_eq!(tcp, [true, true, true, true, false]);
        let totals = Totals::of(&frames, GUEST);
        assert_eq!(
            (totals.frames_sent, totals.bytes_sent),
            (3, 1514 + 60 + 9000)
        );
        assert_eq!(
            (totals.frames_received, totals.bytes_received),
            (2, 3014 + 42)
        );
    }

    #[test]
    fn what_is_no_pcap_file_is_an_error() {
        assert!(parse(b"nothing".as_slice()).is_err());
        assert_eq!(Frame::parse(60, &[0; 13]), None);
    }
}
