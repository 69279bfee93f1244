//! Storage request blocks, extended and legacy.
//!
//! Field names, types and offsets are those of WDK 10.0.26100's storport.h (x64); the meaning of each field is on the
//! page of its structure in the DDI reference.

use core::ffi::c_void;

use crate::layout::assert_layout;

/// `STORAGE_REQUEST_BLOCK`: the extended form of a request. Offsets of its extra data start at `SrbExDataOffset`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct STORAGE_REQUEST_BLOCK {
    pub Length: u16,
    pub Function: u8,
    pub SrbStatus: u8,
    pub ReservedUlong1: u32,
    pub Signature: u32,
    pub Version: u32,
    pub SrbLength: u32,
    pub SrbFunction: u32,
    pub SrbFlags: u32,
    pub ReservedUlong2: u32,
    pub RequestTag: u32,
    pub RequestPriority: u16,
    pub RequestAttribute: u16,
    pub TimeOutValue: u32,
    pub SystemStatus: u32,
    pub ZeroGuard1: u32,
    pub AddressOffset: u32,
    pub NumSrbExData: u32,
    pub DataTransferLength: u32,
    pub DataBuffer: *mut c_void,
    pub ZeroGuard2: *mut c_void,
    pub OriginalRequest: *mut c_void,
    pub ClassContext: *mut c_void,
    pub PortContext: *mut c_void,
    pub MiniportContext: *mut c_void,
    pub NextSrb: *mut STORAGE_REQUEST_BLOCK,
    pub SrbExDataOffset: [u32; 1],
}

assert_layout!(STORAGE_REQUEST_BLOCK, size 128, align 8, {
    Length @ 0,
    Function @ 2,
    SrbStatus @ 3,
    ReservedUlong1 @ 4,
    Signature @ 8,
    Version @ 12,
    SrbLength @ 16,
    SrbFunction @ 20,
    SrbFlags @ 24,
    ReservedUlong2 @ 28,
    RequestTag @ 32,
    RequestPriority @ 36,
    RequestAttribute @ 38,
    TimeOutValue @ 40,
    SystemStatus @ 44,
    ZeroGuard1 @ 48,
    AddressOffset @ 52,
    NumSrbExData @ 56,
    DataTransferLength @ 60,
    DataBuffer @ 64,
    ZeroGuard2 @ 72,
    OriginalRequest @ 80,
    ClassContext @ 88,
    PortContext @ 96,
    MiniportContext @ 104,
    NextSrb @ 112,
    SrbExDataOffset @ 120,
});

/// `SCSI_REQUEST_BLOCK`: the legacy form; StorPort's prototypes name it for both.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct SCSI_REQUEST_BLOCK {
    pub Length: u16,
    pub Function: u8,
    pub SrbStatus: u8,
    pub ScsiStatus: u8,
    pub PathId: u8,
    pub TargetId: u8,
    pub Lun: u8,
    pub QueueTag: u8,
    pub QueueAction: u8,
    pub CdbLength: u8,
    pub SenseInfoBufferLength: u8,
    pub SrbFlags: u32,
    pub DataTransferLength: u32,
    pub TimeOutValue: u32,
    pub DataBuffer: *mut c_void,
    pub SenseInfoBuffer: *mut c_void,
    pub NextSrb: *mut SCSI_REQUEST_BLOCK,
    pub OriginalRequest: *mut c_void,
    pub SrbExtension: *mut c_void,
    pub QueueSortKey: u32,
    pub Reserved: u32,
    pub Cdb: [u8; 16],
}

assert_layout!(SCSI_REQUEST_BLOCK, size 88, align 8, {
    Length @ 0,
    Function @ 2,
    SrbStatus @ 3,
    ScsiStatus @ 4,
    PathId @ 5,
    TargetId @ 6,
    Lun @ 7,
    QueueTag @ 8,
    QueueAction @ 9,
    CdbLength @ 10,
    SenseInfoBufferLength @ 11,
    SrbFlags @ 12,
    DataTransferLength @ 16,
    TimeOutValue @ 20,
    DataBuffer @ 24,
    SenseInfoBuffer @ 32,
    NextSrb @ 40,
    OriginalRequest @ 48,
    SrbExtension @ 56,
    QueueSortKey @ 64,
    Reserved @ 68,
    Cdb @ 72,
});

/// `SCSI_PNP_REQUEST_BLOCK`: the legacy form of SRB_FUNCTION_PNP.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct SCSI_PNP_REQUEST_BLOCK {
    pub Length: u16,
    pub Function: u8,
    pub SrbStatus: u8,
    pub PnPSubFunction: u8,
    pub PathId: u8,
    pub TargetId: u8,
    pub Lun: u8,
    pub PnPAction: u32,
    pub SrbFlags: u32,
    pub DataTransferLength: u32,
    pub TimeOutValue: u32,
    pub DataBuffer: *mut c_void,
    pub SenseInfoBuffer: *mut c_void,
    pub NextSrb: *mut SCSI_REQUEST_BLOCK,
    pub OriginalRequest: *mut c_void,
    pub SrbExtension: *mut c_void,
    pub SrbPnPFlags: u32,
    pub Reserved: u32,
    pub Reserved4: [u8; 16],
}

assert_layout!(SCSI_PNP_REQUEST_BLOCK, size 88, align 8, {
    Length @ 0,
    Function @ 2,
    SrbStatus @ 3,
    PnPSubFunction @ 4,
    PathId @ 5,
    TargetId @ 6,
    Lun @ 7,
    PnPAction @ 8,
    SrbFlags @ 12,
    DataTransferLength @ 16,
    TimeOutValue @ 20,
    DataBuffer @ 24,
    SenseInfoBuffer @ 32,
    NextSrb @ 40,
    OriginalRequest @ 48,
    SrbExtension @ 56,
    SrbPnPFlags @ 64,
    Reserved @ 68,
    Reserved4 @ 72,
});

/// `SCSI_POWER_REQUEST_BLOCK`: the legacy form of SRB_FUNCTION_POWER.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct SCSI_POWER_REQUEST_BLOCK {
    pub Length: u16,
    pub Function: u8,
    pub SrbStatus: u8,
    pub SrbPowerFlags: u8,
    pub PathId: u8,
    pub TargetId: u8,
    pub Lun: u8,
    pub DevicePowerState: u32,
    pub SrbFlags: u32,
    pub DataTransferLength: u32,
    pub TimeOutValue: u32,
    pub DataBuffer: *mut c_void,
    pub SenseInfoBuffer: *mut c_void,
    pub NextSrb: *mut SCSI_REQUEST_BLOCK,
    pub OriginalRequest: *mut c_void,
    pub SrbExtension: *mut c_void,
    pub PowerAction: u32,
    pub Reserved: u32,
    pub Reserved5: [u8; 16],
}

assert_layout!(SCSI_POWER_REQUEST_BLOCK, size 88, align 8, {
    Length @ 0,
    Function @ 2,
    SrbStatus @ 3,
    SrbPowerFlags @ 4,
    PathId @ 5,
    TargetId @ 6,
    Lun @ 7,
    DevicePowerState @ 8,
    SrbFlags @ 12,
    DataTransferLength @ 16,
    TimeOutValue @ 20,
    DataBuffer @ 24,
    SenseInfoBuffer @ 32,
    NextSrb @ 40,
    OriginalRequest @ 48,
    SrbExtension @ 56,
    PowerAction @ 64,
    Reserved @ 68,
    Reserved5 @ 72,
});

/// `SRBEX_DATA`: the head that every piece of extra data starts with.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
pub struct SRBEX_DATA {
    pub Type: u32,
    pub Length: u32,
    pub Data: [u8; 1],
}

assert_layout!(SRBEX_DATA, size 16, align 8, {
    Type @ 0,
    Length @ 4,
    Data @ 8,
});

/// `SRBEX_DATA_SCSI_CDB16`: a command of up to 16 bytes with its status and sense buffer.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct SRBEX_DATA_SCSI_CDB16 {
    pub Type: u32,
    pub Length: u32,
    pub ScsiStatus: u8,
    pub SenseInfoBufferLength: u8,
    pub CdbLength: u8,
    pub Reserved: u8,
    pub Reserved1: u32,
    pub SenseInfoBuffer: *mut c_void,
    pub Cdb: [u8; 16],
}

assert_layout!(SRBEX_DATA_SCSI_CDB16, size 40, align 8, {
    Type @ 0,
    Length @ 4,
    ScsiStatus @ 8,
    SenseInfoBufferLength @ 9,
    CdbLength @ 10,
    Reserved @ 11,
    Reserved1 @ 12,
    SenseInfoBuffer @ 16,
    Cdb @ 24,
});

/// `SRBEX_DATA_SCSI_CDB32`: a command of up to 32 bytes.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct SRBEX_DATA_SCSI_CDB32 {
    pub Type: u32,
    pub Length: u32,
    pub ScsiStatus: u8,
    pub SenseInfoBufferLength: u8,
    pub CdbLength: u8,
    pub Reserved: u8,
    pub Reserved1: u32,
    pub SenseInfoBuffer: *mut c_void,
    pub Cdb: [u8; 32],
}

assert_layout!(SRBEX_DATA_SCSI_CDB32, size 56, align 8, {
    Type @ 0,
    Length @ 4,
    ScsiStatus @ 8,
    SenseInfoBufferLength @ 9,
    CdbLength @ 10,
    Reserved @ 11,
    Reserved1 @ 12,
    SenseInfoBuffer @ 16,
    Cdb @ 24,
});

/// `SRBEX_DATA_SCSI_CDB_VAR`: a command of any length.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct SRBEX_DATA_SCSI_CDB_VAR {
    pub Type: u32,
    pub Length: u32,
    pub ScsiStatus: u8,
    pub SenseInfoBufferLength: u8,
    pub Reserved: [u8; 2],
    pub CdbLength: u32,
    pub Reserved1: [u32; 2],
    pub SenseInfoBuffer: *mut c_void,
    pub Cdb: [u8; 1],
}

assert_layout!(SRBEX_DATA_SCSI_CDB_VAR, size 40, align 8, {
    Type @ 0,
    Length @ 4,
    ScsiStatus @ 8,
    SenseInfoBufferLength @ 9,
    Reserved @ 10,
    CdbLength @ 12,
    Reserved1 @ 16,
    SenseInfoBuffer @ 24,
    Cdb @ 32,
});

/// `SRBEX_DATA_PNP`: the extra data of SRB_FUNCTION_PNP.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
pub struct SRBEX_DATA_PNP {
    pub Type: u32,
    pub Length: u32,
    pub PnPSubFunction: u8,
    pub Reserved: [u8; 3],
    pub PnPAction: u32,
    pub SrbPnPFlags: u32,
    pub Reserved1: u32,
}

assert_layout!(SRBEX_DATA_PNP, size 24, align 8, {
    Type @ 0,
    Length @ 4,
    PnPSubFunction @ 8,
    Reserved @ 9,
    PnPAction @ 12,
    SrbPnPFlags @ 16,
    Reserved1 @ 20,
});

/// `SRBEX_DATA_POWER`: the extra data of SRB_FUNCTION_POWER.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
pub struct SRBEX_DATA_POWER {
    pub Type: u32,
    pub Length: u32,
    pub SrbPowerFlags: u8,
    pub Reserved: [u8; 3],
    pub DevicePowerState: u32,
    pub PowerAction: u32,
}

assert_layout!(SRBEX_DATA_POWER, size 24, align 8, {
    Type @ 0,
    Length @ 4,
    SrbPowerFlags @ 8,
    Reserved @ 9,
    DevicePowerState @ 12,
    PowerAction @ 16,
});

/// `STOR_SCATTER_GATHER_ELEMENT`: one physically contiguous piece of a data buffer.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct STOR_SCATTER_GATHER_ELEMENT {
    pub PhysicalAddress: i64,
    pub Length: u32,
    pub Reserved: usize,
}

assert_layout!(STOR_SCATTER_GATHER_ELEMENT, size 24, align 8, {
    PhysicalAddress @ 0,
    Length @ 8,
    Reserved @ 16,
});

/// `STOR_SCATTER_GATHER_LIST`: the pieces of a data buffer, `NumberOfElements` of them in `List`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct STOR_SCATTER_GATHER_LIST {
    pub NumberOfElements: u32,
    pub Reserved: usize,
    pub List: [STOR_SCATTER_GATHER_ELEMENT; 0],
}

assert_layout!(STOR_SCATTER_GATHER_LIST, size 16, align 8, {
    NumberOfElements @ 0,
    Reserved @ 8,
    List @ 16,
});
