//! What a miniport and NDIS tell each other when a driver registers and an adapter starts and stops.

use core::ffi::c_void;

use crate::NDIS_HANDLE;
use crate::callback::*;
use crate::layout::{assert_layout, revision_size};
use crate::object::NDIS_OBJECT_HEADER;
use crate::offload::NDIS_OFFLOAD;
use crate::rss::NDIS_RECEIVE_SCALE_CAPABILITIES;

/// `NDIS_MINIPORT_DRIVER_CHARACTERISTICS`: what DriverEntry hands to NdisMRegisterMiniportDriver. Routines that this project's
/// miniport does without are plain pointers.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct NDIS_MINIPORT_DRIVER_CHARACTERISTICS {
    pub Header: NDIS_OBJECT_HEADER,
    pub MajorNdisVersion: u8,
    pub MinorNdisVersion: u8,
    pub MajorDriverVersion: u8,
    pub MinorDriverVersion: u8,
    pub Flags: u32,
    pub SetOptionsHandler: *mut c_void,
    pub InitializeHandlerEx: Option<MINIPORT_INITIALIZE_HANDLER>,
    pub HaltHandlerEx: Option<MINIPORT_HALT_HANDLER>,
    pub UnloadHandler: Option<MINIPORT_DRIVER_UNLOAD>,
    pub PauseHandler: Option<MINIPORT_PAUSE_HANDLER>,
    pub RestartHandler: Option<MINIPORT_RESTART_HANDLER>,
    pub OidRequestHandler: Option<MINIPORT_OID_REQUEST_HANDLER>,
    pub SendNetBufferListsHandler: Option<MINIPORT_SEND_NET_BUFFER_LISTS_HANDLER>,
    pub ReturnNetBufferListsHandler: Option<MINIPORT_RETURN_NET_BUFFER_LISTS_HANDLER>,
    pub CancelSendHandler: Option<MINIPORT_CANCEL_SEND_HANDLER>,
    pub CheckForHangHandlerEx: *mut c_void,
    pub ResetHandlerEx: *mut c_void,
    pub DevicePnPEventNotifyHandler: Option<MINIPORT_DEVICE_PNP_EVENT_NOTIFY_HANDLER>,
    pub ShutdownHandlerEx: Option<MINIPORT_SHUTDOWN_HANDLER>,
    pub CancelOidRequestHandler: Option<MINIPORT_CANCEL_OID_REQUEST_HANDLER>,
    pub DirectOidRequestHandler: *mut c_void,
    pub CancelDirectOidRequestHandler: *mut c_void,
    pub SynchronousOidRequestHandler: *mut c_void,
}

assert_layout!(NDIS_MINIPORT_DRIVER_CHARACTERISTICS, size 160, align 8, {
    Header @ 0,
    MajorNdisVersion @ 4,
    MinorNdisVersion @ 5,
    MajorDriverVersion @ 6,
    MinorDriverVersion @ 7,
    Flags @ 8,
    SetOptionsHandler @ 16,
    InitializeHandlerEx @ 24,
    HaltHandlerEx @ 32,
    UnloadHandler @ 40,
    PauseHandler @ 48,
    RestartHandler @ 56,
    OidRequestHandler @ 64,
    SendNetBufferListsHandler @ 72,
    ReturnNetBufferListsHandler @ 80,
    CancelSendHandler @ 88,
    CheckForHangHandlerEx @ 96,
    ResetHandlerEx @ 104,
    DevicePnPEventNotifyHandler @ 112,
    ShutdownHandlerEx @ 120,
    CancelOidRequestHandler @ 128,
    DirectOidRequestHandler @ 136,
    CancelDirectOidRequestHandler @ 144,
    SynchronousOidRequestHandler @ 152,
});

/// `NDIS_MINIPORT_INIT_PARAMETERS`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct NDIS_MINIPORT_INIT_PARAMETERS {
    pub Header: NDIS_OBJECT_HEADER,
    pub Flags: u32,
    pub AllocatedResources: *mut c_void,
    pub IMDeviceInstanceContext: NDIS_HANDLE,
    pub MiniportAddDeviceContext: NDIS_HANDLE,
    pub IfIndex: u32,
    pub NetLuid: u64,
    pub DefaultPortAuthStates: *mut c_void,
    pub PciDeviceCustomProperties: *mut c_void,
}

assert_layout!(NDIS_MINIPORT_INIT_PARAMETERS, size 64, align 8, {
    Header @ 0,
    Flags @ 4,
    AllocatedResources @ 8,
    IMDeviceInstanceContext @ 16,
    MiniportAddDeviceContext @ 24,
    IfIndex @ 32,
    NetLuid @ 40,
    DefaultPortAuthStates @ 48,
    PciDeviceCustomProperties @ 56,
});

/// `NDIS_MINIPORT_ADAPTER_REGISTRATION_ATTRIBUTES`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct NDIS_MINIPORT_ADAPTER_REGISTRATION_ATTRIBUTES {
    pub Header: NDIS_OBJECT_HEADER,
    pub MiniportAdapterContext: NDIS_HANDLE,
    pub AttributeFlags: u32,
    pub CheckForHangTimeInSeconds: u32,
    pub InterfaceType: u32,
}

assert_layout!(NDIS_MINIPORT_ADAPTER_REGISTRATION_ATTRIBUTES, size 32, align 8, {
    Header @ 0,
    MiniportAdapterContext @ 8,
    AttributeFlags @ 16,
    CheckForHangTimeInSeconds @ 20,
    InterfaceType @ 24,
});

/// `NDIS_MINIPORT_ADAPTER_GENERAL_ATTRIBUTES`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct NDIS_MINIPORT_ADAPTER_GENERAL_ATTRIBUTES {
    pub Header: NDIS_OBJECT_HEADER,
    pub Flags: u32,
    pub MediaType: u32,
    pub PhysicalMediumType: u32,
    pub MtuSize: u32,
    pub MaxXmitLinkSpeed: u64,
    pub XmitLinkSpeed: u64,
    pub MaxRcvLinkSpeed: u64,
    pub RcvLinkSpeed: u64,
    pub MediaConnectState: u32,
    pub MediaDuplexState: u32,
    pub LookaheadSize: u32,
    pub PowerManagementCapabilities: *mut c_void,
    pub MacOptions: u32,
    pub SupportedPacketFilters: u32,
    pub MaxMulticastListSize: u32,
    pub MacAddressLength: u16,
    pub PermanentMacAddress: [u8; 32],
    pub CurrentMacAddress: [u8; 32],
    pub RecvScaleCapabilities: *mut NDIS_RECEIVE_SCALE_CAPABILITIES,
    pub AccessType: u32,
    pub DirectionType: u32,
    pub ConnectionType: u32,
    pub IfType: u16,
    pub IfConnectorPresent: u8,
    pub SupportedStatistics: u32,
    pub SupportedPauseFunctions: u32,
    pub DataBackFillSize: u32,
    pub ContextBackFillSize: u32,
    pub SupportedOidList: *mut u32,
    pub SupportedOidListLength: u32,
    pub AutoNegotiationFlags: u32,
    pub PowerManagementCapabilitiesEx: *mut NDIS_PM_CAPABILITIES,
}

assert_layout!(NDIS_MINIPORT_ADAPTER_GENERAL_ATTRIBUTES, size 224, align 8, {
    Header @ 0,
    Flags @ 4,
    MediaType @ 8,
    PhysicalMediumType @ 12,
    MtuSize @ 16,
    MaxXmitLinkSpeed @ 24,
    XmitLinkSpeed @ 32,
    MaxRcvLinkSpeed @ 40,
    RcvLinkSpeed @ 48,
    MediaConnectState @ 56,
    MediaDuplexState @ 60,
    LookaheadSize @ 64,
    PowerManagementCapabilities @ 72,
    MacOptions @ 80,
    SupportedPacketFilters @ 84,
    MaxMulticastListSize @ 88,
    MacAddressLength @ 92,
    PermanentMacAddress @ 94,
    CurrentMacAddress @ 126,
    RecvScaleCapabilities @ 160,
    AccessType @ 168,
    DirectionType @ 172,
    ConnectionType @ 176,
    IfType @ 180,
    IfConnectorPresent @ 182,
    SupportedStatistics @ 184,
    SupportedPauseFunctions @ 188,
    DataBackFillSize @ 192,
    ContextBackFillSize @ 196,
    SupportedOidList @ 200,
    SupportedOidListLength @ 208,
    AutoNegotiationFlags @ 212,
    PowerManagementCapabilitiesEx @ 216,
});

/// `NDIS_MINIPORT_ADAPTER_OFFLOAD_ATTRIBUTES`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct NDIS_MINIPORT_ADAPTER_OFFLOAD_ATTRIBUTES {
    pub Header: NDIS_OBJECT_HEADER,
    pub DefaultOffloadConfiguration: *mut NDIS_OFFLOAD,
    pub HardwareOffloadCapabilities: *mut NDIS_OFFLOAD,
    pub DefaultTcpConnectionOffloadConfiguration: *mut c_void,
    pub TcpConnectionOffloadHardwareCapabilities: *mut c_void,
}

assert_layout!(NDIS_MINIPORT_ADAPTER_OFFLOAD_ATTRIBUTES, size 40, align 8, {
    Header @ 0,
    DefaultOffloadConfiguration @ 8,
    HardwareOffloadCapabilities @ 16,
    DefaultTcpConnectionOffloadConfiguration @ 24,
    TcpConnectionOffloadHardwareCapabilities @ 32,
});

/// `NDIS_PM_CAPABILITIES`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct NDIS_PM_CAPABILITIES {
    pub Header: NDIS_OBJECT_HEADER,
    pub Flags: u32,
    pub SupportedWoLPacketPatterns: u32,
    pub NumTotalWoLPatterns: u32,
    pub MaxWoLPatternSize: u32,
    pub MaxWoLPatternOffset: u32,
    pub MaxWoLPacketSaveBuffer: u32,
    pub SupportedProtocolOffloads: u32,
    pub NumArpOffloadIPv4Addresses: u32,
    pub NumNSOffloadIPv6Addresses: u32,
    pub MinMagicPacketWakeUp: u32,
    pub MinPatternWakeUp: u32,
    pub MinLinkChangeWakeUp: u32,
    pub SupportedWakeUpEvents: u32,
    pub MediaSpecificWakeUpEvents: u32,
}

assert_layout!(NDIS_PM_CAPABILITIES, size 60, align 4, {
    Header @ 0,
    Flags @ 4,
    SupportedWoLPacketPatterns @ 8,
    NumTotalWoLPatterns @ 12,
    MaxWoLPatternSize @ 16,
    MaxWoLPatternOffset @ 20,
    MaxWoLPacketSaveBuffer @ 24,
    SupportedProtocolOffloads @ 28,
    NumArpOffloadIPv4Addresses @ 32,
    NumNSOffloadIPv6Addresses @ 36,
    MinMagicPacketWakeUp @ 40,
    MinPatternWakeUp @ 44,
    MinLinkChangeWakeUp @ 48,
    SupportedWakeUpEvents @ 52,
    MediaSpecificWakeUpEvents @ 56,
});

/// `NDIS_MINIPORT_PAUSE_PARAMETERS`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct NDIS_MINIPORT_PAUSE_PARAMETERS {
    pub Header: NDIS_OBJECT_HEADER,
    pub Flags: u32,
    pub PauseReason: u32,
}

assert_layout!(NDIS_MINIPORT_PAUSE_PARAMETERS, size 12, align 4, {
    Header @ 0,
    Flags @ 4,
    PauseReason @ 8,
});

/// `NDIS_MINIPORT_RESTART_PARAMETERS`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct NDIS_MINIPORT_RESTART_PARAMETERS {
    pub Header: NDIS_OBJECT_HEADER,
    pub RestartAttributes: *mut c_void,
    pub Flags: u32,
}

assert_layout!(NDIS_MINIPORT_RESTART_PARAMETERS, size 24, align 8, {
    Header @ 0,
    RestartAttributes @ 8,
    Flags @ 16,
});

/// `NET_DEVICE_PNP_EVENT`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct NET_DEVICE_PNP_EVENT {
    pub Header: NDIS_OBJECT_HEADER,
    pub PortNumber: u32,
    pub DevicePnPEvent: u32,
    pub InformationBuffer: *mut c_void,
    pub InformationBufferLength: u32,
    pub NdisReserved: [u8; 16],
}

assert_layout!(NET_DEVICE_PNP_EVENT, size 48, align 8, {
    Header @ 0,
    PortNumber @ 4,
    DevicePnPEvent @ 8,
    InformationBuffer @ 16,
    InformationBufferLength @ 24,
    NdisReserved @ 28,
});

revision_size!(
    /// `NDIS_SIZEOF_MINIPORT_DRIVER_CHARACTERISTICS_REVISION_2`.
    SIZEOF_DRIVER_CHARACTERISTICS_REVISION_2 = 0x98,
    NDIS_MINIPORT_DRIVER_CHARACTERISTICS up to CancelDirectOidRequestHandler: *mut c_void
);
revision_size!(
    /// `NDIS_SIZEOF_MINIPORT_DRIVER_CHARACTERISTICS_REVISION_3`.
    SIZEOF_DRIVER_CHARACTERISTICS_REVISION_3 = 0xA0,
    NDIS_MINIPORT_DRIVER_CHARACTERISTICS up to SynchronousOidRequestHandler: *mut c_void
);
revision_size!(
    /// `NDIS_SIZEOF_MINIPORT_ADAPTER_REGISTRATION_ATTRIBUTES_REVISION_2`.
    SIZEOF_REGISTRATION_ATTRIBUTES_REVISION_2 = 0x1C,
    NDIS_MINIPORT_ADAPTER_REGISTRATION_ATTRIBUTES up to InterfaceType: u32
);
revision_size!(
    /// `NDIS_SIZEOF_MINIPORT_ADAPTER_GENERAL_ATTRIBUTES_REVISION_2`.
    SIZEOF_GENERAL_ATTRIBUTES_REVISION_2 = 0xE0,
    NDIS_MINIPORT_ADAPTER_GENERAL_ATTRIBUTES up to PowerManagementCapabilitiesEx: *mut NDIS_PM_CAPABILITIES
);
revision_size!(
    /// `NDIS_SIZEOF_MINIPORT_ADAPTER_OFFLOAD_ATTRIBUTES_REVISION_1`.
    SIZEOF_OFFLOAD_ATTRIBUTES_REVISION_1 = 0x28,
    NDIS_MINIPORT_ADAPTER_OFFLOAD_ATTRIBUTES up to TcpConnectionOffloadHardwareCapabilities: *mut c_void
);
revision_size!(
    /// `NDIS_SIZEOF_NDIS_PM_CAPABILITIES_REVISION_2`.
    SIZEOF_PM_CAPABILITIES_REVISION_2 = 0x3C,
    NDIS_PM_CAPABILITIES up to MediaSpecificWakeUpEvents: u32
);
