//! The Internet checksum (RFC 1071) of frames, and the partial sums that offloads begin with.

use super::headers::{Headers, Transport, be16, put16};

/// Folds a sum to 16 bits.
fn fold(mut sum: u64) -> u16 {
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// The one's complement sum of `bytes` as numbers in network order, not inverted.
///
/// It goes by 32 bits at a time: this runs over each byte that is received, on a target without vectors.
pub fn sum(bytes: &[u8]) -> u16 {
    let (blocks, rest) = bytes.as_chunks::<16>();
    let mut total = 0u64;
    for block in blocks {
        let [a, b] = [0, 8].map(|at| {
            let mut half = [0u8; 8];
            half.copy_from_slice(&block[at..at + 8]);
            u64::from_ne_bytes(half)
        });
        total += (a & 0xffff_ffff) + (a >> 32) + (b & 0xffff_ffff) + (b >> 32);
    }
    let (pairs, odd) = rest.as_chunks::<2>();
    total += pairs
        .iter()
        .map(|pair| u64::from(u16::from_ne_bytes(*pair)))
        .sum::<u64>();
    if let [last] = odd {
        total += u64::from(u16::from_ne_bytes([*last, 0]));
    }
    u16::from_be(fold(total))
}

/// Adds sums.
pub fn add(sums: &[u16]) -> u16 {
    fold(sums.iter().map(|&sum| u64::from(sum)).sum())
}

/// The sum of the pseudo header, with `length` bytes of transport header and data; 0 leaves the length out.
pub fn pseudo_header(frame: &[u8], headers: &Headers, length: usize) -> u16 {
    let (at, count) = headers.addresses();
    let addresses = frame.get(at..at + count).unwrap_or_default();
    let length = length as u32;
    add(&[
        sum(addresses),
        u16::from(headers.protocol()),
        length as u16,
        (length >> 16) as u16,
    ])
}

/// The IPv4 header's checksum is right. True for IPv6, which has none.
pub fn ip_is_right(frame: &[u8], headers: &Headers) -> bool {
    headers.v6 || ipv4_header(frame, headers).is_none_or(|header| sum(header) == 0xffff)
}

fn ipv4_header<'a>(frame: &'a [u8], headers: &Headers) -> Option<&'a [u8]> {
    let length = usize::from(*frame.get(headers.ip)? & 15) * 4;
    frame.get(headers.ip..headers.ip + length)
}

/// What a frame's transport checksum turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Right, or absent where it may be (UDP over IPv4)
    Right,
    /// The field holds the pseudo header's sum only: whoever sent it left the rest to hardware
    Partial,
    /// Wrong
    Wrong,
}

/// Checks the transport's checksum. `None` if the frame has none that can be checked.
pub fn transport(frame: &[u8], headers: &Headers) -> Option<Verdict> {
    let at = headers.checksum_field()?;
    let field = be16(frame, at)?;
    let end = match headers.kind {
        Transport::Udp => headers.transport + usize::from(be16(frame, headers.transport + 4)?),
        _ => headers.end,
    };
    if headers.kind == Transport::Udp && field == 0 {
        // Over IPv6 the checksum is not optional (RFC 8200, 8.1).
        return Some(if headers.v6 {
            Verdict::Wrong
        } else {
            Verdict::Right
        });
    }
    let pseudo = pseudo_header(frame, headers, end - headers.transport);
    let data = sum(frame.get(headers.transport..end)?);
    Some(if add(&[pseudo, data]) == 0xffff {
        Verdict::Right
    } else if field == pseudo {
        Verdict::Partial
    } else {
        Verdict::Wrong
    })
}

/// Writes the transport's checksum, computed over everything.
pub fn fill_transport(frame: &mut [u8], headers: &Headers) {
    let Some(at) = headers.checksum_field() else {
        return;
    };
    put16(frame, at, 0);
    let pseudo = pseudo_header(frame, headers, headers.end - headers.transport);
    let data = sum(frame
        .get(headers.transport..headers.end)
        .unwrap_or_default());
    let value = match !add(&[pseudo, data]) {
        0 if headers.kind == Transport::Udp => 0xffff,
        value => value,
    };
    put16(frame, at, value);
}

/// Writes the IPv4 header's checksum.
pub fn fill_ip(frame: &mut [u8], headers: &Headers) {
    if headers.v6 {
        return;
    }
    put16(frame, headers.ip + 10, 0);
    let value = !sum(ipv4_header(frame, headers).unwrap_or_default());
    put16(frame, headers.ip + 10, value);
}

#[cfg(test)]
mod tests {
    use super::super::headers::test_frame;
    use super::*;
    use proptest::prelude::*;
    use smoltcp::wire::checksum as reference;

    #[test]
    fn a_filled_frame_is_right_and_a_changed_one_wrong() {
        for v6 in [false, true] {
            let mut frame = test_frame(v6, b"odd length payload.");
            let headers = Headers::parse(&frame).unwrap();
            fill_ip(&mut frame, &headers);
            fill_transport(&mut frame, &headers);
            assert!(ip_is_right(&frame, &headers));
            assert_eq!(transport(&frame, &headers), Some(Verdict::Right));
            *frame.last_mut().unwrap() ^= 1;
            assert_eq!(transport(&frame, &headers), Some(Verdict::Wrong));
        }
    }

    #[test]
    fn a_frame_whose_sender_left_the_sum_to_hardware_is_told_from_a_wrong_one() {
        let mut frame = test_frame(false, b"payload");
        let headers = Headers::parse(&frame).unwrap();
        let seed = pseudo_header(&frame, &headers, headers.end - headers.transport);
        put16(&mut frame, headers.transport + 16, seed);
        assert_eq!(transport(&frame, &headers), Some(Verdict::Partial));
    }

    proptest! {
        #[test]
        fn the_sum_is_that_of_the_stacks_own_routine(bytes in proptest::collection::vec(any::<u8>(), 0..3000)) {
            prop_assert_eq!(sum(&bytes), reference::data(&bytes));
        }
    }
}
