//! SCSI request blocks in both forms, the storage I/O controls, and the numbers of SPC and SBC that the class driver uses.
//!
//! Layouts are asserted against the figures of the WDK 10.0.26100 (x64, `storport.h`, `ntddscsi.h`, `ntddstor.h`).

use core::ffi::c_void;
use core::mem::{offset_of, size_of};

/// `SCSI_REQUEST_BLOCK`.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(missing_docs)]
pub struct ScsiRequestBlock {
    pub length: u16,
    pub function: u8,
    pub srb_status: u8,
    pub scsi_status: u8,
    pub path_id: u8,
    pub target_id: u8,
    pub lun: u8,
    pub queue_tag: u8,
    pub queue_action: u8,
    pub cdb_length: u8,
    pub sense_info_buffer_length: u8,
    pub srb_flags: u32,
    pub data_transfer_length: u32,
    pub time_out_value: u32,
    pub data_buffer: *mut c_void,
    pub sense_info_buffer: *mut c_void,
    pub next_srb: *mut ScsiRequestBlock,
    pub original_request: *mut c_void,
    pub srb_extension: *mut c_void,
    pub queue_sort_key: u32,
    pub reserved: u32,
    pub cdb: [u8; 16],
}
const _: () = {
    assert!(size_of::<ScsiRequestBlock>() == 88);
    assert!(offset_of!(ScsiRequestBlock, srb_flags) == 12);
    assert!(offset_of!(ScsiRequestBlock, data_buffer) == 24);
    assert!(offset_of!(ScsiRequestBlock, original_request) == 48);
    assert!(offset_of!(ScsiRequestBlock, srb_extension) == 56);
    assert!(offset_of!(ScsiRequestBlock, cdb) == 72);
};

/// `SCSI_PNP_REQUEST_BLOCK`; `ScsiStatus` is the subfunction, `QueueTag`..`SenseInfoBufferLength` the action.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(missing_docs)]
pub struct ScsiPnpRequestBlock {
    pub length: u16,
    pub function: u8,
    pub srb_status: u8,
    pub pnp_sub_function: u8,
    pub path_id: u8,
    pub target_id: u8,
    pub lun: u8,
    pub pnp_action: u32,
    pub srb_flags: u32,
    pub data_transfer_length: u32,
    pub time_out_value: u32,
    pub data_buffer: *mut c_void,
    pub sense_info_buffer: *mut c_void,
    pub next_srb: *mut ScsiRequestBlock,
    pub original_request: *mut c_void,
    pub srb_extension: *mut c_void,
    pub srb_pnp_flags: u32,
    pub reserved: u32,
    pub reserved4: [u8; 16],
}
/// `SCSI_POWER_REQUEST_BLOCK`.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(missing_docs)]
pub struct ScsiPowerRequestBlock {
    pub length: u16,
    pub function: u8,
    pub srb_status: u8,
    pub srb_power_flags: u8,
    pub path_id: u8,
    pub target_id: u8,
    pub lun: u8,
    pub device_power_state: u32,
    pub srb_flags: u32,
    pub data_transfer_length: u32,
    pub time_out_value: u32,
    pub data_buffer: *mut c_void,
    pub sense_info_buffer: *mut c_void,
    pub next_srb: *mut ScsiRequestBlock,
    pub original_request: *mut c_void,
    pub srb_extension: *mut c_void,
    pub power_action: u32,
    pub reserved: u32,
    pub reserved5: [u8; 16],
}
const _: () = {
    assert!(size_of::<ScsiPnpRequestBlock>() == 88);
    assert!(offset_of!(ScsiPnpRequestBlock, pnp_action) == 8);
    assert!(offset_of!(ScsiPnpRequestBlock, srb_pnp_flags) == 64);
    assert!(size_of::<ScsiPowerRequestBlock>() == 88);
    assert!(offset_of!(ScsiPowerRequestBlock, device_power_state) == 8);
    assert!(offset_of!(ScsiPowerRequestBlock, power_action) == 64);
};

/// `STORAGE_REQUEST_BLOCK`, with room for one entry of `SrbExDataOffset`.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(missing_docs)]
pub struct StorageRequestBlock {
    pub length: u16,
    pub function: u8,
    pub srb_status: u8,
    pub reserved_ulong1: u32,
    pub signature: u32,
    pub version: u32,
    pub srb_length: u32,
    pub srb_function: u32,
    pub srb_flags: u32,
    pub reserved_ulong2: u32,
    pub request_tag: u32,
    pub request_priority: u16,
    pub request_attribute: u16,
    pub time_out_value: u32,
    pub system_status: u32,
    pub zero_guard1: u32,
    pub address_offset: u32,
    pub num_srb_ex_data: u32,
    pub data_transfer_length: u32,
    pub data_buffer: *mut c_void,
    pub zero_guard2: *mut c_void,
    pub original_request: *mut c_void,
    pub class_context: *mut c_void,
    pub port_context: *mut c_void,
    pub miniport_context: *mut c_void,
    pub next_srb: *mut StorageRequestBlock,
    pub srb_ex_data_offset: [u32; 1],
}
const _: () = {
    assert!(size_of::<StorageRequestBlock>() == 128);
    assert!(offset_of!(StorageRequestBlock, signature) == 8);
    assert!(offset_of!(StorageRequestBlock, srb_function) == 20);
    assert!(offset_of!(StorageRequestBlock, time_out_value) == 40);
    assert!(offset_of!(StorageRequestBlock, address_offset) == 52);
    assert!(offset_of!(StorageRequestBlock, data_transfer_length) == 60);
    assert!(offset_of!(StorageRequestBlock, data_buffer) == 64);
    assert!(offset_of!(StorageRequestBlock, original_request) == 80);
    assert!(offset_of!(StorageRequestBlock, miniport_context) == 104);
    assert!(offset_of!(StorageRequestBlock, srb_ex_data_offset) == 120);
};

/// `SRBEX_DATA_SCSI_CDB16`.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(missing_docs)]
pub struct SrbExDataScsiCdb16 {
    pub kind: u32,
    pub length: u32,
    pub scsi_status: u8,
    pub sense_info_buffer_length: u8,
    pub cdb_length: u8,
    pub reserved: u8,
    pub reserved1: u32,
    pub sense_info_buffer: *mut c_void,
    pub cdb: [u8; 16],
}
/// `SRBEX_DATA_PNP`.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(missing_docs)]
pub struct SrbExDataPnp {
    pub kind: u32,
    pub length: u32,
    pub pnp_sub_function: u8,
    pub reserved: [u8; 3],
    pub pnp_action: u32,
    pub srb_pnp_flags: u32,
    pub reserved1: u32,
}
/// `SRBEX_DATA_POWER`.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(missing_docs)]
pub struct SrbExDataPower {
    pub kind: u32,
    pub length: u32,
    pub srb_power_flags: u8,
    pub reserved: [u8; 3],
    pub device_power_state: u32,
    pub power_action: u32,
    pub padding: u32,
}
const _: () = {
    assert!(size_of::<SrbExDataScsiCdb16>() == 40);
    assert!(offset_of!(SrbExDataScsiCdb16, sense_info_buffer) == 16);
    assert!(offset_of!(SrbExDataScsiCdb16, cdb) == 24);
    assert!(size_of::<SrbExDataPnp>() == 24);
    assert!(offset_of!(SrbExDataPnp, srb_pnp_flags) == 16);
    assert!(size_of::<SrbExDataPower>() == 24);
    assert!(offset_of!(SrbExDataPower, power_action) == 16);
};

/// `STORAGE_ADAPTER_DESCRIPTOR`.
#[repr(C)]
#[derive(Clone, Copy, Default, Debug)]
#[allow(missing_docs)]
pub struct StorageAdapterDescriptor {
    pub version: u32,
    pub size: u32,
    pub maximum_transfer_length: u32,
    pub maximum_physical_pages: u32,
    pub alignment_mask: u32,
    pub adapter_uses_pio: u8,
    pub adapter_scans_down: u8,
    pub command_queueing: u8,
    pub accelerated_transfer: u8,
    pub bus_type: u8,
    pub bus_major_version: u16,
    pub bus_minor_version: u16,
    pub srb_type: u8,
    pub address_type: u8,
}
/// `STORAGE_DEVICE_DESCRIPTOR` without its trailing byte; strings follow at the offsets named.
#[repr(C)]
#[derive(Clone, Copy, Default, Debug)]
#[allow(missing_docs)]
pub struct StorageDeviceDescriptor {
    pub version: u32,
    pub size: u32,
    pub device_type: u8,
    pub device_type_modifier: u8,
    pub removable_media: u8,
    pub command_queueing: u8,
    pub vendor_id_offset: u32,
    pub product_id_offset: u32,
    pub product_revision_offset: u32,
    pub serial_number_offset: u32,
    pub bus_type: u32,
    pub raw_properties_length: u32,
    pub raw_device_properties: u32,
}
/// `STORAGE_MINIPORT_DESCRIPTOR`.
#[repr(C)]
#[derive(Clone, Copy, Default, Debug)]
#[allow(missing_docs)]
pub struct StorageMiniportDescriptor {
    pub version: u32,
    pub size: u32,
    pub port_driver: u32,
    pub lun_reset_supported: u8,
    pub target_reset_supported: u8,
    pub io_timeout_value: u16,
    pub extra_io_info_supported: u8,
    pub flags: u8,
    pub reserved0: [u8; 2],
    pub reserved1: u32,
}
/// `STORAGE_PROPERTY_QUERY`.
#[repr(C)]
#[derive(Clone, Copy, Default, Debug)]
#[allow(missing_docs)]
pub struct StoragePropertyQuery {
    pub property_id: u32,
    pub query_type: u32,
    pub additional_parameters: u32,
}
/// `SCSI_ADDRESS`.
#[repr(C)]
#[derive(Clone, Copy, Default, Debug)]
#[allow(missing_docs)]
pub struct ScsiAddress {
    pub length: u32,
    pub port_number: u8,
    pub path_id: u8,
    pub target_id: u8,
    pub lun: u8,
}
/// `SRB_IO_CONTROL`.
#[repr(C)]
#[derive(Clone, Copy, Default, Debug)]
#[allow(missing_docs)]
pub struct SrbIoControl {
    pub header_length: u32,
    pub signature: [u8; 8],
    pub timeout: u32,
    pub control_code: u32,
    pub return_code: u32,
    pub length: u32,
}
const _: () = {
    assert!(size_of::<StorageAdapterDescriptor>() == 32);
    assert!(offset_of!(StorageAdapterDescriptor, bus_major_version) == 26);
    assert!(offset_of!(StorageAdapterDescriptor, srb_type) == 30);
    assert!(size_of::<StorageDeviceDescriptor>() == 40);
    assert!(offset_of!(StorageDeviceDescriptor, bus_type) == 28);
    assert!(size_of::<StorageMiniportDescriptor>() == 24);
    assert!(offset_of!(StorageMiniportDescriptor, io_timeout_value) == 14);
    assert!(size_of::<StoragePropertyQuery>() == 12);
    assert!(size_of::<ScsiAddress>() == 8);
    assert!(size_of::<SrbIoControl>() == 28);
};

macro_rules! numbers {
    ($($(#[$doc:meta])* $ty:ty { $($name:ident = $value:expr),* $(,)? })*) => {
        $($(#[allow(missing_docs)] pub const $name: $ty = $value;)*)*
    };
}

numbers! {
    /// SRB_FUNCTION_*.
    u8 { SRB_FUNCTION_EXECUTE_SCSI = 0, SRB_FUNCTION_CLAIM_DEVICE = 1, SRB_FUNCTION_IO_CONTROL = 2,
         SRB_FUNCTION_RELEASE_QUEUE = 4, SRB_FUNCTION_RELEASE_DEVICE = 6, SRB_FUNCTION_SHUTDOWN = 7,
         SRB_FUNCTION_FLUSH = 8, SRB_FUNCTION_ABORT_COMMAND = 0x10, SRB_FUNCTION_RESET_BUS = 0x12,
         SRB_FUNCTION_RESET_DEVICE = 0x13, SRB_FUNCTION_FLUSH_QUEUE = 0x15, SRB_FUNCTION_WMI = 0x17,
         SRB_FUNCTION_LOCK_QUEUE = 0x18, SRB_FUNCTION_UNLOCK_QUEUE = 0x19, SRB_FUNCTION_QUIESCE_DEVICE = 0x1a,
         SRB_FUNCTION_RESET_LOGICAL_UNIT = 0x20, SRB_FUNCTION_POWER = 0x24, SRB_FUNCTION_PNP = 0x25,
         SRB_FUNCTION_STORAGE_REQUEST_BLOCK = 0x28 }
    /// SRB_STATUS_*.
    u8 { SRB_STATUS_PENDING = 0, SRB_STATUS_SUCCESS = 1, SRB_STATUS_ABORTED = 2, SRB_STATUS_ABORT_FAILED = 3,
         SRB_STATUS_ERROR = 4, SRB_STATUS_BUSY = 5, SRB_STATUS_INVALID_REQUEST = 6, SRB_STATUS_INVALID_PATH_ID = 7,
         SRB_STATUS_NO_DEVICE = 8, SRB_STATUS_TIMEOUT = 9, SRB_STATUS_SELECTION_TIMEOUT = 0xa,
         SRB_STATUS_COMMAND_TIMEOUT = 0xb, SRB_STATUS_MESSAGE_REJECTED = 0xd, SRB_STATUS_BUS_RESET = 0xe,
         SRB_STATUS_PARITY_ERROR = 0xf, SRB_STATUS_REQUEST_SENSE_FAILED = 0x10, SRB_STATUS_NO_HBA = 0x11,
         SRB_STATUS_DATA_OVERRUN = 0x12, SRB_STATUS_UNEXPECTED_BUS_FREE = 0x13,
         SRB_STATUS_PHASE_SEQUENCE_FAILURE = 0x14, SRB_STATUS_BAD_SRB_BLOCK_LENGTH = 0x15,
         SRB_STATUS_REQUEST_FLUSHED = 0x16, SRB_STATUS_INVALID_LUN = 0x20, SRB_STATUS_INVALID_TARGET_ID = 0x21,
         SRB_STATUS_BAD_FUNCTION = 0x22, SRB_STATUS_ERROR_RECOVERY = 0x23, SRB_STATUS_NOT_POWERED = 0x24,
         SRB_STATUS_LINK_DOWN = 0x25, SRB_STATUS_INSUFFICIENT_RESOURCES = 0x26, SRB_STATUS_THROTTLED_REQUEST = 0x27,
         SRB_STATUS_INVALID_PARAMETER = 0x28, SRB_STATUS_INTERNAL_ERROR = 0x30,
         SRB_STATUS_QUEUE_FROZEN = 0x40, SRB_STATUS_AUTOSENSE_VALID = 0x80 }
    /// SRB_FLAGS_*.
    u32 { SRB_FLAGS_QUEUE_ACTION_ENABLE = 2, SRB_FLAGS_DISABLE_DISCONNECT = 4, SRB_FLAGS_DISABLE_SYNCH_TRANSFER = 8,
          SRB_FLAGS_BYPASS_FROZEN_QUEUE = 0x10, SRB_FLAGS_DISABLE_AUTOSENSE = 0x20, SRB_FLAGS_DATA_IN = 0x40,
          SRB_FLAGS_DATA_OUT = 0x80, SRB_FLAGS_NO_QUEUE_FREEZE = 0x100, SRB_FLAGS_ADAPTER_CACHE_ENABLE = 0x200,
          SRB_FLAGS_BYPASS_LOCKED_QUEUE = 0x8_0000, SRB_FLAGS_NO_KEEP_AWAKE = 0x10_0000 }
    u32 { SRB_SIGNATURE = 0x5352_4258, STORAGE_REQUEST_BLOCK_VERSION_1 = 1, SRBEX_DATA_TYPE_SCSI_CDB16 = 0x40,
          SRBEX_DATA_TYPE_SCSI_CDB32 = 0x41, SRBEX_DATA_TYPE_POWER = 0x61, SRBEX_DATA_TYPE_PNP = 0x62,
          SRBEX_DATA_SCSI_CDB16_LENGTH = 0x20, SRBEX_DATA_POWER_LENGTH = 0xc, SRBEX_DATA_PNP_LENGTH = 0x10,
          SRB_PNP_FLAGS_ADAPTER_REQUEST = 1, SRB_POWER_FLAGS_ADAPTER_REQUEST = 1 }
    u8 { SRB_SIMPLE_TAG_REQUEST = 0x20, SRB_HEAD_OF_QUEUE_TAG_REQUEST = 0x21, SRB_ORDERED_QUEUE_TAG_REQUEST = 0x22,
         SP_UNTAGGED = 0xff }
    /// STOR_PNP_ACTION.
    u32 { STOR_START_DEVICE = 0, STOR_REMOVE_DEVICE = 2, STOR_STOP_DEVICE = 4, STOR_QUERY_CAPABILITIES = 9,
          STOR_SURPRISE_REMOVAL = 0x17 }
    /// I/O controls.
    u32 { IOCTL_SCSI_EXECUTE_IN = 0x001b_0011, IOCTL_SCSI_EXECUTE_OUT = 0x001b_0012,
          IOCTL_SCSI_EXECUTE_NONE = 0x001b_0013, IOCTL_SCSI_GET_ADDRESS = 0x0004_1018,
          IOCTL_SCSI_MINIPORT = 0x0004_d008, IOCTL_SCSI_RESCAN_BUS = 0x0004_101c,
          IOCTL_STORAGE_QUERY_PROPERTY = 0x002d_1400 }
    /// STORAGE_PROPERTY_ID, STORAGE_QUERY_TYPE, STORAGE_BUS_TYPE, STORAGE_PORT_CODE_SET.
    u32 { STORAGE_DEVICE_PROPERTY = 0, STORAGE_ADAPTER_PROPERTY = 1, STORAGE_DEVICE_ID_PROPERTY = 2,
          STORAGE_MINIPORT_PROPERTY = 5, PROPERTY_STANDARD_QUERY = 0, PROPERTY_EXISTS_QUERY = 1,
          BUS_TYPE_FIBRE = 6, BUS_TYPE_MAX = 0x14, STORAGE_PORT_CODE_SET_STORPORT = 1 }
    /// Operation codes of SPC and SBC.
    u8 { SCSIOP_TEST_UNIT_READY = 0, SCSIOP_REQUEST_SENSE = 3, SCSIOP_READ6 = 8, SCSIOP_WRITE6 = 0xa,
         SCSIOP_INQUIRY = 0x12, SCSIOP_MODE_SENSE = 0x1a, SCSIOP_START_STOP_UNIT = 0x1b, SCSIOP_READ_CAPACITY = 0x25,
         SCSIOP_READ = 0x28, SCSIOP_WRITE = 0x2a, SCSIOP_SYNCHRONIZE_CACHE = 0x35, SCSIOP_READ16 = 0x88,
         SCSIOP_WRITE16 = 0x8a, SCSIOP_SERVICE_ACTION_IN16 = 0x9e, SCSIOP_REPORT_LUNS = 0xa0, SCSIOP_READ12 = 0xa8,
         SCSIOP_WRITE12 = 0xaa, SERVICE_ACTION_READ_CAPACITY16 = 0x10 }
    /// SCSI status codes (SAM-5, 5.3.1).
    u8 { SCSISTAT_GOOD = 0, SCSISTAT_CHECK_CONDITION = 2, SCSISTAT_BUSY = 8, SCSISTAT_RESERVATION_CONFLICT = 0x18,
         SCSISTAT_QUEUE_FULL = 0x28 }
    /// Sense keys (SPC-4, 4.5.6).
    u8 { SENSE_NO_SENSE = 0, SENSE_RECOVERED_ERROR = 1, SENSE_NOT_READY = 2, SENSE_MEDIUM_ERROR = 3,
         SENSE_HARDWARE_ERROR = 4, SENSE_ILLEGAL_REQUEST = 5, SENSE_UNIT_ATTENTION = 6, SENSE_DATA_PROTECT = 7,
         SENSE_BLANK_CHECK = 8, SENSE_ABORTED_COMMAND = 11 }
}

/// True for an operation code that moves blocks to or from the medium (READ and WRITE of 6, 10, 12 and 16 bytes).
pub const fn is_read_or_write(opcode: u8) -> bool {
    matches!(
        opcode,
        SCSIOP_READ6
            | SCSIOP_WRITE6
            | SCSIOP_READ
            | SCSIOP_WRITE
            | SCSIOP_READ12
            | SCSIOP_WRITE12
            | SCSIOP_READ16
            | SCSIOP_WRITE16
    )
}
