//! Calls into storport.sys: its exports, and the inline functions of storport.h re-expressed over the two variadic ones.
//!
//! What each inline function passes, in order, is WDK 10.0.26100's. All are for a miniport's own routines; each says at
//! which IRQL.

use core::ffi::c_void;

use crate::callback::{HW_DPC_ROUTINE, HW_PASSIVE_INITIALIZE_ROUTINE};
use crate::constant::{extended_function, notification};
use crate::port::{HW_INITIALIZATION_DATA, PERF_CONFIGURATION_DATA, STOR_DPC};
use crate::srb::{STOR_SCATTER_GATHER_LIST, STORAGE_REQUEST_BLOCK};

unsafe extern "C" {
    /// `StorPortInitialize`: DriverEntry only; its NTSTATUS is DriverEntry's own.
    pub fn StorPortInitialize(
        driver_object: *mut c_void,
        registry_path: *mut c_void,
        data: *mut HW_INITIALIZATION_DATA,
        context: *mut c_void,
    ) -> u32;
    /// `StorPortNotification`: see the functions below, and [`notification`].
    pub fn StorPortNotification(kind: u32, device_extension: *mut c_void, ...);
    /// `StorPortExtendedFunction`: see the functions below, and [`extended_function`].
    pub fn StorPortExtendedFunction(code: u32, device_extension: *mut c_void, ...) -> u32;
    /// `StorPortGetScatterGatherList`: BuildIo and StartIo; valid until the SRB is completed; null without data.
    pub fn StorPortGetScatterGatherList(
        device_extension: *mut c_void,
        srb: *mut STORAGE_REQUEST_BLOCK,
    ) -> *mut STOR_SCATTER_GATHER_LIST;
    /// `StorPortSetDeviceQueueDepth`: from the unit's first INQUIRY on. FALSE: not accepted.
    pub fn StorPortSetDeviceQueueDepth(
        device_extension: *mut c_void,
        path_id: u8,
        target_id: u8,
        lun: u8,
        depth: u32,
    ) -> u8;
}

/// Completes an SRB (`StorPortNotification(RequestComplete)`), at or below DISPATCH_LEVEL.
///
/// # Safety
/// `device_extension` is the adapter's; `srb` was given to the miniport, is not yet completed, and is not used again.
pub unsafe fn request_complete(device_extension: *mut c_void, srb: *mut STORAGE_REQUEST_BLOCK) {
    // SAFETY: the caller keeps the contract above; RequestComplete takes the SRB as its one argument.
    unsafe { StorPortNotification(notification::REQUEST_COMPLETE, device_extension, srb) }
}

/// Says that targets came or went (`StorPortNotification(BusChangeDetected)`), at or below DISPATCH_LEVEL.
///
/// # Safety
/// `device_extension` is the adapter's.
pub unsafe fn bus_change_detected(device_extension: *mut c_void, path_id: u8) {
    // SAFETY: the caller keeps the contract above; a UCHAR travels through a variadic call as an int.
    unsafe {
        StorPortNotification(
            notification::BUS_CHANGE_DETECTED,
            device_extension,
            u32::from(path_id),
        );
    }
}

/// `StorPortEnablePassiveInitialization`: HwInitialize only. False: the routine will not be called.
///
/// # Safety
/// `device_extension` is the adapter's, and the caller is its HwInitialize.
pub unsafe fn enable_passive_initialization(
    device_extension: *mut c_void,
    routine: HW_PASSIVE_INITIALIZE_ROUTINE,
) -> bool {
    let mut accepted: u8 = 0;
    // SAFETY: the caller keeps the contract above; the third argument receives a BOOLEAN and outlives the call.
    unsafe {
        StorPortNotification(
            notification::ENABLE_PASSIVE_INITIALIZATION,
            device_extension,
            routine,
            &raw mut accepted,
        );
    }
    accepted != 0
}

/// `StorPortInitializeDpc`: passive initialisation.
///
/// # Safety
/// `device_extension` is the adapter's; `dpc` stays where it is for as long as the adapter lives.
pub unsafe fn initialize_dpc(
    device_extension: *mut c_void,
    dpc: *mut STOR_DPC,
    routine: HW_DPC_ROUTINE,
) {
    // SAFETY: the caller keeps the contract above.
    unsafe {
        StorPortNotification(notification::INITIALIZE_DPC, device_extension, dpc, routine);
    }
}

/// `StorPortIssueDpc`: any IRQL. False: it was queued already.
///
/// # Safety
/// `device_extension` is the adapter's; `dpc` was initialised.
pub unsafe fn issue_dpc(
    device_extension: *mut c_void,
    dpc: *mut STOR_DPC,
    argument1: *mut c_void,
    argument2: *mut c_void,
) -> bool {
    let mut queued: u8 = 0;
    // SAFETY: the caller keeps the contract above; the last argument receives a BOOLEAN and outlives the call.
    unsafe {
        StorPortNotification(
            notification::ISSUE_DPC,
            device_extension,
            dpc,
            argument1,
            argument2,
            &raw mut queued,
        );
    }
    queued != 0
}

/// The device objects that `StorPortGetDeviceObjects` tells of.
#[derive(Clone, Copy, Debug)]
pub struct DeviceObjects {
    /// The adapter's functional device object.
    pub adapter: *mut c_void,
    /// The physical device object below it.
    pub physical: *mut c_void,
    /// The device object that the adapter is attached to.
    pub lower: *mut c_void,
}

/// `StorPortGetDeviceObjects`: at or below DISPATCH_LEVEL.
///
/// # Errors
/// StorPort's status, a value of [`crate::constant::stor_status`].
///
/// # Safety
/// `device_extension` is the adapter's.
pub unsafe fn device_objects(device_extension: *mut c_void) -> Result<DeviceObjects, u32> {
    let mut objects = DeviceObjects {
        adapter: core::ptr::null_mut(),
        physical: core::ptr::null_mut(),
        lower: core::ptr::null_mut(),
    };
    // SAFETY: the caller keeps the contract above; the three receiving fields outlive the call.
    let status = unsafe {
        StorPortExtendedFunction(
            extended_function::GET_DEVICE_OBJECTS,
            device_extension,
            &raw mut objects.adapter,
            &raw mut objects.physical,
            &raw mut objects.lower,
        )
    };
    if status == 0 {
        Ok(objects)
    } else {
        Err(status)
    }
}

/// `StorPortGetSystemAddress`: a kernel address of an SRB's data buffer, valid until the SRB is completed; at or below
/// DISPATCH_LEVEL.
///
/// # Errors
/// StorPort's status: INSUFFICIENT_RESOURCES where the mapping failed, INVALID_PARAMETER for an SRB without data.
///
/// # Safety
/// `device_extension` is the adapter's; `srb` was given to the miniport and is not yet completed.
pub unsafe fn system_address(
    device_extension: *mut c_void,
    srb: *mut STORAGE_REQUEST_BLOCK,
) -> Result<*mut u8, u32> {
    let mut address: *mut c_void = core::ptr::null_mut();
    // SAFETY: the caller keeps the contract above; the last argument receives a pointer and outlives the call.
    let status = unsafe {
        StorPortExtendedFunction(
            extended_function::GET_SYSTEM_ADDRESS,
            device_extension,
            srb,
            &raw mut address,
        )
    };
    if status == 0 {
        Ok(address.cast())
    } else {
        Err(status)
    }
}

/// `StorPortInitializePerfOpts`: HwInitialize. With `query`, fills `data` with what StorPort can do; else sets it.
///
/// # Errors
/// StorPort's status.
///
/// # Safety
/// `device_extension` is the adapter's, and the caller is its HwInitialize or passive initialisation.
pub unsafe fn initialize_perf_opts(
    device_extension: *mut c_void,
    query: bool,
    data: &mut PERF_CONFIGURATION_DATA,
) -> Result<(), u32> {
    // SAFETY: the caller keeps the contract above; a BOOLEAN travels through a variadic call as an int.
    let status = unsafe {
        StorPortExtendedFunction(
            extended_function::INITIALIZE_PERFORMANCE_OPTIMIZATIONS,
            device_extension,
            u32::from(query),
            core::ptr::from_mut(data),
        )
    };
    if status == 0 { Ok(()) } else { Err(status) }
}
