//! NdisMGetDeviceProperty, NdisMRemoveMiniport, and scatter-gather DMA, which miniports on memory of their own register only.

use core::sync::atomic::Ordering;

use super::adapter::Adapter;
use super::rules;
use crate::nt::io::{CM_RESOURCE_LIST, DEVICE_OBJECT};
use crate::nt::ke::PVOID;
use crate::nt::ndis::*;
use crate::pnp::IoInvalidateDeviceState;

/// NdisMGetDeviceProperty. PASSIVE_LEVEL; every pointer may be NULL. No reference is taken.
pub(super) unsafe extern "win64" fn NdisMGetDeviceProperty(
    handle: PVOID,
    pdo: *mut *mut DEVICE_OBJECT,
    fdo: *mut *mut DEVICE_OBJECT,
    next: *mut *mut DEVICE_OBJECT,
    allocated: *mut *mut CM_RESOURCE_LIST,
    translated: *mut *mut CM_RESOURCE_LIST,
) {
    let Some(adapter) = Adapter::find(handle) else {
        Adapter::of(handle, "NdisMGetDeviceProperty");
        return;
    };
    for (to, device) in [
        (pdo, adapter.pdo),
        (fdo, adapter.fdo),
        (next, adapter.lower),
    ] {
        if !to.is_null() {
            to.write(device);
        }
    }
    for (to, list) in [allocated, translated].into_iter().zip(&adapter.resources) {
        if !to.is_null() {
            to.write(list.load(Ordering::Acquire));
        }
    }
}

/// NdisMRemoveMiniport: the device failed. At most DISPATCH_LEVEL.
pub(super) unsafe extern "win64" fn NdisMRemoveMiniport(handle: PVOID) -> NDIS_STATUS {
    let Some(adapter) = Adapter::of(handle, "NdisMRemoveMiniport") else {
        return NDIS_STATUS_FAILURE;
    };
    rules::log(adapter, format_args!("the miniport asks to be removed"));
    adapter.failed.store(true, Ordering::Release);
    IoInvalidateDeviceState(adapter.pdo);
    NDIS_STATUS_SUCCESS
}

/// NdisMRegisterScatterGatherDma. PASSIVE_LEVEL. What a DMA handle is used for otherwise (NdisMAllocateNetBufferSGList,
/// shared memory) is not exported here.
pub(super) unsafe extern "win64" fn NdisMRegisterScatterGatherDma(
    handle: PVOID,
    description: *mut NDIS_SG_DMA_DESCRIPTION,
    dma: *mut PVOID,
) -> NDIS_STATUS {
    const CALL: &str = "NdisMRegisterScatterGatherDma";
    const LIST_SIZE: u32 = 4096;
    let Some(adapter) = Adapter::of(handle, CALL) else {
        return NDIS_STATUS_INVALID_PARAMETER;
    };
    let flags = adapter.attributes.lock().as_ref().map(|a| a.flags);
    let header = (*description).Header;
    if header.Type != NDIS_OBJECT_TYPE_SG_DMA_DESCRIPTION
        || header.Size < NDIS_SIZEOF_SG_DMA_DESCRIPTION_REVISION_1
        || (*description).ProcessSGListHandler.is_null()
    {
        rules::broken(
            adapter,
            CALL,
            rules::ATTRIBUTES,
            format_args!("the description begins with {header:?} or has no handler"),
        );
        return NDIS_STATUS_INVALID_PARAMETER;
    }
    let Some(flags) = flags else {
        rules::broken(
            adapter,
            CALL,
            rules::ATTRIBUTES,
            format_args!("called before the registration attributes"),
        );
        return NDIS_STATUS_FAILURE;
    };
    if flags & NDIS_MINIPORT_ATTRIBUTES_BUS_MASTER == 0 {
        return NDIS_STATUS_NOT_SUPPORTED;
    }
    adapter.dma.fetch_add(1, Ordering::AcqRel);
    (*description).ScatterGatherListSize = LIST_SIZE;
    dma.write(handle);
    NDIS_STATUS_SUCCESS
}

/// NdisMDeregisterScatterGatherDma. PASSIVE_LEVEL.
pub(super) unsafe extern "win64" fn NdisMDeregisterScatterGatherDma(dma: PVOID) {
    const CALL: &str = "NdisMDeregisterScatterGatherDma";
    let Some(adapter) = Adapter::of(dma, CALL) else {
        return;
    };
    let less = adapter
        .dma
        .fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| n.checked_sub(1));
    if less.is_err() {
        rules::broken(
            adapter,
            CALL,
            rules::OBJECT,
            format_args!("nothing is registered"),
        );
    }
}
