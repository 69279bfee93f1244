//! Sends: what the miniport owns between MiniportSendNetBufferLists and NdisMSendNetBufferListsComplete.

use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use super::adapter::Adapter;
use super::{chain, rules};
use crate::nt::ke::{DISPATCH_LEVEL, PVOID};
use crate::nt::ndis::*;
use crate::storport::os::{KeGetCurrentIrql, SECOND, now};

/// Driver Verifier's NdisTimedDataSend.
const LIMIT: u64 = 30 * SECOND;

/// A list that the miniport has.
pub(super) struct Sent {
    since: u64,
    /// What must be as it was when it comes back
    shape: Vec<chain::Shape>,
    large: bool,
}

/// What to do with lists that are not sent.
unsafe fn refuse(adapter: &Adapter, lists: *mut NET_BUFFER_LIST, status: NDIS_STATUS, flags: u32) {
    for list in chain::lists(lists) {
        (*list).Status = status;
    }
    match adapter.client() {
        Some(client) => client.send_complete(lists, flags & NDIS_SEND_FLAGS_DISPATCH_LEVEL),
        None => rules::log(
            adapter,
            format_args!("a protocol sent after it was unbound"),
        ),
    }
}

/// Hands a protocol's lists to the miniport. At most DISPATCH_LEVEL.
pub(super) unsafe fn send(
    adapter: &'static Adapter,
    generation: u32,
    lists: *mut NET_BUFFER_LIST,
    flags: u32,
) {
    if lists.is_null() {
        return;
    }
    if adapter.generation() != generation {
        return refuse(adapter, lists, NDIS_STATUS_ADAPTER_REMOVED, flags);
    }
    if adapter.low_power.load(Ordering::Acquire) {
        return refuse(adapter, lists, NDIS_STATUS_LOW_POWER_STATE, flags);
    }
    let routine = adapter.driver.handlers.SendNetBufferListsHandler;
    let (true, Some(routine)) = (adapter.state().takes_sends(), routine) else {
        return refuse(adapter, lists, NDIS_STATUS_PAUSED, flags);
    };
    let since = now();
    for list in chain::lists(lists) {
        (*list).SourceHandle = adapter.fdo.cast();
        (*list).Status = NDIS_STATUS_SUCCESS;
        let slot = (*list).NetBufferListInfo[TcpLargeSendNetBufferListInfo] as u64;
        let sent = Sent {
            since,
            shape: chain::shape(list),
            large: LargeSend::asked(slot),
        };
        if adapter.sends.lock().insert(list as usize, sent).is_some() {
            rules::log(
                adapter,
                format_args!("{list:p} is sent twice by the protocol"),
            );
        }
    }
    let dispatch = if KeGetCurrentIrql() == DISPATCH_LEVEL {
        NDIS_SEND_FLAGS_DISPATCH_LEVEL
    } else {
        0
    };
    rules::call(adapter, "MiniportSendNetBufferLists", || {
        routine(adapter.context(), lists, 0, dispatch)
    });
}

/// What a completed list shows that it should not.
unsafe fn faults(sent: &Sent, list: *mut NET_BUFFER_LIST) -> Option<&'static str> {
    if chain::shape(list) != sent.shape {
        return Some("NET_BUFFERs or MDLs are not linked as they were");
    }
    if (*list).Status == NDIS_STATUS_PENDING {
        return Some("completed with NDIS_STATUS_PENDING");
    }
    let slot = (*list).NetBufferListInfo[TcpLargeSendNetBufferListInfo] as u64;
    if sent.large && (*list).Status == NDIS_STATUS_SUCCESS && !LargeSend::completed(slot) {
        return Some("LsoV2TransmitComplete of a large send is not filled in");
    }
    None
}

/// NdisMSendNetBufferListsComplete. At most DISPATCH_LEVEL.
pub(super) unsafe extern "win64" fn NdisMSendNetBufferListsComplete(
    handle: PVOID,
    lists: *mut NET_BUFFER_LIST,
    flags: u32,
) {
    const CALL: &str = "NdisMSendNetBufferListsComplete";
    let Some(adapter) = Adapter::of(handle, CALL) else {
        return;
    };
    rules::dispatch_flag(
        adapter,
        CALL,
        flags & NDIS_SEND_COMPLETE_FLAGS_DISPATCH_LEVEL,
    );
    let mut good = chain::Builder::new();
    let time = now();
    let mut list = lists;
    while !list.is_null() {
        let Some(sent) = adapter.sends.lock().remove(&(list as usize)) else {
            rules::broken(
                adapter,
                CALL,
                rules::OWNERSHIP,
                format_args!("{list:p} is not the miniport's to complete, or was completed before"),
            );
            // What it is linked to is anyone's guess.
            break;
        };
        let next = (*list).Next;
        if let Some(what) = faults(&sent, list) {
            rules::broken(
                adapter,
                CALL,
                rules::OWNERSHIP,
                format_args!("{list:p}: {what}"),
            );
        }
        if time.saturating_sub(sent.since) > LIMIT {
            rules::broken(
                adapter,
                CALL,
                rules::TIME,
                format_args!(
                    "{list:p} took {} s",
                    time.saturating_sub(sent.since) / SECOND
                ),
            );
        }
        good.push(list);
        list = next;
    }
    let (first, _) = good.finish();
    if first.is_null() {
        return;
    }
    match adapter.client() {
        Some(client) => client.send_complete(first, flags),
        None => rules::log(adapter, format_args!("a send came back after the unbind")),
    }
}
