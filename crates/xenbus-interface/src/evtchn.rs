//! EVTCHN: event channels.

use core::ffi::c_void;

use crate::table::{Acquire, Release};
use crate::{Boolean, Guid, Interface, NtStatus};

/// GUID of the interface.
pub const GUID: Guid = Guid::from_u128(0xBE2440AC_1098_4150_AF4D_452FADCEF923);

opaque! {
    /// An open channel.
    Channel
}

/// `XENBUS_EVTCHN_TYPE`: a port that exists; trailing arguments `ULONG LocalPort, BOOLEAN Mask`.
pub const TYPE_FIXED: u32 = 1;
/// `XENBUS_EVTCHN_TYPE`: a new port for a peer to bind; `USHORT RemoteDomain, BOOLEAN Mask`.
pub const TYPE_UNBOUND: u32 = 2;
/// `XENBUS_EVTCHN_TYPE`: bind a peer's port; `USHORT RemoteDomain, ULONG RemotePort, BOOLEAN Mask`.
pub const TYPE_INTER_DOMAIN: u32 = 3;
/// `XENBUS_EVTCHN_TYPE`: a virtual interrupt; `ULONG Index` and, from version 9 on,
/// `USHORT Group, UCHAR Number` of the processor.
pub const TYPE_VIRQ: u32 = 4;

/// `KSERVICE_ROUTINE`: the channel's callback, run in the vector's interrupt context (DIRQL) with
/// the port masked if the channel was opened with `Mask`. The first argument is null.
pub type Function =
    unsafe extern "system" fn(interrupt: *mut c_void, argument: *mut c_void) -> Boolean;

/// `Open`. What follows `argument` depends on `kind` (see the `TYPE_` constants); a null result is
/// a failure. IRQL <= DISPATCH_LEVEL.
///
/// The trailing arguments are integers, which the x64 convention passes in the same places whether
/// the callee is variadic or not.
pub type Open = unsafe extern "C" fn(
    interface: *mut Interface,
    kind: u32,
    function: Function,
    argument: *mut c_void,
    ...
) -> *mut Channel;

/// `Bind`: lets the channel's events arrive at a processor. IRQL <= DISPATCH_LEVEL.
pub type Bind = unsafe extern "system" fn(
    interface: *mut Interface,
    channel: *mut Channel,
    group: u16,
    number: u8,
) -> NtStatus;

/// `Unmask` up to version 7. IRQL <= device IRQL.
pub type UnmaskV4 = unsafe extern "system" fn(
    interface: *mut Interface,
    channel: *mut Channel,
    in_callback: Boolean,
);

/// `Unmask` from version 8 on. True: the port is pending on this very processor and the caller has to
/// look at its ring again. With `force` the event is raised anew instead. IRQL <= device IRQL.
pub type Unmask = unsafe extern "system" fn(
    interface: *mut Interface,
    channel: *mut Channel,
    in_callback: Boolean,
    force: Boolean,
) -> Boolean;

/// `Send`. IRQL: any in version 5, >= DISPATCH_LEVEL from version 6 on.
pub type Send = unsafe extern "system" fn(interface: *mut Interface, channel: *mut Channel);

/// `Trigger`: makes the callback run as if an event had arrived. IRQL <= device IRQL.
pub type Trigger = unsafe extern "system" fn(interface: *mut Interface, channel: *mut Channel);

/// `GetCount`: number of events so far, wrapping. IRQL <= device IRQL.
pub type GetCount =
    unsafe extern "system" fn(interface: *mut Interface, channel: *mut Channel) -> u32;

/// `Wait` up to version 6: until the next event. `timeout` as for `KeWaitForSingleObject`, in 100 ns;
/// null waits for ever. IRQL <= DISPATCH_LEVEL, spins.
pub type WaitV5 = unsafe extern "system" fn(
    interface: *mut Interface,
    channel: *mut Channel,
    timeout: *mut i64,
) -> NtStatus;

/// `Wait` from version 7 on: until the channel's count has reached `count`.
pub type Wait = unsafe extern "system" fn(
    interface: *mut Interface,
    channel: *mut Channel,
    count: u32,
    timeout: *mut i64,
) -> NtStatus;

/// `GetPort`: the local port's number. IRQL <= device IRQL.
pub type GetPort =
    unsafe extern "system" fn(interface: *mut Interface, channel: *mut Channel) -> u32;

/// `Close`. IRQL <= DISPATCH_LEVEL.
pub type Close = unsafe extern "system" fn(interface: *mut Interface, channel: *mut Channel);

interface! {
    /// `XENBUS_EVTCHN_INTERFACE_V5`.
    EvtchnV5 = GUID, "EVTCHN", version 5, size 112 {
        /// Take a reference.
        acquire: Acquire,
        /// Give it back.
        release: Release,
        /// Open a channel.
        open: Open,
        /// Choose its processor.
        bind: Bind,
        /// Unmask its port.
        unmask: UnmaskV4,
        /// Notify the peer; raises IRQL itself.
        send: Send,
        /// Run the callback.
        trigger: Trigger,
        /// Wait for an event.
        wait: WaitV5,
        /// The local port.
        get_port: GetPort,
        /// Close it.
        close: Close,
    }
}

interface! {
    /// `XENBUS_EVTCHN_INTERFACE_V6`: `send` needs DISPATCH_LEVEL.
    EvtchnV6 = GUID, "EVTCHN", version 6, size 112 {
        /// Take a reference.
        acquire: Acquire,
        /// Give it back.
        release: Release,
        /// Open a channel.
        open: Open,
        /// Choose its processor.
        bind: Bind,
        /// Unmask its port.
        unmask: UnmaskV4,
        /// Notify the peer.
        send: Send,
        /// Run the callback.
        trigger: Trigger,
        /// Wait for an event.
        wait: WaitV5,
        /// The local port.
        get_port: GetPort,
        /// Close it.
        close: Close,
    }
}

interface! {
    /// `XENBUS_EVTCHN_INTERFACE_V7`: counts.
    EvtchnV7 = GUID, "EVTCHN", version 7, size 120 {
        /// Take a reference.
        acquire: Acquire,
        /// Give it back.
        release: Release,
        /// Open a channel.
        open: Open,
        /// Choose its processor.
        bind: Bind,
        /// Unmask its port.
        unmask: UnmaskV4,
        /// Notify the peer.
        send: Send,
        /// Run the callback.
        trigger: Trigger,
        /// Events so far.
        get_count: GetCount,
        /// Wait for a count.
        wait: Wait,
        /// The local port.
        get_port: GetPort,
        /// Close it.
        close: Close,
    }
}

interface! {
    /// `XENBUS_EVTCHN_INTERFACE_V8`: `unmask` answers.
    EvtchnV8 = GUID, "EVTCHN", version 8, size 120 {
        /// Take a reference.
        acquire: Acquire,
        /// Give it back.
        release: Release,
        /// Open a channel.
        open: Open,
        /// Choose its processor.
        bind: Bind,
        /// Unmask its port.
        unmask: Unmask,
        /// Notify the peer.
        send: Send,
        /// Run the callback.
        trigger: Trigger,
        /// Events so far.
        get_count: GetCount,
        /// Wait for a count.
        wait: Wait,
        /// The local port.
        get_port: GetPort,
        /// Close it.
        close: Close,
    }
}

interface! {
    /// `XENBUS_EVTCHN_INTERFACE_V9`: `open` of a VIRQ names the processor.
    EvtchnV9 = GUID, "EVTCHN", version 9, size 120 {
        /// Take a reference.
        acquire: Acquire,
        /// Give it back.
        release: Release,
        /// Open a channel.
        open: Open,
        /// Choose its processor.
        bind: Bind,
        /// Unmask its port.
        unmask: Unmask,
        /// Notify the peer.
        send: Send,
        /// Run the callback.
        trigger: Trigger,
        /// Events so far.
        get_count: GetCount,
        /// Wait for a count.
        wait: Wait,
        /// The local port.
        get_port: GetPort,
        /// Close it.
        close: Close,
    }
}
