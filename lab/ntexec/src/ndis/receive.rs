//! Receive indications: what is indicated, who has it, and its way back.

use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use super::adapter::Adapter;
use super::{buffer, chain, offload, rules};
use crate::nt::ke::PVOID;
use crate::nt::ndis::*;
use crate::storport::os::{SECOND, now};

/// How long after the packet filter became 0 an indication that was on its way may come.
const ON_ITS_WAY: u64 = SECOND / 2;
/// Bytes of an Ethernet header.
const HEADER: usize = 14;
/// Bytes of an 802.1Q tag.
const TAG: usize = 4;
/// The largest datagram that receive segment coalescing makes, with its Ethernet header.
const COALESCED: usize = 65535 + HEADER;
/// Bytes of a frame that are looked at.
const LOOKED_AT: usize = 64;

/// How many indications are being delivered to the client.
pub(super) fn delivering(adapter: &Adapter) -> u32 {
    adapter.delivering.load(Ordering::Acquire)
}

/// What holds for a whole indication.
struct Indication {
    resources: bool,
    perfect: bool,
    filter: u32,
    largest: usize,
    own: [u8; 6],
    multicast: Vec<[u8; 6]>,
    offloads: offload::Offloads,
}

/// Whether a frame to `to` passes a packet filter.
fn passes(filter: u32, to: &[u8], own: &[u8; 6], multicast: &[[u8; 6]]) -> bool {
    let has = |bits: u32| filter & bits != 0;
    if has(NDIS_PACKET_TYPE_PROMISCUOUS) {
        return true;
    }
    match to {
        [0xff, 0xff, 0xff, 0xff, 0xff, 0xff] => has(NDIS_PACKET_TYPE_BROADCAST),
        [first, ..] if first & 1 != 0 => {
            has(NDIS_PACKET_TYPE_ALL_MULTICAST)
                || has(NDIS_PACKET_TYPE_MULTICAST) && multicast.iter().any(|m| m == to)
        }
        _ => has(NDIS_PACKET_TYPE_DIRECTED) && to == own,
    }
}

/// What is wrong with one list; `None` in the result's second half keeps it from the client.
unsafe fn faults(
    adapter: &Adapter,
    i: &Indication,
    list: *mut NET_BUFFER_LIST,
) -> (Vec<String>, bool) {
    let mut wrong: Vec<String> = Vec::new();
    let say = |wrong: &mut Vec<String>, what: &str| wrong.push(String::from(what));
    if (*list).SourceHandle != adapter.handle() {
        say(&mut wrong, "SourceHandle is not the adapter's");
    }
    let split = NDIS_NBL_FLAGS_HD_SPLIT
        | NDIS_NBL_FLAGS_SPLIT_AT_UPPER_LAYER_PROTOCOL_HEADER
        | NDIS_NBL_FLAGS_SPLIT_AT_UPPER_LAYER_PROTOCOL_PAYLOAD;
    if (*list).NblFlags & split != 0 {
        say(&mut wrong, "header-data split was never offered");
    }
    let nb = (*list).FirstNetBuffer;
    if nb.is_null() {
        say(&mut wrong, "there is no NET_BUFFER");
        return (wrong, false);
    }
    if !(*nb).Next.is_null() {
        say(&mut wrong, "more than one NET_BUFFER");
    }
    if let Some(what) = chain::data_faults(nb) {
        say(&mut wrong, what);
        return (wrong, false);
    }
    let slot = |n: usize| (*list).NetBufferListInfo[n] as u64;
    let rsc = slot(TcpRecvSegCoalesceInfo);
    let length = (*nb).DataLength as usize;
    let largest = if rsc & 0xffff != 0 {
        COALESCED
    } else {
        i.largest
    };
    if !(HEADER..=COALESCED).contains(&length) {
        wrong.push(alloc::format!("a frame of {length} bytes"));
        return (wrong, false);
    }
    if length > largest {
        // NDIS lets it pass: protocols copy what they can.
        wrong.push(alloc::format!(
            "a frame of {length} bytes; {HEADER} to {largest} are possible without RSC"
        ));
    }
    let mut head = [0u8; LOOKED_AT];
    let n = buffer::copy_out(nb, 0, &mut head);
    let kind = offload::Kind::of(&head[..n]);
    wrong.extend(offload::receive_faults(
        slot(TcpIpChecksumNetBufferListInfo),
        rsc,
        kind,
        &i.offloads,
    ));
    if i.perfect && !passes(i.filter, &head[..6], &i.own, &i.multicast) {
        wrong.push(alloc::format!(
            "PERFECT_FILTERED with a frame to {:02x?} and packet filter {:#x}",
            &head[..6],
            i.filter
        ));
    }
    (wrong, true)
}

fn indication(adapter: &Adapter, flags: u32) -> Indication {
    let attributes = adapter.attributes.lock();
    let general = attributes.as_ref().and_then(|a| a.general.as_ref());
    let (mtu, own) = general.map_or((0, [0; 6]), |g| (g.mtu, g.current));
    Indication {
        resources: flags & NDIS_RECEIVE_FLAGS_RESOURCES != 0,
        perfect: flags & NDIS_RECEIVE_FLAGS_PERFECT_FILTERED != 0,
        filter: adapter.filter.load(Ordering::Acquire),
        largest: mtu as usize + HEADER + TAG,
        own,
        multicast: adapter.multicast.lock().clone(),
        offloads: *adapter.offload.lock(),
    }
}

/// NdisMIndicateReceiveNetBufferLists. At most DISPATCH_LEVEL.
pub(super) unsafe extern "win64" fn NdisMIndicateReceiveNetBufferLists(
    handle: PVOID,
    lists: *mut NET_BUFFER_LIST,
    port: u32,
    count: u32,
    flags: u32,
) {
    const CALL: &str = "NdisMIndicateReceiveNetBufferLists";
    let Some(adapter) = Adapter::of(handle, CALL) else {
        return;
    };
    let broken =
        |what: core::fmt::Arguments<'_>| rules::broken(adapter, CALL, rules::INDICATION, what);
    rules::dispatch_flag(adapter, CALL, flags & NDIS_RECEIVE_FLAGS_DISPATCH_LEVEL);
    if port != 0 {
        broken(format_args!("port {port} does not exist"));
    }
    let state = adapter.state();
    if !state.may_indicate() {
        rules::broken(
            adapter,
            CALL,
            rules::STATE,
            format_args!("frames are indicated in state {state:?}"),
        );
    }
    let i = indication(adapter, flags);
    let cleared = adapter.filter_cleared.load(Ordering::Acquire);
    if i.filter == 0 && (cleared == 0 || now().saturating_sub(cleared) > ON_ITS_WAY) {
        broken(format_args!(
            "frames are indicated while the packet filter is 0"
        ));
    }
    let mut good = chain::Builder::new();
    let mut bad = chain::Builder::new();
    let mut seen = 0;
    // With RESOURCES the miniport walks its own chain afterwards.
    let mut order = Vec::new();
    let mut list = lists;
    while !list.is_null() {
        let next = (*list).Next;
        seen += 1;
        let first = i.resources || adapter.received.lock().insert(list as usize);
        if !first {
            rules::broken(
                adapter,
                CALL,
                rules::OWNERSHIP,
                format_args!("{list:p} is indicated and was not returned yet"),
            );
            break;
        }
        let (wrong, usable) = faults(adapter, &i, list);
        for what in wrong {
            broken(format_args!("{list:p}: {what}"));
        }
        if usable && i.filter != 0 {
            good.push(list);
        } else {
            bad.push(list);
        }
        if i.resources {
            order.push(list);
        }
        list = next;
    }
    if seen != count {
        broken(format_args!("{count} lists are said to come, {seen} do"));
    }
    deliver(adapter, good, flags);
    let (dropped, _) = bad.finish();
    if !i.resources {
        give_back(adapter, dropped, flags);
    }
    for (at, list) in order.iter().enumerate() {
        (**list).Next = order.get(at + 1).copied().unwrap_or(core::ptr::null_mut());
    }
}

unsafe fn deliver(adapter: &'static Adapter, good: chain::Builder, flags: u32) {
    let (first, count) = good.finish();
    if first.is_null() {
        return;
    }
    adapter.delivering.fetch_add(1, Ordering::AcqRel);
    let client = adapter.client();
    match client {
        Some(client) if adapter.open.load(Ordering::Acquire) => client.receive(first, count, flags),
        _ if flags & NDIS_RECEIVE_FLAGS_RESOURCES == 0 => give_back(adapter, first, flags),
        _ => {}
    }
    adapter.delivering.fetch_sub(1, Ordering::AcqRel);
}

/// Returns lists to the miniport. At most DISPATCH_LEVEL.
pub(super) unsafe fn give_back(
    adapter: &'static Adapter,
    lists: *mut NET_BUFFER_LIST,
    _flags: u32,
) {
    let mut known = chain::Builder::new();
    for list in chain::lists(lists) {
        if adapter.received.lock().remove(&(list as usize)) {
            known.push(list);
        } else {
            rules::log(
                adapter,
                format_args!("the protocol returns {list:p}, which it does not have"),
            );
        }
    }
    let (first, _) = known.finish();
    let Some(routine) = adapter
        .driver
        .handlers
        .ReturnNetBufferListsHandler
        .filter(|_| !first.is_null())
    else {
        return;
    };
    let dispatch = if crate::storport::os::KeGetCurrentIrql() == crate::nt::ke::DISPATCH_LEVEL {
        NDIS_RETURN_FLAGS_DISPATCH_LEVEL
    } else {
        0
    };
    rules::call(adapter, "MiniportReturnNetBufferLists", || {
        routine(adapter.context(), first, dispatch)
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: [u8; 6] = [0, 0x16, 0x3e, 1, 2, 3];
    const GROUP: [u8; 6] = [1, 0, 0x5e, 0, 0, 1];

    #[test]
    fn a_frame_passes_the_filter_by_its_destination() {
        let (d, m, all, b, p) = (
            NDIS_PACKET_TYPE_DIRECTED,
            NDIS_PACKET_TYPE_MULTICAST,
            NDIS_PACKET_TYPE_ALL_MULTICAST,
            NDIS_PACKET_TYPE_BROADCAST,
            NDIS_PACKET_TYPE_PROMISCUOUS,
        );
        let other = [0, 0x16, 0x3e, 9, 9, 9];
        for (filter, to, wanted) in [
            (d, OWN, true),
            (d, other, false),
            (d, [0xff; 6], false),
            (b, [0xff; 6], true),
            (b, OWN, false),
            (m, GROUP, true),
            (m, [1, 0, 0x5e, 0, 0, 2], false),
            (all, [1, 0, 0x5e, 0, 0, 2], true),
            (all, [0xff; 6], false),
            (p, other, true),
            (0, OWN, false),
        ] {
            assert_eq!(
                passes(filter, &to, &OWN, &[GROUP]),
                wanted,
                "{filter:#x} {to:x?}"
            );
        }
    }
}
