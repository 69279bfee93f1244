//! Transfers in, ring requests out.
//!
//! A **transfer** is what the driver was asked for: one read or write of any length, a flush, a discard of many extents.
//! It becomes one or more ring **requests**; each holds grants for its **segments**. Transfers are submitted in the order
//! in which they came, and stay in that order in a list until they are finished, so that after a lost connection all that
//! are unfinished can be submitted again in order. A transfer finishes only when no grant of its memory is left.

mod build;
mod finish;
mod list;

use alloc::vec::Vec;

use xen_abi::blkif::Operation;

use crate::grant::{Client, Cursor, Host};
use crate::ring::{FrontRing, RingError, RingMemory};
use list::List;
use xen_front::{Table, reserve};

pub use xen_front::OutOfMemory;

/// Sizes of a queue's tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Transfers at once.
    pub transfers: u16,
    /// Ring requests at once; no ring has more than 512 entries.
    pub requests: u16,
    /// Granted segments at once.
    pub segments: u16,
    /// Own pages, for bouncing and for indirect segments.
    pub pages: u16,
}

/// What the backend and the driver agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The device number that requests carry.
    pub handle: u16,
    /// Most segments of a request: more than 11 are indirect.
    pub segments: u16,
    /// BLKIF_OP_FLUSH_DISKCACHE may be used.
    pub flush: bool,
    /// BLKIF_OP_WRITE_BARRIER may be used.
    pub barrier: bool,
    /// BLKIF_OP_DISCARD carries BLKIF_DISCARD_SECURE.
    pub secure_discard: bool,
    /// The backend is not trusted (`trusted` = 0): it sees no page but our own.
    pub bounce_all: bool,
    /// Bytes of a block, [`blkif::SECTOR_SIZE`](xen_abi::blkif::SECTOR_SIZE) or a larger power of two up to a page's: backends
    /// refuse a request with a segment that is no whole number of the device's blocks, though segments count in sectors.
    pub block: u32,
}

/// What a transfer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Read sectors into memory.
    Read,
    /// Write sectors from memory.
    Write,
    /// Write sectors, and make them durable.
    WriteThrough,
    /// Make all finished writes durable.
    Flush,
    /// Discard the extents that [`Host::discard`] names.
    Discard,
}

/// How a transfer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done.
    Okay,
    /// The backend says that it failed, or its memory could not be used.
    Error,
    /// The backend does not do this.
    Unsupported,
    /// The connection ended for good before it was done.
    Gone,
}

/// What a backend did that ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The ring's indexes make no sense.
    #[error(transparent)]
    Ring(#[from] RingError),
    /// A response to no request.
    #[error("a response has the id {0:#x}, which no request in flight has")]
    UnknownId(u64),
    /// A response to another operation.
    #[error("the response to request {id} says operation {operation:?}, not {expected:?}")]
    WrongOperation {
        /// The request.
        id: u16,
        /// What the response says.
        operation: Operation,
        /// What was asked.
        expected: Operation,
    },
}

/// No room for a further transfer now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the queue is full")]
pub struct Full;

/// Grants are left, so nothing can be submitted again yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} requests still have memory that the backend uses")]
pub struct Held(pub usize);

/// Why submission stopped before all was submitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stall {
    /// The ring, or a table, is full: goes on with the next response.
    Busy,
    /// No grant is free; if nothing is in flight, only time helps.
    Grants,
}

/// What [`Queue::pump`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pumped {
    /// The backend is to be sent an event.
    pub notify: bool,
    /// Why something is left.
    pub stall: Option<Stall>,
}

/// Counts of what went on, for logs and the debug dump.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Ring requests submitted.
    pub requests: u64,
    /// Of these, indirect ones.
    pub indirect: u64,
    /// Segments that went through an own page.
    pub bounced: u64,
    /// Responses taken.
    pub responses: u64,
    /// Transfers submitted again after a reconnect.
    pub resubmitted: u64,
    /// Times that a grant could not be ended at once.
    pub still_in_use: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Moving data, or doing what its kind says.
    Main,
    /// The data of a write-through is written; its flush is under way.
    Flushing,
}

#[derive(Debug)]
struct Transfer {
    client: Client,
    kind: Kind,
    stage: Stage,
    /// First sector of 512 bytes.
    sector: u64,
    /// Bytes.
    length: u32,
    /// Bytes submitted; for a discard nothing, its extents are counted by the cursor.
    offset: u32,
    cursor: Cursor,
    /// All its requests are on the ring, or were.
    submitted: bool,
    outstanding: u16,
    outcome: Outcome,
    links: list::Links,
}

/// How a request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    InFlight,
    /// No longer on the ring; grants are left. With the outcome, or nothing where the connection was lost.
    Revoking(Option<Outcome>),
}

#[derive(Debug)]
struct Request<G> {
    transfer: u16,
    operation: Operation,
    state: State,
    list: Option<(u16, G)>,
    segments: Option<u16>,
}

#[derive(Debug)]
struct Segment<G> {
    grant: G,
    /// The own page it goes through.
    page: Option<u16>,
    /// Byte of the transfer.
    offset: u32,
    length: u32,
    next: Option<u16>,
}

/// One ring with its transfers. `M` is the ring's memory, `H` the machine.
#[derive(Debug)]
pub struct Queue<M, H: Host> {
    ring: Option<FrontRing<M>>,
    limits: Limits,
    transfers: Table<Transfer>,
    requests: Table<Request<H::Grant>>,
    segments: Table<Segment<H::Grant>>,
    pages: Vec<u16>,
    /// Own pages that the backend would not let go of.
    quarantine: Vec<(H::Grant, u16)>,
    /// Unfinished transfers, in the order in which they came.
    active: List,
    /// The first of them that is not wholly submitted.
    next: Option<u16>,
    finished: List,
    fault: Option<Fault>,
    counters: Counters,
}

impl<M: RingMemory, H: Host> Queue<M, H> {
    /// A queue without a ring. Allocates all it will ever need.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub fn new(capacity: Capacity) -> Result<Self, OutOfMemory> {
        let mut pages = reserve(usize::from(capacity.pages))?;
        pages.extend((0..capacity.pages).rev());
        Ok(Self {
            ring: None,
            limits: Limits {
                handle: 0,
                segments: 0,
                flush: false,
                barrier: false,
                secure_discard: false,
                bounce_all: false,
                block: xen_abi::blkif::SECTOR_SIZE,
            },
            transfers: Table::new(capacity.transfers)?,
            requests: Table::new(capacity.requests)?,
            segments: Table::new(capacity.segments)?,
            pages,
            quarantine: reserve(usize::from(capacity.pages))?,
            active: List::EMPTY,
            next: None,
            finished: List::EMPTY,
            fault: None,
            counters: Counters::default(),
        })
    }

    /// Takes a transfer of `length` bytes, a multiple of 512, from `sector` on. It goes out with the next
    /// [`Self::pump`], after all that came before it; without a ring, when there is one.
    ///
    /// # Errors
    /// [`Full`].
    pub fn submit(
        &mut self,
        client: Client,
        kind: Kind,
        sector: u64,
        length: u32,
    ) -> Result<(), Full> {
        let transfer = Transfer {
            client,
            kind,
            stage: Stage::Main,
            sector,
            length,
            offset: 0,
            cursor: Cursor::default(),
            submitted: false,
            outstanding: 0,
            outcome: Outcome::Okay,
            links: list::Links::NONE,
        };
        let id = self.transfers.insert(transfer).map_err(|_| Full)?;
        self.append(id);
        Ok(())
    }

    /// Adds a transfer at the end of those to submit.
    fn append(&mut self, id: u16) {
        self.active.push(&mut self.transfers, id);
        self.next.get_or_insert(id);
    }

    /// Takes up a connection: everything unfinished is submitted again, in order, with the next [`Self::pump`].
    ///
    /// # Errors
    /// [`Held`]: memory of the old connection is not free of grants; see [`Self::disconnect`].
    pub fn connect(&mut self, ring: FrontRing<M>, limits: Limits) -> Result<(), Held> {
        match self.requests.len() {
            0 => {}
            held => return Err(Held(held)),
        }
        let mut at = self.active.first();
        while let Some(id) = at {
            at = self.active.after(&self.transfers, id);
            if let Some(transfer) = self.transfers.get_mut(id) {
                let begun =
                    transfer.submitted || transfer.offset != 0 || transfer.cursor.element != 0;
                self.counters.resubmitted += u64::from(begun);
                transfer.restart();
            }
        }
        self.next = self.active.first();
        self.ring = Some(ring);
        self.limits = limits;
        self.fault = None;
        Ok(())
    }

    /// Gives up the ring, once the backend has closed, and ends all grants. To be called again while it says that
    /// requests are held.
    ///
    /// # Errors
    /// [`Held`]: the backend still uses memory of so many requests. Their transfers must wait.
    pub fn disconnect(&mut self, host: &mut H) -> Result<(), Held> {
        self.ring = None;
        for id in self.requests.ids() {
            if let Some(request) = self.requests.get_mut(id)
                && request.state == State::InFlight
            {
                request.state = State::Revoking(None);
            }
        }
        self.tick(host);
        match self.requests.len() {
            0 => Ok(()),
            held => Err(Held(held)),
        }
    }

    /// The ring goes, but the backend may still answer what is on it; nothing more is submitted.
    pub fn has_ring(&self) -> bool {
        self.ring.is_some()
    }

    /// Ends all unfinished transfers, once no request is held.
    ///
    /// # Errors
    /// [`Held`].
    pub fn fail_all(&mut self, outcome: Outcome) -> Result<(), Held> {
        match self.requests.len() {
            0 => {}
            held => return Err(Held(held)),
        }
        while let Some(id) = self.active.first() {
            if let Some(transfer) = self.transfers.get_mut(id) {
                transfer.outcome = outcome;
            }
            self.finish(id);
        }
        Ok(())
    }

    /// The next finished transfer. Its memory is the driver's again.
    pub fn pop_finished(&mut self) -> Option<(Client, Outcome)> {
        let id = self.finished.first()?;
        self.finished.remove(&mut self.transfers, id);
        self.transfers
            .remove(id)
            .map(|transfer| (transfer.client, transfer.outcome))
    }

    /// Transfers that are not finished.
    pub fn unfinished(&self) -> usize {
        self.transfers.len() - self.finished.count(&self.transfers)
    }

    /// Requests whose memory the backend may use.
    pub fn in_flight(&self) -> usize {
        self.requests.len()
    }

    /// Own pages that the backend would not let go of.
    pub fn quarantined(&self) -> usize {
        self.quarantine.len()
    }

    /// What went on so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// What is agreed on now: flush and barrier are dropped when the backend refuses them.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// What the backend did wrong, if it did.
    pub fn fault(&self) -> Option<Fault> {
        self.fault
    }
}

impl Transfer {
    /// Back to the beginning of its stage.
    fn restart(&mut self) {
        self.offset = 0;
        self.cursor = Cursor::default();
        self.submitted = false;
        self.outcome = Outcome::Okay;
    }

    /// What its requests do, in its present stage.
    fn effective(&self) -> Kind {
        match self.stage {
            Stage::Main => self.kind,
            Stage::Flushing => Kind::Flush,
        }
    }
}
