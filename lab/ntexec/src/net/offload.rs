//! What is left to the adapter of a frame that is sent: checksums, and the cutting of large TCP segments.
//!
//! How a frame must look then: "Offloading Checksum Tasks" and "Offloading the Segmentation of Large TCP Packets" in the
//! NDIS documentation.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::checksum;
use super::headers::{Headers, Transport, flag, put16};
use crate::nt::ndis::{
    NDIS_CHECKSUM_OFFLOAD, NDIS_ENCAPSULATION_IEEE_802_3, NDIS_LARGE_SEND, NDIS_OFFLOAD,
};

/// What an adapter takes on when frames are sent, and says of those that are received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offloads {
    /// IPv4 header checksums
    pub ip: Direction,
    /// TCP checksums over IPv4
    pub tcp4: Direction,
    /// UDP checksums over IPv4
    pub udp4: Direction,
    /// TCP checksums over IPv6
    pub tcp6: Direction,
    /// UDP checksums over IPv6
    pub udp6: Direction,
    /// Large sends over IPv4
    pub large4: Option<Large>,
    /// Large sends over IPv6
    pub large6: Option<Large>,
    /// Coalesced receives over IPv4
    pub coalesce4: bool,
    /// Coalesced receives over IPv6
    pub coalesce6: bool,
}

/// In which directions a checksum is the adapter's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Direction {
    /// When frames are sent
    pub send: bool,
    /// When they are received
    pub receive: bool,
}

/// Limits of large sends (LSOv2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Large {
    /// TCP payload in one send, in bytes (MaxOffLoadSize)
    pub size: usize,
    /// Segments that a send must become at least (MinSegmentCount)
    pub segments: usize,
}

impl Large {
    /// An IP datagram of a large send stays below this, whatever the adapter offers: 16 bits of length.
    const DATAGRAM: usize = 65535;

    /// The payload that fits behind `headers` bytes of IP and TCP headers.
    pub fn payload(&self, headers: usize) -> usize {
        self.size.min(Self::DATAGRAM - headers)
    }
}

impl Offloads {
    /// What NDIS says that is on. A checksum without TCP's options is not used: SYNs have some.
    pub fn of(offload: &NDIS_OFFLOAD) -> Self {
        use NDIS_CHECKSUM_OFFLOAD as Field;
        let has = |side: &Field, field: u32| {
            side.Encapsulation & NDIS_ENCAPSULATION_IEEE_802_3 != 0 && side.has(field)
        };
        let both = |send: &Field, receive: &Field, field: u32| Direction {
            send: has(send, field)
                && (field != Field::TCP_CHECKSUM || send.has(Field::TCP_OPTIONS)),
            receive: has(receive, field),
        };
        let large = |large: &NDIS_LARGE_SEND| {
            let on = large.Encapsulation & NDIS_ENCAPSULATION_IEEE_802_3 != 0;
            (on && large.MaxOffLoadSize > 0).then_some(Large {
                size: large.MaxOffLoadSize as usize,
                segments: large.MinSegmentCount as usize,
            })
        };
        let sums = &offload.Checksum;
        let v4 = |field| both(&sums.IPv4Transmit, &sums.IPv4Receive, field);
        let v6 = |field| both(&sums.IPv6Transmit, &sums.IPv6Receive, field);
        let (tcp4, tcp6) = (v4(Field::TCP_CHECKSUM), v6(Field::TCP_CHECKSUM));
        Self {
            ip: v4(Field::IP_CHECKSUM),
            tcp4,
            udp4: v4(Field::UDP_CHECKSUM),
            tcp6,
            udp6: v6(Field::UDP_CHECKSUM),
            // The stack's own cutting over IPv4 leaves the checksum to the adapter as well.
            large4: large(&offload.LsoV2.IPv4),
            large6: large(&offload.LsoV2.IPv6),
            coalesce4: offload.Rsc.IPv4Enabled == 1,
            coalesce6: offload.Rsc.IPv6Enabled == 1,
        }
    }

    /// What is in both.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let both = |a: Direction, b: Direction| Direction {
            send: a.send && b.send,
            receive: a.receive && b.receive,
        };
        let large = |a: Option<Large>, b: Option<Large>| a.filter(|_| b.is_some());
        Self {
            ip: both(self.ip, other.ip),
            tcp4: both(self.tcp4, other.tcp4),
            udp4: both(self.udp4, other.udp4),
            tcp6: both(self.tcp6, other.tcp6),
            udp6: both(self.udp6, other.udp6),
            large4: large(self.large4, other.large4),
            large6: large(self.large6, other.large6),
            coalesce4: self.coalesce4 && other.coalesce4,
            coalesce6: self.coalesce6 && other.coalesce6,
        }
    }

    /// Their names, for people.
    pub fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        let sums = [
            ("IPv4", self.ip),
            ("TCP IPv4", self.tcp4),
            ("UDP IPv4", self.udp4),
            ("TCP IPv6", self.tcp6),
            ("UDP IPv6", self.udp6),
        ];
        for (name, direction) in sums {
            let ways = match (direction.send, direction.receive) {
                (true, true) => "tx rx",
                (true, false) => "tx",
                (false, true) => "rx",
                (false, false) => continue,
            };
            names.push(format!("{name} checksum {ways}"));
        }
        let rest = [
            ("LSOv2 IPv4", self.large4.is_some()),
            ("LSOv2 IPv6", self.large6.is_some()),
            ("RSC IPv4", self.coalesce4),
            ("RSC IPv6", self.coalesce6),
        ];
        names.extend(
            rest.into_iter()
                .filter(|(_, on)| *on)
                .map(|(name, _)| String::from(name)),
        );
        names
    }

    /// The limits of large sends for an IP version.
    pub fn large(&self, v6: bool) -> Option<Large> {
        if v6 { self.large6 } else { self.large4 }
    }

    /// The adapter computes the TCP checksum of what is sent.
    pub fn tcp_send(&self, v6: bool) -> bool {
        if v6 { self.tcp6.send } else { self.tcp4.send }
    }

    /// The adapter computes the UDP checksum of what is sent.
    pub fn udp_send(&self, v6: bool) -> bool {
        if v6 { self.udp6.send } else { self.udp4.send }
    }
}

/// What the adapter is to do with one frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Which IP version the frame is of; `None` if the adapter has nothing to do
    pub version: Option<Version>,
    /// Computes the IPv4 header's checksum
    pub ip: bool,
    /// Computes TCP's checksum
    pub tcp: bool,
    /// Computes UDP's checksum
    pub udp: bool,
    /// Cuts the TCP payload into segments of so many bytes
    pub segment: Option<usize>,
    /// Where the TCP header begins, with `tcp` or `segment`
    pub transport: usize,
    /// Bytes of all headers, with `segment`
    pub headers: usize,
}

/// An IP version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// IPv4
    V4,
    /// IPv6
    V6,
}

/// Makes a frame ready to be sent: what the adapter takes on is seeded as it must be, and the rest is computed.
///
/// The frame's lengths are right, its checksum fields hold anything. `segment` asks for a large send; the caller has seen
/// that it is within the limits.
pub fn prepare(frame: &mut [u8], offloads: &Offloads, segment: Option<usize>) -> Work {
    let Some(headers) = Headers::parse(frame) else {
        return Work::default();
    };
    if let (Some(size), Transport::Tcp { .. }) = (segment, headers.kind) {
        return prepare_large(frame, &headers, size);
    }
    let tcp = matches!(headers.kind, Transport::Tcp { .. });
    let mut work = Work {
        ip: !headers.v6 && offloads.ip.send,
        tcp: tcp && offloads.tcp_send(headers.v6),
        udp: headers.kind == Transport::Udp && offloads.udp_send(headers.v6),
        ..Work::default()
    };
    if work.ip {
        put16(frame, headers.ip + 10, 0);
    } else {
        checksum::fill_ip(frame, &headers);
    }
    if let (true, Some(at)) = (work.tcp || work.udp, headers.checksum_field()) {
        let sum = checksum::pseudo_header(frame, &headers, headers.end - headers.transport);
        put16(frame, at, sum);
    } else {
        checksum::fill_transport(frame, &headers);
    }
    if work.ip || work.tcp || work.udp {
        work.version = Some(if headers.v6 { Version::V6 } else { Version::V4 });
        work.transport = headers.transport;
    }
    work
}

/// LSOv2: the IPv4 total length is 0, TCP's checksum is the pseudo header's sum without length.
fn prepare_large(frame: &mut [u8], headers: &Headers, size: usize) -> Work {
    if headers.v6 {
        // The field's content is not documented for IPv6; Windows leaves it 0 as for IPv4.
        put16(frame, headers.ip + 4, 0);
    } else {
        put16(frame, headers.ip + 2, 0);
        put16(frame, headers.ip + 10, 0);
    }
    let sum = checksum::pseudo_header(frame, headers, 0);
    put16(frame, headers.transport + 16, sum);
    Work {
        version: Some(if headers.v6 { Version::V6 } else { Version::V4 }),
        ip: false,
        tcp: false,
        udp: false,
        segment: Some(size),
        transport: headers.transport,
        headers: headers.payload(),
    }
}

/// A TCP frame may be sent as a large one: no flag forbids it ("no MF, URG, RST, SYN").
pub fn may_be_large(frame: &[u8], headers: &Headers) -> bool {
    const FORBIDDEN: u8 = flag::SYN | flag::RST | 0x20;
    matches!(headers.kind, Transport::Tcp { .. })
        && frame
            .get(headers.transport + 13)
            .is_some_and(|flags| flags & FORBIDDEN == 0 && flags & flag::ACK != 0)
}

#[cfg(test)]
mod tests {
    use super::super::headers::{be16, test_frame};
    use super::*;

    fn all() -> Offloads {
        let both = Direction {
            send: true,
            receive: true,
        };
        Offloads {
            ip: both,
            tcp4: both,
            udp4: both,
            tcp6: both,
            udp6: both,
            ..Offloads::default()
        }
    }

    #[test]
    fn without_offloads_everything_is_computed() {
        for v6 in [false, true] {
            let mut frame = test_frame(v6, b"some payload");
            assert_eq!(
                prepare(&mut frame, &Offloads::default(), None),
                Work::default()
            );
            let headers = Headers::parse(&frame).unwrap();
            assert!(checksum::ip_is_right(&frame, &headers));
            assert_eq!(
                checksum::transport(&frame, &headers),
                Some(checksum::Verdict::Right)
            );
        }
    }

    #[test]
    fn with_offloads_the_field_holds_the_pseudo_headers_sum_with_length() {
        for v6 in [false, true] {
            let mut frame = test_frame(v6, b"some payload");
            let work = prepare(&mut frame, &all(), None);
            assert!(work.tcp && !work.udp && work.ip != v6);
            let headers = Headers::parse(&frame).unwrap();
            assert_eq!(
                checksum::transport(&frame, &headers),
                Some(checksum::Verdict::Partial)
            );
        }
    }

    #[test]
    fn a_large_send_has_no_lengths_in_its_headers_and_its_sum() {
        for v6 in [false, true] {
            let mut frame = test_frame(v6, &[7; 5000]);
            let work = prepare(&mut frame, &all(), Some(1000));
            assert_eq!(work.segment, Some(1000));
            assert_eq!(work.headers, frame.len() - 5000);
            let headers = Headers::parse(&frame).unwrap();
            let length = headers.ip + if v6 { 4 } else { 2 };
            assert_eq!(be16(&frame, length), Some(0));
            assert_eq!(
                be16(&frame, work.transport + 16),
                Some(checksum::pseudo_header(&frame, &headers, 0))
            );
        }
    }

    #[test]
    fn a_large_sends_datagram_fits_sixteen_bits() {
        let large = Large {
            size: 1 << 20,
            segments: 2,
        };
        assert_eq!(large.payload(40), 65495);
        assert_eq!(
            Large {
                size: 62000,
                ..large
            }
            .payload(40),
            62000
        );
    }
}
