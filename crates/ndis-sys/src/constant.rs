//! Numbers of ndis.h and ntddndis.h, by subject; each is named by its DDI name without the common prefix.
//!
//! Values are those of WDK 10.0.26100.

/// `NDIS_WDM_DRIVER` in the driver characteristics' flags: the driver talks to a bus driver with IRPs.
pub const WDM_DRIVER: u32 = 2;

/// Attributes of an adapter (`NDIS_MINIPORT_ATTRIBUTES_…`).
pub mod attribute {
    /// `NDIS_WDM`.
    pub const NDIS_WDM: u32 = 0x2;
    /// `SURPRISE_REMOVE_OK`.
    pub const SURPRISE_REMOVE_OK: u32 = 0x4;
    /// `NO_HALT_ON_SUSPEND`.
    pub const NO_HALT_ON_SUSPEND: u32 = 0x20;
    /// `NO_PAUSE_ON_SUSPEND`.
    pub const NO_PAUSE_ON_SUSPEND: u32 = 0x100;
}

/// `NdisInterfacePNPBus`, of `NDIS_INTERFACE_TYPE`.
pub const INTERFACE_PNP_BUS: u32 = 15;

/// Media and what an interface is.
pub mod medium {
    /// `NdisMedium802_3`.
    pub const ETHERNET: u32 = 0;
    /// `NdisPhysicalMedium802_3`.
    pub const PHYSICAL_ETHERNET: u32 = 14;
    /// `IF_TYPE_ETHERNET_CSMACD`.
    pub const IF_TYPE_ETHERNET_CSMACD: u16 = 6;
    /// `NET_IF_ACCESS_BROADCAST`.
    pub const ACCESS_BROADCAST: u32 = 2;
    /// `NET_IF_DIRECTION_SENDRECEIVE`.
    pub const DIRECTION_SENDRECEIVE: u32 = 0;
    /// `NET_IF_CONNECTION_DEDICATED`.
    pub const CONNECTION_DEDICATED: u32 = 1;
    /// `MediaConnectStateUnknown`.
    pub const CONNECT_STATE_UNKNOWN: u32 = 0;
    /// `MediaConnectStateConnected`.
    pub const CONNECT_STATE_CONNECTED: u32 = 1;
    /// `MediaConnectStateDisconnected`.
    pub const CONNECT_STATE_DISCONNECTED: u32 = 2;
    /// `MediaDuplexStateUnknown`.
    pub const DUPLEX_STATE_UNKNOWN: u32 = 0;
    /// `MediaDuplexStateFull`.
    pub const DUPLEX_STATE_FULL: u32 = 2;
    /// `NdisPauseFunctionsUnsupported`.
    pub const PAUSE_FUNCTIONS_UNSUPPORTED: u32 = 0;
}

/// What NDIS may assume of an adapter (`NDIS_MAC_OPTION_…`).
pub mod mac_option {
    /// `COPY_LOOKAHEAD_DATA`.
    pub const COPY_LOOKAHEAD_DATA: u32 = 0x1;
    /// `TRANSFERS_NOT_PEND`.
    pub const TRANSFERS_NOT_PEND: u32 = 0x4;
    /// `NO_LOOPBACK`.
    pub const NO_LOOPBACK: u32 = 0x8;
    /// `FULL_DUPLEX`.
    pub const FULL_DUPLEX: u32 = 0x10;
    /// `8021P_PRIORITY`.
    pub const IEEE_8021P_PRIORITY: u32 = 0x40;
    /// `SUPPORTS_MAC_ADDRESS_OVERWRITE`.
    pub const SUPPORTS_MAC_ADDRESS_OVERWRITE: u32 = 0x80;
    /// `8021Q_VLAN`.
    pub const IEEE_8021Q_VLAN: u32 = 0x200;
}

/// Packet filters (`NDIS_PACKET_TYPE_…`).
pub mod packet_type {
    /// `DIRECTED`.
    pub const DIRECTED: u32 = 0x1;
    /// `MULTICAST`.
    pub const MULTICAST: u32 = 0x2;
    /// `ALL_MULTICAST`.
    pub const ALL_MULTICAST: u32 = 0x4;
    /// `BROADCAST`.
    pub const BROADCAST: u32 = 0x8;
    /// `PROMISCUOUS`.
    pub const PROMISCUOUS: u32 = 0x20;
}

/// Which statistics there are (`NDIS_STATISTICS_FLAGS_VALID_…`).
pub mod statistics {
    /// All that `NDIS_STATISTICS_INFO` has: frames and bytes of each cast, both ways, discards, errors, and all bytes.
    pub const ALL: u32 = 0x1
        | 0x2
        | 0x4
        | 0x8
        | 0x10
        | 0x20
        | 0x40
        | 0x80
        | 0x100
        | 0x200
        | 0x400
        | 0x8000
        | 0x1_0000
        | 0x2_0000
        | 0x4_0000
        | 0x8_0000
        | 0x10_0000
        | 0x20_0000;
}

/// `NDIS_REQUEST_TYPE`.
pub mod request_type {
    /// `NdisRequestQueryInformation`.
    pub const QUERY_INFORMATION: u32 = 0;
    /// `NdisRequestSetInformation`.
    pub const SET_INFORMATION: u32 = 1;
    /// `NdisRequestQueryStatistics`.
    pub const QUERY_STATISTICS: u32 = 2;
    /// `NdisRequestMethod`.
    pub const METHOD: u32 = 12;
}

/// `NDIS_PARAMETER_TYPE`.
pub mod parameter {
    /// `NdisParameterInteger`.
    pub const INTEGER: u32 = 0;
    /// `NdisParameterHexInteger`.
    pub const HEX_INTEGER: u32 = 1;
    /// `NdisParameterString`.
    pub const STRING: u32 = 2;
}

/// `NDIS_DEVICE_PNP_EVENT`.
pub mod pnp_event {
    /// `NdisDevicePnPEventSurpriseRemoved`.
    pub const SURPRISE_REMOVED: u32 = 2;
    /// `NdisDevicePnPEventPowerProfileChanged`.
    pub const POWER_PROFILE_CHANGED: u32 = 5;
}

/// `NDIS_HALT_ACTION`.
pub mod halt {
    /// `NdisHaltDeviceDisabled`.
    pub const DEVICE_DISABLED: u32 = 0;
    /// `NdisHaltDevicePoweredDown`.
    pub const DEVICE_POWERED_DOWN: u32 = 2;
    /// `NdisHaltDeviceSurpriseRemoved`.
    pub const DEVICE_SURPRISE_REMOVED: u32 = 3;
    /// `NdisHaltDeviceFailed`.
    pub const DEVICE_FAILED: u32 = 4;
    /// `NdisHaltDeviceInitializationFailed`.
    pub const DEVICE_INITIALIZATION_FAILED: u32 = 5;
    /// `NdisHaltDeviceStopped`.
    pub const DEVICE_STOPPED: u32 = 6;
}

/// `NDIS_SHUTDOWN_ACTION`.
pub mod shutdown {
    /// `NdisShutdownPowerOff`.
    pub const POWER_OFF: u32 = 0;
    /// `NdisShutdownBugCheck`.
    pub const BUG_CHECK: u32 = 1;
}

/// `NDIS_DEVICE_POWER_STATE`.
pub mod power_state {
    /// `NdisDeviceStateUnspecified`.
    pub const UNSPECIFIED: u32 = 0;
    /// `NdisDeviceStateD0`.
    pub const D0: u32 = 1;
    /// `NdisDeviceStateD3`.
    pub const D3: u32 = 4;
}

/// `NdisInterruptModerationNotSupported`, of `NDIS_INTERRUPT_MODERATION`.
pub const INTERRUPT_MODERATION_NOT_SUPPORTED: u32 = 1;

/// Flags of a send (`NDIS_SEND_FLAGS_…`).
pub mod send_flags {
    /// `DISPATCH_LEVEL`: the caller is there.
    pub const DISPATCH_LEVEL: u32 = 1;
}

/// Flags of a send's completion (`NDIS_SEND_COMPLETE_FLAGS_…`).
pub mod send_complete_flags {
    /// `DISPATCH_LEVEL`: the caller is there.
    pub const DISPATCH_LEVEL: u32 = 1;
}

/// Flags of a receive indication (`NDIS_RECEIVE_FLAGS_…`).
pub mod receive_flags {
    /// `DISPATCH_LEVEL`: the caller is there.
    pub const DISPATCH_LEVEL: u32 = 0x1;
    /// `RESOURCES`: all is the miniport's again when the call returns.
    pub const RESOURCES: u32 = 0x2;
    /// `PERFECT_FILTERED`: all match the packet filter and the multicast list.
    pub const PERFECT_FILTERED: u32 = 0x400;
}

/// Flags of frames handed back (`NDIS_RETURN_FLAGS_…`).
pub mod return_flags {
    /// `DISPATCH_LEVEL`: the caller is there.
    pub const DISPATCH_LEVEL: u32 = 1;
}

/// `NblFlags` (`NDIS_NBL_FLAGS_…`).
pub mod nbl_flags {
    /// `IS_IPV4`.
    pub const IS_IPV4: u32 = 0x200;
    /// `IS_IPV6`.
    pub const IS_IPV6: u32 = 0x400;
    /// `IS_TCP`.
    pub const IS_TCP: u32 = 0x800;
    /// `IS_UDP`.
    pub const IS_UDP: u32 = 0x1000;
}

/// `NDIS_PROTOCOL_ID_DEFAULT`.
pub const PROTOCOL_ID_DEFAULT: u8 = 0;

/// Kinds of network addresses in OID_GEN_NETWORK_LAYER_ADDRESSES (`NDIS_PROTOCOL_ID_…`).
pub mod protocol_id {
    /// `TCP_IP`.
    pub const TCP_IP: u16 = 2;
    /// `IP6`.
    pub const IP6: u16 = 3;
}
