//! Interrupt objects: vectors, the routines connected to them, and their locks.
//!
//! As on x64 Windows a vector's IRQL is its upper four bits. A vector is the same on every processor. `IoConnectInterruptEx`
//! is the I/O manager's; it ends here.

use super::irql::{KeLowerIrql, KfRaiseIrql};
use super::pcr;
use super::spinlock::{KeAcquireSpinLockAtDpcLevel, KeReleaseSpinLockFromDpcLevel};
use crate::check;
use crate::machine::{LineConfig, machine};
use crate::nt::ke::{BOOLEAN, KAFFINITY, KIRQL, KSPIN_LOCK, NTSTATUS, PVOID};
use crate::nt::status::{STATUS_INSUFFICIENT_RESOURCES, STATUS_INVALID_PARAMETER};
use crate::sync::Lock;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

/// `KSERVICE_ROUTINE`; a message's routine has the message's number as third argument, which a line's ignores.
pub type ServiceRoutine =
    unsafe extern "win64" fn(interrupt: *mut KINTERRUPT, context: PVOID, message: u32) -> BOOLEAN;
/// `KSYNCHRONIZE_ROUTINE`.
pub type SynchronizeRoutine = unsafe extern "win64" fn(context: PVOID) -> BOOLEAN;

/// Vectors that devices get, with the IRQLs 4 to 11.
const FIRST_VECTOR: u8 = 0x41;
const LAST_VECTOR: u8 = 0xBF;

/// What is connected.
#[derive(Clone, Copy, Debug)]
pub struct Connect {
    /// The driver's routine.
    pub routine: ServiceRoutine,
    /// Its context.
    pub context: PVOID,
    /// The lock to hold while it runs; null for one of its own.
    pub lock: *mut KSPIN_LOCK,
    /// The vector, from [`allocate_vector`].
    pub vector: u8,
    /// The IRQL at which the routine runs: at least the vector's.
    pub synchronize_irql: KIRQL,
    /// The message's number.
    pub message: u32,
    /// The line that raises the vector, if it is one.
    pub line: Option<LineConfig>,
}

/// A connected interrupt.
pub struct KINTERRUPT {
    connect: Connect,
    own_lock: KSPIN_LOCK,
    /// Interrupts that its routine claimed.
    pub claimed: AtomicU64,
}

// SAFETY: the raw pointers are the driver's, used as it asked.
unsafe impl Send for KINTERRUPT {}

#[derive(Default)]
struct Vector {
    users: u32,
    connected: Vec<*mut KINTERRUPT>,
}

// SAFETY: as for `KINTERRUPT`.
unsafe impl Send for Vector {}

static VECTORS: [Lock<Vector>; 256] = [const {
    Lock::new(Vector {
        users: 0,
        connected: Vec::new(),
    })
}; 256];
static SPURIOUS: AtomicU64 = AtomicU64::new(0);

/// The IRQL of a vector.
pub const fn irql_of(vector: u8) -> KIRQL {
    vector >> 4
}

/// Reserves a vector that nobody has. `cpus` is where it will be raised; a vector is reserved on all.
pub fn allocate_vector(_cpus: KAFFINITY) -> Option<(u8, KIRQL)> {
    // Lowest four bits first vary slowest, so that devices spread over the levels.
    let order = (0..16u8).flat_map(|low| (4..12u8).map(move |level| level << 4 | low));
    for vector in order.filter(|v| (FIRST_VECTOR..=LAST_VECTOR).contains(v)) {
        let mut v = VECTORS[usize::from(vector)].lock();
        if v.users == 0 {
            v.users = 1;
            return Some((vector, irql_of(vector)));
        }
    }
    None
}

/// Gives a vector back.
pub fn free_vector(vector: u8) {
    let mut v = VECTORS[usize::from(vector)].lock();
    v.users = v.users.saturating_sub(1);
}

/// Connects a routine to a vector.
///
/// # Errors
/// STATUS_INVALID_PARAMETER: no device's vector, a synchronisation IRQL below the vector's, or a line that does not exist.
pub fn connect(connect: &Connect) -> Result<*mut KINTERRUPT, NTSTATUS> {
    let vector = connect.vector;
    if !(FIRST_VECTOR..=LAST_VECTOR).contains(&vector) || connect.synchronize_irql < irql_of(vector)
    {
        return Err(STATUS_INVALID_PARAMETER);
    }
    let interrupt = Box::into_raw(Box::new(KINTERRUPT {
        connect: *connect,
        own_lock: 0,
        claimed: AtomicU64::new(0),
    }));
    {
        let mut v = VECTORS[usize::from(vector)].lock();
        if v.connected.try_reserve(1).is_err() {
            // SAFETY: nobody else knows it yet.
            drop(unsafe { Box::from_raw(interrupt) });
            return Err(STATUS_INSUFFICIENT_RESOURCES);
        }
        v.connected.push(interrupt);
    }
    if let Some(line) = &connect.line
        && !machine().connect_line(line)
    {
        // SAFETY: connected just now.
        unsafe { disconnect(interrupt) };
        return Err(STATUS_INVALID_PARAMETER);
    }
    Ok(interrupt)
}

/// Disconnects a routine; it runs nowhere any more when this returns. At PASSIVE_LEVEL.
///
/// # Safety
/// From [`connect`], and not disconnected yet.
pub unsafe fn disconnect(interrupt: *mut KINTERRUPT) {
    let c = &(*interrupt).connect;
    let last = {
        let mut v = VECTORS[usize::from(c.vector)].lock();
        v.connected.retain(|&i| i != interrupt);
        v.connected.is_empty()
    };
    if let (Some(line), true) = (&c.line, last) {
        machine().disconnect_line(line.gsi);
    }
    // A routine that was called holds the lock: whoever gets it after is the last.
    let level = KeAcquireInterruptSpinLock(interrupt);
    KeReleaseInterruptSpinLock(interrupt, level);
    drop(Box::from_raw(interrupt));
}

/// Is a routine connected to the vector?
pub fn is_connected(vector: u8) -> bool {
    !VECTORS[usize::from(vector)].lock().connected.is_empty()
}

unsafe fn lock_of(interrupt: *mut KINTERRUPT) -> *mut KSPIN_LOCK {
    let given = (*interrupt).connect.lock;
    if given.is_null() {
        &raw mut (*interrupt).own_lock
    } else {
        given
    }
}

/// Calls the routines of `vector`. Above DISPATCH_LEVEL, interrupts off.
pub(crate) fn dispatch(vector: u8) {
    let mut index = 0;
    let mut claimed = false;
    loop {
        let next = {
            let v = VECTORS[usize::from(vector)].lock();
            let next = v.connected.get(index).copied();
            // Taken before the vector's lock is given up, so that `disconnect` waits for us.
            if let Some(i) = next {
                // SAFETY: what is connected is valid.
                unsafe { enter(i) };
            }
            next
        };
        let Some(interrupt) = next else { break };
        // SAFETY: connected, and its lock is held.
        claimed |= unsafe { call(interrupt) };
        index += 1;
    }
    if !claimed {
        SPURIOUS.fetch_add(1, Ordering::Relaxed);
    }
}

unsafe fn enter(interrupt: *mut KINTERRUPT) {
    pcr::set_irql((*interrupt).connect.synchronize_irql.max(pcr::irql()));
    KeAcquireSpinLockAtDpcLevel(lock_of(interrupt));
}

unsafe fn call(interrupt: *mut KINTERRUPT) -> bool {
    let c = &(*interrupt).connect;
    let level = pcr::irql();
    let claimed = (c.routine)(interrupt, c.context, c.message) != 0;
    if pcr::irql() != level {
        check::violation(
            "an interrupt routine returns at the IRQL at which it was called",
            format_args!("vector {:#x}: {} instead of {level}", c.vector, pcr::irql()),
        );
        machine().disable_interrupts();
        pcr::set_irql(level);
    }
    if claimed {
        (*interrupt).claimed.fetch_add(1, Ordering::Relaxed);
    }
    KeReleaseSpinLockFromDpcLevel(lock_of(interrupt));
    claimed
}

/// Interrupts that no routine claimed.
pub fn spurious() -> u64 {
    SPURIOUS.load(Ordering::Relaxed)
}

/// `KeAcquireInterruptSpinLock`: raises to the interrupt's level; gives the old IRQL.
pub unsafe extern "win64" fn KeAcquireInterruptSpinLock(Interrupt: *mut KINTERRUPT) -> KIRQL {
    let old = KfRaiseIrql((*Interrupt).connect.synchronize_irql);
    KeAcquireSpinLockAtDpcLevel(lock_of(Interrupt));
    old
}

/// `KeReleaseInterruptSpinLock`.
pub unsafe extern "win64" fn KeReleaseInterruptSpinLock(
    Interrupt: *mut KINTERRUPT,
    OldIrql: KIRQL,
) {
    KeReleaseSpinLockFromDpcLevel(lock_of(Interrupt));
    KeLowerIrql(OldIrql);
}

/// `KeSynchronizeExecution`: calls the routine with the interrupt's lock held, at its level.
pub unsafe extern "win64" fn KeSynchronizeExecution(
    Interrupt: *mut KINTERRUPT,
    SynchronizeRoutine: SynchronizeRoutine,
    SynchronizeContext: PVOID,
) -> BOOLEAN {
    let old = KeAcquireInterruptSpinLock(Interrupt);
    let result = SynchronizeRoutine(SynchronizeContext);
    KeReleaseInterruptSpinLock(Interrupt, old);
    result
}

exports! { pub static EXPORTS;
    Ntoskrnl { KeAcquireInterruptSpinLock, KeReleaseInterruptSpinLock, KeSynchronizeExecution }
}
