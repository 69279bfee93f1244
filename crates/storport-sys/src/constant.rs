//! Numbers of storport.h, by subject; each is named by its DDI name without the common prefix.
//!
//! Values are those of WDK 10.0.26100.

/// SRB functions (`SrbFunction`, `Function`).
pub mod srb_function {
    /// `SRB_FUNCTION_EXECUTE_SCSI`.
    pub const EXECUTE_SCSI: u8 = 0x0;
    /// `SRB_FUNCTION_IO_CONTROL`.
    pub const IO_CONTROL: u8 = 0x2;
    /// `SRB_FUNCTION_SHUTDOWN`.
    pub const SHUTDOWN: u8 = 0x7;
    /// `SRB_FUNCTION_FLUSH`.
    pub const FLUSH: u8 = 0x8;
    /// `SRB_FUNCTION_ABORT_COMMAND`.
    pub const ABORT_COMMAND: u8 = 0x10;
    /// `SRB_FUNCTION_RESET_BUS`.
    pub const RESET_BUS: u8 = 0x12;
    /// `SRB_FUNCTION_RESET_DEVICE`.
    pub const RESET_DEVICE: u8 = 0x13;
    /// `SRB_FUNCTION_RESET_LOGICAL_UNIT`.
    pub const RESET_LOGICAL_UNIT: u8 = 0x20;
    /// `SRB_FUNCTION_WMI`.
    pub const WMI: u8 = 0x17;
    /// `SRB_FUNCTION_POWER`.
    pub const POWER: u8 = 0x24;
    /// `SRB_FUNCTION_PNP`.
    pub const PNP: u8 = 0x25;
    /// `SRB_FUNCTION_DUMP_POINTERS`.
    pub const DUMP_POINTERS: u8 = 0x26;
    /// `SRB_FUNCTION_FREE_DUMP_POINTERS`.
    pub const FREE_DUMP_POINTERS: u8 = 0x27;
    /// `SRB_FUNCTION_STORAGE_REQUEST_BLOCK`.
    pub const STORAGE_REQUEST_BLOCK: u8 = 0x28;
}

/// Values of `SrbStatus`.
pub mod srb_status {
    /// `SRB_STATUS_PENDING`.
    pub const PENDING: u8 = 0x0;
    /// `SRB_STATUS_SUCCESS`.
    pub const SUCCESS: u8 = 0x1;
    /// `SRB_STATUS_ABORTED`.
    pub const ABORTED: u8 = 0x2;
    /// `SRB_STATUS_ABORT_FAILED`.
    pub const ABORT_FAILED: u8 = 0x3;
    /// `SRB_STATUS_ERROR`.
    pub const ERROR: u8 = 0x4;
    /// `SRB_STATUS_BUSY`.
    pub const BUSY: u8 = 0x5;
    /// `SRB_STATUS_INVALID_REQUEST`.
    pub const INVALID_REQUEST: u8 = 0x6;
    /// `SRB_STATUS_INVALID_PATH_ID`.
    pub const INVALID_PATH_ID: u8 = 0x7;
    /// `SRB_STATUS_NO_DEVICE`.
    pub const NO_DEVICE: u8 = 0x8;
    /// `SRB_STATUS_TIMEOUT`.
    pub const TIMEOUT: u8 = 0x9;
    /// `SRB_STATUS_SELECTION_TIMEOUT`.
    pub const SELECTION_TIMEOUT: u8 = 0xa;
    /// `SRB_STATUS_BUS_RESET`.
    pub const BUS_RESET: u8 = 0xe;
    /// `SRB_STATUS_DATA_OVERRUN`.
    pub const DATA_OVERRUN: u8 = 0x12;
    /// `SRB_STATUS_INVALID_LUN`.
    pub const INVALID_LUN: u8 = 0x20;
    /// `SRB_STATUS_INVALID_TARGET_ID`.
    pub const INVALID_TARGET_ID: u8 = 0x21;
    /// `SRB_STATUS_INTERNAL_ERROR`.
    pub const INTERNAL_ERROR: u8 = 0x30;
    /// `SRB_STATUS_AUTOSENSE_VALID`.
    pub const AUTOSENSE_VALID: u8 = 0x80;
    /// `SRB_STATUS_QUEUE_FROZEN`.
    pub const QUEUE_FROZEN: u8 = 0x40;
}

/// Bits of `SrbFlags`.
pub mod srb_flags {
    /// `SRB_FLAGS_DATA_IN`.
    pub const DATA_IN: u32 = 0x40;
    /// `SRB_FLAGS_DATA_OUT`.
    pub const DATA_OUT: u32 = 0x80;
    /// `SRB_FLAGS_DISABLE_AUTOSENSE`.
    pub const DISABLE_AUTOSENSE: u32 = 0x20;
    /// `SRB_FLAGS_NO_QUEUE_FREEZE`.
    pub const NO_QUEUE_FREEZE: u32 = 0x100;
    /// `SRB_FLAGS_D3_PROCESSING`.
    pub const D3_PROCESSING: u32 = 0x800;
}

/// Values of `SRBEX_DATA.Type`.
pub mod srb_ex_type {
    /// `SrbExDataTypeScsiCdb16`.
    pub const SCSI_CDB16: u32 = 0x40;
    /// `SrbExDataTypeScsiCdb32`.
    pub const SCSI_CDB32: u32 = 0x41;
    /// `SrbExDataTypeScsiCdbVar`.
    pub const SCSI_CDB_VAR: u32 = 0x42;
    /// `SrbExDataTypePnP`.
    pub const PNP: u32 = 0x62;
    /// `SrbExDataTypePower`.
    pub const POWER: u32 = 0x61;
    /// `SrbExDataTypeWmi`.
    pub const WMI: u32 = 0x60;
}

/// SCSI status bytes (SAM-5, 5.3.1).
pub mod scsi_status {
    /// `SCSISTAT_GOOD`.
    pub const GOOD: u8 = 0x0;
    /// `SCSISTAT_CHECK_CONDITION`.
    pub const CHECK_CONDITION: u8 = 0x2;
    /// `SCSISTAT_BUSY`.
    pub const BUSY: u8 = 0x8;
    /// `SCSISTAT_RESERVATION_CONFLICT`.
    pub const RESERVATION_CONFLICT: u8 = 0x18;
    /// `SCSISTAT_QUEUE_FULL`.
    pub const QUEUE_FULL: u8 = 0x28;
}

/// Results of HwFindAdapter.
pub mod sp_return {
    /// `SP_RETURN_NOT_FOUND`.
    pub const NOT_FOUND: u32 = 0x0;
    /// `SP_RETURN_FOUND`.
    pub const FOUND: u32 = 0x1;
    /// `SP_RETURN_ERROR`.
    pub const ERROR: u32 = 0x2;
    /// `SP_RETURN_BAD_CONFIG`.
    pub const BAD_CONFIG: u32 = 0x3;
}

/// Values of `MapBuffers`.
pub mod map_buffers {
    /// `STOR_MAP_NO_BUFFERS`.
    pub const NO_BUFFERS: u8 = 0x0;
    /// `STOR_MAP_ALL_BUFFERS`.
    pub const ALL_BUFFERS: u8 = 0x1;
    /// `STOR_MAP_NON_READ_WRITE_BUFFERS`.
    pub const NON_READ_WRITE_BUFFERS: u8 = 0x2;
    /// `STOR_MAP_ALL_BUFFERS_INCLUDING_READ_WRITE`.
    pub const ALL_BUFFERS_INCLUDING_READ_WRITE: u8 = 0x3;
}

/// Values of `Dma64BitAddresses`.
pub mod dma64 {
    /// `SCSI_DMA64_SYSTEM_SUPPORTED`.
    pub const SYSTEM_SUPPORTED: u8 = 0x80;
    /// `SCSI_DMA64_MINIPORT_SUPPORTED`.
    pub const MINIPORT_SUPPORTED: u8 = 0x1;
    /// `SCSI_DMA64_MINIPORT_FULL64BIT_SUPPORTED`.
    pub const MINIPORT_FULL64BIT_SUPPORTED: u8 = 0x2;
    /// `SCSI_DMA64_MINIPORT_FULL64BIT_NO_BOUNDARY_REQ_SUPPORTED`.
    pub const MINIPORT_FULL64BIT_NO_BOUNDARY_REQ_SUPPORTED: u8 = 0x3;
}

/// Values of `SynchronizationModel`.
pub mod synchronization {
    /// `StorSynchronizeHalfDuplex`.
    pub const HALF_DUPLEX: u32 = 0x0;
    /// `StorSynchronizeFullDuplex`.
    pub const FULL_DUPLEX: u32 = 0x1;
}

/// Bits of `FeatureSupport`.
pub mod feature {
    /// `STOR_FEATURE_FULL_PNP_DEVICE_CAPABILITIES`.
    pub const FULL_PNP_DEVICE_CAPABILITIES: u32 = 0x4;
    /// `STOR_FEATURE_DUMP_POINTERS`.
    pub const DUMP_POINTERS: u32 = 0x8;
    /// `STOR_FEATURE_DEVICE_NAME_NO_SUFFIX`.
    pub const DEVICE_NAME_NO_SUFFIX: u32 = 0x10;
}

/// Bits of `SrbTypeFlags`.
pub mod srb_type_flag {
    /// `SRB_TYPE_FLAG_SCSI_REQUEST_BLOCK`.
    pub const SCSI_REQUEST_BLOCK: u32 = 0x1;
    /// `SRB_TYPE_FLAG_STORAGE_REQUEST_BLOCK`.
    pub const STORAGE_REQUEST_BLOCK: u32 = 0x2;
}

/// Values of SCSI_ADAPTER_CONTROL_TYPE.
pub mod adapter_control {
    /// `ScsiQuerySupportedControlTypes`.
    pub const QUERY_SUPPORTED_CONTROL_TYPES: u32 = 0x0;
    /// `ScsiStopAdapter`.
    pub const STOP_ADAPTER: u32 = 0x1;
    /// `ScsiRestartAdapter`.
    pub const RESTART_ADAPTER: u32 = 0x2;
    /// `ScsiSetBootConfig`.
    pub const SET_BOOT_CONFIG: u32 = 0x3;
    /// `ScsiSetRunningConfig`.
    pub const SET_RUNNING_CONFIG: u32 = 0x4;
    /// `ScsiAdapterPower`.
    pub const ADAPTER_POWER: u32 = 0x6;
    /// `ScsiAdapterSurpriseRemoval`.
    pub const ADAPTER_SURPRISE_REMOVAL: u32 = 0x10;
}

/// Values of SCSI_ADAPTER_CONTROL_STATUS.
pub mod adapter_control_status {
    /// `ScsiAdapterControlSuccess`.
    pub const SUCCESS: u32 = 0x0;
    /// `ScsiAdapterControlUnsuccessful`.
    pub const UNSUCCESSFUL: u32 = 0x1;
}

/// Values of STOR_PNP_ACTION.
pub mod pnp_action {
    /// `StorStartDevice`.
    pub const START_DEVICE: u32 = 0x0;
    /// `StorRemoveDevice`.
    pub const REMOVE_DEVICE: u32 = 0x2;
    /// `StorStopDevice`.
    pub const STOP_DEVICE: u32 = 0x4;
    /// `StorQueryCapabilities`.
    pub const QUERY_CAPABILITIES: u32 = 0x9;
    /// `StorQueryResourceRequirements`.
    pub const QUERY_RESOURCE_REQUIREMENTS: u32 = 0xb;
    /// `StorFilterResourceRequirements`.
    pub const FILTER_RESOURCE_REQUIREMENTS: u32 = 0xd;
    /// `StorSurpriseRemoval`.
    pub const SURPRISE_REMOVAL: u32 = 0x17;
}

/// Types of StorPortNotification (SCSI_NOTIFICATION_TYPE).
pub mod notification {
    /// `RequestComplete`.
    pub const REQUEST_COMPLETE: u32 = 0x0;
    /// `ResetDetected`.
    pub const RESET_DETECTED: u32 = 0x3;
    /// `BusChangeDetected`.
    pub const BUS_CHANGE_DETECTED: u32 = 0x7;
    /// `EnablePassiveInitialization`.
    pub const ENABLE_PASSIVE_INITIALIZATION: u32 = 0x1000;
    /// `InitializeDpc`.
    pub const INITIALIZE_DPC: u32 = 0x1001;
    /// `IssueDpc`.
    pub const ISSUE_DPC: u32 = 0x1002;
    /// `AcquireSpinLock`.
    pub const ACQUIRE_SPIN_LOCK: u32 = 0x1003;
    /// `ReleaseSpinLock`.
    pub const RELEASE_SPIN_LOCK: u32 = 0x1004;
}

/// Codes of StorPortExtendedFunction (STORPORT_FUNCTION_CODE).
pub mod extended_function {
    /// `ExtFunctionGetDeviceObjects`.
    pub const GET_DEVICE_OBJECTS: u32 = 0x8;
    /// `ExtFunctionGetSystemAddress`.
    pub const GET_SYSTEM_ADDRESS: u32 = 0x5;
    /// `ExtFunctionInitializePerformanceOptimizations`.
    pub const INITIALIZE_PERFORMANCE_OPTIMIZATIONS: u32 = 0xe;
}

/// Bits of `PERF_CONFIGURATION_DATA.Flags`, and its versions.
pub mod perf {
    /// `STOR_PERF_DPC_REDIRECTION`.
    pub const DPC_REDIRECTION: u32 = 0x1;
    /// `STOR_PERF_CONCURRENT_CHANNELS`.
    pub const CONCURRENT_CHANNELS: u32 = 0x2;
    /// `STOR_PERF_OPTIMIZE_FOR_COMPLETION_DURING_STARTIO`.
    pub const OPTIMIZE_FOR_COMPLETION_DURING_STARTIO: u32 = 0x10;
    /// `STOR_PERF_DPC_REDIRECTION_CURRENT_CPU`.
    pub const DPC_REDIRECTION_CURRENT_CPU: u32 = 0x20;
    /// `STOR_PERF_VERSION_2`.
    pub const VERSION_2: u32 = 0x2;
    /// `STOR_PERF_VERSION_3`.
    pub const VERSION_3: u32 = 0x3;
}

/// Results of the StorPort functions.
pub mod stor_status {
    /// `STOR_STATUS_SUCCESS`.
    pub const SUCCESS: u32 = 0x0;
    /// `STOR_STATUS_UNSUCCESSFUL`.
    pub const UNSUCCESSFUL: u32 = 0xc1000001;
    /// `STOR_STATUS_NOT_IMPLEMENTED`.
    pub const NOT_IMPLEMENTED: u32 = 0xc1000002;
    /// `STOR_STATUS_INSUFFICIENT_RESOURCES`.
    pub const INSUFFICIENT_RESOURCES: u32 = 0xc1000003;
    /// `STOR_STATUS_BUFFER_TOO_SMALL`.
    pub const BUFFER_TOO_SMALL: u32 = 0xc1000004;
    /// `STOR_STATUS_INVALID_PARAMETER`.
    pub const INVALID_PARAMETER: u32 = 0xc1000006;
    /// `STOR_STATUS_INVALID_DEVICE_REQUEST`.
    pub const INVALID_DEVICE_REQUEST: u32 = 0xc1000007;
    /// `STOR_STATUS_BUSY`.
    pub const BUSY: u32 = 0xc100000c;
}

/// `SP_UNINITIALIZED_VALUE`.
pub const SP_UNINITIALIZED_VALUE: u32 = 0xffffffff;
/// `SRB_SIGNATURE`.
pub const SRB_SIGNATURE: u32 = 0x53524258;
/// `STORAGE_REQUEST_BLOCK_VERSION_1`.
pub const STORAGE_REQUEST_BLOCK_VERSION_1: u32 = 0x1;
/// `ADDRESS_TYPE_FLAG_BTL8`.
pub const ADDRESS_TYPE_FLAG_BTL8: u32 = 0x1;
/// `STOR_ADDRESS_TYPE_BTL8`.
pub const STOR_ADDRESS_TYPE_BTL8: u16 = 0x1;
/// `SRB_PNP_FLAGS_ADAPTER_REQUEST`.
pub const SRB_PNP_FLAGS_ADAPTER_REQUEST: u32 = 0x1;
/// `SRB_POWER_FLAGS_ADAPTER_REQUEST`.
pub const SRB_POWER_FLAGS_ADAPTER_REQUEST: u8 = 0x1;
/// `INTERFACE_TYPE.Internal`.
pub const INTERFACE_TYPE_INTERNAL: u32 = 0;

/// Bits of `STOR_DEVICE_CAPABILITIES_EX.Flags`.
pub mod capability {
    /// `EjectSupported` (byte 4, bit 3).
    pub const EJECT_SUPPORTED: u32 = 1 << 3;
    /// `Removable` (byte 4, bit 4).
    pub const REMOVABLE: u32 = 1 << 4;
    /// `UniqueID` (byte 4, bit 6).
    pub const UNIQUE_ID: u32 = 1 << 6;
    /// `SilentInstall` (byte 4, bit 7).
    pub const SILENT_INSTALL: u32 = 1 << 7;
    /// `SurpriseRemovalOK` (byte 5, bit 1).
    pub const SURPRISE_REMOVAL_OK: u32 = 1 << 9;
}
