//! Pages in, packets out.
//!
//! The driver gives a queue a pool of pages, which have numbers. Each is in one place: **free**, **posted** on the ring
//! and granted, **lent** to the driver with a packet in it, or **quarantined**, because the backend would not let go of
//! it. A packet comes as a list of pieces of pages whose grants are ended: nobody changes them any more. A page that
//! comes back without a packet in it is posted again with the grant that it has.
//!
//! Responses have no ids where extra infos lie, so that a response must be in the slot of its request (`io/netif.h`).

mod packet;
mod place;
mod take;

use alloc::vec::Vec;

use arrayvec::ArrayVec;
use take::Assembly;
use xen_abi::netif::{HashAlgorithm, HashKind, RX_ENTRY_SIZE};
use xen_front::{FrontRing, RingError, RingMemory, reserve};

use crate::count::ByCast;
use crate::grant::StillInUse;
use crate::header::{ETHERNET, TAG, Version};

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

    /// Asks for an event with the next response. True: one has come meanwhile, for which there may be no event.
    pub fn arm(&mut self) -> bool {
        self.fault.is_none() && self.ring.as_mut().is_some_and(FrontRing::arm)
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

#[cfg(test)]
mod tests;
