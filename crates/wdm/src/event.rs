//! Events that threads wait for.

use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::time::Duration;

use rust_alloc::boxed::Box;
use wdk_sys::ntddk::{
    KeClearEvent, KeInitializeEvent, KeSetEvent, KeWaitForMultipleObjects, KeWaitForSingleObject,
};
use wdk_sys::{KEVENT, LARGE_INTEGER};

use crate::alloc::try_box;
use crate::status::Result;
use crate::time;

/// Whom an event wakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// All waiters, until it is cleared (`NotificationEvent`).
    Notification,
    /// One waiter, which clears it (`SynchronizationEvent`).
    Synchronization,
}

/// A `KEVENT` in nonpaged memory of its own, so that the handle may move.
pub struct Event(Box<UnsafeCell<KEVENT>>);

// SAFETY: the kernel serialises access to a dispatcher object.
unsafe impl Send for Event {}
// SAFETY: as above.
unsafe impl Sync for Event {}

impl Event {
    /// An event that is not signalled. IRQL <= DISPATCH_LEVEL.
    ///
    /// # Errors
    /// `INSUFFICIENT_RESOURCES`.
    pub fn new(kind: Kind) -> Result<Self> {
        let event = Self(try_box(UnsafeCell::new(KEVENT::default()))?);
        let kind = match kind {
            Kind::Notification => wdk_sys::_EVENT_TYPE::NotificationEvent,
            Kind::Synchronization => wdk_sys::_EVENT_TYPE::SynchronizationEvent,
        };
        // SAFETY: nonpaged memory that does not move.
        unsafe { KeInitializeEvent(event.as_ptr(), kind, 0) };
        Ok(event)
    }

    /// The `KEVENT`, valid while the event lives.
    pub fn as_ptr(&self) -> *mut KEVENT {
        self.0.get()
    }

    /// Signals. IRQL <= DISPATCH_LEVEL.
    pub fn set(&self) {
        // SAFETY: an initialised event; Wait is false, so the call does not leave a lock held.
        unsafe { KeSetEvent(self.as_ptr(), 0, 0) };
    }

    /// Takes the signal back. IRQL <= DISPATCH_LEVEL.
    pub fn clear(&self) {
        // SAFETY: an initialised event.
        unsafe { KeClearEvent(self.as_ptr()) };
    }

    /// Waits for at most `limit`; false if that has passed. IRQL <= APC_LEVEL, or <= DISPATCH_LEVEL for a
    /// limit of zero.
    pub fn wait(&self, limit: Duration) -> bool {
        let mut timeout = time::relative(limit);
        // SAFETY: an initialised event and a timeout that outlives the call.
        (unsafe { wait_raw(self.as_ptr().cast(), &raw mut timeout) }) == wdk_sys::STATUS_SUCCESS
    }

    /// Waits without limit: only for a thread with nothing else to do. IRQL <= APC_LEVEL.
    pub fn wait_for_work(&self) {
        // SAFETY: an initialised event; no timeout.
        unsafe { wait_raw(self.as_ptr().cast(), core::ptr::null_mut()) };
    }
}

/// Waits for a dispatcher object in kernel mode, not alertable.
///
/// # Safety
/// The object and the timeout, if any, are alive and initialised.
pub(crate) unsafe fn wait_raw(object: *mut c_void, timeout: *mut LARGE_INTEGER) -> i32 {
    // SAFETY: the caller's promise.
    unsafe {
        KeWaitForSingleObject(
            object,
            wdk_sys::_KWAIT_REASON::Executive,
            wdk_sys::_MODE::KernelMode as i8,
            0,
            timeout,
        )
    }
}

/// Most events that [`wait_any`] takes (`THREAD_WAIT_OBJECTS`).
pub const MAX_EVENTS: usize = 3;

/// Waits until one of the events is signalled and says which; `None` when `limit` (or, without one, an
/// error) ends the wait. IRQL <= APC_LEVEL.
pub fn wait_any<const N: usize>(events: [&Event; N], limit: Option<Duration>) -> Option<usize> {
    const { assert!(N > 0 && N <= MAX_EVENTS) };
    let mut objects = events.map(|event| event.as_ptr().cast::<c_void>());
    let mut timeout = time::relative(limit.unwrap_or_default());
    let timeout = if limit.is_some() {
        &raw mut timeout
    } else {
        core::ptr::null_mut()
    };
    // SAFETY: N <= THREAD_WAIT_OBJECTS initialised events; no wait blocks are needed for so few.
    let status = unsafe {
        KeWaitForMultipleObjects(
            N as u32,
            objects.as_mut_ptr(),
            wdk_sys::_WAIT_TYPE::WaitAny,
            wdk_sys::_KWAIT_REASON::Executive,
            wdk_sys::_MODE::KernelMode as i8,
            0,
            timeout,
            core::ptr::null_mut(),
        )
    };
    usize::try_from(status).ok().filter(|index| *index < N)
}

/// Signals an event that another driver gave us. IRQL <= DISPATCH_LEVEL.
///
/// # Safety
/// `event` is an initialised `KEVENT` that is alive.
pub unsafe fn set_foreign(event: *mut c_void) {
    // SAFETY: the caller's promise.
    unsafe { KeSetEvent(event.cast(), 0, 0) };
}
