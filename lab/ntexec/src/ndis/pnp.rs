//! What IRPs do to adapters: NDIS handles every IRP that comes to a miniport's device object.

use alloc::format;
use alloc::string::String;
use core::sync::atomic::Ordering;

use super::adapter::{self, Adapter};
use super::attributes::Medium;
use super::driver::DeviceExtension;
use super::protocol::Pause;
use super::state::State;
use super::{life, power, rules};
use crate::nt::base::NTSTATUS;
use crate::nt::io::consts::*;
use crate::nt::io::*;
use crate::nt::ndis::*;
use crate::nt::status::*;
use crate::storport::os::{
    IoDeleteDevice, IoDetachDevice, IofCallDriver, complete, current, forward_and_wait, skip,
};

/// Instance path and class key of a device.
pub(super) unsafe fn keys(pdo: *mut DEVICE_OBJECT) -> Option<(String, String)> {
    let node = crate::pnp::node::of(pdo)?;
    let key = format!("{}\\{}", crate::cm::ENUM, node.instance);
    let driver = crate::cm::read(|h| h.string(&key, "Driver"))?;
    Some((
        node.instance.clone(),
        format!("{}\\{driver}", crate::cm::CLASS),
    ))
}

impl Adapter {
    /// *IfType, *MediaType and *PhysicalMediaType of the class key; NDIS does not initialise an adapter without them.
    pub(super) fn medium(&self) -> Option<Medium> {
        let value = |name: &str| super::config::integer(&self.class_key, name);
        Some(Medium {
            if_type: value("*IfType")?,
            media_type: value("*MediaType")?,
            physical_media_type: value("*PhysicalMediaType")?,
        })
    }
}

/// Every major function of a miniport's driver object.
pub(super) unsafe extern "win64" fn dispatch(
    device: *mut DEVICE_OBJECT,
    irp: *mut IRP,
) -> NTSTATUS {
    let adapter = (*(*device).DeviceExtension.cast::<DeviceExtension>()).adapter;
    match (*current(irp)).MajorFunction {
        IRP_MJ_PNP => plug_and_play(adapter, irp),
        IRP_MJ_POWER => power::dispatch(adapter, irp),
        IRP_MJ_CREATE | IRP_MJ_CLOSE | IRP_MJ_CLEANUP => complete(irp, STATUS_SUCCESS, 0),
        IRP_MJ_SYSTEM_CONTROL => pass_down(adapter, irp),
        _ => complete(irp, STATUS_INVALID_DEVICE_REQUEST, 0),
    }
}

unsafe fn pass_down(adapter: &Adapter, irp: *mut IRP) -> NTSTATUS {
    skip(irp);
    IofCallDriver(adapter.lower, irp)
}

unsafe fn plug_and_play(adapter: &'static Adapter, irp: *mut IRP) -> NTSTATUS {
    let location = current(irp);
    match (*location).MinorFunction {
        IRP_MN_START_DEVICE => {
            let given = (*location).Parameters.StartDevice;
            let mut status = forward_and_wait(adapter.lower, irp);
            if status >= 0 {
                adapter.resources[0].store(given.AllocatedResources, Ordering::Release);
                adapter.resources[1].store(given.AllocatedResourcesTranslated, Ordering::Release);
                status = start(adapter);
                for pointer in &adapter.resources {
                    pointer.store(core::ptr::null_mut(), Ordering::Release);
                }
            }
            complete(irp, status, 0)
        }
        IRP_MN_STOP_DEVICE => {
            life::take_down(adapter, Pause::Removal, NdisHaltDeviceStopped);
            (*irp).IoStatus.Status = STATUS_SUCCESS;
            pass_down(adapter, irp)
        }
        IRP_MN_SURPRISE_REMOVAL => {
            life::surprise(adapter);
            (*irp).IoStatus.Status = STATUS_SUCCESS;
            pass_down(adapter, irp)
        }
        IRP_MN_REMOVE_DEVICE => remove(adapter, irp),
        IRP_MN_QUERY_PNP_DEVICE_STATE if adapter.failed.load(Ordering::Acquire) => {
            (*irp).IoStatus.Information |= PNP_DEVICE_FAILED as usize;
            (*irp).IoStatus.Status = STATUS_SUCCESS;
            pass_down(adapter, irp)
        }
        IRP_MN_FILTER_RESOURCE_REQUIREMENTS => filter_resources(adapter, irp),
        IRP_MN_QUERY_REMOVE_DEVICE
        | IRP_MN_CANCEL_REMOVE_DEVICE
        | IRP_MN_QUERY_STOP_DEVICE
        | IRP_MN_CANCEL_STOP_DEVICE => {
            (*irp).IoStatus.Status = STATUS_SUCCESS;
            pass_down(adapter, irp)
        }
        _ => pass_down(adapter, irp),
    }
}

/// The devices below have started.
unsafe fn start(adapter: &'static Adapter) -> NTSTATUS {
    if adapter.medium().is_none() {
        rules::broken(
            adapter,
            "IRP_MN_START_DEVICE",
            rules::ATTRIBUTES,
            format_args!(
                "*IfType, *MediaType or *PhysicalMediaType is missing in the class key: the adapter is not initialised"
            ),
        );
        return STATUS_DEVICE_CONFIGURATION_ERROR;
    }
    if adapter.state() != State::Halted {
        return STATUS_INVALID_DEVICE_STATE;
    }
    let status = life::initialize(adapter);
    if status != NDIS_STATUS_SUCCESS {
        rules::log(
            adapter,
            format_args!("MiniportInitializeEx failed with {status:#x}"),
        );
        return if status < 0 {
            status
        } else {
            STATUS_UNSUCCESSFUL
        };
    }
    STATUS_SUCCESS
}

unsafe fn filter_resources(adapter: &'static Adapter, irp: *mut IRP) -> NTSTATUS {
    let handler = adapter
        .driver
        .pnp
        .lock()
        .and_then(|p| p.MiniportFilterResourceRequirementsHandler);
    let Some(handler) = handler else {
        return pass_down(adapter, irp);
    };
    let mut status = forward_and_wait(adapter.lower, irp);
    if status >= 0 || status == STATUS_NOT_SUPPORTED {
        let context = adapter.add_context.load(Ordering::Acquire);
        status = rules::call(adapter, "MiniportFilterResourceRequirements", || {
            handler(context, irp)
        });
    }
    complete(irp, status, (*irp).IoStatus.Information)
}

unsafe fn remove(adapter: &'static Adapter, irp: *mut IRP) -> NTSTATUS {
    life::take_down(adapter, Pause::Removal, NdisHaltDeviceDisabled);
    let handler = adapter
        .driver
        .pnp
        .lock()
        .and_then(|p| p.MiniportRemoveDeviceHandler);
    if let Some(handler) = handler {
        let context = adapter.add_context.load(Ordering::Acquire);
        rules::call(adapter, "MiniportRemoveDevice", || handler(context));
    }
    (*irp).IoStatus.Status = STATUS_SUCCESS;
    let status = pass_down(adapter, irp);
    adapter::forget(adapter);
    IoDetachDevice(adapter.lower);
    IoDeleteDevice(adapter.fdo);
    status
}
