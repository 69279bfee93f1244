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
const IPV6_HEADER: u32 = 40;

/// A frame that passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Bytes, with the Ethernet header
    pub length: u32,
    /// Bytes without what short frames are padded with
    pub unpadded: u32,
    /// Bytes of the Ethernet, IP and TCP headers; 0 if it holds no TCP
    pub headers: u32,
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
        let byte = |at: usize| data.get(at).copied().unwrap_or(0);
        let word = |at: usize| u32::from(byte(at)) << 8 | u32::from(byte(at + 1));
        // Lengths of RFC 791 and RFC 8200, the latter without extension headers.
        let (packet, ip, protocol) = if ethertype == ETHERTYPE_IPV4 {
            (word(16), u32::from(byte(14) & 15) * 4, byte(23))
        } else if ethertype == ETHERTYPE_IPV6 {
            (word(18) + IPV6_HEADER, IPV6_HEADER, byte(20))
        } else {
            (0, 0, 0)
        };
        let unpadded = match packet {
            0 => length,
            packet => length.min(packet + ETHERNET),
        };
        let tcp = protocol == PROTOCOL_TCP;
        let offset = byte((ETHERNET + ip) as usize + 12) >> 4;
        let headers = ETHERNET + ip + u32::from(offset) * 4;
        Some(Self {
            length,
            unpadded,
            headers: if tcp { headers } else { 0 },
            source: Mac(source),
            tcp,
        })
    }

    /// How many frames it is when it is cut into segments that fit into the MTU, and their bytes in all.
    fn cut(&self, mtu: u32) -> (u64, u64) {
        let whole = (1, u64::from(self.unpadded));
        let segment = (mtu + ETHERNET).saturating_sub(self.headers);
        if self.length <= mtu + ETHERNET || self.headers == 0 || segment == 0 {
            return whole;
        }
        let data = self.unpadded.saturating_sub(self.headers);
        let count = u64::from(data.div_ceil(segment));
        (count, u64::from(data) + count * u64::from(self.headers))
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

/// Frames and bytes each way, as an adapter counts them for the stack: without padding; a large frame that it sends is one, and a large
/// frame that it receives is as many as it is cut into.
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
    pub fn of(frames: &[Frame], guest: Mac, mtu: u32) -> Self {
        let mut totals = Self::default();
        for frame in frames {
            if frame.goes(Direction::Send, guest) {
                totals.frames_sent += 1;
                totals.bytes_sent += u64::from(frame.unpadded);
            } else {
                let (count, bytes) = frame.cut(mtu);
                totals.frames_received += count;
                totals.bytes_received += bytes;
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

    /// A frame with a packet of this length, whose TCP header has 20 bytes.
    fn frame(source: [u8; 6], ethertype: [u8; 2], protocol: u8, packet: u16) -> Vec<u8> {
        let mut bytes = vec![0; 80];
        bytes[6..12].copy_from_slice(&source);
        bytes[12..14].copy_from_slice(&ethertype);
        if ethertype == ETHERTYPE_IPV6 {
            bytes[18..20].copy_from_slice(&(packet - 40).to_be_bytes());
            bytes[20] = protocol;
            bytes[66] = 5 << 4;
        } else if ethertype == ETHERTYPE_IPV4 {
            bytes[14] = 0x45;
            bytes[16..18].copy_from_slice(&packet.to_be_bytes());
            bytes[23] = protocol;
            bytes[46] = 5 << 4;
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
            (1514, frame(GUEST.0, ETHERTYPE_IPV4, 6, 1500)),
            (60, frame(GUEST.0, ETHERTYPE_IPV4, 6, 40)),
            (9000, frame(GUEST.0, ETHERTYPE_IPV4, 6, 8986)),
            (3014, frame([2; 6], ETHERTYPE_IPV6, 6, 3000)),
            (42, frame([2; 6], [8, 6], 0, 0)),
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
        // The padding of the short one does not count.
        let totals = Totals::of(&frames, GUEST, 1500);
        assert_eq!(
            (totals.frames_sent, totals.bytes_sent),
            (3, 1514 + 54 + 9000)
        );
        // 2,940 bytes of data in segments of 1,440, each with 74 bytes of headers.
        let cut = 2940 + 3 * 74;
        assert_eq!(
            (totals.frames_received, totals.bytes_received),
            (4, cut + 42)
        );
    }

    #[test]
    fn what_is_no_pcap_file_is_an_error() {
        assert!(parse(b"nothing".as_slice()).is_err());
        assert_eq!(Frame::parse(60, &[0; 13]), None);
    }
}
