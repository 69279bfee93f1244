//! Where the headers of an Ethernet frame lie: as much of IP, TCP and UDP as offloads are about.
//!
//! Sources: IEEE 802.3 and 802.1Q, RFC 791, RFC 8200, RFC 9293, RFC 768. Every length is checked against the frame before
//! it is used, so the offsets here are good for indexing.

/// Bytes of an Ethernet header without a tag.
pub const ETHERNET: usize = 14;
/// Bytes of an 802.1Q tag.
pub const TAG: usize = 4;
/// Bytes of the shortest frame, without the check sequence.
pub const MINIMUM: usize = 60;

const TYPE_IPV4: u16 = 0x0800;
const TYPE_IPV6: u16 = 0x86dd;
const TYPE_VLAN: u16 = 0x8100;

/// What an IP datagram carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP, with its whole header in the frame
    Tcp {
        /// Bytes of the header with its options
        header: usize,
    },
    /// UDP, with its whole header in the frame
    Udp,
    /// Anything else, or a fragment
    Other,
}

/// The headers of an IP frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headers {
    /// True for IPv6
    pub v6: bool,
    /// Where the IP header begins
    pub ip: usize,
    /// Where the transport header begins (for a fragment: what is behind the IP headers)
    pub transport: usize,
    /// Where the datagram ends; padding may be behind it
    pub end: usize,
    /// What is in it
    pub kind: Transport,
    /// The datagram is a fragment
    pub fragment: bool,
}

/// A 16-bit number in network order. `None` beyond the end.
pub fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(
        bytes.get(at..at.checked_add(2)?)?.try_into().ok()?,
    ))
}

/// A 32-bit number in network order. `None` beyond the end.
pub fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(
        bytes.get(at..at.checked_add(4)?)?.try_into().ok()?,
    ))
}

/// Writes a 16-bit number in network order, if it lies within.
pub fn put16(bytes: &mut [u8], at: usize, value: u16) {
    if let Some(place) = bytes.get_mut(at..at + 2) {
        place.copy_from_slice(&value.to_be_bytes());
    }
}

/// Writes a 32-bit number in network order, if it lies within.
pub fn put32(bytes: &mut [u8], at: usize, value: u32) {
    if let Some(place) = bytes.get_mut(at..at + 4) {
        place.copy_from_slice(&value.to_be_bytes());
    }
}

impl Headers {
    /// The headers of a frame; `None` if it is no IP or its lengths do not fit it.
    ///
    /// A length field of 0 stands for the frame's own length, as large sends have it.
    pub fn parse(frame: &[u8]) -> Option<Self> {
        let mut kind = be16(frame, 12)?;
        let mut ip = ETHERNET;
        if kind == TYPE_VLAN {
            kind = be16(frame, 16)?;
            ip += TAG;
        }
        match kind {
            TYPE_IPV4 => Self::v4(frame, ip),
            TYPE_IPV6 => Self::v6(frame, ip),
            _ => None,
        }
    }

    fn v4(frame: &[u8], ip: usize) -> Option<Self> {
        let first = *frame.get(ip)?;
        let header = usize::from(first & 15) * 4;
        let total = match usize::from(be16(frame, ip + 2)?) {
            0 => frame.len() - ip,
            total => total,
        };
        let end = ip + total;
        if first >> 4 != 4 || header < 20 || total < header || end > frame.len() {
            return None;
        }
        // More fragments, or an offset.
        let fragment = be16(frame, ip + 6)? & 0x3fff != 0;
        let protocol = *frame.get(ip + 9)?;
        Self::with_transport(frame, false, ip, ip + header, end, protocol, fragment)
    }

    fn v6(frame: &[u8], ip: usize) -> Option<Self> {
        if *frame.get(ip)? >> 4 != 6 || frame.len() < ip + 40 {
            return None;
        }
        let end = match usize::from(be16(frame, ip + 4)?) {
            0 => frame.len(),
            length => ip + 40 + length,
        };
        if end > frame.len() {
            return None;
        }
        let mut next = *frame.get(ip + 6)?;
        let mut at = ip + 40;
        let mut fragment = false;
        // Hop-by-hop options, routing, destination options; a fragment header ends the walk.
        while matches!(next, 0 | 43 | 60) {
            next = *frame.get(at)?;
            at += usize::from(*frame.get(at + 1)?) * 8 + 8;
            if at > end {
                return None;
            }
        }
        if next == 44 {
            fragment = true;
            next = *frame.get(at)?;
            at += 8;
            if at > end {
                return None;
            }
        }
        Self::with_transport(frame, true, ip, at, end, next, fragment)
    }

    fn with_transport(
        frame: &[u8],
        v6: bool,
        ip: usize,
        transport: usize,
        end: usize,
        protocol: u8,
        fragment: bool,
    ) -> Option<Self> {
        let kind = match protocol {
            6 if !fragment => {
                let header = usize::from(*frame.get(transport + 12)? >> 4) * 4;
                if header < 20 || transport + header > end {
                    return None;
                }
                Transport::Tcp { header }
            }
            17 if !fragment => {
                let length = usize::from(be16(frame, transport + 4)?);
                if length < 8 || transport + length > end {
                    return None;
                }
                Transport::Udp
            }
            _ => Transport::Other,
        };
        Some(Self {
            v6,
            ip,
            transport,
            end,
            kind,
            fragment,
        })
    }

    /// Where the transport's payload begins.
    pub fn payload(&self) -> usize {
        match self.kind {
            Transport::Tcp { header } => self.transport + header,
            Transport::Udp => self.transport + 8,
            Transport::Other => self.transport,
        }
    }

    /// Where the transport's checksum field is.
    pub fn checksum_field(&self) -> Option<usize> {
        match self.kind {
            Transport::Tcp { .. } => Some(self.transport + 16),
            Transport::Udp => Some(self.transport + 6),
            Transport::Other => None,
        }
    }

    /// Where the two addresses are, and their length together.
    pub fn addresses(&self) -> (usize, usize) {
        if self.v6 {
            (self.ip + 8, 32)
        } else {
            (self.ip + 12, 8)
        }
    }

    /// The transport's protocol number.
    pub fn protocol(&self) -> u8 {
        match self.kind {
            Transport::Tcp { .. } => 6,
            Transport::Udp => 17,
            Transport::Other => 0,
        }
    }
}

/// TCP's flags (RFC 9293, 3.1).
pub mod flag {
    /// No more data from the sender
    pub const FIN: u8 = 0x01;
    /// Reset
    pub const RST: u8 = 0x04;
    /// Synchronise sequence numbers
    pub const SYN: u8 = 0x02;
    /// Push
    pub const PSH: u8 = 0x08;
    /// The acknowledgment is valid
    pub const ACK: u8 = 0x10;
    /// Congestion window reduced
    pub const CWR: u8 = 0x80;
}

#[cfg(test)]
pub(crate) use tests::tcp as test_frame;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    /// A TCP frame over IPv4 or IPv6.
    pub(crate) fn tcp(v6: bool, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0u8; 12];
        if v6 {
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
            frame.extend(((20 + payload.len()) as u16).to_be_bytes());
            frame.extend([6, 64]);
            frame.extend([0xfd; 16]);
            frame.extend([0xfe; 16]);
        } else {
            frame.extend([0x08, 0x00, 0x45, 0]);
            frame.extend(((40 + payload.len()) as u16).to_be_bytes());
            frame.extend([0, 0, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        }
        frame.extend([
            0,
            80,
            0,
            81,
            0,
            0,
            0,
            1,
            0,
            0,
            0,
            2,
            0x50,
            flag::ACK,
            1,
            0,
            0,
            0,
            0,
            0,
        ]);
        frame.extend(payload);
        frame
    }

    #[test]
    fn tcp_is_found_over_both_versions_and_behind_a_tag() {
        for v6 in [false, true] {
            let frame = tcp(v6, b"hello");
            let headers = Headers::parse(&frame).unwrap();
            assert_eq!(headers.kind, Transport::Tcp { header: 20 });
            assert_eq!(&frame[headers.payload()..headers.end], b"hello");
            let mut tagged = frame[..12].to_vec();
            tagged.extend([0x81, 0, 0x20, 5]);
            tagged.extend(&frame[12..]);
            let behind = Headers::parse(&tagged).unwrap();
            assert_eq!(behind.payload(), headers.payload() + TAG);
        }
    }

    #[test]
    fn a_fragment_has_no_transport() {
        let mut frame = tcp(false, &[0; 64]);
        frame[20] = 0x20;
        let headers = Headers::parse(&frame).unwrap();
        assert!(headers.fragment);
        assert_eq!(headers.kind, Transport::Other);
    }

    #[test]
    fn padding_behind_the_datagram_is_not_part_of_it() {
        let mut frame = tcp(false, b"x");
        let end = frame.len();
        frame.resize(MINIMUM, 0);
        assert_eq!(Headers::parse(&frame).unwrap().end, end);
    }

    #[test]
    fn a_length_beyond_the_frame_is_refused() {
        for v6 in [false, true] {
            let frame = tcp(v6, b"hello");
            assert_eq!(Headers::parse(&frame[..frame.len() - 1]), None);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_give_offsets_within_the_frame(mut frame in proptest::collection::vec(any::<u8>(), 0..200), kind in 0usize..4) {
            if frame.len() > 16 && kind > 0 {
                let (high, low, version) = [(8, 0, 0x45), (0x86, 0xdd, 0x60), (0x81, 0, 0x45)][kind - 1];
                frame[12] = high;
                frame[13] = low;
                frame[14] = version;
            }
            if let Some(headers) = Headers::parse(&frame) {
                prop_assert!(headers.ip < headers.transport && headers.payload() <= headers.end);
                prop_assert!(headers.end <= frame.len());
                if let Some(at) = headers.checksum_field() {
                    prop_assert!(at + 2 <= headers.end);
                }
            }
        }
    }
}
