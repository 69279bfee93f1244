//! Receive-side scaling as the protocol sets it: key, hash types, and what hashes must be.

use super::headers::Headers;
use super::toeplitz::{KEY, Over, of_frame};
use super::transmit::Flow;
use crate::nt::ndis::*;
use alloc::vec::Vec;

/// What a hash is computed over, by type.
const PORTS: u32 = NDIS_HASH_TCP_IPV4 | NDIS_HASH_TCP_IPV6;
/// The hash types that TCP/IP asks for.
pub const TYPES: u32 = NDIS_HASH_IPV4 | NDIS_HASH_IPV6 | PORTS;

/// A key and the types that hashes are of, and where they lead.
#[derive(Clone)]
pub struct Hashing {
    key: [u8; KEY],
    types: u32,
    /// The indirection table: a power of two processors
    table: Vec<u32>,
    last: Option<(Flow, (u32, u32))>,
}

impl Hashing {
    /// Hashes of these types with this key, which lead to the processors of this table.
    pub fn new(key: [u8; KEY], types: u32, table: Vec<u32>) -> Self {
        Self {
            key,
            types,
            table,
            last: None,
        }
    }

    /// The processor that a hash leads to: the entry that its low bits choose.
    pub fn home(&self, value: u32) -> Option<usize> {
        let entries = self.table.len().checked_sub(1)?;
        let processor = self.table.get(value as usize & entries)?;
        Some(*processor as usize)
    }

    /// Value and information of a frame that is sent: those of what is received of its connection, so that both ways are
    /// dealt with by one queue.
    pub fn of_sent(&mut self, frame: &[u8], flow: &Flow) -> Option<(u32, u32)> {
        if let Some((last, result)) = &self.last
            && last == flow
        {
            return Some(*result);
        }
        let headers = Headers::parse(frame)?;
        let mut turned = [0u8; 256];
        let head = frame.get(..headers.payload())?;
        turned.get_mut(..head.len())?.copy_from_slice(head);
        let (at, count) = headers.addresses();
        turned.get_mut(at..at + count)?.rotate_left(count / 2);
        turned
            .get_mut(headers.transport..headers.transport + 4)?
            .rotate_left(2);
        let kind = self.kind_of(&headers)?;
        let over = if kind & PORTS != 0 {
            Over::Ports
        } else {
            Over::Addresses
        };
        let value = of_frame(&self.key, &turned, &headers, over)?;
        let result = (value, kind | NdisHashFunctionToeplitz);
        self.last = Some((*flow, result));
        Some(result)
    }

    /// The type by which a frame is hashed.
    fn kind_of(&self, headers: &Headers) -> Option<u32> {
        let tcp = headers.protocol() == 6;
        let (ports, addresses) = if headers.v6 {
            (NDIS_HASH_TCP_IPV6, NDIS_HASH_IPV6)
        } else {
            (NDIS_HASH_TCP_IPV4, NDIS_HASH_IPV4)
        };
        if tcp && self.types & ports != 0 {
            return Some(ports);
        }
        (self.types & addresses != 0).then_some(addresses)
    }

    /// Compares what an adapter says of a received frame's hash with the frame. True also where it says nothing.
    pub fn is_right(&self, frame: &[u8], information: u32, value: u32) -> bool {
        let kind = information & NDIS_HASH_TYPE_MASK;
        if information & NDIS_HASH_FUNCTION_MASK != NdisHashFunctionToeplitz || kind == 0 {
            return information & NDIS_HASH_FUNCTION_MASK == 0;
        }
        let Some(headers) = Headers::parse(frame) else {
            return false;
        };
        let over = if kind & PORTS != 0 {
            Over::Ports
        } else {
            Over::Addresses
        };
        let v6 = kind & (NDIS_HASH_IPV6 | NDIS_HASH_TCP_IPV6) != 0;
        kind & self.types == kind
            && v6 == headers.v6
            && of_frame(&self.key, frame, &headers, over) == Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::super::headers::test_frame;
    use super::*;

    #[test]
    fn a_sent_frames_hash_is_that_of_its_answer() {
        for v6 in [false, true] {
            let sent = test_frame(v6, b"there");
            let mut answer = test_frame(v6, b"back");
            let headers = Headers::parse(&answer).unwrap();
            let (at, count) = headers.addresses();
            answer[at..at + count].rotate_left(count / 2);
            answer[headers.transport..headers.transport + 4].rotate_left(2);
            let mut hashing = Hashing::new([0x5a; KEY], TYPES, Vec::new());
            let flow = Flow::of(&sent).unwrap();
            let (value, information) = hashing.of_sent(&sent, &flow).unwrap();
            assert!(hashing.is_right(&answer, information, value));
            assert!(!hashing.is_right(&answer, information, value ^ 1));
            assert_eq!(hashing.of_sent(&sent, &flow), Some((value, information)));
        }
    }

    #[test]
    fn the_low_bits_of_a_hash_lead_to_a_processor() {
        let hashing = Hashing::new([1; KEY], TYPES, Vec::from([0, 1, 2, 3]));
        assert_eq!(hashing.home(0xffff_fffe), Some(2));
        assert_eq!(hashing.home(4), Some(0));
        let none = Hashing::new([1; KEY], TYPES, Vec::new());
        assert_eq!(none.home(4), None);
    }

    #[test]
    fn no_hash_is_right_and_one_of_another_kind_is_not() {
        let frame = test_frame(false, b"x");
        let hashing = Hashing::new([1; KEY], TYPES, Vec::new());
        assert!(hashing.is_right(&frame, 0, 0));
        assert!(!hashing.is_right(&frame, NdisHashFunctionToeplitz | NDIS_HASH_TCP_IPV6, 5));
    }
}
