//! The Toeplitz hash, by which packets are spread over queues (`io/netif.h`, "Hash types"; NDIS, "RSS Hashing
//! Functions").

use xen_abi::netif::{HashKind, HashTypes};

use crate::header::{Headers, Kind, Version};

/// Bytes of a key: as many as the longest input needs.
pub const KEY_LENGTH: usize = 40;
/// Half bytes of the longest input: two IPv6 addresses and two ports.
const NIBBLES: usize = 72;

/// A key, as a table of what each half byte of an input adds.
///
/// 4.5 KiB: a driver makes it in place, and not on a kernel's stack. All bytes zero are [`Self::ZERO`].
#[derive(Clone, Debug)]
pub struct Toeplitz {
    table: [[u32; 16]; NIBBLES],
}

impl Toeplitz {
    /// A key of zeroes: every hash is zero.
    pub const ZERO: Self = Self {
        table: [[0; 16]; NIBBLES],
    };

    /// Takes a key.
    pub fn set_key(&mut self, key: &[u8; KEY_LENGTH]) {
        for (index, adds) in self.table.iter_mut().enumerate() {
            // The key's bits from this half byte's first bit on; 32 of them for each of its four bits.
            let byte = index / 2;
            let mut bits = [0; 8];
            for (to, from) in bits.iter_mut().zip(key.iter().skip(byte)) {
                *to = *from;
            }
            let window = u64::from_be_bytes(bits) << (index % 2 * 4);
            for (value, add) in (0u32..).zip(adds.iter_mut()) {
                *add = (0..4)
                    .filter(|bit| value & (8 >> bit) != 0)
                    .fold(0, |hash, bit| hash ^ (window << bit >> 32) as u32);
            }
        }
    }

    /// The hash of an input that comes in parts, 36 bytes together at most; what is beyond adds nothing.
    pub fn hash(&self, parts: &[&[u8]]) -> u32 {
        let (mut rows, _) = self.table.as_chunks::<2>();
        let mut hash = 0;
        for part in parts {
            for (byte, [high, low]) in part.iter().zip(rows) {
                hash ^= high[usize::from(byte >> 4)] ^ low[usize::from(byte & 0xF)];
            }
            rows = rows.get(part.len()..).unwrap_or_default();
        }
        hash
    }

    /// The hash of a packet, over the most that `types` allow. `None`: over nothing. `header` are the bytes that
    /// `headers` were made of.
    pub fn of_packet(
        &self,
        types: HashTypes,
        header: &[u8],
        headers: &Headers,
    ) -> Option<(HashKind, u32)> {
        let network = headers.network?;
        let addresses = network.addresses(header);
        let (with_ports, tcp, plain, ip) = match network.version {
            Version::V4 => (
                HashTypes::IPV4_TCP,
                HashKind::IPV4_TCP,
                HashTypes::IPV4,
                HashKind::IPV4,
            ),
            Version::V6 => (
                HashTypes::IPV6_TCP,
                HashKind::IPV6_TCP,
                HashTypes::IPV6,
                HashKind::IPV6,
            ),
        };
        if types.contains(with_ports)
            && let Some(transport) = headers.transport.filter(|t| t.kind == Kind::Tcp)
        {
            let at = usize::from(transport.offset);
            let ports = header.get(at..at + 4)?;
            return Some((tcp, self.hash(&[addresses, ports])));
        }
        types.contains(plain).then(|| (ip, self.hash(&[addresses])))
    }
}

/// The queue that a mapping gives a hash (`io/netif.h`, SET_HASH_MAPPING). An empty mapping means the first.
pub fn queue(mapping: &[u8], hash: u32) -> u8 {
    (hash as usize)
        .checked_rem(mapping.len())
        .and_then(|index| mapping.get(index))
        .map_or(0, |queue| *queue)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frames::Frame;
    use proptest::prelude::*;
    use std::net::{Ipv4Addr, Ipv6Addr};
    use std::vec::Vec;

    /// The key of "Verifying the RSS Hash Calculation".
    const KEY: [u8; KEY_LENGTH] = [
        0x6D, 0x5A, 0x56, 0xDA, 0x25, 0x5B, 0x0E, 0xC2, 0x41, 0x67, 0x25, 0x3D, 0x43, 0xA3, 0x8F,
        0xB0, 0xD0, 0xCA, 0x2B, 0xCB, 0xAE, 0x7B, 0x30, 0xB4, 0x77, 0xCB, 0x2D, 0xA3, 0x80, 0x30,
        0xF2, 0x0C, 0x6A, 0x42, 0xB7, 0x3B, 0xBE, 0xAC, 0x01, 0xFA,
    ];

    fn toeplitz(key: &[u8; KEY_LENGTH]) -> Toeplitz {
        let mut toeplitz = Toeplitz::ZERO;
        toeplitz.set_key(key);
        toeplitz
    }

    /// The definition, bit by bit.
    fn plain(key: &[u8], input: &[u8]) -> u32 {
        let bit = |bytes: &[u8], n: usize| bytes.get(n / 8).map_or(0, |b| b >> (7 - n % 8) & 1);
        let mut hash = 0;
        for n in 0..input.len() * 8 {
            if bit(input, n) == 1 {
                hash ^= (0..32).fold(0u32, |word, i| word << 1 | u32::from(bit(key, n + i)));
            }
        }
        hash
    }

    #[test]
    fn the_published_vectors_for_ipv4_come_out() {
        let toeplitz = toeplitz(&KEY);
        for (to, to_port, from, from_port, ip, tcp) in [
            (
                "161.142.100.80",
                1766u16,
                "66.9.149.187",
                2794u16,
                0x323E_8FC2,
                0x51CC_C178,
            ),
            (
                "65.69.140.83",
                4739,
                "199.92.111.2",
                14230,
                0xD718_262A,
                0xC626_B0EA,
            ),
            (
                "12.22.207.184",
                38024,
                "24.19.198.95",
                12898,
                0xD2D0_A5DE,
                0x5C2B_394A,
            ),
            (
                "209.142.163.6",
                2217,
                "38.27.205.30",
                48228,
                0x8298_9176,
                0xAFC7_327F,
            ),
            (
                "202.188.127.2",
                1303,
                "153.39.163.191",
                44251,
                0x5D18_09C5,
                0x10E8_28A2,
            ),
        ] {
            let address = |text: &str| text.parse::<Ipv4Addr>().unwrap().octets();
            let addresses = [address(from), address(to)].concat();
            let ports = [from_port.to_be_bytes(), to_port.to_be_bytes()].concat();
            assert_eq!(toeplitz.hash(&[&addresses]), ip, "{to}");
            assert_eq!(toeplitz.hash(&[&addresses, &ports]), tcp, "{to}");
        }
    }

    #[test]
    fn the_published_vectors_for_ipv6_come_out() {
        let toeplitz = toeplitz(&KEY);
        for (to, to_port, from, from_port, ip, tcp) in [
            (
                "3ffe:2501:200:3::1",
                1766u16,
                "3ffe:2501:200:1fff::7",
                2794u16,
                0x2CC1_8CD5,
                0x4020_7D3D,
            ),
            (
                "ff02::1",
                4739,
                "3ffe:501:8::260:97ff:fe40:efab",
                14230,
                0x0F0C_461C,
                0xDDE5_1BBF,
            ),
            (
                "fe80::200:f8ff:fe21:67cf",
                38024,
                "3ffe:1900:4545:3:200:f8ff:fe21:67cf",
                44251,
                0x4B61_E985,
                0x02D1_FEEF,
            ),
        ] {
            let address = |text: &str| text.parse::<Ipv6Addr>().unwrap().octets();
            let addresses = [address(from), address(to)].concat();
            let ports = [from_port.to_be_bytes(), to_port.to_be_bytes()].concat();
            assert_eq!(toeplitz.hash(&[&addresses]), ip, "{to}");
            assert_eq!(toeplitz.hash(&[&addresses, &ports]), tcp, "{to}");
        }
    }

    #[test]
    fn a_packet_is_hashed_over_the_most_that_is_allowed() {
        let toeplitz = toeplitz(&KEY);
        let all = HashTypes::all();
        for (frame, kind) in [
            (Frame::tcp4(), HashKind::IPV4_TCP),
            (Frame::tcp6(), HashKind::IPV6_TCP),
            (Frame::udp4(), HashKind::IPV4),
            (Frame::udp6(), HashKind::IPV6),
            (Frame::tcp4().ip_options(&[1, 1, 1, 0]), HashKind::IPV4_TCP),
            (Frame::tcp4().tag(5), HashKind::IPV4_TCP),
        ] {
            let frame = frame.payload(8).bytes();
            let headers = Headers::parse(&frame, frame.len() as u32).unwrap();
            let (of, hash) = toeplitz.of_packet(all, &frame, &headers).unwrap();
            let mut input = headers.network.unwrap().addresses(&frame).to_vec();
            if matches!(kind, HashKind::IPV4_TCP | HashKind::IPV6_TCP) {
                let at = usize::from(headers.transport.unwrap().offset);
                input.extend(&frame[at..at + 4]);
            }
            assert_eq!((of, hash), (kind, plain(&KEY, &input)));
            assert_eq!(
                toeplitz.of_packet(HashTypes::empty(), &frame, &headers),
                None
            );
        }
        let frame = Frame::tcp4().bytes();
        let headers = Headers::parse(&frame, frame.len() as u32).unwrap();
        let plain = toeplitz.of_packet(HashTypes::IPV4, &frame, &headers);
        assert_eq!(plain.map(|p| p.0), Some(HashKind::IPV4));
        let none = toeplitz.of_packet(HashTypes::IPV6 | HashTypes::IPV6_TCP, &frame, &headers);
        assert_eq!(none, None);
    }

    #[test]
    fn a_mapping_wraps() {
        assert_eq!(queue(&[], 7), 0);
        assert_eq!(
            (0..6).map(|h| queue(&[3, 1, 2], h)).collect::<Vec<_>>(),
            [3, 1, 2, 3, 1, 2]
        );
        assert_eq!(queue(&[0, 1, 2, 3], u32::MAX), 3);
    }

    proptest! {
        #[test]
        fn any_input_hashes_as_the_definition_says(
            key: [u8; 32], tail: [u8; 8], input in proptest::collection::vec(any::<u8>(), 0..50), cut: u8,
        ) {
            let key: [u8; KEY_LENGTH] = [&key[..], &tail[..]].concat().try_into().unwrap();
            let at = usize::from(cut).min(input.len());
            let (a, b) = input.split_at(at);
            let seen = &input[..input.len().min(36)];
            prop_assert_eq!(toeplitz(&key).hash(&[a, b]), plain(&key, seen));
        }
    }
}
