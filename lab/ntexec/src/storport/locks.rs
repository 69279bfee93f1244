//! StorPortAcquireSpinLock and its release; StorPortSynchronizeAccess.

use core::ffi::c_void;

use super::adapter::{Adapter, Phase};
use super::hw::lock_of;
use super::os::*;
use super::rules;
use crate::nt::ke::{DISPATCH_LEVEL, KIRQL};
use crate::nt::storport::*;

/// Takes a lock for the miniport and fills its handle. The order is DPC or StartIo first, Interrupt last; FindAdapter,
/// Initialize and PassiveInitialize may take none [StorPortAcquireSpinLock].
///
/// # Safety
/// `handle` must be writable; `context` a STOR_DPC for the DPC lock.
pub(crate) unsafe fn acquire(
    adapter: &Adapter,
    which: u32,
    context: *mut c_void,
    handle: *mut StorLockHandle,
) -> u32 {
    if handle.is_null() || !(DPC_LOCK..=DPC_LEVEL_LOCK).contains(&which) {
        rules::broken(
            adapter,
            "StorPortAcquireSpinLock",
            "STORPORT",
            format_args!("lock {which}, handle {handle:p}"),
        );
        return STOR_STATUS_INVALID_PARAMETER;
    }
    let phase = adapter.phase();
    if matches!(
        phase,
        Phase::Finding | Phase::Initializing | Phase::PassiveInitializing
    ) {
        rules::broken(
            adapter,
            "StorPortAcquireSpinLock",
            "STORPORT",
            format_args!("no lock may be taken in {phase:?}"),
        );
    }
    // SAFETY: by the caller's word.
    unsafe {
        let lock = match which {
            DPC_LOCK | THREADED_DPC_LOCK | DPC_LEVEL_LOCK if !context.is_null() => {
                (&raw mut (*context.cast::<StorDpc>()).lock).cast()
            }
            _ => lock_of(adapter, which),
        };
        let level: KIRQL = if which == INTERRUPT_LOCK {
            adapter.dirql
        } else {
            DISPATCH_LEVEL
        };
        let current = KeGetCurrentIrql();
        if current > level {
            rules::broken(
                adapter,
                "StorPortAcquireSpinLock",
                "STORPORT",
                format_args!("lock {which} taken at IRQL {current}: out of order"),
            );
        }
        let old = KfRaiseIrql(level.max(current));
        KeAcquireSpinLockAtDpcLevel(lock);
        handle.write(StorLockHandle {
            lock: which,
            context_next: core::ptr::null_mut(),
            context_lock: lock.cast(),
            context_old_irql: old,
        });
    }
    STOR_STATUS_SUCCESS
}

/// Releases what [`acquire`] took.
///
/// # Safety
/// `handle` must be one that [`acquire`] filled.
pub(crate) unsafe fn release(adapter: &Adapter, handle: *mut StorLockHandle) {
    // SAFETY: by the caller's word.
    unsafe {
        if handle.is_null() || (*handle).context_lock.is_null() {
            rules::broken(
                adapter,
                "StorPortReleaseSpinLock",
                "STORPORT",
                format_args!("the handle holds no lock"),
            );
            return;
        }
        let taken = *handle;
        (*handle).context_lock = core::ptr::null_mut();
        KeReleaseSpinLockFromDpcLevel(taken.context_lock.cast());
        KeLowerIrql(taken.context_old_irql);
    }
}
