//! From responses to finished transfers.

use xen_abi::blkif::{Operation, Response, Status};

use super::{Fault, Kind, Outcome, Queue, Stage, State};
use crate::grant::Host;
use crate::ring::RingMemory;

impl<M: RingMemory, H: Host> Queue<M, H> {
    /// Takes at most `budget` responses. True: there may be more, and there may be no event for them.
    ///
    /// # Errors
    /// [`Fault`]: the ring is not used any more; what is on it waits for [`Self::disconnect`].
    pub fn poll(&mut self, host: &mut H, budget: u32) -> Result<bool, Fault> {
        match self.take(host, budget) {
            Ok(more) => Ok(more),
            Err(fault) => {
                self.fault = Some(fault);
                Err(fault)
            }
        }
    }

    fn take(&mut self, host: &mut H, budget: u32) -> Result<bool, Fault> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        for _ in 0..budget {
            let Some(ring) = self.ring.as_mut() else {
                return Ok(false);
            };
            match ring.take()? {
                Some(taken) => {
                    if let Some(response) = crate::ring::response(&taken) {
                        self.respond(response, host)?;
                    }
                }
                None if ring.arm() => {}
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    /// One response: it must be to a request that is on the ring, and say the same operation.
    fn respond(&mut self, response: Response, host: &mut H) -> Result<(), Fault> {
        self.counters.responses += 1;
        let unknown = Fault::UnknownId(response.id);
        let id = u16::try_from(response.id).map_err(|_| unknown)?;
        let request = self.requests.get_mut(id).ok_or(unknown)?;
        if request.state != State::InFlight {
            return Err(unknown);
        }
        let indirect = request.list.is_some() && response.operation == Operation::INDIRECT;
        if response.operation != request.operation && !indirect {
            let (operation, expected) = (response.operation, request.operation);
            return Err(Fault::WrongOperation {
                id,
                operation,
                expected,
            });
        }
        let outcome = match response.status {
            Status::OKAY => Outcome::Okay,
            Status::EOPNOTSUPP => Outcome::Unsupported,
            _ => Outcome::Error,
        };
        request.state = State::Revoking(Some(outcome));
        self.revoke(id, host);
        Ok(())
    }

    /// Tries again to end grants that the backend still used. To be called now and then while [`Self::in_flight`] or
    /// [`Self::quarantined`] says that there are any.
    pub fn tick(&mut self, host: &mut H) {
        for id in self.requests.ids() {
            if self
                .requests
                .get(id)
                .is_some_and(|r| matches!(r.state, State::Revoking(_)))
            {
                self.revoke(id, host);
            }
        }
        let mut at = 0;
        while let Some((grant, page)) = self.quarantine.get(at).copied() {
            if host.end(grant).is_ok() {
                self.quarantine.swap_remove(at);
                self.pages.push(page);
            } else {
                at += 1;
            }
        }
    }

    /// Ends the grants of a request that is off the ring, and the request with the last of them. A page of the
    /// transfer's own that the backend still uses keeps the request, and with it the transfer.
    pub(super) fn revoke(&mut self, id: u16, host: &mut H) {
        let Some((transfer, state, read)) = self
            .requests
            .get(id)
            .map(|r| (r.transfer, r.state, r.operation == Operation::READ))
        else {
            return;
        };
        let arrived = read && state == State::Revoking(Some(Outcome::Okay));
        let mut copied = true;
        while let Some(slot) = self.requests.get(id).and_then(|r| r.segments) {
            let Some((grant, page, offset, length, next)) = self
                .segments
                .get(slot)
                .map(|s| (s.grant, s.page, s.offset, s.length, s.next))
            else {
                break;
            };
            match page {
                None => {
                    if host.end(grant).is_err() {
                        self.counters.still_in_use += 1;
                        return;
                    }
                }
                Some(page) => {
                    // Ended first, where possible: then the backend cannot change what is copied.
                    let free = host.end(grant).is_ok();
                    let client = self.transfers.get(transfer).map(|t| t.client);
                    if arrived {
                        copied &= client.is_some_and(|c| host.copy_out(c, offset, page, length));
                    }
                    if free {
                        self.pages.push(page);
                    } else {
                        self.counters.still_in_use += 1;
                        self.quarantine.push((grant, page));
                    }
                }
            }
            self.segments.remove(slot);
            if let Some(request) = self.requests.get_mut(id) {
                request.segments = next;
            }
        }
        if !copied && let Some(t) = self.transfers.get_mut(transfer) {
            t.outcome = Outcome::Error;
        }
        if let Some(request) = self.requests.remove(id) {
            if let Some((page, grant)) = request.list {
                self.release_page(grant, page, host);
            }
            self.ended(transfer, state);
        }
    }

    /// Ends the grant of an own page and gives the page back, or sets it aside.
    pub(super) fn release_page(&mut self, grant: H::Grant, page: u16, host: &mut H) {
        if host.end(grant).is_ok() {
            self.pages.push(page);
        } else {
            self.counters.still_in_use += 1;
            self.quarantine.push((grant, page));
        }
    }

    /// A request has ended: the transfer's outcome is the worst of its requests'.
    fn ended(&mut self, id: u16, state: State) {
        let Some(transfer) = self.transfers.get_mut(id) else {
            return;
        };
        transfer.outstanding = transfer.outstanding.saturating_sub(1);
        if let State::Revoking(Some(outcome)) = state
            && outcome != Outcome::Okay
            && transfer.outcome != Outcome::Error
        {
            transfer.outcome = outcome;
        }
        // A lost request is submitted again: the transfer does not finish by its end.
        if state != State::Revoking(None) {
            self.settle(id);
        }
    }

    /// Finishes a transfer all of whose requests have ended, or moves it on.
    pub(super) fn settle(&mut self, id: u16) {
        let Some(transfer) = self.transfers.get(id) else {
            return;
        };
        if !transfer.submitted || transfer.outstanding != 0 || self.ring.is_none() {
            return;
        }
        match (transfer.effective(), transfer.outcome) {
            (Kind::WriteThrough, Outcome::Okay) if self.limits.flush || self.limits.barrier => {
                self.again(id, Stage::Flushing);
            }
            (Kind::Flush, Outcome::Unsupported) => self.flush_unsupported(id),
            (Kind::Read | Kind::Write | Kind::WriteThrough, Outcome::Unsupported) => {
                if let Some(transfer) = self.transfers.get_mut(id) {
                    transfer.outcome = Outcome::Error;
                }
                self.finish(id);
            }
            _ => self.finish(id),
        }
    }

    /// The backend offered a way to flush and then refused it: the other way, or none, as if it had not been offered.
    fn flush_unsupported(&mut self, id: u16) {
        if self.limits.flush {
            self.limits.flush = false;
        } else {
            self.limits.barrier = false;
        }
        let stage = self.transfers.get(id).map_or(Stage::Main, |t| t.stage);
        self.again(id, stage);
    }

    /// Puts a transfer behind all others, at the start of a stage.
    fn again(&mut self, id: u16, stage: Stage) {
        self.active.remove(&mut self.transfers, id);
        if let Some(transfer) = self.transfers.get_mut(id) {
            transfer.stage = stage;
            transfer.restart();
        }
        self.append(id);
    }

    pub(super) fn finish(&mut self, id: u16) {
        if self.next == Some(id) {
            self.next = self.active.after(&self.transfers, id);
        }
        self.active.remove(&mut self.transfers, id);
        self.finished.push(&mut self.transfers, id);
    }
}
