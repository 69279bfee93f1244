//! CONSOLE: the domain's console ring.

use core::ffi::{c_char, c_void};

use crate::table::{Acquire, Release};
use crate::{Boolean, Guid, Interface, NtStatus};

/// GUID of the interface.
pub const GUID: Guid = Guid::from_u128(0x04C4F738_034A_4268_BD20_A92AC90D4F82);

opaque! {
    /// A registered event.
    Wakeup
}

/// `CanRead`, `CanWrite`: whether there is something to read, room to write. IRQL <= DISPATCH_LEVEL.
pub type Can = unsafe extern "system" fn(interface: *mut Interface) -> Boolean;

/// `Read`: takes up to `length` bytes, returns how many. IRQL <= DISPATCH_LEVEL.
pub type Read =
    unsafe extern "system" fn(interface: *mut Interface, data: *mut c_char, length: u32) -> u32;

/// `Write`: puts up to `length` bytes, returns how many. IRQL <= DISPATCH_LEVEL.
pub type Write =
    unsafe extern "system" fn(interface: *mut Interface, data: *const c_char, length: u32) -> u32;

/// `WakeupAdd`: `event` (a `KEVENT`) is signalled when the ring has moved. IRQL <= DISPATCH_LEVEL.
pub type WakeupAdd = unsafe extern "system" fn(
    interface: *mut Interface,
    event: *mut c_void,
    wakeup: *mut *mut Wakeup,
) -> NtStatus;

/// `WakeupRemove`. IRQL <= DISPATCH_LEVEL.
pub type WakeupRemove = unsafe extern "system" fn(interface: *mut Interface, wakeup: *mut Wakeup);

interface! {
    /// `XENBUS_CONSOLE_INTERFACE_V1`.
    ConsoleV1 = GUID, "CONSOLE", version 1, size 96 {
        /// Take a reference.
        acquire: Acquire,
        /// Give it back.
        release: Release,
        /// Whether there is input.
        can_read: Can,
        /// Take input.
        read: Read,
        /// Whether there is room.
        can_write: Can,
        /// Put output.
        write: Write,
        /// Be told of changes.
        wakeup_add: WakeupAdd,
        /// No longer.
        wakeup_remove: WakeupRemove,
    }
}
