//! Starting, stopping and removing an adapter: the order of the miniport's callbacks.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ffi::c_void;
use core::sync::atomic::Ordering;

use super::adapter::{Adapter, Phase};
use super::os::*;
use super::srb::{Address, SrbBlock};
use super::{hw, registry, request, rules, timeout, timers, unit};
use crate::nt::base::NTSTATUS;
use crate::nt::io::consts::*;
use crate::nt::io::*;
use crate::nt::ke::PVOID;
use crate::nt::scsi::*;
use crate::nt::status::*;
use crate::nt::storport::*;

const STATUS_DEVICE_CONFIGURATION_ERROR: NTSTATUS = 0xc000_0182_u32 as NTSTATUS;
const STATUS_ADAPTER_HARDWARE_ERROR: NTSTATUS = 0xc000_00c2_u32 as NTSTATUS;
const EXTENSION_TAG: u32 = u32::from_le_bytes(*b"StDx");
/// How long requests may take to come back before the adapter is stopped.
const DRAIN: u64 = 90 * SECOND;

/// A translated interrupt.
#[derive(Clone, Copy, Debug)]
struct Line {
    irql: u8,
    vector: u32,
    affinity: usize,
    latched: bool,
    shared: bool,
}

/// The resources that a start brings.
#[derive(Default)]
struct Resources {
    ranges: Vec<AccessRange>,
    lines: Vec<Line>,
}

/// # Safety
/// `list` must be null or a valid list.
unsafe fn resources(list: *const CM_RESOURCE_LIST) -> Resources {
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

/// Starts the adapter; the devices below have started. PASSIVE_LEVEL.
///
/// # Safety
/// `translated` must be null or a valid list.
pub(crate) unsafe fn start(adapter: &mut Adapter, translated: *const CM_RESOURCE_LIST) -> NTSTATUS {
    let found = resources(translated);
    let Some(line) = found
        .lines
        .first()
        .copied()
        .filter(|_| !found.ranges.is_empty())
    else {
        // CHOICE: a physical miniport has registers and an interrupt; Microsoft's pages do not say what happens without.
        rules::log(
            adapter,
            format_args!("the device has no memory or no interrupt: StorPort does not start it"),
        );
        return STATUS_DEVICE_CONFIGURATION_ERROR;
    };
    adapter.access_ranges = found.ranges;
    adapter.dirql = line.irql;
    if adapter.hw().is_null() {
        let size = Adapter::extension_block(adapter.init.device_extension_size);
        let block = ExAllocatePoolWithTag(NON_PAGED_POOL_NX, size, EXTENSION_TAG);
        if block.is_null() {
            return STATUS_INSUFFICIENT_RESOURCES;
        }
        block.cast::<u8>().write_bytes(0, size);
        adapter
            .extension
            .store(adapter.adopt_extension(block), Ordering::Release);
    }
    preset(adapter, &line);
    let status = bring_up(adapter, &line);
    if status < 0 {
        disconnect(adapter);
        adapter.set_phase(Phase::Idle);
    }
    status
}

fn bring_up(adapter: &mut Adapter, line: &Line) -> NTSTATUS {
    if let Err(status) = find(adapter) {
        return status;
    }
    // SAFETY: the adapter stays where it is until it is removed, after the interrupt is disconnected.
    let status = unsafe { connect(adapter, line) };
    if status < 0 {
        rules::log(
            adapter,
            format_args!("the interrupt cannot be connected: {status:#x}"),
        );
        return status;
    }
    if !initialize(adapter) {
        return STATUS_ADAPTER_HARDWARE_ERROR;
    }
    query_controls(adapter);
    adapter.set_phase(Phase::Running);
    timeout::begin(adapter);
    STATUS_SUCCESS
}

/// Presets PORT_CONFIGURATION_INFORMATION.
fn preset(adapter: &mut Adapter, line: &Line) {
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

fn find(adapter: &mut Adapter) -> Result<(), NTSTATUS> {
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

unsafe extern "win64" fn isr(_: *mut KINTERRUPT, context: PVOID) -> u8 {
    // SAFETY: the context is the adapter, which lives until the interrupt is disconnected.
    let adapter = unsafe { &*context.cast::<Adapter>() };
    let (true, Some(routine)) = (
        adapter.phase() >= Phase::Initializing,
        adapter.init.hw_interrupt,
    ) else {
        return 0;
    };
    // SAFETY: as HW_INTERRUPT says: DIRQL, the interrupt lock is held.
    rules::call(adapter, "HwInterrupt", || unsafe { routine(adapter.hw()) })
}

unsafe fn connect(adapter: &mut Adapter, line: &Line) -> NTSTATUS {
    const CONNECT_FULLY_SPECIFIED: u32 = 1;
    let mut parameters = IO_CONNECT_INTERRUPT_PARAMETERS {
        Version: CONNECT_FULLY_SPECIFIED,
        u: IO_CONNECT_U {
            FullySpecified: IO_CONNECT_INTERRUPT_FULLY_SPECIFIED_PARAMETERS {
                PhysicalDeviceObject: adapter.pdo,
                InterruptObject: &mut adapter.interrupt,
                ServiceRoutine: Some(isr),
                ServiceContext: core::ptr::from_mut(adapter).cast(),
                SpinLock: hw::lock_of(adapter, INTERRUPT_LOCK),
                SynchronizeIrql: line.irql,
                FloatingSave: 0,
                ShareVector: u8::from(line.shared),
                Vector: line.vector,
                Irql: line.irql,
                InterruptMode: u32::from(line.latched),
                ProcessorEnableMask: line.affinity,
                Group: 0,
            },
        },
    };
    IoConnectInterruptEx(&mut parameters)
}

fn disconnect(adapter: &mut Adapter) {
    let interrupt = core::mem::replace(&mut adapter.interrupt, core::ptr::null_mut());
    if !interrupt.is_null() {
        let mut parameters = IO_DISCONNECT_INTERRUPT_PARAMETERS {
            Version: 1,
            ConnectionContext: interrupt.cast(),
        };
        // SAFETY: connected by `connect`.
        unsafe { IoDisconnectInterruptEx(&mut parameters) };
    }
}

fn initialize(adapter: &Adapter) -> bool {
    let Some(routine) = adapter.init.hw_initialize else {
        return false;
    };
    *adapter.passive.lock() = None;
    adapter.set_phase(Phase::Initializing);
    // SAFETY: as HW_INITIALIZE says: DIRQL, the interrupt lock is held.
    let done = hw::at_interrupt(adapter, || {
        rules::call(adapter, "HwInitialize", || unsafe { routine(adapter.hw()) })
    });
    if done == 0 {
        rules::log(adapter, format_args!("HwInitialize failed"));
        return false;
    }
    let passive = *adapter.passive.lock();
    if let Some(routine) = passive {
        adapter.set_phase(Phase::PassiveInitializing);
        // SAFETY: as HW_PASSIVE_INITIALIZE_ROUTINE says: PASSIVE_LEVEL, no lock.
        if rules::call(adapter, "HwPassiveInitialize", || unsafe {
            routine(adapter.hw())
        }) == 0
        {
            rules::log(adapter, format_args!("the passive initialisation failed"));
            return false;
        }
    }
    true
}

/// ScsiQuerySupportedControlTypes, of the adapter and of units.
fn query_controls(adapter: &Adapter) {
    #[repr(C)]
    struct List {
        max: u32,
        supported: [u8; 32],
    }
    for (unit, max) in [
        (false, SCSI_ADAPTER_CONTROL_MAX),
        (true, SCSI_UNIT_CONTROL_MAX),
    ] {
        let mut list = List {
            max,
            supported: [0; 32],
        };
        let parameters = core::ptr::from_mut(&mut list).cast::<c_void>();
        let asked = if unit {
            hw::unit_control(adapter, SCSI_QUERY_SUPPORTED_CONTROL_TYPES, parameters)
        } else {
            hw::control(adapter, SCSI_QUERY_SUPPORTED_CONTROL_TYPES, parameters)
        };
        let claimed = (0..max)
            .filter(|control| list.supported[*control as usize] != 0)
            .fold(0, |all, control| all | 1 << control);
        let beyond = list
            .supported
            .iter()
            .skip(max as usize)
            .any(|claimed| *claimed != 0);
        if beyond {
            rules::broken(
                adapter,
                "HwAdapterControl",
                "STORPORT",
                format_args!("claimed a control type beyond MaxControlType"),
            );
        }
        let claimed = if asked == Some(SCSI_ADAPTER_CONTROL_SUCCESS) {
            claimed
        } else {
            0
        };
        if unit {
            &adapter.unit_controls
        } else {
            &adapter.controls
        }
        .store(claimed, Ordering::Release);
    }
    if !adapter.controls(SCSI_STOP_ADAPTER) || !adapter.controls(SCSI_RESTART_ADAPTER) {
        rules::log(
            adapter,
            format_args!("the miniport does not claim both Stop and Restart"),
        );
    }
}

/// Sends an SRB of the port's own and waits until it is back; its status, without flags. PASSIVE_LEVEL.
pub(crate) fn send_and_wait(
    adapter: &Adapter,
    unit: *mut unit::Unit,
    address: Address,
    block: &mut SrbBlock,
    mdl: *mut crate::nt::mm::MDL,
    control: bool,
) -> u8 {
    fn done(request: *mut request::Request, event: *mut c_void) {
        // SAFETY: the request is the port's again; the event outlives it.
        unsafe {
            drop(Box::from_raw(request));
            KeSetEvent(event.cast(), 0, 0);
        }
    }
    let mut event = new_event();
    let srb = block.srb();
    let context = core::ptr::from_mut(&mut *event).cast();
    let mut request = request::Request::new(
        adapter,
        unit,
        address,
        srb,
        mdl,
        request::Done::Call(done, context),
    );
    request.control = control;
    let pointer = Box::into_raw(request);
    // SAFETY: a unit lives as long as it has requests.
    match unsafe { unit.as_ref() } {
        Some(unit) if !control => {
            // SAFETY: the request is nobody else's yet.
            let bypass = unsafe { (*pointer).bypass() };
            unit.queue.lock().push(pointer, bypass, false);
            request::kick(adapter, unit);
        }
        _ => at_dispatch(|| request::send(adapter, pointer)),
    }
    wait(&mut event, None);
    srb.status() & 0x3f
}

/// Sends the port's flush to every unit.
fn flush_units(adapter: &Adapter) {
    let units = adapter.state.lock().units.clone();
    for unit in units {
        // SAFETY: units in the list are alive.
        let address = unsafe { (*unit).address };
        let mut block = Box::new(SrbBlock::zeroed());
        let flags = SRB_FLAGS_NO_QUEUE_FREEZE
            | SRB_FLAGS_BYPASS_FROZEN_QUEUE
            | SRB_FLAGS_BYPASS_LOCKED_QUEUE;
        block
            .prepare(adapter.extended(), SRB_FUNCTION_FLUSH, 60)
            .set_flags(flags);
        let status = send_and_wait(
            adapter,
            unit,
            address,
            &mut block,
            core::ptr::null_mut(),
            false,
        );
        if status != SRB_STATUS_SUCCESS {
            rules::log(
                adapter,
                format_args!("the flush before the stop ended with SRB status {status:#x}"),
            );
        }
    }
}

/// The PNP request for the adapter that tells a miniport of a stop.
fn tell(adapter: &Adapter, action: u32) {
    let mut block = Box::new(SrbBlock::zeroed());
    let srb = block.prepare(adapter.extended(), SRB_FUNCTION_PNP, 60);
    block.set_pnp(action, true);
    srb.set_flags(SRB_FLAGS_NO_QUEUE_FREEZE);
    let status = send_and_wait(
        adapter,
        core::ptr::null_mut(),
        Address::default(),
        &mut block,
        core::ptr::null_mut(),
        true,
    );
    if !matches!(status, SRB_STATUS_SUCCESS | SRB_STATUS_INVALID_REQUEST) {
        rules::log(
            adapter,
            format_args!(
                "PNP request {action:#x} for the adapter ended with SRB status {status:#x}"
            ),
        );
    }
}

/// Stops the adapter, in the end with ScsiStopAdapter. PASSIVE_LEVEL.
///
/// Before a stop for new resources every unit is flushed and the miniport gets a PNP request. At a removal there are no
/// requests any more: the class driver flushed each unit when it was removed, and miniports that hook their driver
/// object's PnP routine (as real ones do) have taken themselves down before the port sees the IRP.
pub(crate) fn stop(adapter: &mut Adapter, action: u32) {
    if adapter.phase() != Phase::Running {
        return;
    }
    if action == STOR_STOP_DEVICE {
        flush_units(adapter);
        tell(adapter, action);
    }
    let deadline = now() + DRAIN;
    let mut pause = new_event();
    while adapter.state.lock().gate.outstanding() != 0 && now() < deadline {
        wait(&mut pause, Some(SECOND / 20));
    }
    adapter.set_phase(Phase::Stopping);
    let left = adapter.state.lock().outstanding.len();
    if left != 0 {
        rules::broken(
            adapter,
            "HwAdapterControl",
            "STORPORT",
            format_args!("{left} requests are outstanding at the stop"),
        );
    }
    timeout::end(adapter);
    adapter.timer_call.cancel();
    // CHOICE: at DIRQL with the interrupt lock, the stricter of what two pages say.
    hw::at_interrupt(adapter, || {
        hw::control(adapter, SCSI_STOP_ADAPTER, core::ptr::null_mut())
    });
    disconnect(adapter);
    // SAFETY: PASSIVE_LEVEL.
    unsafe { KeFlushQueuedDpcs() };
    adapter.set_phase(Phase::Idle);
}

/// Gives back everything that the miniport had of the port, and the adapter itself. PASSIVE_LEVEL.
///
/// # Safety
/// The adapter must be stopped, its units gone, and nothing else may use it.
pub(crate) unsafe fn free(adapter: *mut Adapter) {
    let object = &mut *adapter;
    let timers: Vec<_> = object.timers.lock().clone();
    for timer in timers {
        timers::free(object, timer);
    }
    let dpcs: Vec<usize> = object.initialized_dpcs.lock().clone();
    for dpc in dpcs {
        KeRemoveQueueDpc(dpc as *mut crate::nt::ke::KDPC);
    }
    KeFlushQueuedDpcs();
    let mappings: Vec<_> = object.mappings.lock().drain(..).collect();
    for mapping in mappings.iter().filter(|mapping| !mapping.io_space) {
        MmUnmapIoSpace(mapping.address, mapping.length);
    }
    let uncached = object
        .uncached
        .swap(core::ptr::null_mut(), Ordering::AcqRel);
    if !uncached.is_null() {
        MmFreeContiguousMemory(uncached);
    }
    let extension = object
        .extension
        .swap(core::ptr::null_mut(), Ordering::AcqRel);
    if !extension.is_null() {
        ExFreePoolWithTag(Adapter::block_of(extension), EXTENSION_TAG);
    }
    drop(Box::from_raw(adapter));
}

/// Reads the device's configuration space through IRP_MN_READ_CONFIG; the number of bytes read, 0 if there is none.
pub(crate) fn read_config(adapter: &Adapter, buffer: *mut c_void, offset: u32, length: u32) -> u32 {
    // SAFETY: an IRP of our own to the device below; it is waited for and freed.
    unsafe {
        let irp = IoAllocateIrp((*adapter.lower).StackSize + 1, 0);
        if irp.is_null() {
            return 0;
        }
        (*irp).IoStatus.Status = STATUS_NOT_SUPPORTED;
        let location = next(irp);
        (*location).MajorFunction = IRP_MJ_PNP;
        (*location).MinorFunction = IRP_MN_READ_CONFIG;
        (*location).Parameters.Others = ISL_OTHERS {
            Argument1: core::ptr::null_mut(),
            Argument2: buffer,
            Argument3: offset as usize as *mut c_void,
            Argument4: length as usize as *mut c_void,
        };
        let status = super::os::send_and_wait(adapter.lower, irp);
        let read = if status >= 0 {
            (*irp).IoStatus.Information as u32
        } else {
            0
        };
        IoFreeIrp(irp);
        read
    }
}
