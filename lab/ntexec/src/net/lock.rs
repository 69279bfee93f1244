//! A lock at DISPATCH_LEVEL, for what takes longer than [`crate::sync::Lock`] may keep interrupts off.

use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicBool, Ordering};

use crate::machine::machine;
use crate::nt::ke::{DISPATCH_LEVEL, KIRQL};
use crate::storport::os::{KeGetCurrentIrql, KeLowerIrql, KfRaiseIrql};

/// Data that one processor uses at a time, at DISPATCH_LEVEL.
pub struct DispatchLock<T> {
    held: AtomicBool,
    data: UnsafeCell<T>,
}

// SAFETY: one holder at a time uses the data.
unsafe impl<T: Send> Sync for DispatchLock<T> {}

impl<T> DispatchLock<T> {
    /// A free lock.
    pub const fn new(data: T) -> Self {
        Self {
            held: AtomicBool::new(false),
            data: UnsafeCell::new(data),
        }
    }

    /// Takes the lock, and raises to DISPATCH_LEVEL. At most DISPATCH_LEVEL.
    pub fn lock(&self) -> DispatchGuard<'_, T> {
        let old = raise();
        let mut spins = 0;
        while self.held.swap(true, Ordering::Acquire) {
            machine().relax(spins);
            spins = spins.saturating_add(1);
        }
        DispatchGuard { lock: self, old }
    }

    /// Takes the lock if it is free. At most DISPATCH_LEVEL.
    pub fn try_lock(&self) -> Option<DispatchGuard<'_, T>> {
        let old = raise();
        if self.held.swap(true, Ordering::Acquire) {
            lower(old);
            return None;
        }
        Some(DispatchGuard { lock: self, old })
    }
}

fn raise() -> KIRQL {
    let old = KeGetCurrentIrql();
    if old < DISPATCH_LEVEL {
        KfRaiseIrql(DISPATCH_LEVEL);
    }
    old
}

fn lower(old: KIRQL) {
    if old < DISPATCH_LEVEL {
        KeLowerIrql(old);
    }
}

/// Gives access to a [`DispatchLock`]'s data.
pub struct DispatchGuard<'a, T> {
    lock: &'a DispatchLock<T>,
    old: KIRQL,
}

impl<T> Deref for DispatchGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: the guard holds the lock.
        unsafe { &*self.lock.data.get() }
    }
}

impl<T> DerefMut for DispatchGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard holds the lock.
        unsafe { &mut *self.lock.data.get() }
    }
}

impl<T> Drop for DispatchGuard<'_, T> {
    fn drop(&mut self) {
        self.lock.held.store(false, Ordering::Release);
        lower(self.old);
    }
}
