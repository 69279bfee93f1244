//! Power IRPs: NDIS owns an adapter's power policy; a miniport sees OID_PNP_SET_POWER only.
//! <https://learn.microsoft.com/windows-hardware/drivers/network/oid-pnp-set-power>

use alloc::boxed::Box;
use core::ffi::c_void;

use super::adapter::Adapter;
use super::life;
use crate::nt::base::NTSTATUS;
use crate::nt::io::consts::*;
use crate::nt::io::*;
use crate::nt::status::*;
use crate::po::PoRequestPowerIrp;
use crate::storport::os::{
    PoCallDriver, PoSetPowerState, PoStartNextPowerIrp, complete, current, forward_and_wait,
    mark_pending, skip,
};

/// PowerSystemWorking and PowerSystemShutdown.
const WORKING: i32 = 1;
const SHUTDOWN: i32 = 6;
/// PowerDeviceD0 and PowerDeviceD3.
const D0: i32 = 1;
const D3: i32 = 4;

pub(super) unsafe fn dispatch(adapter: &'static Adapter, irp: *mut IRP) -> NTSTATUS {
    let location = current(irp);
    let power = (*location).Parameters.Power;
    PoStartNextPowerIrp(irp);
    match (*location).MinorFunction {
        IRP_MN_SET_POWER if power.Type == SystemPowerState => system(adapter, irp, power.State),
        IRP_MN_SET_POWER => device(adapter, irp, power.State),
        IRP_MN_QUERY_POWER => {
            (*irp).IoStatus.Status = STATUS_SUCCESS;
            pass_down(adapter, irp)
        }
        _ => pass_down(adapter, irp),
    }
}

unsafe fn pass_down(adapter: &Adapter, irp: *mut IRP) -> NTSTATUS {
    skip(irp);
    PoCallDriver(adapter.lower, irp)
}

/// A system power IRP that waits for the device power IRP that belongs to it.
struct Waiting {
    adapter: &'static Adapter,
    irp: *mut IRP,
    up: bool,
}

/// On the way down the device goes first; on the way up the devices below do.
unsafe fn system(adapter: &'static Adapter, irp: *mut IRP, state: POWER_STATE) -> NTSTATUS {
    let state = state.SystemState;
    if state == SHUTDOWN {
        life::shutdown(adapter);
        (*irp).IoStatus.Status = STATUS_SUCCESS;
        return pass_down(adapter, irp);
    }
    let up = state == WORKING;
    if up {
        let status = forward_and_wait(adapter.lower, irp);
        if status < 0 {
            return complete(irp, status, 0);
        }
    }
    mark_pending(irp);
    let waiting = Box::into_raw(Box::new(Waiting { adapter, irp, up }));
    let wanted = POWER_STATE {
        DeviceState: if up { D0 } else { D3 },
    };
    let status = PoRequestPowerIrp(
        adapter.pdo,
        IRP_MN_SET_POWER,
        wanted,
        Some(device_done),
        waiting.cast(),
        core::ptr::null_mut(),
    );
    if status < 0 {
        drop(Box::from_raw(waiting));
        complete(irp, status, 0);
    }
    STATUS_PENDING
}

unsafe extern "win64" fn device_done(
    _: *mut DEVICE_OBJECT,
    _: u8,
    _: POWER_STATE,
    context: *mut c_void,
    result: *mut IO_STATUS_BLOCK,
) {
    let waiting = Box::from_raw(context.cast::<Waiting>());
    let status = (*result).Status;
    if waiting.up || status < 0 {
        complete(waiting.irp, status, 0);
    } else {
        (*waiting.irp).IoStatus.Status = STATUS_SUCCESS;
        pass_down(waiting.adapter, waiting.irp);
    }
}

unsafe fn device(adapter: &'static Adapter, irp: *mut IRP, state: POWER_STATE) -> NTSTATUS {
    let wanted = state.DeviceState;
    if wanted == D0 {
        let status = forward_and_wait(adapter.lower, irp);
        if status >= 0 {
            PoSetPowerState(adapter.fdo, DevicePowerState, state);
            life::resume(adapter);
        }
        return complete(irp, status, 0);
    }
    life::suspend(adapter, wanted as u32);
    PoSetPowerState(adapter.fdo, DevicePowerState, state);
    (*irp).IoStatus.Status = STATUS_SUCCESS;
    pass_down(adapter, irp)
}
