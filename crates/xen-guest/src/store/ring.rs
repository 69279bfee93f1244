//! The two byte rings of the page.

use core::sync::atomic::AtomicU8;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use xen_abi::xs_wire::{DomainInterface, RING_SIZE};

use super::Breach;
use crate::Shared;

/// Our ends of the rings. Our indices are kept here and only ever written to the page.
#[derive(Debug)]
pub(super) struct Ring {
    page: Shared<DomainInterface>,
    req_prod: u32,
    rsp_cons: u32,
}

impl Ring {
    /// Goes on where the page's former user stopped.
    pub fn new(page: Shared<DomainInterface>) -> Self {
        Self {
            page,
            req_prod: page.req_prod.load(Relaxed),
            rsp_cons: page.rsp_cons.load(Relaxed),
        }
    }

    /// Bits `SERVER_FEATURE_*`.
    pub fn server_features(&self) -> u32 {
        self.page.server_features.load(Relaxed)
    }

    /// Writes what fits. Returns how much.
    pub fn write(&mut self, bytes: &[u8]) -> Result<usize, Breach> {
        // Acquire: the server has read what it gives back before we overwrite it.
        let cons = self.page.req_cons.load(Acquire);
        let used = self.req_prod.wrapping_sub(cons) as usize;
        let room = RING_SIZE.checked_sub(used).ok_or(Breach::RequestIndex {
            cons,
            prod: self.req_prod,
        })?;
        let count = room.min(bytes.len());
        for (place, byte) in places(&self.page.req, self.req_prod).zip(bytes.iter().take(count)) {
            place.store(*byte, Relaxed);
        }
        self.req_prod = self.req_prod.wrapping_add(count as u32);
        // Release: the bytes are there before the server is told.
        self.page.req_prod.store(self.req_prod, Release);
        Ok(count)
    }

    /// Reads what there is, up to the buffer's size. Returns how much.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Breach> {
        let count = self.unread()?.min(buffer.len());
        for (byte, place) in buffer
            .iter_mut()
            .take(count)
            .zip(places(&self.page.rsp, self.rsp_cons))
        {
            *byte = place.load(Relaxed);
        }
        self.consume(count);
        Ok(count)
    }

    /// Drops up to `limit` bytes. Returns how many.
    pub fn skip(&mut self, limit: usize) -> Result<usize, Breach> {
        let count = self.unread()?.min(limit);
        self.consume(count);
        Ok(count)
    }

    fn unread(&self) -> Result<usize, Breach> {
        // Acquire: the bytes are there when the index says so.
        let prod = self.page.rsp_prod.load(Acquire);
        let count = prod.wrapping_sub(self.rsp_cons) as usize;
        if count > RING_SIZE {
            return Err(Breach::ReplyIndex {
                cons: self.rsp_cons,
                prod,
            });
        }
        Ok(count)
    }

    fn consume(&mut self, count: usize) {
        self.rsp_cons = self.rsp_cons.wrapping_add(count as u32);
        // Release: the bytes have been read before the server may overwrite them.
        self.page.rsp_cons.store(self.rsp_cons, Release);
    }
}

/// The ring's bytes from an index on, around its end.
fn places(ring: &[AtomicU8; RING_SIZE], from: u32) -> impl Iterator<Item = &AtomicU8> {
    ring.iter().cycle().skip(from as usize % RING_SIZE)
}
