//! What the bus driver tells a device of: a resume of the domain, and a request to show its state.

use core::ffi::{CStr, c_void};
use core::ptr::null_mut;

use wdm::status::{Result, Status};
use xenbus_interface::debug::{Callback as RawDebug, Function as Dump};
use xenbus_interface::suspend::{CALLBACK_LATE, Callback as RawSuspend, Function as Resumed};

use crate::bus::Bus;

/// A device's registrations; taken back when dropped, at PASSIVE_LEVEL.
pub struct Registered<'a> {
    bus: &'a Bus,
    suspend: *mut RawSuspend,
    debug: *mut RawDebug,
}

impl<'a> Registered<'a> {
    /// Has `resumed` called with `argument` when the domain runs again, at DISPATCH_LEVEL with all other processors held, and
    /// `dump` when state is to be shown, at up to HIGH_LEVEL; lines of a dump begin with `prefix`. PASSIVE_LEVEL.
    ///
    /// # Errors
    /// What the bus says.
    ///
    /// # Safety
    /// Both routines may be called with the argument for as long as the registration lives.
    pub unsafe fn new(
        bus: &'a Bus,
        prefix: &'static CStr,
        resumed: Resumed,
        dump: Dump,
        argument: *mut c_void,
    ) -> Result<Self> {
        let mut registered = Self {
            bus,
            suspend: null_mut(),
            debug: null_mut(),
        };
        let interface = bus.suspend.interface();
        // SAFETY: a method of an acquired table; the caller's promise.
        Status::check(unsafe {
            (bus.suspend.register)(
                interface,
                CALLBACK_LATE,
                resumed,
                argument,
                &raw mut registered.suspend,
            )
        })?;
        let interface = bus.debug.interface();
        // SAFETY: a method of an acquired table; the prefix is static; the caller's promise.
        Status::check(unsafe {
            (bus.debug.register)(
                interface,
                prefix.as_ptr(),
                dump,
                argument,
                &raw mut registered.debug,
            )
        })?;
        Ok(registered)
    }
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        let bus = self.bus;
        if !self.debug.is_null() {
            // SAFETY: a method of an acquired table; registered by new.
            unsafe { (bus.debug.deregister)(bus.debug.interface(), self.debug) };
        }
        if !self.suspend.is_null() {
            // SAFETY: a method of an acquired table; registered by new.
            unsafe { (bus.suspend.deregister)(bus.suspend.interface(), self.suspend) };
        }
    }
}
