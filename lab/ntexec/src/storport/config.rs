//! What HwFindAdapter gets and gives: resources, PORT_CONFIGURATION_INFORMATION.

use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use super::adapter::{Adapter, Phase};
use super::{registry, rules};
use crate::nt::base::NTSTATUS;
use crate::nt::io::*;
use crate::nt::scsi::*;
use crate::nt::status::*;
use crate::nt::storport::*;

pub(super) const STATUS_DEVICE_CONFIGURATION_ERROR: NTSTATUS = 0xc000_0182_u32 as NTSTATUS;
pub(super) const STATUS_ADAPTER_HARDWARE_ERROR: NTSTATUS = 0xc000_00c2_u32 as NTSTATUS;

/// A translated interrupt.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    pub irql: u8,
    pub vector: u32,
    pub affinity: usize,
    pub latched: bool,
    pub shared: bool,
}

/// The resources that a start brings.
#[derive(Default)]
pub(super) struct Resources {
    pub ranges: Vec<AccessRange>,
    pub lines: Vec<Line>,
}

/// # Safety
/// `list` must be null or a valid list.
pub(super) unsafe fn resources(list: *const CM_RESOURCE_LIST) -> Resources {
    const PORT: u8 = 1;
    const INTERRUPT: u8 = 2;
    const MEMORY: u8 = 3;
    const SHARED: u8 = 3;
    const LATCHED: u16 = 1;
    let mut found = Resources::default();
    if list.is_null() || (*list).Count == 0 {
        return found;
    }
    let partial = &raw const (*list).List[0].PartialResourceList;
    let first = (&raw const (*partial).PartialDescriptors).cast::<CM_PARTIAL_RESOURCE_DESCRIPTOR>();
    for i in 0..(*partial).Count as usize {
        let descriptor = first.add(i).read_unaligned();
        match descriptor.Type {
            MEMORY | PORT => found.ranges.push(AccessRange {
                range_start: descriptor.u.Range.Start as u64,
                range_length: descriptor.u.Range.Length,
                range_in_memory: u8::from(descriptor.Type == MEMORY),
            }),
            INTERRUPT => {
                let line = descriptor.u.Interrupt;
                found.lines.push(Line {
                    irql: line.Level as u8,
                    vector: line.Vector,
                    affinity: line.Affinity,
                    latched: descriptor.Flags & LATCHED != 0,
                    shared: descriptor.ShareDisposition == SHARED,
                });
            }
            _ => {}
        }
    }
    found
}

/// Presets PORT_CONFIGURATION_INFORMATION.
pub(super) fn preset(adapter: &mut Adapter, line: &Line) {
    let init = adapter.init;
    // SAFETY: every field may be zero.
    let mut config: PortConfigurationInformation = unsafe { core::mem::zeroed() };
    config.length = size_of::<PortConfigurationInformation>() as u32;
    config.adapter_interface_type = init.adapter_interface_type;
    config.bus_interrupt_level = u32::from(line.irql);
    config.bus_interrupt_vector = line.vector;
    config.interrupt_mode = u32::from(line.latched);
    config.maximum_transfer_length = SP_UNINITIALIZED_VALUE;
    config.number_of_physical_breaks = SP_UNINITIALIZED_VALUE;
    config.dma_channel = SP_UNINITIALIZED_VALUE;
    config.dma_port = SP_UNINITIALIZED_VALUE;
    config.number_of_access_ranges = adapter.access_ranges.len() as u32;
    config.access_ranges = adapter.access_ranges.as_mut_ptr();
    config.initiator_bus_id = [-1; 8];
    config.scatter_gather = 1;
    config.master = 1;
    config.dma32_bit_addresses = 1;
    config.map_buffers = init.map_buffers;
    config.need_physical_addresses = init.need_physical_addresses;
    config.tagged_queuing = init.tagged_queuing;
    config.auto_request_sense = init.auto_request_sense;
    config.multiple_request_per_lu = init.multiple_request_per_lu;
    config.maximum_number_of_targets = 0x80;
    config.srb_type = if init.srb_type_flags & SRB_TYPE_FLAG_STORAGE_REQUEST_BLOCK != 0 {
        SRB_TYPE_STORAGE_REQUEST_BLOCK
    } else {
        SRB_TYPE_SCSI_REQUEST_BLOCK
    };
    config.address_type = STOR_ADDRESS_TYPE_BTL8 as u8;
    config.device_extension_size = init.device_extension_size;
    config.specific_lu_extension_size = init.specific_lu_extension_size;
    config.srb_extension_size = init.srb_extension_size;
    config.dma64_bit_addresses = SCSI_DMA64_SYSTEM_SUPPORTED;
    config.maximum_number_of_logical_units =
        registry::device_parameter(adapter, "MaximumLogicalUnit")
            .map_or(8, |most| most.clamp(1, 8) as u8);
    config.wmi_data_provider = 1;
    config.synchronization_model = STOR_SYNCHRONIZE_HALF_DUPLEX;
    config.max_number_of_io = 1000;
    config.max_ios_per_lun = registry::device_parameter(adapter, "NumberOfRequests")
        .map_or(255, |most| most.clamp(16, 255));
    config.initial_lun_queue_depth = 20;
    config.feature_support = init.feature_support;
    *adapter.config = config;
}

pub(super) fn find(adapter: &mut Adapter) -> Result<(), NTSTATUS> {
    let Some(routine) = adapter.init.hw_find_adapter else {
        return Err(STATUS_INVALID_PARAMETER);
    };
    adapter.bus_type.store(
        registry::parameter(adapter, "BusType").unwrap_or(BUS_TYPE_FIBRE),
        Ordering::Release,
    );
    let mut argument: Vec<u8> = registry::argument(adapter).into_bytes();
    argument.push(0);
    let mut again = 0u8;
    let config: *mut PortConfigurationInformation = &mut *adapter.config;
    let extension = adapter.hw();
    adapter.set_phase(Phase::Finding);
    // SAFETY: as HW_FIND_ADAPTER says: PASSIVE_LEVEL, no lock; context and bus information are NULL for StorPort.
    let result = rules::call(adapter, "HwFindAdapter", || unsafe {
        routine(
            extension,
            core::ptr::null_mut(),
            core::ptr::null_mut(),
            argument.as_mut_ptr(),
            config,
            &mut again,
        )
    });
    adapter.set_phase(Phase::Found);
    match result {
        SP_RETURN_FOUND => check_config(adapter),
        SP_RETURN_NOT_FOUND => Err(STATUS_NO_SUCH_DEVICE),
        SP_RETURN_ERROR => Err(STATUS_ADAPTER_HARDWARE_ERROR),
        SP_RETURN_BAD_CONFIG => Err(STATUS_DEVICE_CONFIGURATION_ERROR),
        other => {
            rules::broken(
                adapter,
                "HwFindAdapter",
                "STORPORT",
                format_args!("returned {other}"),
            );
            Err(STATUS_ADAPTER_HARDWARE_ERROR)
        }
    }
}

/// The rules on what HwFindAdapter leaves ([SDV StorPortFindAdapter, SpDuplex, StorPortVirtualDevice]).
fn check_config(adapter: &mut Adapter) -> Result<(), NTSTATUS> {
    let broken =
        |what: &str| rules::broken(adapter, "HwFindAdapter", "STORPORT", format_args!("{what}"));
    let config = &adapter.config;
    if config.maximum_transfer_length == SP_UNINITIALIZED_VALUE
        || config.number_of_physical_breaks == SP_UNINITIALIZED_VALUE
    {
        broken("MaximumTransferLength or NumberOfPhysicalBreaks keeps its preset value");
    }
    if config.virtual_device != 0 {
        broken("VirtualDevice is TRUE in a physical miniport");
    }
    if config.synchronization_model == STOR_SYNCHRONIZE_HALF_DUPLEX {
        broken("half duplex is not for use");
    }
    if config.number_of_physical_breaks < 16 {
        broken("fewer than 16 physical breaks");
    }
    if config.alignment_mask & config.alignment_mask.wrapping_add(1) != 0
        || config.alignment_mask > 0x1ff
    {
        broken("AlignmentMask is none of 0, 1, 3, 7 … 0x1ff");
    }
    if config.max_number_of_io > 1000 && (config.dma64_bit_addresses & 0x7f) < 2 {
        broken("MaxNumberOfIO above 1000 without full 64-bit addressing");
    }
    if config.max_ios_per_lun > 255 && config.srb_type != SRB_TYPE_STORAGE_REQUEST_BLOCK {
        broken("MaxIOsPerLun above 255 without extended SRBs");
    }
    if config.need_physical_addresses != adapter.init.need_physical_addresses
        || config.multiple_request_per_lu == 0
    {
        broken("a preset field was changed");
    }
    if config.number_of_buses == 0 {
        broken("NumberOfBuses is 0");
        return Err(STATUS_DEVICE_CONFIGURATION_ERROR);
    }
    Ok(())
}
