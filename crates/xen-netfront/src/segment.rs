//! Large TCP packets that came, cut into frames as they would have come over a wire (RFC 9293, RFC 3168 for CWR).
//!
//! The headers of each segment are made here; its payload is a range of the large packet's, which may stay where it is.

use crate::checksum::{Sum, pseudo_header};
use crate::header::{HEADER_MAX, Headers, Kind, Network, Transport, Version};
use crate::tx::{ip_length, ipv4_checksum};

const FIN: u8 = 0x01;
const PSH: u8 = 0x08;
const CWR: u8 = 0x80;
/// Bytes of the TCP header to the sequence number, and to the flags.
const SEQUENCE: usize = 4;
const FLAGS: usize = 13;

/// A segment: its header is in the caller's buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Bytes of the header.
    pub header_length: u16,
    /// Where its payload starts in the large packet.
    pub payload_offset: u32,
    /// Bytes of payload.
    pub payload_length: u32,
}

/// What is left of a large packet.
#[derive(Clone, Debug)]
pub struct Segmenter {
    header: [u8; HEADER_MAX],
    network: Network,
    transport: Transport,
    size: u32,
    /// Bytes of payload that were cut off.
    done: u32,
    index: u16,
}

impl Segmenter {
    /// Starts to cut a packet with these headers, of which `header` holds the bytes, into segments of at most `size`
    /// bytes of payload. `None`: it is no whole TCP segment, or has no payload, or the size is zero.
    pub fn new(header: &[u8], headers: &Headers, size: u16) -> Option<Self> {
        let network = headers.network?;
        let transport = headers.transport.filter(|t| t.kind == Kind::Tcp)?;
        let length = transport.payload();
        let mut bytes = [0; HEADER_MAX];
        let from = header.get(..length as usize)?;
        bytes.get_mut(..from.len())?.copy_from_slice(from);
        (size != 0 && length < transport.end).then_some(Self {
            header: bytes,
            network,
            transport,
            size: u32::from(size),
            done: 0,
            index: 0,
        })
    }

    fn payload(&self) -> u32 {
        self.transport.end - self.transport.payload()
    }

    /// How many segments are left.
    pub fn count(&self) -> u32 {
        self.payload().saturating_sub(self.done).div_ceil(self.size)
    }

    /// Bytes of each segment's header.
    pub fn header_length(&self) -> u16 {
        self.transport.payload() as u16
    }

    /// The next segment. Its header goes to the start of `out`; the TCP checksum in it is right once
    /// [`Self::finish`] was called with it.
    pub fn next(&mut self, out: &mut [u8]) -> Option<Segment> {
        let left = self.payload().checked_sub(self.done).filter(|n| *n != 0)?;
        let length = left.min(self.size);
        let bytes = self.header_length();
        let out = out.get_mut(..usize::from(bytes))?;
        out.copy_from_slice(self.header.get(..usize::from(bytes))?);
        let end = u32::from(bytes) + length;
        ip_length(out, &self.network, end);
        if self.network.version == Version::V4 {
            let at = usize::from(self.network.offset) + 4;
            edit(out, at, |id: [u8; 2]| {
                u16::from_be_bytes(id)
                    .wrapping_add(self.index)
                    .to_be_bytes()
            });
            ipv4_checksum(out, &self.network);
        }
        let tcp = usize::from(self.transport.offset);
        edit(out, tcp + SEQUENCE, |sequence: [u8; 4]| {
            u32::from_be_bytes(sequence)
                .wrapping_add(self.done)
                .to_be_bytes()
        });
        let (first, last) = (self.done == 0, left == length);
        edit(out, tcp + FLAGS, |[mut flags]: [u8; 1]| {
            if !first {
                flags &= !CWR;
            }
            if !last {
                flags &= !(FIN | PSH);
            }
            [flags]
        });
        edit(out, self.transport.checksum(), |_: [u8; 2]| [0, 0]);
        let segment = Segment {
            header_length: bytes,
            payload_offset: self.transport.payload() + self.done,
            payload_length: length,
        };
        self.done += length;
        self.index = self.index.wrapping_add(1);
        Some(segment)
    }

    /// Makes the TCP checksum of a segment whose payload has this sum.
    pub fn finish(&self, out: &mut [u8], segment: &Segment, payload: Sum) {
        let tcp = usize::from(self.transport.offset);
        let header = out.get(tcp..usize::from(segment.header_length));
        let header = header.unwrap_or_default();
        let length = header.len() as u32 + segment.payload_length;
        let addresses = self.network.addresses(&self.header);
        let mut sum = pseudo_header(addresses, self.transport.kind.protocol(), length);
        sum.add(header);
        sum.append(payload);
        let checksum = sum.checksum();
        edit(out, self.transport.checksum(), |_: [u8; 2]| checksum);
    }
}

/// Changes a field of a header.
fn edit<const N: usize>(bytes: &mut [u8], at: usize, change: impl FnOnce([u8; N]) -> [u8; N]) {
    if let Some(field) = bytes.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
        *field = change(*field);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frames::Frame;
    use proptest::prelude::*;
    use std::vec::Vec;

    /// All segments of a frame, whole.
    fn cut(frame: &[u8], size: u16) -> Vec<Vec<u8>> {
        let headers = Headers::parse(frame, frame.len() as u32).unwrap();
        let mut segmenter = Segmenter::new(frame, &headers, size).unwrap();
        let count = segmenter.count();
        let mut out = [0; HEADER_MAX];
        let mut frames = Vec::new();
        while let Some(segment) = segmenter.next(&mut out) {
            let payload = segment.payload_offset as usize
                ..(segment.payload_offset + segment.payload_length) as usize;
            segmenter.finish(&mut out, &segment, Sum::of(&frame[payload.clone()]));
            let mut bytes = out[..usize::from(segment.header_length)].to_vec();
            bytes.extend(&frame[payload]);
            frames.push(bytes);
        }
        assert_eq!((frames.len() as u32, segmenter.count()), (count, 0));
        frames
    }

    #[test]
    fn segments_are_the_frames_that_a_wire_would_carry() {
        for (six, tag) in [(false, None), (true, None), (false, Some(0x6005))] {
            let make = |done: u32, index: u16, flags: u8| {
                let mut frame = if six { Frame::tcp6() } else { Frame::tcp4() };
                frame.flags = flags;
                frame.sequence = 0xFFFF_FF00u32.wrapping_add(done);
                frame.id = 0xFFFFu16.wrapping_add(index);
                let frame = match tag {
                    Some(tag) => frame.tag(tag),
                    None => frame,
                };
                frame.tcp_options(12)
            };
            let whole = make(0, 0, CWR | FIN | PSH | 0x10);
            let whole = whole.payload(3500).bytes();
            let frames = cut(&whole, 1448);
            assert_eq!(frames.len(), 3);
            let header = whole.len() - 3500;
            let parts = [
                (0, 1448, CWR | 0x10),
                (1448, 1448, 0x10),
                (2896, 604, FIN | PSH | 0x10),
            ];
            for (index, (done, length, flags)) in parts.into_iter().enumerate() {
                let frame = make(done, index as u16, flags);
                let expected = frame
                    .payload_bytes(&whole[header + done as usize..][..length])
                    .bytes();
                assert_eq!(frames[index], expected, "{index}");
            }
        }
    }

    #[test]
    fn what_is_no_tcp_segment_with_payload_is_not_cut() {
        for frame in [
            Frame::tcp4().bytes(),
            Frame::udp6().payload(3000).bytes(),
            Frame::tcp4().payload(100).bytes()[..60].to_vec(),
        ] {
            let headers = Headers::parse(&frame, frame.len() as u32).unwrap();
            assert!(Segmenter::new(&frame, &headers, 1000).is_none());
        }
        let frame = Frame::tcp4().payload(100).bytes();
        let headers = Headers::parse(&frame, frame.len() as u32).unwrap();
        assert!(Segmenter::new(&frame, &headers, 0).is_none());
        assert!(Segmenter::new(&frame[..50], &headers, 100).is_none());
    }

    #[test]
    fn a_buffer_that_is_too_small_gets_no_segment() {
        let frame = Frame::tcp4().payload(100).bytes();
        let headers = Headers::parse(&frame, frame.len() as u32).unwrap();
        let mut segmenter = Segmenter::new(&frame, &headers, 50).unwrap();
        assert_eq!(segmenter.next(&mut [0; 53]), None);
        assert!(segmenter.next(&mut [0; 54]).is_some());
    }

    proptest! {
        #[test]
        fn every_byte_of_payload_is_in_one_segment(
            payload in 1usize..5000, size in 1u16..3000, six: bool, options in 0usize..10,
        ) {
            let frame = if six { Frame::tcp6() } else { Frame::tcp4() };
            let frame = frame.tcp_options(options * 4).payload(payload).bytes();
            let header = frame.len() - payload;
            let frames = cut(&frame, size);
            let all = frames.iter().flat_map(|f| f[header..].to_vec()).collect::<Vec<_>>();
            prop_assert_eq!(&all, &frame[header..]);
            for frame in frames {
                let headers = Headers::parse(&frame, frame.len() as u32).unwrap();
                let transport = headers.transport.unwrap();
                let addresses = headers.network.unwrap().addresses(&frame);
                let mut sum = pseudo_header(addresses, 6, transport.covered());
                sum.add(&frame[usize::from(transport.offset)..]);
                prop_assert!(sum.is_valid());
            }
        }
    }
}
