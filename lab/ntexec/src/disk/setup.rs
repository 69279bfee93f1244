//! What the class driver asks a disk when it starts, in the order of disk.sys and classpnp.

use alloc::string::String;
use alloc::vec::Vec;

use super::command::receive;
use super::device::{Disk, Facts};
use super::transfer;
use crate::nt::base::NTSTATUS;
use crate::nt::io::consts::*;
use crate::nt::scsi::*;
use crate::nt::status::*;
use crate::storport::os::*;

/// disk.sys's `TimeOutValue` where nobody sets it.
const TIMEOUT: u32 = 60;

/// IOCTL_STORAGE_QUERY_PROPERTY to the device below; the descriptor's bytes. PASSIVE_LEVEL.
fn property(disk: &Disk, property: u32) -> Result<Vec<u8>, NTSTATUS> {
    let query = StoragePropertyQuery {
        property_id: property,
        query_type: PROPERTY_STANDARD_QUERY,
        additional_parameters: 0,
    };
    let bytes: Vec<u8> = [
        query.property_id,
        query.query_type,
        query.additional_parameters,
    ]
    .iter()
    .flat_map(|word| word.to_le_bytes())
    .collect();
    ioctl(disk, IOCTL_STORAGE_QUERY_PROPERTY, &bytes, 512)
}

/// A buffered I/O control to the device below.
fn ioctl(disk: &Disk, code: u32, input: &[u8], room: usize) -> Result<Vec<u8>, NTSTATUS> {
    let mut buffer = Buffer::new(room.max(input.len())).ok_or(STATUS_INSUFFICIENT_RESOURCES)?;
    buffer.bytes()[..input.len()].copy_from_slice(input);
    // SAFETY: an IRP of our own, which is waited for and freed; its system buffer outlives it.
    unsafe {
        let irp = IoAllocateIrp((*disk.lower).StackSize, 0);
        if irp.is_null() {
            return Err(STATUS_INSUFFICIENT_RESOURCES);
        }
        (*irp).AssociatedIrp.SystemBuffer = buffer.address().cast();
        (*irp).IoStatus.Status = STATUS_NOT_SUPPORTED;
        let location = next(irp);
        (*location).MajorFunction = IRP_MJ_DEVICE_CONTROL;
        (*location).Parameters.DeviceIoControl.OutputBufferLength = room as u32;
        (*location).Parameters.DeviceIoControl.InputBufferLength = input.len() as u32;
        (*location).Parameters.DeviceIoControl.IoControlCode = code;
        let status = send_and_wait(disk.lower, irp);
        let length = (*irp).IoStatus.Information.min(room);
        (*irp).AssociatedIrp.SystemBuffer = core::ptr::null_mut();
        IoFreeIrp(irp);
        if status < 0 {
            Err(status)
        } else {
            Ok(buffer.bytes()[..length].to_vec())
        }
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes
        .get(at..at + 4)
        .and_then(|four| four.try_into().ok())
        .map_or(0, u32::from_le_bytes)
}

fn text_at(bytes: &[u8], offset: u32) -> String {
    let tail = if offset == 0 {
        &[]
    } else {
        bytes.get(offset as usize..).unwrap_or_default()
    };
    let end = tail
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(tail.len());
    String::from(String::from_utf8_lossy(&tail[..end]).trim())
}

/// Asks everything.
pub(crate) fn ask(disk: &Disk) -> Result<Facts, NTSTATUS> {
    let mut facts = Facts {
        timeout: TIMEOUT,
        ..Facts::default()
    };
    // The miniport's property may fail; it names a time out of the miniport's own.
    if let Ok(miniport) = property(disk, STORAGE_MINIPORT_PROPERTY) {
        let own = word(&miniport, 12) >> 16;
        facts.timeout = if own != 0 { own } else { registry_timeout() };
    }
    let adapter = property(disk, STORAGE_ADAPTER_PROPERTY)?;
    facts.max_transfer = word(&adapter, 8);
    facts.max_pages = word(&adapter, 12);
    facts.alignment_mask = word(&adapter, 16);
    facts.extended = adapter.get(30) == Some(&1);
    let device = property(disk, STORAGE_DEVICE_PROPERTY)?;
    let names = [12, 16, 20].map(|at| text_at(&device, word(&device, at)));
    facts.inquiry = names.join(" ");
    facts.serial = text_at(&device, word(&device, 24));
    let address = ioctl(disk, IOCTL_SCSI_GET_ADDRESS, &[], 8)?;
    if let [_, _, _, _, _, path, target, lun] = *address {
        facts.address = (path, target, lun);
    }
    (facts.blocks, facts.block) = capacity(disk, facts.extended);
    if facts.blocks != 0 {
        let (cdb, _) = transfer::read_write_cdb(false, 0, 1, facts.limits().long, false);
        if let Err(status) = receive(disk, facts.extended, cdb, facts.block, 4) {
            crate::kd::text(&alloc::format!(
                "disk: target {}: sector 0 cannot be read: {status:#x}",
                facts.address.1
            ));
        }
    }
    vital_pages(disk, &facts);
    caching(disk, &mut facts);
    Ok(facts)
}

/// `Disk\TimeOutValue`.
fn registry_timeout() -> u32 {
    let key = crate::cm::service_key("Disk");
    crate::cm::read(|hive| hive.dword(&key, "TimeOutValue"))
        .filter(|seconds| *seconds != 0)
        .unwrap_or(TIMEOUT)
}

/// READ CAPACITY(10), and (16) if that is not enough; short data are asked for once more. No answer: no blocks of 512 bytes.
fn capacity(disk: &Disk, extended: bool) -> (u64, u32) {
    let mut cdb = [0u8; 16];
    cdb[0] = SCSIOP_READ_CAPACITY;
    let read = || receive(disk, extended, cdb, 8, 1).ok();
    let Some(data) = read().filter(|data| data.len() == 8).or_else(read) else {
        return (0, 512);
    };
    let Some(eight) = data.first_chunk::<8>() else {
        return (0, 512);
    };
    let [a, b, c, d, block @ ..] = *eight;
    let (last, block) = (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes(block));
    if last != u32::MAX {
        return (u64::from(last) + 1, valid(block));
    }
    let mut cdb = [0u8; 16];
    (cdb[0], cdb[1], cdb[13]) = (
        SCSIOP_SERVICE_ACTION_IN16,
        SERVICE_ACTION_READ_CAPACITY16,
        32,
    );
    let Ok(data) = receive(disk, extended, cdb, 32, 1) else {
        return (0, 512);
    };
    let Some(twelve) = data.first_chunk::<12>() else {
        return (0, 512);
    };
    let [a, b, c, d, e, f, g, h, block @ ..] = *twelve;
    (
        u64::from_be_bytes([a, b, c, d, e, f, g, h]).saturating_add(1),
        valid(u32::from_be_bytes(block)),
    )
}

/// A block size that a disk can have; anything else is 512, as in disk.sys.
fn valid(block: u32) -> u32 {
    if block.is_power_of_two() && (512..=65536).contains(&block) {
        block
    } else {
        512
    }
}

/// The list of VPD pages, which counts only if it begins with 0 and ascends; then those that classpnp reads.
fn vital_pages(disk: &Disk, facts: &Facts) {
    let page = |page: u8| {
        let mut cdb = [0u8; 16];
        (cdb[0], cdb[1], cdb[2], cdb[4]) = (SCSIOP_INQUIRY, 1, page, 255);
        receive(disk, facts.extended, cdb, 255, 1)
    };
    let Ok(list) = page(0) else { return };
    let count = usize::from(list.get(3).copied().unwrap_or(0));
    let pages: Vec<u8> = list.iter().skip(4).take(count).copied().collect();
    if pages.first() != Some(&0) || !pages.windows(2).all(|pair| pair[0] < pair[1]) {
        crate::kd::text(&alloc::format!(
            "disk: target {}: the list of VPD pages is not in order: none is used",
            facts.address.1
        ));
        return;
    }
    for wanted in [0xb2, 0xb0, 0x8f, 0xb1] {
        if pages.contains(&wanted)
            && let Err(status) = page(wanted)
        {
            crate::kd::text(&alloc::format!(
                "disk: target {}: VPD page {wanted:#x} fails: {status:#x}",
                facts.address.1
            ));
        }
    }
}

/// MODE SENSE(6) of the caching page, tried twice: write cache and write protection.
fn caching(disk: &Disk, facts: &mut Facts) {
    let mut cdb = [0u8; 16];
    (cdb[0], cdb[2], cdb[4]) = (SCSIOP_MODE_SENSE, 0x08, 192);
    let read = || receive(disk, facts.extended, cdb, 192, 1).ok();
    let Some(data) = read().or_else(read) else {
        return;
    };
    // Mode parameter header(6): length, medium type, device-specific parameter, length of block descriptors.
    let Some([_, _, specific, descriptors]) = data.first_chunk::<4>().copied() else {
        return;
    };
    facts.write_protected = specific & 0x80 != 0;
    let page = data.get(4 + usize::from(descriptors)..).unwrap_or_default();
    facts.write_cache = matches!(page, [code, _, flags, ..] if code & 0x3f == 8 && flags & 4 != 0);
}
