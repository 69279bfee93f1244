//! Spin locks that own what they guard.

use core::cell::UnsafeCell;
use core::hint;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicBool, Ordering};

use wdk_sys::KIRQL;
use wdk_sys::ntddk::{
    KeAcquireSpinLockAtDpcLevel, KeAcquireSpinLockRaiseToDpc, KeReleaseSpinLock,
    KeReleaseSpinLockFromDpcLevel,
};

use crate::irql::{HIGH_LEVEL, Raised};

/// A `KSPIN_LOCK` around a value, taken at DISPATCH_LEVEL. Not recursive.
pub struct SpinLock<T: ?Sized> {
    lock: UnsafeCell<wdk_sys::KSPIN_LOCK>,
    value: UnsafeCell<T>,
}

// SAFETY: the lock lets one processor at the value at a time.
unsafe impl<T: ?Sized + Send> Sync for SpinLock<T> {}
// SAFETY: moving an unlocked lock moves its value.
unsafe impl<T: ?Sized + Send> Send for SpinLock<T> {}

impl<T> SpinLock<T> {
    /// An unlocked lock (`KeInitializeSpinLock` stores 0).
    pub const fn new(value: T) -> Self {
        Self {
            lock: UnsafeCell::new(0),
            value: UnsafeCell::new(value),
        }
    }
}

impl<T: Default> Default for SpinLock<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T: ?Sized> SpinLock<T> {
    /// Takes the lock, raising to DISPATCH_LEVEL. IRQL <= DISPATCH_LEVEL.
    pub fn lock(&self) -> SpinGuard<'_, T> {
        // SAFETY: an initialised lock that outlives the guard.
        let old = unsafe { KeAcquireSpinLockRaiseToDpc(self.lock.get()) };
        SpinGuard {
            lock: self,
            old: Some(old),
            not_send: PhantomData,
        }
    }

    /// Takes the lock at DISPATCH_LEVEL, which the caller is at.
    pub fn lock_at_dispatch(&self) -> SpinGuard<'_, T> {
        // SAFETY: an initialised lock that outlives the guard.
        unsafe { KeAcquireSpinLockAtDpcLevel(self.lock.get()) };
        SpinGuard {
            lock: self,
            old: None,
            not_send: PhantomData,
        }
    }

    /// The value, which the caller alone can reach.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }
}

/// Access to a [`SpinLock`]'s value.
#[must_use = "the lock is released when this is dropped"]
pub struct SpinGuard<'a, T: ?Sized> {
    lock: &'a SpinLock<T>,
    old: Option<KIRQL>,
    not_send: PhantomData<*mut ()>,
}

impl<T: ?Sized> Deref for SpinGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the lock is held.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> DerefMut for SpinGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the lock is held and the guard is borrowed exclusively.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T: ?Sized> Drop for SpinGuard<'_, T> {
    fn drop(&mut self) {
        match self.old {
            // SAFETY: taken by this guard, which raised from that level.
            Some(old) => unsafe { KeReleaseSpinLock(self.lock.lock.get(), old) },
            // SAFETY: taken by this guard without raising.
            None => unsafe { KeReleaseSpinLockFromDpcLevel(self.lock.lock.get()) },
        }
    }
}

/// A lock that may be taken at any IRQL, held at HIGH_LEVEL: for what interrupt routines of several
/// vectors share. To be held for a few instructions only.
pub struct HighLock<T: ?Sized> {
    taken: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: the lock lets one processor at the value at a time.
unsafe impl<T: ?Sized + Send> Sync for HighLock<T> {}
// SAFETY: moving an unlocked lock moves its value.
unsafe impl<T: ?Sized + Send> Send for HighLock<T> {}

impl<T> HighLock<T> {
    /// An unlocked lock.
    pub const fn new(value: T) -> Self {
        Self {
            taken: AtomicBool::new(false),
            value: UnsafeCell::new(value),
        }
    }
}

impl<T: ?Sized> HighLock<T> {
    /// Takes the lock, raising to HIGH_LEVEL. Any IRQL.
    pub fn lock(&self) -> HighGuard<'_, T> {
        let raised = Raised::to(HIGH_LEVEL);
        while self.taken.swap(true, Ordering::Acquire) {
            while self.taken.load(Ordering::Relaxed) {
                hint::spin_loop();
            }
        }
        HighGuard {
            lock: self,
            _raised: raised,
        }
    }
}

/// Access to a [`HighLock`]'s value.
#[must_use = "the lock is released when this is dropped"]
pub struct HighGuard<'a, T: ?Sized> {
    lock: &'a HighLock<T>,
    // Dropped after the lock is free again: fields are dropped after `drop`.
    _raised: Raised,
}

impl<T: ?Sized> Deref for HighGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the lock is held.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> DerefMut for HighGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the lock is held and the guard is borrowed exclusively.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T: ?Sized> Drop for HighGuard<'_, T> {
    fn drop(&mut self) {
        self.lock.taken.store(false, Ordering::Release);
    }
}
