//! The driver object's dispatch routine: what IRPs do to adapters and units.
#![allow(clippy::missing_safety_doc)]

use alloc::boxed::Box;
use core::ffi::c_void;
use core::sync::atomic::Ordering;

use super::adapter::{Adapter, Phase};
use super::os::*;
use super::request::{Done, Request};
use super::srb::Srb;
use super::unit::Unit;
use super::{ioctl, pdo, request, scan, start, stop};
use crate::nt::base::NTSTATUS;
use crate::nt::io::consts::*;
use crate::nt::io::*;
use crate::nt::scsi::*;
use crate::nt::status::*;
use crate::nt::storport::*;

/// What a device object of the port stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Kind {
    /// An adapter's FDO
    Adapter = 0x4146_444f,
    /// A unit's PDO
    Unit = 0x5550_444f,
    /// A unit's PDO whose unit is gone
    Gone = 0x474f_4e45,
}

/// The device extension of the port's device objects.
#[repr(C)]
pub(crate) struct DeviceExtension {
    pub kind: Kind,
    pub object: *mut c_void,
}

/// Every major function that StorPort sets in a miniport's driver object.
pub(crate) unsafe extern "win64" fn dispatch(
    device: *mut DEVICE_OBJECT,
    irp: *mut IRP,
) -> NTSTATUS {
    let extension = (*device).DeviceExtension.cast::<DeviceExtension>();
    match (*extension).kind {
        Kind::Adapter => adapter_irp((*extension).object.cast(), irp),
        Kind::Unit => unit_irp((*extension).object.cast(), irp),
        Kind::Gone => complete(irp, STATUS_DELETE_PENDING, 0),
    }
}

unsafe fn adapter_irp(adapter: *mut Adapter, irp: *mut IRP) -> NTSTATUS {
    match (*current(irp)).MajorFunction {
        IRP_MJ_CREATE | IRP_MJ_CLOSE => complete(irp, STATUS_SUCCESS, 0),
        IRP_MJ_PNP => adapter_pnp(adapter, irp),
        IRP_MJ_POWER => adapter_power(&mut *adapter, irp),
        IRP_MJ_DEVICE_CONTROL => ioctl::adapter(&*adapter, irp),
        _ => pass_down(&*adapter, irp),
    }
}

unsafe fn pass_down(adapter: &Adapter, irp: *mut IRP) -> NTSTATUS {
    skip(irp);
    IofCallDriver(adapter.lower, irp)
}

unsafe fn unit_irp(unit: *mut Unit, irp: *mut IRP) -> NTSTATUS {
    match (*current(irp)).MajorFunction {
        IRP_MJ_CREATE | IRP_MJ_CLOSE => complete(irp, STATUS_SUCCESS, 0),
        IRP_MJ_PNP => pdo::pnp(unit, irp),
        IRP_MJ_POWER => pdo::power(&*unit, irp),
        IRP_MJ_DEVICE_CONTROL => ioctl::unit(&*unit, irp),
        IRP_MJ_SCSI => scsi(&*unit, irp),
        _ => complete(irp, STATUS_INVALID_DEVICE_REQUEST, 0),
    }
}

/// IRP_MJ_SCSI on a unit.
unsafe fn scsi(unit: &Unit, irp: *mut IRP) -> NTSTATUS {
    let pointer = (*current(irp)).Parameters.Srb;
    if pointer.is_null() {
        return complete(irp, STATUS_INVALID_PARAMETER, 0);
    }
    let srb = Srb::new(pointer);
    let done = |status: u8, nt: NTSTATUS| {
        srb.set_status(status);
        complete(irp, nt, 0)
    };
    match srb.function() {
        SRB_FUNCTION_CLAIM_DEVICE => {
            if unit.claimed.swap(true, Ordering::AcqRel) {
                return done(SRB_STATUS_BUSY, STATUS_DEVICE_BUSY);
            }
            srb.set_data(unit.pdo.cast());
            done(SRB_STATUS_SUCCESS, STATUS_SUCCESS)
        }
        SRB_FUNCTION_RELEASE_DEVICE => {
            unit.claimed.store(false, Ordering::Release);
            done(SRB_STATUS_SUCCESS, STATUS_SUCCESS)
        }
        SRB_FUNCTION_RELEASE_QUEUE | SRB_FUNCTION_FLUSH_QUEUE => {
            unit.queue.lock().thaw();
            request::kick(&*unit.adapter, unit);
            done(SRB_STATUS_SUCCESS, STATUS_SUCCESS)
        }
        function @ (SRB_FUNCTION_LOCK_QUEUE | SRB_FUNCTION_UNLOCK_QUEUE) => {
            unit.queue
                .lock()
                .set_locked(function == SRB_FUNCTION_LOCK_QUEUE);
            request::kick(&*unit.adapter, unit);
            done(SRB_STATUS_SUCCESS, STATUS_SUCCESS)
        }
        SRB_FUNCTION_QUIESCE_DEVICE => done(SRB_STATUS_SUCCESS, STATUS_SUCCESS),
        SRB_FUNCTION_EXECUTE_SCSI
        | SRB_FUNCTION_IO_CONTROL
        | SRB_FUNCTION_FLUSH
        | SRB_FUNCTION_SHUTDOWN
        | SRB_FUNCTION_RESET_LOGICAL_UNIT
        | SRB_FUNCTION_RESET_DEVICE
        | SRB_FUNCTION_RESET_BUS
        | SRB_FUNCTION_WMI => enqueue(unit, irp, srb),
        _ => done(SRB_STATUS_BAD_FUNCTION, STATUS_INVALID_DEVICE_REQUEST),
    }
}

unsafe fn enqueue(unit: &Unit, irp: *mut IRP, srb: Srb) -> NTSTATUS {
    let adapter = &*unit.adapter;
    if !unit.enter() {
        srb.set_status(SRB_STATUS_NO_DEVICE);
        return complete(irp, STATUS_NO_SUCH_DEVICE, 0);
    }
    srb.set_original(irp.cast());
    let mut request = Request::new(
        adapter,
        core::ptr::from_ref(unit).cast_mut(),
        unit.address,
        srb,
        (*irp).MdlAddress,
        Done::Irp(irp),
    );
    request.translate(adapter.extended());
    mark_pending(irp);
    let bypass = request.bypass();
    let front = srb.function() != SRB_FUNCTION_EXECUTE_SCSI && bypass.frozen;
    unit.queue
        .lock()
        .push(Box::into_raw(request), bypass, front);
    request::kick(adapter, unit);
    STATUS_PENDING
}

unsafe fn adapter_pnp(pointer: *mut Adapter, irp: *mut IRP) -> NTSTATUS {
    let adapter = &mut *pointer;
    let location = current(irp);
    match (*location).MinorFunction {
        IRP_MN_START_DEVICE => {
            let translated = (*location)
                .Parameters
                .StartDevice
                .AllocatedResourcesTranslated;
            let mut status = forward_and_wait(adapter.lower, irp);
            if status >= 0 {
                status = start::start(adapter, translated);
            }
            complete(irp, status, 0)
        }
        IRP_MN_QUERY_DEVICE_RELATIONS if (*location).Parameters.QueryDeviceRelationsType == 0 => {
            if adapter.phase() == Phase::Running {
                scan::scan(adapter);
                let status = scan::relations(adapter, irp);
                if status < 0 {
                    return complete(irp, status, 0);
                }
                (*irp).IoStatus.Status = STATUS_SUCCESS;
            }
            pass_down(adapter, irp)
        }
        IRP_MN_STOP_DEVICE => {
            stop::stop(adapter, STOR_STOP_DEVICE);
            (*irp).IoStatus.Status = STATUS_SUCCESS;
            pass_down(adapter, irp)
        }
        IRP_MN_SURPRISE_REMOVAL => {
            if adapter.controls(SCSI_ADAPTER_SURPRISE_REMOVAL) {
                super::hw::control(
                    adapter,
                    SCSI_ADAPTER_SURPRISE_REMOVAL,
                    core::ptr::null_mut(),
                );
            }
            stop::stop(adapter, STOR_SURPRISE_REMOVAL);
            (*irp).IoStatus.Status = STATUS_SUCCESS;
            pass_down(adapter, irp)
        }
        IRP_MN_REMOVE_DEVICE => remove(pointer, irp),
        IRP_MN_QUERY_REMOVE_DEVICE
        | IRP_MN_CANCEL_REMOVE_DEVICE
        | IRP_MN_QUERY_STOP_DEVICE
        | IRP_MN_CANCEL_STOP_DEVICE => {
            (*irp).IoStatus.Status = STATUS_SUCCESS;
            pass_down(adapter, irp)
        }
        IRP_MN_DEVICE_USAGE_NOTIFICATION => {
            (*irp).IoStatus.Status = STATUS_SUCCESS;
            pass_down(adapter, irp)
        }
        _ => pass_down(adapter, irp),
    }
}

unsafe fn remove(pointer: *mut Adapter, irp: *mut IRP) -> NTSTATUS {
    let adapter = &mut *pointer;
    stop::stop(adapter, STOR_REMOVE_DEVICE);
    adapter.removed.store(true, Ordering::Release);
    scan::forget_all(adapter);
    let (fdo, lower) = (adapter.fdo, adapter.lower);
    (*irp).IoStatus.Status = STATUS_SUCCESS;
    let status = pass_down(adapter, irp);
    IoDetachDevice(lower);
    stop::free(pointer);
    IoDeleteDevice(fdo);
    status
}

/// Power IRPs of an adapter, whose stack's power policy owner the port is: a system request brings a device request with it.
/// Device power goes down before the IRP is passed on. PASSIVE_LEVEL.
unsafe fn adapter_power(adapter: &mut Adapter, irp: *mut IRP) -> NTSTATUS {
    let location = current(irp);
    let sets = (*location).MinorFunction == IRP_MN_SET_POWER;
    let power = (*location).Parameters.Power;
    if sets && power.Type == SystemPowerState && adapter.phase() == Phase::Running {
        return crate::po::system_request(adapter.fdo, adapter.lower, irp);
    }
    if sets && power.Type == DevicePowerState && power.State.DeviceState == PowerDeviceD3 {
        stop::power_down(adapter, power.ShutdownType);
        PoSetPowerState(adapter.fdo, DevicePowerState, power.State);
    }
    skip(irp);
    PoCallDriver(adapter.lower, irp)
}
