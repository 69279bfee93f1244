//! netio.sys: the tables of interfaces and addresses that drivers read ("IP Helper" for the kernel).
//! <https://learn.microsoft.com/windows-hardware/drivers/ddi/netioapi/>
//!
//! Interfaces are NDIS' adapters. The executive's TCP/IP stack is no part of Windows', and its addresses are not in the table of
//! addresses, which is empty; so nobody is ever told that one changed.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};

use crate::nt::base::{GUID, NTSTATUS};
use crate::nt::ke::PVOID;
use crate::nt::status::*;
use crate::storport::os::{ExAllocatePoolWithTag, ExFreePoolWithTag, NON_PAGED_POOL_NX};
use crate::sync::Lock;

const TAG: u32 = u32::from_le_bytes(*b"Ipif");
const ETHERNET: u32 = 6;
const NAME: usize = 257;

/// MIB_IF_ROW2.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(missing_docs)]
pub struct MIB_IF_ROW2 {
    pub InterfaceLuid: u64,
    pub InterfaceIndex: u32,
    pub InterfaceGuid: GUID,
    pub Alias: [u16; NAME],
    pub Description: [u16; NAME],
    pub PhysicalAddressLength: u32,
    pub PhysicalAddress: [u8; 32],
    pub PermanentPhysicalAddress: [u8; 32],
    pub Mtu: u32,
    pub Type: u32,
    pub TunnelType: u32,
    pub MediaType: u32,
    pub PhysicalMediumType: u32,
    pub AccessType: u32,
    pub DirectionType: u32,
    /// HardwareInterface, FilterInterface, ConnectorPresent, ...
    pub InterfaceAndOperStatusFlags: u8,
    pub OperStatus: u32,
    pub AdminStatus: u32,
    pub MediaConnectState: u32,
    pub NetworkGuid: GUID,
    pub ConnectionType: u32,
    pub TransmitLinkSpeed: u64,
    pub ReceiveLinkSpeed: u64,
    pub Counters: [u64; 18],
}
crate::assert_layout!(MIB_IF_ROW2, 1352, 8, InterfaceIndex @ 8, InterfaceGuid @ 12, Alias @ 28, Description @ 542,
    PhysicalAddressLength @ 1056, PhysicalAddress @ 1060, PermanentPhysicalAddress @ 1092, Mtu @ 1124, Type @ 1128,
    InterfaceAndOperStatusFlags @ 1152, OperStatus @ 1156, NetworkGuid @ 1168, ConnectionType @ 1184,
    TransmitLinkSpeed @ 1192, Counters @ 1208);

/// The bits of `InterfaceAndOperStatusFlags` that an adapter has: HardwareInterface and ConnectorPresent.
const HARDWARE: u8 = 1 | 4;
const UP: u32 = 1;
const DOWN: u32 = 2;

fn wide(text: &str) -> [u16; NAME] {
    let mut units = [0; NAME];
    for (to, from) in units[..NAME - 1].iter_mut().zip(text.encode_utf16()) {
        *to = from;
    }
    units
}

fn row(adapter: &crate::ndis::protocol::Info) -> MIB_IF_ROW2 {
    let padded = |address: [u8; 6]| core::array::from_fn(|i| address.get(i).copied().unwrap_or(0));
    // SAFETY: every field may be zero.
    let zero: MIB_IF_ROW2 = unsafe { core::mem::zeroed() };
    MIB_IF_ROW2 {
        InterfaceLuid: adapter.luid,
        InterfaceIndex: adapter.index,
        Alias: wide(&alloc::format!("Ethernet {}", adapter.index)),
        Description: wide(&adapter.description),
        PhysicalAddressLength: 6,
        PhysicalAddress: padded(adapter.current_address),
        PermanentPhysicalAddress: padded(adapter.permanent_address),
        Mtu: adapter.mtu,
        Type: ETHERNET,
        InterfaceAndOperStatusFlags: HARDWARE,
        OperStatus: if adapter.link.connected { UP } else { DOWN },
        AdminStatus: UP,
        MediaConnectState: if adapter.link.connected { 1 } else { 2 },
        TransmitLinkSpeed: adapter.link.xmit_speed,
        ReceiveLinkSpeed: adapter.link.rcv_speed,
        ..zero
    }
}

/// A table of pool: a count, and behind it rows that begin at 8.
unsafe fn table<T: Copy>(rows: &[T], to: *mut PVOID) -> NTSTATUS {
    let size = 8 + size_of_val(rows);
    let memory = ExAllocatePoolWithTag(NON_PAGED_POOL_NX, size, TAG).cast::<u8>();
    if memory.is_null() {
        return STATUS_NO_MEMORY;
    }
    memory.write_bytes(0, 8);
    memory.cast::<u32>().write(rows.len() as u32);
    core::ptr::copy_nonoverlapping(rows.as_ptr(), memory.add(8).cast::<T>(), rows.len());
    to.write(memory.cast());
    STATUS_SUCCESS
}

/// GetIfTable2: at most DISPATCH_LEVEL.
///
/// # Safety
/// As its page says.
pub unsafe extern "win64" fn GetIfTable2(to: *mut PVOID) -> NTSTATUS {
    if to.is_null() {
        return STATUS_INVALID_PARAMETER;
    }
    let rows: Vec<MIB_IF_ROW2> = crate::ndis::protocol::adapters().iter().map(row).collect();
    table(&rows, to)
}

/// GetUnicastIpAddressTable: at most DISPATCH_LEVEL.
///
/// # Safety
/// As its page says.
pub unsafe extern "win64" fn GetUnicastIpAddressTable(_family: u16, to: *mut PVOID) -> NTSTATUS {
    if to.is_null() {
        return STATUS_INVALID_PARAMETER;
    }
    table::<u64>(&[], to)
}

/// FreeMibTable: at most DISPATCH_LEVEL.
///
/// # Safety
/// As its page says.
pub unsafe extern "win64" fn FreeMibTable(table: PVOID) {
    ExFreePoolWithTag(table, TAG);
}

/// PUNICAST_IPADDRESS_CHANGE_CALLBACK
type Changed = unsafe extern "win64" fn(context: PVOID, row: PVOID, kind: u32);

/// Registrations that stand, by their handles.
static REGISTERED: Lock<Vec<usize>> = Lock::new(Vec::new());
static NEXT: AtomicUsize = AtomicUsize::new(1);

/// NotifyUnicastIpAddressChange: PASSIVE_LEVEL. The callback comes at once if the caller wants that.
///
/// # Safety
/// As its page says.
pub unsafe extern "win64" fn NotifyUnicastIpAddressChange(
    _family: u16,
    callback: Option<Changed>,
    context: PVOID,
    initial: u8,
    handle: *mut PVOID,
) -> NTSTATUS {
    const INITIAL_NOTIFICATION: u32 = 3;
    let (Some(callback), false) = (callback, handle.is_null()) else {
        return STATUS_INVALID_PARAMETER;
    };
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    REGISTERED.lock().push(number);
    handle.write(number as PVOID);
    if initial != 0 {
        callback(context, core::ptr::null_mut(), INITIAL_NOTIFICATION);
    }
    STATUS_SUCCESS
}

/// CancelMibChangeNotify2: PASSIVE_LEVEL.
///
/// # Safety
/// As its page says.
pub unsafe extern "win64" fn CancelMibChangeNotify2(handle: PVOID) -> NTSTATUS {
    let mut registered = REGISTERED.lock();
    match registered.iter().position(|n| *n == handle as usize) {
        Some(at) => {
            registered.swap_remove(at);
            STATUS_SUCCESS
        }
        None => STATUS_INVALID_PARAMETER,
    }
}

crate::exports! {
    pub static EXPORTS;
    Netio {
        GetIfTable2, GetUnicastIpAddressTable, FreeMibTable, NotifyUnicastIpAddressChange, CancelMibChangeNotify2,
    }
}
