//! The open channels: which function to call for which port.
//!
//! Slots never go back to the allocator while the table lives, and an interrupt handler counts itself into a
//! slot before it looks whether the slot is still open. So a channel can be closed while a handler runs:
//! the closer waits until the count is zero.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use core::sync::atomic::{AtomicU16, AtomicU32, AtomicUsize};

use super::{EventAbi, MAX_PORTS};
use crate::XenError;

const FREE: u32 = 0;
const OPENING: u32 = 1;
const OPEN: u32 = 2;
const CLOSING: u32 = 3;

/// No channel, in the table by port.
const NONE: u16 = u16::MAX;

/// A channel's place in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelId(u16);

impl ChannelId {
    /// The place's number.
    pub const fn index(self) -> u16 {
        self.0
    }

    /// The place of that number, which need not hold a channel.
    pub const fn from_index(index: u16) -> Self {
        Self(index)
    }
}

/// What [`Channels::open`] needs to know.
#[derive(Clone, Copy, Debug)]
pub struct OpenChannel {
    /// The port.
    pub port: u32,
    /// Mask the port before each call; the owner unmasks.
    pub auto_mask: bool,
    /// The port is closed with the channel; else it belongs to someone else (the toolstack).
    pub owns_port: bool,
    /// The vCPU that is told.
    pub vcpu: u32,
    /// The driver's function, opaque here.
    pub function: usize,
    /// Its argument.
    pub argument: usize,
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// The channel's function was called.
    Called,
    /// No open channel has the port; it is masked now.
    Stray,
}

#[derive(Debug)]
struct Slot {
    state: AtomicU32,
    port: AtomicU32,
    /// Handlers inside.
    active: AtomicU32,
    auto_mask: AtomicU32,
    owns_port: AtomicU32,
    vcpu: AtomicU32,
    count: AtomicU32,
    function: AtomicUsize,
    argument: AtomicUsize,
}

impl Slot {
    const fn new() -> Self {
        Self {
            state: AtomicU32::new(FREE),
            port: AtomicU32::new(0),
            active: AtomicU32::new(0),
            auto_mask: AtomicU32::new(0),
            owns_port: AtomicU32::new(0),
            vcpu: AtomicU32::new(0),
            count: AtomicU32::new(0),
            function: AtomicUsize::new(0),
            argument: AtomicUsize::new(0),
        }
    }
}

/// The table.
#[derive(Debug)]
pub struct Channels {
    slots: Box<[Slot]>,
    by_port: Box<[AtomicU16]>,
    /// Events of ports that no channel has.
    strays: AtomicU32,
}

impl Channels {
    /// A table for up to `capacity` channels (at most 4095).
    pub fn new(capacity: u16) -> Result<Self, XenError> {
        let capacity = capacity.min(MAX_PORTS as u16 - 1);
        Ok(Self {
            slots: boxed(capacity.into(), Slot::new)?,
            by_port: boxed(MAX_PORTS as usize, || AtomicU16::new(NONE))?,
            strays: AtomicU32::new(0),
        })
    }

    /// Enters a channel. Its port stays masked. <= DISPATCH_LEVEL.
    pub fn open(&self, channel: &OpenChannel) -> Result<ChannelId, XenError> {
        let by_port = self
            .by_port
            .get(channel.port as usize)
            .filter(|_| EventAbi::is_valid(channel.port))
            .ok_or(XenError::OutOfRange {
                what: "port",
                value: channel.port.into(),
            })?;
        let (index, slot) = self
            .slots
            .iter()
            .enumerate()
            .find(|(_, slot)| {
                slot.state
                    .compare_exchange(FREE, OPENING, SeqCst, Relaxed)
                    .is_ok()
            })
            .ok_or(XenError::OutOfMemory {
                what: "event channels",
            })?;
        let id = index as u16;
        slot.port.store(channel.port, Relaxed);
        slot.auto_mask.store(channel.auto_mask.into(), Relaxed);
        slot.owns_port.store(channel.owns_port.into(), Relaxed);
        slot.vcpu.store(channel.vcpu, Relaxed);
        slot.count.store(0, Relaxed);
        slot.function.store(channel.function, Relaxed);
        slot.argument.store(channel.argument, Relaxed);
        if by_port.compare_exchange(NONE, id, SeqCst, SeqCst).is_err() {
            slot.state.store(FREE, SeqCst);
            return Err(XenError::OutOfRange {
                what: "port already open",
                value: channel.port.into(),
            });
        }
        slot.state.store(OPEN, SeqCst);
        Ok(ChannelId(id))
    }

    fn slot(&self, id: ChannelId) -> Option<&Slot> {
        self.slots
            .get(usize::from(id.0))
            .filter(|slot| slot.state.load(SeqCst) == OPEN)
    }

    /// Takes an event: masks the port if the channel asks for it, acknowledges, counts, and calls `run` with the
    /// channel's function and argument. Any IRQL.
    pub fn deliver(&self, abi: &EventAbi, port: u32, run: impl FnOnce(usize, usize)) -> Delivery {
        let id = self
            .by_port
            .get(port as usize)
            .map_or(NONE, |id| id.load(Acquire));
        let called = self.inside(ChannelId(id), |slot| {
            if slot.port.load(Relaxed) != port {
                return false;
            }
            if slot.auto_mask.load(Relaxed) != 0 {
                abi.mask(port);
            }
            abi.ack(port);
            // After the acknowledgement, so that who has seen the count sees what the event announced.
            slot.count.fetch_add(1, Release);
            run(slot.function.load(Relaxed), slot.argument.load(Relaxed));
            true
        });
        if called == Some(true) {
            return Delivery::Called;
        }
        abi.mask(port);
        abi.ack(port);
        self.strays.fetch_add(1, Relaxed);
        Delivery::Stray
    }

    /// Calls `run` with the channel's function and argument, without an event. False: it is not open. Any IRQL.
    pub fn trigger(&self, id: ChannelId, run: impl FnOnce(usize, usize)) -> bool {
        self.inside(id, |slot| {
            run(slot.function.load(Relaxed), slot.argument.load(Relaxed))
        })
        .is_some()
    }

    /// Runs `f` on an open slot that cannot be freed meanwhile.
    fn inside<T>(&self, id: ChannelId, f: impl FnOnce(&Slot) -> T) -> Option<T> {
        let slot = self.slots.get(usize::from(id.0))?;
        // SeqCst, against `close`: either the closer sees this count, or this sees the slot closed.
        slot.active.fetch_add(1, SeqCst);
        let result = (slot.state.load(SeqCst) == OPEN).then(|| f(slot));
        slot.active.fetch_sub(1, SeqCst);
        result
    }

    /// Ends a channel: no handler begins any more. Those inside go on until [`Channels::free`] says so.
    /// Returns the port. `None`: it was not open. <= DISPATCH_LEVEL.
    pub fn close(&self, id: ChannelId) -> Option<u32> {
        let slot = self.slots.get(usize::from(id.0))?;
        slot.state
            .compare_exchange(OPEN, CLOSING, SeqCst, SeqCst)
            .ok()?;
        let port = slot.port.load(Relaxed);
        if let Some(by_port) = self.by_port.get(port as usize) {
            let _ = by_port.compare_exchange(id.0, NONE, SeqCst, SeqCst);
        }
        Some(port)
    }

    /// Frees the place of a closed channel. False: a handler is still inside, try again.
    pub fn free(&self, id: ChannelId) -> bool {
        let Some(slot) = self.slots.get(usize::from(id.0)) else {
            return true;
        };
        if slot.active.load(SeqCst) != 0 {
            return false;
        }
        let _ = slot.state.compare_exchange(CLOSING, FREE, SeqCst, SeqCst);
        true
    }

    /// Events of the channel so far, wrapping. `None`: it is not open. Any IRQL.
    pub fn count(&self, id: ChannelId) -> Option<u32> {
        self.slot(id).map(|slot| slot.count.load(Acquire))
    }

    /// The channel's port. Any IRQL.
    pub fn port(&self, id: ChannelId) -> Option<u32> {
        self.slot(id).map(|slot| slot.port.load(Relaxed))
    }

    /// The channel masks its port before each call. Any IRQL.
    pub fn auto_mask(&self, id: ChannelId) -> Option<bool> {
        self.slot(id).map(|slot| slot.auto_mask.load(Relaxed) != 0)
    }

    /// The port is closed with the channel. Any IRQL.
    pub fn owns_port(&self, id: ChannelId) -> Option<bool> {
        self.slot(id).map(|slot| slot.owns_port.load(Relaxed) != 0)
    }

    /// The vCPU that is told of the channel's events. Any IRQL.
    pub fn vcpu(&self, id: ChannelId) -> Option<u32> {
        self.slot(id).map(|slot| slot.vcpu.load(Relaxed))
    }

    /// Notes that the channel was bound to another vCPU.
    pub fn set_vcpu(&self, id: ChannelId, vcpu: u32) {
        if let Some(slot) = self.slot(id) {
            slot.vcpu.store(vcpu, Relaxed);
        }
    }

    /// The open channels.
    pub fn open_ids(&self) -> impl Iterator<Item = ChannelId> {
        self.slots
            .iter()
            .enumerate()
            .filter(|(_, slot)| slot.state.load(SeqCst) == OPEN)
            .map(|(index, _)| ChannelId(index as u16))
    }

    /// Events of ports that no channel had, so far.
    pub fn strays(&self) -> u32 {
        self.strays.load(Relaxed)
    }
}

/// True when a wrapping counter has come to `target` or passed it.
pub const fn reached(count: u32, target: u32) -> bool {
    count.wrapping_sub(target) as i32 >= 0
}

fn boxed<T>(count: usize, make: impl FnMut() -> T) -> Result<Box<[T]>, XenError> {
    let mut items = Vec::new();
    items
        .try_reserve_exact(count)
        .map_err(|_| XenError::OutOfMemory {
            what: "event channel table",
        })?;
    items.extend(core::iter::repeat_with(make).take(count));
    Ok(items.into_boxed_slice())
}
