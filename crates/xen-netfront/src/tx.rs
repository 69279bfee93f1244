//! Packets in, transmit requests out.
//!
//! A packet's first bytes, with all its headers, are copied into one of the queue's **own pages**: there the headers are
//! rewritten as the backend wants them, and the stack's memory stays as it is. What follows is granted where it lies,
//! read-only, if the backend is trusted and the packet is large; else it is copied too. Own pages stay granted from their
//! first use to the end of the connection, so that a packet of one page costs no grant.
//!
//! A packet finishes when no grant of its memory is left. What is on the ring when a connection ends is lost, and said to
//! be: sent again it might arrive twice, and late.

mod build;
mod cut;
mod finish;
mod offload;

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::num::NonZeroU16;

use xen_abi::netif::{NR_SLOTS_MIN, TX_ENTRY_SIZE};
use xen_front::{FrontRing, RingError, RingMemory, Table, reserve};

use crate::count::{ByCast, Frames};
use crate::grant::{Client, Fragment, StillInUse};
use crate::header::Cast;

pub(crate) use offload::{ip_length, ipv4_checksum};
pub use xen_front::OutOfMemory;

/// The frontend's end of a transmit ring.
pub type Ring<M> = FrontRing<M, { TX_ENTRY_SIZE / 4 }>;

/// Entries of a transmit ring, and most packets and own pages of a queue that are of use.
pub const SLOTS: u16 = 256;
/// Most slots of a packet, extra infos not counted.
pub const PACKET_SLOTS: usize = NR_SLOTS_MIN;

/// The machine, as a transmit queue sees it. Every call is made with the queue's lock held, so none may block.
pub trait Host {
    /// A grant that was made; what ends it.
    type Grant: Copy;

    /// Lets the backend's domain read the page frame `frame`. `None`: no grant is free now.
    fn grant(&mut self, frame: u64) -> Option<Self::Grant>;

    /// The reference of a grant.
    fn reference(&self, grant: Self::Grant) -> u32;

    /// Ends a grant.
    ///
    /// # Errors
    /// The backend still uses the page; the grant stays as it is and may be ended later.
    fn end(&mut self, grant: Self::Grant) -> Result<(), StillInUse>;

    /// Page frame of one of the queue's own pages.
    fn page_frame(&self, page: u16) -> u64;

    /// The bytes of one of the queue's own pages, which the backend can only read.
    fn page(&mut self, page: u16) -> &mut [u8];

    /// The physically contiguous piece of a packet that starts at byte `offset`: one byte at least, and as many as are
    /// convenient. `None`: the packet ends before.
    fn fragment(&self, client: Client, offset: u32) -> Option<Fragment>;

    /// Copies `length` bytes of a packet from byte `offset` on to byte `at` of an own page. False: not possible.
    fn copy_in(&mut self, client: Client, offset: u32, page: u16, at: u32, length: u32) -> bool;
}

/// Sizes of a queue's tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Packets at once.
    pub packets: u16,
    /// Own pages: with [`SLOTS`] there is always one for a free slot.
    pub pages: u16,
}

/// What the backend and the driver agreed on; [`crate::keys::Offer::transmit`] makes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Packets may have more than one slot.
    pub scatter_gather: bool,
    /// Checksums of TCP and UDP over IPv4 may be left to the backend.
    pub checksum_ipv4: bool,
    /// The same over IPv6.
    pub checksum_ipv6: bool,
    /// Large TCP packets over IPv4 may be left to the backend.
    pub segment_ipv4: bool,
    /// The same over IPv6.
    pub segment_ipv6: bool,
    /// The backend may see what else is on the pages of a packet (`trusted` is not 0).
    pub trusted: bool,
    /// Packets of at most so many bytes are copied whole.
    pub copy_limit: u32,
}

impl Limits {
    /// Nothing but plain frames of one slot.
    pub const NONE: Self = Self {
        scatter_gather: false,
        checksum_ipv4: false,
        checksum_ipv6: false,
        segment_ipv4: false,
        segment_ipv6: false,
        trusted: false,
        copy_limit: crate::grant::PAGE_SIZE,
    };
}

/// What is left to the queue and the backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offload {
    /// The checksum of the IPv4 header.
    pub ip_checksum: bool,
    /// The checksum of a TCP segment.
    pub tcp_checksum: bool,
    /// The checksum of a UDP datagram.
    pub udp_checksum: bool,
    /// Cut a large TCP packet into segments of so many bytes of payload; checksums included.
    pub segment: Option<NonZeroU16>,
}

/// A packet to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Its name.
    pub client: Client,
    /// Bytes, Ethernet header included.
    pub length: u32,
    /// What is left to do.
    pub offload: Offload,
    /// Tag control information of an 802.1Q tag to insert.
    pub tag: Option<u16>,
}

/// A change of the multicast addresses that the backend lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Multicast {
    /// One more.
    Add([u8; 6]),
    /// One less.
    Remove([u8; 6]),
}

/// A packet that cannot be sent, now or ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPacket {
    /// Shorter than an Ethernet header.
    #[error("{0} bytes are no frame")]
    TooShort(u32),
    /// More than 65,535 bytes, or than one page where the backend takes one slot only.
    #[error("{0} bytes are more than the backend takes")]
    TooLong(u32),
    /// A checksum or segmentation was asked for that the packet's headers do not allow.
    #[error("its headers do not allow what was asked for")]
    Headers,
    /// The backend does not cut large packets.
    #[error("the backend does not take large packets")]
    Segment,
    /// It cannot be read.
    #[error("its memory cannot be read")]
    Memory,
}

/// Why a packet was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No room, or no grant: to be tried again when something has finished, or after some time if nothing is in flight.
    #[error("the queue is full")]
    Full,
    /// There is no connection, or the backend broke it.
    #[error("there is no connection")]
    NotConnected,
    /// It is to be dropped.
    #[error(transparent)]
    Bad(#[from] BadPacket),
}

/// How a packet ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The backend took it.
    Sent,
    /// The backend dropped it.
    Dropped,
    /// The backend could not make sense of it, or of a multicast change.
    Error,
    /// The connection ended before the backend said anything.
    Lost,
}

/// What a backend did that ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The ring's indexes make no sense.
    #[error(transparent)]
    Ring(#[from] RingError),
    /// A response to no request.
    #[error("a transmit response has the id {0:#x}, which no request in flight has")]
    UnknownId(u16),
    /// More responses to extra infos than there were extra infos.
    #[error("a transmit response says NULL where no extra info is outstanding")]
    UnexpectedNull,
}

/// Counts of what went on, for statistics, logs and the debug dump.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets that the backend took.
    pub sent: ByCast,
    /// Packets that it dropped.
    pub dropped: u64,
    /// Packets that it could not make sense of.
    pub errors: u64,
    /// Packets that were on the ring when a connection ended.
    pub lost: u64,
    /// Packets that were refused as bad.
    pub refused: u64,
    /// Large packets.
    pub large: u64,
    /// Large packets that were cut here, since they got a tag.
    pub cut: u64,
    /// Packets whose checksum was left to the backend.
    pub blank: u64,
    /// Packets whose checksum was made here for want of the backend's.
    pub summed: u64,
    /// Slots with data.
    pub slots: u64,
    /// Bytes that were copied.
    pub copied: u64,
    /// Pages that were granted where they lay.
    pub in_place: u64,
    /// Times that a grant could not be ended at once.
    pub still_in_use: u64,
}

/// What a slot's page is.
#[derive(Clone, Copy, Debug)]
enum Memory<G> {
    /// One of the queue's own.
    Own(u16),
    /// One of the packet's.
    InPlace(G),
}

#[derive(Debug)]
struct Slot<G> {
    packet: u16,
    memory: Memory<G>,
    /// No longer on the ring; its grant is left.
    revoking: bool,
}

#[derive(Debug)]
struct Record {
    client: Client,
    outstanding: u16,
    outcome: Outcome,
    /// For the statistics; nothing for a multicast change.
    frames: Option<(Cast, Frames)>,
}

/// One of the queue's own pages.
#[derive(Debug)]
struct Own<G> {
    grant: Option<G>,
    /// Bytes from the first on that are not zero.
    dirty: u16,
    /// It was zeroed before the backend saw it for the first time.
    clean: bool,
    /// Its grant could not be ended.
    stuck: bool,
}

/// One transmit ring with its packets. `M` is the ring's memory, `H` the machine.
#[derive(Debug)]
pub struct Queue<M, H: Host> {
    ring: Option<Ring<M>>,
    limits: Limits,
    capacity: usize,
    packets: Table<Record>,
    slots: Table<Slot<H::Grant>>,
    own: Vec<Own<H::Grant>>,
    free: Vec<u16>,
    /// Extra infos on the ring.
    extras: u32,
    /// Slots whose grant is left.
    revoking: usize,
    /// Own pages whose grant is left though there is no connection.
    stuck: usize,
    /// Grants that were given up.
    abandoned: usize,
    finished: VecDeque<(Client, Outcome)>,
    fault: Option<Fault>,
    counters: Counters,
}

impl<M: RingMemory, H: Host> Queue<M, H> {
    /// A queue without a ring. Allocates all it will ever need.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub fn new(capacity: Capacity) -> Result<Self, OutOfMemory> {
        let packets = capacity.packets.min(SLOTS);
        let mut own = reserve(usize::from(capacity.pages))?;
        own.extend((0..capacity.pages).map(|_| Own {
            grant: None,
            dirty: 0,
            clean: false,
            stuck: false,
        }));
        let mut free = reserve(usize::from(capacity.pages))?;
        free.extend((0..capacity.pages).rev());
        let mut finished = VecDeque::new();
        finished
            .try_reserve_exact(usize::from(packets))
            .map_err(|_| OutOfMemory)?;
        Ok(Self {
            ring: None,
            limits: Limits::NONE,
            capacity: usize::from(packets),
            packets: Table::new(packets)?,
            slots: Table::new(SLOTS)?,
            own,
            free,
            extras: 0,
            revoking: 0,
            stuck: 0,
            abandoned: 0,
            finished,
            fault: None,
            counters: Counters::default(),
        })
    }

    /// Takes up a connection, after [`Self::disconnect`] of the one before. Pages that the old backend holds stay out of
    /// use.
    pub fn connect(&mut self, ring: Ring<M>, limits: Limits) {
        self.ring = Some(ring);
        self.limits = limits;
        self.fault = None;
        self.extras = 0;
    }

    /// Shows the backend all packets taken so far. True: it wants an event.
    pub fn publish(&mut self) -> bool {
        self.ring.as_mut().is_some_and(FrontRing::publish)
    }

    /// The next finished packet. Its memory is the driver's again.
    pub fn pop_finished(&mut self) -> Option<(Client, Outcome)> {
        self.finished.pop_front()
    }

    /// There is a connection that was not broken.
    pub fn has_ring(&self) -> bool {
        self.ring.is_some() && self.fault.is_none()
    }

    /// Packets that are not finished.
    pub fn in_flight(&self) -> usize {
        self.packets.len()
    }

    /// Granted pages that wait for the backend to let go of them, though nothing on a ring uses them any more.
    pub fn held(&self) -> usize {
        self.revoking + self.stuck
    }

    /// Own pages that an earlier backend would not let go of, and grants of packets that [`Self::abandon`] gave up. An
    /// own page that is among them must not be freed; see [`Self::is_free`].
    pub fn quarantined(&self) -> usize {
        self.stuck + self.abandoned
    }

    /// No backend can read this own page: it may be freed.
    pub fn is_free(&self, page: u16) -> bool {
        self.own
            .get(usize::from(page))
            .is_none_or(|own| own.grant.is_none())
    }

    /// Slots of the ring that are free.
    pub fn free_slots(&self) -> u32 {
        self.ring.as_ref().map_or(0, FrontRing::free)
    }

    /// What is agreed on now.
    pub fn limits(&self) -> Limits {
        self.limits
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
