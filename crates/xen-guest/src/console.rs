//! The PV console's ring (`io/console.h`): bytes both ways, with indexes that run on.

use core::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use xen_abi::console::{ConsoleInterface, IN_SIZE, OUT_SIZE};

use crate::Shared;

/// The backend's index makes no sense: it is ahead of us, or behind by more than the ring holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the console's {index} {theirs:#x} does not go with ours {ours:#x}")]
pub struct ConsoleError {
    /// Which index
    pub index: &'static str,
    /// What the backend wrote
    pub theirs: u32,
    /// Our index of the same ring
    pub ours: u32,
}

/// Our end of the console.
///
/// Our own indexes are kept here, so that nobody can change them under us; the backend's are read once an operation and
/// checked. The caller notifies the backend after an operation that moved bytes.
#[derive(Debug)]
pub struct ConsoleRing {
    page: Shared<ConsoleInterface>,
    in_cons: u32,
    out_prod: u32,
}

impl ConsoleRing {
    /// Takes over the ring as whoever used it before (firmware, the system before a suspend) left it.
    pub fn new(page: Shared<ConsoleInterface>) -> Self {
        let in_cons = page.in_cons.load(Ordering::Relaxed);
        let out_prod = page.out_prod.load(Ordering::Relaxed);
        Self {
            page,
            in_cons,
            out_prod,
        }
    }

    /// How many bytes can be read now.
    ///
    /// # Errors
    /// If the backend's index is impossible.
    pub fn readable(&self) -> Result<usize, ConsoleError> {
        // Acquire: the bytes up to the index were written before it.
        let theirs = self.page.in_prod.load(Ordering::Acquire);
        used(theirs, self.in_cons, IN_SIZE).ok_or(ConsoleError {
            index: "in_prod",
            theirs,
            ours: self.in_cons,
        })
    }

    /// How many bytes can be written now.
    ///
    /// # Errors
    /// If the backend's index is impossible.
    pub fn writable(&self) -> Result<usize, ConsoleError> {
        // Acquire: the backend has read the bytes up to the index before it moved it.
        let theirs = self.page.out_cons.load(Ordering::Acquire);
        used(self.out_prod, theirs, OUT_SIZE)
            .map(|used| OUT_SIZE - used)
            .ok_or(ConsoleError {
                index: "out_cons",
                theirs,
                ours: self.out_prod,
            })
    }

    /// Reads what is there, at most `buffer`'s length. Returns the count.
    ///
    /// # Errors
    /// If the backend's index is impossible; nothing is taken then.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ConsoleError> {
        let count = self.readable()?.min(buffer.len());
        for (place, index) in buffer.iter_mut().zip(0..count as u32) {
            *place = at(&self.page.input, self.in_cons.wrapping_add(index)).load(Ordering::Relaxed);
        }
        self.in_cons = self.in_cons.wrapping_add(count as u32);
        // Release: the bytes are read before the backend may reuse their places.
        self.page.in_cons.store(self.in_cons, Ordering::Release);
        Ok(count)
    }

    /// Writes as much of `bytes` as there is room for. Returns the count.
    ///
    /// # Errors
    /// If the backend's index is impossible; nothing is written then.
    pub fn write(&mut self, bytes: &[u8]) -> Result<usize, ConsoleError> {
        let count = self.writable()?.min(bytes.len());
        for (byte, index) in bytes.iter().zip(0..count as u32) {
            at(&self.page.output, self.out_prod.wrapping_add(index))
                .store(*byte, Ordering::Relaxed);
        }
        self.out_prod = self.out_prod.wrapping_add(count as u32);
        // Release: the bytes are there before the index says so.
        self.page.out_prod.store(self.out_prod, Ordering::Release);
        Ok(count)
    }

    /// The four indexes, for a state dump: in_cons, in_prod, out_cons, out_prod.
    pub fn indexes(&self) -> [u32; 4] {
        let load = |index: &AtomicU32| index.load(Ordering::Relaxed);
        [
            self.in_cons,
            load(&self.page.in_prod),
            load(&self.page.out_cons),
            self.out_prod,
        ]
    }
}

/// Bytes between two running indexes, if that many fit into the ring.
fn used(producer: u32, consumer: u32, size: usize) -> Option<usize> {
    Some(producer.wrapping_sub(consumer) as usize).filter(|used| *used <= size)
}

/// The place of a running index. The sizes are powers of two, so running over 2^32 keeps the place.
fn at<const SIZE: usize>(ring: &[AtomicU8; SIZE], index: u32) -> &AtomicU8 {
    const { assert!(SIZE.is_power_of_two()) };
    &ring[index as usize % SIZE]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::boxed::Box;
    use std::vec::Vec;

    fn page(index: u32) -> Shared<ConsoleInterface> {
        let page = ConsoleInterface::default();
        for own in [&page.in_cons, &page.in_prod, &page.out_cons, &page.out_prod] {
            own.store(index, Ordering::Relaxed);
        }
        Shared::from_static(Box::leak(Box::new(page)))
    }

    fn backend_sends(page: &ConsoleInterface, bytes: &[u8]) {
        let producer = page.in_prod.load(Ordering::Relaxed);
        for (index, byte) in bytes.iter().enumerate() {
            at(&page.input, producer.wrapping_add(index as u32)).store(*byte, Ordering::Relaxed);
        }
        page.in_prod
            .store(producer.wrapping_add(bytes.len() as u32), Ordering::Release);
    }

    fn backend_takes(page: &ConsoleInterface) -> Vec<u8> {
        let consumer = page.out_cons.load(Ordering::Relaxed);
        let producer = page.out_prod.load(Ordering::Acquire);
        let count = producer.wrapping_sub(consumer);
        page.out_cons.store(producer, Ordering::Release);
        (0..count)
            .map(|index| at(&page.output, consumer.wrapping_add(index)).load(Ordering::Relaxed))
            .collect()
    }

    #[test]
    fn a_full_ring_takes_no_more() {
        let page = page(0);
        let mut ring = ConsoleRing::new(page);
        assert_eq!(ring.write(&[7; OUT_SIZE + 1]), Ok(OUT_SIZE));
        assert_eq!(ring.writable(), Ok(0));
        assert_eq!(ring.write(b"x"), Ok(0));
        assert_eq!(backend_takes(&page).len(), OUT_SIZE);
        assert_eq!(ring.writable(), Ok(OUT_SIZE));
    }

    #[test]
    fn an_impossible_index_is_refused_and_moves_nothing() {
        let page = page(0);
        let mut ring = ConsoleRing::new(page);
        page.in_prod.store(IN_SIZE as u32 + 1, Ordering::Relaxed);
        assert!(ring.read(&mut [0; 16]).is_err());
        page.out_cons.store(1, Ordering::Relaxed);
        assert!(ring.write(b"x").is_err());
        assert_eq!(page.in_cons.load(Ordering::Relaxed), 0);
        assert_eq!(page.out_prod.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_backend_that_moves_our_index_changes_nothing() {
        let page = page(0);
        let mut ring = ConsoleRing::new(page);
        ring.write(b"ab").unwrap();
        page.out_prod.store(500, Ordering::Relaxed);
        ring.write(b"c").unwrap();
        assert_eq!(backend_takes(&page), b"abc");
    }

    proptest! {
        #[test]
        fn bytes_arrive_in_order_wherever_the_indexes_stand(
            start in any::<u32>(),
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..700), 0..12),
        ) {
            let page = page(start);
            let mut ring = ConsoleRing::new(page);
            for piece in &pieces {
                prop_assert_eq!(ring.write(piece).unwrap(), piece.len());
                prop_assert_eq!(&backend_takes(&page), piece);
                backend_sends(&page, piece);
                let mut back = std::vec![0; piece.len()];
                prop_assert_eq!(ring.read(&mut back).unwrap(), piece.len());
                prop_assert_eq!(&back, piece);
            }
        }
    }
}
