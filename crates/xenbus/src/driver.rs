//! `DriverEntry`, `AddDevice`, unload, and the way of each request to its device.

use wdk_sys::{DEVICE_OBJECT, DRIVER_OBJECT, IRP, NTSTATUS, PCUNICODE_STRING};
use wdm::device::Device;
use wdm::irp::{self, Irp};
use wdm::status::Status;
use wdm::unicode;

use crate::extension::{Target, target};
use crate::fdo::Fdo;
use crate::fdo_pnp::Dispatch as _;
use crate::fdo_power::Power as _;
use crate::{parameters, version};

/// Entry point: fills in the driver object, touches neither hardware nor hypervisor.
///
/// # Safety
/// Called once by the kernel at PASSIVE_LEVEL with a fresh driver object.
#[unsafe(export_name = "DriverEntry")]
pub unsafe extern "system" fn driver_entry(
    driver: &mut DRIVER_OBJECT,
    registry_path: PCUNICODE_STRING,
) -> NTSTATUS {
    // SAFETY: the kernel passes a valid string.
    let path = unsafe { unicode::units(registry_path) };
    if let Err(status) = parameters::remember(path) {
        return status.0;
    }
    for major in [
        irp::MJ_CREATE,
        irp::MJ_CLOSE,
        irp::MJ_CLEANUP,
        irp::MJ_DEVICE_CONTROL,
        irp::MJ_SYSTEM_CONTROL,
    ] {
        set_dispatch(driver, major, dispatch_other);
    }
    set_dispatch(driver, irp::MJ_PNP, dispatch_pnp);
    set_dispatch(driver, irp::MJ_POWER, dispatch_power);
    driver.DriverUnload = Some(unload);
    // SAFETY: a driver object has its extension.
    let extension = unsafe { &mut *driver.DriverExtension };
    extension.AddDevice = Some(add_device);
    let [major, minor, micro, build] = version::VERSION;
    wdm::info!("version {major}.{minor}.{micro}.{build} loaded");
    wdk_sys::STATUS_SUCCESS
}

type Routine = unsafe extern "C" fn(*mut DEVICE_OBJECT, *mut IRP) -> NTSTATUS;

fn set_dispatch(driver: &mut DRIVER_OBJECT, major: u8, dispatch: Routine) {
    if let Some(slot) = driver.MajorFunction.get_mut(usize::from(major)) {
        *slot = Some(dispatch);
    }
}

unsafe extern "C" fn unload(_driver: *mut DRIVER_OBJECT) {
    wdm::info!("unloaded");
}

unsafe extern "C" fn add_device(driver: *mut DRIVER_OBJECT, pdo: *mut DEVICE_OBJECT) -> NTSTATUS {
    // SAFETY: PnP passes a valid PDO, which outlives what is attached to it.
    let pdo = unsafe { Device::from_raw(pdo) };
    // SAFETY: our driver object.
    let result = unsafe { Fdo::add(driver, pdo) };
    if let Err(status) = result {
        wdm::error!("the platform device could not be added: {status}");
    }
    Status::of(result)
}

/// The device and the request, for as long as the dispatch routine runs.
///
/// # Safety
/// The pointers are those that a dispatch routine was called with.
unsafe fn enter(device: *mut DEVICE_OBJECT, irp: *mut IRP) -> (Option<Target>, Irp) {
    // SAFETY: the I/O manager keeps the device while it has a request.
    let device = unsafe { Device::from_raw(device) };
    // SAFETY: the request is ours until we pass it on or complete it.
    let irp = unsafe { Irp::from_raw(irp) };
    // SAFETY: a device of this driver: its dispatch routines are called with no others.
    (unsafe { target(device) }, irp)
}

unsafe extern "C" fn dispatch_pnp(device: *mut DEVICE_OBJECT, irp: *mut IRP) -> NTSTATUS {
    // SAFETY: called by the I/O manager.
    let (target, irp) = unsafe { enter(device, irp) };
    match target {
        Some(Target::Fdo(fdo)) => fdo.pnp(irp),
        Some(Target::Pdo(pdo)) => pdo.pnp(irp),
        None => irp.complete_with(Status::NO_SUCH_DEVICE.0, 0),
    }
}

unsafe extern "C" fn dispatch_power(device: *mut DEVICE_OBJECT, irp: *mut IRP) -> NTSTATUS {
    // SAFETY: called by the I/O manager.
    let (target, irp) = unsafe { enter(device, irp) };
    match target {
        Some(Target::Fdo(fdo)) => fdo.power(irp),
        Some(Target::Pdo(pdo)) => pdo.power(irp),
        None => irp.complete_with(Status::DELETE_PENDING.0, 0),
    }
}

unsafe extern "C" fn dispatch_other(device: *mut DEVICE_OBJECT, irp: *mut IRP) -> NTSTATUS {
    // SAFETY: called by the I/O manager.
    let (target, irp) = unsafe { enter(device, irp) };
    let major = irp.location().major;
    match target {
        Some(Target::Fdo(fdo)) => fdo.other(irp, major),
        Some(Target::Pdo(pdo)) => pdo.other(irp, major),
        None => irp.complete_with(Status::NO_SUCH_DEVICE.0, 0),
    }
}
