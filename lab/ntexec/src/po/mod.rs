//! The power manager: device power IRPs that drivers ask for, and the machine's way down.
//!
//! Pages: PoRequestPowerIrp, PoSetPowerState, PoStartNextPowerIrp, PoCallDriver, "Handling IRP_MN_SET_POWER for System Power
//! States".

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use core::ffi::c_void;
use core::ptr::null_mut;

use crate::io::build::call;
use crate::io::irp::{IoFreeIrp, IofCallDriver, Origin, allocate, next, set_completion};
use crate::io::{IoGetAttachedDevice, IoGetAttachedDeviceReference};
use crate::nt::base::NTSTATUS;
use crate::nt::io::consts::*;
use crate::nt::io::*;
use crate::nt::ke::KEVENT;
use crate::nt::status::*;
use crate::ob;
use crate::sync::Lock;

/// REQUEST_POWER_COMPLETE
type Complete = unsafe extern "win64" fn(
    *mut DEVICE_OBJECT,
    u8,
    POWER_STATE,
    *mut c_void,
    *mut IO_STATUS_BLOCK,
);

struct Request {
    device: *mut DEVICE_OBJECT,
    top: *mut DEVICE_OBJECT,
    minor: u8,
    state: POWER_STATE,
    complete: Option<Complete>,
    context: *mut c_void,
}

static STATES: Lock<BTreeMap<(usize, u32), i32>> = Lock::new(BTreeMap::new());

unsafe extern "win64" fn done(
    _device: *mut DEVICE_OBJECT,
    irp: *mut IRP,
    context: *mut c_void,
) -> NTSTATUS {
    let request = Box::from_raw(context.cast::<Request>());
    let mut status = (*irp).IoStatus;
    if let Some(complete) = request.complete {
        complete(
            request.device,
            request.minor,
            request.state,
            request.context,
            &mut status,
        );
    }
    IoFreeIrp(irp);
    ob::ObfDereferenceObject(request.top.cast());
    STATUS_MORE_PROCESSING_REQUIRED
}

/// PoRequestPowerIrp: `<= DISPATCH_LEVEL`. The IRP is sent from a system thread, at PASSIVE_LEVEL.
///
/// # Safety
/// As its page says.
pub unsafe extern "win64" fn PoRequestPowerIrp(
    device: *mut DEVICE_OBJECT,
    minor: u8,
    state: POWER_STATE,
    complete: Option<Complete>,
    context: *mut c_void,
    sent: *mut *mut IRP,
) -> NTSTATUS {
    if !matches!(
        minor,
        IRP_MN_SET_POWER | IRP_MN_QUERY_POWER | IRP_MN_WAIT_WAKE
    ) {
        return STATUS_INVALID_PARAMETER_2;
    }
    let top = IoGetAttachedDeviceReference(device);
    let irp = allocate((*top).StackSize, Origin::Driver);
    if irp.is_null() {
        ob::ObfDereferenceObject(top.cast());
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    (*irp).IoStatus.Status = STATUS_NOT_SUPPORTED;
    let n = next(irp);
    (*n).MajorFunction = IRP_MJ_POWER;
    (*n).MinorFunction = minor;
    (*n).Parameters.Power.Type = DevicePowerState;
    (*n).Parameters.Power.State = state;
    let request = Box::into_raw(Box::new(Request {
        device,
        top,
        minor,
        state,
        complete,
        context,
    }));
    set_completion(irp, done, request.cast());
    if !sent.is_null() {
        *sent = if minor == IRP_MN_WAIT_WAKE {
            irp
        } else {
            null_mut()
        };
    }
    let (top, irp) = (top as usize, irp as usize);
    // SAFETY: the request's reference keeps the stack's top until the IRP is complete.
    crate::io::work::queue(move || unsafe {
        IofCallDriver(top as *mut DEVICE_OBJECT, irp as *mut IRP);
    });
    STATUS_PENDING
}

/// PoSetPowerState: the state that the device had.
///
/// # Safety
/// As its page says.
pub unsafe extern "win64" fn PoSetPowerState(
    device: *mut DEVICE_OBJECT,
    kind: u32,
    state: POWER_STATE,
) -> POWER_STATE {
    let old = STATES
        .lock()
        .insert((device as usize, kind), state.DeviceState);
    POWER_STATE {
        DeviceState: old.unwrap_or(PowerDeviceUnspecified),
    }
}

unsafe extern "win64" fn device_done(
    _device: *mut DEVICE_OBJECT,
    _minor: u8,
    _state: POWER_STATE,
    context: *mut c_void,
    status: *mut IO_STATUS_BLOCK,
) {
    let (event, result) = *context.cast::<(*mut KEVENT, *mut NTSTATUS)>();
    *result = (*status).Status;
    crate::ke::KeSetEvent(event, 0, 0);
}

/// What a power policy owner of the executive's does with a system set-power request: the drivers below get it, then the
/// device gets the request for the state that goes with it, and when that is done the system request is ("Sending a Device
/// Set-Power IRP"). It waits, which a driver's dispatch routine may not; the executive's power manager waits as well.
/// PASSIVE_LEVEL.
///
/// # Safety
/// The caller owns the IRP; `lower` is the device below `device`.
pub unsafe fn system_request(
    device: *mut DEVICE_OBJECT,
    lower: *mut DEVICE_OBJECT,
    irp: *mut IRP,
) -> NTSTATUS {
    let system = (*crate::io::irp::current(irp))
        .Parameters
        .Power
        .State
        .SystemState;
    crate::io::IoForwardIrpSynchronously(lower, irp);
    let mut status = (*irp).IoStatus.Status;
    if status >= 0 {
        let mut event = core::mem::zeroed::<KEVENT>();
        crate::ke::KeInitializeEvent(&raw mut event, 0, 0);
        let mut context = (&raw mut event, &raw mut status);
        let device_state = if system == PowerSystemWorking {
            PowerDeviceD0
        } else {
            PowerDeviceD3
        };
        let sent = PoRequestPowerIrp(
            device,
            IRP_MN_SET_POWER,
            POWER_STATE {
                DeviceState: device_state,
            },
            Some(device_done),
            (&raw mut context).cast(),
            null_mut(),
        );
        if sent >= 0 {
            let none = null_mut();
            crate::ke::KeWaitForSingleObject((&raw mut event).cast(), 0, 0, 0, none);
        } else {
            status = sent;
        }
    }
    crate::io::irp::complete(irp, status)
}

/// PoStartNextPowerIrp: nothing to do since Windows Vista.
///
/// # Safety
/// None needed.
pub unsafe extern "win64" fn PoStartNextPowerIrp(_irp: *mut IRP) {}

/// PoCallDriver: IofCallDriver since Windows Vista.
///
/// # Safety
/// As its page says.
pub unsafe extern "win64" fn PoCallDriver(device: *mut DEVICE_OBJECT, irp: *mut IRP) -> NTSTATUS {
    IofCallDriver(device, irp)
}

/// Tells every started device that the system goes down, leaves first. PASSIVE_LEVEL.
pub fn shut_down(restart: bool) {
    let action = if restart {
        PowerActionShutdownReset
    } else {
        PowerActionShutdownOff
    };
    crate::pnp::for_each_leaf_first(move |n| {
        if n.state != crate::pnp::node::State::Started {
            return;
        }
        // SAFETY: on PnP's thread the stack stays as it is.
        let status = unsafe {
            let top = IoGetAttachedDevice(n.pdo);
            call(
                top,
                IRP_MJ_POWER,
                IRP_MN_SET_POWER,
                STATUS_NOT_SUPPORTED,
                0,
                |l| {
                    l.Parameters.Power.Type = SystemPowerState;
                    l.Parameters.Power.State = POWER_STATE {
                        SystemState: PowerSystemShutdown,
                    };
                    l.Parameters.Power.ShutdownType = action;
                },
            )
            .Status
        };
        if status < 0 && status != STATUS_NOT_SUPPORTED {
            crate::kd::text(&alloc::format!(
                "{}: shutdown failed with {status:#x}",
                n.instance
            ));
        }
    });
}

crate::exports! {
    pub static EXPORTS;
    Ntoskrnl { PoRequestPowerIrp, PoSetPowerState, PoStartNextPowerIrp, PoCallDriver }
}
