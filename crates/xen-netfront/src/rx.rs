//! Pages in, packets out.
//!
//! The driver gives a queue a pool of pages, which have numbers. Each is in one place: **free**, **posted** on the ring
//! and granted, **lent** to the driver with a packet in it, or **quarantined**, because the backend would not let go of
//! it. A packet comes as a list of pieces of pages whose grants are ended: nobody changes them any more. A page that
//! comes back without a packet in it is posted again with the grant that it has.
//!
//! Responses have no ids where extra infos lie, so that a response must be in the slot of its request (`io/netif.h`).

mod packet;

use alloc::vec::Vec;

use arrayvec::ArrayVec;
use xen_abi::netif::{
    EXTRA_FLAG_MORE, ExtraGso, ExtraHash, ExtraInfo, ExtraType, GsoType, HashAlgorithm, HashKind,
    RX_ENTRY_SIZE, RxFlags, RxRequest, RxResponse, Status,
};
use xen_front::{FrontRing, RingError, RingMemory, Taken, reserve};
use zerocopy::{FromBytes, IntoBytes};

use crate::count::ByCast;
use crate::grant::{Held, PAGE_SIZE, StillInUse};
use crate::header::{Cast, ETHERNET, TAG, Version};

pub use packet::{Verdict, Verified};
pub use xen_front::OutOfMemory;

/// Words of an entry.
const WORDS: usize = RX_ENTRY_SIZE / 4;

/// The frontend's end of a receive ring.
pub type Ring<M> = FrontRing<M, WORDS>;

/// Entries of a receive ring: pages that can be posted at once.
pub const SLOTS: u16 = 256;
/// Most pieces of a packet: 65,535 bytes and headers, the first page perhaps with headers only.
pub const PACKET_PIECES: usize = 20;
/// Most bytes of a packet: an IP datagram's and its link header's.
pub const PACKET_BYTES: u32 = 65_535 + (ETHERNET + TAG) as u32;
/// Most extra infos of a packet. There are four kinds.
const EXTRAS: u8 = 8;

/// Pages of a pool, as plain memory.
pub trait Pages {
    /// The bytes of a page that no backend can write.
    fn page(&mut self, page: u16) -> &mut [u8];
}

/// The machine, as a receive queue sees it. Every call is made with the queue's lock held, so none may block.
pub trait Host: Pages {
    /// A grant that was made; what ends it.
    type Grant: Copy;

    /// Lets the backend's domain write a page of the pool. `None`: no grant is free now.
    fn grant(&mut self, page: u16) -> Option<Self::Grant>;

    /// The reference of a grant.
    fn reference(&self, grant: Self::Grant) -> u32;

    /// Ends a grant.
    ///
    /// # Errors
    /// The backend still uses the page; the grant stays as it is and may be ended later.
    fn end(&mut self, grant: Self::Grant) -> Result<(), StillInUse>;
}

/// What the backend says of a packet's TCP or UDP checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Checksum {
    /// Nothing: it is to be verified.
    Unknown,
    /// It was verified, or the packet never left the machine.
    Validated,
    /// It holds the pseudo header's sum only, and the packet never left the machine.
    Blank,
}

/// How a large packet is to be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Large {
    /// Over which protocol its TCP is.
    pub version: Version,
    /// Most bytes of payload of a segment.
    pub size: u16,
}

/// The hash that the backend steered a packet by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hash {
    /// Over what.
    pub kind: HashKind,
    /// How.
    pub algorithm: HashAlgorithm,
    /// Its value.
    pub value: u32,
}

/// A piece of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The page of the pool.
    pub page: u16,
    /// First byte.
    pub offset: u16,
    /// Bytes; none in a piece that [`Packet::pull_up`] used up.
    pub length: u16,
}

/// A packet that came. Its pages are lent until each piece's was given back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    pieces: ArrayVec<Piece, PACKET_PIECES>,
    length: u32,
    /// What is known of its checksum.
    pub checksum: Checksum,
    /// It is a large one.
    pub large: Option<Large>,
    /// What it was steered by.
    pub hash: Option<Hash>,
}

/// What a backend did that ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The ring's indexes make no sense.
    #[error(transparent)]
    Ring(#[from] RingError),
    /// A response is not in the slot of its request.
    #[error("the receive response in slot {slot} has the id {id:#x}")]
    WrongSlot {
        /// The response's slot, which is its request's id.
        slot: u32,
        /// What it says.
        id: u16,
    },
    /// A response in a slot without a request.
    #[error("a receive response is in slot {0}, where no page was posted")]
    EmptySlot(u32),
    /// Extra infos without end.
    #[error("a received packet has more than {EXTRAS} extra infos")]
    EndlessExtras,
    /// More pieces than the ring has slots.
    #[error("a received packet has more than {SLOTS} pieces")]
    EndlessPacket,
}

/// Why a packet was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Drop {
    /// The backend says so.
    Error,
    /// It makes no sense.
    Malformed,
    /// A grant of it could not be ended.
    Held,
}

/// What [`Queue::refill`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refilled {
    /// The backend is to be sent an event.
    pub notify: bool,
    /// Pages that were posted.
    pub posted: u32,
    /// Slots are left without a page: none is free, or no grant.
    pub short: bool,
}

/// Counts of what went on, for statistics, logs and the debug dump.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets handed to the driver.
    pub received: ByCast,
    /// Large packets among them.
    pub large: u64,
    /// Packets that the backend itself says it could not deliver.
    pub errors: u64,
    /// Packets that made no sense.
    pub malformed: u64,
    /// Packets dropped because a grant of theirs could not be ended.
    pub held: u64,
    /// Slots taken.
    pub slots: u64,
    /// Pages posted.
    pub posted: u64,
    /// Times that a grant could not be ended at once.
    pub still_in_use: u64,
    /// Pages given back that were not lent: the driver's fault.
    pub misused: u64,
}

/// Where a page of the pool is.
#[derive(Clone, Copy, Debug)]
enum Place<G> {
    Free,
    Posted(G),
    /// Granted, and not on the ring: to be posted again.
    Ready(G),
    /// With so many users.
    Lent(u16),
    Quarantined(G),
}

/// What the next slot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    First,
    Extra,
    Data,
}

/// A packet whose slots are being taken.
#[derive(Debug)]
struct Assembly {
    expect: Expect,
    packet: Packet,
    more_data: bool,
    slots: u16,
    extras: u8,
    drop: Option<Drop>,
}

impl Assembly {
    fn new() -> Self {
        Self {
            expect: Expect::First,
            packet: Packet {
                pieces: ArrayVec::new_const(),
                length: 0,
                checksum: Checksum::Unknown,
                large: None,
                hash: None,
            },
            more_data: false,
            slots: 0,
            extras: 0,
            drop: None,
        }
    }

    fn dropped(&mut self, why: Drop) {
        self.drop.get_or_insert(why);
    }
}

/// One receive ring with its pages. `M` is the ring's memory, `H` the machine.
#[derive(Debug)]
pub struct Queue<M, H: Host> {
    ring: Option<Ring<M>>,
    pages: Vec<Place<H::Grant>>,
    /// Pages that were zeroed before a backend saw them for the first time.
    clean: Vec<bool>,
    free: Vec<u16>,
    ready: Vec<u16>,
    /// The page in each slot of the ring.
    slots: Vec<Option<u16>>,
    assembly: Assembly,
    lent: usize,
    quarantined: usize,
    fault: Option<Fault>,
    counters: Counters,
}

impl<M: RingMemory, H: Host> Queue<M, H> {
    /// A queue without a ring, for a pool of so many pages: [`SLOTS`] for the ring and those that are lent meanwhile.
    /// Allocates all it will ever need.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub fn new(pages: u16) -> Result<Self, OutOfMemory> {
        let count = usize::from(pages);
        let mut places = reserve(count)?;
        places.resize_with(count, || Place::Free);
        let mut clean = reserve(count)?;
        clean.resize(count, false);
        let mut free = reserve(count)?;
        free.extend((0..pages).rev());
        let mut slots = reserve(usize::from(SLOTS))?;
        slots.resize(usize::from(SLOTS), None);
        Ok(Self {
            ring: None,
            pages: places,
            clean,
            free,
            ready: reserve(count)?,
            slots,
            assembly: Assembly::new(),
            lent: 0,
            quarantined: 0,
            fault: None,
            counters: Counters::default(),
        })
    }

    /// Takes up a connection, after [`Self::disconnect`] of the one before. [`Self::refill`] posts pages.
    pub fn connect(&mut self, ring: Ring<M>) {
        self.ring = Some(ring);
        self.fault = None;
    }

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

    /// Takes the next packet, and the slots of those that are dropped on the way; at most `budget` slots, which are
    /// counted down. `None`: there is no whole packet now, or the budget is used up.
    ///
    /// # Errors
    /// [`Fault`]: the ring is not used any more; its pages wait for [`Self::disconnect`].
    pub fn take(&mut self, host: &mut H, budget: &mut u32) -> Result<Option<Packet>, Fault> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let result = self.take_slots(host, budget);
        self.fault = result.as_ref().err().copied();
        result
    }

    fn take_slots(&mut self, host: &mut H, budget: &mut u32) -> Result<Option<Packet>, Fault> {
        while *budget != 0 {
            let Some(taken) = self.ring.as_mut().map_or(Ok(None), FrontRing::take)? else {
                return Ok(None);
            };
            *budget -= 1;
            self.slot(&taken, host)?;
            let done = match self.assembly.expect {
                Expect::First | Expect::Data => !self.assembly.more_data,
                Expect::Extra => false,
            };
            if done && let Some(packet) = self.finish(host) {
                return Ok(Some(packet));
            }
        }
        Ok(None)
    }

    /// One slot of the packet that is being taken.
    fn slot(&mut self, taken: &Taken<WORDS>, host: &mut H) -> Result<(), Fault> {
        let empty = Fault::EmptySlot(taken.slot);
        let page = self
            .slots
            .get_mut(taken.slot as usize)
            .and_then(Option::take)
            .ok_or(empty)?;
        let Some(Place::Posted(grant)) = self.pages.get(usize::from(page)).copied() else {
            return Err(empty);
        };
        self.counters.slots += 1;
        // Until it is known to hold something, the page is one to be posted again.
        self.set(page, Place::Ready(grant));
        let assembly = &mut self.assembly;
        assembly.slots += 1;
        if assembly.slots > SLOTS {
            self.ready.push(page);
            return Err(Fault::EndlessPacket);
        }
        if assembly.expect == Expect::Extra {
            self.ready.push(page);
            return self.extra(taken);
        }
        let response = response(taken);
        if u32::from(response.id) != taken.slot {
            self.ready.push(page);
            return Err(Fault::WrongSlot {
                slot: taken.slot,
                id: response.id,
            });
        }
        self.data(page, grant, &response, host);
        Ok(())
    }

    fn set(&mut self, page: u16, to: Place<H::Grant>) {
        if let Some(place) = self.pages.get_mut(usize::from(page)) {
            *place = to;
        }
    }

    /// A slot with data, or with the backend's complaint.
    fn data(&mut self, page: u16, grant: H::Grant, response: &RxResponse, host: &mut H) {
        let assembly = &mut self.assembly;
        let flags = RxFlags::from_bits_retain(response.flags);
        assembly.more_data = flags.contains(RxFlags::MORE_DATA);
        if assembly.expect == Expect::First {
            assembly.packet.checksum = if flags.contains(RxFlags::CSUM_BLANK) {
                Checksum::Blank
            } else if flags.contains(RxFlags::DATA_VALIDATED) {
                Checksum::Validated
            } else {
                Checksum::Unknown
            };
            // A prefix is not asked for, and without it the packet's slots cannot be told apart.
            if flags.contains(RxFlags::GSO_PREFIX) {
                assembly.dropped(Drop::Malformed);
            }
        }
        let extra = assembly.expect == Expect::First && flags.contains(RxFlags::EXTRA_INFO);
        assembly.expect = if extra { Expect::Extra } else { Expect::Data };
        let bytes = match u16::try_from(response.status) {
            Err(_) => {
                let why = match Status(response.status) {
                    Status::ERROR | Status::DROPPED => Drop::Error,
                    _ => Drop::Malformed,
                };
                assembly.dropped(why);
                0
            }
            Ok(bytes) => bytes,
        };
        let fits = u32::from(response.offset) + u32::from(bytes) <= PAGE_SIZE;
        let length = assembly.packet.length + u32::from(bytes);
        if !fits || length > PACKET_BYTES || assembly.packet.pieces.is_full() {
            assembly.dropped(Drop::Malformed);
        }
        if bytes == 0 || assembly.drop.is_some() {
            self.ready.push(page);
            return;
        }
        if host.end(grant).is_err() {
            assembly.dropped(Drop::Held);
            self.counters.still_in_use += 1;
            self.quarantined += 1;
            self.set(page, Place::Quarantined(grant));
            return;
        }
        assembly.packet.length = length;
        assembly.packet.pieces.push(Piece {
            page,
            offset: response.offset,
            length: bytes,
        });
        self.lent += 1;
        self.set(page, Place::Lent(1));
    }

    /// A slot with an extra info; its page was not used.
    fn extra(&mut self, taken: &Taken<WORDS>) -> Result<(), Fault> {
        let assembly = &mut self.assembly;
        assembly.extras += 1;
        if assembly.extras > EXTRAS {
            return Err(Fault::EndlessExtras);
        }
        let bytes = taken.words.as_bytes();
        let Ok(info) = ExtraInfo::read_from_bytes(bytes) else {
            return Ok(());
        };
        assembly.expect = if info.flags & EXTRA_FLAG_MORE != 0 {
            Expect::Extra
        } else {
            Expect::Data
        };
        match (
            info.kind,
            ExtraGso::read_from_bytes(bytes),
            ExtraHash::read_from_bytes(bytes),
        ) {
            (ExtraType::GSO, Ok(gso), _) => {
                let version = match gso.gso_type {
                    GsoType::TCPV4 => Some(Version::V4),
                    GsoType::TCPV6 => Some(Version::V6),
                    _ => None,
                };
                match version {
                    Some(version) if gso.size != 0 => {
                        let size = gso.size;
                        assembly.packet.large = Some(Large { version, size });
                    }
                    _ => assembly.dropped(Drop::Malformed),
                }
            }
            (ExtraType::HASH, _, Ok(hash)) => {
                assembly.packet.hash = Some(Hash {
                    kind: hash.hash_kind,
                    algorithm: hash.algorithm,
                    value: u32::from_le_bytes(hash.value),
                });
            }
            _ => assembly.dropped(Drop::Malformed),
        }
        Ok(())
    }

    /// The packet's last slot was taken.
    fn finish(&mut self, host: &mut H) -> Option<Packet> {
        let mut assembly = core::mem::replace(&mut self.assembly, Assembly::new());
        if assembly.drop.is_none() && assembly.packet.length < ETHERNET as u32 {
            assembly.dropped(Drop::Malformed);
        }
        let packet = assembly.packet;
        if let Some(why) = assembly.drop {
            match why {
                Drop::Error => self.counters.errors += 1,
                Drop::Malformed => self.counters.malformed += 1,
                Drop::Held => self.counters.held += 1,
            }
            for piece in &packet.pieces {
                self.give_back(piece.page);
            }
            return None;
        }
        let mut destination = [0; 6];
        packet.copy_out(host, 0, &mut destination);
        let cast = Cast::of(&destination);
        self.counters.received.add(cast, packet.length);
        self.counters.large += u64::from(packet.large.is_some());
        Some(packet)
    }

    /// Asks for an event with the next response. True: one has come meanwhile, for which there may be no event.
    pub fn arm(&mut self) -> bool {
        self.fault.is_none() && self.ring.as_mut().is_some_and(FrontRing::arm)
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

    /// There is a connection that was not broken.
    pub fn has_ring(&self) -> bool {
        self.ring.is_some() && self.fault.is_none()
    }

    /// Pages that could be posted.
    pub fn free(&self) -> usize {
        self.free.len() + self.ready.len()
    }

    /// Pages on the ring.
    pub fn posted(&self) -> usize {
        self.pages.len() - self.free() - self.lent - self.quarantined
    }

    /// Pages that the driver has.
    pub fn lent(&self) -> usize {
        self.lent
    }

    /// Pages that the backend would not let go of. Such a page must not be freed; see [`Self::is_free`].
    pub fn quarantined(&self) -> usize {
        self.quarantined
    }

    /// No backend can write this page, and nobody was lent it: it may be freed.
    pub fn is_free(&self, page: u16) -> bool {
        matches!(self.pages.get(usize::from(page)), None | Some(Place::Free))
    }

    /// What the backend did wrong, if it did.
    pub fn fault(&self) -> Option<Fault> {
        self.fault
    }

    /// What went on so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }
}

/// The response in an entry.
fn response(taken: &Taken<WORDS>) -> RxResponse {
    zerocopy::transmute!(taken.words)
}

#[cfg(test)]
mod tests;
