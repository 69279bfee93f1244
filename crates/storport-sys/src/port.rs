//! What a miniport and the port driver tell each other at start-up.
//!
//! Field names, types and offsets are those of WDK 10.0.26100's storport.h (x64); the meaning of each field is on the
//! page of its structure in the DDI reference.

use core::ffi::c_void;

use crate::callback::{
    HW_ADAPTER_CONTROL, HW_BUILDIO, HW_FIND_ADAPTER, HW_INITIALIZE, HW_INTERRUPT,
    HW_MESSAGE_SIGNALED_INTERRUPT_ROUTINE, HW_RESET_BUS, HW_STARTIO, HW_UNIT_CONTROL,
};
use crate::layout::assert_layout;

/// `HW_INITIALIZATION_DATA`: what DriverEntry hands to StorPortInitialize.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct HW_INITIALIZATION_DATA {
    pub HwInitializationDataSize: u32,
    pub AdapterInterfaceType: u32,
    pub HwInitialize: Option<HW_INITIALIZE>,
    pub HwStartIo: Option<HW_STARTIO>,
    pub HwInterrupt: Option<HW_INTERRUPT>,
    pub HwFindAdapter: Option<HW_FIND_ADAPTER>,
    pub HwResetBus: Option<HW_RESET_BUS>,
    pub HwDmaStarted: *mut c_void,
    pub HwAdapterState: *mut c_void,
    pub DeviceExtensionSize: u32,
    pub SpecificLuExtensionSize: u32,
    pub SrbExtensionSize: u32,
    pub NumberOfAccessRanges: u32,
    pub Reserved: *mut c_void,
    pub MapBuffers: u8,
    pub NeedPhysicalAddresses: u8,
    pub TaggedQueuing: u8,
    pub AutoRequestSense: u8,
    pub MultipleRequestPerLu: u8,
    pub ReceiveEvent: u8,
    pub VendorIdLength: u16,
    pub VendorId: *mut c_void,
    pub PortVersionFlags: u16,
    pub DeviceIdLength: u16,
    pub DeviceId: *mut c_void,
    pub HwAdapterControl: Option<HW_ADAPTER_CONTROL>,
    pub HwBuildIo: Option<HW_BUILDIO>,
    pub HwFreeAdapterResources: *mut c_void,
    pub HwProcessServiceRequest: *mut c_void,
    pub HwCompleteServiceIrp: *mut c_void,
    pub HwInitializeTracing: *mut c_void,
    pub HwCleanupTracing: *mut c_void,
    pub HwTracingEnabled: *mut c_void,
    pub FeatureSupport: u32,
    pub SrbTypeFlags: u32,
    pub AddressTypeFlags: u32,
    pub Reserved1: u32,
    pub HwUnitControl: Option<HW_UNIT_CONTROL>,
}

assert_layout!(HW_INITIALIZATION_DATA, size 208, align 8, {
    HwInitializationDataSize @ 0,
    AdapterInterfaceType @ 4,
    HwInitialize @ 8,
    HwStartIo @ 16,
    HwInterrupt @ 24,
    HwFindAdapter @ 32,
    HwResetBus @ 40,
    HwDmaStarted @ 48,
    HwAdapterState @ 56,
    DeviceExtensionSize @ 64,
    SpecificLuExtensionSize @ 68,
    SrbExtensionSize @ 72,
    NumberOfAccessRanges @ 76,
    Reserved @ 80,
    MapBuffers @ 88,
    NeedPhysicalAddresses @ 89,
    TaggedQueuing @ 90,
    AutoRequestSense @ 91,
    MultipleRequestPerLu @ 92,
    ReceiveEvent @ 93,
    VendorIdLength @ 94,
    VendorId @ 96,
    PortVersionFlags @ 104,
    DeviceIdLength @ 106,
    DeviceId @ 112,
    HwAdapterControl @ 120,
    HwBuildIo @ 128,
    HwFreeAdapterResources @ 136,
    HwProcessServiceRequest @ 144,
    HwCompleteServiceIrp @ 152,
    HwInitializeTracing @ 160,
    HwCleanupTracing @ 168,
    HwTracingEnabled @ 176,
    FeatureSupport @ 184,
    SrbTypeFlags @ 188,
    AddressTypeFlags @ 192,
    Reserved1 @ 196,
    HwUnitControl @ 200,
});

/// `ACCESS_RANGE`: one translated resource of the adapter.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ACCESS_RANGE {
    pub RangeStart: i64,
    pub RangeLength: u32,
    pub RangeInMemory: u8,
}

assert_layout!(ACCESS_RANGE, size 16, align 8, {
    RangeStart @ 0,
    RangeLength @ 8,
    RangeInMemory @ 12,
});

/// `MEMORY_REGION`: contiguous memory that the port driver keeps for a crash dump.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct MEMORY_REGION {
    pub VirtualBase: *mut u8,
    pub PhysicalBase: i64,
    pub Length: u32,
}

assert_layout!(MEMORY_REGION, size 24, align 8, {
    VirtualBase @ 0,
    PhysicalBase @ 8,
    Length @ 16,
});

/// `PORT_CONFIGURATION_INFORMATION`: what HwFindAdapter reads and fills in.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct PORT_CONFIGURATION_INFORMATION {
    pub Length: u32,
    pub SystemIoBusNumber: u32,
    pub AdapterInterfaceType: u32,
    pub BusInterruptLevel: u32,
    pub BusInterruptVector: u32,
    pub InterruptMode: u32,
    pub MaximumTransferLength: u32,
    pub NumberOfPhysicalBreaks: u32,
    pub DmaChannel: u32,
    pub DmaPort: u32,
    pub DmaWidth: u32,
    pub DmaSpeed: u32,
    pub AlignmentMask: u32,
    pub NumberOfAccessRanges: u32,
    pub AccessRanges: *mut ACCESS_RANGE,
    pub MiniportDumpData: *mut c_void,
    pub NumberOfBuses: u8,
    pub InitiatorBusId: [i8; 8],
    pub ScatterGather: u8,
    pub Master: u8,
    pub CachesData: u8,
    pub AdapterScansDown: u8,
    pub AtdiskPrimaryClaimed: u8,
    pub AtdiskSecondaryClaimed: u8,
    pub Dma32BitAddresses: u8,
    pub DemandMode: u8,
    pub MapBuffers: u8,
    pub NeedPhysicalAddresses: u8,
    pub TaggedQueuing: u8,
    pub AutoRequestSense: u8,
    pub MultipleRequestPerLu: u8,
    pub ReceiveEvent: u8,
    pub RealModeInitialized: u8,
    pub BufferAccessScsiPortControlled: u8,
    pub MaximumNumberOfTargets: u8,
    pub SrbType: u8,
    pub AddressType: u8,
    pub SlotNumber: u32,
    pub BusInterruptLevel2: u32,
    pub BusInterruptVector2: u32,
    pub InterruptMode2: u32,
    pub DmaChannel2: u32,
    pub DmaPort2: u32,
    pub DmaWidth2: u32,
    pub DmaSpeed2: u32,
    pub DeviceExtensionSize: u32,
    pub SpecificLuExtensionSize: u32,
    pub SrbExtensionSize: u32,
    pub Dma64BitAddresses: u8,
    pub ResetTargetSupported: u8,
    pub MaximumNumberOfLogicalUnits: u8,
    pub WmiDataProvider: u8,
    pub SynchronizationModel: u32,
    pub HwMSInterruptRoutine: Option<HW_MESSAGE_SIGNALED_INTERRUPT_ROUTINE>,
    pub InterruptSynchronizationMode: u32,
    pub DumpRegion: MEMORY_REGION,
    pub RequestedDumpBufferSize: u32,
    pub VirtualDevice: u8,
    pub DumpMode: u8,
    pub DmaAddressWidth: u8,
    pub ExtendedFlags1: u32,
    pub MaxNumberOfIO: u32,
    pub MaxIOsPerLun: u32,
    pub InitialLunQueueDepth: u32,
    pub BusResetHoldTime: u32,
    pub FeatureSupport: u32,
}

assert_layout!(PORT_CONFIGURATION_INFORMATION, size 224, align 8, {
    Length @ 0,
    SystemIoBusNumber @ 4,
    AdapterInterfaceType @ 8,
    BusInterruptLevel @ 12,
    BusInterruptVector @ 16,
    InterruptMode @ 20,
    MaximumTransferLength @ 24,
    NumberOfPhysicalBreaks @ 28,
    DmaChannel @ 32,
    DmaPort @ 36,
    DmaWidth @ 40,
    DmaSpeed @ 44,
    AlignmentMask @ 48,
    NumberOfAccessRanges @ 52,
    AccessRanges @ 56,
    MiniportDumpData @ 64,
    NumberOfBuses @ 72,
    InitiatorBusId @ 73,
    ScatterGather @ 81,
    Master @ 82,
    CachesData @ 83,
    AdapterScansDown @ 84,
    AtdiskPrimaryClaimed @ 85,
    AtdiskSecondaryClaimed @ 86,
    Dma32BitAddresses @ 87,
    DemandMode @ 88,
    MapBuffers @ 89,
    NeedPhysicalAddresses @ 90,
    TaggedQueuing @ 91,
    AutoRequestSense @ 92,
    MultipleRequestPerLu @ 93,
    ReceiveEvent @ 94,
    RealModeInitialized @ 95,
    BufferAccessScsiPortControlled @ 96,
    MaximumNumberOfTargets @ 97,
    SrbType @ 98,
    AddressType @ 99,
    SlotNumber @ 100,
    BusInterruptLevel2 @ 104,
    BusInterruptVector2 @ 108,
    InterruptMode2 @ 112,
    DmaChannel2 @ 116,
    DmaPort2 @ 120,
    DmaWidth2 @ 124,
    DmaSpeed2 @ 128,
    DeviceExtensionSize @ 132,
    SpecificLuExtensionSize @ 136,
    SrbExtensionSize @ 140,
    Dma64BitAddresses @ 144,
    ResetTargetSupported @ 145,
    MaximumNumberOfLogicalUnits @ 146,
    WmiDataProvider @ 147,
    SynchronizationModel @ 148,
    HwMSInterruptRoutine @ 152,
    InterruptSynchronizationMode @ 160,
    DumpRegion @ 168,
    RequestedDumpBufferSize @ 192,
    VirtualDevice @ 196,
    DumpMode @ 197,
    DmaAddressWidth @ 198,
    ExtendedFlags1 @ 200,
    MaxNumberOfIO @ 204,
    MaxIOsPerLun @ 208,
    InitialLunQueueDepth @ 212,
    BusResetHoldTime @ 216,
    FeatureSupport @ 220,
});

/// `PERF_CONFIGURATION_DATA`: the options of StorPortInitializePerfOpts.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct PERF_CONFIGURATION_DATA {
    pub Version: u32,
    pub Size: u32,
    pub Flags: u32,
    pub ConcurrentChannels: u32,
    pub FirstRedirectionMessageNumber: u32,
    pub LastRedirectionMessageNumber: u32,
    pub DeviceNode: u32,
    pub Reserved: u32,
    pub MessageTargets: *mut c_void,
}

assert_layout!(PERF_CONFIGURATION_DATA, size 40, align 8, {
    Version @ 0,
    Size @ 4,
    Flags @ 8,
    ConcurrentChannels @ 12,
    FirstRedirectionMessageNumber @ 16,
    LastRedirectionMessageNumber @ 20,
    DeviceNode @ 24,
    Reserved @ 28,
    MessageTargets @ 32,
});

/// `SCSI_SUPPORTED_CONTROL_TYPE_LIST`: the head of the list that ScsiQuerySupportedControlTypes fills; `MaxControlType` booleans follow.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct SCSI_SUPPORTED_CONTROL_TYPE_LIST {
    pub MaxControlType: u32,
    pub SupportedTypeList: [u8; 0],
}

assert_layout!(SCSI_SUPPORTED_CONTROL_TYPE_LIST, size 4, align 4, {
    MaxControlType @ 0,
    SupportedTypeList @ 4,
});

/// `STOR_DEVICE_CAPABILITIES_EX`: the answer to StorQueryCapabilities; `Flags` is the word of bit fields (see [`crate::constant::capability`]).
#[repr(C)]
#[derive(Clone, Copy)]
pub struct STOR_DEVICE_CAPABILITIES_EX {
    pub Version: u16,
    pub Size: u16,
    pub Flags: u32,
    pub Address: u32,
    pub UINumber: u32,
    pub Reserved1: [u32; 2],
}

assert_layout!(STOR_DEVICE_CAPABILITIES_EX, size 24, align 4, {
    Version @ 0,
    Size @ 2,
    Flags @ 4,
    Address @ 8,
    UINumber @ 12,
    Reserved1 @ 16,
});

/// `STOR_ADDR_BTL8`: bus, target and LUN of an SRB.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
pub struct STOR_ADDR_BTL8 {
    pub Type: u16,
    pub Port: u16,
    pub AddressLength: u32,
    pub Path: u8,
    pub Target: u8,
    pub Lun: u8,
    pub Reserved: u8,
}

assert_layout!(STOR_ADDR_BTL8, size 16, align 8, {
    Type @ 0,
    Port @ 2,
    AddressLength @ 4,
    Path @ 8,
    Target @ 9,
    Lun @ 10,
    Reserved @ 11,
});

/// `STOR_DPC`: a DPC object of the port driver.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct STOR_DPC {
    pub Dpc: [u64; 8],
    pub Lock: usize,
}

assert_layout!(STOR_DPC, size 72, align 8, {
    Dpc @ 0,
    Lock @ 64,
});
