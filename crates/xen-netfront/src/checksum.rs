//! The Internet checksum (RFC 1071).

/// Bytes that one round of the inner loop takes: four sums that do not wait for each other.
const ROUND: usize = 32;

/// A one's complement sum over bytes that come in pieces, of odd lengths too.
///
/// Words are added in the machine's byte order, which RFC 1071, section 2(B) allows: the sum's bytes come out in the
/// order in which they stand in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    value: u32,
    odd: bool,
}

/// The sum of a piece that starts at an even byte, folded to 16 bits.
fn sum(bytes: &[u8]) -> u16 {
    let mut sums = [0u64; 4];
    let (rounds, rest) = bytes.as_chunks::<ROUND>();
    for round in rounds {
        let (words, _) = round.as_chunks::<8>();
        for (sum, word) in sums.iter_mut().zip(words) {
            let (added, carry) = sum.overflowing_add(u64::from_ne_bytes(*word));
            // The end-around carry cannot overflow: a sum that has just wrapped is not all ones.
            *sum = added.wrapping_add(u64::from(carry));
        }
    }
    let mut total: u64 = sums.iter().map(|s| (s & 0xFFFF_FFFF) + (s >> 32)).sum();
    let (words, tail) = rest.as_chunks::<4>();
    for word in words {
        total += u64::from(u32::from_ne_bytes(*word));
    }
    let mut last = [0; 4];
    for (to, from) in last.iter_mut().zip(tail) {
        *to = *from;
    }
    fold(total + u64::from(u32::from_ne_bytes(last)))
}

fn fold(mut total: u64) -> u16 {
    while total > 0xFFFF {
        total = (total & 0xFFFF) + (total >> 16);
    }
    total as u16
}

impl Sum {
    /// Nothing yet.
    pub const ZERO: Self = Self {
        value: 0,
        odd: false,
    };

    /// The sum of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let mut sum = Self::ZERO;
        sum.add(bytes);
        sum
    }

    /// Adds the next bytes.
    pub fn add(&mut self, bytes: &[u8]) {
        let piece = sum(bytes);
        self.join(piece, !bytes.len().is_multiple_of(2));
    }

    /// Adds what was summed on its own, as if its bytes came next.
    pub fn append(&mut self, next: Self) {
        self.join(fold(u64::from(next.value)), next.odd);
    }

    fn join(&mut self, piece: u16, odd: bool) {
        // Section 2(B): a piece that starts at an odd byte has its bytes the other way round.
        let piece = if self.odd { piece.swap_bytes() } else { piece };
        self.value = u32::from(fold(u64::from(self.value) + u64::from(piece)));
        self.odd ^= odd;
    }

    /// Adds a number that stands in the packet as a big-endian word.
    pub fn add_u16(&mut self, number: u16) {
        self.add(&number.to_be_bytes());
    }

    /// The sum, as it stands in a packet.
    pub fn folded(self) -> [u8; 2] {
        fold(u64::from(self.value)).to_ne_bytes()
    }

    /// The checksum, as it stands in a packet: the sum's complement.
    pub fn checksum(self) -> [u8; 2] {
        (!fold(u64::from(self.value))).to_ne_bytes()
    }

    /// The checksum of UDP, where zero says that there is none (RFC 768).
    pub fn udp_checksum(self) -> [u8; 2] {
        match self.checksum() {
            [0, 0] => [0xFF, 0xFF],
            checksum => checksum,
        }
    }

    /// The sum of bytes that hold their own checksum: true where it is right.
    pub fn is_valid(self) -> bool {
        fold(u64::from(self.value)) == 0xFFFF
    }
}

/// The sum of a pseudo header (RFC 9293, 3.1; RFC 8200, 8.1): source and destination address together, the protocol and
/// the transport's length with its header.
pub fn pseudo_header(addresses: &[u8], protocol: u8, length: u32) -> Sum {
    let mut sum = Sum::of(addresses);
    sum.add(&length.to_be_bytes());
    sum.add_u16(u16::from(protocol));
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    /// RFC 1071 in so many words.
    fn plain(bytes: &[u8]) -> u16 {
        let mut sum = 0u64;
        for pair in bytes.chunks(2) {
            sum += u64::from(pair[0]) << 8 | u64::from(*pair.get(1).unwrap_or(&0));
        }
        while sum >> 16 != 0 {
            sum = (sum & 0xFFFF) + (sum >> 16);
        }
        sum as u16
    }

    #[test]
    fn the_example_of_rfc_1071_comes_out() {
        let bytes = [0x00, 0x01, 0xF2, 0x03, 0xF4, 0xF5, 0xF6, 0xF7];
        assert_eq!(Sum::of(&bytes).folded(), [0xDD, 0xF2]);
        assert_eq!(Sum::of(&bytes).checksum(), [0x22, 0x0D]);
    }

    #[test]
    fn an_ip_header_with_its_checksum_is_valid() {
        // The header of RFC 1071's usual illustration.
        let header = [
            0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11, 0xB8, 0x61, 0xC0, 0xA8,
            0x00, 0x01, 0xC0, 0xA8, 0x00, 0xC7,
        ];
        assert!(Sum::of(&header).is_valid());
        let mut broken = header;
        broken[3] ^= 1;
        assert!(!Sum::of(&broken).is_valid());
    }

    #[test]
    fn all_ones_do_not_overflow() {
        for length in [0, 1, 2, 31, 32, 33, 64, 4096, 65536] {
            let bytes = std::vec![0xFF; length];
            let expected = plain(&bytes).to_be_bytes();
            assert_eq!(Sum::of(&bytes).folded(), expected, "{length}");
        }
    }

    #[test]
    fn a_udp_checksum_is_never_zero() {
        let sum = Sum::of(&[0xFF, 0xFF]);
        assert_eq!((sum.checksum(), sum.udp_checksum()), ([0, 0], [0xFF, 0xFF]));
        assert_eq!(Sum::of(&[1, 2]).udp_checksum(), Sum::of(&[1, 2]).checksum());
    }

    proptest! {
        #[test]
        fn any_pieces_sum_like_the_whole(
            bytes in proptest::collection::vec(any::<u8>(), 0..300), cuts: Vec<u16>,
        ) {
            let mut cuts = cuts.iter().map(|c| *c as usize % (bytes.len() + 1)).collect::<Vec<_>>();
            cuts.sort_unstable();
            let (mut added, mut appended, mut at) = (Sum::ZERO, Sum::ZERO, 0);
            for cut in cuts.into_iter().chain([bytes.len()]) {
                added.add(&bytes[at..cut]);
                appended.append(Sum::of(&bytes[at..cut]));
                at = cut;
            }
            prop_assert_eq!(added.folded(), plain(&bytes).to_be_bytes());
            prop_assert_eq!(appended.folded(), added.folded());
        }
    }
}
