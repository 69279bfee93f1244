//! Plain memory, and a backend that also lies.

use core::sync::atomic::{AtomicU32, Ordering};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::vec;
use std::vec::Vec;

use xen_abi::blkif::{
    self, Operation, RING_ENTRY_SIZE, RequestDiscard, RequestIndirect, Response, Status,
};
use zerocopy::{FromBytes, IntoBytes};

use crate::grant::{Access, Client, Cursor, Fragment, Host, PAGE_SIZE, Sectors, StillInUse};
use crate::ring::RingMemory;

const PAGE: usize = PAGE_SIZE as usize;
/// Frames from here on are the queue's own pages.
const OWN: u64 = 1 << 20;

fn words(count: usize) -> Arc<[AtomicU32]> {
    (0..count).map(|_| AtomicU32::new(0)).collect()
}

/// A ring's memory that both ends hold.
#[derive(Clone, Debug)]
pub(crate) struct FlatMemory(Arc<[AtomicU32]>);

impl FlatMemory {
    pub(crate) fn new(pages: usize) -> Self {
        Self(words(pages * PAGE / 4))
    }
}

impl RingMemory for FlatMemory {
    fn words(&self) -> &[AtomicU32] {
        &self.0
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    frame: u64,
    access: Access,
    mapped: bool,
    live: bool,
}

/// A guest's memory and grant table.
#[derive(Debug)]
pub(crate) struct Guest {
    pub(crate) memory: Vec<u8>,
    own: Vec<Arc<[AtomicU32]>>,
    pub(crate) grants: Vec<Entry>,
    pub(crate) lists: BTreeMap<usize, Vec<Fragment>>,
    pub(crate) extents: BTreeMap<usize, Vec<Sectors>>,
    /// Grants that may be live at once.
    pub(crate) limit: usize,
    /// Copies between transfers and own pages fail.
    pub(crate) no_copy: bool,
}

impl Guest {
    pub(crate) fn new(pages: usize, own: usize) -> Self {
        Self {
            memory: vec![0; pages * PAGE],
            own: (0..own).map(|_| words(PAGE / 4)).collect(),
            grants: Vec::new(),
            lists: BTreeMap::new(),
            extents: BTreeMap::new(),
            limit: usize::MAX,
            no_copy: false,
        }
    }

    pub(crate) fn live(&self) -> usize {
        self.grants.iter().filter(|entry| entry.live).count()
    }

    /// Addresses of a transfer's bytes, one by one.
    pub(crate) fn addresses(&self, client: usize) -> Vec<usize> {
        self.lists[&client]
            .iter()
            .flat_map(|f| (f.address as usize)..(f.address as usize + f.length as usize))
            .collect()
    }

    fn frame_read(&self, frame: u64, at: usize) -> u8 {
        if frame >= OWN {
            let word = self.own[(frame - OWN) as usize][at / 4].load(Ordering::Relaxed);
            word.to_le_bytes()[at % 4]
        } else {
            self.memory[frame as usize * PAGE + at]
        }
    }

    fn frame_write(&mut self, frame: u64, at: usize, value: u8) {
        if frame >= OWN {
            let word = &self.own[(frame - OWN) as usize][at / 4];
            let mut bytes = word.load(Ordering::Relaxed).to_le_bytes();
            bytes[at % 4] = value;
            word.store(u32::from_le_bytes(bytes), Ordering::Relaxed);
        } else {
            self.memory[frame as usize * PAGE + at] = value;
        }
    }
}

impl Host for Guest {
    type Grant = usize;

    fn grant(&mut self, frame: u64, access: Access) -> Option<usize> {
        if self.live() >= self.limit {
            return None;
        }
        self.grants.push(Entry {
            frame,
            access,
            mapped: false,
            live: true,
        });
        Some(self.grants.len() - 1)
    }

    fn reference(&self, grant: usize) -> u32 {
        grant as u32 + 8
    }

    fn end(&mut self, grant: usize) -> Result<(), StillInUse> {
        let entry = &mut self.grants[grant];
        assert!(entry.live, "a grant is ended twice");
        if entry.mapped {
            return Err(StillInUse);
        }
        entry.live = false;
        Ok(())
    }

    fn page_frame(&self, page: u16) -> u64 {
        OWN + u64::from(page)
    }

    fn page(&self, page: u16) -> &[AtomicU32] {
        &self.own[usize::from(page)]
    }

    fn fragment(&self, client: Client, at: Cursor) -> Option<Fragment> {
        let fragment = self.lists.get(&client.0)?.get(at.element as usize)?;
        Some(Fragment {
            address: fragment.address + u64::from(at.offset),
            length: fragment.length - at.offset,
        })
    }

    fn discard(&self, client: Client, index: u32) -> Option<Sectors> {
        self.extents.get(&client.0)?.get(index as usize).copied()
    }

    fn copy_in(&mut self, client: Client, offset: u32, page: u16, length: u32) -> bool {
        let addresses = self.addresses(client.0);
        for i in 0..length as usize {
            let byte = self.memory[addresses[offset as usize + i]];
            self.frame_write(OWN + u64::from(page), i, byte);
        }
        !self.no_copy
    }

    fn copy_out(&mut self, client: Client, offset: u32, page: u16, length: u32) -> bool {
        let addresses = self.addresses(client.0);
        for i in 0..length as usize {
            self.memory[addresses[offset as usize + i]] = self.frame_read(OWN + u64::from(page), i);
        }
        !self.no_copy
    }
}

/// A request as the backend took it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) operation: Operation,
    pub(crate) id: u64,
    pub(crate) sector: u64,
    pub(crate) count: u64,
    pub(crate) segments: Vec<blkif::Segment>,
    pub(crate) indirect: bool,
    pub(crate) grants: Vec<usize>,
}

/// A backend with a disk.
#[derive(Debug)]
pub(crate) struct Backend {
    pub(crate) ring: FlatMemory,
    pub(crate) disk: Vec<u8>,
    entries: u32,
    req_cons: u32,
    pub(crate) rsp_prod: u32,
    /// Bytes of a block; a request with a segment of any other size is a test's failure, as blkback refuses it.
    pub(crate) block: usize,
    /// Taken and not answered.
    pub(crate) pending: Vec<Taken>,
    /// Every operation that was carried out, in order.
    pub(crate) done: Vec<(Operation, u64)>,
}

impl Backend {
    pub(crate) fn new(ring: FlatMemory, disk: Vec<u8>) -> Self {
        let entries = xen_abi::ring::entries(ring.words().len() * 4, RING_ENTRY_SIZE);
        Self {
            ring,
            disk,
            entries,
            req_cons: 0,
            rsp_prod: 0,
            block: 512,
            pending: Vec::new(),
            done: Vec::new(),
        }
    }

    fn slot(&self, index: u32) -> usize {
        16 + (index % self.entries) as usize * (RING_ENTRY_SIZE / 4)
    }

    /// Takes all new requests and maps what they grant.
    pub(crate) fn take(&mut self, guest: &mut Guest) {
        let prod = self.ring.words()[0].load(Ordering::Acquire);
        while self.req_cons != prod {
            let at = self.slot(self.req_cons);
            let bytes: Vec<u8> = self.ring.words()[at..at + RING_ENTRY_SIZE / 4]
                .iter()
                .flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes())
                .collect();
            let taken = self.decode(&bytes, guest);
            self.pending.push(taken);
            self.req_cons = self.req_cons.wrapping_add(1);
        }
        self.ring.words()[1].store(self.req_cons.wrapping_add(1), Ordering::Release);
    }

    fn decode(&self, bytes: &[u8], guest: &mut Guest) -> Taken {
        let direct = blkif::Request::read_from_bytes(bytes).unwrap();
        let mut taken = Taken {
            operation: direct.operation,
            id: direct.id,
            sector: direct.sector_number,
            count: 0,
            segments: direct.seg[..usize::from(direct.nr_segments).min(11)].to_vec(),
            indirect: false,
            grants: Vec::new(),
        };
        match direct.operation {
            Operation::DISCARD => {
                let discard = RequestDiscard::read_from_bytes(&bytes[..32]).unwrap();
                taken.count = discard.nr_sectors;
                taken.segments.clear();
            }
            Operation::INDIRECT => {
                let indirect = RequestIndirect::read_from_bytes(&bytes[..64]).unwrap();
                taken.operation = indirect.indirect_op;
                taken.indirect = true;
                let list = Self::map(
                    guest,
                    indirect.indirect_grefs[0],
                    Access::ReadOnly,
                    &mut taken,
                );
                taken.segments = (0..usize::from(indirect.nr_segments))
                    .map(|i| {
                        let raw: Vec<u8> =
                            (0..8).map(|b| guest.frame_read(list, i * 8 + b)).collect();
                        blkif::Segment::read_from_bytes(&raw).unwrap()
                    })
                    .collect();
            }
            _ => assert!(direct.nr_segments <= 11),
        }
        let access = match taken.operation {
            Operation::READ => Access::ReadWrite,
            _ => Access::ReadOnly,
        };
        for i in 0..taken.segments.len() {
            let reference = taken.segments[i].gref;
            Self::map(guest, reference, access, &mut taken);
        }
        taken
    }

    fn map(guest: &mut Guest, reference: u32, access: Access, taken: &mut Taken) -> u64 {
        let entry = &mut guest.grants[reference as usize - 8];
        assert!(entry.live, "reference {reference} is granted");
        assert_eq!(entry.access, access, "no more access than is needed");
        entry.mapped = true;
        taken.grants.push(reference as usize - 8);
        entry.frame
    }

    pub(crate) fn unmap(guest: &mut Guest, taken: &Taken) {
        for grant in &taken.grants {
            guest.grants[*grant].mapped = false;
        }
    }

    /// Carries a request out.
    pub(crate) fn execute(&mut self, guest: &mut Guest, taken: &Taken) {
        self.done.push((taken.operation, taken.sector));
        if taken.operation == Operation::DISCARD {
            let (from, count) = (taken.sector as usize * 512, taken.count as usize * 512);
            self.disk[from..from + count].fill(0);
            return;
        }
        let mut at = taken.sector as usize * 512;
        for segment in &taken.segments {
            assert!(segment.first_sect <= segment.last_sect && segment.last_sect < 8);
            let frame = guest.grants[segment.gref as usize - 8].frame;
            let bytes =
                usize::from(segment.first_sect) * 512..usize::from(segment.last_sect + 1) * 512;
            assert!(bytes.start.is_multiple_of(self.block) && bytes.end.is_multiple_of(self.block));
            for byte in bytes {
                if taken.operation == Operation::READ {
                    guest.frame_write(frame, byte, self.disk[at]);
                } else {
                    self.disk[at] = guest.frame_read(frame, byte);
                }
                at += 1;
            }
        }
    }

    /// Puts a response on the ring without showing it.
    pub(crate) fn write(&mut self, id: u64, operation: Operation, status: Status) {
        let response = Response {
            id,
            operation,
            pad0: 0,
            status,
            pad1: 0,
        };
        let at = self.slot(self.rsp_prod);
        for (i, bytes) in response.as_bytes().chunks_exact(4).enumerate() {
            let word = u32::from_le_bytes(bytes.try_into().unwrap());
            self.ring.words()[at + i].store(word, Ordering::Relaxed);
        }
        self.rsp_prod = self.rsp_prod.wrapping_add(1);
    }

    pub(crate) fn show(&self) {
        self.ring.words()[2].store(self.rsp_prod, Ordering::Release);
    }

    /// Answers the `index`-th pending request well.
    pub(crate) fn answer(&mut self, guest: &mut Guest, index: usize) {
        let taken = self.pending.remove(index);
        self.execute(guest, &taken);
        Self::unmap(guest, &taken);
        self.write(taken.id, taken.operation, Status::OKAY);
        self.show();
    }

    /// Answers the `index`-th pending request without doing it.
    pub(crate) fn refuse(&mut self, guest: &mut Guest, index: usize, status: Status) {
        let taken = self.pending.remove(index);
        Self::unmap(guest, &taken);
        self.write(taken.id, taken.operation, status);
        self.show();
    }

    /// Takes and answers all there is.
    pub(crate) fn serve(&mut self, guest: &mut Guest) {
        self.take(guest);
        while !self.pending.is_empty() {
            self.answer(guest, 0);
        }
    }
}

impl Backend {
    /// Lets go of everything, as a backend does that closes.
    pub(crate) fn unmap_all(&mut self, guest: &mut Guest) {
        for taken in core::mem::take(&mut self.pending) {
            Self::unmap(guest, &taken);
        }
    }

    /// Takes up a new ring.
    pub(crate) fn replace(&mut self, ring: FlatMemory) {
        *self = Self {
            done: core::mem::take(&mut self.done),
            ..Self::new(ring, core::mem::take(&mut self.disk))
        };
    }
}
