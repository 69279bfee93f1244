//! Pages on their way between the driver and the ring.

use xen_abi::netif::RxRequest;
use xen_front::RingMemory;

use super::take::Assembly;
use super::{Host, Place, Queue, Refilled};
use crate::grant::Held;

impl<M: RingMemory, H: Host> Queue<M, H> {
    /// Posts as many pages as there are free slots.
    pub fn refill(&mut self, host: &mut H) -> Refilled {
        let mut refilled = Refilled {
            notify: false,
            posted: 0,
            short: false,
        };
        if self.fault.is_some() {
            return refilled;
        }
        let Some(mut ring) = self.ring.take() else {
            return refilled;
        };
        while !ring.is_full() {
            let Some((page, grant)) = self.next_page(host) else {
                refilled.short = true;
                break;
            };
            let slot = ring.next_slot();
            let Some(place) = self.slots.get_mut(slot as usize) else {
                break;
            };
            *place = Some(page);
            if let Some(place) = self.pages.get_mut(usize::from(page)) {
                *place = Place::Posted(grant);
            }
            let request = RxRequest {
                id: slot as u16,
                pad: 0,
                gref: host.reference(grant),
            };
            ring.push(&zerocopy::transmute!(request));
            refilled.posted += 1;
        }
        refilled.notify = ring.publish();
        self.counters.posted += u64::from(refilled.posted);
        self.ring = Some(ring);
        refilled
    }

    /// A granted page to post.
    fn next_page(&mut self, host: &mut H) -> Option<(u16, H::Grant)> {
        if let Some(page) = self.ready.pop()
            && let Some(Place::Ready(grant)) = self.pages.get(usize::from(page))
        {
            return Some((page, *grant));
        }
        let page = *self.free.last()?;
        if let Some(clean) = self.clean.get_mut(usize::from(page))
            && !*clean
        {
            // What the system left there is nobody's business.
            host.page(page).fill(0);
            *clean = true;
        }
        let grant = host.grant(page)?;
        self.free.pop();
        Some((page, grant))
    }

    /// One more user of a lent page: pieces of it went into several frames.
    pub fn hold(&mut self, page: u16) {
        match self.pages.get_mut(usize::from(page)) {
            Some(Place::Lent(users)) => *users = users.saturating_add(1),
            _ => self.counters.misused += 1,
        }
    }

    /// A user of a lent page is done with it. With the last one it is free.
    pub fn give_back(&mut self, page: u16) {
        let place = self.pages.get_mut(usize::from(page));
        let Some(place) = place else {
            self.counters.misused += 1;
            return;
        };
        match place {
            Place::Lent(users) if *users > 1 => *users -= 1,
            Place::Lent(_) => {
                *place = Place::Free;
                self.lent -= 1;
                self.free.push(page);
            }
            _ => self.counters.misused += 1,
        }
    }

    /// Gives up the ring, once the backend has closed or the domain was resumed, and ends all grants. Lent pages stay
    /// lent.
    ///
    /// # Errors
    /// [`Held`]: the backend still uses so many pages; see [`Self::tick`].
    pub fn disconnect(&mut self, host: &mut H) -> Result<(), Held> {
        self.ring = None;
        let assembly = core::mem::replace(&mut self.assembly, Assembly::new());
        for piece in &assembly.packet.pieces {
            self.give_back(piece.page);
        }
        self.slots.fill(None);
        self.ready.clear();
        for index in 0..self.pages.len() {
            let Ok(page) = u16::try_from(index) else {
                break;
            };
            if let Some(Place::Posted(grant) | Place::Ready(grant)) = self.pages.get(index).copied()
            {
                if host.end(grant).is_ok() {
                    self.set(page, Place::Free);
                    self.free.push(page);
                } else {
                    self.counters.still_in_use += 1;
                    self.quarantined += 1;
                    self.set(page, Place::Quarantined(grant));
                }
            }
        }
        self.tick(host);
        match self.quarantined {
            0 => Ok(()),
            held => Err(Held(held)),
        }
    }

    /// Tries again to end grants that the backend still used. To be called now and then while [`Self::quarantined`] says
    /// that there are any.
    pub fn tick(&mut self, host: &mut H) {
        if self.quarantined == 0 {
            return;
        }
        for (page, place) in (0..).zip(self.pages.iter_mut()) {
            if let Place::Quarantined(grant) = *place
                && host.end(grant).is_ok()
            {
                *place = Place::Free;
                self.quarantined -= 1;
                self.free.push(page);
            }
        }
    }

    pub(super) fn set(&mut self, page: u16, to: Place<H::Grant>) {
        if let Some(place) = self.pages.get_mut(usize::from(page)) {
            *place = to;
        }
    }
}
