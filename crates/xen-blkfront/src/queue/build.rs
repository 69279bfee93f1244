//! From transfers to ring requests.

use core::sync::atomic::Ordering;

use xen_abi::blkif::{
    self, DISCARD_SECURE, MAX_INDIRECT_PAGES_PER_REQUEST, MAX_SEGMENTS_PER_REQUEST, Operation,
    RequestDiscard, RequestIndirect,
};
use zerocopy::IntoBytes;

use super::{Kind, Outcome, Pumped, Queue, Request, Segment, Stall, State};
use crate::grant::{Access, Client, Cursor, Host, PAGE_SIZE, Sectors};
use crate::ring::{RingMemory, request as encode};

const SECTOR: u32 = blkif::SECTOR_SIZE;
const DIRECT: u16 = MAX_SEGMENTS_PER_REQUEST as u16;

/// What one step of a transfer came to.
enum Step {
    /// A request is on the ring.
    Pushed,
    /// The transfer needs no further request.
    Complete,
    /// It cannot go on now.
    Stalled(Stall),
    /// It cannot go on at all.
    Broken,
}

/// One end of a segment list being gathered.
struct Gathered<G> {
    direct: [blkif::Segment; MAX_SEGMENTS_PER_REQUEST],
    count: u16,
    first: Option<u16>,
    last: Option<u16>,
    list: Option<(u16, G)>,
    bytes: u32,
}

impl<M: RingMemory, H: Host> Queue<M, H> {
    /// Submits as much as fits, in order.
    pub fn pump(&mut self, host: &mut H) -> Pumped {
        let mut stall = None;
        while let Some(id) = self.next
            && self.fault.is_none()
            && self.ring.is_some()
        {
            match self.step(id, host) {
                Step::Pushed => {}
                Step::Stalled(why) => {
                    stall = Some(why);
                    break;
                }
                Step::Complete => self.submitted(id, Outcome::Okay),
                Step::Broken => self.submitted(id, Outcome::Error),
            }
        }
        let notify = self
            .ring
            .as_mut()
            .is_some_and(crate::ring::FrontRing::publish);
        Pumped { notify, stall }
    }

    /// The transfer has no further request to submit.
    fn submitted(&mut self, id: u16, outcome: Outcome) {
        self.next = self.active.after(&self.transfers, id);
        if let Some(transfer) = self.transfers.get_mut(id) {
            transfer.submitted = true;
            if outcome != Outcome::Okay {
                transfer.outcome = outcome;
            }
        }
        self.settle(id);
    }

    fn step(&mut self, id: u16, host: &mut H) -> Step {
        let Some(transfer) = self.transfers.get(id) else {
            return Step::Complete;
        };
        let (client, kind) = (transfer.client, transfer.effective());
        match kind {
            Kind::Flush if transfer.cursor.element != 0 => Step::Complete,
            Kind::Flush => self.flush(id),
            Kind::Discard => self.discard(id, client, host),
            Kind::Read | Kind::Write | Kind::WriteThrough => {
                if transfer.offset >= transfer.length {
                    return Step::Complete;
                }
                self.data(id, client, kind == Kind::Read, host)
            }
        }
    }

    /// Room on the ring and in the table of requests.
    fn room(&self) -> bool {
        !self.requests.is_full() && self.ring.as_ref().is_some_and(|ring| !ring.is_full())
    }

    /// Puts a request on the ring that has no segments, or whose segments were gathered.
    fn push(
        &mut self,
        id: u16,
        operation: Operation,
        gathered: (Option<u16>, Option<(u16, H::Grant)>),
        to_entry: impl FnOnce(u64) -> [u32; blkif::RING_ENTRY_SIZE / 4],
    ) -> Step {
        let (segments, list) = gathered;
        let request = Request {
            transfer: id,
            operation,
            state: State::InFlight,
            list,
            segments,
        };
        let Ok(slot) = self.requests.insert(request) else {
            return Step::Broken;
        };
        if let Some(ring) = self.ring.as_mut() {
            ring.push(&to_entry(u64::from(slot)));
        }
        if let Some(transfer) = self.transfers.get_mut(id) {
            transfer.outstanding += 1;
        }
        self.counters.requests += 1;
        Step::Pushed
    }

    fn flush(&mut self, id: u16) -> Step {
        let operation = match (self.limits.flush, self.limits.barrier) {
            (true, _) => Operation::FLUSH_DISKCACHE,
            (false, true) => Operation::WRITE_BARRIER,
            // A backend that has neither has no cache that could be flushed.
            (false, false) => return Step::Complete,
        };
        if !self.room() {
            return Step::Stalled(Stall::Busy);
        }
        if let Some(transfer) = self.transfers.get_mut(id) {
            transfer.cursor.element = 1;
        }
        let handle = self.limits.handle;
        self.push(id, operation, (None, None), |id| {
            encode(&direct(
                operation,
                handle,
                id,
                0,
                0,
                [blkif::Segment::default(); _],
            ))
        })
    }

    fn discard(&mut self, id: u16, client: Client, host: &H) -> Step {
        let Some(index) = self.transfers.get(id).map(|t| t.cursor.element) else {
            return Step::Complete;
        };
        let Some(Sectors { first, count }) = host.discard(client, index) else {
            return Step::Complete;
        };
        if count != 0 && !self.room() {
            return Step::Stalled(Stall::Busy);
        }
        if let Some(transfer) = self.transfers.get_mut(id) {
            transfer.cursor.element += 1;
        }
        if count == 0 {
            return Step::Pushed;
        }
        let limits = self.limits;
        self.push(id, Operation::DISCARD, (None, None), |id| {
            encode(&RequestDiscard {
                operation: Operation::DISCARD,
                flag: if limits.secure_discard {
                    DISCARD_SECURE
                } else {
                    0
                },
                handle: limits.handle,
                pad: 0,
                id,
                sector_number: first,
                nr_sectors: count,
            })
        })
    }

    /// Submits the next part of a read or a write.
    fn data(&mut self, id: u16, client: Client, read: bool, host: &mut H) -> Step {
        if !self.room() {
            return Step::Stalled(Stall::Busy);
        }
        let Some((sector, start, length, mut cursor)) = self
            .transfers
            .get(id)
            .map(|t| (t.sector, t.offset, t.length, t.cursor))
        else {
            return Step::Complete;
        };
        let mut gathered = self.begin(length - start, host);
        let stop = loop {
            let offset = start + gathered.bytes;
            if offset >= length || gathered.count >= self.most(&gathered) {
                break None;
            }
            match self.segment(
                client,
                read,
                (offset, length),
                &mut cursor,
                &mut gathered,
                host,
            ) {
                Step::Pushed => {}
                stop => break Some(stop),
            }
        };
        let operation = if read {
            Operation::READ
        } else {
            Operation::WRITE
        };
        match stop {
            Some(Step::Stalled(why)) if gathered.count == 0 => {
                self.abandon(id, operation, gathered, host);
                Step::Stalled(why)
            }
            Some(Step::Broken) => {
                self.abandon(id, operation, gathered, host);
                Step::Broken
            }
            _ => {
                if let Some(transfer) = self.transfers.get_mut(id) {
                    transfer.offset = start + gathered.bytes;
                    transfer.cursor = cursor;
                }
                self.finish_data(
                    id,
                    operation,
                    sector + u64::from(start / SECTOR),
                    gathered,
                    host,
                )
            }
        }
    }

    /// Starts a list of segments; with a page for an indirect one if that many are likely and there is one.
    fn begin(&mut self, bytes: u32, host: &mut H) -> Gathered<H::Grant> {
        let likely = bytes.div_ceil(PAGE_SIZE) > u32::from(DIRECT);
        // One page is left for a segment that needs it: a list that takes the last would wait for itself.
        let list = if likely && self.limits.segments > DIRECT && self.pages.len() > 1 {
            self.own_page(Access::ReadOnly, host)
                .map(|(grant, page)| (page, grant))
        } else {
            None
        };
        Gathered {
            direct: [blkif::Segment::default(); _],
            count: 0,
            first: None,
            last: None,
            list,
            bytes: 0,
        }
    }

    fn most(&self, gathered: &Gathered<H::Grant>) -> u16 {
        if gathered.list.is_some() {
            self.limits.segments
        } else {
            self.limits.segments.min(DIRECT)
        }
    }

    /// An own page, granted.
    fn own_page(&mut self, access: Access, host: &mut H) -> Option<(H::Grant, u16)> {
        let page = self.pages.pop()?;
        match host.grant(host.page_frame(page), access) {
            Some(grant) => Some((grant, page)),
            None => {
                self.pages.push(page);
                None
            }
        }
    }

    /// Adds one segment: a piece of a page of the transfer's, or an own page where that is not made of whole blocks.
    fn segment(
        &mut self,
        client: Client,
        read: bool,
        (offset, length): (u32, u32),
        cursor: &mut Cursor,
        gathered: &mut Gathered<H::Grant>,
        host: &mut H,
    ) -> Step {
        if self.segments.is_full() {
            return Step::Stalled(Stall::Busy);
        }
        let access = if read {
            Access::ReadWrite
        } else {
            Access::ReadOnly
        };
        let Some(fragment) = nonempty(client, cursor, host) else {
            return Step::Broken;
        };
        let in_page = (fragment.address % u64::from(PAGE_SIZE)) as u32;
        let block = self.limits.block.clamp(SECTOR, PAGE_SIZE);
        let run = fragment
            .length
            .min(PAGE_SIZE - in_page)
            .min(length - offset)
            / block
            * block;
        let aligned = in_page.is_multiple_of(block) && run != 0 && !self.limits.bounce_all;
        let bytes = if aligned {
            run
        } else {
            PAGE_SIZE.min(length - offset)
        };
        let mut after = *cursor;
        if !advance(client, &mut after, bytes, host) {
            return Step::Broken;
        }
        let (grant, page, first) = if aligned {
            let frame = fragment.address / u64::from(PAGE_SIZE);
            let Some(grant) = host.grant(frame, access) else {
                return Step::Stalled(Stall::Grants);
            };
            (grant, None, in_page / SECTOR)
        } else {
            if self.pages.is_empty() {
                return Step::Stalled(Stall::Busy);
            }
            let Some((grant, page)) = self.own_page(access, host) else {
                return Step::Stalled(Stall::Grants);
            };
            self.counters.bounced += 1;
            if !read && !host.copy_in(client, offset, page, bytes) {
                self.release_page(grant, page, host);
                return Step::Broken;
            }
            (grant, Some(page), 0)
        };
        *cursor = after;
        let entry = blkif::Segment {
            gref: host.reference(grant),
            first_sect: first as u8,
            last_sect: (first + bytes / SECTOR - 1) as u8,
            pad: 0,
        };
        let segment = Segment {
            grant,
            page,
            offset,
            length: bytes,
            next: None,
        };
        self.link(segment, entry, gathered, host);
        gathered.bytes += bytes;
        Step::Pushed
    }

    /// Puts a segment at the end of the list being gathered.
    fn link(
        &mut self,
        segment: Segment<H::Grant>,
        entry: blkif::Segment,
        gathered: &mut Gathered<H::Grant>,
        host: &H,
    ) {
        let Ok(slot) = self.segments.insert(segment) else {
            return;
        };
        match gathered.last.and_then(|last| self.segments.get_mut(last)) {
            Some(last) => last.next = Some(slot),
            None => gathered.first = Some(slot),
        }
        gathered.last = Some(slot);
        if let Some(direct) = gathered.direct.get_mut(usize::from(gathered.count)) {
            *direct = entry;
        }
        if let Some((page, _)) = &gathered.list {
            let at = usize::from(gathered.count) * 2;
            for (i, bytes) in entry.as_bytes().chunks_exact(4).enumerate() {
                if let Some(word) = host.page(*page).get(at + i) {
                    word.store(
                        bytes.try_into().map_or(0, u32::from_le_bytes),
                        Ordering::Relaxed,
                    );
                }
            }
        }
        gathered.count += 1;
    }
}

impl<M: RingMemory, H: Host> Queue<M, H> {
    /// Puts the gathered segments on the ring.
    fn finish_data(
        &mut self,
        id: u16,
        operation: Operation,
        sector: u64,
        gathered: Gathered<H::Grant>,
        host: &mut H,
    ) -> Step {
        let (handle, count) = (self.limits.handle, gathered.count);
        let (list, first) = (gathered.list, gathered.first);
        if count <= DIRECT {
            if let Some((page, grant)) = list {
                self.release_page(grant, page, host);
            }
            return self.push(id, operation, (first, None), |id| {
                encode(&direct(
                    operation,
                    handle,
                    id,
                    sector,
                    count as u8,
                    gathered.direct,
                ))
            });
        }
        let Some((page, grant)) = list else {
            return Step::Broken;
        };
        let mut indirect_grefs = [0; MAX_INDIRECT_PAGES_PER_REQUEST];
        indirect_grefs[0] = host.reference(grant);
        self.counters.indirect += 1;
        self.push(id, operation, (first, Some((page, grant))), |id| {
            encode(&RequestIndirect {
                operation: Operation::INDIRECT,
                indirect_op: operation,
                nr_segments: count,
                pad0: 0,
                id,
                sector_number: sector,
                handle,
                pad1: 0,
                indirect_grefs,
                pad2: 0,
            })
        })
    }

    /// Takes back what was gathered for a request that is not to be sent.
    fn abandon(
        &mut self,
        id: u16,
        operation: Operation,
        gathered: Gathered<H::Grant>,
        host: &mut H,
    ) {
        if gathered.first.is_none() {
            if let Some((page, grant)) = gathered.list {
                self.release_page(grant, page, host);
            }
            return;
        }
        let request = Request {
            transfer: id,
            operation,
            state: State::Revoking(Some(Outcome::Error)),
            list: gathered.list,
            segments: gathered.first,
        };
        if let Ok(slot) = self.requests.insert(request) {
            if let Some(transfer) = self.transfers.get_mut(id) {
                transfer.outstanding += 1;
            }
            self.revoke(slot, host);
        }
    }
}

/// The fragment at a position that is not at the end of an element.
fn nonempty<H: Host>(
    client: Client,
    cursor: &mut Cursor,
    host: &H,
) -> Option<crate::grant::Fragment> {
    loop {
        let fragment = host.fragment(client, *cursor)?;
        if fragment.length != 0 {
            return Some(fragment);
        }
        *cursor = Cursor {
            element: cursor.element.checked_add(1)?,
            offset: 0,
        };
    }
}

/// Moves a position on by `bytes`. False: the list ends before.
fn advance<H: Host>(client: Client, cursor: &mut Cursor, mut bytes: u32, host: &H) -> bool {
    while bytes != 0 {
        let Some(fragment) = nonempty(client, cursor, host) else {
            return false;
        };
        let step = fragment.length.min(bytes);
        cursor.offset += step;
        bytes -= step;
    }
    true
}

fn direct(
    operation: Operation,
    handle: u16,
    id: u64,
    sector_number: u64,
    nr_segments: u8,
    seg: [blkif::Segment; MAX_SEGMENTS_PER_REQUEST],
) -> blkif::Request {
    blkif::Request {
        operation,
        nr_segments,
        handle,
        pad: 0,
        id,
        sector_number,
        seg,
    }
}
