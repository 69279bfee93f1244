//! Cutting a large TCP segment as an adapter does: for what is below an adapter's minimum, and as the tests' adapter.
//!
//! The rules are those of "Offloading the Segmentation of Large TCP Packets": each segment but the last has the same
//! payload, FIN and PSH are the last one's, CWR the first one's, the identification counts up.

use alloc::vec::Vec;

use super::checksum;
use super::headers::{Headers, Transport, be16, be32, flag, put16, put32};

/// The segments of a large frame with `size` bytes of payload each, with every checksum computed. Nothing for a frame
/// that is not TCP.
pub fn segments(frame: &[u8], size: usize) -> Vec<Vec<u8>> {
    let Some(headers) = Headers::parse(frame) else {
        return Vec::new();
    };
    let (Transport::Tcp { .. }, true) = (headers.kind, size > 0) else {
        return Vec::new();
    };
    let start = headers.payload();
    let Some((head, payload)) = frame.get(..headers.end).map(|all| all.split_at(start)) else {
        return Vec::new();
    };
    let count = payload.len().div_ceil(size);
    let sequence = be32(head, headers.transport + 4).unwrap_or(0);
    let identification = be16(head, headers.ip + 4).unwrap_or(0);
    let flags = head.get(headers.transport + 13).copied().unwrap_or(0);
    payload
        .chunks(size)
        .enumerate()
        .map(|(index, data)| {
            let mut out = Vec::with_capacity(start + data.len());
            out.extend_from_slice(head);
            out.extend_from_slice(data);
            let datagram = out.len() - headers.ip;
            if headers.v6 {
                put16(&mut out, headers.ip + 4, (datagram - 40) as u16);
            } else {
                put16(&mut out, headers.ip + 2, datagram as u16);
                let id = identification.wrapping_add(index as u16);
                put16(&mut out, headers.ip + 4, id);
            }
            let at = sequence.wrapping_add((index * size) as u32);
            put32(&mut out, headers.transport + 4, at);
            let mut own = flags;
            if index + 1 < count {
                own &= !(flag::FIN | flag::PSH);
            }
            if index > 0 {
                own &= !flag::CWR;
            }
            if let Some(place) = out.get_mut(headers.transport + 13) {
                *place = own;
            }
            if let Some(headers) = Headers::parse(&out) {
                checksum::fill_ip(&mut out, &headers);
                checksum::fill_transport(&mut out, &headers);
            }
            out
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::headers::test_frame;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn segments_carry_the_payload_in_order(v6: bool, payload in proptest::collection::vec(any::<u8>(), 1..9000), size in 100usize..2000) {
            let mut frame = test_frame(v6, &payload);
            let headers = Headers::parse(&frame).unwrap();
            frame[headers.transport + 13] |= flag::FIN | flag::PSH | flag::CWR;
            let all = segments(&frame, size);
            prop_assert_eq!(all.len(), payload.len().div_ceil(size));
            let mut joined = Vec::new();
            for (index, segment) in all.iter().enumerate() {
                let own = Headers::parse(segment).unwrap();
                prop_assert!(checksum::ip_is_right(segment, &own));
                prop_assert_eq!(checksum::transport(segment, &own), Some(checksum::Verdict::Right));
                prop_assert_eq!(be32(segment, own.transport + 4), Some(1 + joined.len() as u32));
                let flags = segment[own.transport + 13];
                let last = index + 1 == all.len();
                prop_assert_eq!(flags & (flag::FIN | flag::PSH) != 0, last);
                prop_assert_eq!(flags & flag::CWR != 0, index == 0);
                prop_assert!(last || segment.len() - own.payload() == size);
                joined.extend_from_slice(&segment[own.payload()..]);
            }
            prop_assert_eq!(joined, payload);
        }
    }

    #[test]
    fn what_is_no_tcp_has_no_segments() {
        assert!(segments(&[0; 60], 1000).is_empty());
    }
}
