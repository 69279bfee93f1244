//! Timer objects and work items of NDIS.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use core::sync::atomic::{AtomicBool, Ordering};

use super::rules;
use crate::nt::ke::{KDPC, KTIMER, PVOID};
use crate::nt::ndis::*;
use crate::storport::os::{
    KeCancelTimer, KeFlushQueuedDpcs, KeInitializeDpc, KeInitializeTimerEx, KeRemoveQueueDpc,
    KeSetTimerEx,
};
use crate::sync::Lock;

struct Timer {
    timer: KTIMER,
    dpc: KDPC,
    routine: NDIS_TIMER_FUNCTION,
    context: PVOID,
}

/// The owners of timers and work items.
static TIMERS: Lock<BTreeMap<usize, usize>> = Lock::new(BTreeMap::new());
static ITEMS: Lock<BTreeMap<usize, usize>> = Lock::new(BTreeMap::new());

fn count(list: &Lock<BTreeMap<usize, usize>>, owner: PVOID) -> usize {
    list.lock()
        .values()
        .filter(|o| **o == owner as usize)
        .count()
}

/// Timers that an owner did not free.
pub(super) fn timers_left(owner: PVOID) -> usize {
    count(&TIMERS, owner)
}

/// Work items that an owner did not free.
pub(super) fn items_left(owner: PVOID) -> usize {
    count(&ITEMS, owner)
}

unsafe extern "win64" fn expired(dpc: *mut KDPC, timer: PVOID, one: PVOID, two: PVOID) {
    let t = &*timer.cast::<Timer>();
    (t.routine)(dpc.cast(), t.context, one, two);
}

/// NdisAllocateTimerObject. At most DISPATCH_LEVEL.
pub(super) unsafe extern "win64" fn NdisAllocateTimerObject(
    owner: PVOID,
    characteristics: *const NDIS_TIMER_CHARACTERISTICS,
    to: *mut PVOID,
) -> NDIS_STATUS {
    to.write(core::ptr::null_mut());
    let c = &*characteristics;
    let (NDIS_OBJECT_TYPE_TIMER_CHARACTERISTICS, Some(routine)) = (c.Header.Type, c.TimerFunction)
    else {
        return NDIS_STATUS_INVALID_PARAMETER;
    };
    let timer = Box::into_raw(Box::new(Timer {
        timer: core::mem::zeroed(),
        dpc: core::mem::zeroed(),
        routine,
        context: c.FunctionContext,
    }));
    KeInitializeTimerEx(&raw mut (*timer).timer, 0);
    KeInitializeDpc(&raw mut (*timer).dpc, Some(expired), timer.cast());
    TIMERS.lock().insert(timer as usize, owner as usize);
    to.write(timer.cast());
    NDIS_STATUS_SUCCESS
}

fn known(call: &str, timer: PVOID) -> bool {
    let known = TIMERS.lock().contains_key(&(timer as usize));
    if !known {
        crate::check::violation(
            rules::OBJECT,
            format_args!("{call}: {timer:p} is no timer object"),
        );
    }
    known
}

/// NdisSetTimerObject: the time as in KeSetTimerEx, the period in milliseconds. At most DISPATCH_LEVEL.
pub(super) unsafe extern "win64" fn NdisSetTimerObject(
    timer: PVOID,
    due: i64,
    period: i32,
    context: PVOID,
) -> u8 {
    if !known("NdisSetTimerObject", timer) {
        return 0;
    }
    let t = timer.cast::<Timer>();
    if !context.is_null() {
        (*t).context = context;
    }
    KeSetTimerEx(&raw mut (*t).timer, due, period, &raw mut (*t).dpc)
}

/// NdisSetCoalescableTimerObject: the tolerance is not used. At most DISPATCH_LEVEL.
pub(super) unsafe extern "win64" fn NdisSetCoalescableTimerObject(
    timer: PVOID,
    due: i64,
    period: i32,
    context: PVOID,
    _tolerance: u32,
) -> u8 {
    NdisSetTimerObject(timer, due, period, context)
}

/// NdisCancelTimerObject. At most DISPATCH_LEVEL.
pub(super) unsafe extern "win64" fn NdisCancelTimerObject(timer: PVOID) -> u8 {
    if !known("NdisCancelTimerObject", timer) {
        return 0;
    }
    KeCancelTimer(&raw mut (*timer.cast::<Timer>()).timer)
}

/// NdisFreeTimerObject. At most DISPATCH_LEVEL; the timer is not set any more.
pub(super) unsafe extern "win64" fn NdisFreeTimerObject(timer: PVOID) {
    const CALL: &str = "NdisFreeTimerObject";
    if !known(CALL, timer) {
        return;
    }
    TIMERS.lock().remove(&(timer as usize));
    let t = timer.cast::<Timer>();
    if KeCancelTimer(&raw mut (*t).timer) != 0 {
        crate::check::violation(
            rules::OBJECT,
            format_args!("{CALL}: {timer:p} was still set"),
        );
    }
    KeRemoveQueueDpc(&raw mut (*t).dpc);
    let timer = t as usize;
    crate::io::work::queue(move || {
        // SAFETY: nothing starts the timer any more; its DPC is over when the queues are flushed.
        unsafe {
            KeFlushQueuedDpcs();
            drop(Box::from_raw(timer as *mut Timer));
        }
    });
}

struct Item {
    queued: AtomicBool,
}

/// NdisAllocateIoWorkItem. At most DISPATCH_LEVEL.
pub(super) unsafe extern "win64" fn NdisAllocateIoWorkItem(owner: PVOID) -> PVOID {
    let item = Box::into_raw(Box::new(Item {
        queued: AtomicBool::new(false),
    }));
    ITEMS.lock().insert(item as usize, owner as usize);
    item.cast()
}

/// NdisQueueIoWorkItem. At most DISPATCH_LEVEL.
pub(super) unsafe extern "win64" fn NdisQueueIoWorkItem(
    item: PVOID,
    routine: NDIS_IO_WORKITEM_ROUTINE,
    context: PVOID,
) {
    if (*item.cast::<Item>()).queued.swap(true, Ordering::AcqRel) {
        crate::check::violation(
            rules::OBJECT,
            format_args!("NdisQueueIoWorkItem: {item:p} is queued already"),
        );
        return;
    }
    let (item, context) = (item as usize, context as usize);
    // SAFETY: the item lives until the routine frees it or its owner does after the routine; it is not used afterwards.
    crate::io::work::queue(move || unsafe {
        (*(item as *const Item))
            .queued
            .store(false, Ordering::Release);
        routine(context as PVOID, item as PVOID);
    });
}

/// NdisFreeIoWorkItem. At most DISPATCH_LEVEL; the item is not queued.
pub(super) unsafe extern "win64" fn NdisFreeIoWorkItem(item: PVOID) {
    const CALL: &str = "NdisFreeIoWorkItem";
    if ITEMS.lock().remove(&(item as usize)).is_none() {
        crate::check::violation(
            rules::OBJECT,
            format_args!("{CALL}: {item:p} is no work item, or was freed"),
        );
        return;
    }
    if (*item.cast::<Item>()).queued.load(Ordering::Acquire) {
        crate::check::violation(
            rules::OBJECT,
            format_args!("{CALL}: {item:p} is still queued"),
        );
        return;
    }
    drop(Box::from_raw(item.cast::<Item>()));
}
