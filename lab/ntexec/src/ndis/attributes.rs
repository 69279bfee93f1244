//! NdisMSetMiniportAttributes: the attributes' order, what is in them, and copies of them.
//! <https://learn.microsoft.com/windows-hardware/drivers/ddi/ndis/nf-ndis-ndismsetminiportattributes>

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use super::adapter::Adapter;
use super::protocol::Link;
use super::state::State;
use super::{offload, rules};
use crate::nt::ke::PVOID;
use crate::nt::ndis::*;

/// What a miniport set in MiniportInitializeEx.
#[derive(Default)]
pub(super) struct Attributes {
    /// AttributeFlags
    pub flags: u32,
    pub general: Option<General>,
    /// The offload attributes were set
    pub offload: bool,
}

/// A copy of the general attributes.
#[derive(Clone, Debug)]
pub(super) struct General {
    pub mtu: u32,
    pub lookahead: u32,
    pub filters: u32,
    pub max_multicast: u32,
    pub mac_options: u32,
    pub permanent: [u8; 6],
    pub current: [u8; 6],
    pub link: Link,
    pub max_xmit_speed: u64,
    pub max_rcv_speed: u64,
    pub physical_medium: u32,
    pub statistics: u32,
    pub data_backfill: u32,
    pub context_backfill: u32,
    pub access: u32,
    pub connection: u32,
    pub oids: Vec<u32>,
    pub rss: Option<NDIS_RECEIVE_SCALE_CAPABILITIES>,
}

/// A broken rule, and what the call returns for it.
type Refused = (NDIS_STATUS, String);

fn refuse<T>(status: NDIS_STATUS, why: impl Into<String>) -> Result<T, Refused> {
    Err((status, why.into()))
}

/// Looks at a header: its type, at least the revision and size.
fn header(
    h: NDIS_OBJECT_HEADER,
    name: &str,
    kind: u8,
    revision: u8,
    size: u16,
) -> Result<(), Refused> {
    if h.Type != kind {
        return refuse(
            NDIS_STATUS_INVALID_PARAMETER,
            format!("{name}: type {:#x} is not {kind:#x}", h.Type),
        );
    }
    if h.Revision < revision || h.Size < size {
        return refuse(
            NDIS_STATUS_INVALID_PARAMETER,
            format!(
                "{name}: revision {} with {} bytes is less than revision {revision} with {size}",
                h.Revision, h.Size
            ),
        );
    }
    Ok(())
}

/// Whether the attributes of a kind may be set now.
fn order(kind: u8, set: Option<&Attributes>, state: State) -> Result<(), Refused> {
    let early = |what: &str| refuse(NDIS_STATUS_FAILURE, what);
    if state != State::Initializing {
        return early("attributes are set in MiniportInitializeEx only");
    }
    match (kind, set) {
        (NDIS_OBJECT_TYPE_MINIPORT_ADAPTER_REGISTRATION_ATTRIBUTES, None) => Ok(()),
        (NDIS_OBJECT_TYPE_MINIPORT_ADAPTER_REGISTRATION_ATTRIBUTES, Some(_)) => {
            early("the registration attributes are set twice")
        }
        (_, None) => early("the registration attributes have to be set first"),
        (NDIS_OBJECT_TYPE_MINIPORT_ADAPTER_GENERAL_ATTRIBUTES, Some(a)) if a.general.is_some() => {
            early("the general attributes are set twice")
        }
        (NDIS_OBJECT_TYPE_MINIPORT_ADAPTER_GENERAL_ATTRIBUTES, Some(_)) => Ok(()),
        (_, Some(a)) if a.general.is_none() => {
            early("the general attributes have to be set before these")
        }
        (NDIS_OBJECT_TYPE_MINIPORT_ADAPTER_OFFLOAD_ATTRIBUTES, Some(a)) if a.offload => {
            early("the offload attributes are set twice")
        }
        _ => Ok(()),
    }
}

/// What the class key says of the adapter's medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Medium {
    pub if_type: u32,
    pub media_type: u32,
    pub physical_media_type: u32,
}

fn address(bytes: &[u8; 32]) -> [u8; 6] {
    core::array::from_fn(|i| bytes[i])
}

/// Checks general attributes of a driver of an NDIS version and copies them.
///
/// # Safety
/// What the structure points at is readable, as it says.
unsafe fn general(
    g: &NDIS_MINIPORT_ADAPTER_GENERAL_ATTRIBUTES,
    version: (u8, u8),
    medium: Medium,
) -> Result<General, Refused> {
    let wrong = |why: &str| refuse(NDIS_STATUS_INVALID_PARAMETER, why);
    if g.MediaType != NdisMedium802_3 {
        return refuse(
            NDIS_STATUS_NOT_SUPPORTED,
            format!("MediaType {} is not Ethernet", g.MediaType),
        );
    }
    if g.MediaType != medium.media_type || u32::from(g.IfType) != medium.if_type {
        return wrong(
            "MediaType or IfType is not what *MediaType or *IfType in the class key says",
        );
    }
    // NDIS compares from 6.60 on.
    if version >= (6, 60) && g.PhysicalMediumType != medium.physical_media_type {
        return refuse(
            NDIS_STATUS_INVALID_PARAMETER,
            format!(
                "PhysicalMediumType {} is not the class key's *PhysicalMediaType {}",
                g.PhysicalMediumType, medium.physical_media_type
            ),
        );
    }
    if g.MtuSize == 0 {
        return wrong("MtuSize is 0");
    }
    if g.MacAddressLength != 6 {
        return wrong("MacAddressLength of an Ethernet adapter is not 6");
    }
    if address(&g.CurrentMacAddress)[0] & 1 != 0 || address(&g.PermanentMacAddress)[0] & 1 != 0 {
        return wrong("an adapter's address is a group address");
    }
    if g.PowerManagementCapabilitiesEx.is_null() {
        return wrong(
            "PowerManagementCapabilitiesEx is NULL, which no driver from 6.20 on may say",
        );
    }
    let pm = (*g.PowerManagementCapabilitiesEx).Header;
    header(
        pm,
        "NDIS_PM_CAPABILITIES",
        NDIS_OBJECT_TYPE_DEFAULT,
        if version >= (6, 30) { 2 } else { 1 },
        NDIS_SIZEOF_NDIS_PM_CAPABILITIES_REVISION_1,
    )?;
    if g.SupportedOidList.is_null()
        || g.SupportedOidListLength == 0
        || !g.SupportedOidListLength.is_multiple_of(4)
    {
        return wrong("there is no list of supported OIDs");
    }
    let oids = (0..g.SupportedOidListLength as usize / 4)
        .map(|i| g.SupportedOidList.add(i).read_unaligned())
        .collect();
    let rss = if g.RecvScaleCapabilities.is_null() {
        None
    } else {
        Some(rss(&*g.RecvScaleCapabilities, version)?)
    };
    if g.MediaConnectState > MediaConnectStateDisconnected {
        return wrong("MediaConnectState is no such state");
    }
    Ok(General {
        mtu: g.MtuSize,
        lookahead: g.LookaheadSize,
        filters: g.SupportedPacketFilters,
        max_multicast: g.MaxMulticastListSize,
        mac_options: g.MacOptions,
        permanent: address(&g.PermanentMacAddress),
        current: address(&g.CurrentMacAddress),
        link: Link {
            connected: g.MediaConnectState == MediaConnectStateConnected,
            xmit_speed: g.XmitLinkSpeed,
            rcv_speed: g.RcvLinkSpeed,
        },
        max_xmit_speed: g.MaxXmitLinkSpeed,
        max_rcv_speed: g.MaxRcvLinkSpeed,
        physical_medium: g.PhysicalMediumType,
        statistics: g.SupportedStatistics,
        data_backfill: g.DataBackFillSize,
        context_backfill: g.ContextBackFillSize,
        access: g.AccessType,
        connection: g.ConnectionType,
        oids,
        rss,
    })
}

fn rss(
    caps: &NDIS_RECEIVE_SCALE_CAPABILITIES,
    version: (u8, u8),
) -> Result<NDIS_RECEIVE_SCALE_CAPABILITIES, Refused> {
    header(
        caps.Header,
        "NDIS_RECEIVE_SCALE_CAPABILITIES",
        NDIS_OBJECT_TYPE_RSS_CAPABILITIES,
        // Revision 3 is 6.60's; drivers with revision 2 run on Windows.
        if version >= (6, 30) { 2 } else { 1 },
        NDIS_SIZEOF_RECEIVE_SCALE_CAPABILITIES_REVISION_2,
    )?;
    let wrong = |why: &str| refuse(NDIS_STATUS_INVALID_PARAMETER, why);
    if caps.CapabilitiesFlags & NdisHashFunctionToeplitz == 0 {
        return wrong("RSS without the Toeplitz hash function");
    }
    if caps.CapabilitiesFlags & NDIS_RSS_CAPS_HASH_TYPE_TCP_IPV4 == 0 {
        return wrong("RSS without the hash of TCP over IPv4");
    }
    if caps.NumberOfReceiveQueues == 0 || caps.NumberOfInterruptMessages == 0 {
        return wrong("RSS with no queue or no message");
    }
    if !caps.NumberOfIndirectionTableEntries.is_power_of_two() {
        return wrong("the RSS table's size is no power of 2");
    }
    Ok(*caps)
}

/// NdisMSetMiniportAttributes. PASSIVE_LEVEL.
pub(super) unsafe extern "win64" fn NdisMSetMiniportAttributes(
    handle: PVOID,
    attributes: *const NDIS_OBJECT_HEADER,
) -> NDIS_STATUS {
    const CALL: &str = "NdisMSetMiniportAttributes";
    let Some(adapter) = Adapter::find(handle) else {
        Adapter::of(handle, CALL);
        return NDIS_STATUS_INVALID_PARAMETER;
    };
    let result = if attributes.is_null() {
        refuse(NDIS_STATUS_INVALID_PARAMETER, "the attributes are NULL")
    } else {
        set(adapter, attributes)
    };
    match result {
        Ok(()) => NDIS_STATUS_SUCCESS,
        Err((status, why)) => {
            rules::broken(adapter, CALL, rules::ATTRIBUTES, format_args!("{why}"));
            status
        }
    }
}

unsafe fn set(
    adapter: &'static Adapter,
    attributes: *const NDIS_OBJECT_HEADER,
) -> Result<(), Refused> {
    let h = *attributes;
    if h.Type == NDIS_OBJECT_TYPE_MINIPORT_ADD_DEVICE_REGISTRATION_ATTRIBUTES {
        header(
            h,
            "add-device attributes",
            h.Type,
            1,
            NDIS_SIZEOF_MINIPORT_ADD_DEVICE_REGISTRATION_ATTRIBUTES_REVISION_1,
        )?;
        let a = &*attributes.cast::<NDIS_MINIPORT_ADD_DEVICE_REGISTRATION_ATTRIBUTES>();
        adapter
            .add_context
            .store(a.MiniportAddDeviceContext, Ordering::Release);
        return Ok(());
    }
    order(
        h.Type,
        adapter.attributes.lock().as_deref(),
        adapter.state(),
    )?;
    match h.Type {
        NDIS_OBJECT_TYPE_MINIPORT_ADAPTER_REGISTRATION_ATTRIBUTES => {
            header(
                h,
                "registration attributes",
                h.Type,
                1,
                NDIS_SIZEOF_MINIPORT_ADAPTER_REGISTRATION_ATTRIBUTES_REVISION_1,
            )?;
            registration(adapter, &*attributes.cast())
        }
        NDIS_OBJECT_TYPE_MINIPORT_ADAPTER_GENERAL_ATTRIBUTES => {
            header(
                h,
                "general attributes",
                h.Type,
                2,
                NDIS_SIZEOF_MINIPORT_ADAPTER_GENERAL_ATTRIBUTES_REVISION_2,
            )?;
            let medium = adapter.medium().ok_or_else(|| {
                (
                    NDIS_STATUS_FAILURE,
                    String::from("the class key has no medium"),
                )
            })?;
            let copy = general(&*attributes.cast(), adapter.version(), medium)?;
            *adapter.link.lock() = copy.link;
            if let Some(a) = adapter.attributes.lock().as_mut() {
                a.general = Some(copy);
            }
            Ok(())
        }
        NDIS_OBJECT_TYPE_MINIPORT_ADAPTER_OFFLOAD_ATTRIBUTES => {
            header(
                h,
                "offload attributes",
                h.Type,
                1,
                NDIS_SIZEOF_MINIPORT_ADAPTER_OFFLOAD_ATTRIBUTES_REVISION_1,
            )?;
            set_offload(adapter, &*attributes.cast())
        }
        NDIS_OBJECT_TYPE_MINIPORT_ADAPTER_HARDWARE_ASSIST_ATTRIBUTES => Ok(()),
        other => refuse(
            NDIS_STATUS_NOT_SUPPORTED,
            format!("attributes of type {other:#x} are not known"),
        ),
    }
}

fn registration(
    adapter: &Adapter,
    a: &NDIS_MINIPORT_ADAPTER_REGISTRATION_ATTRIBUTES,
) -> Result<(), Refused> {
    let wdm = a.AttributeFlags & NDIS_MINIPORT_ATTRIBUTES_NDIS_WDM != 0;
    if wdm && a.AttributeFlags & NDIS_MINIPORT_ATTRIBUTES_HARDWARE_DEVICE != 0 {
        return refuse(
            NDIS_STATUS_INVALID_PARAMETER,
            "NDIS_WDM and HARDWARE_DEVICE exclude each other",
        );
    }
    if wdm && adapter.driver.flags & NDIS_WDM_DRIVER == 0 {
        return refuse(
            NDIS_STATUS_INVALID_PARAMETER,
            "NDIS_WDM of a driver that did not register as NDIS_WDM_DRIVER",
        );
    }
    adapter
        .context
        .store(a.MiniportAdapterContext, Ordering::Release);
    *adapter.attributes.lock() = Some(Box::new(Attributes {
        flags: a.AttributeFlags,
        ..Attributes::default()
    }));
    Ok(())
}

unsafe fn set_offload(
    adapter: &Adapter,
    a: &NDIS_MINIPORT_ADAPTER_OFFLOAD_ATTRIBUTES,
) -> Result<(), Refused> {
    let wrong = |why| (NDIS_STATUS_INVALID_PARAMETER, why);
    let hardware =
        offload::copy(a.HardwareOffloadCapabilities, adapter.version()).map_err(wrong)?;
    let current = offload::copy(a.DefaultOffloadConfiguration, adapter.version()).map_err(wrong)?;
    if let Some(why) = offload::contradictions(&hardware).into_iter().next() {
        return refuse(
            NDIS_STATUS_INVALID_PARAMETER,
            format!("HardwareOffloadCapabilities: {why}"),
        );
    }
    if let Some(what) = offload::beyond(&current, &hardware).into_iter().next() {
        return refuse(
            NDIS_STATUS_INVALID_PARAMETER,
            format!("the default configuration has what the hardware cannot: {what}"),
        );
    }
    *adapter.offload.lock() = offload::Offloads {
        hardware,
        current,
        encapsulation: [false; 2],
    };
    if let Some(a) = adapter.attributes.lock().as_mut() {
        a.offload = true;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
