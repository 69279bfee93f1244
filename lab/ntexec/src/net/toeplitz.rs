//! The hash of receive-side scaling: "RSS Hashing Functions" in the NDIS documentation.

use super::headers::{Headers, Transport};

/// Bytes of the key that Windows gives.
pub const KEY: usize = 40;

/// Toeplitz over `input`: 0 if the key is too short for it.
pub fn hash(key: &[u8], input: impl Iterator<Item = u8>) -> u32 {
    let Some((first, mut rest)) = key.split_first_chunk::<4>() else {
        return 0;
    };
    let mut window = u32::from_be_bytes(*first);
    let mut result = 0;
    for byte in input {
        let Some((next, behind)) = rest.split_first() else {
            return 0;
        };
        rest = behind;
        for bit in (0..8).rev() {
            if byte >> bit & 1 != 0 {
                result ^= window;
            }
            window = window << 1 | u32::from(next >> bit & 1);
        }
    }
    result
}

/// What a hash is computed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// The two addresses
    Addresses,
    /// The addresses and the two TCP or UDP ports
    Ports,
}

/// The hash of a frame: `None` if it has not what the hash is over.
pub fn of_frame(key: &[u8], frame: &[u8], headers: &Headers, over: Over) -> Option<u32> {
    let (at, count) = headers.addresses();
    let addresses = frame.get(at..at.checked_add(count)?)?.iter();
    let ports: &[u8] = match over {
        Over::Addresses => &[],
        Over::Ports if headers.kind == Transport::Other => return None,
        Over::Ports => frame.get(headers.transport..headers.transport + 4)?,
    };
    Some(hash(key, addresses.chain(ports).copied()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key and the vectors of "Verifying the RSS Hash Calculation".
    const MICROSOFT: [u8; KEY] = [
        0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f,
        0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30,
        0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
    ];

    #[test]
    fn the_documented_vectors_come_out() {
        let from = [66, 9, 149, 187];
        let to = [161, 142, 100, 80];
        let addresses = from.into_iter().chain(to);
        assert_eq!(hash(&MICROSOFT, addresses.clone()), 0x323e_8fc2);
        let ports = 2794u16
            .to_be_bytes()
            .into_iter()
            .chain(1766u16.to_be_bytes());
        assert_eq!(hash(&MICROSOFT, addresses.chain(ports)), 0x51cc_c178);
    }

    #[test]
    fn a_short_key_gives_nothing() {
        assert_eq!(hash(&MICROSOFT[..8], [1; 8].into_iter()), 0);
        assert_eq!(hash(&[], [1].into_iter()), 0);
    }
}
