//! Plain memory and a network backend, which also lies.

use core::sync::atomic::{AtomicU32, Ordering};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::vec;
use std::vec::Vec;

use xen_abi::netif::{
    EXTRA_FLAG_MORE, ExtraGso, ExtraHash, ExtraInfo, ExtraMcast, ExtraType, GsoType, RxFlags,
    RxRequest, RxResponse, Status, TxFlags, TxRequest, TxResponse,
};
use xen_front::RingMemory;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::grant::{Client, Fragment, PAGE_SIZE, StillInUse};
use crate::{rx, tx};

pub(crate) const PAGE: usize = PAGE_SIZE as usize;
/// Frames from here on are a queue's own pages.
const OWN: u64 = 1 << 20;
/// Words of a ring's head, and its indexes.
const HEAD: usize = 16;
const REQ_PROD: usize = 0;
const REQ_EVENT: usize = 1;
pub(crate) const RSP_PROD: usize = 2;

/// A ring's memory that both ends hold.
#[derive(Clone, Debug)]
pub(crate) struct FlatMemory(Arc<[AtomicU32]>);

impl FlatMemory {
    pub(crate) fn new(pages: usize) -> Self {
        Self((0..pages * PAGE / 4).map(|_| AtomicU32::new(0)).collect())
    }
}

impl RingMemory for FlatMemory {
    fn words(&self) -> &[AtomicU32] {
        &self.0
    }
}

/// The backend's end of a ring whose entries have `WORDS` words.
#[derive(Debug)]
pub(crate) struct BackRing<const WORDS: usize> {
    pub(crate) memory: FlatMemory,
    req_cons: u32,
    pub(crate) rsp_prod: u32,
}

impl<const WORDS: usize> BackRing<WORDS> {
    fn new(memory: FlatMemory) -> Self {
        Self {
            memory,
            req_cons: 0,
            rsp_prod: 0,
        }
    }

    fn entry(&self, index: u32) -> &[AtomicU32] {
        let at = HEAD + (index % 256) as usize * WORDS;
        &self.memory.words()[at..at + WORDS]
    }

    /// The next request's words, and its slot.
    fn take(&mut self) -> Option<(u32, [u32; WORDS])> {
        if self.memory.words()[REQ_PROD].load(Ordering::Acquire) == self.req_cons {
            // As a backend that goes to sleep.
            self.memory.words()[REQ_EVENT].store(self.req_cons.wrapping_add(1), Ordering::Relaxed);
            return None;
        }
        let index = self.req_cons;
        self.req_cons = index.wrapping_add(1);
        let words = core::array::from_fn(|i| self.entry(index)[i].load(Ordering::Relaxed));
        Some((index % 256, words))
    }

    /// Writes the next response, without showing it.
    pub(crate) fn write(&mut self, item: &(impl IntoBytes + Immutable)) {
        for (word, bytes) in self
            .entry(self.rsp_prod)
            .iter()
            .zip(item.as_bytes().chunks_exact(4))
        {
            let value = u32::from_le_bytes(bytes.try_into().unwrap());
            word.store(value, Ordering::Relaxed);
        }
        self.rsp_prod = self.rsp_prod.wrapping_add(1);
    }

    /// Shows all responses.
    pub(crate) fn show(&mut self) {
        self.memory.words()[RSP_PROD].store(self.rsp_prod, Ordering::Release);
    }
}

/// A grant in the model's table; a grant is its index, and so is its reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    frame: u64,
    live: bool,
    mapped: bool,
}

#[derive(Debug)]
pub(crate) struct Grants {
    entries: Vec<Entry>,
    /// Grants that may be live at once.
    pub(crate) limit: usize,
    /// Grants that were made so far.
    pub(crate) made: usize,
}

impl Grants {
    fn new() -> Self {
        Self {
            entries: Vec::new(),
            limit: usize::MAX,
            made: 0,
        }
    }

    pub(crate) fn live(&self) -> usize {
        self.entries.iter().filter(|e| e.live).count()
    }

    fn grant(&mut self, frame: u64) -> Option<usize> {
        if self.live() >= self.limit {
            return None;
        }
        let entry = Entry {
            frame,
            live: true,
            mapped: false,
        };
        self.made += 1;
        match self.entries.iter().position(|e| !e.live) {
            Some(free) => {
                self.entries[free] = entry;
                Some(free)
            }
            None => {
                self.entries.push(entry);
                Some(self.entries.len() - 1)
            }
        }
    }

    fn end(&mut self, grant: usize) -> Result<(), StillInUse> {
        let entry = &mut self.entries[grant];
        assert!(entry.live, "grant {grant} was ended twice");
        if entry.mapped {
            return Err(StillInUse);
        }
        entry.live = false;
        Ok(())
    }

    /// The frame of a reference that the backend was told.
    fn frame(&self, reference: u32) -> u64 {
        let entry = self.entries[reference as usize];
        assert!(
            entry.live,
            "the backend was told of a grant that is not one"
        );
        entry.frame
    }

    pub(crate) fn is_granted(&self, frame: u64) -> bool {
        self.entries.iter().any(|e| e.live && e.frame == frame)
    }

    fn map(&mut self, reference: u32, mapped: bool) {
        self.entries[reference as usize].mapped = mapped;
    }

    pub(crate) fn map_all(&mut self, mapped: bool) {
        for entry in self.entries.iter_mut().filter(|e| e.live) {
            entry.mapped = mapped;
        }
    }
}

/// A guest that sends.
#[derive(Debug)]
pub(crate) struct Sender {
    pub(crate) memory: Vec<u8>,
    own: Vec<Vec<u8>>,
    pub(crate) grants: Grants,
    /// Where the bytes of each packet lie.
    pub(crate) packets: BTreeMap<usize, Vec<(u64, u32)>>,
    /// Copies fail.
    pub(crate) no_copy: bool,
}

impl Sender {
    pub(crate) fn new(pages: usize, own: u16) -> Self {
        Self {
            memory: vec![0; pages * PAGE],
            // As a system leaves memory.
            own: vec![vec![0xDB; PAGE]; usize::from(own)],
            grants: Grants::new(),
            packets: BTreeMap::new(),
            no_copy: false,
        }
    }

    /// The bytes of a packet.
    pub(crate) fn packet(&self, client: usize) -> Vec<u8> {
        self.packets[&client]
            .iter()
            .flat_map(|(at, length)| self.memory[*at as usize..][..*length as usize].to_vec())
            .collect()
    }

    fn frame(&self, frame: u64) -> &[u8] {
        if frame >= OWN {
            &self.own[(frame - OWN) as usize]
        } else {
            &self.memory[frame as usize * PAGE..][..PAGE]
        }
    }
}

impl tx::Host for Sender {
    type Grant = usize;

    fn grant(&mut self, frame: u64) -> Option<usize> {
        self.grants.grant(frame)
    }

    fn reference(&self, grant: usize) -> u32 {
        grant as u32
    }

    fn end(&mut self, grant: usize) -> Result<(), StillInUse> {
        self.grants.end(grant)
    }

    fn page_frame(&self, page: u16) -> u64 {
        OWN + u64::from(page)
    }

    fn page(&mut self, page: u16) -> &mut [u8] {
        &mut self.own[usize::from(page)]
    }

    fn fragment(&self, client: Client, offset: u32) -> Option<Fragment> {
        let mut at = 0;
        for (address, length) in self.packets.get(&client.0)? {
            if offset < at + length {
                return Some(Fragment {
                    address: address + u64::from(offset - at),
                    length: at + length - offset,
                });
            }
            at += length;
        }
        None
    }

    fn copy_in(&mut self, client: Client, offset: u32, page: u16, at: u32, length: u32) -> bool {
        if self.no_copy {
            return false;
        }
        let packet = self.packet(client.0);
        let Some(from) = packet.get(offset as usize..(offset + length) as usize) else {
            return false;
        };
        self.own[usize::from(page)][at as usize..][..from.len()].copy_from_slice(from);
        true
    }
}

/// A packet that a backend took.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Received {
    pub(crate) frame: Vec<u8>,
    pub(crate) flags: TxFlags,
    pub(crate) gso: Option<(GsoType, u16)>,
    pub(crate) multicast: Option<(ExtraType, [u8; 6])>,
    pub(crate) extras: u32,
    /// Ids and references of the slots, in order.
    pub(crate) slots: Vec<(u16, u32)>,
    /// Bytes of its pages that are not the packet's, other than zeroes.
    pub(crate) foreign: usize,
}

/// A backend that takes what a guest sends.
#[derive(Debug)]
pub(crate) struct TxBackend {
    pub(crate) ring: BackRing<3>,
    pub(crate) pending: VecDeque<Received>,
    /// What was taken, in order.
    pub(crate) frames: Vec<Vec<u8>>,
    /// Map pages, as netback does, until they are answered.
    pub(crate) maps: bool,
}

impl TxBackend {
    pub(crate) fn new(memory: FlatMemory) -> Self {
        Self {
            ring: BackRing::new(memory),
            pending: VecDeque::new(),
            frames: Vec::new(),
            maps: true,
        }
    }

    /// Takes all packets there are, and checks that they are as `io/netif.h` has them.
    pub(crate) fn take(&mut self, guest: &mut Sender) {
        while let Some((_, words)) = self.ring.take() {
            let first: TxRequest = zerocopy::transmute!(words);
            let mut received = Received {
                frame: Vec::new(),
                flags: TxFlags::from_bits(first.flags).unwrap(),
                gso: None,
                multicast: None,
                extras: 0,
                slots: vec![(first.id, first.gref)],
                foreign: 0,
            };
            if received.flags.contains(TxFlags::EXTRA_INFO) {
                self.extras(&mut received);
            }
            let mut requests = vec![first];
            while TxFlags::from_bits(requests.last().unwrap().flags)
                .unwrap()
                .contains(TxFlags::MORE_DATA)
            {
                let (_, words) = self.ring.take().expect("a packet without an end");
                let next: TxRequest = zerocopy::transmute!(words);
                assert!(next.size != 0);
                received.slots.push((next.id, next.gref));
                requests.push(next);
            }
            assert!(requests.len() <= tx::PACKET_SLOTS);
            let rest: u16 = requests[1..].iter().map(|r| r.size).sum();
            requests[0].size -= rest;
            for request in &requests {
                let (offset, size) = (usize::from(request.offset), usize::from(request.size));
                assert!(offset + size <= PAGE, "a piece beyond its page");
                let page = guest.frame(guest.grants.frame(request.gref));
                received.frame.extend(&page[offset..offset + size]);
                let others = page[..offset].iter().chain(&page[offset + size..]);
                received.foreign += others.filter(|b| **b != 0).count();
                if self.maps {
                    guest.grants.map(request.gref, true);
                }
            }
            let tagged = received.frame.get(12..14) == Some(&[0x81, 0x00]);
            let left = received.flags.contains(TxFlags::CSUM_BLANK) || received.gso.is_some();
            assert!(
                !(tagged && left),
                "Linux drops what it cannot find the headers of, and says that it was sent"
            );
            self.frames.push(received.frame.clone());
            self.pending.push_back(received);
        }
    }

    fn extras(&mut self, received: &mut Received) {
        loop {
            let (_, words) = self.ring.take().expect("extra infos without an end");
            let info = ExtraInfo::read_from_prefix(words.as_bytes()).unwrap().0;
            received.extras += 1;
            match info.kind {
                ExtraType::GSO => {
                    let gso: ExtraGso = ExtraGso::read_from_prefix(words.as_bytes()).unwrap().0;
                    received.gso = Some((gso.gso_type, gso.size));
                }
                ExtraType::MCAST_ADD | ExtraType::MCAST_DEL => {
                    let mcast = ExtraMcast::read_from_prefix(words.as_bytes()).unwrap().0;
                    received.multicast = Some((info.kind, mcast.addr));
                }
                other => panic!("{other:?}"),
            }
            if info.flags & EXTRA_FLAG_MORE == 0 {
                break;
            }
        }
    }

    /// Lets go of a packet and answers it.
    pub(crate) fn answer(&mut self, guest: &mut Sender, index: usize, status: Status) {
        let Some(received) = self.pending.remove(index) else {
            return;
        };
        for (slot, (id, reference)) in received.slots.iter().enumerate() {
            if self.maps {
                guest.grants.map(*reference, false);
            }
            self.ring.write(&TxResponse { id: *id, status });
            if slot == 0 {
                for _ in 0..received.extras {
                    // Only the status: netback leaves the rest as it was.
                    self.ring.write(&TxResponse {
                        id: 0xFFFF,
                        status: Status::NULL,
                    });
                }
            }
        }
        self.ring.show();
    }

    /// Takes and answers all there is.
    pub(crate) fn serve(&mut self, guest: &mut Sender) {
        self.take(guest);
        while !self.pending.is_empty() {
            self.answer(guest, 0, Status::OKAY);
        }
    }
}

/// A guest that receives.
#[derive(Debug)]
pub(crate) struct Receiver {
    pages: Vec<Vec<u8>>,
    pub(crate) grants: Grants,
}

impl Receiver {
    pub(crate) fn new(pages: u16) -> Self {
        Self {
            pages: vec![vec![0xDB; PAGE]; usize::from(pages)],
            grants: Grants::new(),
        }
    }
}

impl Receiver {
    /// The bytes of a page, whoever may write it.
    pub(crate) fn bytes(&self, page: u16) -> &[u8] {
        &self.pages[usize::from(page)]
    }
}

impl rx::Pages for Receiver {
    fn page(&mut self, page: u16) -> &mut [u8] {
        assert!(
            !self.grants.is_granted(u64::from(page)),
            "page {page} is looked at while the backend can write it"
        );
        &mut self.pages[usize::from(page)]
    }
}

impl rx::Host for Receiver {
    type Grant = usize;

    fn grant(&mut self, page: u16) -> Option<usize> {
        assert!(!self.grants.is_granted(u64::from(page)));
        self.grants.grant(u64::from(page))
    }

    fn reference(&self, grant: usize) -> u32 {
        grant as u32
    }

    fn end(&mut self, grant: usize) -> Result<(), StillInUse> {
        self.grants.end(grant)
    }
}

/// What a backend says of a frame that it delivers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Delivery {
    pub(crate) frame: Vec<u8>,
    /// Bytes of each slot; a page's worth where it ends.
    pub(crate) cuts: Vec<usize>,
    /// Where in its page the first slot's data starts.
    pub(crate) offset: u16,
    pub(crate) flags: RxFlags,
    pub(crate) gso: Option<ExtraGso>,
    pub(crate) hash: Option<ExtraHash>,
}

/// A backend that delivers to a guest.
#[derive(Debug)]
pub(crate) struct RxBackend {
    pub(crate) ring: BackRing<2>,
    /// Requests that wait for a packet.
    pub(crate) posted: VecDeque<(u32, RxRequest)>,
}

impl RxBackend {
    pub(crate) fn new(memory: FlatMemory) -> Self {
        Self {
            ring: BackRing::new(memory),
            posted: VecDeque::new(),
        }
    }

    pub(crate) fn take(&mut self) {
        while let Some((slot, words)) = self.ring.take() {
            self.posted.push_back((slot, zerocopy::transmute!(words)));
        }
    }

    /// Delivers a frame. False: there are not enough pages.
    pub(crate) fn deliver(&mut self, guest: &mut Receiver, delivery: &Delivery) -> bool {
        self.take();
        let mut pieces = Vec::new();
        let mut rest = &delivery.frame[..];
        for cut in delivery
            .cuts
            .iter()
            .copied()
            .chain(core::iter::repeat(PAGE))
        {
            let most = match pieces.len() {
                0 => PAGE - usize::from(delivery.offset),
                _ => PAGE,
            };
            let (piece, later) = rest.split_at(cut.clamp(1, most).min(rest.len()));
            pieces.push(piece);
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        let mut extras: Vec<ExtraInfo> = Vec::new();
        if let Some(gso) = delivery.gso {
            extras.push(zerocopy::transmute!(gso));
        }
        if let Some(hash) = delivery.hash {
            extras.push(zerocopy::transmute!(hash));
        }
        if self.posted.len() < pieces.len() + extras.len() {
            return false;
        }
        for (index, piece) in pieces.iter().enumerate() {
            let (slot, request) = self.posted.pop_front().unwrap();
            assert_eq!(slot, self.ring.rsp_prod % 256);
            let page = guest.grants.frame(request.gref) as usize;
            let offset = if index == 0 { delivery.offset } else { 0 };
            guest.pages[page][usize::from(offset)..][..piece.len()].copy_from_slice(piece);
            let mut flags = RxFlags::empty();
            if index == 0 {
                flags |= delivery.flags;
                flags.set(RxFlags::EXTRA_INFO, !extras.is_empty());
            }
            flags.set(RxFlags::MORE_DATA, index + 1 != pieces.len());
            self.ring.write(&RxResponse {
                id: request.id,
                offset,
                flags: flags.bits(),
                status: piece.len() as i16,
            });
            if index == 0 {
                let count = extras.len();
                for (n, extra) in extras.iter_mut().enumerate() {
                    extra.flags = u8::from(n + 1 != count) * EXTRA_FLAG_MORE;
                    self.posted.pop_front().unwrap();
                    self.ring.write(extra);
                }
            }
        }
        self.ring.show();
        true
    }

    /// Answers the next request with anything at all.
    pub(crate) fn lie(&mut self, response: RxResponse) -> bool {
        self.take();
        let taken = self.posted.pop_front().is_some();
        if taken {
            self.ring.write(&response);
            self.ring.show();
        }
        taken
    }

    /// The id that the next response should have.
    pub(crate) fn next_id(&mut self) -> Option<u16> {
        self.take();
        self.posted.front().map(|(_, request)| request.id)
    }
}
