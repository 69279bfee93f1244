//! What a miniport may have run later: DPCs, timers, work items.

use alloc::boxed::Box;
use core::ffi::c_void;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use super::adapter::Adapter;
use super::os::*;
use super::{hw, rules};
use crate::nt::ke::{KDPC, KTIMER, LARGE_INTEGER, PVOID};
use crate::nt::storport::*;

/// The adapter's one timer of StorPortNotification(RequestTimerCall).
pub(crate) struct HwTimerCall {
    timer: KTIMER,
    dpc: KDPC,
    adapter: AtomicPtr<Adapter>,
    routine: AtomicPtr<c_void>,
}

/// A timer of StorPortInitializeTimer.
pub(crate) struct PortTimer {
    timer: KTIMER,
    dpc: KDPC,
    adapter: AtomicPtr<Adapter>,
    routine: AtomicPtr<c_void>,
    context: AtomicPtr<c_void>,
    pending: AtomicBool,
}

fn due(microseconds: u64) -> LARGE_INTEGER {
    let units = i64::try_from(microseconds.saturating_mul(10)).unwrap_or(i64::MAX);
    -units.max(1)
}

impl HwTimerCall {
    /// A timer that is not set.
    pub fn new() -> Box<Self> {
        // SAFETY: KTIMER and KDPC are plain data, set up in place.
        unsafe {
            let mut call = Box::new(Self {
                timer: core::mem::zeroed(),
                dpc: core::mem::zeroed(),
                adapter: AtomicPtr::new(core::ptr::null_mut()),
                routine: AtomicPtr::new(core::ptr::null_mut()),
            });
            let context = core::ptr::from_mut(&mut *call).cast();
            KeInitializeTimerEx(&mut call.timer, 0);
            KeInitializeDpc(&mut call.dpc, Some(timer_call), context);
            call
        }
    }

    /// Stops the timer.
    pub fn cancel(&self) {
        // SAFETY: the timer was set up in `new`.
        unsafe { KeCancelTimer((&raw const self.timer).cast_mut()) };
    }
}

/// RequestTimerCall: HwTimer after so many microseconds; 0 cancels.
pub(crate) fn request_timer_call(adapter: &Adapter, routine: *mut c_void, microseconds: u32) {
    let call = &adapter.timer_call;
    call.adapter
        .store(core::ptr::from_ref(adapter).cast_mut(), Ordering::Release);
    if microseconds == 0 || routine.is_null() {
        call.cancel();
        return;
    }
    call.routine.store(routine, Ordering::Release);
    // SAFETY: timer and DPC were set up in `new`.
    unsafe {
        KeSetTimerEx(
            (&raw const call.timer).cast_mut(),
            due(u64::from(microseconds)),
            0,
            (&raw const call.dpc).cast_mut(),
        )
    };
}

unsafe extern "win64" fn timer_call(_: *mut KDPC, context: PVOID, _: PVOID, _: PVOID) {
    // SAFETY: the context is the adapter's HwTimerCall; the routine is one that the miniport gave.
    unsafe {
        let call = &*context.cast::<HwTimerCall>();
        let adapter = &*call.adapter.load(Ordering::Acquire);
        let routine =
            core::mem::transmute::<*mut c_void, HwTimer>(call.routine.load(Ordering::Acquire));
        hw::with_start_io_lock(adapter, || {
            rules::call(adapter, "HwTimer", || routine(adapter.hw()))
        });
    }
}

/// StorPortInitializeTimer.
pub(crate) fn initialize(adapter: &Adapter) -> *mut PortTimer {
    // SAFETY: KTIMER and KDPC are plain data, set up in place; the timer is freed by `free`.
    unsafe {
        let timer = Box::into_raw(Box::new(PortTimer {
            timer: core::mem::zeroed(),
            dpc: core::mem::zeroed(),
            adapter: AtomicPtr::new(core::ptr::from_ref(adapter).cast_mut()),
            routine: AtomicPtr::new(core::ptr::null_mut()),
            context: AtomicPtr::new(core::ptr::null_mut()),
            pending: AtomicBool::new(false),
        }));
        KeInitializeTimerEx(&mut (*timer).timer, 0);
        KeInitializeDpc(&mut (*timer).dpc, Some(port_timer), timer.cast());
        adapter.timers.lock().push(timer);
        timer
    }
}

fn known(adapter: &Adapter, timer: *mut PortTimer) -> bool {
    adapter.timers.lock().contains(&timer)
}

/// StorPortRequestTimer; a time of 0 cancels.
pub(crate) fn request(
    adapter: &Adapter,
    timer: *mut PortTimer,
    routine: *mut c_void,
    context: *mut c_void,
    microseconds: u64,
) -> u32 {
    if !known(adapter, timer) {
        return STOR_STATUS_INVALID_PARAMETER;
    }
    // SAFETY: the timer is in the adapter's list: it is alive.
    let object = unsafe { &*timer };
    if microseconds == 0 {
        // SAFETY: the timer was set up in `initialize`.
        unsafe { KeCancelTimer((&raw const object.timer).cast_mut()) };
        object.pending.store(false, Ordering::Release);
        return STOR_STATUS_SUCCESS;
    }
    if object.pending.swap(true, Ordering::AcqRel) {
        return STOR_STATUS_BUSY;
    }
    object.routine.store(routine, Ordering::Release);
    object.context.store(context, Ordering::Release);
    // SAFETY: timer and DPC were set up in `initialize`.
    unsafe {
        KeSetTimerEx(
            (&raw const object.timer).cast_mut(),
            due(microseconds),
            0,
            (&raw const object.dpc).cast_mut(),
        )
    };
    STOR_STATUS_SUCCESS
}

unsafe extern "win64" fn port_timer(_: *mut KDPC, context: PVOID, _: PVOID, _: PVOID) {
    // SAFETY: the context is a timer that is freed only after its DPC is flushed.
    unsafe {
        let timer = &*context.cast::<PortTimer>();
        let adapter = &*timer.adapter.load(Ordering::Acquire);
        timer.pending.store(false, Ordering::Release);
        let routine =
            core::mem::transmute::<*mut c_void, HwTimerEx>(timer.routine.load(Ordering::Acquire));
        let context = timer.context.load(Ordering::Acquire);
        hw::with_start_io_lock(adapter, || {
            rules::call(adapter, "HwTimer", || routine(adapter.hw(), context))
        });
    }
}

/// StorPortFreeTimer.
pub(crate) fn free(adapter: &Adapter, timer: *mut PortTimer) -> u32 {
    let mut timers = adapter.timers.lock();
    let Some(at) = timers.iter().position(|known| *known == timer) else {
        return STOR_STATUS_INVALID_PARAMETER;
    };
    timers.swap_remove(at);
    drop(timers);
    // SAFETY: the timer is in no list any more; its DPC is taken out of the queue before the memory goes.
    unsafe {
        KeCancelTimer(&mut (*timer).timer);
        KeRemoveQueueDpc(&mut (*timer).dpc);
        drop(Box::from_raw(timer));
    }
    STOR_STATUS_SUCCESS
}

/// StorPortInitializeDpc and its kin: the DPC's routine is the miniport's, called with its device extension.
///
/// # Safety
/// `dpc` must be a STOR_DPC, `routine` an HwDpcRoutine.
pub(crate) unsafe fn initialize_dpc(
    adapter: &Adapter,
    dpc: *mut StorDpc,
    routine: *mut c_void,
    context: *mut c_void,
    threaded: bool,
) {
    // The prototype of HwDpcRoutine is that of a KDPC's routine; the deferred context is the device extension unless the
    // miniport names its own.
    let context = if context.is_null() {
        adapter.hw()
    } else {
        context
    };
    // SAFETY: by the caller's word.
    unsafe {
        let routine =
            core::mem::transmute::<*mut c_void, Option<crate::nt::ke::DeferredRoutine>>(routine);
        (*dpc).lock = 0;
        if threaded {
            KeInitializeThreadedDpc(dpc.cast(), routine, context);
        } else {
            KeInitializeDpc(dpc.cast(), routine, context);
        }
    }
    adapter.initialized_dpcs.lock().push(dpc as usize);
}

/// A work item of StorPortInitializeWorker.
pub(crate) struct Worker {
    item: *mut c_void,
    adapter: *mut Adapter,
    routine: AtomicPtr<c_void>,
    context: AtomicPtr<c_void>,
    queued: AtomicBool,
}

/// StorPortInitializeWorker.
pub(crate) fn new_worker(adapter: &Adapter) -> *mut Worker {
    // SAFETY: the FDO lives as long as the adapter.
    let item = unsafe { IoAllocateWorkItem(adapter.fdo) };
    if item.is_null() {
        return core::ptr::null_mut();
    }
    Box::into_raw(Box::new(Worker {
        item: item.cast(),
        adapter: core::ptr::from_ref(adapter).cast_mut(),
        routine: AtomicPtr::new(core::ptr::null_mut()),
        context: AtomicPtr::new(core::ptr::null_mut()),
        queued: AtomicBool::new(false),
    }))
}

/// StorPortQueueWorkItem.
///
/// # Safety
/// `worker` must come from [`new_worker`].
pub(crate) unsafe fn queue_worker(
    adapter: &Adapter,
    worker: *mut Worker,
    routine: *mut c_void,
    context: *mut c_void,
) -> u32 {
    if worker.is_null() || routine.is_null() {
        return STOR_STATUS_INVALID_PARAMETER;
    }
    if adapter.removed.load(Ordering::Acquire) {
        return STOR_STATUS_INVALID_DEVICE_STATE;
    }
    // SAFETY: by the caller's word.
    unsafe {
        if (*worker).queued.swap(true, Ordering::AcqRel) {
            return STOR_STATUS_BUSY;
        }
        (*worker).routine.store(routine, Ordering::Release);
        (*worker).context.store(context, Ordering::Release);
        IoQueueWorkItem((*worker).item.cast(), work, 1, worker.cast());
    }
    STOR_STATUS_SUCCESS
}

unsafe extern "win64" fn work(_: PVOID, context: PVOID) {
    // SAFETY: the context is a worker that the miniport frees only when it is not queued.
    unsafe {
        let worker = context.cast::<Worker>();
        let adapter = &*(*worker).adapter;
        let routine = core::mem::transmute::<*mut c_void, HwWorkItem>(
            (*worker).routine.load(Ordering::Acquire),
        );
        let given = (*worker).context.load(Ordering::Acquire);
        (*worker).queued.store(false, Ordering::Release);
        routine(adapter.hw(), given, worker.cast());
    }
}

/// StorPortFreeWorker.
///
/// # Safety
/// `worker` must come from [`new_worker`].
pub(crate) unsafe fn free_worker(worker: *mut Worker) -> u32 {
    if worker.is_null() {
        return STOR_STATUS_INVALID_PARAMETER;
    }
    // SAFETY: by the caller's word.
    unsafe {
        if (*worker).queued.load(Ordering::Acquire) {
            return STOR_STATUS_BUSY;
        }
        IoFreeWorkItem((*worker).item.cast());
        drop(Box::from_raw(worker));
    }
    STOR_STATUS_SUCCESS
}
