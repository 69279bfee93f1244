//! SHARED_INFO: the pending and mask bits of the 2-level event channel ABI, and Xen's clock.

use core::ffi::c_void;

use crate::table::{Acquire, Release};
use crate::{Boolean, Guid, Interface};

/// GUID of the interface.
pub const GUID: Guid = Guid::from_u128(0x7E73C34F_1640_4649_A8F3_263BC930A004);

/// `UpcallSupported`: whether the processor (Windows index) has a vcpu_info. Any IRQL.
pub type UpcallSupported =
    unsafe extern "system" fn(interface: *mut Interface, index: u32) -> Boolean;

/// `UpcallPending`: takes the processor's upcall flag. Any IRQL.
pub type UpcallPending =
    unsafe extern "system" fn(interface: *mut Interface, index: u32) -> Boolean;

/// What [`EvtchnPoll`] calls for each pending, unmasked port.
pub type Event = unsafe extern "system" fn(argument: *mut c_void, port: u32) -> Boolean;

/// `EvtchnPoll`: calls `event` for the pending ports of the processor. Any IRQL.
pub type EvtchnPoll = unsafe extern "system" fn(
    interface: *mut Interface,
    index: u32,
    event: Event,
    argument: *mut c_void,
) -> Boolean;

/// `EvtchnAck`, `EvtchnMask`: clear the pending bit, set the mask bit of a port. Any IRQL.
pub type EvtchnPort = unsafe extern "system" fn(interface: *mut Interface, port: u32);

/// `EvtchnUnmask`: clears the mask bit and says whether the port is pending. Any IRQL.
pub type EvtchnUnmask = unsafe extern "system" fn(interface: *mut Interface, port: u32) -> Boolean;

/// `GetTime` of version 2: wall clock time in 100 ns since 1601 (a `LARGE_INTEGER` by value).
pub type GetTimeV2 = unsafe extern "system" fn(interface: *mut Interface) -> i64;

/// `GetTime` from version 3 on: wall clock time in 100 ns since 1601, and whether it is local time.
pub type GetTime =
    unsafe extern "system" fn(interface: *mut Interface, time: *mut i64, local: *mut Boolean);

interface! {
    /// `XENBUS_SHARED_INFO_INTERFACE_V2`.
    SharedInfoV2 = GUID, "SHARED_INFO", version 2, size 96 {
        /// Take a reference.
        acquire: Acquire,
        /// Give it back.
        release: Release,
        /// Take the upcall flag.
        upcall_pending: UpcallPending,
        /// Visit pending ports.
        evtchn_poll: EvtchnPoll,
        /// Clear pending.
        evtchn_ack: EvtchnPort,
        /// Mask.
        evtchn_mask: EvtchnPort,
        /// Unmask.
        evtchn_unmask: EvtchnUnmask,
        /// Xen's wall clock.
        get_time: GetTimeV2,
    }
}

interface! {
    /// `XENBUS_SHARED_INFO_INTERFACE_V3`.
    SharedInfoV3 = GUID, "SHARED_INFO", version 3, size 96 {
        /// Take a reference.
        acquire: Acquire,
        /// Give it back.
        release: Release,
        /// Take the upcall flag.
        upcall_pending: UpcallPending,
        /// Visit pending ports.
        evtchn_poll: EvtchnPoll,
        /// Clear pending.
        evtchn_ack: EvtchnPort,
        /// Mask.
        evtchn_mask: EvtchnPort,
        /// Unmask.
        evtchn_unmask: EvtchnUnmask,
        /// Xen's wall clock.
        get_time: GetTime,
    }
}

interface! {
    /// `XENBUS_SHARED_INFO_INTERFACE_V4`.
    SharedInfoV4 = GUID, "SHARED_INFO", version 4, size 104 {
        /// Take a reference.
        acquire: Acquire,
        /// Give it back.
        release: Release,
        /// Whether a processor has a vcpu_info.
        upcall_supported: UpcallSupported,
        /// Take the upcall flag.
        upcall_pending: UpcallPending,
        /// Visit pending ports.
        evtchn_poll: EvtchnPoll,
        /// Clear pending.
        evtchn_ack: EvtchnPort,
        /// Mask.
        evtchn_mask: EvtchnPort,
        /// Unmask.
        evtchn_unmask: EvtchnUnmask,
        /// Xen's wall clock.
        get_time: GetTime,
    }
}
