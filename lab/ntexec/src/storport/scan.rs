//! The scan for units, and the list of their device objects.
//!
//! It follows the one description of StorPort's that there is ([OSR 35951]): for each path and target REPORT LUNS to
//! LUN 0, or, where that fails, INQUIRY to LUN 0 and then to LUNs 1 to 7; LUNs of the scan before get an INQUIRY as well.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;
use core::ffi::c_void;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::adapter::Adapter;
use super::dispatch::{DeviceExtension, Kind};
use super::ids::Inquiry;
use super::os::*;
use super::queue::UnitQueue;
use super::srb::{Address, SrbBlock};
use super::unit::Unit;
use super::{pdo, rules, start};
use crate::disk::sense::Sense;
use crate::nt::base::NTSTATUS;
use crate::nt::io::consts::*;
use crate::nt::io::*;
use crate::nt::scsi::*;
use crate::nt::status::*;
use crate::nt::storport::*;
use crate::sync::Lock;

const LU_TAG: u32 = u32::from_le_bytes(*b"StLx");
/// BUSY is asked again so often.
const TRIES: u32 = 8;

/// StorPortNotification(BusChangeDetected): PnP asks for the children again. Up to the device's level.
pub(crate) fn bus_changed(adapter: &Adapter) {
    // SAFETY: the PDO lives as long as the adapter. Above DISPATCH_LEVEL the tick's DPC does it.
    unsafe {
        if KeGetCurrentIrql() <= crate::nt::ke::DISPATCH_LEVEL {
            IoInvalidateDeviceRelations(adapter.pdo, 0);
        } else {
            adapter.rescan.store(true, Ordering::Release);
            KeInsertQueueDpc(
                (&raw const adapter.tick.1).cast_mut(),
                core::ptr::null_mut(),
                core::ptr::null_mut(),
            );
        }
    }
}

/// StorPortStateChangeDetected: as a bus change, and the callback says that it is on its way.
///
/// # Safety
/// `routine` must be null or an HwStateChange; `address` its argument.
pub(crate) unsafe fn state_changed(
    adapter: &Adapter,
    routine: *mut c_void,
    context: *mut c_void,
    address: *mut c_void,
) -> u32 {
    bus_changed(adapter);
    if !routine.is_null() {
        // SAFETY: by the caller's word.
        let routine = unsafe { core::mem::transmute::<*mut c_void, HwStateChange>(routine) };
        super::hw::with_start_io_lock(adapter, || {
            // SAFETY: by the caller's word.
            rules::call(adapter, "HwStateChange", || unsafe {
                routine(adapter.hw(), context, 1, address, STOR_STATUS_SUCCESS)
            });
        });
    }
    STOR_STATUS_SUCCESS
}

/// What a command of the scan brought.
enum Answer {
    Data(Vec<u8>),
    /// The unit is there and does not know the command
    Refused,
    Absent,
    /// It would not answer now
    Busy,
}

/// A command with data to receive.
fn command(adapter: &Adapter, address: Address, cdb: &[u8; 16], length: u8, room: usize) -> Answer {
    let Some(mut buffer) = Buffer::new(room) else {
        return Answer::Busy;
    };
    let mut block = Box::new(SrbBlock::zeroed());
    for _ in 0..TRIES {
        let srb = block.prepare(adapter.extended(), SRB_FUNCTION_EXECUTE_SCSI, 10);
        block.set_cdb(cdb, length);
        srb.set_flags(
            SRB_FLAGS_DATA_IN
                | SRB_FLAGS_NO_QUEUE_FREEZE
                | SRB_FLAGS_BYPASS_FROZEN_QUEUE
                | SRB_FLAGS_BYPASS_LOCKED_QUEUE,
        );
        srb.set_data(buffer.address().cast());
        srb.set_length(room as u32);
        let unit = adapter.unit(address).unwrap_or(core::ptr::null_mut());
        match start::send_and_wait(
            adapter,
            unit,
            address,
            &mut block,
            buffer.mdl,
            unit.is_null(),
        ) {
            SRB_STATUS_SUCCESS | SRB_STATUS_DATA_OVERRUN => {
                let moved = (block.srb().length() as usize).min(room);
                return Answer::Data(buffer.bytes()[..moved].to_vec());
            }
            SRB_STATUS_NO_DEVICE
            | SRB_STATUS_INVALID_TARGET_ID
            | SRB_STATUS_INVALID_LUN
            | SRB_STATUS_INVALID_PATH_ID
            | SRB_STATUS_SELECTION_TIMEOUT => return Answer::Absent,
            SRB_STATUS_BUSY => {
                let mut pause = new_event();
                wait(&mut pause, Some(SECOND / 4));
            }
            // A unit attention is told once; the command goes again.
            SRB_STATUS_ERROR
                if block
                    .srb()
                    .sense_data()
                    .and_then(|data| Sense::parse(&data))
                    .is_some_and(|sense| sense.key == SENSE_UNIT_ATTENTION) => {}
            _ => return Answer::Refused,
        }
    }
    Answer::Busy
}

fn inquiry(adapter: &Adapter, address: Address, page: Option<u8>) -> Answer {
    let mut cdb = [0u8; 16];
    cdb[0] = SCSIOP_INQUIRY;
    if let Some(page) = page {
        (cdb[1], cdb[2]) = (1, page);
    }
    cdb[4] = 255;
    command(adapter, address, &cdb, 6, 255)
}

/// The LUNs that REPORT LUNS names (single-level addresses below 256; SPC-4, 6.33).
fn luns_of(data: &[u8]) -> Vec<u8> {
    let Some(length) = data
        .first_chunk::<4>()
        .map(|bytes| u32::from_be_bytes(*bytes) as usize)
    else {
        return Vec::new();
    };
    let end = data.len().min(8 + length);
    data.get(8..end)
        .unwrap_or_default()
        .chunks_exact(8)
        .filter(|lun| lun[0] == 0)
        .map(|lun| lun[1])
        .collect()
}

fn candidates(adapter: &Adapter, path: u8, target: u8) -> BTreeSet<u8> {
    let zero = Address {
        path,
        target,
        lun: 0,
    };
    let mut luns: BTreeSet<u8> = adapter
        .state
        .lock()
        .units
        .iter()
        .map(|unit| {
            // SAFETY: units in the list are alive.
            unsafe { (**unit).address }
        })
        .filter(|at| at.path == path && at.target == target)
        .map(|at| at.lun)
        .collect();
    let mut cdb = [0u8; 16];
    cdb[0] = SCSIOP_REPORT_LUNS;
    cdb[6..10].copy_from_slice(&1032u32.to_be_bytes());
    match command(adapter, zero, &cdb, 12, 1032) {
        Answer::Data(data) => luns.extend(luns_of(&data)),
        Answer::Absent => {}
        Answer::Refused | Answer::Busy => {
            if let Answer::Data(_) = inquiry(adapter, zero, None) {
                luns.extend(0..adapter.config.maximum_number_of_logical_units.clamp(1, 8));
            }
        }
    }
    luns
}

/// Scans every path and target; new units get a device object. PASSIVE_LEVEL.
pub(crate) fn scan(adapter: &Adapter) {
    if adapter.controls(SCSI_ADAPTER_PREPARE_FOR_BUS_RESCAN) {
        super::hw::control(
            adapter,
            SCSI_ADAPTER_PREPARE_FOR_BUS_RESCAN,
            core::ptr::null_mut(),
        );
    }
    let mut found = 0;
    for path in 0..adapter.config.number_of_buses {
        for target in 0..adapter.config.maximum_number_of_targets {
            for lun in candidates(adapter, path, target) {
                found += u32::from(look_at(adapter, Address { path, target, lun }));
            }
        }
    }
    rules::log(adapter, format_args!("scan: {found} units"));
}

/// Asks one address; true if a unit is there.
fn look_at(adapter: &Adapter, address: Address) -> bool {
    let known = adapter.unit(address);
    // The miniport may set the unit's depth from its first INQUIRY on, before the unit is known here.
    adapter.state.lock().probe = Some((address, None));
    let answer = inquiry(adapter, address, None);
    let depth = adapter
        .state
        .lock()
        .probe
        .take()
        .and_then(|(_, depth)| depth);
    // SAFETY: units in the list are alive; only this thread frees them.
    let unit = known.map(|unit| unsafe { &*unit });
    let data = match answer {
        Answer::Data(data) => Inquiry::parse(&data).filter(|data| data.qualifier == 0),
        // CHOICE: a unit that is busy now keeps its place.
        Answer::Busy if unit.is_some() => return true,
        _ => None,
    };
    match (data, unit) {
        (Some(data), Some(unit)) if unit.inquiry == data => {
            unit.present.store(true, Ordering::Release);
            true
        }
        (Some(data), None) => add(adapter, address, data, depth),
        (_, Some(unit)) => {
            // Gone, or another one now: its device object leaves the list, and the next scan finds the new one.
            unit.present.store(false, Ordering::Release);
            false
        }
        (None, None) => false,
    }
}

fn add(adapter: &Adapter, address: Address, data: Inquiry, depth: Option<u32>) -> bool {
    // SAFETY: objects of our own; the unit is freed by `forget`.
    unsafe {
        let mut device: *mut DEVICE_OBJECT = core::ptr::null_mut();
        let flags = FILE_DEVICE_SECURE_OPEN | FILE_AUTOGENERATED_DEVICE_NAME;
        let status = IoCreateDevice(
            adapter.driver,
            size_of::<DeviceExtension>() as u32,
            core::ptr::null_mut(),
            0x2d,
            flags,
            0,
            &mut device,
        );
        if status < 0 {
            rules::log(
                adapter,
                format_args!("no device object for a unit: {status:#x}"),
            );
            return false;
        }
        let size = adapter.config.specific_lu_extension_size as usize;
        let extension = if size == 0 {
            core::ptr::null_mut()
        } else {
            ExAllocatePoolWithTag(NON_PAGED_POOL_NX, size, LU_TAG)
        };
        if !extension.is_null() {
            extension.cast::<u8>().write_bytes(0, size);
        }
        let unit = Box::into_raw(Box::new(Unit {
            adapter: core::ptr::from_ref(adapter).cast_mut(),
            address,
            pdo: device,
            inquiry: data,
            serial: String::new(),
            identifiers: Vec::new(),
            queue: Lock::new(UnitQueue::new(
                depth.unwrap_or(adapter.config.initial_lun_queue_depth),
            )),
            extension,
            present: AtomicBool::new(true),
            reported: AtomicBool::new(false),
            claimed: AtomicBool::new(false),
            started: AtomicBool::new(false),
            gone: AtomicBool::new(false),
            active: AtomicU32::new(0),
            idle: Lock::new(new_event()),
        }));
        (*device)
            .DeviceExtension
            .cast::<DeviceExtension>()
            .write(DeviceExtension {
                kind: Kind::Unit,
                object: unit.cast(),
            });
        (*device).AlignmentRequirement = adapter.config.alignment_mask;
        (*device).StackSize = 1;
        adapter.state.lock().units.push(unit);
        read_pages(adapter, &mut *unit);
        (*device).Flags |= DO_DIRECT_IO;
        (*device).Flags &= !DO_DEVICE_INITIALIZING;
    }
    true
}

/// Pages 80h and 83h, if page 00h lists them.
fn read_pages(adapter: &Adapter, unit: &mut Unit) {
    let Answer::Data(list) = inquiry(adapter, unit.address, Some(0)) else {
        return;
    };
    let pages = list.get(4..).unwrap_or_default();
    let pages = &pages[..pages
        .len()
        .min(usize::from(list.get(3).copied().unwrap_or(0)))];
    if pages.contains(&0x80)
        && let Answer::Data(data) = inquiry(adapter, unit.address, Some(0x80))
    {
        let length = usize::from(data.get(3).copied().unwrap_or(0));
        let text = data
            .get(4..(4 + length).min(data.len()))
            .unwrap_or_default();
        unit.serial = String::from(String::from_utf8_lossy(text).trim());
    }
    if pages.contains(&0x83)
        && let Answer::Data(data) = inquiry(adapter, unit.address, Some(0x83))
    {
        unit.identifiers = data;
    }
}

/// The answer to BusRelations: the units that are there. PASSIVE_LEVEL.
///
/// # Safety
/// `irp` must be IRP_MN_QUERY_DEVICE_RELATIONS, owned by the caller.
pub(crate) unsafe fn relations(adapter: &Adapter, irp: *mut IRP) -> NTSTATUS {
    // DEVICE_RELATIONS: Count, then pointers from offset 8 on.
    // SAFETY: by the caller's word; a list that is there already was made by a driver above, by the same rules.
    unsafe {
        let old = (*irp).IoStatus.Information as *mut u32;
        let mut all: Vec<*mut DEVICE_OBJECT> = Vec::new();
        if !old.is_null() {
            let first = old.cast::<*mut DEVICE_OBJECT>().add(1);
            all.extend((0..*old as usize).map(|i| first.add(i).read()));
        }
        let units = adapter.state.lock().units.clone();
        for unit in units {
            let present = (*unit).present.load(Ordering::Acquire);
            (*unit).reported.store(present, Ordering::Release);
            if present {
                ObfReferenceObject((*unit).pdo.cast());
                all.push((*unit).pdo);
            }
        }
        let block = pdo::pool_for_pnp(8 + 8 * all.len().max(1)).cast::<u64>();
        if block.is_null() {
            return STATUS_INSUFFICIENT_RESOURCES;
        }
        block.write(all.len() as u64);
        for (i, device) in all.iter().enumerate() {
            block.add(1 + i).cast::<*mut DEVICE_OBJECT>().write(*device);
        }
        if !old.is_null() {
            ExFreePoolWithTag(old.cast(), 0);
        }
        (*irp).IoStatus.Information = block as usize;
    }
    STATUS_SUCCESS
}

/// Frees a unit whose requests are done; its device object is the caller's.
///
/// # Safety
/// Nothing may use the unit any more.
pub(crate) unsafe fn forget(unit: *mut Unit) {
    // SAFETY: by the caller's word.
    unsafe {
        let adapter = &*(*unit).adapter;
        adapter.state.lock().units.retain(|known| *known != unit);
        KeFlushQueuedDpcs();
        if !(*unit).extension.is_null() {
            ExFreePoolWithTag((*unit).extension, LU_TAG);
        }
        drop(Box::from_raw(unit));
    }
}

/// The adapter goes: its children were removed before; their device objects go with it.
///
/// # Safety
/// The adapter must be stopped.
pub(crate) unsafe fn forget_all(adapter: &Adapter) {
    let units = adapter.state.lock().units.clone();
    for unit in units {
        // SAFETY: by the caller's word.
        unsafe {
            let device = (*unit).pdo;
            (*(*device).DeviceExtension.cast::<DeviceExtension>()).kind = Kind::Gone;
            forget(unit);
            IoDeleteDevice(device);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lun_list_is_read_no_further_than_its_data() {
        let mut data = [0u8; 24];
        data[3] = 16;
        data[17] = 5;
        assert_eq!(luns_of(&data), [0, 5]);
        data[3] = 255;
        assert_eq!(luns_of(&data), [0, 5]);
        assert_eq!(luns_of(&data[..12]), Vec::<u8>::new());
        assert_eq!(luns_of(&[]), Vec::<u8>::new());
    }

    #[test]
    fn upstream_style_short_lists_give_nothing() {
        // A length of 8 with one entry: LUN 0.
        let mut data = [0u8; 16];
        data[3] = 8;
        assert_eq!(luns_of(&data), [0]);
    }
}
