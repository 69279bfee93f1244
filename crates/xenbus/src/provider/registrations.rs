//! What children have registered with one interface: kept in order, each known to its child by its address.

use rust_alloc::boxed::Box;
use rust_alloc::vec::Vec;
use wdm::alloc::try_box;
use wdm::status::Status;
use wdm::sync::{SpinGuard, SpinLock};
use xenbus_interface::NtStatus;

/// Registrations. The lock guards the list and, while it is held, keeps every entry where it is; it is taken at
/// DISPATCH_LEVEL.
pub struct Registrations<T>(SpinLock<Vec<Box<T>>>);

impl<T> Registrations<T> {
    /// None.
    pub const fn new() -> Self {
        Self(SpinLock::new(Vec::new()))
    }

    /// The entries, none of which goes while the guard lives. IRQL <= DISPATCH_LEVEL.
    pub fn lock(&self) -> SpinGuard<'_, Vec<Box<T>>> {
        self.0.lock()
    }

    /// Adds an entry at the end and writes its handle. The status is `NO_MEMORY` if there is none. IRQL <= DISPATCH_LEVEL.
    ///
    /// # Safety
    /// `handle` is a place for the handle.
    pub unsafe fn add<H>(&self, entry: T, handle: *mut *mut H) -> NtStatus {
        let Ok(entry) = try_box(entry) else {
            return Status::NO_MEMORY.0;
        };
        let mut entries = self.0.lock();
        if entries.try_reserve(1).is_err() {
            return Status::NO_MEMORY.0;
        }
        // SAFETY: the caller's promise.
        unsafe { handle.write(core::ptr::from_ref(entry.as_ref()).cast_mut().cast()) };
        entries.push(entry);
        0
    }

    /// Takes an entry out; `what` is in the log if there is none. IRQL <= DISPATCH_LEVEL.
    pub fn remove<H>(&self, handle: *mut H, what: &str) {
        let mut entries = self.0.lock();
        let found = entries
            .iter()
            .position(|entry| core::ptr::from_ref(entry.as_ref()) == handle.cast_const().cast());
        let gone = found.map(|index| entries.remove(index));
        drop(entries);
        if gone.is_none() {
            wdm::error!("{what} that is not registered");
        }
    }
}
