//! Locks for threads, under which everything that PASSIVE_LEVEL allows may be done.

use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};
use core::time::Duration;

use crate::event::{Event, Kind};
use crate::status::Result;

/// How long a thread waits for the lock between two lines in the log.
const PATIENCE: Duration = Duration::from_secs(10);

/// A lock around a value, taken at PASSIVE_LEVEL. Not recursive.
pub struct Mutex<T> {
    name: &'static str,
    free: Event,
    value: UnsafeCell<T>,
}

// SAFETY: the event lets one thread at the value at a time.
unsafe impl<T: Send> Sync for Mutex<T> {}

impl<T> Mutex<T> {
    /// A free lock; `name` is for the log.
    ///
    /// # Errors
    /// `INSUFFICIENT_RESOURCES`.
    pub fn new(name: &'static str, value: T) -> Result<Self> {
        let free = Event::new(Kind::Synchronization)?;
        free.set();
        Ok(Self {
            name,
            free,
            value: UnsafeCell::new(value),
        })
    }

    /// Takes the lock; every ten seconds of waiting make a line in the log. PASSIVE_LEVEL.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        let mut waited = 0;
        while !self.free.wait(PATIENCE) {
            waited += PATIENCE.as_secs();
            crate::warn!("waited {waited} s for {}", self.name);
        }
        MutexGuard { lock: self }
    }
}

/// Access to a [`Mutex`]'s value.
#[must_use = "the lock is released when this is dropped"]
pub struct MutexGuard<'a, T> {
    lock: &'a Mutex<T>,
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the lock is held.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the lock is held and the guard is borrowed exclusively.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        self.lock.free.set();
    }
}
