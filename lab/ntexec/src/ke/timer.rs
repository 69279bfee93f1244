//! Timers. <https://learn.microsoft.com/windows-hardware/drivers/kernel/timer-objects-and-dpcs>
//!
//! A timer that runs is in a list ordered by due time; the clock interrupt looks at the first one. So a timer expires at
//! the first tick at or after its time, up to 15.6 ms late, as on Windows without a raised timer resolution.

use super::dispatcher::{self, Locked};
use super::dpc;
use super::thread::reschedule_if_wanted;
use super::time;
use super::wait;
use crate::nt::ke::{
    BOOLEAN, DISPATCHER_HEADER, KDPC, KTIMER, LARGE_INTEGER, LIST_ENTRY, event_type, object_type,
};
use core::sync::atomic::{AtomicU64, Ordering};

/// `DISPATCHER_HEADER.Reserved1` bit: in the list.
const INSERTED: u8 = 0x40;
/// `TimerType` of the timers that end threads' waits.
const WAIT_LIMIT: u16 = 0x8000;
/// 100 ns units a millisecond.
const MILLISECOND: u64 = 10_000;

static NEXT_DUE: AtomicU64 = AtomicU64::new(u64::MAX);

unsafe fn from_link(link: *mut LIST_ENTRY) -> *mut KTIMER {
    link.byte_sub(core::mem::offset_of!(KTIMER, TimerListEntry))
        .cast()
}

/// The time limit of a thread's waits, or a driver's timer.
pub(super) unsafe fn initialize(timer: *mut KTIMER, synchronization: bool) {
    KeInitializeTimerEx(timer, i32::from(synchronization));
    (*timer).TimerType = WAIT_LIMIT;
}

/// The interrupt time at which `time` (negative: relative; else system time, both in 100 ns) is over.
pub fn due(time: LARGE_INTEGER) -> u64 {
    let now = time::interrupt_time();
    match u64::try_from(time) {
        Ok(system) => now.saturating_add(system.saturating_sub(time::system_time())),
        Err(_) => now.saturating_add(time.unsigned_abs()),
    }
}

/// Puts a timer among those that run.
pub(super) unsafe fn start_locked(timer: *mut KTIMER, due: u64, period: u32, dpc: *mut KDPC) {
    (*timer).DueTime = due;
    (*timer).Period = period;
    (*timer).Dpc = dpc;
    (*timer).Header.SignalState = 0;
    (*timer).Header.Reserved1 |= INSERTED;
    let head = list();
    let mut at = (*head).Blink;
    while at != head && (*from_link(at)).DueTime > due {
        at = (*at).Blink;
    }
    LIST_ENTRY::insert_head(at, &raw mut (*timer).TimerListEntry);
    note_next();
}

/// Takes a timer out of those that run: was it one?
pub(super) unsafe fn cancel_locked(timer: *mut KTIMER) -> bool {
    let running = (*timer).Header.Reserved1 & INSERTED != 0;
    if running {
        (*timer).Header.Reserved1 &= !INSERTED;
        LIST_ENTRY::remove(&raw mut (*timer).TimerListEntry);
        note_next();
    }
    running
}

fn list() -> *mut LIST_ENTRY {
    dispatcher::timers()
}

unsafe fn note_next() {
    let head = list();
    let first = (*head).Flink;
    let next = if first == head {
        u64::MAX
    } else {
        (*from_link(first)).DueTime
    };
    NEXT_DUE.store(next, Ordering::Relaxed);
}

/// Is a timer due at `now`? For the clock interrupt.
pub(super) fn is_due(now: u64) -> bool {
    NEXT_DUE.load(Ordering::Relaxed) <= now
}

/// Signals the timers that are due and queues their DPCs. At DISPATCH_LEVEL.
pub(super) fn expire() {
    let now = time::interrupt_time();
    let mut locked = dispatcher::lock();
    // SAFETY: the lock is held; what is in the list is a timer.
    unsafe {
        let head = list();
        while (*head).Flink != head && (*from_link((*head).Flink)).DueTime <= now {
            let timer = from_link((*head).Flink);
            cancel_locked(timer);
            fire(&mut locked, timer, now);
        }
    }
    locked.unlock();
}

unsafe fn fire(locked: &mut Locked, timer: *mut KTIMER, now: u64) {
    if (*timer).TimerType & WAIT_LIMIT != 0 {
        return wait::time_out(locked, timer);
    }
    let (period, dpc) = (u64::from((*timer).Period) * MILLISECOND, (*timer).Dpc);
    if period != 0 {
        let next = ((*timer).DueTime + period).max(now);
        start_locked(timer, next, (*timer).Period, dpc);
    }
    (*timer).Header.SignalState = 1;
    wait::satisfy(locked, &raw mut (*timer).Header);
    if !dpc.is_null() {
        let tick = time::system_time();
        dpc::insert(
            dpc,
            (tick as u32 as usize) as _,
            ((tick >> 32) as usize) as _,
        );
    }
}

/// `KeInitializeTimer`: a notification timer.
pub unsafe extern "win64" fn KeInitializeTimer(Timer: *mut KTIMER) {
    KeInitializeTimerEx(Timer, event_type::NotificationTimer);
}

/// `KeInitializeTimerEx`: `Type` 0 notification, 1 synchronization.
pub unsafe extern "win64" fn KeInitializeTimerEx(Timer: *mut KTIMER, Type: i32) {
    Timer.write(KTIMER {
        Header: DISPATCHER_HEADER {
            Type: if Type == event_type::NotificationTimer {
                object_type::TIMER_NOTIFICATION
            } else {
                object_type::TIMER_SYNCHRONIZATION
            },
            Signalling: 0,
            Size: (size_of::<KTIMER>() / 4) as u8,
            Reserved1: 0,
            SignalState: 0,
            WaitListHead: LIST_ENTRY::NULL,
        },
        DueTime: 0,
        TimerListEntry: LIST_ENTRY::NULL,
        Dpc: core::ptr::null_mut(),
        Processor: 0,
        TimerType: Type as u16,
        Period: 0,
    });
    LIST_ENTRY::initialize(&raw mut (*Timer).Header.WaitListHead);
}

/// `KeSetTimerEx`: TRUE if it ran already. `DueTime` in 100 ns (negative relative), `Period` in ms. At most DISPATCH_LEVEL.
pub unsafe extern "win64" fn KeSetTimerEx(
    Timer: *mut KTIMER,
    DueTime: LARGE_INTEGER,
    Period: i32,
    Dpc: *mut KDPC,
) -> BOOLEAN {
    let mut locked = dispatcher::lock();
    let running = cancel_locked(Timer);
    let (now, at) = (time::interrupt_time(), due(DueTime));
    start_locked(Timer, at, Period.max(0) as u32, Dpc);
    if at <= now {
        cancel_locked(Timer);
        fire(&mut locked, Timer, now);
    }
    locked.unlock();
    reschedule_if_wanted();
    BOOLEAN::from(running)
}

/// `KeSetTimer`.
pub unsafe extern "win64" fn KeSetTimer(
    Timer: *mut KTIMER,
    DueTime: LARGE_INTEGER,
    Dpc: *mut KDPC,
) -> BOOLEAN {
    KeSetTimerEx(Timer, DueTime, 0, Dpc)
}

/// `KeSetCoalescableTimer`: the tolerable delay is not used.
pub unsafe extern "win64" fn KeSetCoalescableTimer(
    Timer: *mut KTIMER,
    DueTime: LARGE_INTEGER,
    Period: u32,
    _TolerableDelay: u32,
    Dpc: *mut KDPC,
) -> BOOLEAN {
    KeSetTimerEx(Timer, DueTime, Period as i32, Dpc)
}

/// `KeCancelTimer`: TRUE if it ran. Its DPC may be queued still. At most DISPATCH_LEVEL.
pub unsafe extern "win64" fn KeCancelTimer(Timer: *mut KTIMER) -> BOOLEAN {
    let locked = dispatcher::lock();
    let running = cancel_locked(Timer);
    locked.unlock();
    BOOLEAN::from(running)
}

/// `KeReadStateTimer`.
pub unsafe extern "win64" fn KeReadStateTimer(Timer: *mut KTIMER) -> BOOLEAN {
    BOOLEAN::from((&raw const (*Timer).Header.SignalState).read_volatile() != 0)
}

exports! { pub static EXPORTS;
    Ntoskrnl {
        KeInitializeTimer, KeInitializeTimerEx, KeSetTimerEx, KeSetTimer, KeSetCoalescableTimer, KeCancelTimer,
        KeReadStateTimer,
    }
}
