//! A spin lock for the executive's own data.

use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicBool, Ordering};

use crate::machine::try_machine;

/// Data behind a spin lock that keeps interrupts off while it is held: usable at any IRQL, also by interrupt routines.
///
/// Hold it for a few instructions only, and never call a driver, wait, or take the same lock again with it held.
pub struct Lock<T: ?Sized> {
    held: AtomicBool,
    data: UnsafeCell<T>,
}

// SAFETY: the lock gives access to one holder at a time.
unsafe impl<T: ?Sized + Send> Sync for Lock<T> {}
// SAFETY: moving the lock moves the data.
unsafe impl<T: ?Sized + Send> Send for Lock<T> {}

impl<T> Lock<T> {
    /// A free lock around `data`.
    pub const fn new(data: T) -> Self {
        Self {
            held: AtomicBool::new(false),
            data: UnsafeCell::new(data),
        }
    }
}

impl<T: ?Sized> Lock<T> {
    /// Takes the lock; interrupts stay off until the guard is dropped.
    pub fn lock(&self) -> Guard<'_, T> {
        let enable = try_machine().is_some_and(|m| m.disable_interrupts());
        let mut spins = 0;
        while self.held.swap(true, Ordering::Acquire) {
            relax(spins);
            spins = spins.saturating_add(1);
        }
        Guard { lock: self, enable }
    }

    /// Takes the lock if it is free.
    pub fn try_lock(&self) -> Option<Guard<'_, T>> {
        let enable = try_machine().is_some_and(|m| m.disable_interrupts());
        if self.held.swap(true, Ordering::Acquire) {
            restore(enable);
            return None;
        }
        Some(Guard { lock: self, enable })
    }

    /// The data, without locking.
    ///
    /// # Safety
    /// No other processor may use the data (a bug check, which has stopped them).
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn steal(&self) -> &mut T {
        // SAFETY: by the caller's word.
        unsafe { &mut *self.data.get() }
    }
}

fn relax(spins: u32) {
    match try_machine() {
        Some(m) => m.relax(spins),
        None => core::hint::spin_loop(),
    }
}

fn restore(enable: bool) {
    if enable && let Some(m) = try_machine() {
        m.enable_interrupts();
    }
}

/// Gives access to a [`Lock`]'s data.
pub struct Guard<'a, T: ?Sized> {
    lock: &'a Lock<T>,
    enable: bool,
}

impl<T: ?Sized> Deref for Guard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: the guard holds the lock.
        unsafe { &*self.lock.data.get() }
    }
}

impl<T: ?Sized> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard holds the lock.
        unsafe { &mut *self.lock.data.get() }
    }
}

impl<T: ?Sized> Drop for Guard<'_, T> {
    fn drop(&mut self) {
        self.lock.held.store(false, Ordering::Release);
        restore(self.enable);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_lock_cannot_be_taken_twice() {
        let l = Lock::new(1);
        let g = l.lock();
        assert!(l.try_lock().is_none());
        drop(g);
        *l.lock() += 1;
        assert_eq!(*l.lock(), 2);
    }
}
