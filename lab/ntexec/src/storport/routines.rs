//! The port's plain exports: addresses, lists, pauses, the rest.
#![allow(clippy::missing_safety_doc)]

use core::ffi::c_void;
use core::sync::atomic::Ordering;

use super::adapter::{Adapter, Mapping, Phase};
use super::notify::variadic;
use super::os::*;
use super::srb::Address;
use super::{hw, registry, request, rules};
use crate::nt::ke::LARGE_INTEGER;
use crate::nt::scsi::ScsiRequestBlock;
use crate::nt::storport::*;

/// StorPortGetScatterGatherList: the list of an SRB that the miniport holds.
pub unsafe extern "win64" fn StorPortGetScatterGatherList(
    extension: *mut c_void,
    srb: *mut ScsiRequestBlock,
) -> *mut StorScatterGatherList {
    let Some(adapter) = Adapter::of(extension) else {
        return core::ptr::null_mut();
    };
    match request::of(adapter, srb.cast()) {
        Some(request) => (*request)
            .list
            .as_mut()
            .map_or(core::ptr::null_mut(), |list| list.as_ptr()),
        None => {
            rules::broken(
                adapter,
                "StorPortGetScatterGatherList",
                "STORPORT",
                format_args!("the SRB at {srb:p} is not the miniport's"),
            );
            core::ptr::null_mut()
        }
    }
}

/// StorPortGetPhysicalAddress: with an SRB for its data or sense buffer, without for the miniport's own memory.
pub unsafe extern "win64" fn StorPortGetPhysicalAddress(
    extension: *mut c_void,
    srb: *mut ScsiRequestBlock,
    address: *mut c_void,
    length: *mut u32,
) -> i64 {
    let Some(adapter) = Adapter::of(extension) else {
        return 0;
    };
    let _ = srb;
    let physical = MmGetPhysicalAddress(address);
    if !length.is_null() {
        // The contiguous run: to the page's end, and on while the pages follow each other (at most 1 MiB is looked at).
        let mut run = 4096 - (address as usize & 0xfff);
        while run < 1 << 20
            && MmGetPhysicalAddress(address.cast::<u8>().add(run).cast()) as u64
                == physical as u64 + run as u64
        {
            run += 4096;
        }
        *length = run as u32;
    }
    if physical == 0 {
        rules::log(adapter, format_args!("no physical address for {address:p}"));
    }
    physical
}

/// StorPortGetVirtualAddress: of a physical address in the uncached extension.
pub unsafe extern "win64" fn StorPortGetVirtualAddress(
    extension: *mut c_void,
    physical: i64,
) -> *mut c_void {
    let Some(adapter) = Adapter::of(extension) else {
        return core::ptr::null_mut();
    };
    let base = adapter.uncached.load(Ordering::Acquire);
    if base.is_null() {
        return core::ptr::null_mut();
    }
    let first = MmGetPhysicalAddress(base);
    let offset = physical.wrapping_sub(first);
    if (0..i64::from(adapter.uncached_size.load(Ordering::Acquire))).contains(&offset) {
        base.cast::<u8>().add(offset as usize).cast()
    } else {
        core::ptr::null_mut()
    }
}

/// StorPortGetUncachedExtension: once, in HwFindAdapter.
pub unsafe extern "win64" fn StorPortGetUncachedExtension(
    extension: *mut c_void,
    config: *mut PortConfigurationInformation,
    size: u32,
) -> *mut c_void {
    let Some(adapter) = Adapter::of(extension) else {
        return core::ptr::null_mut();
    };
    if adapter.phase() != Phase::Finding {
        rules::broken(
            adapter,
            "StorPortGetUncachedExtension",
            "STORPORT 2002",
            format_args!("called outside of HwFindAdapter"),
        );
        return core::ptr::null_mut();
    }
    let existing = adapter.uncached.load(Ordering::Acquire);
    if !existing.is_null() {
        return existing;
    }
    let highest = if config.is_null() || (*config).dma64_bit_addresses & 0x7f == 0 {
        0xffff_ffff
    } else {
        i64::MAX
    };
    let block = MmAllocateContiguousMemory((size as usize).next_multiple_of(4096), highest);
    if !block.is_null() {
        block.cast::<u8>().write_bytes(0, size as usize);
        adapter.uncached.store(block, Ordering::Release);
        adapter.uncached_size.store(size, Ordering::Release);
    }
    block
}

/// StorPortGetDeviceBase: maps an assigned register window; in HwFindAdapter.
pub unsafe extern "win64" fn StorPortGetDeviceBase(
    extension: *mut c_void,
    _bus_type: u32,
    _bus: u32,
    address: i64,
    bytes: u32,
    in_io_space: u8,
) -> *mut c_void {
    let Some(adapter) = Adapter::of(extension) else {
        return core::ptr::null_mut();
    };
    if adapter.phase() != Phase::Finding {
        rules::broken(
            adapter,
            "StorPortGetDeviceBase",
            "STORPORT",
            format_args!("called outside of HwFindAdapter"),
        );
    }
    let (start, end) = (
        address as u64,
        (address as u64).saturating_add(u64::from(bytes)),
    );
    let assigned = adapter.access_ranges.iter().any(|range| {
        range.range_in_memory == u8::from(in_io_space == 0)
            && range.range_start <= start
            && end <= range.range_start + u64::from(range.range_length)
    });
    if !assigned {
        rules::broken(
            adapter,
            "StorPortGetDeviceBase",
            "STORPORT 2003",
            format_args!("{start:#x}..{end:#x} is not assigned to the device"),
        );
        return core::ptr::null_mut();
    }
    let mapped = if in_io_space != 0 {
        address as usize as *mut c_void
    } else {
        MmMapIoSpace(address, bytes as usize, 0)
    };
    if !mapped.is_null() {
        adapter.mappings.lock().push(Mapping {
            address: mapped,
            length: bytes as usize,
            io_space: in_io_space != 0,
        });
    }
    mapped
}

/// StorPortFreeDeviceBase.
pub unsafe extern "win64" fn StorPortFreeDeviceBase(extension: *mut c_void, mapped: *mut c_void) {
    let Some(adapter) = Adapter::of(extension) else {
        return;
    };
    let found = {
        let mut mappings = adapter.mappings.lock();
        mappings
            .iter()
            .position(|mapping| mapping.address == mapped)
            .map(|at| mappings.swap_remove(at))
    };
    match found {
        Some(mapping) if !mapping.io_space => MmUnmapIoSpace(mapped, mapping.length),
        Some(_) => {}
        None => rules::broken(
            adapter,
            "StorPortFreeDeviceBase",
            "STORPORT",
            format_args!("{mapped:p} is not mapped"),
        ),
    }
}

/// StorPortGetBusData: nothing, where the device has no PCI configuration space.
pub unsafe extern "win64" fn StorPortGetBusData(
    extension: *mut c_void,
    bus_data_type: u32,
    _bus: u32,
    _slot: u32,
    buffer: *mut c_void,
    length: u32,
) -> u32 {
    const PCI_CONFIGURATION: u32 = 4;
    let Some(adapter) = Adapter::of(extension) else {
        return 0;
    };
    if adapter.phase() != Phase::Finding {
        rules::broken(
            adapter,
            "StorPortGetBusData",
            "STORPORT",
            format_args!("called in {:?}", adapter.phase()),
        );
    }
    if bus_data_type != PCI_CONFIGURATION || buffer.is_null() {
        return 0;
    }
    super::start::read_config(adapter, buffer, 0, length)
}

/// StorPortSetBusDataByOffset: no device of the lab's storage class has a configuration space to write.
pub unsafe extern "win64" fn StorPortSetBusDataByOffset(
    extension: *mut c_void,
    _bus_data_type: u32,
    _bus: u32,
    _slot: u32,
    _buffer: *mut c_void,
    _offset: u32,
    _length: u32,
) -> u32 {
    if let Some(adapter) = Adapter::of(extension) {
        rules::log(
            adapter,
            format_args!("StorPortSetBusDataByOffset: the device has no configuration space"),
        );
    }
    0
}

/// StorPortGetLogicalUnit: the LU extension.
pub unsafe extern "win64" fn StorPortGetLogicalUnit(
    extension: *mut c_void,
    path: u8,
    target: u8,
    lun: u8,
) -> *mut c_void {
    let Some(adapter) = Adapter::of(extension) else {
        return core::ptr::null_mut();
    };
    adapter
        .unit(Address { path, target, lun })
        .map_or(core::ptr::null_mut(), |unit| (*unit).extension)
}

/// StorPortSetDeviceQueueDepth: from the unit's first INQUIRY on.
pub unsafe extern "win64" fn StorPortSetDeviceQueueDepth(
    extension: *mut c_void,
    path: u8,
    target: u8,
    lun: u8,
    depth: u32,
) -> u8 {
    let Some(adapter) = Adapter::of(extension) else {
        return 0;
    };
    let address = Address { path, target, lun };
    let depth = depth.min(adapter.config.max_ios_per_lun.max(1));
    if let Some(unit) = adapter.unit(address) {
        return u8::from((*unit).queue.lock().set_depth(depth));
    }
    match &mut adapter.state.lock().probe {
        Some((probed, set)) if *probed == address && depth != 0 => {
            *set = Some(depth);
            1
        }
        _ => 0,
    }
}

/// StorPortSynchronizeAccess: runs a routine as if in the ISR.
pub unsafe extern "win64" fn StorPortSynchronizeAccess(
    extension: *mut c_void,
    routine: HwSynchronized,
    context: *mut c_void,
) -> u8 {
    let Some(adapter) = Adapter::of(extension) else {
        return 0;
    };
    hw::at_interrupt(adapter, || routine(extension, context))
}

/// StorPortQuerySystemTime.
pub unsafe extern "win64" fn StorPortQuerySystemTime(time: *mut LARGE_INTEGER) {
    crate::ke::KeQuerySystemTimePrecise(time);
}

/// StorPortStallExecution: at most 0.1 s ([BC 0xF1 2001]).
pub unsafe extern "win64" fn StorPortStallExecution(microseconds: u32) {
    if microseconds > 100_000 {
        crate::check::violation(
            "STORPORT 2001",
            format_args!("StorPortStallExecution for {microseconds} us"),
        );
    }
    KeStallExecutionProcessor(microseconds);
}

variadic! {
    /// StorPortDebugPrint(level, format, …).
    StorPortDebugPrint => debug_print
}

unsafe extern "win64" fn debug_print(level: u32, format: *mut c_void, arguments: *const u64) {
    const DPFLTR_STORMINIPORT_ID: u32 = 0x5b;
    crate::rtl::debug::vDbgPrintExWithPrefix(
        c"".as_ptr().cast(),
        DPFLTR_STORMINIPORT_ID,
        level,
        format.cast(),
        arguments.cast_mut().cast(),
    );
}

/// StorPortLogError: an entry in the event log, here in the log.
pub unsafe extern "win64" fn StorPortLogError(
    extension: *mut c_void,
    _srb: *mut ScsiRequestBlock,
    path: u8,
    target: u8,
    lun: u8,
    code: u32,
    id: u32,
) {
    if let Some(adapter) = Adapter::of(extension) {
        rules::broken(
            adapter,
            "StorPortLogError",
            "STORPORT",
            format_args!("obsolete: StorPortLogSystemEvent takes its place"),
        );
        rules::log(
            adapter,
            format_args!("{path}:{target}:{lun}: error {code:#x}, id {id:#x}"),
        );
    }
}

/// StorPortCompleteRequest: completes every outstanding request of an address; full-duplex miniports may not use it.
pub unsafe extern "win64" fn StorPortCompleteRequest(
    extension: *mut c_void,
    path: u8,
    target: u8,
    lun: u8,
    status: u8,
) {
    const ALL: u8 = 0xff;
    let Some(adapter) = Adapter::of(extension) else {
        return;
    };
    rules::broken(
        adapter,
        "StorPortCompleteRequest",
        "STORPORT",
        format_args!("it races with the miniport's own completions"),
    );
    let matching: alloc::vec::Vec<usize> = adapter
        .state
        .lock()
        .outstanding
        .iter()
        .filter(|(_, request)| {
            // SAFETY: requests in the table are alive.
            let at = unsafe { (**request).address };
            (path == ALL || at.path == path)
                && (target == ALL || at.target == target)
                && (lun == ALL || at.lun == lun)
        })
        .map(|(srb, _)| srb)
        .collect();
    for srb in matching {
        super::srb::Srb::new(srb as *mut c_void).set_status(status);
        super::completion::request_complete(adapter, srb as *mut c_void);
    }
}

/// StorPortValidateRange: obsolete, always true.
pub unsafe extern "win64" fn StorPortValidateRange(
    extension: *mut c_void,
    _: u32,
    _: u32,
    _: i64,
    _: u32,
    _: u8,
) -> u8 {
    if let Some(adapter) = Adapter::of(extension) {
        rules::broken(
            adapter,
            "StorPortValidateRange",
            "STORPORT",
            format_args!("obsolete"),
        );
    }
    1
}

/// StorPortRegistryRead: a value of the adapter's `Parameters\Device` key.
pub unsafe extern "win64" fn StorPortRegistryRead(
    extension: *mut c_void,
    name: *const u8,
    global: u32,
    kind: u32,
    buffer: *mut u8,
    length: *mut u32,
) -> u8 {
    let Some(adapter) = Adapter::of(extension) else {
        return 0;
    };
    registry::read(adapter, name, global != 0, kind, buffer, length)
}

/// StorPortRegistryWrite.
pub unsafe extern "win64" fn StorPortRegistryWrite(
    extension: *mut c_void,
    name: *const u8,
    global: u32,
    kind: u32,
    buffer: *const u8,
    length: u32,
) -> u8 {
    let Some(adapter) = Adapter::of(extension) else {
        return 0;
    };
    registry::write(adapter, name, global != 0, kind, buffer, length)
}

const REGISTRY_TAG: u32 = u32::from_le_bytes(*b"StRg");

/// StorPortAllocateRegistryBuffer.
pub unsafe extern "win64" fn StorPortAllocateRegistryBuffer(
    extension: *mut c_void,
    length: *mut u32,
) -> *mut u8 {
    if Adapter::of(extension).is_none() || length.is_null() || *length == 0 {
        return core::ptr::null_mut();
    }
    let block =
        ExAllocatePoolWithTag(NON_PAGED_POOL_NX, *length as usize, REGISTRY_TAG).cast::<u8>();
    if block.is_null() {
        *length = 0;
    } else {
        block.write_bytes(0, *length as usize);
    }
    block
}

/// StorPortFreeRegistryBuffer.
pub unsafe extern "win64" fn StorPortFreeRegistryBuffer(extension: *mut c_void, buffer: *mut u8) {
    if Adapter::of(extension).is_some() && !buffer.is_null() {
        ExFreePoolWithTag(buffer.cast(), REGISTRY_TAG);
    }
}

/// StorPortConvertPhysicalAddressToUlong: the low half.
pub unsafe extern "win64" fn StorPortConvertPhysicalAddressToUlong(address: i64) -> u32 {
    address as u32
}

/// StorPortConvertUlongToPhysicalAddress.
pub unsafe extern "win64" fn StorPortConvertUlongToPhysicalAddress(address: usize) -> i64 {
    address as i64
}
