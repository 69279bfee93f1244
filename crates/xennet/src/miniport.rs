//! The routines that NDIS calls.

use core::ffi::c_void;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use ndis_sys::call::{NdisGetVersion, NdisMDeregisterMiniportDriver, NdisMRegisterMiniportDriver};
use ndis_sys::constant::{WDM_DRIVER, pnp_event, send_complete_flags, send_flags, shutdown};
use ndis_sys::miniport::{
    NDIS_MINIPORT_DRIVER_CHARACTERISTICS, NDIS_MINIPORT_INIT_PARAMETERS,
    NDIS_MINIPORT_PAUSE_PARAMETERS, NDIS_MINIPORT_RESTART_PARAMETERS, NET_DEVICE_PNP_EVENT,
};
use ndis_sys::nbl::NET_BUFFER_LIST;
use ndis_sys::object::{NDIS_OBJECT_HEADER, kind};
use ndis_sys::request::NDIS_OID_REQUEST;
use ndis_sys::version::Version;
use ndis_sys::{NDIS_HANDLE, NDIS_STATUS, status};
use rust_alloc::boxed::Box;

use crate::adapter::Adapter;
use crate::nbl::{Chain, Nbl};
use crate::oid;
use crate::queue::QueuePair;

/// NDIS' name of the driver.
static DRIVER: AtomicPtr<c_void> = AtomicPtr::new(null_mut());
/// The running NDIS' version, which the one to register with follows from.
static RUNNING: AtomicU32 = AtomicU32::new(0);

/// Registers the miniport. PASSIVE_LEVEL, in DriverEntry.
///
/// # Safety
/// DriverEntry's arguments.
pub unsafe fn register(driver: *mut c_void, path: *mut c_void) -> NDIS_STATUS {
    let running = NdisGetVersion();
    let Some(version) = Version::negotiate(running) else {
        wdm::error!("NDIS {}.{} is too old", running >> 16, running & 0xFFFF);
        return status::BAD_VERSION;
    };
    RUNNING.store(running, Ordering::Release);
    let revision = version.driver_characteristics();
    let mut characteristics = NDIS_MINIPORT_DRIVER_CHARACTERISTICS {
        Header: NDIS_OBJECT_HEADER::new(
            kind::MINIPORT_DRIVER_CHARACTERISTICS,
            revision.revision,
            revision.size,
        ),
        MajorNdisVersion: 6,
        MinorNdisVersion: version.minor(),
        MajorDriverVersion: (crate::VERSION_NUMBER >> 16) as u8,
        MinorDriverVersion: crate::VERSION_NUMBER as u8,
        Flags: WDM_DRIVER,
        SetOptionsHandler: null_mut(),
        InitializeHandlerEx: Some(initialize),
        HaltHandlerEx: Some(halt),
        UnloadHandler: Some(unload),
        PauseHandler: Some(pause),
        RestartHandler: Some(restart),
        OidRequestHandler: Some(oid_request),
        SendNetBufferListsHandler: Some(send),
        ReturnNetBufferListsHandler: Some(give_back),
        CancelSendHandler: Some(cancel_send),
        CheckForHangHandlerEx: null_mut(),
        ResetHandlerEx: null_mut(),
        DevicePnPEventNotifyHandler: Some(pnp_event_notify),
        ShutdownHandlerEx: Some(shut_down),
        CancelOidRequestHandler: Some(cancel_oid_request),
        DirectOidRequestHandler: null_mut(),
        CancelDirectOidRequestHandler: null_mut(),
        SynchronousOidRequestHandler: null_mut(),
    };
    let mut handle: NDIS_HANDLE = null_mut();
    // SAFETY: the caller's promise; the characteristics outlive the call, which copies them.
    let status = unsafe {
        NdisMRegisterMiniportDriver(
            driver,
            path,
            null_mut(),
            &raw mut characteristics,
            &raw mut handle,
        )
    };
    if status == status::SUCCESS {
        DRIVER.store(handle, Ordering::Release);
    } else {
        wdm::error!("NDIS does not take the driver: {status:#x}");
    }
    status
}

unsafe extern "C" fn unload(_driver: *mut c_void) {
    let handle = DRIVER.swap(null_mut(), Ordering::AcqRel);
    if !handle.is_null() {
        // SAFETY: registered in DriverEntry; NDIS unloads the driver once, with no adapter left.
        unsafe { NdisMDeregisterMiniportDriver(handle) };
    }
}

/// The adapter behind a context.
///
/// # Safety
/// The context that the adapter registered, between its initialize routine and the end of its halt.
unsafe fn adapter<'a>(context: NDIS_HANDLE) -> &'a Adapter {
    // SAFETY: the caller's promise.
    unsafe { &*context.cast::<Adapter>() }
}

unsafe extern "C" fn initialize(
    handle: NDIS_HANDLE,
    _driver: NDIS_HANDLE,
    _parameters: *mut NDIS_MINIPORT_INIT_PARAMETERS,
) -> NDIS_STATUS {
    let Some(version) = Version::negotiate(RUNNING.load(Ordering::Acquire)) else {
        return status::BAD_VERSION;
    };
    // SAFETY: NDIS' promise.
    match unsafe { Adapter::initialize(handle, version) } {
        Ok(adapter) => {
            // From here on it is NDIS' context, until it is halted.
            let _ = Box::into_raw(adapter);
            status::SUCCESS
        }
        Err(reason) => {
            wdm::error!("an adapter does not start: {reason}");
            match reason {
                wdm::status::Status::INSUFFICIENT_RESOURCES => status::RESOURCES,
                wdm::status::Status::DEVICE_NOT_READY => status::ADAPTER_NOT_READY,
                _ => status::FAILURE,
            }
        }
    }
}

unsafe extern "C" fn halt(context: NDIS_HANDLE, _action: u32) {
    // SAFETY: made by initialize; NDIS uses it no more after this.
    let adapter = unsafe { Box::from_raw(context.cast::<Adapter>()) };
    adapter.halt();
}

unsafe extern "C" fn pause(
    context: NDIS_HANDLE,
    _parameters: *mut NDIS_MINIPORT_PAUSE_PARAMETERS,
) -> NDIS_STATUS {
    // SAFETY: NDIS' promise.
    if unsafe { adapter(context) }.pause() {
        status::SUCCESS
    } else {
        status::PENDING
    }
}

unsafe extern "C" fn restart(
    context: NDIS_HANDLE,
    _parameters: *mut NDIS_MINIPORT_RESTART_PARAMETERS,
) -> NDIS_STATUS {
    // SAFETY: NDIS' promise.
    unsafe { adapter(context) }.restart();
    status::SUCCESS
}

unsafe extern "C" fn oid_request(
    context: NDIS_HANDLE,
    request: *mut NDIS_OID_REQUEST,
) -> NDIS_STATUS {
    // SAFETY: NDIS' promise.
    let adapter = unsafe { adapter(context) };
    // SAFETY: NDIS' own request.
    unsafe { oid::request(adapter, request) }
}

unsafe extern "C" fn cancel_oid_request(_context: NDIS_HANDLE, _request: *mut c_void) {
    // None is ever pending.
}

unsafe extern "C" fn send(
    context: NDIS_HANDLE,
    lists: *mut NET_BUFFER_LIST,
    _port: u32,
    flags: u32,
) {
    let at_dispatch = flags & send_flags::DISPATCH_LEVEL != 0;
    let flags = if at_dispatch {
        send_complete_flags::DISPATCH_LEVEL
    } else {
        0
    };
    // SAFETY: NDIS' promise.
    let adapter = unsafe { adapter(context) };
    // SAFETY: NDIS' own chain, the miniport's from now on.
    unsafe { adapter.send(lists, flags) };
}

unsafe extern "C" fn cancel_send(context: NDIS_HANDLE, identifier: *mut c_void) {
    // SAFETY: NDIS' promise.
    unsafe { adapter(context) }.cancel(identifier.addr());
}

unsafe extern "C" fn give_back(context: NDIS_HANDLE, lists: *mut NET_BUFFER_LIST, _flags: u32) {
    // SAFETY: NDIS' promise.
    let adapter = unsafe { adapter(context) };
    // SAFETY: the adapter's own lists, which come back.
    let mut next = unsafe { Nbl::new(lists) };
    let mut count = 0;
    let mut run: Option<&QueuePair> = None;
    let mut chain = Chain::new();
    while let Some(list) = next {
        next = list.next();
        count += 1;
        // SAFETY: a list that one of the adapter's queues sent up.
        let queue = unsafe { QueuePair::of(list) };
        let same = match (run, queue) {
            (Some(run), Some(queue)) => core::ptr::eq(run, queue),
            _ => run.is_none(),
        };
        if !same && let Some(run) = run {
            run.returned(chain.take());
        }
        run = queue;
        chain.push(list);
    }
    if let Some(run) = run {
        run.returned(chain);
    }
    adapter.leave(count);
}

unsafe extern "C" fn pnp_event_notify(context: NDIS_HANDLE, event: *mut NET_DEVICE_PNP_EVENT) {
    // SAFETY: NDIS' own structure.
    let event = unsafe { (*event).DevicePnPEvent };
    if event == pnp_event::SURPRISE_REMOVED {
        // SAFETY: NDIS' promise.
        unsafe { adapter(context) }.remove();
    }
}

unsafe extern "C" fn shut_down(context: NDIS_HANDLE, action: u32) {
    if action != shutdown::BUG_CHECK {
        // SAFETY: NDIS' promise. Xen takes the pages back with the domain; the backend sees it go.
        unsafe { adapter(context) }.shut_down();
    }
}
