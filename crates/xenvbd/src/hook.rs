//! The adapter's PnP requests, seen before StorPort.
//!
//! A connection is closed by talking to the backend, for which a thread must wait; the routine that StorPort stops an
//! adapter with runs at DIRQL and cannot. So IRP_MJ_PNP of the driver's object leads here first: before StorPort stops or
//! removes the adapter all connections are closed, at PASSIVE_LEVEL. Everything is then passed to StorPort.

use core::sync::atomic::{AtomicUsize, Ordering};

use wdk_sys::{DEVICE_OBJECT, DRIVER_OBJECT, IRP, NTSTATUS};
use wdm::irp::{Irp, MJ_PNP};

use crate::adapter;

const MN_REMOVE_DEVICE: u8 = 0x02;
const MN_STOP_DEVICE: u8 = 0x04;
const MN_SURPRISE_REMOVAL: u8 = 0x17;

type Dispatch = unsafe extern "C" fn(*mut DEVICE_OBJECT, *mut IRP) -> NTSTATUS;

/// StorPort's routine.
static STORPORT: AtomicUsize = AtomicUsize::new(0);

/// Leads PnP requests here. PASSIVE_LEVEL, in DriverEntry.
///
/// # Safety
/// `driver` is the driver's own object, its routines filled in by StorPort.
pub unsafe fn install(driver: *mut DRIVER_OBJECT) {
    // SAFETY: the caller's promise.
    let object = unsafe { &mut *driver };
    let Some(slot) = object.MajorFunction.get_mut(usize::from(MJ_PNP)) else {
        return;
    };
    if let Some(routine) = *slot {
        STORPORT.store(routine as usize, Ordering::Release);
        *slot = Some(dispatch);
    }
}

/// IRP_MJ_PNP of the adapter and of its units. PASSIVE_LEVEL.
unsafe extern "C" fn dispatch(device: *mut DEVICE_OBJECT, irp: *mut IRP) -> NTSTATUS {
    // SAFETY: an IRP that is ours until it is passed on; it is only looked at.
    let minor = unsafe { Irp::from_raw(irp) }.location().minor;
    let stops = matches!(
        minor,
        MN_REMOVE_DEVICE | MN_STOP_DEVICE | MN_SURPRISE_REMOVAL
    );
    let adapter = stops.then(|| adapter::of_device(device.cast())).flatten();
    if let Some(adapter) = adapter {
        adapter.stop();
    }
    let routine = STORPORT.load(Ordering::Acquire);
    // SAFETY: written by install before any device could be there.
    let routine = unsafe { core::mem::transmute::<usize, Dispatch>(routine) };
    // SAFETY: StorPort's routine, with the device and IRP that it was meant for.
    let status = unsafe { routine(device, irp) };
    if minor == MN_REMOVE_DEVICE
        && let Some(adapter) = adapter
    {
        // SAFETY: the adapter is removed: StorPort calls none of its routines any more.
        unsafe { adapter::free(adapter) };
    }
    status
}
