//! A frontend's end of a shared ring.

use core::sync::atomic::{AtomicU32, Ordering, fence};

const REQ_PROD: usize = 0;
const REQ_EVENT: usize = 1;
const RSP_PROD: usize = 2;
const RSP_EVENT: usize = 3;
/// Words of the ring's head.
const HEAD: usize = 16;

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

/// A response, copied out once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken<const ENTRY: usize> {
    /// Its slot: the response's index modulo the number of entries.
    pub slot: u32,
    /// All words of its entry; what the backend did not write is what stood there before.
    pub words: [u32; ENTRY],
}

/// The frontend's end of a ring whose entries have `ENTRY` words.
///
/// The frontend's own indexes are kept here and never read back from shared memory.
#[derive(Debug)]
pub struct FrontRing<M, const ENTRY: usize> {
    memory: M,
    entries: u32,
    req_prod: u32,
    published: u32,
    rsp_cons: u32,
}

impl<M: RingMemory, const ENTRY: usize> FrontRing<M, ENTRY> {
    /// Prepares fresh memory: indexes zero, an event wanted for the first response.
    ///
    /// # Errors
    /// [`RingError::Memory`] if not even one entry fits.
    pub fn new(memory: M) -> Result<Self, RingError> {
        let entries = xen_abi::ring::entries(memory.words().len() * 4, ENTRY * 4);
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

    /// Requests that still fit.
    pub fn free(&self) -> u32 {
        self.entries.saturating_sub(self.outstanding())
    }

    /// The slot of an index.
    fn slot(&self, index: u32) -> u32 {
        index & (self.entries - 1)
    }

    /// The slot of the request that is written next.
    pub fn next_slot(&self) -> u32 {
        self.slot(self.req_prod)
    }

    /// The words of the entry in a slot.
    fn entry(&self, slot: u32) -> &[AtomicU32] {
        let at = HEAD + slot as usize * ENTRY;
        self.memory.words().get(at..at + ENTRY).unwrap_or_default()
    }

    /// Writes a request; the backend sees it with the next [`Self::publish`]. False: the ring is full.
    pub fn push(&mut self, request: &[u32; ENTRY]) -> bool {
        if self.is_full() {
            return false;
        }
        for (to, word) in self.entry(self.next_slot()).iter().zip(request) {
            to.store(*word, Ordering::Relaxed);
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
    pub fn take(&mut self) -> Result<Option<Taken<ENTRY>>, RingError> {
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
        let slot = self.slot(self.rsp_cons);
        let mut words = [0; ENTRY];
        for (word, from) in words.iter_mut().zip(self.entry(slot)) {
            *word = from.load(Ordering::Relaxed);
        }
        self.rsp_cons = self.rsp_cons.wrapping_add(1);
        Ok(Some(Taken { slot, words }))
    }

    /// Asks for an event with the next response. True: one has come meanwhile, for which there may be no event.
    pub fn arm(&mut self) -> bool {
        self.arm_after(1)
    }

    /// Asks for an event with the `count`-th response from now, or the first where `count` is zero. True: one has come
    /// meanwhile.
    pub fn arm_after(&mut self, count: u32) -> bool {
        let event = self.rsp_cons.wrapping_add(count.max(1));
        self.store(RSP_EVENT, event, Ordering::Relaxed);
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
    use std::sync::Arc;
    use std::vec::Vec;

    /// Words of an entry of the block protocol.
    const ENTRY: usize = 28;

    #[derive(Clone, Debug)]
    struct FlatMemory(Arc<[AtomicU32]>);

    impl FlatMemory {
        fn new(pages: usize) -> Self {
            Self((0..pages * 1024).map(|_| AtomicU32::new(0)).collect())
        }
    }

    impl RingMemory for FlatMemory {
        fn words(&self) -> &[AtomicU32] {
            &self.0
        }
    }

    type Ring = FrontRing<FlatMemory, ENTRY>;

    fn ring(pages: usize) -> (Ring, FlatMemory) {
        let memory = FlatMemory::new(pages);
        (FrontRing::new(memory.clone()).unwrap(), memory)
    }

    fn respond(memory: &FlatMemory, index: u32, id: u32, entries: u32) {
        let at = HEAD + (index % entries) as usize * ENTRY;
        memory.words()[at].store(id, Ordering::Relaxed);
        memory.words()[RSP_PROD].store(index.wrapping_add(1), Ordering::Release);
    }

    #[test]
    fn a_ring_of_each_order_has_a_power_of_two_of_entries() {
        for (order, entries) in [(0, 32), (1, 64), (2, 128), (3, 256), (4, 512)] {
            assert_eq!(ring(1 << order).0.entries(), entries);
        }
        assert_eq!(Ring::new(FlatMemory::new(0)).err(), Some(RingError::Memory));
    }

    #[test]
    fn a_full_ring_takes_no_request_until_a_response_is_taken() {
        let (mut ring, memory) = ring(1);
        for _ in 0..32 {
            assert!(ring.push(&[1; ENTRY]));
        }
        assert!(!ring.push(&[1; ENTRY]));
        assert!(ring.publish());
        respond(&memory, 0, 7, 32);
        let taken = ring.take().unwrap().unwrap();
        assert_eq!((taken.slot, taken.words[0], ring.free()), (0, 7, 1));
        assert_eq!(ring.take(), Ok(None));
        assert!(ring.push(&[1; ENTRY]));
        assert!(!ring.push(&[1; ENTRY]));
    }

    #[test]
    fn a_backend_that_polls_is_not_notified() {
        let (mut ring, memory) = ring(1);
        ring.push(&[0; ENTRY]);
        assert!(ring.publish(), "the first request wakes the backend");
        assert!(!ring.publish(), "nothing new");
        ring.push(&[0; ENTRY]);
        assert!(
            !ring.publish(),
            "req_event is 1: the backend has not asked again"
        );
        memory.words()[REQ_EVENT].store(3, Ordering::Relaxed);
        ring.push(&[0; ENTRY]);
        assert!(ring.publish());
    }

    #[test]
    fn arming_tells_of_a_response_that_came_meanwhile() {
        let (mut ring, memory) = ring(1);
        ring.push(&[0; ENTRY]);
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
    fn an_event_can_be_asked_for_later() {
        let (mut ring, memory) = ring(1);
        for _ in 0..4 {
            ring.push(&[0; ENTRY]);
        }
        ring.publish();
        assert!(!ring.arm_after(3));
        assert_eq!(memory.words()[RSP_EVENT].load(Ordering::Relaxed), 3);
        assert!(!ring.arm_after(0));
        assert_eq!(memory.words()[RSP_EVENT].load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_producer_that_jumps_is_an_error() {
        let (mut ring, memory) = ring(1);
        ring.push(&[0; ENTRY]);
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
        ring.push(&[0; ENTRY]);
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
            assert!(ring.push(&[0; ENTRY]));
            ring.publish();
            respond(&memory, start.wrapping_add(i), i, 32);
            ids.push(ring.take().unwrap().unwrap().words[0]);
        }
        assert_eq!(ids, (0..8).collect::<Vec<_>>());
    }
}
