//! The stack's own addresses (OID_GEN_NETWORK_LAYER_ADDRESSES), and the frames that tell the network where they are now: a
//! gratuitous ARP (RFC 5227, 3) for IPv4, an unsolicited neighbour advertisement (RFC 4861, 7.2.6) for IPv6.

use ndis_sys::constant::protocol_id;
use ndis_sys::{NDIS_STATUS, status};

use crate::bytes::{u16_at, u32_at};

/// Addresses of each version that are kept; what an interface has more of is found by its neighbours' own means.
const KEPT: usize = 16;

/// The stack's addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    ipv4: [[u8; 4]; KEPT],
    ipv4_count: usize,
    ipv6: [[u8; 16]; KEPT],
    ipv6_count: usize,
}

/// A frame that announces an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announcement {
    bytes: [u8; 86],
    length: usize,
}

impl AsRef<[u8]> for Announcement {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

impl Addresses {
    /// No addresses.
    pub const fn new() -> Self {
        Self {
            ipv4: [[0; 4]; KEPT],
            ipv4_count: 0,
            ipv6: [[0; 16]; KEPT],
            ipv6_count: 0,
        }
    }

    /// Whether the stack has told of none.
    pub const fn is_empty(&self) -> bool {
        self.ipv4_count == 0 && self.ipv6_count == 0
    }

    /// OID_GEN_NETWORK_LAYER_ADDRESSES: a list replaces that of the same protocol; one without entries clears it. On success
    /// says how many bytes were looked at.
    ///
    /// # Errors
    /// INVALID_LENGTH: shorter than it says of itself; INVALID_DATA: a count below zero. Nothing changes then.
    pub fn apply(&mut self, list: &[u8]) -> Result<u32, NDIS_STATUS> {
        let short = status::INVALID_LENGTH;
        let count = u32_at(list, 0).ok_or(short)?.cast_signed();
        let kind = u16_at(list, 4).ok_or(short)?;
        let count = usize::try_from(count).map_err(|_| status::INVALID_DATA)?;
        let mut new = *self;
        // A list of no protocol in particular is of all.
        if kind != protocol_id::IP6 {
            new.ipv4_count = 0;
        }
        if kind != protocol_id::TCP_IP {
            new.ipv6_count = 0;
        }
        let mut at = 6_usize;
        for _ in 0..count {
            let length = usize::from(u16_at(list, at).ok_or(short)?);
            let kind = u16_at(list, at + 2).ok_or(short)?;
            let start = at + 4;
            let end = start.checked_add(length).ok_or(short)?;
            new.add(kind, list.get(start..end).ok_or(short)?);
            at = end;
        }
        *self = new;
        Ok(at as u32)
    }

    fn add(&mut self, kind: u16, address: &[u8]) {
        match kind {
            // NETWORK_ADDRESS_IP: the address at byte 4.
            protocol_id::TCP_IP => {
                if let Some(Ok(address)) = address.get(4..8).map(<[u8; 4]>::try_from)
                    && address != [0; 4]
                    && let Some(slot) = self.ipv4.get_mut(self.ipv4_count)
                {
                    *slot = address;
                    self.ipv4_count += 1;
                }
            }
            // NETWORK_ADDRESS_IP6: the address at byte 8.
            protocol_id::IP6 => {
                if let Some(Ok(address)) = address.get(8..24).map(<[u8; 16]>::try_from)
                    && address != [0; 16]
                    && let Some(slot) = self.ipv6.get_mut(self.ipv6_count)
                {
                    *slot = address;
                    self.ipv6_count += 1;
                }
            }
            _ => {}
        }
    }

    /// A frame for each address.
    pub fn announcements(&self, station: [u8; 6]) -> impl Iterator<Item = Announcement> {
        let ipv4 = self.ipv4.get(..self.ipv4_count).unwrap_or_default();
        let ipv6 = self.ipv6.get(..self.ipv6_count).unwrap_or_default();
        let ipv4 = ipv4.iter().map(move |address| arp(station, *address));
        ipv4.chain(ipv6.iter().map(move |address| neighbour(station, address)))
    }
}

/// Puts parts one after the other into a frame of at least `length` bytes.
fn frame(length: usize, parts: &[&[u8]]) -> Announcement {
    let mut bytes = [0; 86];
    let mut at = 0;
    for part in parts {
        if let Some(room) = bytes.get_mut(at..at + part.len()) {
            room.copy_from_slice(part);
            at += part.len();
        }
    }
    Announcement {
        bytes,
        length: length.max(at),
    }
}

fn arp(station: [u8; 6], address: [u8; 4]) -> Announcement {
    let parts: [&[u8]; 7] = [
        &[0xFF; 6],
        &station,
        // ARP; Ethernet, IPv4, their lengths, request.
        &[0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1],
        &station,
        &address,
        &[0; 6],
        &address,
    ];
    frame(60, &parts)
}

fn neighbour(station: [u8; 6], address: &[u8; 16]) -> Announcement {
    const ALL_NODES: [u8; 16] = [0xFF, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    // Type 136, code 0, checksum, override flag; target; option 2 (target link-layer address), one unit.
    let message = |checksum: [u8; 2]| {
        let mut message = [0; 32];
        let [high, low] = checksum;
        for (to, from) in message.iter_mut().zip(
            [136, 0, high, low, 0x20, 0, 0, 0]
                .iter()
                .chain(address)
                .chain(&[2, 1])
                .chain(&station),
        ) {
            *to = *from;
        }
        message
    };
    let mut sum = 0_u32;
    let length = [0_u8, 0, 0, 32, 0, 0, 0, 58];
    for part in [address.as_slice(), &ALL_NODES, &length, &message([0; 2])] {
        for pair in part.as_chunks::<2>().0 {
            sum += u32::from(u16::from_be_bytes(*pair));
        }
    }
    while sum > 0xFFFF {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    let checksum = (!(sum as u16)).to_be_bytes();
    let parts: [&[u8]; 6] = [
        &[0x33, 0x33, 0, 0, 0, 1],
        &station,
        // IPv6: version, payload length, ICMPv6, hop limit 255.
        &[0x86, 0xDD, 0x60, 0, 0, 0, 0, 32, 58, 255],
        address,
        &ALL_NODES,
        &message(checksum),
    ];
    frame(86, &parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    const STATION: [u8; 6] = [0, 0x16, 0x3E, 1, 2, 3];

    fn list(kind: u16, count: i32, entries: &[(u16, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(count.to_le_bytes());
        bytes.extend(kind.to_le_bytes());
        for (kind, address) in entries {
            bytes.extend((address.len() as u16).to_le_bytes());
            bytes.extend(kind.to_le_bytes());
            bytes.extend(*address);
        }
        bytes
    }

    fn v4(last: u8) -> [u8; 16] {
        [0, 0, 0, 0, 10, 0, 0, last, 0, 0, 0, 0, 0, 0, 0, 0]
    }

    fn v6(last: u8) -> [u8; 28] {
        let mut address = [0; 28];
        address[8..10].copy_from_slice(&[0xFE, 0x80]);
        address[23] = last;
        address
    }

    #[test]
    fn each_protocol_s_list_replaces_its_own() {
        let mut addresses = Addresses::new();
        assert!(addresses.is_empty());
        let (a, b, c) = (v4(1), v4(2), v6(3));
        assert_eq!(addresses.apply(&list(2, 2, &[(2, &a), (2, &b)])), Ok(46));
        assert_eq!(addresses.apply(&list(3, 1, &[(3, &c)])), Ok(38));
        assert_eq!(addresses.announcements(STATION).count(), 3);
        assert_eq!(addresses.apply(&list(2, 1, &[(2, &a)])), Ok(26));
        assert_eq!(addresses.announcements(STATION).count(), 2);
        assert_eq!(addresses.apply(&list(2, 0, &[])), Ok(6));
        assert_eq!(addresses.announcements(STATION).count(), 1);
        assert_eq!(addresses.apply(&list(0, 0, &[])), Ok(6));
        assert!(addresses.is_empty());
    }

    #[test]
    fn a_list_that_ends_too_early_changes_nothing() {
        let mut addresses = Addresses::new();
        assert_eq!(addresses.apply(&list(2, 1, &[(2, &v4(1))])), Ok(26));
        let before = addresses;
        let whole = list(2, 2, &[(2, &v4(1)), (2, &v4(2))]);
        for length in 0..whole.len() {
            assert_eq!(
                addresses.apply(&whole[..length]),
                Err(status::INVALID_LENGTH)
            );
        }
        assert_eq!(
            addresses.apply(&list(2, -1, &[])),
            Err(status::INVALID_DATA)
        );
        assert_eq!(addresses, before);
    }

    #[test]
    fn what_is_no_address_or_one_too_many_is_left_out() {
        let mut addresses = Addresses::new();
        let a = v4(1);
        let entries: Vec<(u16, &[u8])> = (0..20).map(|_| (2, a.as_slice())).collect();
        assert_eq!(addresses.apply(&list(2, 20, &entries)).err(), None);
        assert_eq!(addresses.announcements(STATION).count(), KEPT);
        let none = [0; 16];
        assert_eq!(
            addresses
                .apply(&list(2, 3, &[(2, &a[..7]), (6, &a), (2, &none)]))
                .err(),
            None
        );
        assert!(addresses.is_empty());
    }

    #[test]
    fn an_ipv4_address_is_announced_by_a_gratuitous_arp() {
        let mut addresses = Addresses::new();
        assert_eq!(addresses.apply(&list(2, 1, &[(2, &v4(9))])), Ok(26));
        let frames: Vec<_> = addresses.announcements(STATION).collect();
        let bytes = frames[0].as_ref();
        assert_eq!(bytes.len(), 60);
        assert_eq!(
            bytes[..14],
            [255, 255, 255, 255, 255, 255, 0, 0x16, 0x3E, 1, 2, 3, 8, 6]
        );
        assert_eq!(bytes[14..22], [0, 1, 8, 0, 6, 4, 0, 1]);
        assert_eq!(
            (&bytes[28..32], &bytes[38..42]),
            (&[10, 0, 0, 9][..], &[10, 0, 0, 9][..])
        );
        assert_eq!(bytes[42..], [0; 18]);
    }

    #[test]
    fn an_ipv6_address_is_announced_to_all_nodes_with_a_right_checksum() {
        let mut addresses = Addresses::new();
        assert_eq!(addresses.apply(&list(3, 1, &[(3, &v6(5))])), Ok(38));
        let frames: Vec<_> = addresses.announcements(STATION).collect();
        let bytes = frames[0].as_ref();
        assert_eq!(bytes.len(), 86);
        assert_eq!(bytes[..6], [0x33, 0x33, 0, 0, 0, 1]);
        assert_eq!(
            (bytes[20], bytes[21], bytes[54], bytes[58]),
            (58, 255, 136, 0x20)
        );
        assert_eq!(bytes[62..78], v6(5)[8..24]);
        assert_eq!(bytes[78..86], [2, 1, 0, 0x16, 0x3E, 1, 2, 3]);
        let mut sum = 32_u32 + 58;
        for pair in bytes[22..].chunks(2) {
            sum += u32::from(u16::from_be_bytes([pair[0], pair[1]]));
        }
        assert_eq!((sum & 0xFFFF) + (sum >> 16), 0xFFFF);
    }
}
