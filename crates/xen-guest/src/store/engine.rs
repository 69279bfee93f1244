//! Requests in flight, and the framing of what comes back.

use alloc::boxed::Box;
use alloc::vec::Vec;

use xen_abi::xs_wire::{DomainInterface, Header, MessageType, PAYLOAD_MAX};
use zerocopy::{FromBytes, IntoBytes};

use super::message::{self, Path, Request};
use super::ring::Ring;
use super::watch::{WatchId, Watches};
use super::{Breach, StoreError};
use crate::Shared;

/// Requests in flight at most.
const SLOTS: usize = 16;
/// Passes over the rings in one pump.
const PASSES: u32 = 64;
/// Bytes of a header.
const HEADER: usize = size_of::<Header>();

/// A request in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket(u32);

/// A transaction. It is void once the connection is made anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transaction {
    id: u32,
    epoch: u32,
}

impl Transaction {
    /// A non-zero number that stands for the transaction.
    pub const fn number(self) -> u64 {
        (self.epoch as u64) << 32 | self.id as u64
    }

    /// The transaction of a number that may come from anywhere: the server knows its own.
    pub const fn from_number(number: u64) -> Self {
        Self {
            id: number as u32,
            epoch: (number >> 32) as u32,
        }
    }
}

/// What [`Engine::pump`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pumped {
    /// The server must be told: bytes were produced or consumed.
    pub notify: bool,
    /// A request was completed (or all of them failed).
    pub completed: bool,
}

/// What was odd so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Replies to no request of ours.
    pub strange_replies: u32,
    /// Events of no watch of ours.
    pub strange_events: u32,
    /// Requests that their caller gave up.
    pub abandoned: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Free,
    /// To be sent, after those of lower order.
    Queued,
    /// Partly sent: nothing else may be sent before its rest.
    Sending {
        sent: usize,
    },
    /// Sent.
    Waiting,
    /// Answered; a success's body has this length.
    Done(Result<usize, StoreError>),
}

struct Slot {
    state: State,
    /// Nobody waits for the reply any more.
    abandoned: bool,
    uses: u32,
    order: u64,
    header: Header,
    payload: Box<[u8; PAYLOAD_MAX]>,
}

/// Where the body of the message that is being read goes.
#[derive(Clone, Copy, Debug)]
enum Sink {
    Reply { slot: usize },
    Event,
    Nowhere,
}

#[derive(Clone, Copy, Debug)]
enum Reading {
    Header {
        got: usize,
    },
    Body {
        header: Header,
        sink: Sink,
        got: usize,
    },
}

/// One connection to xenstore.
pub struct Engine {
    ring: Ring,
    slots: Vec<Slot>,
    watches: Watches,
    reading: Reading,
    header: [u8; HEADER],
    event: Box<[u8; PAYLOAD_MAX]>,
    next_order: u64,
    epoch: u32,
    broken: Option<Breach>,
    counters: Counters,
}

impl Engine {
    /// Takes over a ring page at a message boundary. `seed` (the time, say) makes request ids differ from those of
    /// a predecessor, whose replies may still come.
    pub fn new(page: Shared<DomainInterface>, seed: u32) -> Result<Self, StoreError> {
        let mut slots = Vec::new();
        slots
            .try_reserve_exact(SLOTS)
            .map_err(|_| StoreError::OutOfMemory)?;
        for _ in 0..SLOTS {
            slots.push(Slot {
                state: State::Free,
                abandoned: false,
                uses: seed,
                order: 0,
                header: Header {
                    kind: MessageType::INVALID,
                    req_id: 0,
                    tx_id: 0,
                    len: 0,
                },
                payload: buffer()?,
            });
        }
        Ok(Self {
            ring: Ring::new(page),
            slots,
            watches: Watches::default(),
            reading: Reading::Header { got: 0 },
            header: [0; HEADER],
            event: buffer()?,
            next_order: 0,
            epoch: 0,
            broken: None,
            counters: Counters::default(),
        })
    }

    /// The connection was made anew (after a resume): requests in flight fail, transactions are void,
    /// and all watches count as fired. Their owners add them again, or [`Engine::watched`] tells which there are.
    pub fn reconnect(&mut self, page: Shared<DomainInterface>) {
        self.ring = Ring::new(page);
        self.reading = Reading::Header { got: 0 };
        self.epoch = self.epoch.wrapping_add(1);
        self.broken = None;
        self.fail_all(StoreError::Reset);
        self.watches.fire_all();
    }

    /// How the connection ended, if it did.
    pub fn broken(&self) -> Option<Breach> {
        self.broken
    }

    /// What was odd so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Somebody's reply has come and has not been taken.
    pub fn has_untaken(&self) -> bool {
        self.slots
            .iter()
            .any(|slot| matches!(slot.state, State::Done(_)))
    }

    /// Bits `SERVER_FEATURE_*` of the server.
    pub fn server_features(&self) -> u32 {
        self.ring.server_features()
    }

    /// Puts a request into the queue; [`Engine::pump`] sends it. <= DISPATCH_LEVEL.
    pub fn submit(
        &mut self,
        request: &Request<'_>,
        transaction: Option<Transaction>,
    ) -> Result<Ticket, StoreError> {
        if let Some(breach) = self.broken {
            return Err(StoreError::Broken(breach));
        }
        if transaction.is_some_and(|transaction| transaction.epoch != self.epoch) {
            return Err(StoreError::Reset);
        }
        let index = self
            .slots
            .iter()
            .position(|slot| slot.state == State::Free)
            .ok_or(StoreError::Busy)?;
        let order = self.next_order;
        let slot = self.slots.get_mut(index).ok_or(StoreError::Busy)?;
        let len = request.encode(&mut slot.payload)?;
        slot.uses = slot.uses.wrapping_add(1);
        slot.header = Header {
            kind: request.kind(),
            req_id: slot.uses.wrapping_mul(SLOTS as u32) | index as u32,
            tx_id: transaction.map_or(0, |transaction| transaction.id),
            len: len as u32,
        };
        slot.state = State::Queued;
        slot.abandoned = false;
        slot.order = order;
        self.next_order += 1;
        Ok(Ticket(slot.header.req_id))
    }

    fn slot_of(&self, id: u32) -> Option<usize> {
        let index = id as usize % SLOTS;
        let slot = self.slots.get(index)?;
        (slot.state != State::Free && slot.header.req_id == id).then_some(index)
    }

    /// Takes a reply. `None`: it has not come yet. `read` sees a success's body.
    pub fn take<T>(
        &mut self,
        ticket: Ticket,
        read: impl FnOnce(&[u8]) -> T,
    ) -> Option<Result<T, StoreError>> {
        let Some(slot) = self
            .slot_of(ticket.0)
            .and_then(|index| self.slots.get_mut(index))
        else {
            return Some(Err(StoreError::Reset));
        };
        let State::Done(result) = slot.state else {
            return None;
        };
        slot.state = State::Free;
        Some(result.map(|len| read(slot.payload.get(..len).unwrap_or_default())))
    }

    /// Gives a request up. What was not sent never is; a reply that comes is swallowed, and a transaction or a
    /// watch that it made is ended.
    pub fn abandon(&mut self, ticket: Ticket) {
        let Some(slot) = self
            .slot_of(ticket.0)
            .and_then(|index| self.slots.get_mut(index))
        else {
            return;
        };
        self.counters.abandoned += 1;
        match slot.state {
            State::Queued | State::Done(_) => slot.state = State::Free,
            _ => slot.abandoned = true,
        }
    }

    /// A transaction from the body of the reply that started it.
    pub fn transaction(&self, body: &[u8]) -> Result<Transaction, StoreError> {
        match message::number(body) {
            Some(id) if id != 0 => Ok(Transaction {
                id,
                epoch: self.epoch,
            }),
            _ => Err(StoreError::Reply),
        }
    }

    /// Enters a watch; the caller sends the request ([`Request::Watch`] with the id). `cookie` is what
    /// [`Engine::take_fired`] tells.
    pub fn add_watch(&mut self, path: &Path<'_>, cookie: usize) -> Result<WatchId, StoreError> {
        self.watches.add(path, cookie)
    }

    /// Takes a watch out: its events are no longer told. The caller sends the request ([`Request::Unwatch`]).
    pub fn remove_watch(&mut self, id: WatchId) -> Option<Box<[u8]>> {
        self.watches.remove(id)
    }

    /// Tells the cookies of the watches that fired since the last call.
    pub fn take_fired(&mut self, tell: impl FnMut(usize)) {
        self.watches.take_fired(tell);
    }

    /// Every watch with its path.
    pub fn watched(&self) -> impl Iterator<Item = (WatchId, &[u8])> {
        self.watches.iter()
    }

    /// Moves bytes both ways as long as there are any. <= DISPATCH_LEVEL.
    pub fn pump(&mut self) -> Pumped {
        let mut pumped = Pumped::default();
        if self.broken.is_some() {
            return pumped;
        }
        for _ in 0..PASSES {
            match self.pass(&mut pumped.completed) {
                Ok(false) => break,
                Ok(true) => pumped.notify = true,
                Err(breach) => {
                    self.broken = Some(breach);
                    self.fail_all(StoreError::Broken(breach));
                    pumped.completed = true;
                    break;
                }
            }
        }
        pumped
    }

    /// One pass over both rings. True: bytes moved.
    fn pass(&mut self, completed: &mut bool) -> Result<bool, Breach> {
        let sent = self.send()?;
        let received = self.receive(completed)?;
        Ok(sent || received)
    }

    /// Sends some of the message that is due. True: bytes moved.
    fn send(&mut self) -> Result<bool, Breach> {
        let sending = self
            .slots
            .iter()
            .position(|slot| matches!(slot.state, State::Sending { .. }));
        let due = sending.or_else(|| {
            let queued = self
                .slots
                .iter()
                .enumerate()
                .filter(|(_, slot)| slot.state == State::Queued);
            queued
                .min_by_key(|(_, slot)| slot.order)
                .map(|(index, _)| index)
        });
        let Some(slot) = due.and_then(|index| self.slots.get_mut(index)) else {
            return Ok(false);
        };
        let sent = if let State::Sending { sent } = slot.state {
            sent
        } else {
            0
        };
        let total = HEADER + slot.header.len as usize;
        let header = slot.header.as_bytes();
        let rest = match header.get(sent..) {
            Some(rest) if !rest.is_empty() => rest,
            _ => slot
                .payload
                .get(sent - HEADER..total - HEADER)
                .unwrap_or_default(),
        };
        let moved = self.ring.write(rest)?;
        let sent = sent + moved;
        slot.state = match sent {
            0 => State::Queued,
            sent if sent == total => State::Waiting,
            sent => State::Sending { sent },
        };
        Ok(moved != 0)
    }

    /// Reads some of the message that is coming. True: bytes moved.
    fn receive(&mut self, completed: &mut bool) -> Result<bool, Breach> {
        match self.reading {
            Reading::Header { got } => {
                let moved = self
                    .ring
                    .read(self.header.get_mut(got..).unwrap_or_default())?;
                let got = got + moved;
                self.reading = Reading::Header { got };
                if got == HEADER {
                    let header =
                        Header::read_from_bytes(&self.header).map_err(|_| Breach::Length(0))?;
                    self.begin(header, completed)?;
                }
                Ok(moved != 0)
            }
            Reading::Body { header, sink, got } => {
                let len = header.len as usize;
                let buffer = match sink {
                    Sink::Reply { slot } => self.slots.get_mut(slot).map(|slot| &mut slot.payload),
                    Sink::Event => Some(&mut self.event),
                    Sink::Nowhere => None,
                };
                let moved = match buffer {
                    Some(buffer) => self
                        .ring
                        .read(buffer.get_mut(got..len).unwrap_or_default())?,
                    None => self.ring.skip(len - got)?,
                };
                let got = got + moved;
                self.reading = Reading::Body { header, sink, got };
                if got == len {
                    self.end(header, sink, completed);
                }
                Ok(moved != 0)
            }
        }
    }

    /// A header has come.
    fn begin(&mut self, header: Header, completed: &mut bool) -> Result<(), Breach> {
        if header.len as usize > PAYLOAD_MAX {
            return Err(Breach::Length(header.len));
        }
        let sink = self.sink(&header);
        self.reading = Reading::Body {
            header,
            sink,
            got: 0,
        };
        if header.len == 0 {
            self.end(header, sink, completed);
        }
        Ok(())
    }

    fn sink(&mut self, header: &Header) -> Sink {
        if header.kind == MessageType::WATCH_EVENT {
            return Sink::Event;
        }
        let waiting = self
            .slot_of(header.req_id)
            .and_then(|index| Some((index, self.slots.get(index)?)));
        match waiting {
            Some((index, slot)) if slot.state == State::Waiting => {
                // An abandoned request's payload is kept, to undo what it did; only a transaction's number is read.
                let discard = slot.abandoned && slot.header.kind != MessageType::TRANSACTION_START;
                if discard {
                    Sink::Nowhere
                } else {
                    Sink::Reply { slot: index }
                }
            }
            _ => Sink::Nowhere,
        }
    }

    /// A whole message has come.
    fn end(&mut self, header: Header, sink: Sink, completed: &mut bool) {
        self.reading = Reading::Header { got: 0 };
        let body = header.len as usize;
        if let Sink::Event = sink {
            let token = message::token(self.event.get(..body).unwrap_or_default());
            if !token.is_some_and(|token| self.watches.fire(WatchId(token))) {
                self.counters.strange_events += 1;
            }
            return;
        }
        let index = self.slot_of(header.req_id);
        let waiting = index
            .and_then(|index| self.slots.get_mut(index))
            .filter(|slot| slot.state == State::Waiting);
        let Some(slot) = waiting else {
            self.counters.strange_replies += 1;
            return;
        };
        let stored = matches!(sink, Sink::Reply { .. });
        let text = if stored {
            slot.payload.get(..body).unwrap_or_default()
        } else {
            &[]
        };
        let result = match header.kind {
            MessageType::ERROR => Err(message::error(text)),
            kind if kind == slot.header.kind => Ok(body),
            _ => Err(StoreError::Reply),
        };
        if slot.abandoned {
            let order = self.next_order;
            self.next_order += 1;
            slot.undo(result, order);
        } else {
            slot.state = State::Done(result);
            *completed = true;
        }
    }

    fn fail_all(&mut self, error: StoreError) {
        for slot in &mut self.slots {
            match slot.state {
                State::Free | State::Done(_) => {}
                _ if slot.abandoned => slot.state = State::Free,
                _ => slot.state = State::Done(Err(error)),
            }
        }
    }
}

impl Slot {
    /// The reply to an abandoned request has come: what the request made is ended by another request.
    fn undo(&mut self, result: Result<usize, StoreError>, order: u64) {
        self.state = State::Free;
        let Ok(body) = result else { return };
        let follow_up = match self.header.kind {
            MessageType::TRANSACTION_START => {
                let id = message::number(self.payload.get(..body).unwrap_or_default());
                let len = Request::TransactionEnd(false).encode(&mut self.payload);
                id.zip(len.ok())
                    .map(|(id, len)| (MessageType::TRANSACTION_END, id, len as u32))
            }
            MessageType::WATCH => Some((MessageType::UNWATCH, 0, self.header.len)),
            _ => None,
        };
        if let Some((kind, tx_id, len)) = follow_up {
            self.uses = self.uses.wrapping_add(1);
            let req_id = self.uses.wrapping_mul(SLOTS as u32) | (self.header.req_id % SLOTS as u32);
            self.header = Header {
                kind,
                req_id,
                tx_id,
                len,
            };
            self.order = order;
            self.state = State::Queued;
        }
    }
}

/// A payload buffer.
fn buffer() -> Result<Box<[u8; PAYLOAD_MAX]>, StoreError> {
    let mut bytes = Vec::new();
    bytes
        .try_reserve_exact(PAYLOAD_MAX)
        .map_err(|_| StoreError::OutOfMemory)?;
    bytes.resize(PAYLOAD_MAX, 0);
    bytes
        .into_boxed_slice()
        .try_into()
        .map_err(|_| StoreError::OutOfMemory)
}

const _: () = assert!(SLOTS.is_power_of_two());
