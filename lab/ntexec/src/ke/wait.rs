//! Waiting, and what ends it.
//!
//! Who signals an object does the waiter's part of it at once (takes the event's signal, the semaphore's count), so a
//! woken thread never has to look again. <https://learn.microsoft.com/windows-hardware/drivers/kernel/introduction-to-kernel-dispatcher-objects>

use super::dispatcher::{self, Locked};
use super::thread::{
    KTHREAD, KeGetCurrentThread, MAXIMUM_WAIT_OBJECTS, State, THREAD_WAIT_OBJECTS,
};
use super::{irql, mutant, pcr, timer};
use crate::kd::bugcheck::{self, IRQL_NOT_LESS_OR_EQUAL, MAXIMUM_WAIT_OBJECTS_EXCEEDED};
use crate::nt::ke::{
    BOOLEAN, DISPATCH_LEVEL, DISPATCHER_HEADER, KPROCESSOR_MODE, KWAIT_BLOCK, LARGE_INTEGER,
    LIST_ENTRY, NTSTATUS, PVOID, object_type,
};
use crate::nt::status::{STATUS_SUCCESS, STATUS_TIMEOUT, STATUS_WAIT_0};

/// `WAIT_TYPE`: all of the objects.
pub const WaitAll: i32 = 0;
/// `WAIT_TYPE`: one of the objects.
pub const WaitAny: i32 = 1;

/// The key of the block that stands for the time limit.
const TIMEOUT_KEY: u16 = u16::MAX;

/// Could `thread` take `object` now?
unsafe fn is_signalled(object: *mut DISPATCHER_HEADER, thread: *mut KTHREAD) -> bool {
    match (*object).Type {
        object_type::MUTANT => (*object).SignalState > 0 || mutant::owner(object) == thread,
        _ => (*object).SignalState > 0,
    }
}

/// Takes `object` for `thread`; it is signalled. The status says if it was abandoned.
unsafe fn consume(object: *mut DISPATCHER_HEADER, thread: *mut KTHREAD) -> NTSTATUS {
    match (*object).Type {
        object_type::EVENT_SYNCHRONIZATION | object_type::TIMER_SYNCHRONIZATION => {
            (*object).SignalState = 0
        }
        object_type::SEMAPHORE => (*object).SignalState -= 1,
        object_type::MUTANT => mutant::take(object, thread),
        _ => {}
    }
    STATUS_SUCCESS
}

/// Ends the waits that `object`, which was just signalled, ends; in the order in which they began.
///
/// # Safety
/// A valid object; the dispatcher's lock is held.
pub unsafe fn satisfy(locked: &mut Locked, object: *mut DISPATCHER_HEADER) {
    let head = &raw mut (*object).WaitListHead;
    let mut link = (*head).Flink;
    while link != head && (*object).SignalState > 0 {
        let block = link.cast::<KWAIT_BLOCK>();
        link = (*link).Flink;
        let thread = (*block).Thread.cast::<KTHREAD>();
        if (*thread).wait_all {
            if let Some(status) = try_all(thread) {
                wake(locked, thread, status);
                // The thread's other blocks may have been next.
                link = (*head).Flink;
            }
        } else {
            consume(object, thread);
            wake(locked, thread, STATUS_WAIT_0 + i32::from((*block).WaitKey));
            link = (*head).Flink;
        }
    }
}

unsafe fn blocks(thread: *mut KTHREAD) -> impl Iterator<Item = *mut KWAIT_BLOCK> {
    let (first, count) = ((*thread).wait_blocks, (*thread).wait_count as usize);
    (0..count).map(move |i| first.wrapping_add(i))
}

unsafe fn try_all(thread: *mut KTHREAD) -> Option<NTSTATUS> {
    let object = |b: *mut KWAIT_BLOCK| (*b).Object.cast::<DISPATCHER_HEADER>();
    if !blocks(thread).all(|b| is_signalled(object(b), thread)) {
        return None;
    }
    for b in blocks(thread) {
        consume(object(b), thread);
    }
    Some(STATUS_WAIT_0)
}

/// Ends `thread`'s wait with `status`.
///
/// # Safety
/// The thread waits; the lock is held.
pub unsafe fn wake(locked: &mut Locked, thread: *mut KTHREAD, status: NTSTATUS) {
    for b in blocks(thread) {
        LIST_ENTRY::remove(&raw mut (*b).WaitListEntry);
    }
    timer::cancel_locked(&raw mut (*thread).timer);
    (*thread).wait_count = 0;
    (*thread).wait_status = status;
    (*thread).wait_object = core::ptr::null_mut();
    dispatcher::make_ready(locked, thread);
}

/// Ends the wait of the thread that `timer` limits.
///
/// # Safety
/// `timer` is a thread's own timer; the lock is held.
pub(super) unsafe fn time_out(locked: &mut Locked, timer: *mut crate::nt::ke::KTIMER) {
    let thread = timer
        .byte_sub(core::mem::offset_of!(KTHREAD, timer))
        .cast::<KTHREAD>();
    if (*thread).state == State::Waiting {
        wake(locked, thread, STATUS_TIMEOUT);
    }
}

struct Objects<'a> {
    list: &'a [PVOID],
    all: bool,
    blocks: *mut KWAIT_BLOCK,
}

unsafe fn wait(objects: &Objects<'_>, timeout: *const LARGE_INTEGER) -> NTSTATUS {
    let thread = KeGetCurrentThread();
    let poll = !timeout.is_null() && *timeout == 0;
    let level = pcr::irql();
    if level > DISPATCH_LEVEL || (level == DISPATCH_LEVEL && !poll) {
        let first = objects
            .list
            .first()
            .copied()
            .unwrap_or(core::ptr::null_mut());
        bugcheck::raise(
            IRQL_NOT_LESS_OR_EQUAL,
            [
                first as usize,
                usize::from(level),
                0,
                wait as *const () as usize,
            ],
        );
    }
    let old = irql::KfRaiseIrql(DISPATCH_LEVEL);
    let mut locked = dispatcher::lock();
    let status = match poll_objects(objects, thread) {
        Some(status) => status,
        None if poll => STATUS_TIMEOUT,
        None => {
            enqueue(objects, thread, timeout);
            dispatcher::swap_out(&mut locked);
            (*thread).wait_status
        }
    };
    locked.unlock();
    irql::KeLowerIrql(old);
    status
}

unsafe fn poll_objects(objects: &Objects<'_>, thread: *mut KTHREAD) -> Option<NTSTATUS> {
    let mut signalled = objects.list.iter().map(|o| o.cast::<DISPATCHER_HEADER>());
    if objects.all {
        if objects.list.is_empty() || !signalled.all(|o| is_signalled(o, thread)) {
            return None;
        }
        for o in objects.list {
            consume(o.cast(), thread);
        }
        return Some(STATUS_WAIT_0);
    }
    let index = signalled.position(|o| is_signalled(o, thread))?;
    consume(objects.list[index].cast(), thread);
    Some(STATUS_WAIT_0 + index as NTSTATUS)
}

unsafe fn enqueue(objects: &Objects<'_>, thread: *mut KTHREAD, timeout: *const LARGE_INTEGER) {
    for (index, &object) in objects.list.iter().enumerate() {
        let block = objects.blocks.add(index);
        block.write(KWAIT_BLOCK {
            WaitListEntry: LIST_ENTRY::NULL,
            WaitType: u8::from(!objects.all),
            BlockState: 0,
            WaitKey: (index as u16).min(TIMEOUT_KEY - 1),
            SpareLong: 0,
            Thread: thread.cast(),
            Object: object,
            SparePtr: core::ptr::null_mut(),
        });
        let header = object.cast::<DISPATCHER_HEADER>();
        LIST_ENTRY::insert_tail(
            &raw mut (*header).WaitListHead,
            &raw mut (*block).WaitListEntry,
        );
    }
    (*thread).wait_blocks = objects.blocks;
    (*thread).wait_count = objects.list.len() as u32;
    (*thread).wait_all = objects.all;
    (*thread).wait_object = objects
        .list
        .first()
        .copied()
        .unwrap_or(core::ptr::null_mut());
    (*thread).state = State::Waiting;
    if !timeout.is_null() {
        timer::start_locked(
            &raw mut (*thread).timer,
            timer::due(*timeout),
            0,
            core::ptr::null_mut(),
        );
    }
}

/// [KeWaitForSingleObject](https://learn.microsoft.com/windows-hardware/drivers/ddi/wdm/nf-wdm-kewaitforsingleobject).
/// At most APC_LEVEL, or DISPATCH_LEVEL with a timeout of 0. There are no APCs and alerts here, so `Alertable` changes
/// nothing. `Timeout` in 100 ns: negative relative, positive system time.
pub unsafe extern "win64" fn KeWaitForSingleObject(
    Object: PVOID,
    _WaitReason: i32,
    _WaitMode: KPROCESSOR_MODE,
    _Alertable: BOOLEAN,
    Timeout: *const LARGE_INTEGER,
) -> NTSTATUS {
    let blocks = &raw mut (*KeGetCurrentThread()).own_blocks;
    wait(
        &Objects {
            list: &[Object],
            all: false,
            blocks: blocks.cast(),
        },
        Timeout,
    )
}

/// [KeWaitForMultipleObjects](https://learn.microsoft.com/windows-hardware/drivers/ddi/wdm/nf-wdm-kewaitformultipleobjects).
/// More than `THREAD_WAIT_OBJECTS` need `WaitBlockArray`: otherwise bug check 0xC.
pub unsafe extern "win64" fn KeWaitForMultipleObjects(
    Count: u32,
    Object: *const PVOID,
    WaitType: i32,
    _WaitReason: i32,
    _WaitMode: KPROCESSOR_MODE,
    _Alertable: BOOLEAN,
    Timeout: *const LARGE_INTEGER,
    WaitBlockArray: *mut KWAIT_BLOCK,
) -> NTSTATUS {
    let count = Count as usize;
    let own = (&raw mut (*KeGetCurrentThread()).own_blocks).cast::<KWAIT_BLOCK>();
    let limit = if WaitBlockArray.is_null() {
        THREAD_WAIT_OBJECTS
    } else {
        MAXIMUM_WAIT_OBJECTS
    };
    if count == 0 || count > limit {
        bugcheck::raise(MAXIMUM_WAIT_OBJECTS_EXCEEDED, [count, limit, 0, 0]);
    }
    let blocks = if WaitBlockArray.is_null() {
        own
    } else {
        WaitBlockArray
    };
    let list = core::slice::from_raw_parts(Object, count);
    wait(
        &Objects {
            list,
            all: WaitType == WaitAll,
            blocks,
        },
        Timeout,
    )
}

/// `KeDelayExecutionThread`. At most APC_LEVEL.
pub unsafe extern "win64" fn KeDelayExecutionThread(
    _WaitMode: KPROCESSOR_MODE,
    _Alertable: BOOLEAN,
    Interval: *const LARGE_INTEGER,
) -> NTSTATUS {
    let none = core::ptr::null_mut();
    if *Interval == 0 {
        // Gives up the rest of the time slice.
        dispatcher::request_reschedule(pcr::this());
        super::thread::reschedule_if_wanted();
        return STATUS_SUCCESS;
    }
    wait(
        &Objects {
            list: &[],
            all: false,
            blocks: none,
        },
        Interval,
    );
    STATUS_SUCCESS
}

exports! { pub static EXPORTS;
    Ntoskrnl { KeWaitForSingleObject, KeWaitForMultipleObjects, KeDelayExecutionThread }
}
