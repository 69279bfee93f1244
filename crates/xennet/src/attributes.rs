//! What NDIS is told of an adapter when it starts.

use ndis_sys::NDIS_STATUS;
use ndis_sys::call::NdisMSetMiniportAttributes;
use ndis_sys::constant::{
    INTERFACE_PNP_BUS, attribute, mac_option, medium, power_state, statistics,
};
use ndis_sys::miniport::{
    NDIS_MINIPORT_ADAPTER_GENERAL_ATTRIBUTES, NDIS_MINIPORT_ADAPTER_OFFLOAD_ATTRIBUTES,
    NDIS_MINIPORT_ADAPTER_REGISTRATION_ATTRIBUTES, NDIS_PM_CAPABILITIES,
    SIZEOF_GENERAL_ATTRIBUTES_REVISION_2, SIZEOF_OFFLOAD_ATTRIBUTES_REVISION_1,
    SIZEOF_PM_CAPABILITIES_REVISION_2, SIZEOF_REGISTRATION_ATTRIBUTES_REVISION_2,
};
use ndis_sys::object::{NDIS_OBJECT_HEADER, kind};
use ndis_sys::rss::{NDIS_RECEIVE_SCALE_CAPABILITIES, capability};
use ndis_sys::status;
use wdm::status::{Result, Status};
use xennet_core::filter;
use xennet_core::offload::Offloads;
use xennet_core::rss;

use crate::adapter::Adapter;
use crate::oid;

/// Bits a second where the toolstack gives no speed: what a memory copy is thought to be worth.
pub const SPEED: u64 = 10_000_000_000;

/// Hands one kind of attributes to NDIS.
fn set<T>(adapter: &Adapter, attributes: &mut T) -> Result {
    // SAFETY: the adapter's own handle, in its initialize routine; a structure with a header, which NDIS copies.
    let status: NDIS_STATUS = unsafe {
        NdisMSetMiniportAttributes(adapter.handle, core::ptr::from_mut(attributes).cast())
    };
    if status == status::SUCCESS {
        Ok(())
    } else {
        Err(Status(status))
    }
}

/// Tells NDIS whose the adapter is. PASSIVE_LEVEL, in the initialize routine, before anything else.
///
/// # Errors
/// What NDIS says.
pub fn register(adapter: &Adapter) -> Result {
    let mut attributes = NDIS_MINIPORT_ADAPTER_REGISTRATION_ATTRIBUTES {
        Header: NDIS_OBJECT_HEADER::new(
            kind::MINIPORT_ADAPTER_REGISTRATION_ATTRIBUTES,
            2,
            SIZEOF_REGISTRATION_ATTRIBUTES_REVISION_2,
        ),
        MiniportAdapterContext: core::ptr::from_ref(adapter).cast_mut().cast(),
        AttributeFlags: attribute::NDIS_WDM
            | attribute::SURPRISE_REMOVE_OK
            | attribute::NO_HALT_ON_SUSPEND
            | attribute::NO_PAUSE_ON_SUSPEND,
        CheckForHangTimeInSeconds: 0,
        InterfaceType: INTERFACE_PNP_BUS,
    };
    set(adapter, &mut attributes)
}

/// Tells NDIS what the adapter is. PASSIVE_LEVEL, in the initialize routine.
///
/// # Errors
/// What NDIS says.
pub fn describe(adapter: &Adapter, queues: u32) -> Result {
    let mut power = NDIS_PM_CAPABILITIES {
        Header: NDIS_OBJECT_HEADER::new(kind::DEFAULT, 2, SIZEOF_PM_CAPABILITIES_REVISION_2),
        Flags: 0,
        SupportedWoLPacketPatterns: 0,
        NumTotalWoLPatterns: 0,
        MaxWoLPatternSize: 0,
        MaxWoLPatternOffset: 0,
        MaxWoLPacketSaveBuffer: 0,
        SupportedProtocolOffloads: 0,
        NumArpOffloadIPv4Addresses: 0,
        NumNSOffloadIPv6Addresses: 0,
        MinMagicPacketWakeUp: power_state::UNSPECIFIED,
        MinPatternWakeUp: power_state::UNSPECIFIED,
        MinLinkChangeWakeUp: power_state::UNSPECIFIED,
        SupportedWakeUpEvents: 0,
        MediaSpecificWakeUpEvents: 0,
    };
    let revision = adapter.version.receive_scale_capabilities();
    let mut scaling = NDIS_RECEIVE_SCALE_CAPABILITIES {
        Header: NDIS_OBJECT_HEADER::new(kind::RSS_CAPABILITIES, revision.revision, revision.size),
        CapabilitiesFlags: capability::TOEPLITZ
            | capability::HASH_TYPE_TCP_IPV4
            | capability::HASH_TYPE_TCP_IPV6
            | capability::MESSAGE_SIGNALED_INTERRUPTS
            | capability::CLASSIFICATION_AT_ISR
            | capability::CLASSIFICATION_AT_DPC,
        NumberOfInterruptMessages: queues,
        NumberOfReceiveQueues: queues,
        NumberOfIndirectionTableEntries: rss::ENTRIES as u16,
        Padding: 0,
    };
    let settings = &adapter.settings;
    let mut options = mac_option::NO_LOOPBACK
        | mac_option::TRANSFERS_NOT_PEND
        | mac_option::COPY_LOOKAHEAD_DATA
        | mac_option::FULL_DUPLEX
        | mac_option::SUPPORTS_MAC_ADDRESS_OVERWRITE;
    if settings.priority_tag {
        options |= mac_option::IEEE_8021P_PRIORITY;
    }
    if settings.vlan_tag {
        options |= mac_option::IEEE_8021P_PRIORITY | mac_option::IEEE_8021Q_VLAN;
    }
    let mac = |address: [u8; 6]| {
        let mut field = [0; 32];
        for (to, from) in field.iter_mut().zip(address) {
            *to = from;
        }
        field
    };
    let mut attributes = NDIS_MINIPORT_ADAPTER_GENERAL_ATTRIBUTES {
        Header: NDIS_OBJECT_HEADER::new(
            kind::MINIPORT_ADAPTER_GENERAL_ATTRIBUTES,
            2,
            SIZEOF_GENERAL_ATTRIBUTES_REVISION_2,
        ),
        Flags: 0,
        MediaType: medium::ETHERNET,
        PhysicalMediumType: medium::PHYSICAL_ETHERNET,
        MtuSize: adapter.mtu,
        MaxXmitLinkSpeed: SPEED,
        XmitLinkSpeed: SPEED,
        MaxRcvLinkSpeed: SPEED,
        RcvLinkSpeed: SPEED,
        // The link comes up with the connection.
        MediaConnectState: medium::CONNECT_STATE_DISCONNECTED,
        MediaDuplexState: medium::DUPLEX_STATE_FULL,
        LookaheadSize: adapter.frame_size(),
        PowerManagementCapabilities: core::ptr::null_mut(),
        MacOptions: options,
        SupportedPacketFilters: filter::SUPPORTED,
        MaxMulticastListSize: filter::MULTICAST_LIST as u32,
        MacAddressLength: 6,
        PermanentMacAddress: mac(adapter.permanent),
        CurrentMacAddress: mac(adapter.current),
        RecvScaleCapabilities: if settings.rss {
            &raw mut scaling
        } else {
            core::ptr::null_mut()
        },
        AccessType: medium::ACCESS_BROADCAST,
        DirectionType: medium::DIRECTION_SENDRECEIVE,
        ConnectionType: medium::CONNECTION_DEDICATED,
        IfType: medium::IF_TYPE_ETHERNET_CSMACD,
        IfConnectorPresent: 1,
        SupportedStatistics: statistics::ALL,
        SupportedPauseFunctions: medium::PAUSE_FUNCTIONS_UNSUPPORTED,
        DataBackFillSize: 0,
        ContextBackFillSize: 0,
        SupportedOidList: oid::SUPPORTED.as_ptr().cast_mut(),
        SupportedOidListLength: size_of_val(oid::SUPPORTED) as u32,
        AutoNegotiationFlags: 0,
        PowerManagementCapabilitiesEx: &raw mut power,
    };
    set(adapter, &mut attributes)
}

/// Tells NDIS of the offloads. PASSIVE_LEVEL, in the initialize routine.
///
/// # Errors
/// What NDIS says.
pub fn offload(adapter: &Adapter, now: &Offloads) -> Result {
    let mut default = now.describe(adapter.version);
    let mut capable = Offloads::CAPABLE.describe(adapter.version);
    let mut attributes = NDIS_MINIPORT_ADAPTER_OFFLOAD_ATTRIBUTES {
        Header: NDIS_OBJECT_HEADER::new(
            kind::MINIPORT_ADAPTER_OFFLOAD_ATTRIBUTES,
            1,
            SIZEOF_OFFLOAD_ATTRIBUTES_REVISION_1,
        ),
        DefaultOffloadConfiguration: &raw mut default,
        HardwareOffloadCapabilities: &raw mut capable,
        DefaultTcpConnectionOffloadConfiguration: core::ptr::null_mut(),
        TcpConnectionOffloadHardwareCapabilities: core::ptr::null_mut(),
    };
    set(adapter, &mut attributes)
}
