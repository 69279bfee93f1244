//! OID requests: what is asked of an adapter, and what it is told.

use core::ffi::c_void;

use ndis_sys::constant::{INTERRUPT_MODERATION_NOT_SUPPORTED, power_state, request_type};
use ndis_sys::object::{NDIS_OBJECT_HEADER, kind};
use ndis_sys::request::{
    NDIS_INTERRUPT_MODERATION_PARAMETERS, NDIS_OID_REQUEST, QUERY_INFORMATION, SET_INFORMATION,
    SIZEOF_INTERRUPT_MODERATION_PARAMETERS_REVISION_1,
};
use ndis_sys::{NDIS_STATUS, oid, status};
use xennet_core::bytes::u32_at;
use xennet_core::filter::MULTICAST_LIST;
use xennet_core::offload::Offloads;
use xennet_core::statistics;

use crate::adapter::Adapter;

/// Slots of a ring, for the sizes of buffers.
const SLOTS: u32 = 256;
/// No organisation's identifier.
const VENDOR_ID: u32 = 0x00FF_FFFF;
/// What the adapter calls itself, with the zero that ends it.
const VENDOR_DESCRIPTION: &[u8] = b"Xen PV Network Adapter\0";

/// What the adapter answers.
pub static SUPPORTED: &[u32] = &[
    oid::GEN_HARDWARE_STATUS,
    oid::GEN_TRANSMIT_BUFFER_SPACE,
    oid::GEN_RECEIVE_BUFFER_SPACE,
    oid::GEN_TRANSMIT_BLOCK_SIZE,
    oid::GEN_RECEIVE_BLOCK_SIZE,
    oid::GEN_VENDOR_ID,
    oid::GEN_VENDOR_DESCRIPTION,
    oid::GEN_VENDOR_DRIVER_VERSION,
    oid::GEN_CURRENT_PACKET_FILTER,
    oid::GEN_CURRENT_LOOKAHEAD,
    oid::GEN_MAXIMUM_TOTAL_SIZE,
    oid::GEN_MAXIMUM_SEND_PACKETS,
    oid::GEN_INTERRUPT_MODERATION,
    oid::GEN_MACHINE_NAME,
    oid::GEN_NETWORK_LAYER_ADDRESSES,
    oid::GEN_VLAN_ID,
    oid::GEN_XMIT_OK,
    oid::GEN_RCV_OK,
    oid::GEN_XMIT_ERROR,
    oid::GEN_RCV_ERROR,
    oid::GEN_RCV_NO_BUFFER,
    oid::GEN_STATISTICS,
    oid::GEN_DIRECTED_BYTES_XMIT,
    oid::GEN_DIRECTED_FRAMES_XMIT,
    oid::GEN_MULTICAST_BYTES_XMIT,
    oid::GEN_MULTICAST_FRAMES_XMIT,
    oid::GEN_BROADCAST_BYTES_XMIT,
    oid::GEN_BROADCAST_FRAMES_XMIT,
    oid::GEN_DIRECTED_BYTES_RCV,
    oid::GEN_DIRECTED_FRAMES_RCV,
    oid::GEN_MULTICAST_BYTES_RCV,
    oid::GEN_MULTICAST_FRAMES_RCV,
    oid::GEN_BROADCAST_BYTES_RCV,
    oid::GEN_BROADCAST_FRAMES_RCV,
    oid::GEN_BYTES_RCV,
    oid::GEN_BYTES_XMIT,
    oid::GEN_RCV_DISCARDS,
    oid::GEN_XMIT_DISCARDS,
    oid::IEEE_802_3_PERMANENT_ADDRESS,
    oid::IEEE_802_3_CURRENT_ADDRESS,
    oid::IEEE_802_3_MULTICAST_LIST,
    oid::IEEE_802_3_MAXIMUM_LIST_SIZE,
    oid::GEN_RECEIVE_SCALE_PARAMETERS,
    oid::OFFLOAD_ENCAPSULATION,
    oid::TCP_OFFLOAD_PARAMETERS,
    oid::PNP_QUERY_POWER,
    oid::PNP_SET_POWER,
    oid::PM_PARAMETERS,
];

/// Serves a request. PASSIVE_LEVEL, one at a time.
///
/// # Safety
/// NDIS' own request, the miniport's until this returns.
pub unsafe fn request(adapter: &Adapter, request: *mut NDIS_OID_REQUEST) -> NDIS_STATUS {
    // SAFETY: the caller's promise.
    let request = unsafe { &mut *request };
    if adapter.is_removed() {
        return status::NOT_ACCEPTED;
    }
    match request.RequestType {
        request_type::QUERY_INFORMATION | request_type::QUERY_STATISTICS => {
            // SAFETY: the type says that it is this member.
            query(adapter, unsafe { &mut request.DATA.QUERY_INFORMATION })
        }
        request_type::SET_INFORMATION => {
            // SAFETY: the type says that it is this member.
            set(adapter, unsafe { &mut request.DATA.SET_INFORMATION })
        }
        _ => status::NOT_SUPPORTED,
    }
}

/// Writes an answer, or says how long it would be.
fn answer(query: &mut QUERY_INFORMATION, bytes: &[u8]) -> NDIS_STATUS {
    let length = bytes.len() as u32;
    query.BytesWritten = 0;
    query.BytesNeeded = length;
    if query.InformationBufferLength < length || query.InformationBuffer.is_null() {
        return status::BUFFER_TOO_SHORT;
    }
    let to = query.InformationBuffer.cast::<u8>();
    // SAFETY: a buffer of at least as many bytes, of any alignment.
    unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
    query.BytesWritten = length;
    status::SUCCESS
}

/// Writes a counter of 64 bits, or its low half where there is no room for more.
fn counter(query: &mut QUERY_INFORMATION, value: u64) -> NDIS_STATUS {
    let bytes = value.to_le_bytes();
    let status = match query.InformationBufferLength {
        4..8 => {
            let (low, _) = bytes.split_at(4);
            answer(query, low)
        }
        _ => answer(query, &bytes),
    };
    query.BytesNeeded = 8;
    status
}

fn query(adapter: &Adapter, query: &mut QUERY_INFORMATION) -> NDIS_STATUS {
    if let Some(value) = number(adapter, query.Oid) {
        return answer(query, &value.to_le_bytes());
    }
    if let Some(value) = count(adapter, query.Oid) {
        return counter(query, value);
    }
    match query.Oid {
        oid::GEN_VENDOR_DESCRIPTION => answer(query, VENDOR_DESCRIPTION),
        oid::IEEE_802_3_PERMANENT_ADDRESS => answer(query, &adapter.permanent),
        oid::IEEE_802_3_CURRENT_ADDRESS => answer(query, &adapter.current),
        oid::IEEE_802_3_MULTICAST_LIST => {
            let filter = adapter.filter();
            answer(query, filter.groups().as_flattened())
        }
        oid::GEN_STATISTICS => {
            let (received, sent) = adapter.statistics();
            answer(query, as_bytes(&statistics::describe(&received, &sent)))
        }
        oid::GEN_INTERRUPT_MODERATION => answer(
            query,
            as_bytes(&NDIS_INTERRUPT_MODERATION_PARAMETERS {
                Header: NDIS_OBJECT_HEADER::new(
                    kind::DEFAULT,
                    1,
                    SIZEOF_INTERRUPT_MODERATION_PARAMETERS_REVISION_1,
                ),
                Flags: 0,
                InterruptModeration: INTERRUPT_MODERATION_NOT_SUPPORTED,
            }),
        ),
        _ => status::NOT_SUPPORTED,
    }
}

/// A structure of NDIS' without holes as bytes.
fn as_bytes<T: Plain>(value: &T) -> &[u8] {
    // SAFETY: plain data without padding, by the trait's contract.
    unsafe { core::slice::from_raw_parts(core::ptr::from_ref(value).cast(), size_of::<T>()) }
}

/// A structure of integers without padding.
///
/// # Safety
/// It is one.
unsafe trait Plain {}

// SAFETY: a header of four bytes, an integer of four, and integers of eight.
unsafe impl Plain for ndis_sys::request::NDIS_STATISTICS_INFO {}
// SAFETY: a header of four bytes and two integers of four.
unsafe impl Plain for NDIS_INTERRUPT_MODERATION_PARAMETERS {}

/// Answers of 32 bits.
fn number(adapter: &Adapter, oid: u32) -> Option<u32> {
    Some(match oid {
        // NdisHardwareStatusReady.
        oid::GEN_HARDWARE_STATUS => 0,
        oid::GEN_TRANSMIT_BUFFER_SPACE | oid::GEN_RECEIVE_BUFFER_SPACE => {
            adapter.frame_size().saturating_mul(SLOTS)
        }
        oid::GEN_TRANSMIT_BLOCK_SIZE
        | oid::GEN_RECEIVE_BLOCK_SIZE
        | oid::GEN_MAXIMUM_TOTAL_SIZE
        | oid::GEN_CURRENT_LOOKAHEAD => adapter.frame_size(),
        oid::GEN_VENDOR_ID => VENDOR_ID,
        oid::GEN_VENDOR_DRIVER_VERSION => crate::VERSION_NUMBER,
        oid::GEN_CURRENT_PACKET_FILTER => adapter.filter().types(),
        oid::GEN_MAXIMUM_SEND_PACKETS => SLOTS,
        oid::GEN_VLAN_ID => u32::from(adapter.vlan()),
        oid::IEEE_802_3_MAXIMUM_LIST_SIZE => MULTICAST_LIST as u32,
        _ => return None,
    })
}

/// Counters.
fn count(adapter: &Adapter, oid: u32) -> Option<u64> {
    let (received, sent) = adapter.statistics();
    let [unicast, multicast, broadcast] = [0, 1, 2];
    let of = |values: [u64; 3], cast: usize| values.get(cast).copied();
    match oid {
        oid::GEN_XMIT_OK => Some(sent.all_frames()),
        oid::GEN_RCV_OK => Some(received.all_frames()),
        oid::GEN_XMIT_ERROR => Some(sent.errors),
        oid::GEN_RCV_ERROR => Some(received.errors),
        oid::GEN_RCV_NO_BUFFER | oid::GEN_RCV_DISCARDS => Some(received.discards),
        oid::GEN_XMIT_DISCARDS => Some(sent.discards),
        oid::GEN_BYTES_RCV => Some(received.all_bytes()),
        oid::GEN_BYTES_XMIT => Some(sent.all_bytes()),
        oid::GEN_DIRECTED_FRAMES_XMIT => of(sent.frames, unicast),
        oid::GEN_MULTICAST_FRAMES_XMIT => of(sent.frames, multicast),
        oid::GEN_BROADCAST_FRAMES_XMIT => of(sent.frames, broadcast),
        oid::GEN_DIRECTED_BYTES_XMIT => of(sent.bytes, unicast),
        oid::GEN_MULTICAST_BYTES_XMIT => of(sent.bytes, multicast),
        oid::GEN_BROADCAST_BYTES_XMIT => of(sent.bytes, broadcast),
        oid::GEN_DIRECTED_FRAMES_RCV => of(received.frames, unicast),
        oid::GEN_MULTICAST_FRAMES_RCV => of(received.frames, multicast),
        oid::GEN_BROADCAST_FRAMES_RCV => of(received.frames, broadcast),
        oid::GEN_DIRECTED_BYTES_RCV => of(received.bytes, unicast),
        oid::GEN_MULTICAST_BYTES_RCV => of(received.bytes, multicast),
        oid::GEN_BROADCAST_BYTES_RCV => of(received.bytes, broadcast),
        _ => None,
    }
}

/// The bytes that are to be set.
fn information(set: &SET_INFORMATION) -> &[u8] {
    let buffer: *mut c_void = set.InformationBuffer;
    if buffer.is_null() {
        return &[];
    }
    // SAFETY: NDIS' own buffer of as many bytes, the miniport's until the request is complete.
    unsafe { core::slice::from_raw_parts(buffer.cast(), set.InformationBufferLength as usize) }
}

fn set(adapter: &Adapter, set: &mut SET_INFORMATION) -> NDIS_STATUS {
    let bytes = information(set);
    let length = bytes.len() as u32;
    let word = || u32_at(bytes, 0).ok_or(status::INVALID_LENGTH);
    // How many bytes were looked at, or why not.
    let outcome = match set.Oid {
        oid::GEN_CURRENT_PACKET_FILTER => word().and_then(|types| {
            adapter.change_filter(|filter| filter.set_types(types))?;
            Ok(4)
        }),
        oid::IEEE_802_3_MULTICAST_LIST => adapter
            .change_filter(|filter| filter.set_groups(bytes))
            .map(|()| length),
        oid::GEN_CURRENT_LOOKAHEAD => word().map(|_| 4),
        oid::GEN_INTERRUPT_MODERATION => Err(status::INVALID_DATA),
        oid::GEN_MACHINE_NAME => Ok(length),
        oid::GEN_VLAN_ID => word().and_then(|vlan| {
            adapter.set_vlan(vlan)?;
            Ok(4)
        }),
        oid::GEN_NETWORK_LAYER_ADDRESSES => adapter.set_addresses(bytes),
        oid::GEN_RECEIVE_SCALE_PARAMETERS => adapter.set_scaling(bytes),
        oid::TCP_OFFLOAD_PARAMETERS => {
            let outcome =
                adapter.change_offloads(|offloads, _| offloads.apply(bytes, &Offloads::CAPABLE));
            if outcome.is_ok() {
                adapter.indicate_offloads();
            }
            outcome
        }
        oid::OFFLOAD_ENCAPSULATION => {
            let outcome = adapter.change_offloads(|_, encapsulation| encapsulation.apply(bytes));
            if outcome.is_ok() {
                adapter.indicate_offloads();
            }
            outcome
        }
        oid::PNP_QUERY_POWER => Ok(length),
        oid::PNP_SET_POWER => word().map(|state| {
            adapter.set_power(state == power_state::D0);
            4
        }),
        oid::PM_PARAMETERS => Ok(length),
        _ => return status::NOT_SUPPORTED,
    };
    set.BytesRead = 0;
    set.BytesNeeded = 0;
    match outcome {
        Ok(read) => {
            set.BytesRead = read;
            status::SUCCESS
        }
        Err(status) => {
            if status == status::INVALID_LENGTH {
                set.BytesNeeded = needed(set.Oid);
            }
            status
        }
    }
}

/// The least bytes that an OID sets.
fn needed(oid: u32) -> u32 {
    match oid {
        oid::IEEE_802_3_MULTICAST_LIST => 6,
        oid::GEN_RECEIVE_SCALE_PARAMETERS => {
            u32::from(ndis_sys::rss::SIZEOF_RECEIVE_SCALE_PARAMETERS_REVISION_2)
        }
        oid::TCP_OFFLOAD_PARAMETERS => {
            u32::from(ndis_sys::offload::SIZEOF_OFFLOAD_PARAMETERS_REVISION_1)
        }
        oid::OFFLOAD_ENCAPSULATION => {
            u32::from(ndis_sys::offload::SIZEOF_OFFLOAD_ENCAPSULATION_REVISION_1)
        }
        oid::GEN_NETWORK_LAYER_ADDRESSES => 6,
        _ => 4,
    }
}
