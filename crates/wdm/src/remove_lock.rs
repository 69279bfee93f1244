//! Remove locks: a device goes only when no request is inside the driver.

use core::cell::UnsafeCell;
use core::ffi::c_void;

use rust_alloc::boxed::Box;
use wdk_sys::IO_REMOVE_LOCK;
use wdk_sys::ntddk::{
    IoAcquireRemoveLockEx, IoInitializeRemoveLockEx, IoReleaseRemoveLockAndWaitEx,
    IoReleaseRemoveLockEx,
};

use crate::alloc::try_box;
use crate::status::{Result, Status};

const SIZE: u32 = size_of::<IO_REMOVE_LOCK>() as u32;

/// An `IO_REMOVE_LOCK`.
pub struct RemoveLock(Box<UnsafeCell<IO_REMOVE_LOCK>>);

// SAFETY: the kernel's routines serialise access.
unsafe impl Send for RemoveLock {}
// SAFETY: as above.
unsafe impl Sync for RemoveLock {}

impl RemoveLock {
    /// A lock that can be acquired. PASSIVE_LEVEL.
    ///
    /// # Errors
    /// `INSUFFICIENT_RESOURCES`.
    pub fn new(tag: &[u8; 4]) -> Result<Self> {
        let lock = Self(try_box(UnsafeCell::new(IO_REMOVE_LOCK::default()))?);
        let tag = u32::from_le_bytes(*tag);
        // SAFETY: nonpaged memory of that size; no time or count limits.
        unsafe { IoInitializeRemoveLockEx(lock.0.get(), tag, 0, 0, SIZE) };
        Ok(lock)
    }

    /// Holds the device, for `user` (an IRP's address, say). IRQL <= DISPATCH_LEVEL.
    ///
    /// # Errors
    /// [`Status::DELETE_PENDING`]: the device is being removed.
    pub fn acquire(&self, user: usize) -> Result {
        // SAFETY: an initialised lock; file and line are optional.
        Status::check(unsafe {
            IoAcquireRemoveLockEx(self.0.get(), tag(user), c"".as_ptr().cast(), 0, SIZE)
        })
    }

    /// Lets go, for the `user` that acquired. IRQL <= DISPATCH_LEVEL.
    pub fn release(&self, user: usize) {
        // SAFETY: an initialised lock that this user holds.
        unsafe { IoReleaseRemoveLockEx(self.0.get(), tag(user), SIZE) };
    }

    /// Lets go in the remove request and waits until all others have. PASSIVE_LEVEL.
    pub fn release_and_wait(&self, user: usize) {
        // SAFETY: an initialised lock that this user holds.
        unsafe { IoReleaseRemoveLockAndWaitEx(self.0.get(), tag(user), SIZE) };
    }
}

/// The kernel compares tags and never looks behind them.
fn tag(user: usize) -> *mut c_void {
    core::ptr::without_provenance_mut(user)
}
