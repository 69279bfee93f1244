//! The shared ring (`io/ring.h` with `io/blkif.h`'s entries).

use core::sync::atomic::{AtomicU32, Ordering, fence};

use xen_abi::blkif::{RING_ENTRY_SIZE, Response};
use zerocopy::{FromBytes, IntoBytes};

const REQ_PROD: usize = 0;
const REQ_EVENT: usize = 1;
const RSP_PROD: usize = 2;
const RSP_EVENT: usize = 3;
/// Words of the ring's head.
const HEAD: usize = 16;
/// Words of an entry.
const ENTRY: usize = RING_ENTRY_SIZE / 4;
/// Words of a response.
const RESPONSE: usize = size_of::<Response>() / 4;

/// Memory shared with the backend, as words: both sides write it at any time.
pub trait RingMemory {
    /// All words of the ring's pages, in order.
    fn words(&self) -> &[AtomicU32];
}

/// What a backend must not do to a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RingError {
    /// More responses than requests.
    #[error(
        "rsp_prod {rsp_prod} claims more responses than the {outstanding} requests outstanding at {rsp_cons}"
    )]
    ProducerJumped {
        /// What the backend wrote.
        rsp_prod: u32,
        /// Responses taken so far.
        rsp_cons: u32,
        /// Requests without a response.
        outstanding: u32,
    },
    /// The memory is too small for its entries: the driver's fault.
    #[error("the ring's memory is too small")]
    Memory,
}

/// The frontend's end of a ring.
///
/// The frontend's own indexes are kept here and never read back from shared memory.
#[derive(Debug)]
pub struct FrontRing<M> {
    memory: M,
    entries: u32,
    req_prod: u32,
    published: u32,
    rsp_cons: u32,
}

impl<M: RingMemory> FrontRing<M> {
    /// Prepares fresh memory: indexes zero, an event wanted for the first response.
    ///
    /// # Errors
    /// [`RingError::Memory`] if not even one entry fits.
    pub fn new(memory: M) -> Result<Self, RingError> {
        let entries = xen_abi::ring::entries(memory.words().len() * 4, RING_ENTRY_SIZE);
        if entries == 0 {
            return Err(RingError::Memory);
        }
        for word in memory.words() {
            word.store(0, Ordering::Relaxed);
        }
        let ring = Self {
            memory,
            entries,
            req_prod: 0,
            published: 0,
            rsp_cons: 0,
        };
        ring.store(REQ_EVENT, 1, Ordering::Relaxed);
        ring.store(RSP_EVENT, 1, Ordering::Release);
        Ok(ring)
    }

    /// Entries of the ring.
    pub fn entries(&self) -> u32 {
        self.entries
    }

    /// Requests without a response.
    pub fn outstanding(&self) -> u32 {
        self.req_prod.wrapping_sub(self.rsp_cons)
    }

    /// No further request fits now.
    pub fn is_full(&self) -> bool {
        self.outstanding() >= self.entries
    }

    fn load(&self, word: usize, order: Ordering) -> u32 {
        self.memory.words().get(word).map_or(0, |w| w.load(order))
    }

    fn store(&self, word: usize, value: u32, order: Ordering) {
        if let Some(w) = self.memory.words().get(word) {
            w.store(value, order);
        }
    }

    /// First word of the entry of an index.
    fn slot(&self, index: u32) -> usize {
        HEAD + (index & (self.entries - 1)) as usize * ENTRY
    }

    /// Writes a request; the backend sees it with the next [`Self::publish`]. False: the ring is full.
    pub fn push(&mut self, request: &[u8]) -> bool {
        if self.is_full() {
            return false;
        }
        let at = self.slot(self.req_prod);
        for (i, bytes) in request.chunks_exact(4).take(ENTRY).enumerate() {
            let word = bytes.try_into().map_or(0, u32::from_le_bytes);
            self.store(at + i, word, Ordering::Relaxed);
        }
        self.req_prod = self.req_prod.wrapping_add(1);
        true
    }

    /// Shows the backend all requests written so far. True: it wants an event for one of them.
    pub fn publish(&mut self) -> bool {
        let (old, new) = (self.published, self.req_prod);
        if old == new {
            return false;
        }
        // Release: the entries are visible before the index that offers them.
        self.store(REQ_PROD, new, Ordering::Release);
        self.published = new;
        // The index must be visible before req_event is read, or a backend that goes to sleep between the two is never
        // woken (RING_PUSH_REQUESTS_AND_CHECK_NOTIFY).
        fence(Ordering::SeqCst);
        let event = self.load(REQ_EVENT, Ordering::Relaxed);
        new.wrapping_sub(event) < new.wrapping_sub(old)
    }

    /// Takes the next response, copied out once. `None`: there is none now.
    ///
    /// # Errors
    /// [`RingError::ProducerJumped`]: the ring can no longer be used.
    pub fn take(&mut self) -> Result<Option<Response>, RingError> {
        // Acquire: the entry is read after the index that offers it.
        let rsp_prod = self.load(RSP_PROD, Ordering::Acquire);
        let outstanding = self.published.wrapping_sub(self.rsp_cons);
        let available = rsp_prod.wrapping_sub(self.rsp_cons);
        if available > outstanding {
            let rsp_cons = self.rsp_cons;
            return Err(RingError::ProducerJumped {
                rsp_prod,
                rsp_cons,
                outstanding,
            });
        }
        if available == 0 {
            return Ok(None);
        }
        let at = self.slot(self.rsp_cons);
        let words: [u32; RESPONSE] = core::array::from_fn(|i| self.load(at + i, Ordering::Relaxed));
        self.rsp_cons = self.rsp_cons.wrapping_add(1);
        Ok(Response::read_from_bytes(words.as_bytes()).ok())
    }

    /// Asks for an event with the next response. True: one has come meanwhile, for which there may be no event.
    pub fn arm(&mut self) -> bool {
        self.store(RSP_EVENT, self.rsp_cons.wrapping_add(1), Ordering::Relaxed);
        // rsp_event must be visible before rsp_prod is read again (RING_FINAL_CHECK_FOR_RESPONSES).
        fence(Ordering::SeqCst);
        self.load(RSP_PROD, Ordering::Relaxed) != self.rsp_cons
    }

    /// Gives the memory back.
    pub fn into_memory(self) -> M {
        self.memory
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::FlatMemory;
    use std::vec::Vec;
    use xen_abi::blkif::{Operation, Status};

    fn ring(pages: usize) -> (FrontRing<FlatMemory>, FlatMemory) {
        let memory = FlatMemory::new(pages);
        (FrontRing::new(memory.clone()).unwrap(), memory)
    }

    fn respond(memory: &FlatMemory, index: u32, id: u64, entries: u32) {
        let response = Response {
            id,
            operation: Operation::READ,
            pad0: 0,
            status: Status::OKAY,
            pad1: 0,
        };
        let at = HEAD + (index % entries) as usize * ENTRY;
        for (i, bytes) in response.as_bytes().chunks_exact(4).enumerate() {
            let word = u32::from_le_bytes(bytes.try_into().unwrap());
            memory.words()[at + i].store(word, Ordering::Relaxed);
        }
        memory.words()[RSP_PROD].store(index.wrapping_add(1), Ordering::Release);
    }

    #[test]
    fn a_ring_of_each_order_has_a_power_of_two_of_entries() {
        for (order, entries) in [(0, 32), (1, 64), (2, 128), (3, 256), (4, 512)] {
            assert_eq!(ring(1 << order).0.entries(), entries);
        }
        assert_eq!(
            FrontRing::new(FlatMemory::new(0)).err(),
            Some(RingError::Memory)
        );
    }

    #[test]
    fn a_full_ring_takes_no_request_until_a_response_is_taken() {
        let (mut ring, memory) = ring(1);
        for _ in 0..32 {
            assert!(ring.push(&[1; RING_ENTRY_SIZE]));
        }
        assert!(!ring.push(&[1; RING_ENTRY_SIZE]));
        assert!(ring.publish());
        respond(&memory, 0, 7, 32);
        assert_eq!(ring.take().unwrap().map(|r| r.id), Some(7));
        assert_eq!(ring.take(), Ok(None));
        assert!(ring.push(&[1; RING_ENTRY_SIZE]));
        assert!(!ring.push(&[1; RING_ENTRY_SIZE]));
    }

    #[test]
    fn a_backend_that_polls_is_not_notified() {
        let (mut ring, memory) = ring(1);
        ring.push(&[0; RING_ENTRY_SIZE]);
        assert!(ring.publish(), "the first request wakes the backend");
        assert!(!ring.publish(), "nothing new");
        ring.push(&[0; RING_ENTRY_SIZE]);
        assert!(
            !ring.publish(),
            "req_event is 1: the backend has not asked again"
        );
        memory.words()[REQ_EVENT].store(3, Ordering::Relaxed);
        ring.push(&[0; RING_ENTRY_SIZE]);
        assert!(ring.publish());
    }

    #[test]
    fn arming_tells_of_a_response_that_came_meanwhile() {
        let (mut ring, memory) = ring(1);
        ring.push(&[0; RING_ENTRY_SIZE]);
        ring.publish();
        assert!(!ring.arm());
        assert_eq!(memory.words()[RSP_EVENT].load(Ordering::Relaxed), 1);
        respond(&memory, 0, 1, 32);
        assert!(ring.arm());
        ring.take().unwrap();
        assert!(!ring.arm());
        assert_eq!(memory.words()[RSP_EVENT].load(Ordering::Relaxed), 2);
    }

    #[test]
    fn a_producer_that_jumps_is_an_error() {
        let (mut ring, memory) = ring(1);
        ring.push(&[0; RING_ENTRY_SIZE]);
        ring.publish();
        for jump in [2, 33, 1 << 31, u32::MAX] {
            memory.words()[RSP_PROD].store(jump, Ordering::Relaxed);
            assert!(
                matches!(ring.take(), Err(RingError::ProducerJumped { .. })),
                "{jump}"
            );
        }
    }

    #[test]
    fn a_response_to_a_request_not_yet_published_is_an_error() {
        let (mut ring, memory) = ring(1);
        ring.push(&[0; RING_ENTRY_SIZE]);
        memory.words()[RSP_PROD].store(1, Ordering::Relaxed);
        assert!(ring.take().is_err());
    }

    #[test]
    fn indexes_wrap() {
        let (mut ring, memory) = ring(1);
        let start = u32::MAX - 3;
        (ring.req_prod, ring.published, ring.rsp_cons) = (start, start, start);
        memory.words()[RSP_PROD].store(start, Ordering::Relaxed);
        memory.words()[REQ_EVENT].store(start.wrapping_add(1), Ordering::Relaxed);
        let mut ids = Vec::new();
        for i in 0..8u32 {
            assert!(ring.push(&[0; RING_ENTRY_SIZE]));
            ring.publish();
            respond(&memory, start.wrapping_add(i), u64::from(i), 32);
            ids.push(ring.take().unwrap().unwrap().id);
        }
        assert_eq!(ids, (0..8).collect::<Vec<_>>());
    }
}
