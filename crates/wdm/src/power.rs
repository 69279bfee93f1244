//! Power requests, for the driver that decides about its device's power.

use core::ffi::c_void;

use wdk_sys::ntddk::{PoRequestPowerIrp, PoSetPowerState};
use wdk_sys::{DEVICE_OBJECT, IO_STATUS_BLOCK, POWER_STATE};

use crate::device::Device;
use crate::irp::{IoStatus, StackLocation};
use crate::pnp::DevicePower;
use crate::status::{Result, Status};

/// `IRP_MN_SET_POWER`.
pub const MN_SET_POWER: u8 = 2;
/// `IRP_MN_QUERY_POWER`.
pub const MN_QUERY_POWER: u8 = 3;

/// What a power request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// `SYSTEM_POWER_STATE`: 1 is S0, 5 is S4, 6 is S5.
    System(u32),
    /// A device state.
    Device(DevicePower),
}

/// The state that an `IRP_MN_SET_POWER` or `IRP_MN_QUERY_POWER` names.
pub fn target(location: &StackLocation) -> Target {
    // Parameters.Power: SystemContext, Type (0: system), State, ShutdownType; each in a word of its own.
    let [_, kind, state, _] = location.parameters;
    if kind as u32 == 0 {
        Target::System(state as u32)
    } else {
        Target::Device(DevicePower::from_raw(state as u32))
    }
}

/// Tells the power manager which state the device is in. IRQL <= DISPATCH_LEVEL for D0, <= APC_LEVEL else.
pub fn report(device: Device, power: DevicePower) {
    let state = POWER_STATE {
        DeviceState: power as i32,
    };
    let kind = wdk_sys::_POWER_STATE_TYPE::DevicePowerState;
    // SAFETY: a valid device object.
    unsafe { PoSetPowerState(device.as_ptr(), kind, state) };
}

struct Completion {
    done: fn(context: *mut c_void, status: i32),
    context: *mut c_void,
}

/// Has the power manager send a device power request to the stack of `pdo`; `done` is called with its outcome,
/// at PASSIVE_LEVEL or DISPATCH_LEVEL, exactly if this succeeds. IRQL <= DISPATCH_LEVEL.
///
/// # Errors
/// What `PoRequestPowerIrp` says, or `INSUFFICIENT_RESOURCES`.
pub fn request(
    pdo: Device,
    minor: u8,
    power: DevicePower,
    context: *mut c_void,
    done: fn(context: *mut c_void, status: i32),
) -> Result {
    let completion =
        rust_alloc::boxed::Box::into_raw(crate::alloc::try_box(Completion { done, context })?);
    let state = POWER_STATE {
        DeviceState: power as i32,
    };
    // SAFETY: a valid PDO; the callback takes over the context.
    let status = unsafe {
        PoRequestPowerIrp(
            pdo.as_ptr(),
            minor,
            state,
            Some(completed),
            completion.cast(),
            core::ptr::null_mut(),
        )
    };
    Status::check(status).inspect_err(|_| {
        // SAFETY: the callback is not called.
        drop(unsafe { rust_alloc::boxed::Box::from_raw(completion) });
    })
}

unsafe extern "C" fn completed(
    _device: *mut DEVICE_OBJECT,
    _minor: u8,
    _state: POWER_STATE,
    context: *mut c_void,
    outcome: *mut IO_STATUS_BLOCK,
) {
    // SAFETY: the box that request gave away.
    let completion = unsafe { rust_alloc::boxed::Box::from_raw(context.cast::<Completion>()) };
    // SAFETY: the power manager passes a valid status block.
    let status = unsafe { outcome.cast::<IoStatus>().read() }.status;
    (completion.done)(completion.context, status);
}
