//! What miniports hand to NDIS and get from it: `ndis.h`.

use super::oid::NDIS_OID_REQUEST;
use super::{NDIS_OBJECT_HEADER, NDIS_OFFLOAD, NDIS_STATUS, NET_BUFFER_LIST};
use crate::nt::base::{GUID, UNICODE_STRING};
use crate::nt::io::{DRIVER_OBJECT, IRP};
use crate::nt::ke::{KSPIN_LOCK, PVOID};

/// MiniportSetOptions: PASSIVE_LEVEL.
pub type SET_OPTIONS_HANDLER =
    unsafe extern "win64" fn(driver: PVOID, context: PVOID) -> NDIS_STATUS;
/// MiniportInitializeEx: PASSIVE_LEVEL.
pub type MINIPORT_INITIALIZE_HANDLER = unsafe extern "win64" fn(
    adapter: PVOID,
    driver_context: PVOID,
    parameters: *mut NDIS_MINIPORT_INIT_PARAMETERS,
) -> NDIS_STATUS;
/// MiniportHaltEx: PASSIVE_LEVEL.
pub type MINIPORT_HALT_HANDLER = unsafe extern "win64" fn(context: PVOID, action: u32);
/// MiniportDriverUnload: PASSIVE_LEVEL.
pub type MINIPORT_UNLOAD = unsafe extern "win64" fn(driver: *mut DRIVER_OBJECT);
/// MiniportPause: PASSIVE_LEVEL.
pub type MINIPORT_PAUSE_HANDLER = unsafe extern "win64" fn(
    context: PVOID,
    parameters: *mut NDIS_MINIPORT_PAUSE_PARAMETERS,
) -> NDIS_STATUS;
/// MiniportRestart: PASSIVE_LEVEL.
pub type MINIPORT_RESTART_HANDLER = unsafe extern "win64" fn(
    context: PVOID,
    parameters: *mut NDIS_MINIPORT_RESTART_PARAMETERS,
) -> NDIS_STATUS;
/// MiniportOidRequest: PASSIVE_LEVEL; direct and synchronous ones at most DISPATCH_LEVEL.
pub type MINIPORT_OID_REQUEST_HANDLER =
    unsafe extern "win64" fn(context: PVOID, request: *mut NDIS_OID_REQUEST) -> NDIS_STATUS;
/// MiniportSendNetBufferLists: at most DISPATCH_LEVEL.
pub type MINIPORT_SEND_NET_BUFFER_LISTS_HANDLER =
    unsafe extern "win64" fn(context: PVOID, lists: *mut NET_BUFFER_LIST, port: u32, flags: u32);
/// MiniportReturnNetBufferLists: at most DISPATCH_LEVEL.
pub type MINIPORT_RETURN_NET_BUFFER_LISTS_HANDLER =
    unsafe extern "win64" fn(context: PVOID, lists: *mut NET_BUFFER_LIST, flags: u32);
/// MiniportCancelSend: at most DISPATCH_LEVEL.
pub type MINIPORT_CANCEL_SEND_HANDLER = unsafe extern "win64" fn(context: PVOID, id: PVOID);
/// MiniportCheckForHangEx: PASSIVE_LEVEL.
pub type MINIPORT_CHECK_FOR_HANG_HANDLER = unsafe extern "win64" fn(context: PVOID) -> u8;
/// MiniportResetEx: at most DISPATCH_LEVEL.
pub type MINIPORT_RESET_HANDLER =
    unsafe extern "win64" fn(context: PVOID, addressing: *mut u8) -> NDIS_STATUS;
/// MiniportDevicePnPEventNotify: PASSIVE_LEVEL.
pub type MINIPORT_DEVICE_PNP_EVENT_NOTIFY_HANDLER =
    unsafe extern "win64" fn(context: PVOID, event: *mut NET_DEVICE_PNP_EVENT);
/// MiniportShutdownEx: PASSIVE_LEVEL, or HIGH_LEVEL in a bug check.
pub type MINIPORT_SHUTDOWN_HANDLER = unsafe extern "win64" fn(context: PVOID, action: u32);
/// MiniportCancelOidRequest: at most DISPATCH_LEVEL.
pub type MINIPORT_CANCEL_OID_REQUEST_HANDLER = unsafe extern "win64" fn(context: PVOID, id: PVOID);
/// MiniportAddDevice: PASSIVE_LEVEL.
pub type MINIPORT_ADD_DEVICE_HANDLER =
    unsafe extern "win64" fn(adapter: PVOID, driver_context: PVOID) -> NDIS_STATUS;
/// MiniportRemoveDevice: PASSIVE_LEVEL.
pub type MINIPORT_REMOVE_DEVICE_HANDLER = unsafe extern "win64" fn(context: PVOID);
/// MiniportFilterResourceRequirements and MiniportStartDevice: PASSIVE_LEVEL.
pub type MINIPORT_PNP_IRP_HANDLER =
    unsafe extern "win64" fn(context: PVOID, irp: *mut IRP) -> NDIS_STATUS;
/// NetTimerCallback: DISPATCH_LEVEL.
pub type NDIS_TIMER_FUNCTION =
    unsafe extern "win64" fn(specific1: PVOID, context: PVOID, specific2: PVOID, specific3: PVOID);
/// NdisInterfaceIoWorkItem: PASSIVE_LEVEL.
pub type NDIS_IO_WORKITEM_ROUTINE = unsafe extern "win64" fn(context: PVOID, item: PVOID);

/// A miniport driver's routines; revision 2 ends before `SynchronousOidRequestHandler`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct NDIS_MINIPORT_DRIVER_CHARACTERISTICS {
    pub Header: NDIS_OBJECT_HEADER,
    pub MajorNdisVersion: u8,
    pub MinorNdisVersion: u8,
    pub MajorDriverVersion: u8,
    pub MinorDriverVersion: u8,
    pub Flags: u32,
    pub SetOptionsHandler: Option<SET_OPTIONS_HANDLER>,
    pub InitializeHandlerEx: Option<MINIPORT_INITIALIZE_HANDLER>,
    pub HaltHandlerEx: Option<MINIPORT_HALT_HANDLER>,
    pub UnloadHandler: Option<MINIPORT_UNLOAD>,
    pub PauseHandler: Option<MINIPORT_PAUSE_HANDLER>,
    pub RestartHandler: Option<MINIPORT_RESTART_HANDLER>,
    pub OidRequestHandler: Option<MINIPORT_OID_REQUEST_HANDLER>,
    pub SendNetBufferListsHandler: Option<MINIPORT_SEND_NET_BUFFER_LISTS_HANDLER>,
    pub ReturnNetBufferListsHandler: Option<MINIPORT_RETURN_NET_BUFFER_LISTS_HANDLER>,
    pub CancelSendHandler: Option<MINIPORT_CANCEL_SEND_HANDLER>,
    pub CheckForHangHandlerEx: Option<MINIPORT_CHECK_FOR_HANG_HANDLER>,
    pub ResetHandlerEx: Option<MINIPORT_RESET_HANDLER>,
    pub DevicePnPEventNotifyHandler: Option<MINIPORT_DEVICE_PNP_EVENT_NOTIFY_HANDLER>,
    pub ShutdownHandlerEx: Option<MINIPORT_SHUTDOWN_HANDLER>,
    pub CancelOidRequestHandler: Option<MINIPORT_CANCEL_OID_REQUEST_HANDLER>,
    pub DirectOidRequestHandler: Option<MINIPORT_OID_REQUEST_HANDLER>,
    pub CancelDirectOidRequestHandler: Option<MINIPORT_CANCEL_OID_REQUEST_HANDLER>,
    pub SynchronousOidRequestHandler: Option<MINIPORT_OID_REQUEST_HANDLER>,
}
assert_layout!(NDIS_MINIPORT_DRIVER_CHARACTERISTICS, 160, 8, Header @ 0, MajorNdisVersion @ 4, MinorNdisVersion @ 5,
    MajorDriverVersion @ 6, MinorDriverVersion @ 7, Flags @ 8, SetOptionsHandler @ 16, InitializeHandlerEx @ 24,
    HaltHandlerEx @ 32, UnloadHandler @ 40, PauseHandler @ 48, RestartHandler @ 56, OidRequestHandler @ 64,
    SendNetBufferListsHandler @ 72, ReturnNetBufferListsHandler @ 80, CancelSendHandler @ 88, CheckForHangHandlerEx
    @ 96, ResetHandlerEx @ 104, DevicePnPEventNotifyHandler @ 112, ShutdownHandlerEx @ 120, CancelOidRequestHandler
    @ 128, DirectOidRequestHandler @ 136, CancelDirectOidRequestHandler @ 144, SynchronousOidRequestHandler @ 152);

/// What MiniportInitializeEx is told.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct NDIS_MINIPORT_INIT_PARAMETERS {
    pub Header: NDIS_OBJECT_HEADER,
    pub Flags: u32,
    pub AllocatedResources: PVOID,
    pub IMDeviceInstanceContext: PVOID,
    pub MiniportAddDeviceContext: PVOID,
    pub IfIndex: u32,
    pub NetLuid: u64,
    pub DefaultPortAuthStates: PVOID,
    pub PciDeviceCustomProperties: PVOID,
}
assert_layout!(NDIS_MINIPORT_INIT_PARAMETERS, 64, 8, Header @ 0, Flags @ 4, AllocatedResources @ 8,
    IMDeviceInstanceContext @ 16, MiniportAddDeviceContext @ 24, IfIndex @ 32, NetLuid @ 40, DefaultPortAuthStates @
    48, PciDeviceCustomProperties @ 56);

/// Attributes that MiniportAddDevice sets.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct NDIS_MINIPORT_ADD_DEVICE_REGISTRATION_ATTRIBUTES {
    pub Header: NDIS_OBJECT_HEADER,
    pub MiniportAddDeviceContext: PVOID,
    pub Flags: u32,
}
assert_layout!(NDIS_MINIPORT_ADD_DEVICE_REGISTRATION_ATTRIBUTES, 24, 8, Header @ 0, MiniportAddDeviceContext @ 8,
    Flags @ 16);

/// The first attributes that MiniportInitializeEx sets.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct NDIS_MINIPORT_ADAPTER_REGISTRATION_ATTRIBUTES {
    pub Header: NDIS_OBJECT_HEADER,
    pub MiniportAdapterContext: PVOID,
    pub AttributeFlags: u32,
    pub CheckForHangTimeInSeconds: u32,
    pub InterfaceType: u32,
}
assert_layout!(NDIS_MINIPORT_ADAPTER_REGISTRATION_ATTRIBUTES, 32, 8, Header @ 0, MiniportAdapterContext @ 8,
    AttributeFlags @ 16, CheckForHangTimeInSeconds @ 20, InterfaceType @ 24);

/// The attributes that every adapter has to set.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
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
    pub PowerManagementCapabilities: PVOID,
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
assert_layout!(NDIS_MINIPORT_ADAPTER_GENERAL_ATTRIBUTES, 224, 8, Header @ 0, Flags @ 4, MediaType @ 8,
    PhysicalMediumType @ 12, MtuSize @ 16, MaxXmitLinkSpeed @ 24, XmitLinkSpeed @ 32, MaxRcvLinkSpeed @ 40,
    RcvLinkSpeed @ 48, MediaConnectState @ 56, MediaDuplexState @ 60, LookaheadSize @ 64,
    PowerManagementCapabilities @ 72, MacOptions @ 80, SupportedPacketFilters @ 84, MaxMulticastListSize @ 88,
    MacAddressLength @ 92, PermanentMacAddress @ 94, CurrentMacAddress @ 126, RecvScaleCapabilities @ 160,
    AccessType @ 168, DirectionType @ 172, ConnectionType @ 176, IfType @ 180, IfConnectorPresent @ 182,
    SupportedStatistics @ 184, SupportedPauseFunctions @ 188, DataBackFillSize @ 192, ContextBackFillSize @ 196,
    SupportedOidList @ 200, SupportedOidListLength @ 208, AutoNegotiationFlags @ 212, PowerManagementCapabilitiesEx
    @ 216);

/// What an adapter offloads.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct NDIS_MINIPORT_ADAPTER_OFFLOAD_ATTRIBUTES {
    pub Header: NDIS_OBJECT_HEADER,
    pub DefaultOffloadConfiguration: *mut NDIS_OFFLOAD,
    pub HardwareOffloadCapabilities: *mut NDIS_OFFLOAD,
    pub DefaultTcpConnectionOffloadConfiguration: PVOID,
    pub TcpConnectionOffloadHardwareCapabilities: PVOID,
}
assert_layout!(NDIS_MINIPORT_ADAPTER_OFFLOAD_ATTRIBUTES, 40, 8, Header @ 0, DefaultOffloadConfiguration @ 8,
    HardwareOffloadCapabilities @ 16, DefaultTcpConnectionOffloadConfiguration @ 24,
    TcpConnectionOffloadHardwareCapabilities @ 32);

/// What an adapter does in low power.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
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
assert_layout!(NDIS_PM_CAPABILITIES, 60, 4, Header @ 0, Flags @ 4, SupportedWoLPacketPatterns @ 8,
    NumTotalWoLPatterns @ 12, MaxWoLPatternSize @ 16, MaxWoLPatternOffset @ 20, MaxWoLPacketSaveBuffer @ 24,
    SupportedProtocolOffloads @ 28, NumArpOffloadIPv4Addresses @ 32, NumNSOffloadIPv6Addresses @ 36,
    MinMagicPacketWakeUp @ 40, MinPatternWakeUp @ 44, MinLinkChangeWakeUp @ 48, SupportedWakeUpEvents @ 52,
    MediaSpecificWakeUpEvents @ 56);

/// What an adapter does of RSS.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct NDIS_RECEIVE_SCALE_CAPABILITIES {
    pub Header: NDIS_OBJECT_HEADER,
    pub CapabilitiesFlags: u32,
    pub NumberOfInterruptMessages: u32,
    pub NumberOfReceiveQueues: u32,
    pub NumberOfIndirectionTableEntries: u16,
}
assert_layout!(NDIS_RECEIVE_SCALE_CAPABILITIES, 20, 4, Header @ 0, CapabilitiesFlags @ 4, NumberOfInterruptMessages
    @ 8, NumberOfReceiveQueues @ 12, NumberOfIndirectionTableEntries @ 16);

/// A status indication.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct NDIS_STATUS_INDICATION {
    pub Header: NDIS_OBJECT_HEADER,
    pub SourceHandle: PVOID,
    pub PortNumber: u32,
    pub StatusCode: NDIS_STATUS,
    pub Flags: u32,
    pub DestinationHandle: PVOID,
    pub RequestId: PVOID,
    pub StatusBuffer: PVOID,
    pub StatusBufferSize: u32,
    pub Guid: GUID,
    pub NdisReserved: [PVOID; 4],
}
assert_layout!(NDIS_STATUS_INDICATION, 112, 8, Header @ 0, SourceHandle @ 8, PortNumber @ 16, StatusCode @ 20, Flags
    @ 24, DestinationHandle @ 32, RequestId @ 40, StatusBuffer @ 48, StatusBufferSize @ 56, Guid @ 60, NdisReserved
    @ 80);

/// The buffer of NDIS_STATUS_LINK_STATE.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct NDIS_LINK_STATE {
    pub Header: NDIS_OBJECT_HEADER,
    pub MediaConnectState: u32,
    pub MediaDuplexState: u32,
    pub XmitLinkSpeed: u64,
    pub RcvLinkSpeed: u64,
    pub PauseFunctions: u32,
    pub AutoNegotiationFlags: u32,
}
assert_layout!(NDIS_LINK_STATE, 40, 8, Header @ 0, MediaConnectState @ 4, MediaDuplexState @ 8, XmitLinkSpeed @ 16,
    RcvLinkSpeed @ 24, PauseFunctions @ 32, AutoNegotiationFlags @ 36);

/// What NdisOpenConfigurationEx opens.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct NDIS_CONFIGURATION_OBJECT {
    pub Header: NDIS_OBJECT_HEADER,
    pub NdisHandle: PVOID,
    pub Flags: u32,
}
assert_layout!(NDIS_CONFIGURATION_OBJECT, 24, 8, Header @ 0, NdisHandle @ 8, Flags @ 16);

/// A value of the registry; `Data` is the integer's or the string's place.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct NDIS_CONFIGURATION_PARAMETER {
    pub ParameterType: u32,
    pub Data: UNICODE_STRING,
}
assert_layout!(NDIS_CONFIGURATION_PARAMETER, 24, 8, ParameterType @ 0, Data @ 8);

/// What MiniportPause is told.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct NDIS_MINIPORT_PAUSE_PARAMETERS {
    pub Header: NDIS_OBJECT_HEADER,
    pub Flags: u32,
    pub PauseReason: u32,
}
assert_layout!(NDIS_MINIPORT_PAUSE_PARAMETERS, 12, 4, Header @ 0, Flags @ 4, PauseReason @ 8);

/// What MiniportRestart is told.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct NDIS_MINIPORT_RESTART_PARAMETERS {
    pub Header: NDIS_OBJECT_HEADER,
    pub RestartAttributes: *mut NDIS_RESTART_ATTRIBUTES,
    pub Flags: u32,
}
assert_layout!(NDIS_MINIPORT_RESTART_PARAMETERS, 24, 8, Header @ 0, RestartAttributes @ 8, Flags @ 16);

/// One of the attributes that MiniportRestart may correct; `Data` follows.
#[repr(C, align(16))]
#[derive(Clone, Copy, Debug)]
pub struct NDIS_RESTART_ATTRIBUTES {
    pub Next: *mut NDIS_RESTART_ATTRIBUTES,
    pub Oid: u32,
    pub DataLength: u32,
    pub Data: [u8; 1],
}
assert_layout!(NDIS_RESTART_ATTRIBUTES, 32, 16, Next @ 0, Oid @ 8, DataLength @ 12, Data @ 16);

/// General attributes as they are at a restart.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct NDIS_RESTART_GENERAL_ATTRIBUTES {
    pub Header: NDIS_OBJECT_HEADER,
    pub MtuSize: u32,
    pub MaxXmitLinkSpeed: u64,
    pub MaxRcvLinkSpeed: u64,
    pub LookaheadSize: u32,
    pub MacOptions: u32,
    pub SupportedPacketFilters: u32,
    pub MaxMulticastListSize: u32,
    pub RecvScaleCapabilities: *mut NDIS_RECEIVE_SCALE_CAPABILITIES,
    pub AccessType: u32,
    pub Flags: u32,
    pub ConnectionType: u32,
    pub SupportedStatistics: u32,
    pub DataBackFillSize: u32,
    pub ContextBackFillSize: u32,
    pub SupportedOidList: *mut u32,
    pub SupportedOidListLength: u32,
    pub MaxLookaheadSizeAccessed: u32,
}
assert_layout!(NDIS_RESTART_GENERAL_ATTRIBUTES, 88, 8, Header @ 0, MtuSize @ 4, MaxXmitLinkSpeed @ 8,
    MaxRcvLinkSpeed @ 16, LookaheadSize @ 24, MacOptions @ 28, SupportedPacketFilters @ 32, MaxMulticastListSize @
    36, RecvScaleCapabilities @ 40, AccessType @ 48, Flags @ 52, ConnectionType @ 56, SupportedStatistics @ 60,
    DataBackFillSize @ 64, ContextBackFillSize @ 68, SupportedOidList @ 72, SupportedOidListLength @ 80,
    MaxLookaheadSizeAccessed @ 84);

/// What MiniportDevicePnPEventNotify is told.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct NET_DEVICE_PNP_EVENT {
    pub Header: NDIS_OBJECT_HEADER,
    pub PortNumber: u32,
    pub DevicePnPEvent: u32,
    pub InformationBuffer: PVOID,
    pub InformationBufferLength: u32,
    pub NdisReserved: [u8; 16],
}
assert_layout!(NET_DEVICE_PNP_EVENT, 48, 8, Header @ 0, PortNumber @ 4, DevicePnPEvent @ 8, InformationBuffer @ 16,
    InformationBufferLength @ 24, NdisReserved @ 28);

/// What NdisMRegisterScatterGatherDma is told.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct NDIS_SG_DMA_DESCRIPTION {
    pub Header: NDIS_OBJECT_HEADER,
    pub Flags: u32,
    pub MaximumPhysicalMapping: u32,
    pub ProcessSGListHandler: PVOID,
    pub SharedMemAllocateCompleteHandler: PVOID,
    pub ScatterGatherListSize: u32,
    pub PdoOverride: PVOID,
}
assert_layout!(NDIS_SG_DMA_DESCRIPTION, 48, 8, Header @ 0, Flags @ 4, MaximumPhysicalMapping @ 8,
    ProcessSGListHandler @ 16, SharedMemAllocateCompleteHandler @ 24, ScatterGatherListSize @ 32, PdoOverride @ 40);

/// Routines of a miniport that takes part in PnP.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct NDIS_MINIPORT_PNP_CHARACTERISTICS {
    pub Header: NDIS_OBJECT_HEADER,
    pub MiniportAddDeviceHandler: Option<MINIPORT_ADD_DEVICE_HANDLER>,
    pub MiniportRemoveDeviceHandler: Option<MINIPORT_REMOVE_DEVICE_HANDLER>,
    pub MiniportFilterResourceRequirementsHandler: Option<MINIPORT_PNP_IRP_HANDLER>,
    pub MiniportStartDeviceHandler: Option<MINIPORT_PNP_IRP_HANDLER>,
    pub Flags: u32,
}
assert_layout!(NDIS_MINIPORT_PNP_CHARACTERISTICS, 48, 8, Header @ 0, MiniportAddDeviceHandler @ 8,
    MiniportRemoveDeviceHandler @ 16, MiniportFilterResourceRequirementsHandler @ 24, MiniportStartDeviceHandler @
    32, Flags @ 40);

/// What NdisAllocateTimerObject is told.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct NDIS_TIMER_CHARACTERISTICS {
    pub Header: NDIS_OBJECT_HEADER,
    pub AllocationTag: u32,
    pub TimerFunction: Option<NDIS_TIMER_FUNCTION>,
    pub FunctionContext: PVOID,
}
assert_layout!(NDIS_TIMER_CHARACTERISTICS, 24, 8, Header @ 0, AllocationTag @ 4, TimerFunction @ 8, FunctionContext
    @ 16);

/// A holder's place in an NDIS_RW_LOCK_EX.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct LOCK_STATE_EX {
    pub OldIrql: u8,
    pub LockState: u8,
    pub Flags: u8,
}
assert_layout!(LOCK_STATE_EX, 3, 1, OldIrql @ 0, LockState @ 1, Flags @ 2);

/// A spin lock with the level to go back to.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct NDIS_SPIN_LOCK {
    pub SpinLock: KSPIN_LOCK,
    pub OldIrql: u8,
}
assert_layout!(NDIS_SPIN_LOCK, 16, 8, SpinLock @ 0, OldIrql @ 8);
