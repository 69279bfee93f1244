//! Interrupt request levels.

use core::marker::PhantomData;

use wdk_sys::KIRQL;
use wdk_sys::ntddk::{KeGetCurrentIrql, KeLowerIrql, KfRaiseIrql};

/// Threads run here; anything may be called.
pub const PASSIVE_LEVEL: KIRQL = 0;
/// APCs are held off; paged memory may still be touched.
pub const APC_LEVEL: KIRQL = 1;
/// The scheduler is held off: no waits, no paged memory.
pub const DISPATCH_LEVEL: KIRQL = 2;
/// Everything is held off.
pub const HIGH_LEVEL: KIRQL = 15;

/// The processor's IRQL. Any IRQL.
pub fn current() -> KIRQL {
    // SAFETY: no requirements.
    unsafe { KeGetCurrentIrql() }
}

/// A raised IRQL, lowered when dropped. Guards are dropped in the reverse order of their making.
#[must_use = "the IRQL is lowered when this is dropped"]
pub struct Raised {
    old: KIRQL,
    // The level belongs to the processor that raised it.
    not_send: PhantomData<*mut ()>,
}

impl Raised {
    /// Raises to `level`, or stays where a higher one is in force. Any IRQL.
    pub fn to(level: KIRQL) -> Self {
        let level = level.max(current());
        // SAFETY: the new level is not below the current one.
        let old = unsafe { KfRaiseIrql(level) };
        Self {
            old,
            not_send: PhantomData,
        }
    }

    /// Raises to DISPATCH_LEVEL. Any IRQL.
    pub fn to_dispatch() -> Self {
        Self::to(DISPATCH_LEVEL)
    }
}

impl Drop for Raised {
    fn drop(&mut self) {
        // SAFETY: the level found by the constructor, which is not above the current one.
        unsafe { KeLowerIrql(self.old) };
    }
}
