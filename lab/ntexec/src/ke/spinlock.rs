//! Spin locks. The lock's word holds the holder's processor, so that misuse shows: taking a lock that the processor holds
//! is bug check 0xF, giving one back that it does not hold is bug check 0x10.

use super::irql::{KeLowerIrql, KfRaiseIrql};
use super::pcr;
use crate::kd::bugcheck::{self, SPIN_LOCK_ALREADY_OWNED, SPIN_LOCK_NOT_OWNED};
use crate::machine::machine;
use crate::nt::ke::{BOOLEAN, DISPATCH_LEVEL, KIRQL, KLOCK_QUEUE_HANDLE, KSPIN_LOCK};
use core::sync::atomic::{AtomicI32, AtomicUsize, Ordering};

/// Seconds after which a lock that is not given back is a bug check: nothing may hold one so long.
const PATIENCE: u64 = 30;
const SPINS_A_CHECK: u32 = 1 << 16;

fn word<'a>(lock: *mut KSPIN_LOCK) -> &'a AtomicUsize {
    // SAFETY: the caller passes a spin lock in memory that stays for the call; an atomic has the same layout.
    unsafe { AtomicUsize::from_ptr(lock) }
}

fn me() -> usize {
    pcr::this().number() + 1
}

/// Gives the machine's other processors time, and up after [`PATIENCE`].
pub(crate) struct Patience {
    spins: u32,
    until: u64,
}

impl Patience {
    pub(crate) const fn new() -> Self {
        Self { spins: 0, until: 0 }
    }

    /// One more round; bug check with the lock's address when it took too long.
    pub(crate) fn spin(&mut self, lock: usize, holder: usize) {
        machine().relax(self.spins);
        self.spins = self.spins.wrapping_add(1);
        if self.spins.is_multiple_of(SPINS_A_CHECK) {
            let now = machine().tsc();
            if self.until == 0 {
                self.until = now + machine().tsc_frequency() * PATIENCE;
            } else if now > self.until {
                bugcheck::raise_with(
                    SPIN_LOCK_ALREADY_OWNED,
                    [lock, holder, 0, 0],
                    "spin lock not given back",
                );
            }
        }
    }
}

fn acquire(lock: *mut KSPIN_LOCK) {
    let (word, me) = (word(lock), me());
    let mut patience = Patience::new();
    while let Err(holder) = word.compare_exchange_weak(0, me, Ordering::Acquire, Ordering::Relaxed)
    {
        if holder == me {
            bugcheck::raise(SPIN_LOCK_ALREADY_OWNED, [lock as usize, holder, 0, 0]);
        }
        patience.spin(lock as usize, holder);
    }
}

fn release(lock: *mut KSPIN_LOCK) {
    let (word, me) = (word(lock), me());
    if let Err(holder) = word.compare_exchange(me, 0, Ordering::Release, Ordering::Relaxed) {
        bugcheck::raise(SPIN_LOCK_NOT_OWNED, [lock as usize, holder, me, 0]);
    }
}

fn try_acquire(lock: *mut KSPIN_LOCK) -> bool {
    word(lock)
        .compare_exchange(0, me(), Ordering::Acquire, Ordering::Relaxed)
        .is_ok()
}

/// `KeInitializeSpinLock`. Any IRQL.
pub unsafe extern "win64" fn KeInitializeSpinLock(SpinLock: *mut KSPIN_LOCK) {
    *SpinLock = 0;
}

/// `KeAcquireSpinLockRaiseToDpc`: gives the old IRQL. At most DISPATCH_LEVEL.
pub unsafe extern "win64" fn KeAcquireSpinLockRaiseToDpc(SpinLock: *mut KSPIN_LOCK) -> KIRQL {
    let old = KfRaiseIrql(DISPATCH_LEVEL);
    acquire(SpinLock);
    old
}

/// `KeReleaseSpinLock`. DISPATCH_LEVEL.
pub unsafe extern "win64" fn KeReleaseSpinLock(SpinLock: *mut KSPIN_LOCK, NewIrql: KIRQL) {
    release(SpinLock);
    KeLowerIrql(NewIrql);
}

/// `KeAcquireSpinLockAtDpcLevel`. At least DISPATCH_LEVEL.
pub unsafe extern "win64" fn KeAcquireSpinLockAtDpcLevel(SpinLock: *mut KSPIN_LOCK) {
    acquire(SpinLock);
}

/// `KeReleaseSpinLockFromDpcLevel`. At least DISPATCH_LEVEL.
pub unsafe extern "win64" fn KeReleaseSpinLockFromDpcLevel(SpinLock: *mut KSPIN_LOCK) {
    release(SpinLock);
}

/// `KeTryToAcquireSpinLockAtDpcLevel`. At least DISPATCH_LEVEL.
pub unsafe extern "win64" fn KeTryToAcquireSpinLockAtDpcLevel(
    SpinLock: *mut KSPIN_LOCK,
) -> BOOLEAN {
    BOOLEAN::from(try_acquire(SpinLock))
}

/// `KeTestSpinLock`: TRUE if nobody holds it.
pub unsafe extern "win64" fn KeTestSpinLock(SpinLock: *mut KSPIN_LOCK) -> BOOLEAN {
    BOOLEAN::from(word(SpinLock).load(Ordering::Relaxed) == 0)
}

/// `KeAcquireSpinLockForDpc`: raises to DISPATCH_LEVEL unless in a DPC at that level already; gives the old IRQL.
pub unsafe extern "win64" fn KeAcquireSpinLockForDpc(SpinLock: *mut KSPIN_LOCK) -> KIRQL {
    KeAcquireSpinLockRaiseToDpc(SpinLock)
}

/// `KeReleaseSpinLockForDpc`.
pub unsafe extern "win64" fn KeReleaseSpinLockForDpc(SpinLock: *mut KSPIN_LOCK, OldIrql: KIRQL) {
    KeReleaseSpinLock(SpinLock, OldIrql);
}

/// `KeAcquireInStackQueuedSpinLock`: at most DISPATCH_LEVEL. The order in which waiters get it is not kept.
pub unsafe extern "win64" fn KeAcquireInStackQueuedSpinLock(
    SpinLock: *mut KSPIN_LOCK,
    LockHandle: *mut KLOCK_QUEUE_HANDLE,
) {
    let old = KfRaiseIrql(DISPATCH_LEVEL);
    acquire(SpinLock);
    *LockHandle = KLOCK_QUEUE_HANDLE {
        Next: core::ptr::null_mut(),
        Lock: SpinLock,
        OldIrql: old,
    };
}

/// `KeReleaseInStackQueuedSpinLock`. DISPATCH_LEVEL.
pub unsafe extern "win64" fn KeReleaseInStackQueuedSpinLock(LockHandle: *mut KLOCK_QUEUE_HANDLE) {
    release((*LockHandle).Lock);
    KeLowerIrql((*LockHandle).OldIrql);
}

/// `KeAcquireInStackQueuedSpinLockAtDpcLevel`. At least DISPATCH_LEVEL.
pub unsafe extern "win64" fn KeAcquireInStackQueuedSpinLockAtDpcLevel(
    SpinLock: *mut KSPIN_LOCK,
    LockHandle: *mut KLOCK_QUEUE_HANDLE,
) {
    acquire(SpinLock);
    *LockHandle = KLOCK_QUEUE_HANDLE {
        Next: core::ptr::null_mut(),
        Lock: SpinLock,
        OldIrql: pcr::irql(),
    };
}

/// `KeReleaseInStackQueuedSpinLockFromDpcLevel`. At least DISPATCH_LEVEL.
pub unsafe extern "win64" fn KeReleaseInStackQueuedSpinLockFromDpcLevel(
    LockHandle: *mut KLOCK_QUEUE_HANDLE,
) {
    release((*LockHandle).Lock);
}

/// The bit of an `EX_SPIN_LOCK` that its one writer holds; the rest counts readers.
const WRITER: i32 = i32::MIN;

fn shared_word<'a>(lock: *mut i32) -> &'a AtomicI32 {
    // SAFETY: as for `word`.
    unsafe { AtomicI32::from_ptr(lock) }
}

/// `ExAcquireSpinLockSharedAtDpcLevel`.
pub unsafe extern "win64" fn ExAcquireSpinLockSharedAtDpcLevel(SpinLock: *mut i32) {
    let word = shared_word(SpinLock);
    let mut patience = Patience::new();
    loop {
        let now = word.load(Ordering::Relaxed);
        if now & WRITER == 0
            && word
                .compare_exchange_weak(now, now + 1, Ordering::Acquire, Ordering::Relaxed)
                .is_ok()
        {
            return;
        }
        patience.spin(SpinLock as usize, now as u32 as usize);
    }
}

/// `ExReleaseSpinLockSharedFromDpcLevel`.
pub unsafe extern "win64" fn ExReleaseSpinLockSharedFromDpcLevel(SpinLock: *mut i32) {
    let before = shared_word(SpinLock).fetch_sub(1, Ordering::Release);
    if before & !WRITER == 0 {
        bugcheck::raise(
            SPIN_LOCK_NOT_OWNED,
            [SpinLock as usize, before as u32 as usize, 1, 0],
        );
    }
}

/// `ExAcquireSpinLockExclusiveAtDpcLevel`.
pub unsafe extern "win64" fn ExAcquireSpinLockExclusiveAtDpcLevel(SpinLock: *mut i32) {
    let word = shared_word(SpinLock);
    let mut patience = Patience::new();
    while let Err(now) = word.compare_exchange_weak(0, WRITER, Ordering::Acquire, Ordering::Relaxed)
    {
        patience.spin(SpinLock as usize, now as u32 as usize);
    }
}

/// `ExReleaseSpinLockExclusiveFromDpcLevel`.
pub unsafe extern "win64" fn ExReleaseSpinLockExclusiveFromDpcLevel(SpinLock: *mut i32) {
    let before = shared_word(SpinLock).swap(0, Ordering::Release);
    if before != WRITER {
        bugcheck::raise(
            SPIN_LOCK_NOT_OWNED,
            [SpinLock as usize, before as u32 as usize, 2, 0],
        );
    }
}

/// `ExAcquireSpinLockShared`: gives the old IRQL.
pub unsafe extern "win64" fn ExAcquireSpinLockShared(SpinLock: *mut i32) -> KIRQL {
    let old = KfRaiseIrql(DISPATCH_LEVEL);
    ExAcquireSpinLockSharedAtDpcLevel(SpinLock);
    old
}

/// `ExReleaseSpinLockShared`.
pub unsafe extern "win64" fn ExReleaseSpinLockShared(SpinLock: *mut i32, OldIrql: KIRQL) {
    ExReleaseSpinLockSharedFromDpcLevel(SpinLock);
    KeLowerIrql(OldIrql);
}

/// `ExAcquireSpinLockExclusive`: gives the old IRQL.
pub unsafe extern "win64" fn ExAcquireSpinLockExclusive(SpinLock: *mut i32) -> KIRQL {
    let old = KfRaiseIrql(DISPATCH_LEVEL);
    ExAcquireSpinLockExclusiveAtDpcLevel(SpinLock);
    old
}

/// `ExReleaseSpinLockExclusive`.
pub unsafe extern "win64" fn ExReleaseSpinLockExclusive(SpinLock: *mut i32, OldIrql: KIRQL) {
    ExReleaseSpinLockExclusiveFromDpcLevel(SpinLock);
    KeLowerIrql(OldIrql);
}

exports! { pub static EXPORTS;
    Ntoskrnl {
        KeInitializeSpinLock, KeAcquireSpinLockRaiseToDpc, KeReleaseSpinLock, KeAcquireSpinLockAtDpcLevel,
        KeReleaseSpinLockFromDpcLevel, KeTryToAcquireSpinLockAtDpcLevel, KeTestSpinLock, KeAcquireSpinLockForDpc,
        KeReleaseSpinLockForDpc, KeAcquireInStackQueuedSpinLock, KeReleaseInStackQueuedSpinLock,
        KeAcquireInStackQueuedSpinLockAtDpcLevel, KeReleaseInStackQueuedSpinLockFromDpcLevel,
        ExAcquireSpinLockShared, ExReleaseSpinLockShared, ExAcquireSpinLockExclusive, ExReleaseSpinLockExclusive,
        ExAcquireSpinLockSharedAtDpcLevel, ExReleaseSpinLockSharedFromDpcLevel, ExAcquireSpinLockExclusiveAtDpcLevel,
        ExReleaseSpinLockExclusiveFromDpcLevel,
    }
}
