//! NDIS' spin locks, read-write locks and events, on the kernel's.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use core::ffi::c_void;

use super::rules;
use crate::ke::{
    ExAcquireSpinLockExclusiveAtDpcLevel, ExAcquireSpinLockSharedAtDpcLevel,
    ExReleaseSpinLockExclusiveFromDpcLevel, ExReleaseSpinLockSharedFromDpcLevel,
    KeInitializeSpinLock, KeResetEvent,
};
use crate::nt::ke::{DISPATCH_LEVEL, KEVENT, PVOID};
use crate::nt::ndis::*;
use crate::storport::os::{
    KeAcquireSpinLockAtDpcLevel, KeGetCurrentIrql, KeInitializeEvent, KeLowerIrql,
    KeReleaseSpinLockFromDpcLevel, KeSetEvent, KfRaiseIrql, wait,
};
use crate::sync::Lock;

/// NdisAllocateSpinLock.
pub(super) unsafe extern "win64" fn NdisAllocateSpinLock(lock: *mut NDIS_SPIN_LOCK) {
    (*lock).OldIrql = 0;
    KeInitializeSpinLock(&raw mut (*lock).SpinLock);
}

/// NdisFreeSpinLock.
pub(super) unsafe extern "win64" fn NdisFreeSpinLock(_lock: *mut NDIS_SPIN_LOCK) {}

/// NdisAcquireSpinLock. At most DISPATCH_LEVEL.
pub(super) unsafe extern "win64" fn NdisAcquireSpinLock(lock: *mut NDIS_SPIN_LOCK) {
    let old = KfRaiseIrql(DISPATCH_LEVEL);
    KeAcquireSpinLockAtDpcLevel(&raw mut (*lock).SpinLock);
    (*lock).OldIrql = old;
}

/// NdisReleaseSpinLock. DISPATCH_LEVEL.
pub(super) unsafe extern "win64" fn NdisReleaseSpinLock(lock: *mut NDIS_SPIN_LOCK) {
    let old = (*lock).OldIrql;
    KeReleaseSpinLockFromDpcLevel(&raw mut (*lock).SpinLock);
    KeLowerIrql(old);
}

/// NdisDprAcquireSpinLock. DISPATCH_LEVEL.
pub(super) unsafe extern "win64" fn NdisDprAcquireSpinLock(lock: *mut NDIS_SPIN_LOCK) {
    KeAcquireSpinLockAtDpcLevel(&raw mut (*lock).SpinLock);
    (*lock).OldIrql = DISPATCH_LEVEL;
}

/// NdisDprReleaseSpinLock. DISPATCH_LEVEL.
pub(super) unsafe extern "win64" fn NdisDprReleaseSpinLock(lock: *mut NDIS_SPIN_LOCK) {
    KeReleaseSpinLockFromDpcLevel(&raw mut (*lock).SpinLock);
}

/// The owners of read-write locks.
static RW_LOCKS: Lock<BTreeMap<usize, usize>> = Lock::new(BTreeMap::new());

/// NDIS_RWL_AT_DISPATCH_LEVEL: the caller is there.
const AT_DISPATCH: u8 = 1;
const READ: u8 = 1;
const WRITE: u8 = 2;

/// Read-write locks that an owner did not free.
pub(super) fn left(owner: PVOID) -> usize {
    RW_LOCKS
        .lock()
        .values()
        .filter(|o| **o == owner as usize)
        .count()
}

/// NdisAllocateRWLock. At most DISPATCH_LEVEL.
pub(super) unsafe extern "win64" fn NdisAllocateRWLock(owner: PVOID) -> *mut i32 {
    let lock = Box::into_raw(Box::new(0i32));
    RW_LOCKS.lock().insert(lock as usize, owner as usize);
    lock
}

/// NdisFreeRWLock. At most DISPATCH_LEVEL.
pub(super) unsafe extern "win64" fn NdisFreeRWLock(lock: *mut i32) {
    if RW_LOCKS.lock().remove(&(lock as usize)).is_none() {
        crate::check::violation(
            rules::OBJECT,
            format_args!("NdisFreeRWLock: {lock:p} is no lock, or was freed"),
        );
        return;
    }
    drop(Box::from_raw(lock));
}

unsafe fn begin(state: *mut LOCK_STATE_EX, kind: u8, flags: u8) {
    (*state).LockState = kind;
    (*state).Flags = flags;
    (*state).OldIrql = if flags & AT_DISPATCH != 0 {
        KeGetCurrentIrql()
    } else {
        KfRaiseIrql(DISPATCH_LEVEL)
    };
}

/// NdisAcquireRWLockRead. At most DISPATCH_LEVEL.
pub(super) unsafe extern "win64" fn NdisAcquireRWLockRead(
    lock: *mut i32,
    state: *mut LOCK_STATE_EX,
    flags: u8,
) {
    begin(state, READ, flags);
    ExAcquireSpinLockSharedAtDpcLevel(lock);
}

/// NdisAcquireRWLockWrite. At most DISPATCH_LEVEL.
pub(super) unsafe extern "win64" fn NdisAcquireRWLockWrite(
    lock: *mut i32,
    state: *mut LOCK_STATE_EX,
    flags: u8,
) {
    begin(state, WRITE, flags);
    ExAcquireSpinLockExclusiveAtDpcLevel(lock);
}

/// NdisReleaseRWLock. DISPATCH_LEVEL.
pub(super) unsafe extern "win64" fn NdisReleaseRWLock(lock: *mut i32, state: *mut LOCK_STATE_EX) {
    match core::mem::replace(&mut (*state).LockState, 0) {
        READ => ExReleaseSpinLockSharedFromDpcLevel(lock),
        WRITE => ExReleaseSpinLockExclusiveFromDpcLevel(lock),
        other => crate::check::violation(
            rules::OBJECT,
            format_args!("NdisReleaseRWLock: lock state {other} was not acquired"),
        ),
    }
    if (*state).Flags & AT_DISPATCH == 0 {
        KeLowerIrql((*state).OldIrql);
    }
}

/// NdisInitializeEvent. At most DISPATCH_LEVEL.
pub(super) unsafe extern "win64" fn NdisInitializeEvent(event: *mut KEVENT) {
    KeInitializeEvent(event, 0, 0);
}

/// NdisSetEvent. At most DISPATCH_LEVEL.
pub(super) unsafe extern "win64" fn NdisSetEvent(event: *mut KEVENT) {
    KeSetEvent(event, 0, 0);
}

/// NdisResetEvent. At most DISPATCH_LEVEL.
pub(super) unsafe extern "win64" fn NdisResetEvent(event: *mut KEVENT) {
    KeResetEvent(event);
}

/// NdisWaitEvent, in milliseconds; 0 waits without limit. PASSIVE_LEVEL.
pub(super) unsafe extern "win64" fn NdisWaitEvent(event: *mut c_void, ms: u32) -> u8 {
    let limit = (ms != 0).then(|| u64::from(ms) * 10_000);
    u8::from(wait(&mut *event.cast::<KEVENT>(), limit))
}
