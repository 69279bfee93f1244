//! Fast and guarded mutexes: a count (1: free), the owner, and an event for who waits.
//! <https://learn.microsoft.com/windows-hardware/drivers/kernel/fast-mutexes-and-guarded-mutexes>

use crate::kd::bugcheck;
use crate::ke::{
    KeEnterCriticalRegion, KeGetCurrentThread, KeInitializeEvent, KeLeaveCriticalRegion,
    KeLowerIrql, KeSetEvent, KeWaitForSingleObject, KfRaiseIrql,
};
use crate::nt::ke::{APC_LEVEL, BOOLEAN, FAST_MUTEX, KIRQL, event_type};
use core::sync::atomic::{AtomicI32, Ordering};

unsafe fn count<'a>(mutex: *mut FAST_MUTEX) -> &'a AtomicI32 {
    AtomicI32::from_ptr(&raw mut (*mutex).Count)
}

unsafe fn acquire(mutex: *mut FAST_MUTEX) {
    let thread = KeGetCurrentThread();
    if (*mutex).Owner == thread.cast() {
        // Windows would wait for ever.
        bugcheck::raise_with(
            bugcheck::MAXIMUM_WAIT_OBJECTS_EXCEEDED,
            [mutex as usize, thread as usize, 0, 0],
            "a fast mutex is acquired by its owner",
        );
    }
    if count(mutex).fetch_sub(1, Ordering::Acquire) != 1 {
        (*mutex).Contention = (*mutex).Contention.wrapping_add(1);
        KeWaitForSingleObject((&raw mut (*mutex).Event).cast(), 0, 0, 0, core::ptr::null());
    }
    (*mutex).Owner = thread.cast();
}

unsafe fn release(mutex: *mut FAST_MUTEX) {
    let thread = KeGetCurrentThread();
    if (*mutex).Owner != thread.cast() {
        crate::check::violation(
            "a fast mutex is released by its owner",
            format_args!(
                "{mutex:p} is owned by {:p}, released by {thread:p}",
                (*mutex).Owner
            ),
        );
    }
    (*mutex).Owner = core::ptr::null_mut();
    if count(mutex).fetch_add(1, Ordering::Release) != 0 {
        KeSetEvent(&raw mut (*mutex).Event, 0, 0);
    }
}

/// `ExInitializeFastMutex` (inline in wdm.h).
pub unsafe extern "win64" fn ExInitializeFastMutex(FastMutex: *mut FAST_MUTEX) {
    (*FastMutex).Count = 1;
    (*FastMutex).Owner = core::ptr::null_mut();
    (*FastMutex).Contention = 0;
    KeInitializeEvent(
        &raw mut (*FastMutex).Event,
        event_type::SynchronizationEvent,
        0,
    );
}

/// `ExAcquireFastMutex`: raises to APC_LEVEL.
pub unsafe extern "win64" fn ExAcquireFastMutex(FastMutex: *mut FAST_MUTEX) {
    let old = KfRaiseIrql(APC_LEVEL);
    acquire(FastMutex);
    (*FastMutex).OldIrql = u32::from(old);
}

/// `ExReleaseFastMutex`. APC_LEVEL.
pub unsafe extern "win64" fn ExReleaseFastMutex(FastMutex: *mut FAST_MUTEX) {
    let old = (*FastMutex).OldIrql as KIRQL;
    release(FastMutex);
    KeLowerIrql(old);
}

/// `ExTryToAcquireFastMutex`: TRUE, and APC_LEVEL, if it was free.
pub unsafe extern "win64" fn ExTryToAcquireFastMutex(FastMutex: *mut FAST_MUTEX) -> BOOLEAN {
    let old = KfRaiseIrql(APC_LEVEL);
    if count(FastMutex)
        .compare_exchange(1, 0, Ordering::Acquire, Ordering::Relaxed)
        .is_err()
    {
        KeLowerIrql(old);
        return 0;
    }
    (*FastMutex).Owner = KeGetCurrentThread().cast();
    (*FastMutex).OldIrql = u32::from(old);
    1
}

/// `ExAcquireFastMutexUnsafe`: the caller has seen to it that there are no APCs.
pub unsafe extern "win64" fn ExAcquireFastMutexUnsafe(FastMutex: *mut FAST_MUTEX) {
    acquire(FastMutex);
}

/// `ExReleaseFastMutexUnsafe`.
pub unsafe extern "win64" fn ExReleaseFastMutexUnsafe(FastMutex: *mut FAST_MUTEX) {
    release(FastMutex);
}

/// `KeInitializeGuardedMutex`.
pub unsafe extern "win64" fn KeInitializeGuardedMutex(Mutex: *mut FAST_MUTEX) {
    ExInitializeFastMutex(Mutex);
}

/// `KeAcquireGuardedMutex`: in a guarded region. At most APC_LEVEL.
pub unsafe extern "win64" fn KeAcquireGuardedMutex(Mutex: *mut FAST_MUTEX) {
    KeEnterCriticalRegion();
    acquire(Mutex);
}

/// `KeReleaseGuardedMutex`.
pub unsafe extern "win64" fn KeReleaseGuardedMutex(Mutex: *mut FAST_MUTEX) {
    release(Mutex);
    KeLeaveCriticalRegion();
}

exports! { pub static EXPORTS;
    Ntoskrnl {
        ExAcquireFastMutex, ExReleaseFastMutex, ExTryToAcquireFastMutex, ExAcquireFastMutexUnsafe,
        ExReleaseFastMutexUnsafe, KeInitializeGuardedMutex, KeAcquireGuardedMutex, KeReleaseGuardedMutex,
    }
}
