//! Synchronization events: one wait ends for each signal.

use alloc::boxed::Box;
use core::cell::UnsafeCell;

use crate::nt::ke::KEVENT;
use crate::storport::os::{KeInitializeEvent, KeSetEvent, KeWaitForSingleObject};

/// An event.
pub struct Event(Box<UnsafeCell<KEVENT>>);

// SAFETY: events are for use by several threads.
unsafe impl Send for Event {}
// SAFETY: as above.
unsafe impl Sync for Event {}

impl Default for Event {
    fn default() -> Self {
        Self::new()
    }
}

impl Event {
    /// An event that is not signalled.
    pub fn new() -> Self {
        const SYNCHRONIZATION: i32 = 1;
        // SAFETY: KEVENT is plain data, set up in place; the box does not move it.
        unsafe {
            let event = Box::new(UnsafeCell::new(core::mem::zeroed()));
            KeInitializeEvent(event.get(), SYNCHRONIZATION, 0);
            Self(event)
        }
    }

    /// Signals it. At most DISPATCH_LEVEL.
    pub fn set(&self) {
        // SAFETY: a live event.
        unsafe { KeSetEvent(self.0.get(), 0, 0) };
    }

    /// Waits at most so long, in units of 100 ns; true if it was signalled. PASSIVE_LEVEL.
    pub fn wait(&self, limit: u64) -> bool {
        let mut due = -(limit.min(i64::MAX as u64) as i64);
        // SAFETY: Executive, KernelMode, not alertable.
        unsafe { KeWaitForSingleObject(self.0.get().cast(), 0, 0, 0, &raw mut due) == 0 }
    }
}
