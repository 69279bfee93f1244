//! Out-of-band data of NET_BUFFER_LISTs: words of bit fields (`nblchecksum.h`, `nbllso.h`, `nbl8021q.h`).

use super::offload::{Version, Work};

const IS_IPV4: usize = 1 << 0;
const IS_IPV6: usize = 1 << 1;
const TCP_CHECKSUM: usize = 1 << 2;
const UDP_CHECKSUM: usize = 1 << 3;
const IP_HEADER_CHECKSUM: usize = 1 << 4;
const CHECKSUM_TCP_HEADER: u32 = 16;

const LARGE_TCP_HEADER: u32 = 20;
const LARGE_TYPE_V2: usize = 1 << 30;
const LARGE_IPV6: usize = 1 << 31;

/// The slot for checksums (NDIS_TCP_IP_CHECKSUM_NET_BUFFER_LIST_INFO.Transmit).
pub fn checksum(work: &Work) -> usize {
    if work.segment.is_some() {
        // A large send implies its checksums.
        return 0;
    }
    let version = match work.version {
        Some(Version::V4) => IS_IPV4,
        Some(Version::V6) => IS_IPV6,
        None => return 0,
    };
    let flag = |on: bool, bit: usize| if on { bit } else { 0 };
    // The header's offset is TCP's only.
    let offset = if work.tcp { work.transport } else { 0 };
    version
        | flag(work.tcp, TCP_CHECKSUM)
        | flag(work.udp, UDP_CHECKSUM)
        | flag(work.ip, IP_HEADER_CHECKSUM)
        | offset << CHECKSUM_TCP_HEADER
}

/// The slot for large sends (NDIS_TCP_LARGE_SEND_OFFLOAD_NET_BUFFER_LIST_INFO.LsoV2Transmit).
pub fn large_send(work: &Work) -> usize {
    let Some(size) = work.segment else { return 0 };
    let v6 = if work.version == Some(Version::V6) {
        LARGE_IPV6
    } else {
        0
    };
    size | work.transport << LARGE_TCP_HEADER | LARGE_TYPE_V2 | v6
}

/// The slot for tags (NDIS_NET_BUFFER_LIST_8021Q_INFO.TagHeader) of a tag as IEEE 802.1Q has it: priority, DEI, VLAN.
pub fn tag(control: u16) -> usize {
    let control = usize::from(control);
    control >> 13 | (control >> 12 & 1) << 3 | (control & 0xfff) << 4
}

/// The tag that a slot says, as IEEE 802.1Q has it.
pub fn control(slot: usize) -> u16 {
    ((slot & 7) << 13 | (slot >> 3 & 1) << 12 | slot >> 4 & 0xfff) as u16
}

/// What an adapter says of a received frame's checksums (NDIS_TCP_IP_CHECKSUM_NET_BUFFER_LIST_INFO.Receive).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// TCP's, or UDP's, is right or wrong
    pub transport: Option<bool>,
    /// Which of the two is meant: true for TCP
    pub tcp: bool,
    /// The IPv4 header's is right or wrong
    pub ip: Option<bool>,
    /// TCP's field holds nothing of worth
    pub transport_invalid: bool,
    /// The IPv4 header's field holds nothing of worth
    pub ip_invalid: bool,
}

impl Claims {
    /// Reads the slot.
    pub fn read(slot: usize) -> Self {
        let bit = |at: u32| slot >> at & 1 != 0;
        let verdict = |failed: bool, succeeded: bool| match (failed, succeeded) {
            (true, _) => Some(false),
            (false, true) => Some(true),
            (false, false) => None,
        };
        let (tcp, udp) = (verdict(bit(0), bit(3)), verdict(bit(1), bit(4)));
        Self {
            transport: tcp.or(udp),
            tcp: tcp.is_some(),
            ip: verdict(bit(2), bit(5)),
            transport_invalid: bit(7),
            ip_invalid: bit(8),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_laid_out_as_the_headers_say() {
        let tcp = Work {
            version: Some(Version::V4),
            ip: true,
            tcp: true,
            transport: 34,
            ..Work::default()
        };
        assert_eq!(checksum(&tcp), 34 << 16 | 0b10101);
        assert_eq!(large_send(&tcp), 0);
        let udp = Work {
            version: Some(Version::V6),
            udp: true,
            transport: 54,
            ..Work::default()
        };
        assert_eq!(checksum(&udp), 0b1010);
        let large = Work {
            version: Some(Version::V6),
            segment: Some(1440),
            transport: 54,
            headers: 74,
            ..Work::default()
        };
        assert_eq!(checksum(&large), 0);
        assert_eq!(large_send(&large), 1440 | 54 << 20 | 3 << 30);
        assert_eq!(checksum(&Work::default()), 0);
    }

    #[test]
    fn a_tag_is_laid_out_as_the_header_says() {
        assert_eq!(tag(0x6007), 3 | 7 << 4);
        assert_eq!(tag(0xf001), 7 | 1 << 3 | 1 << 4);
        for value in [0, 0x6007, 0xffff, 0x1000, 0x0fff] {
            assert_eq!(control(tag(value)), value);
        }
    }

    #[test]
    fn claims_are_read_from_their_bits() {
        let claims = Claims::read(0b101000);
        assert_eq!(
            (claims.transport, claims.ip, claims.tcp),
            (Some(true), Some(true), true)
        );
        assert_eq!(Claims::read(0b10).transport, Some(false));
        assert!(!Claims::read(0b10).tcp);
        assert_eq!(Claims::read(0), Claims::default());
    }
}
