//! OID requests: one at a time an adapter, what NDIS answers itself, and checks of how miniports answer.
//! <https://learn.microsoft.com/windows-hardware/drivers/network/miniport-adapter-oid-requests>

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use super::adapter::Adapter;
use super::{config, offload, rules};
use crate::nt::ke::{PROCESSOR_NUMBER, PVOID};
use crate::nt::ndis::*;
use crate::storport::os::{SECOND, new_event, now, wait};

/// How long a request may take: Driver Verifier's NdisTimedOidComplete.
const LIMIT: u64 = 12 * SECOND;
/// How long it may take once it was cancelled.
const CANCELLED: u64 = 30 * SECOND;
/// How long after an OID the indication that belongs to it may come.
const INDICATION: u64 = SECOND;

/// The request that the miniport has.
pub(super) struct Pending {
    request: usize,
    status: Option<NDIS_STATUS>,
}

/// How a request ended.
struct Answer {
    status: NDIS_STATUS,
    done: u32,
    needed: u32,
}

/// What is wrong with an answer.
fn faults(oid: u32, kind: u32, length: u32, answer: &Answer) -> Vec<&'static str> {
    let mut wrong = Vec::new();
    if answer.status == NDIS_STATUS_PENDING {
        wrong.push("completed with NDIS_STATUS_PENDING");
    }
    if answer.done > length {
        wrong.push(if kind == NdisRequestSetInformation {
            "BytesRead is more than the buffer has"
        } else {
            "BytesWritten is more than the buffer has"
        });
    }
    let set = kind == NdisRequestSetInformation;
    if set && answer.status == NDIS_STATUS_SUCCESS && length != 0 && answer.done == 0 {
        wrong.push("a set succeeded with BytesRead 0");
    }
    if !set && answer.status == NDIS_STATUS_SUCCESS && length != 0 && answer.done == 0 {
        wrong.push("a query succeeded with BytesWritten 0");
    }
    let too_short = matches!(
        answer.status,
        NDIS_STATUS_BUFFER_TOO_SHORT | NDIS_STATUS_INVALID_LENGTH
    );
    if too_short && !set && answer.needed <= length {
        wrong.push("a buffer is too short, but BytesNeeded is not more than it has");
    }
    match oid {
        OID_PNP_QUERY_POWER if answer.status != NDIS_STATUS_SUCCESS => {
            wrong.push("OID_PNP_QUERY_POWER always succeeds");
        }
        OID_PNP_SET_POWER
            if !matches!(
                answer.status,
                NDIS_STATUS_SUCCESS | NDIS_STATUS_NOT_ACCEPTED
            ) =>
        {
            wrong.push("OID_PNP_SET_POWER ends with SUCCESS or NOT_ACCEPTED");
        }
        OID_PM_REMOVE_WOL_PATTERN | OID_PM_REMOVE_PROTOCOL_OFFLOAD
            if !matches!(
                answer.status,
                NDIS_STATUS_SUCCESS | NDIS_STATUS_NOT_ACCEPTED | NDIS_STATUS_REQUEST_ABORTED
            ) =>
        {
            wrong.push("a removal may not fail");
        }
        _ => {}
    }
    wrong
}

/// Guard bytes behind a request's buffer.
const GUARD: usize = 16;
const GUARD_BYTE: u8 = 0xa5;

/// Sends one request to the miniport and waits until it is complete. PASSIVE_LEVEL.
fn request(
    adapter: &'static Adapter,
    kind: u32,
    oid: u32,
    buffer: &mut [u8],
) -> Result<u32, NDIS_STATUS> {
    adapter.oid_gate.wait(None);
    let result = if adapter.state().takes_oids()
        && (!adapter.low_power.load(Ordering::Acquire) || oid == OID_PNP_SET_POWER)
    {
        ask(adapter, kind, oid, buffer)
    } else {
        Err(NDIS_STATUS_ADAPTER_NOT_READY)
    };
    adapter.oid_gate.set();
    result
}

fn ask(
    adapter: &'static Adapter,
    kind: u32,
    oid: u32,
    buffer: &mut [u8],
) -> Result<u32, NDIS_STATUS> {
    let routine = adapter
        .driver
        .handlers
        .OidRequestHandler
        .ok_or(NDIS_STATUS_NOT_SUPPORTED)?;
    let length = buffer.len();
    let mut memory = vec![GUARD_BYTE; length + GUARD];
    memory[..length].copy_from_slice(buffer);
    // SAFETY: every field may be zero.
    let mut r: Box<NDIS_OID_REQUEST> = Box::new(unsafe { core::mem::zeroed() });
    r.Header = NDIS_OBJECT_HEADER::new(
        NDIS_OBJECT_TYPE_OID_REQUEST,
        2,
        NDIS_SIZEOF_OID_REQUEST_REVISION_2,
    );
    r.RequestType = kind;
    r.RequestId = core::ptr::from_mut(&mut *r).cast();
    r.DATA.Oid = oid;
    r.DATA.InformationBuffer = memory.as_mut_ptr().cast();
    r.DATA.InformationBufferLength = length as u32;
    let pointer = core::ptr::from_mut(&mut *r);
    *adapter.oid.lock() = Some(Pending {
        request: pointer as usize,
        status: None,
    });
    // SAFETY: as MINIPORT_OID_REQUEST says: PASSIVE_LEVEL; request and buffer live until it is complete, or are leaked.
    let mut status = rules::call(adapter, "MiniportOidRequest", || unsafe {
        routine(adapter.context(), pointer)
    });
    if status == NDIS_STATUS_PENDING {
        match await_completion(adapter, oid, r.RequestId) {
            Some(completed) => status = completed,
            None => {
                // The miniport still has them.
                core::mem::forget(memory);
                core::mem::forget(r);
                return Err(NDIS_STATUS_FAILURE);
            }
        }
    } else if adapter
        .oid
        .lock()
        .take()
        .is_some_and(|p| p.status.is_some())
    {
        // The signal of that completion is for no one.
        adapter.oid_done.wait(Some(0));
        broken(adapter, oid, "was completed by a call and by its status");
    }
    let answer = Answer {
        status,
        done: r.DATA.BytesDone,
        needed: r.DATA.BytesNeeded,
    };
    for what in faults(oid, kind, length as u32, &answer) {
        broken(adapter, oid, what);
    }
    if memory[length..].iter().any(|b| *b != GUARD_BYTE) {
        broken(adapter, oid, "wrote behind the buffer");
    }
    if status != NDIS_STATUS_SUCCESS {
        return Err(if status == NDIS_STATUS_PENDING {
            NDIS_STATUS_FAILURE
        } else {
            status
        });
    }
    buffer.copy_from_slice(&memory[..length]);
    Ok(answer.done.min(length as u32))
}

fn broken(adapter: &Adapter, oid: u32, what: &str) {
    rules::broken(
        adapter,
        "MiniportOidRequest",
        rules::OID,
        format_args!("OID {oid:#010x} {what}"),
    );
}

fn await_completion(adapter: &Adapter, oid: u32, id: PVOID) -> Option<NDIS_STATUS> {
    if !adapter.oid_done.wait(Some(LIMIT)) {
        rules::broken(
            adapter,
            "MiniportOidRequest",
            rules::TIME,
            format_args!("OID {oid:#010x} is not complete after {} s", LIMIT / SECOND),
        );
        if let Some(cancel) = adapter.driver.handlers.CancelOidRequestHandler {
            // SAFETY: as MINIPORT_CANCEL_OID_REQUEST says: at most DISPATCH_LEVEL.
            rules::call(adapter, "MiniportCancelOidRequest", || unsafe {
                cancel(adapter.context(), id)
            });
        }
        if !adapter.oid_done.wait(Some(CANCELLED)) {
            adapter.oid.lock().take();
            return None;
        }
    }
    adapter.oid.lock().take().and_then(|p| p.status)
}

/// NdisMOidRequestComplete. At most DISPATCH_LEVEL.
pub(super) unsafe extern "win64" fn NdisMOidRequestComplete(
    handle: PVOID,
    request: *mut NDIS_OID_REQUEST,
    status: NDIS_STATUS,
) {
    const CALL: &str = "NdisMOidRequestComplete";
    let Some(adapter) = Adapter::of(handle, CALL) else {
        return;
    };
    let first = match adapter.oid.lock().as_mut() {
        Some(p) if p.request == request as usize && p.status.is_none() => {
            p.status = Some(status);
            true
        }
        _ => false,
    };
    if first {
        adapter.oid_done.set();
    } else {
        rules::broken(
            adapter,
            CALL,
            rules::OID,
            format_args!("{request:p} is not outstanding, or complete already"),
        );
    }
}

/// Queries an OID: from NDIS' own books where it has them.
pub(super) fn query(
    adapter: &'static Adapter,
    oid: u32,
    buffer: &mut [u8],
) -> Result<usize, NDIS_STATUS> {
    if let Some(known) = known(adapter, oid) {
        let to = buffer
            .get_mut(..known.len())
            .ok_or(NDIS_STATUS_BUFFER_TOO_SHORT)?;
        to.copy_from_slice(&known);
        return Ok(known.len());
    }
    request(adapter, NdisRequestQueryInformation, oid, buffer).map(|n| n as usize)
}

/// Queries an OID as WMI does.
pub(super) fn query_statistics(
    adapter: &'static Adapter,
    oid: u32,
    buffer: &mut [u8],
) -> Result<usize, NDIS_STATUS> {
    request(adapter, NdisRequestQueryStatistics, oid, buffer).map(|n| n as usize)
}

/// What NDIS answers itself from attributes and indications.
fn known(adapter: &Adapter, oid: u32) -> Option<Vec<u8>> {
    let attributes = adapter.attributes.lock();
    let g = attributes.as_ref()?.general.as_ref()?;
    let link = *adapter.link.lock();
    let number = |n: u32| Some(n.to_le_bytes().to_vec());
    match oid {
        OID_GEN_SUPPORTED_LIST => Some(g.oids.iter().flat_map(|o| o.to_le_bytes()).collect()),
        OID_GEN_MAC_OPTIONS => number(g.mac_options),
        OID_GEN_MAXIMUM_FRAME_SIZE => number(g.mtu),
        OID_GEN_MAXIMUM_LOOKAHEAD => number(g.lookahead),
        OID_GEN_MEDIA_SUPPORTED | OID_GEN_MEDIA_IN_USE => number(NdisMedium802_3),
        OID_GEN_PHYSICAL_MEDIUM | OID_GEN_PHYSICAL_MEDIUM_EX => number(g.physical_medium),
        OID_GEN_MEDIA_CONNECT_STATUS => number(u32::from(!link.connected)),
        // In units of 100 bits per second.
        OID_GEN_LINK_SPEED => number(u32::try_from(link.xmit_speed / 100).unwrap_or(u32::MAX)),
        OID_GEN_CURRENT_PACKET_FILTER => number(adapter.filter.load(Ordering::Acquire)),
        OID_802_3_PERMANENT_ADDRESS => Some(g.permanent.to_vec()),
        OID_802_3_CURRENT_ADDRESS => Some(g.current.to_vec()),
        OID_802_3_MAXIMUM_LIST_SIZE => number(g.max_multicast),
        OID_802_3_MULTICAST_LIST => Some(adapter.multicast.lock().concat()),
        _ => None,
    }
}

/// Sets an OID, and keeps what NDIS has to know of it.
pub(super) fn set(adapter: &'static Adapter, oid: u32, buffer: &[u8]) -> Result<(), NDIS_STATUS> {
    match oid {
        OID_GEN_CURRENT_PACKET_FILTER => set_filter(adapter, buffer),
        OID_802_3_MULTICAST_LIST => set_multicast(adapter, buffer),
        OID_TCP_OFFLOAD_PARAMETERS | OID_OFFLOAD_ENCAPSULATION => {
            set_with_indication(adapter, oid, buffer)
        }
        _ => request(
            adapter,
            NdisRequestSetInformation,
            oid,
            &mut buffer.to_vec(),
        )
        .map(|_| ()),
    }
}

fn set_filter(adapter: &'static Adapter, buffer: &[u8]) -> Result<(), NDIS_STATUS> {
    let new = u32::from_le_bytes(buffer.try_into().map_err(|_| NDIS_STATUS_INVALID_LENGTH)?);
    let old = adapter.filter.load(Ordering::Acquire);
    // The miniport may indicate by the new filter before the request is complete.
    adapter.filter.store(old | new, Ordering::Release);
    let result = request(
        adapter,
        NdisRequestSetInformation,
        OID_GEN_CURRENT_PACKET_FILTER,
        &mut buffer.to_vec(),
    );
    if new == 0 {
        adapter
            .filter_cleared
            .store(now().max(1), Ordering::Release);
    }
    adapter
        .filter
        .store(if result.is_ok() { new } else { old }, Ordering::Release);
    result.map(|_| ())
}

fn set_multicast(adapter: &'static Adapter, buffer: &[u8]) -> Result<(), NDIS_STATUS> {
    if !buffer.len().is_multiple_of(6) {
        return Err(NDIS_STATUS_INVALID_LENGTH);
    }
    let list: Vec<[u8; 6]> = buffer
        .chunks_exact(6)
        .map(|c| core::array::from_fn(|i| c[i]))
        .collect();
    let max = adapter
        .attributes
        .lock()
        .as_ref()
        .and_then(|a| a.general.as_ref())
        .map_or(0, |g| g.max_multicast);
    if list.len() > max as usize {
        return Err(NDIS_STATUS_MULTICAST_FULL);
    }
    request(
        adapter,
        NdisRequestSetInformation,
        OID_802_3_MULTICAST_LIST,
        &mut buffer.to_vec(),
    )?;
    *adapter.multicast.lock() = list;
    Ok(())
}

/// Sets an OID of offloads: the miniport has to indicate its configuration afterwards, even when nothing changed.
fn set_with_indication(
    adapter: &'static Adapter,
    oid: u32,
    buffer: &[u8],
) -> Result<(), NDIS_STATUS> {
    let before = adapter.config_indications.load(Ordering::Acquire);
    if oid == OID_OFFLOAD_ENCAPSULATION {
        note_encapsulation(adapter, buffer);
    }
    request(
        adapter,
        NdisRequestSetInformation,
        oid,
        &mut buffer.to_vec(),
    )?;
    let deadline = now() + INDICATION;
    let mut tick = new_event();
    while adapter.config_indications.load(Ordering::Acquire) == before {
        if now() >= deadline {
            rules::broken(
                adapter,
                "MiniportOidRequest",
                rules::STATUS,
                format_args!("no NDIS_STATUS_TASK_OFFLOAD_CURRENT_CONFIG follows OID {oid:#010x}"),
            );
            break;
        }
        wait(&mut tick, Some(SECOND / 100));
    }
    Ok(())
}

/// From the request on verdicts may come.
fn note_encapsulation(adapter: &Adapter, buffer: &[u8]) {
    let enabled = |at: usize| {
        buffer
            .get(at..at + 4)
            .is_some_and(|b| b == NDIS_OFFLOAD_SET_ON.to_le_bytes())
    };
    adapter.offload.lock().encapsulation = [
        enabled(core::mem::offset_of!(NDIS_OFFLOAD_ENCAPSULATION, IPv4)),
        enabled(core::mem::offset_of!(NDIS_OFFLOAD_ENCAPSULATION, IPv6)),
    ];
}

/// A structure's bytes.
///
/// # Safety
/// `T` has no padding that is not initialised.
unsafe fn bytes_of<T>(value: &T, length: usize) -> &[u8] {
    // SAFETY: by the caller's word; `length` is at most the structure's.
    unsafe { core::slice::from_raw_parts(core::ptr::from_ref(value).cast(), length) }
}

/// OID_TCP_OFFLOAD_PARAMETERS, with the keywords that NDIS writes for it.
pub(super) fn set_offload(
    adapter: &'static Adapter,
    parameters: &NDIS_OFFLOAD_PARAMETERS,
) -> Result<(), NDIS_STATUS> {
    let (revision, size) = match adapter.version() {
        (6, 83..) => (5, NDIS_SIZEOF_OFFLOAD_PARAMETERS_REVISION_5),
        (6, 50..) => (4, NDIS_SIZEOF_OFFLOAD_PARAMETERS_REVISION_4),
        _ => (3, NDIS_SIZEOF_OFFLOAD_PARAMETERS_REVISION_3),
    };
    for (name, value) in keywords(parameters) {
        config::put_string(&adapter.class_key, name, &value);
    }
    // SAFETY: every field may be zero; the copy's padding is zero as well.
    let mut copy: NDIS_OFFLOAD_PARAMETERS = unsafe { core::mem::zeroed() };
    // SAFETY: a plain structure.
    unsafe {
        core::ptr::copy_nonoverlapping(
            core::ptr::from_ref(parameters).cast::<u8>(),
            (&raw mut copy).cast::<u8>(),
            size_of::<NDIS_OFFLOAD_PARAMETERS>(),
        );
    }
    copy.Header = NDIS_OBJECT_HEADER::new(NDIS_OBJECT_TYPE_DEFAULT, revision, size);
    // SAFETY: see above.
    let bytes = unsafe { bytes_of(&copy, usize::from(size)) };
    set(adapter, OID_TCP_OFFLOAD_PARAMETERS, bytes)
}

/// The standardized keywords that offload parameters change, as the registry has them.
fn keywords(p: &NDIS_OFFLOAD_PARAMETERS) -> Vec<(&'static str, String)> {
    let checksums = [
        ("*IPChecksumOffloadIPv4", p.IPv4Checksum),
        ("*TCPChecksumOffloadIPv4", p.TCPIPv4Checksum),
        ("*UDPChecksumOffloadIPv4", p.UDPIPv4Checksum),
        ("*TCPChecksumOffloadIPv6", p.TCPIPv6Checksum),
        ("*UDPChecksumOffloadIPv6", p.UDPIPv6Checksum),
    ];
    let switches = [
        ("*LsoV2IPv4", p.LsoV2IPv4),
        ("*LsoV2IPv6", p.LsoV2IPv6),
        ("*RscIPv4", p.RscIPv4),
        ("*RscIPv6", p.RscIPv6),
    ];
    checksums
        .into_iter()
        .chain(switches)
        // The keyword is one less than the parameter; 0 leaves it.
        .filter(|(_, v)| (1..=4).contains(v))
        .map(|(name, v)| (name, alloc::format!("{}", v - 1)))
        .collect()
}

/// OID_OFFLOAD_ENCAPSULATION for both IP versions, as TCP/IP sets it.
pub(super) fn set_encapsulation(adapter: &'static Adapter) -> Result<(), NDIS_STATUS> {
    const ETHERNET_HEADER: u32 = 14;
    let on = NDIS_ENCAPSULATION {
        Enabled: NDIS_OFFLOAD_SET_ON,
        EncapsulationType: NDIS_ENCAPSULATION_IEEE_802_3,
        HeaderSize: ETHERNET_HEADER,
    };
    let e = NDIS_OFFLOAD_ENCAPSULATION {
        Header: NDIS_OBJECT_HEADER::new(
            NDIS_OBJECT_TYPE_OFFLOAD_ENCAPSULATION,
            1,
            NDIS_SIZEOF_OFFLOAD_ENCAPSULATION_REVISION_1,
        ),
        IPv4: on,
        IPv6: on,
    };
    // SAFETY: the structure has no padding.
    let bytes = unsafe { bytes_of(&e, size_of_val(&e)) };
    set(adapter, OID_OFFLOAD_ENCAPSULATION, bytes)
}

/// OID_GEN_RECEIVE_SCALE_PARAMETERS.
pub(super) fn set_rss(
    adapter: &'static Adapter,
    hash_types: u32,
    processors: &[u32],
    entries: usize,
    key: &[u8; 40],
) -> Result<(), NDIS_STATUS> {
    let (revision, size) = if adapter.version() >= (6, 60) {
        (3, NDIS_SIZEOF_RECEIVE_SCALE_PARAMETERS_REVISION_3)
    } else {
        (2, NDIS_SIZEOF_RECEIVE_SCALE_PARAMETERS_REVISION_2)
    };
    let off = processors.is_empty();
    let number = |index: u32| PROCESSOR_NUMBER {
        Group: 0,
        Number: index as u8,
        Reserved: 0,
    };
    let table = if off {
        0
    } else {
        entries * size_of::<PROCESSOR_NUMBER>()
    };
    let whole = size_of::<NDIS_RECEIVE_SCALE_PARAMETERS>();
    let mut bytes = vec![0u8; whole + table + if off { 0 } else { key.len() }];
    // SAFETY: every field may be zero.
    let mut p: NDIS_RECEIVE_SCALE_PARAMETERS = unsafe { core::mem::zeroed() };
    p.Header = NDIS_OBJECT_HEADER::new(NDIS_OBJECT_TYPE_RSS_PARAMETERS, revision, size);
    if off {
        p.Flags = NDIS_RSS_PARAM_FLAG_DISABLE_RSS;
    } else {
        p.HashInformation = hash_types & NDIS_HASH_TYPE_MASK | NdisHashFunctionToeplitz;
        p.IndirectionTableSize = table as u16;
        p.IndirectionTableOffset = whole as u32;
        p.HashSecretKeySize = key.len() as u16;
        p.HashSecretKeyOffset = (whole + table) as u32;
        p.DefaultProcessorNumber = number(processors[0]);
        for (entry, to) in bytes[whole..whole + table].chunks_exact_mut(4).enumerate() {
            let n = number(processors[entry % processors.len()]);
            to.copy_from_slice(&[0, 0, n.Number, 0]);
        }
        bytes[whole + table..].copy_from_slice(key);
    }
    // SAFETY: the vector is as long as the structure at least.
    unsafe {
        bytes
            .as_mut_ptr()
            .cast::<NDIS_RECEIVE_SCALE_PARAMETERS>()
            .write_unaligned(p)
    };
    set(adapter, OID_GEN_RECEIVE_SCALE_PARAMETERS, &bytes)
}

/// OID_GEN_STATISTICS.
pub(super) fn statistics(adapter: &'static Adapter) -> Result<NDIS_STATISTICS_INFO, NDIS_STATUS> {
    let mut bytes = vec![0u8; size_of::<NDIS_STATISTICS_INFO>()];
    let n = request(
        adapter,
        NdisRequestQueryInformation,
        OID_GEN_STATISTICS,
        &mut bytes,
    )?;
    // SAFETY: the vector has the structure's size, and any bytes are one.
    let info: NDIS_STATISTICS_INFO = unsafe {
        bytes
            .as_ptr()
            .cast::<NDIS_STATISTICS_INFO>()
            .read_unaligned()
    };
    let wanted = NDIS_SIZEOF_STATISTICS_INFO_REVISION_1;
    if n < u32::from(wanted)
        || info.Header.Type != NDIS_OBJECT_TYPE_DEFAULT
        || info.Header.Size < wanted
    {
        broken(adapter, OID_GEN_STATISTICS, "gave no NDIS_STATISTICS_INFO");
    }
    Ok(info)
}

/// OID_PNP_SET_POWER; `state` is an NDIS_DEVICE_POWER_STATE.
pub(super) fn set_power(adapter: &'static Adapter, state: u32) {
    let result = request(
        adapter,
        NdisRequestSetInformation,
        OID_PNP_SET_POWER,
        &mut state.to_le_bytes(),
    );
    if let Err(status) = result {
        rules::log(
            adapter,
            format_args!("OID_PNP_SET_POWER {state} ended with {status:#x}"),
        );
    }
}

/// What NDIS asks an adapter by itself after it was initialised. A refusal of what is optional is none of NDIS' business.
pub(super) fn greet(adapter: &'static Adapter) {
    let name: Vec<u8> = "LAB".encode_utf16().flat_map(u16::to_le_bytes).collect();
    // The result is of no use: not every miniport takes the machine's name.
    let _ = set(adapter, OID_GEN_MACHINE_NAME, &name);
    let mandatory = [
        (OID_GEN_MAXIMUM_TOTAL_SIZE, 4),
        (OID_GEN_TRANSMIT_BLOCK_SIZE, 4),
        (OID_GEN_RECEIVE_BLOCK_SIZE, 4),
        (OID_GEN_TRANSMIT_BUFFER_SPACE, 4),
        (OID_GEN_RECEIVE_BUFFER_SPACE, 4),
        (OID_GEN_VENDOR_ID, 4),
        (OID_GEN_VENDOR_DESCRIPTION, 256),
        (OID_GEN_VENDOR_DRIVER_VERSION, 4),
        (OID_GEN_XMIT_OK, 8),
        (OID_GEN_RCV_OK, 8),
        (
            OID_GEN_INTERRUPT_MODERATION,
            size_of::<NDIS_INTERRUPT_MODERATION_PARAMETERS>(),
        ),
        (OID_GEN_STATISTICS, size_of::<NDIS_STATISTICS_INFO>()),
    ];
    for (oid, length) in mandatory {
        if let Err(status) = request(
            adapter,
            NdisRequestQueryInformation,
            oid,
            &mut vec![0; length],
        ) {
            rules::broken(
                adapter,
                "MiniportOidRequest",
                rules::OID,
                format_args!("the mandatory OID {oid:#010x} cannot be queried: {status:#x}"),
            );
        }
    }
}

/// The offloads after a status indication.
pub(super) fn took_configuration(adapter: &Adapter, config: NDIS_OFFLOAD) {
    let hardware = {
        let mut offloads = adapter.offload.lock();
        offloads.current = config;
        offloads.hardware
    };
    for what in offload::beyond(&config, &hardware) {
        rules::broken(
            adapter,
            "NdisMIndicateStatusEx",
            rules::OFFLOAD,
            format_args!("{what} is on, which the hardware capabilities do not have"),
        );
    }
    adapter.config_indications.fetch_add(1, Ordering::AcqRel);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: NDIS_STATUS, done: u32, needed: u32) -> Answer {
        Answer {
            status,
            done,
            needed,
        }
    }

    #[test]
    fn answers_that_are_right_have_no_faults() {
        let (query, set) = (NdisRequestQueryInformation, NdisRequestSetInformation);
        for (oid, kind, length, a) in [
            (
                OID_GEN_VENDOR_ID,
                query,
                4,
                answer(NDIS_STATUS_SUCCESS, 4, 0),
            ),
            (
                OID_GEN_XMIT_OK,
                query,
                2,
                answer(NDIS_STATUS_BUFFER_TOO_SHORT, 0, 8),
            ),
            (
                OID_GEN_CURRENT_PACKET_FILTER,
                set,
                4,
                answer(NDIS_STATUS_SUCCESS, 4, 0),
            ),
            (
                OID_802_3_MULTICAST_LIST,
                set,
                0,
                answer(NDIS_STATUS_SUCCESS, 0, 0),
            ),
            (
                OID_PNP_SET_POWER,
                set,
                4,
                answer(NDIS_STATUS_NOT_ACCEPTED, 0, 0),
            ),
            (
                OID_GEN_VLAN_ID,
                query,
                4,
                answer(NDIS_STATUS_NOT_SUPPORTED, 0, 0),
            ),
        ] {
            assert!(faults(oid, kind, length, &a).is_empty(), "{oid:#x}");
        }
    }

    #[test]
    fn answers_that_are_wrong_are_found() {
        let (query, set) = (NdisRequestQueryInformation, NdisRequestSetInformation);
        for (oid, kind, length, a) in [
            (
                OID_GEN_VENDOR_ID,
                query,
                4,
                answer(NDIS_STATUS_PENDING, 4, 0),
            ),
            (
                OID_GEN_VENDOR_ID,
                query,
                4,
                answer(NDIS_STATUS_SUCCESS, 8, 0),
            ),
            (
                OID_GEN_VENDOR_ID,
                query,
                4,
                answer(NDIS_STATUS_SUCCESS, 0, 0),
            ),
            (
                OID_GEN_XMIT_OK,
                query,
                2,
                answer(NDIS_STATUS_BUFFER_TOO_SHORT, 0, 0),
            ),
            (
                OID_GEN_CURRENT_PACKET_FILTER,
                set,
                4,
                answer(NDIS_STATUS_SUCCESS, 0, 0),
            ),
            (
                OID_PNP_QUERY_POWER,
                query,
                4,
                answer(NDIS_STATUS_FAILURE, 0, 0),
            ),
            (OID_PNP_SET_POWER, set, 4, answer(NDIS_STATUS_FAILURE, 0, 0)),
            (
                OID_PM_REMOVE_WOL_PATTERN,
                set,
                4,
                answer(NDIS_STATUS_FAILURE, 0, 0),
            ),
        ] {
            assert_eq!(faults(oid, kind, length, &a).len(), 1, "{oid:#x}");
        }
    }

    #[test]
    fn keywords_are_one_less_than_the_parameters_and_zero_leaves_them() {
        let p = NDIS_OFFLOAD_PARAMETERS {
            TCPIPv4Checksum: NDIS_OFFLOAD_PARAMETERS_TX_RX_ENABLED,
            LsoV2IPv4: NDIS_OFFLOAD_PARAMETERS_LSOV2_DISABLED,
            ..NDIS_OFFLOAD_PARAMETERS::default()
        };
        assert_eq!(
            keywords(&p),
            [
                ("*TCPChecksumOffloadIPv4", String::from("3")),
                ("*LsoV2IPv4", String::from("0"))
            ]
        );
    }
}
