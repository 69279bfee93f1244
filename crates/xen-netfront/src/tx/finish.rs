//! From responses to finished packets.

use xen_abi::netif::{Status, TxResponse};
use xen_front::RingMemory;
use zerocopy::{FromBytes, IntoBytes};

use super::{Fault, Host, Memory, Outcome, Queue};
use crate::grant::Held;

/// A transmit queue asks for an event when this part of what is outstanding is answered: fewer events while much is sent,
/// and the last packet of a burst is answered with the others.
const EVENT_PART: u32 = 4;

impl<M: RingMemory, H: Host> Queue<M, H> {
    /// Takes at most `budget` responses. True: there may be more, and there may be no event for them.
    ///
    /// # Errors
    /// [`Fault`]: the ring is not used any more; what is on it waits for [`Self::disconnect`].
    pub fn poll(&mut self, host: &mut H, budget: u32) -> Result<bool, Fault> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        self.take(host, budget)
            .inspect_err(|fault| self.fault = Some(*fault))
    }

    fn take(&mut self, host: &mut H, budget: u32) -> Result<bool, Fault> {
        for _ in 0..budget {
            let Some(ring) = self.ring.as_mut() else {
                return Ok(false);
            };
            match ring.take()? {
                Some(taken) => {
                    if let Ok((response, _)) = TxResponse::read_from_prefix(taken.words.as_bytes())
                    {
                        self.respond(response, host)?;
                    }
                }
                None if ring.arm_after(ring.outstanding() / EVENT_PART) => {}
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    /// One response: to a request that is on the ring, or to an extra info, which has no id.
    fn respond(&mut self, response: TxResponse, host: &mut H) -> Result<(), Fault> {
        let TxResponse { id, status } = response;
        if status == Status::NULL {
            self.extras = self.extras.checked_sub(1).ok_or(Fault::UnexpectedNull)?;
            return Ok(());
        }
        let outcome = match status {
            Status::OKAY => Outcome::Sent,
            Status::DROPPED => Outcome::Dropped,
            _ => Outcome::Error,
        };
        match self.slots.get(id) {
            Some(slot) if !slot.revoking => {}
            _ => return Err(Fault::UnknownId(id)),
        }
        self.leave(id, outcome, host);
        Ok(())
    }

    /// A slot is off the ring: its page is free again, or its grant is to be ended.
    fn leave(&mut self, id: u16, outcome: Outcome, host: &mut H) {
        let Some(slot) = self.slots.get_mut(id) else {
            return;
        };
        if let Some(record) = self.packets.get_mut(slot.packet) {
            record.outcome = worse(record.outcome, outcome);
        }
        match slot.memory {
            Memory::Own(page) => {
                self.free.push(page);
                self.ended(id);
            }
            Memory::InPlace(grant) if host.end(grant).is_ok() => self.ended(id),
            Memory::InPlace(_) => {
                slot.revoking = true;
                self.revoking += 1;
                self.counters.still_in_use += 1;
            }
        }
    }

    /// A slot holds nothing any more; with the last of them the packet finishes.
    fn ended(&mut self, id: u16) {
        let Some(slot) = self.slots.remove(id) else {
            return;
        };
        let Some(record) = self.packets.get_mut(slot.packet) else {
            return;
        };
        record.outstanding = record.outstanding.saturating_sub(1);
        if record.outstanding != 0 {
            return;
        }
        let Some(record) = self.packets.remove(slot.packet) else {
            return;
        };
        if let Some((cast, frames)) = record.frames {
            match record.outcome {
                Outcome::Sent => self.counters.sent.add_all(cast, frames),
                Outcome::Dropped => self.counters.dropped += 1,
                Outcome::Error => self.counters.errors += 1,
                Outcome::Lost => self.counters.lost += 1,
            }
        }
        // No more packets are taken than there is room for here.
        self.finished.push_back((record.client, record.outcome));
    }

    /// Gives up the ring, once the backend has closed or the domain was resumed, and ends all grants. What was on the
    /// ring is lost.
    ///
    /// # Errors
    /// [`Held`]: the backend still uses so many pages; see [`Self::tick`] and [`Self::abandon`].
    pub fn disconnect(&mut self, host: &mut H) -> Result<(), Held> {
        self.ring = None;
        for id in self.slots.ids() {
            if self.slots.get(id).is_some_and(|slot| !slot.revoking) {
                self.leave(id, Outcome::Lost, host);
            }
        }
        // With no slot left on a ring all own pages are free or stuck.
        for page in self.own.iter_mut().filter(|page| !page.stuck) {
            if let Some(grant) = page.grant {
                if host.end(grant).is_ok() {
                    page.grant = None;
                } else {
                    page.stuck = true;
                    self.stuck += 1;
                    self.counters.still_in_use += 1;
                }
            }
        }
        let own = &self.own;
        self.free
            .retain(|page| own.get(usize::from(*page)).is_some_and(|own| !own.stuck));
        self.tick(host);
        match self.held() {
            0 => Ok(()),
            held => Err(Held(held)),
        }
    }

    /// Tries again to end grants that the backend still used. To be called now and then while [`Self::held`] says that
    /// there are any.
    pub fn tick(&mut self, host: &mut H) {
        if self.revoking != 0 {
            for id in self.slots.ids() {
                let grant = match self.slots.get(id) {
                    Some(slot) if slot.revoking => slot.memory,
                    _ => continue,
                };
                if let Memory::InPlace(grant) = grant
                    && host.end(grant).is_ok()
                {
                    self.revoking -= 1;
                    self.ended(id);
                }
            }
        }
        if self.stuck == 0 {
            return;
        }
        for (page, own) in (0..).zip(self.own.iter_mut()) {
            if let Some(grant) = own.grant
                && own.stuck
                && host.end(grant).is_ok()
            {
                (own.grant, own.stuck) = (None, false);
                self.stuck -= 1;
                self.free.push(page);
            }
        }
    }

    /// Finishes packets whose memory the backend will not let go of, though they are off the ring. Only a trusted backend
    /// was ever shown such memory, and it can only read it; the grants are never used again. For a driver whose time is
    /// up.
    pub fn abandon(&mut self) {
        for id in self.slots.ids() {
            if self.slots.get(id).is_some_and(|slot| slot.revoking) {
                self.revoking -= 1;
                self.abandoned += 1;
                self.ended(id);
            }
        }
    }
}

/// The outcome of a packet is the worst of its slots'.
fn worse(a: Outcome, b: Outcome) -> Outcome {
    let rank = |outcome| match outcome {
        Outcome::Sent => 0,
        Outcome::Dropped => 1,
        Outcome::Error => 2,
        Outcome::Lost => 3,
    };
    if rank(b) > rank(a) { b } else { a }
}
