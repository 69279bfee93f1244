//! Plug and play and power of a unit's PDO.
#![allow(clippy::missing_safety_doc)]

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::ffi::c_void;
use core::sync::atomic::Ordering;

use super::adapter::{Adapter, Phase};
use super::dispatch::{DeviceExtension, Kind};
use super::os::*;
use super::srb::SrbBlock;
use super::unit::Unit;
use super::{completion, hw, ids, request, rules, scan, srb, start};
use crate::nt::base::NTSTATUS;
use crate::nt::io::consts::*;
use crate::nt::io::*;
use crate::nt::scsi::*;
use crate::nt::status::*;
use crate::nt::storport::*;

const PAGED_POOL: u32 = 1;
const TAG: u32 = u32::from_le_bytes(*b"StPn");
/// How long a unit's requests may take to come back before its removal goes on without them.
const DRAIN: u64 = 120 * SECOND;

/// Paged pool that PnP frees.
pub(crate) fn pool_for_pnp(bytes: usize) -> *mut c_void {
    // SAFETY: plain pool. PASSIVE_LEVEL.
    unsafe { ExAllocatePoolWithTag(PAGED_POOL, bytes, TAG) }
}

/// Strings as one MULTI_SZ, or one string with its NUL.
fn units_of(strings: &[String], multi: bool) -> Vec<u16> {
    let mut units = Vec::new();
    for text in strings {
        units.extend(text.encode_utf16());
        units.push(0);
    }
    if multi {
        units.push(0);
    }
    units
}

unsafe fn answer(irp: *mut IRP, strings: &[String], multi: bool) -> NTSTATUS {
    let units = units_of(strings, multi);
    let block = pool_for_pnp(units.len() * 2).cast::<u16>();
    if block.is_null() {
        return complete(irp, STATUS_INSUFFICIENT_RESOURCES, 0);
    }
    block.copy_from_nonoverlapping(units.as_ptr(), units.len());
    complete(irp, STATUS_SUCCESS, block as usize)
}

unsafe fn untouched(irp: *mut IRP) -> NTSTATUS {
    let status = (*irp).IoStatus.Status;
    IofCompleteRequest(irp, 0);
    status
}

/// IRP_MJ_PNP of a unit.
pub(crate) unsafe fn pnp(pointer: *mut Unit, irp: *mut IRP) -> NTSTATUS {
    let unit = &*pointer;
    let location = current(irp);
    match (*location).MinorFunction {
        IRP_MN_QUERY_ID => query_id(unit, irp, (*location).Parameters.QueryIdType),
        IRP_MN_QUERY_DEVICE_TEXT => match (*location).Parameters.QueryDeviceText.DeviceTextType {
            0 => answer(irp, &[unit.inquiry.description()], false),
            1 => {
                let at = unit.address;
                answer(
                    irp,
                    &[alloc::format!(
                        "Bus Number {}, Target Id {}, LUN {}",
                        at.path,
                        at.target,
                        at.lun
                    )],
                    false,
                )
            }
            _ => untouched(irp),
        },
        IRP_MN_QUERY_CAPABILITIES => capabilities(unit, irp, (*location).Parameters.Capabilities),
        IRP_MN_QUERY_DEVICE_RELATIONS => {
            target_relation(unit, irp, (*location).Parameters.QueryDeviceRelationsType)
        }
        IRP_MN_START_DEVICE => {
            if hw_control(unit, SCSI_UNIT_START) {
                unit_control(unit, SCSI_UNIT_START);
            }
            unit.gone.store(false, Ordering::Release);
            unit.started.store(true, Ordering::Release);
            hold(unit, false);
            complete(irp, STATUS_SUCCESS, 0)
        }
        IRP_MN_QUERY_STOP_DEVICE | IRP_MN_STOP_DEVICE => {
            hold(unit, true);
            complete(irp, STATUS_SUCCESS, 0)
        }
        IRP_MN_CANCEL_STOP_DEVICE => {
            hold(unit, false);
            complete(irp, STATUS_SUCCESS, 0)
        }
        IRP_MN_QUERY_REMOVE_DEVICE
        | IRP_MN_CANCEL_REMOVE_DEVICE
        | IRP_MN_DEVICE_USAGE_NOTIFICATION => complete(irp, STATUS_SUCCESS, 0),
        IRP_MN_SURPRISE_REMOVAL => {
            if hw_control(unit, SCSI_UNIT_SURPRISE_REMOVAL) {
                unit_control(unit, SCSI_UNIT_SURPRISE_REMOVAL);
            }
            quiesce(unit);
            complete(irp, STATUS_SUCCESS, 0)
        }
        IRP_MN_REMOVE_DEVICE => remove(pointer, irp),
        _ => untouched(irp),
    }
}

fn hw_control(unit: &Unit, control: u32) -> bool {
    // SAFETY: the adapter outlives its units.
    unsafe { (*unit.adapter).unit_controls(control) }
}

fn unit_control(unit: &Unit, control: u32) {
    let mut address = srb::btl8(unit.address);
    // SAFETY: the adapter outlives its units.
    hw::unit_control(
        unsafe { &*unit.adapter },
        control,
        core::ptr::from_mut(&mut address).cast(),
    );
}

unsafe fn query_id(unit: &Unit, irp: *mut IRP, kind: u32) -> NTSTATUS {
    let at = unit.address;
    match kind {
        0 => answer(irp, &[unit.inquiry.device_id()], false),
        1 => answer(irp, &unit.inquiry.hardware_ids(), true),
        2 => answer(irp, &unit.inquiry.compatible_ids(), true),
        3 => answer(irp, &[ids::instance_id(at.path, at.target, at.lun)], false),
        _ => untouched(irp),
    }
}

unsafe fn target_relation(unit: &Unit, irp: *mut IRP, kind: u32) -> NTSTATUS {
    const TARGET_DEVICE_RELATION: u32 = 4;
    if kind != TARGET_DEVICE_RELATION {
        return untouched(irp);
    }
    let block = pool_for_pnp(16);
    if block.is_null() {
        return complete(irp, STATUS_INSUFFICIENT_RESOURCES, 0);
    }
    ObfReferenceObject(unit.pdo.cast());
    block.cast::<u64>().write(1);
    block.cast::<*mut DEVICE_OBJECT>().add(1).write(unit.pdo);
    complete(irp, STATUS_SUCCESS, block as usize)
}

/// The unit's capabilities: those of the miniport's answer to the PNP request QueryCapabilities.
unsafe fn capabilities(unit: &Unit, irp: *mut IRP, caps: *mut DEVICE_CAPABILITIES) -> NTSTATUS {
    let adapter = &*unit.adapter;
    if caps.is_null()
        || (*caps).Version != 1
        || usize::from((*caps).Size) < size_of::<DEVICE_CAPABILITIES>()
    {
        return complete(irp, STATUS_INVALID_PARAMETER, 0);
    }
    let full = adapter.init.feature_support & STOR_FEATURE_FULL_PNP_DEVICE_CAPABILITIES != 0;
    let size = if full {
        size_of::<StorDeviceCapabilitiesEx>()
    } else {
        size_of::<StorDeviceCapabilities>()
    };
    let Some(mut buffer) = Buffer::new(size_of::<StorDeviceCapabilitiesEx>()) else {
        return complete(irp, STATUS_INSUFFICIENT_RESOURCES, 0);
    };
    let view = buffer.address().cast::<StorDeviceCapabilitiesEx>();
    *view = StorDeviceCapabilitiesEx {
        version: 1,
        size: size as u16,
        flags: 0,
        address: u32::MAX,
        ui_number: u32::MAX,
        reserved1: [0; 2],
    };
    if !full {
        (*view).size = 0;
    }
    let mut block = Box::new(SrbBlock::zeroed());
    let request = block.prepare(adapter.extended(), SRB_FUNCTION_PNP, 10);
    block.set_pnp(STOR_QUERY_CAPABILITIES, false);
    request.set_length(size as u32);
    request.set_data(buffer.address().cast());
    request.set_flags(SRB_FLAGS_DATA_IN | SRB_FLAGS_NO_QUEUE_FREEZE);
    let status = start::send_and_wait(
        adapter,
        core::ptr::from_ref(unit).cast_mut(),
        unit.address,
        &mut block,
        buffer.mdl,
        true,
    );
    let flags = if status == SRB_STATUS_SUCCESS {
        (*view).flags
    } else {
        0
    };
    let _ = buffer.bytes();
    let mut bits = 0;
    for (ours, theirs) in [
        (STOR_CAP_EJECT_SUPPORTED, caps::EJECT_SUPPORTED),
        (STOR_CAP_REMOVABLE, caps::REMOVABLE),
        (STOR_CAP_SILENT_INSTALL, caps::SILENT_INSTALL),
        (STOR_CAP_EX_SURPRISE_REMOVAL_OK, caps::SURPRISE_REMOVAL_OK),
    ] {
        if flags & ours != 0 && (full || ours == STOR_CAP_REMOVABLE) {
            bits |= theirs;
        }
    }
    (*caps).Bits = bits;
    (*caps).Address = u32::from(unit.address.target);
    (*caps).UINumber = if full { (*view).ui_number } else { u32::MAX };
    // S0 is D0, every other state D3.
    (*caps).DeviceState = [0, 1, 4, 4, 4, 4, 4];
    complete(irp, STATUS_SUCCESS, 0)
}

/// From QUERY_STOP until CANCEL_STOP or START requests wait ("Handling an IRP_MN_QUERY_STOP_DEVICE Request", "Holding Incoming
/// IRPs When a Device Is Paused"): the queue is locked, and those that the miniport has come back.
fn hold(unit: &Unit, stopped: bool) {
    unit.queue.lock().set_locked(stopped);
    // SAFETY: the adapter outlives its units.
    let adapter = unsafe { &*unit.adapter };
    if !stopped {
        request::kick(adapter, unit);
        return;
    }
    let deadline = now() + DRAIN;
    let mut pause = new_event();
    while unit.queue.lock().gate.outstanding() != 0 && now() < deadline {
        wait(&mut pause, Some(SECOND / 20));
    }
}

/// Ends requests that no adapter will take any more.
fn fail_waiting(adapter: &Adapter, unit: &Unit) {
    let waiting = unit.queue.lock().drain();
    for (request, _) in waiting {
        unit.queue.lock().gate.goes_out();
        adapter.state.lock().gate.goes_out();
        // SAFETY: the request is the port's until it is completed.
        unsafe { (*request).srb.set_status(SRB_STATUS_NO_DEVICE) };
        completion::queue(adapter, request);
    }
}

/// No more requests; those taken come back.
fn quiesce(unit: &Unit) {
    // SAFETY: the adapter outlives its units.
    let adapter = unsafe { &*unit.adapter };
    unit.gone.store(true, Ordering::Release);
    if adapter.phase() == Phase::Running && !adapter.holding.load(Ordering::Acquire) {
        hold(unit, false);
    } else {
        fail_waiting(adapter, unit);
    }
    if !unit.drain(DRAIN) {
        rules::broken(
            adapter,
            "HwStartIo",
            "STORPORT 1007",
            format_args!(
                "requests of target {} are still outstanding when the unit is removed",
                unit.address.target
            ),
        );
    }
    unit.started.store(false, Ordering::Release);
}

unsafe fn remove(pointer: *mut Unit, irp: *mut IRP) -> NTSTATUS {
    let unit = &*pointer;
    let pdo = unit.pdo;
    quiesce(unit);
    unit.claimed.store(false, Ordering::Release);
    if hw_control(unit, SCSI_UNIT_REMOVE) {
        unit_control(unit, SCSI_UNIT_REMOVE);
    }
    if unit.present.load(Ordering::Acquire) && unit.reported.load(Ordering::Acquire) {
        // It is still there: the object stays, and may be started again.
        return complete(irp, STATUS_SUCCESS, 0);
    }
    // SAFETY of the order: the extension says that the unit is gone before the unit's memory goes.
    (*(*pdo).DeviceExtension.cast::<DeviceExtension>()).kind = Kind::Gone;
    scan::forget(pointer);
    let status = complete(irp, STATUS_SUCCESS, 0);
    IoDeleteDevice(pdo);
    status
}

/// IRP_MJ_POWER of a unit.
pub(crate) unsafe fn power(unit: &Unit, irp: *mut IRP) -> NTSTATUS {
    PoStartNextPowerIrp(irp);
    let location = current(irp);
    match (*location).MinorFunction {
        IRP_MN_SET_POWER => {
            if (*location).Parameters.Power.Type == 1 {
                PoSetPowerState(unit.pdo, 1, (*location).Parameters.Power.State);
            }
            complete(irp, STATUS_SUCCESS, 0)
        }
        IRP_MN_QUERY_POWER => complete(irp, STATUS_SUCCESS, 0),
        _ => untouched(irp),
    }
}
