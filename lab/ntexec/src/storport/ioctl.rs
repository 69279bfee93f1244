//! I/O controls of adapters and units.
#![allow(clippy::missing_safety_doc)]

use alloc::vec::Vec;

use super::adapter::Adapter;
use super::os::*;
use super::unit::Unit;
use super::{registry, scan};
use crate::nt::base::NTSTATUS;
use crate::nt::io::*;
use crate::nt::scsi::*;
use crate::nt::status::*;
use core::sync::atomic::Ordering;

/// IRP_MJ_DEVICE_CONTROL of an adapter.
pub(crate) unsafe fn adapter(adapter: &Adapter, irp: *mut IRP) -> NTSTATUS {
    match (*current(irp)).Parameters.DeviceIoControl.IoControlCode {
        IOCTL_STORAGE_QUERY_PROPERTY => query_property(adapter, None, irp),
        IOCTL_SCSI_RESCAN_BUS => {
            scan::bus_changed(adapter);
            complete(irp, STATUS_SUCCESS, 0)
        }
        _ => complete(irp, STATUS_INVALID_DEVICE_REQUEST, 0),
    }
}

/// IRP_MJ_DEVICE_CONTROL of a unit.
pub(crate) unsafe fn unit(unit: &Unit, irp: *mut IRP) -> NTSTATUS {
    let adapter = &*unit.adapter;
    match (*current(irp)).Parameters.DeviceIoControl.IoControlCode {
        IOCTL_STORAGE_QUERY_PROPERTY => query_property(adapter, Some(unit), irp),
        IOCTL_SCSI_GET_ADDRESS => {
            let at = unit.address;
            let answer = ScsiAddress {
                length: 8,
                port_number: adapter.number as u8,
                path_id: at.path,
                target_id: at.target,
                lun: at.lun,
            };
            reply(irp, bytes_of(&answer))
        }
        _ => complete(irp, STATUS_INVALID_DEVICE_REQUEST, 0),
    }
}

/// The bytes of a plain structure whose padding is never read by anyone (descriptors are made of integers only).
fn bytes_of<T: Copy>(value: &T) -> Vec<u8> {
    let mut bytes = alloc::vec![0u8; size_of::<T>()];
    // SAFETY: as many bytes as the value has; both lie in memory of their own.
    unsafe {
        bytes
            .as_mut_ptr()
            .copy_from_nonoverlapping(core::ptr::from_ref(value).cast(), size_of::<T>())
    };
    bytes
}

/// Completes a buffered IRP with as much of the answer as fits; a descriptor may be asked for by its header alone.
unsafe fn reply(irp: *mut IRP, answer: Vec<u8>) -> NTSTATUS {
    let room = (*current(irp))
        .Parameters
        .DeviceIoControl
        .OutputBufferLength as usize;
    let out = (*irp).AssociatedIrp.SystemBuffer.cast::<u8>();
    if out.is_null() || room < 8 {
        return complete(irp, STATUS_BUFFER_TOO_SMALL, 0);
    }
    let length = room.min(answer.len());
    out.copy_from_nonoverlapping(answer.as_ptr(), length);
    complete(irp, STATUS_SUCCESS, length)
}

unsafe fn query_property(adapter: &Adapter, unit: Option<&Unit>, irp: *mut IRP) -> NTSTATUS {
    let parameters = (*current(irp)).Parameters.DeviceIoControl;
    let input = (*irp)
        .AssociatedIrp
        .SystemBuffer
        .cast::<StoragePropertyQuery>();
    if input.is_null() || (parameters.InputBufferLength as usize) < 8 {
        return complete(irp, STATUS_INVALID_PARAMETER, 0);
    }
    let (property, kind) = (
        input.cast::<u32>().read_unaligned(),
        input.cast::<u32>().add(1).read_unaligned(),
    );
    let answer = match (property, unit) {
        (STORAGE_ADAPTER_PROPERTY, _) => bytes_of(&adapter_descriptor(adapter)),
        (STORAGE_MINIPORT_PROPERTY, _) => bytes_of(&miniport_descriptor(adapter)),
        (STORAGE_DEVICE_PROPERTY, Some(unit)) => device_descriptor(adapter, unit),
        (STORAGE_DEVICE_ID_PROPERTY, Some(unit)) if unit.identifiers.len() > 4 => device_ids(unit),
        _ => return complete(irp, STATUS_INVALID_DEVICE_REQUEST, 0),
    };
    match kind {
        PROPERTY_STANDARD_QUERY => reply(irp, answer),
        PROPERTY_EXISTS_QUERY => complete(irp, STATUS_SUCCESS, 0),
        _ => complete(irp, STATUS_INVALID_DEVICE_REQUEST, 0),
    }
}

fn adapter_descriptor(adapter: &Adapter) -> StorageAdapterDescriptor {
    let config = &adapter.config;
    StorageAdapterDescriptor {
        version: 32,
        size: 32,
        maximum_transfer_length: config.maximum_transfer_length,
        maximum_physical_pages: config.number_of_physical_breaks,
        alignment_mask: config.alignment_mask,
        adapter_uses_pio: u8::from(
            config.map_buffers == crate::nt::storport::STOR_MAP_ALL_BUFFERS_INCLUDING_READ_WRITE,
        ),
        adapter_scans_down: config.adapter_scans_down,
        command_queueing: config.tagged_queuing,
        accelerated_transfer: 1,
        bus_type: adapter.bus_type.load(Ordering::Acquire) as u8,
        bus_major_version: 2,
        bus_minor_version: 0,
        srb_type: config.srb_type,
        address_type: config.address_type,
    }
}

fn miniport_descriptor(adapter: &Adapter) -> StorageMiniportDescriptor {
    StorageMiniportDescriptor {
        version: 24,
        size: 24,
        port_driver: STORAGE_PORT_CODE_SET_STORPORT,
        lun_reset_supported: 1,
        target_reset_supported: 1,
        io_timeout_value: registry::parameter(adapter, "IoTimeoutValue").unwrap_or(0) as u16,
        ..StorageMiniportDescriptor::default()
    }
}

fn device_descriptor(adapter: &Adapter, unit: &Unit) -> Vec<u8> {
    let header = size_of::<StorageDeviceDescriptor>();
    let mut tail: Vec<u8> = Vec::new();
    let mut add = |text: &[u8]| {
        let offset = (header + tail.len()) as u32;
        tail.extend_from_slice(text);
        tail.push(0);
        offset
    };
    let inquiry = &unit.inquiry;
    let (vendor, product, revision) = (
        add(&inquiry.vendor),
        add(&inquiry.product),
        add(&inquiry.revision),
    );
    let serial = if unit.serial.is_empty() {
        0
    } else {
        add(unit.serial.as_bytes())
    };
    let descriptor = StorageDeviceDescriptor {
        version: header as u32,
        size: (header + tail.len()) as u32,
        device_type: inquiry.device_type,
        device_type_modifier: 0,
        removable_media: u8::from(inquiry.removable),
        command_queueing: u8::from(inquiry.command_queue),
        vendor_id_offset: vendor,
        product_id_offset: product,
        product_revision_offset: revision,
        serial_number_offset: serial,
        bus_type: adapter.bus_type.load(Ordering::Acquire),
        raw_properties_length: 0,
        raw_device_properties: 0,
    };
    let mut answer = bytes_of(&descriptor);
    answer.extend(tail);
    answer
}

/// STORAGE_DEVICE_ID_DESCRIPTOR: version, size, number of identifiers, then STORAGE_IDENTIFIERs made of page 83h.
fn device_ids(unit: &Unit) -> Vec<u8> {
    let page = &unit.identifiers;
    let end = page
        .len()
        .min(4 + usize::from(u16::from_be_bytes([page[2], page[3]])));
    let (mut rest, mut count, mut list) = (&page[4..end], 0u32, Vec::new());
    while let [first, second, _, length, ..] = *rest {
        let Some(data) = rest.get(4..4 + usize::from(length)) else {
            break;
        };
        // STORAGE_IDENTIFIER: code set, type, size, offset of the next, association, bytes; padded to four.
        let total = (16 + data.len()).next_multiple_of(4);
        list.extend(u32::from(first & 0xf).to_le_bytes());
        list.extend(u32::from(second & 0xf).to_le_bytes());
        list.extend((data.len() as u16).to_le_bytes());
        list.extend((total as u16).to_le_bytes());
        list.extend(u32::from(second >> 4 & 3).to_le_bytes());
        list.extend(data);
        list.resize(list.len().next_multiple_of(4), 0);
        count += 1;
        rest = &rest[4 + usize::from(length)..];
    }
    let mut answer = Vec::new();
    for word in [16u32, 12 + list.len() as u32, count] {
        answer.extend(word.to_le_bytes());
    }
    answer.extend(list);
    answer
}
