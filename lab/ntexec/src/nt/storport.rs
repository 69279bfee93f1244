//! StorPort's own structures and numbers, as a miniport of Windows 10 and later was compiled with them.
//!
//! Layouts are asserted against the figures of the WDK 10.0.26100 (x64, `storport.h`). They are written down here
//! independently of the crate that our miniport is built with, so that a wrong layout on either side shows.

use core::ffi::c_void;
use core::mem::{offset_of, size_of};

use super::scsi::ScsiRequestBlock;

/// `PHW_INITIALIZE` and the other routines that take only the device extension and return a BOOLEAN.
pub type HwBoolean = unsafe extern "win64" fn(*mut c_void) -> u8;
/// `PHW_BUILDIO`, `PHW_STARTIO`.
pub type HwSrb = unsafe extern "win64" fn(*mut c_void, *mut ScsiRequestBlock) -> u8;
/// `PHW_FIND_ADAPTER`.
pub type HwFindAdapter = unsafe extern "win64" fn(
    *mut c_void,
    *mut c_void,
    *mut c_void,
    *mut u8,
    *mut PortConfigurationInformation,
    *mut u8,
) -> u32;
/// `PHW_RESET_BUS`.
pub type HwResetBus = unsafe extern "win64" fn(*mut c_void, u32) -> u8;
/// `PHW_ADAPTER_CONTROL`, `PHW_UNIT_CONTROL`.
pub type HwControl = unsafe extern "win64" fn(*mut c_void, u32, *mut c_void) -> u32;
/// `PHW_TIMER`.
pub type HwTimer = unsafe extern "win64" fn(*mut c_void);
/// `PHW_TIMER_EX`.
pub type HwTimerEx = unsafe extern "win64" fn(*mut c_void, *mut c_void);
/// `PHW_DPC_ROUTINE`.
pub type HwDpc = unsafe extern "win64" fn(*mut StorDpc, *mut c_void, *mut c_void, *mut c_void);
/// `PHW_WORKITEM`: device extension, context, worker.
pub type HwWorkItem = unsafe extern "win64" fn(*mut c_void, *mut c_void, *mut c_void);
/// `PSTOR_SYNCHRONIZED_ACCESS`.
pub type HwSynchronized = unsafe extern "win64" fn(*mut c_void, *mut c_void) -> u8;
/// `PHW_STATE_CHANGE`.
pub type HwStateChange = unsafe extern "win64" fn(*mut c_void, *mut c_void, i16, *mut c_void, u32);
/// `PHW_MESSAGE_SIGNALED_INTERRUPT_ROUTINE`.
pub type HwMessageInterrupt = unsafe extern "win64" fn(*mut c_void, u32) -> u8;
/// `POST_SCATTER_GATHER_EXECUTE`: PVOID *DeviceObject, PVOID *Irp, list, context.
pub type PostScatterGather = unsafe extern "win64" fn(
    *mut *mut c_void,
    *mut *mut c_void,
    *mut StorScatterGatherList,
    *mut c_void,
);

/// `HW_INITIALIZATION_DATA`: what a miniport hands to StorPortInitialize.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(missing_docs)]
pub struct HwInitializationData {
    pub size: u32,
    pub adapter_interface_type: u32,
    pub hw_initialize: Option<HwBoolean>,
    pub hw_start_io: Option<HwSrb>,
    pub hw_interrupt: Option<HwBoolean>,
    pub hw_find_adapter: Option<HwFindAdapter>,
    pub hw_reset_bus: Option<HwResetBus>,
    pub hw_dma_started: *mut c_void,
    pub hw_adapter_state: *mut c_void,
    pub device_extension_size: u32,
    pub specific_lu_extension_size: u32,
    pub srb_extension_size: u32,
    pub number_of_access_ranges: u32,
    pub reserved: *mut c_void,
    pub map_buffers: u8,
    pub need_physical_addresses: u8,
    pub tagged_queuing: u8,
    pub auto_request_sense: u8,
    pub multiple_request_per_lu: u8,
    pub receive_event: u8,
    pub vendor_id_length: u16,
    pub vendor_id: *mut c_void,
    pub port_version_flags: u16,
    pub device_id_length: u16,
    pub device_id: *mut c_void,
    pub hw_adapter_control: Option<HwControl>,
    pub hw_build_io: Option<HwSrb>,
    pub hw_free_adapter_resources: *mut c_void,
    pub hw_process_service_request: *mut c_void,
    pub hw_complete_service_irp: *mut c_void,
    pub hw_initialize_tracing: *mut c_void,
    pub hw_cleanup_tracing: *mut c_void,
    pub hw_tracing_enabled: *mut c_void,
    pub feature_support: u32,
    pub srb_type_flags: u32,
    pub address_type_flags: u32,
    pub reserved1: u32,
    pub hw_unit_control: Option<HwControl>,
}
const _: () = {
    assert!(size_of::<HwInitializationData>() == 208);
    assert!(offset_of!(HwInitializationData, hw_find_adapter) == 32);
    assert!(offset_of!(HwInitializationData, hw_adapter_state) == 56);
    assert!(offset_of!(HwInitializationData, device_extension_size) == 64);
    assert!(offset_of!(HwInitializationData, map_buffers) == 88);
    assert!(offset_of!(HwInitializationData, vendor_id_length) == 94);
    assert!(offset_of!(HwInitializationData, device_id_length) == 106);
    assert!(offset_of!(HwInitializationData, hw_adapter_control) == 120);
    assert!(offset_of!(HwInitializationData, hw_build_io) == 128);
    assert!(offset_of!(HwInitializationData, feature_support) == 184);
    assert!(offset_of!(HwInitializationData, address_type_flags) == 192);
    assert!(offset_of!(HwInitializationData, hw_unit_control) == 200);
};
/// Size of the structure before `HwUnitControl` was added (Windows 7's form ends at `HwTracingEnabled`).
pub const HW_INITIALIZATION_DATA_SIZE_WITHOUT_FEATURES: u32 = 184;

/// `ACCESS_RANGE`: one translated register window.
#[repr(C)]
#[derive(Clone, Copy, Default, Debug)]
#[allow(missing_docs)]
pub struct AccessRange {
    pub range_start: u64,
    pub range_length: u32,
    pub range_in_memory: u8,
}
const _: () = assert!(size_of::<AccessRange>() == 16);

/// `MEMORY_REGION`.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(missing_docs)]
pub struct MemoryRegion {
    pub virtual_base: *mut u8,
    pub physical_base: u64,
    pub length: u32,
}
const _: () = assert!(size_of::<MemoryRegion>() == 24);

/// `PORT_CONFIGURATION_INFORMATION`: preset by the port, filled in by HwFindAdapter.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(missing_docs)]
pub struct PortConfigurationInformation {
    pub length: u32,
    pub system_io_bus_number: u32,
    pub adapter_interface_type: u32,
    pub bus_interrupt_level: u32,
    pub bus_interrupt_vector: u32,
    pub interrupt_mode: u32,
    pub maximum_transfer_length: u32,
    pub number_of_physical_breaks: u32,
    pub dma_channel: u32,
    pub dma_port: u32,
    pub dma_width: u32,
    pub dma_speed: u32,
    pub alignment_mask: u32,
    pub number_of_access_ranges: u32,
    pub access_ranges: *mut AccessRange,
    pub miniport_dump_data: *mut c_void,
    pub number_of_buses: u8,
    pub initiator_bus_id: [i8; 8],
    pub scatter_gather: u8,
    pub master: u8,
    pub caches_data: u8,
    pub adapter_scans_down: u8,
    pub atdisk_primary_claimed: u8,
    pub atdisk_secondary_claimed: u8,
    pub dma32_bit_addresses: u8,
    pub demand_mode: u8,
    pub map_buffers: u8,
    pub need_physical_addresses: u8,
    pub tagged_queuing: u8,
    pub auto_request_sense: u8,
    pub multiple_request_per_lu: u8,
    pub receive_event: u8,
    pub real_mode_initialized: u8,
    pub buffer_access_scsi_port_controlled: u8,
    pub maximum_number_of_targets: u8,
    pub srb_type: u8,
    pub address_type: u8,
    pub slot_number: u32,
    pub bus_interrupt_level2: u32,
    pub bus_interrupt_vector2: u32,
    pub interrupt_mode2: u32,
    pub dma_channel2: u32,
    pub dma_port2: u32,
    pub dma_width2: u32,
    pub dma_speed2: u32,
    pub device_extension_size: u32,
    pub specific_lu_extension_size: u32,
    pub srb_extension_size: u32,
    pub dma64_bit_addresses: u8,
    pub reset_target_supported: u8,
    pub maximum_number_of_logical_units: u8,
    pub wmi_data_provider: u8,
    pub synchronization_model: u32,
    pub hw_ms_interrupt_routine: Option<HwMessageInterrupt>,
    pub interrupt_synchronization_mode: u32,
    pub dump_region: MemoryRegion,
    pub requested_dump_buffer_size: u32,
    pub virtual_device: u8,
    pub dump_mode: u8,
    pub dma_address_width: u8,
    pub extended_flags1: u32,
    pub max_number_of_io: u32,
    pub max_ios_per_lun: u32,
    pub initial_lun_queue_depth: u32,
    pub bus_reset_hold_time: u32,
    pub feature_support: u32,
}
const _: () = {
    assert!(size_of::<PortConfigurationInformation>() == 224);
    assert!(offset_of!(PortConfigurationInformation, access_ranges) == 56);
    assert!(offset_of!(PortConfigurationInformation, number_of_buses) == 72);
    assert!(offset_of!(PortConfigurationInformation, initiator_bus_id) == 73);
    assert!(offset_of!(PortConfigurationInformation, map_buffers) == 89);
    assert!(offset_of!(PortConfigurationInformation, maximum_number_of_targets) == 97);
    assert!(offset_of!(PortConfigurationInformation, address_type) == 99);
    assert!(offset_of!(PortConfigurationInformation, slot_number) == 100);
    assert!(offset_of!(PortConfigurationInformation, device_extension_size) == 132);
    assert!(offset_of!(PortConfigurationInformation, dma64_bit_addresses) == 144);
    assert!(offset_of!(PortConfigurationInformation, synchronization_model) == 148);
    assert!(offset_of!(PortConfigurationInformation, hw_ms_interrupt_routine) == 152);
    assert!(offset_of!(PortConfigurationInformation, dump_region) == 168);
    assert!(offset_of!(PortConfigurationInformation, requested_dump_buffer_size) == 192);
    assert!(offset_of!(PortConfigurationInformation, virtual_device) == 196);
    assert!(offset_of!(PortConfigurationInformation, extended_flags1) == 200);
    assert!(offset_of!(PortConfigurationInformation, feature_support) == 220);
};

/// `STOR_SCATTER_GATHER_ELEMENT`.
#[repr(C)]
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct StorScatterGatherElement {
    pub physical_address: u64,
    pub length: u32,
    pub reserved: u64,
}
/// `STOR_SCATTER_GATHER_LIST`; `number_of_elements` elements follow.
#[repr(C)]
#[derive(Clone, Copy, Default)]
#[allow(missing_docs)]
pub struct StorScatterGatherList {
    pub number_of_elements: u32,
    pub reserved: u64,
    pub list: [StorScatterGatherElement; 0],
}
const _: () = {
    assert!(size_of::<StorScatterGatherElement>() == 24);
    assert!(size_of::<StorScatterGatherList>() == 16);
    assert!(offset_of!(StorScatterGatherElement, reserved) == 16);
    assert!(offset_of!(StorScatterGatherList, list) == 16);
};

/// `STOR_LOCK_HANDLE`.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(missing_docs)]
pub struct StorLockHandle {
    pub lock: u32,
    pub context_next: *mut c_void,
    pub context_lock: *mut c_void,
    pub context_old_irql: u8,
}
const _: () = {
    assert!(size_of::<StorLockHandle>() == 32);
    assert!(offset_of!(StorLockHandle, context_lock) == 16);
    assert!(offset_of!(StorLockHandle, context_old_irql) == 24);
};

/// `STOR_DPC`: an opaque KDPC and its lock.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(missing_docs)]
pub struct StorDpc {
    pub dpc: [u64; 8],
    pub lock: usize,
}
const _: () = {
    assert!(size_of::<StorDpc>() == 72);
    assert!(offset_of!(StorDpc, lock) == 64);
};

/// `PERF_CONFIGURATION_DATA`.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(missing_docs)]
pub struct PerfConfigurationData {
    pub version: u32,
    pub size: u32,
    pub flags: u32,
    pub concurrent_channels: u32,
    pub first_redirection_message_number: u32,
    pub last_redirection_message_number: u32,
    pub device_node: u32,
    pub reserved: u32,
    pub message_targets: *mut c_void,
}
/// `STARTIO_PERFORMANCE_PARAMETERS`.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(missing_docs)]
pub struct StartIoPerformanceParameters {
    pub version: u32,
    pub size: u32,
    pub message_number: u32,
    pub channel_number: u32,
}
/// `STOR_REQUEST_INFO_V1`.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(missing_docs)]
pub struct StorRequestInfoV1 {
    pub version: u16,
    pub size: u16,
    pub priority_hint: u32,
    pub flags: u32,
    pub key: u32,
    pub length: u32,
    pub is_write_request: u8,
    pub reserved: [u8; 3],
}
/// `STOR_DEVICE_CAPABILITIES`: the flags are bits of `flags`, see `STOR_CAP_*`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
#[allow(missing_docs)]
pub struct StorDeviceCapabilities {
    pub version: u16,
    pub flags: u32,
}
/// `STOR_DEVICE_CAPABILITIES_EX`: the flags are bits of `flags`, see `STOR_CAP_*`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
#[allow(missing_docs)]
pub struct StorDeviceCapabilitiesEx {
    pub version: u16,
    pub size: u16,
    pub flags: u32,
    pub address: u32,
    pub ui_number: u32,
    pub reserved1: [u32; 2],
}
const _: () = {
    assert!(size_of::<PerfConfigurationData>() == 40);
    assert!(offset_of!(PerfConfigurationData, message_targets) == 32);
    assert!(size_of::<StartIoPerformanceParameters>() == 16);
    assert!(size_of::<StorRequestInfoV1>() == 24);
    assert!(size_of::<StorDeviceCapabilities>() == 8);
    assert!(size_of::<StorDeviceCapabilitiesEx>() == 24);
    assert!(offset_of!(StorDeviceCapabilitiesEx, address) == 8);
};
/// Bit of `LockSupported` in both capability structures.
pub const STOR_CAP_LOCK_SUPPORTED: u32 = 1 << 2;
/// Bit of `EjectSupported` in both capability structures.
pub const STOR_CAP_EJECT_SUPPORTED: u32 = 1 << 3;
/// Bit of `Removable` in both capability structures.
pub const STOR_CAP_REMOVABLE: u32 = 1 << 4;
/// Bit of `UniqueID` in both capability structures.
pub const STOR_CAP_UNIQUE_ID: u32 = 1 << 6;
/// Bit of `SilentInstall` in both capability structures.
pub const STOR_CAP_SILENT_INSTALL: u32 = 1 << 7;
/// Bit of `SurpriseRemovalOK`: second byte, bit 1 in the extended form (bit 0 in the plain one).
pub const STOR_CAP_EX_SURPRISE_REMOVAL_OK: u32 = 1 << 9;
/// Bit of `NoDisplayInUI` in the extended form.
pub const STOR_CAP_EX_NO_DISPLAY_IN_UI: u32 = 1 << 10;

/// `STOR_ADDR_BTL8`.
#[repr(C)]
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct StorAddrBtl8 {
    pub kind: u16,
    pub port: u16,
    pub address_length: u32,
    pub path: u8,
    pub target: u8,
    pub lun: u8,
    pub reserved: u8,
    pub padding: u32,
}
/// `STOR_ADDR_BTL8_ADDRESS_LENGTH`: bytes of the address data that count.
pub const STOR_ADDR_BTL8_ADDRESS_LENGTH: u32 = 4;
const _: () = {
    assert!(size_of::<StorAddrBtl8>() == 16);
    assert!(offset_of!(StorAddrBtl8, path) == 8);
};

macro_rules! numbers {
    ($($(#[$doc:meta])* $ty:ty { $($name:ident = $value:expr),* $(,)? })*) => {
        $($(#[allow(missing_docs)] pub const $name: $ty = $value;)*)*
    };
}

numbers! {
    /// Results of HwFindAdapter.
    u32 { SP_RETURN_NOT_FOUND = 0, SP_RETURN_FOUND = 1, SP_RETURN_ERROR = 2, SP_RETURN_BAD_CONFIG = 3,
          SP_UNINITIALIZED_VALUE = 0xffff_ffff }
    /// SCSI_NOTIFICATION_TYPE.
    u32 { REQUEST_COMPLETE = 0, NEXT_REQUEST = 1, NEXT_LU_REQUEST = 2, RESET_DETECTED = 3, REQUEST_TIMER_CALL = 6,
          BUS_CHANGE_DETECTED = 7, WMI_EVENT = 8, WMI_REREGISTER = 9, LINK_UP = 10, LINK_DOWN = 11,
          QUERY_TICK_COUNT = 12, BUFFER_OVERRUN_DETECTED = 13, TRACE_NOTIFICATION = 14,
          ENABLE_PASSIVE_INITIALIZATION = 0x1000, INITIALIZE_DPC = 0x1001, ISSUE_DPC = 0x1002,
          ACQUIRE_SPIN_LOCK = 0x1003, RELEASE_SPIN_LOCK = 0x1004, STATE_CHANGE_DETECTED = 0x1005,
          IO_TARGET_REQUEST_SERVICE_TIME = 0x1006, ASYNC_NOTIFICATION_DETECTED = 0x1007,
          REQUEST_DIRECT_COMPLETE = 0x1008, INITIALIZE_DPC_WITH_CONTEXT = 0x1009, INITIALIZE_THREADED_DPC = 0x100a,
          MARK_DEVICE_FAILED_EX = 0x100d, TERMINATE_SYSTEM_THREAD = 0x100e }
    /// STOR_SPINLOCK.
    u32 { DPC_LOCK = 1, START_IO_LOCK = 2, INTERRUPT_LOCK = 3, THREADED_DPC_LOCK = 4, DPC_LEVEL_LOCK = 5 }
    /// SCSI_ADAPTER_CONTROL_TYPE and its status.
    u32 { SCSI_QUERY_SUPPORTED_CONTROL_TYPES = 0, SCSI_STOP_ADAPTER = 1, SCSI_RESTART_ADAPTER = 2,
          SCSI_SET_BOOT_CONFIG = 3, SCSI_SET_RUNNING_CONFIG = 4, SCSI_ADAPTER_POWER = 6,
          SCSI_ADAPTER_PREPARE_FOR_BUS_RESCAN = 0xb, SCSI_ADAPTER_FILTER_RESOURCE_REQUIREMENTS = 0xd,
          SCSI_ADAPTER_SURPRISE_REMOVAL = 0x10, SCSI_ADAPTER_CONTROL_MAX = 0x1a,
          SCSI_ADAPTER_CONTROL_SUCCESS = 0 }
    /// SCSI_UNIT_CONTROL_TYPE.
    u32 { SCSI_UNIT_USAGE = 1, SCSI_UNIT_START = 2, SCSI_UNIT_POWER = 3, SCSI_UNIT_REMOVE = 9,
          SCSI_UNIT_SURPRISE_REMOVAL = 10, SCSI_UNIT_CONTROL_MAX = 0xf }
    /// FeatureSupport, MapBuffers, SRB types, DMA answers, synchronisation models.
    u32 { STOR_FEATURE_VIRTUAL_MINIPORT = 1, STOR_FEATURE_FULL_PNP_DEVICE_CAPABILITIES = 4,
          STOR_FEATURE_ADAPTER_CONTROL_PRE_FINDADAPTER = 0x100,
          SRB_TYPE_FLAG_SCSI_REQUEST_BLOCK = 1, SRB_TYPE_FLAG_STORAGE_REQUEST_BLOCK = 2,
          STOR_SYNCHRONIZE_HALF_DUPLEX = 0, STOR_SYNCHRONIZE_FULL_DUPLEX = 1 }
    u8 { STOR_MAP_NO_BUFFERS = 0, STOR_MAP_ALL_BUFFERS = 1, STOR_MAP_NON_READ_WRITE_BUFFERS = 2,
         STOR_MAP_ALL_BUFFERS_INCLUDING_READ_WRITE = 3, SRB_TYPE_SCSI_REQUEST_BLOCK = 0,
         SRB_TYPE_STORAGE_REQUEST_BLOCK = 1, SCSI_DMA64_SYSTEM_SUPPORTED = 0x80,
         SCSI_DMA64_MINIPORT_SUPPORTED = 1, SCSI_DMA64_MINIPORT_64BIT_ONE_4GB_SUPPORTED = 4 }
    u16 { STOR_ADDRESS_TYPE_BTL8 = 1 }
    /// PERF_CONFIGURATION_DATA's flags.
    u32 { STOR_PERF_DPC_REDIRECTION = 1, STOR_PERF_CONCURRENT_CHANNELS = 2, STOR_PERF_INTERRUPT_MESSAGE_RANGES = 4,
          STOR_PERF_ADV_CONFIG_LOCALITY = 8, STOR_PERF_OPTIMIZE_FOR_COMPLETION_DURING_STARTIO = 0x10,
          STOR_PERF_DPC_REDIRECTION_CURRENT_CPU = 0x20, STOR_PERF_NO_SGL = 0x40, STOR_PERF_VERSION = 7 }
    /// STOR_STATUS_*.
    u32 { STOR_STATUS_SUCCESS = 0, STOR_STATUS_UNSUCCESSFUL = 0xc100_0001, STOR_STATUS_NOT_IMPLEMENTED = 0xc100_0002,
          STOR_STATUS_INSUFFICIENT_RESOURCES = 0xc100_0003, STOR_STATUS_BUFFER_TOO_SMALL = 0xc100_0004,
          STOR_STATUS_INVALID_PARAMETER = 0xc100_0006, STOR_STATUS_INVALID_DEVICE_REQUEST = 0xc100_0007,
          STOR_STATUS_INVALID_IRQL = 0xc100_0008, STOR_STATUS_INVALID_DEVICE_STATE = 0xc100_0009,
          STOR_STATUS_UNSUPPORTED_VERSION = 0xc100_000b, STOR_STATUS_BUSY = 0xc100_000c,
          STOR_STATUS_TIMEOUT = 0xc100_000e }
    /// STORPORT_FUNCTION_CODE.
    u32 { EXT_ALLOCATE_POOL = 0, EXT_FREE_POOL = 1, EXT_ALLOCATE_MDL = 2, EXT_FREE_MDL = 3,
          EXT_BUILD_MDL_FOR_NON_PAGED_POOL = 4, EXT_GET_SYSTEM_ADDRESS = 5, EXT_GET_ORIGINAL_MDL = 6,
          EXT_GET_DEVICE_OBJECTS = 8, EXT_BUILD_SCATTER_GATHER_LIST = 9, EXT_PUT_SCATTER_GATHER_LIST = 10,
          EXT_GET_MESSAGE_INTERRUPT_INFORMATION = 0xd, EXT_INITIALIZE_PERFORMANCE_OPTIMIZATIONS = 0xe,
          EXT_GET_START_IO_PERFORMANCE_PARAMETERS = 0xf, EXT_LOG_SYSTEM_EVENT = 0x10,
          EXT_GET_CURRENT_PROCESSOR_NUMBER = 0x11, EXT_GET_ACTIVE_GROUP_COUNT = 0x12, EXT_GET_GROUP_AFFINITY = 0x13,
          EXT_GET_ACTIVE_NODE_COUNT = 0x14, EXT_GET_NODE_AFFINITY = 0x15, EXT_GET_HIGHEST_NODE_NUMBER = 0x16,
          EXT_ALLOCATE_CONTIGUOUS_MEMORY = 0x18, EXT_FREE_CONTIGUOUS_MEMORY = 0x19,
          EXT_GET_REQUEST_INFO = 0x1c, EXT_INITIALIZE_WORKER = 0x1d, EXT_QUEUE_WORK_ITEM = 0x1e, EXT_FREE_WORKER = 0x1f,
          EXT_INITIALIZE_TIMER = 0x20, EXT_REQUEST_TIMER = 0x21, EXT_FREE_TIMER = 0x22,
          EXT_GET_SYSTEM_PORT_NUMBER = 0x29, EXT_MARK_DUMP_MEMORY = 0x2d, EXT_SET_UNIT_ATTRIBUTES = 0x2e,
          EXT_QUERY_PERFORMANCE_COUNTER = 0x2f, EXT_GET_PROCESSOR_INDEX_FROM_NUMBER = 0x38,
          EXT_REGISTRY_READ_ADAPTER_KEY = 0x3e, EXT_REGISTRY_WRITE_ADAPTER_KEY = 0x3f, EXT_SET_ADAPTER_BUS_TYPE = 0x40,
          EXT_INITIALIZE_SPINLOCK = 0x4b, EXT_GET_PFNS = 0x4c, EXT_UPDATE_ADAPTER_MAX_IO = 0x50,
          EXT_DELAY_EXECUTION = 0x51, EXT_ALLOCATE_DMA_MEMORY = 0x52, EXT_FREE_DMA_MEMORY = 0x53,
          EXT_UPDATE_ADAPTER_MAX_IO_INFO = 0x54, EXT_GET_CURRENT_PROCESSOR_INDEX = 0x5c,
          EXT_ACQUIRE_SPIN_LOCK = 0x5d, EXT_GET_PROCESSOR_COUNT = 0x5e, EXT_CANCEL_DPC = 0x5f,
          EXT_LOG_HARDWARE_ERROR = 0x62, EXT_INITIALIZE_EVENT = 0x63, EXT_WAIT_FOR_EVENT = 0x64, EXT_SET_EVENT = 0x65,
          EXT_SET_FEATURE_LIST = 0x67, EXT_QUERY_DPC_WATCHDOG_INFORMATION = 0x6a, EXT_QUERY_TIMER_MIN_INTERVAL = 0x6b,
          EXT_GET_CURRENT_IRQL = 0x6d }
}
