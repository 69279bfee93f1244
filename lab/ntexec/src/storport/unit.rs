//! What the port keeps of a unit.

use alloc::boxed::Box;
use alloc::string::String;
use core::ffi::c_void;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::adapter::Adapter;
use super::ids::Inquiry;
use super::os::*;
use super::queue::UnitQueue;
use super::request::Request;
use super::srb::Address;
use crate::nt::io::DEVICE_OBJECT;
use crate::nt::ke::KEVENT;
use crate::sync::Lock;

/// A unit.
pub(crate) struct Unit {
    pub adapter: *mut Adapter,
    pub address: Address,
    /// The physical device object; null until the scan made it
    pub pdo: *mut DEVICE_OBJECT,
    pub inquiry: Inquiry,
    /// VPD page 80h, as text; empty if there is none
    pub serial: String,
    /// VPD page 83h as it came
    pub identifiers: alloc::vec::Vec<u8>,
    pub queue: Lock<UnitQueue<*mut Request>>,
    /// The LU extension; null if the miniport wants none
    pub extension: *mut c_void,
    /// Seen by the last scan
    pub present: AtomicBool,
    /// The last BusRelations named its device object
    pub reported: AtomicBool,
    pub claimed: AtomicBool,
    pub started: AtomicBool,
    /// No more requests are taken
    pub gone: AtomicBool,
    /// Requests that were taken and are not completed
    pub active: AtomicU32,
    /// Signalled when `active` falls to 0
    pub idle: Lock<Box<KEVENT>>,
}

// SAFETY: the queue is behind a lock, the rest is atomic or does not change once the unit is known.
unsafe impl Sync for Unit {}

impl Unit {
    /// A request is taken; false if the unit takes none any more.
    pub fn enter(&self) -> bool {
        self.active.fetch_add(1, Ordering::AcqRel);
        if self.gone.load(Ordering::Acquire) {
            self.leave();
            return false;
        }
        true
    }

    /// A request that was taken is completed.
    pub fn leave(&self) {
        if self.active.fetch_sub(1, Ordering::AcqRel) == 1 && self.gone.load(Ordering::Acquire) {
            let event: *mut KEVENT = &mut **self.idle.lock();
            // SAFETY: the event lives as long as the unit; callers are at or below DISPATCH_LEVEL.
            unsafe { KeSetEvent(event, 0, 0) };
        }
    }

    /// Takes no more requests and waits until the taken ones are completed; false if some are not after `timeout`.
    pub fn drain(&self, timeout: u64) -> bool {
        self.gone.store(true, Ordering::Release);
        let event: *mut KEVENT = &mut **self.idle.lock();
        let deadline = now() + timeout;
        while self.active.load(Ordering::Acquire) != 0 {
            if now() >= deadline {
                return false;
            }
            // SAFETY: the event lives as long as the unit.
            wait(unsafe { &mut *event }, Some(SECOND / 10));
        }
        true
    }
}
