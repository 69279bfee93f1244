//! What the bus driver tells a disk of: a resume of the domain, and a request to show its state.

use core::ffi::c_void;
use core::ptr::null_mut;
use core::sync::atomic::Ordering;

use wdm::status::{Result, Status};
use xenbus_interface::Boolean;
use xenbus_interface::debug::Callback as RawDebug;
use xenbus_interface::suspend::{CALLBACK_LATE, Callback as RawSuspend};

use crate::disk::Disk;

/// The domain runs again, somewhere else perhaps: the thread looks everything up anew. DISPATCH_LEVEL, all other
/// processors held.
unsafe extern "system" fn resumed(argument: *mut c_void) {
    // SAFETY: the disk given to register, which outlives the registration.
    let disk = unsafe { &*argument.cast_const().cast::<Disk>() };
    disk.resumed.store(true, Ordering::Release);
    disk.wake.set();
}

/// Shows the disk's state. Up to HIGH_LEVEL: no locks.
unsafe extern "system" fn dump(argument: *mut c_void, _crashing: Boolean) {
    // SAFETY: the disk given to register, which outlives the registration.
    let disk = unsafe { &*argument.cast_const().cast::<Disk>() };
    let numbers = &disk.numbers;
    let interface = disk.bus.debug.interface();
    // SAFETY: a method of an acquired table, within its callback; the format takes five integers.
    unsafe {
        (disk.bus.debug.printf)(
            interface,
            c"vbd %u: target %u, %s, %u unfinished, %llu requests, %llu responses\n".as_ptr(),
            disk.vdev,
            u32::from(disk.target),
            if disk.is_present() {
                c"present"
            } else {
                c"absent"
            }
            .as_ptr(),
            numbers.unfinished.load(Ordering::Relaxed),
            numbers.requests.load(Ordering::Relaxed),
            numbers.responses.load(Ordering::Relaxed),
        );
    }
}

/// A disk's registrations; taken back when dropped, at PASSIVE_LEVEL.
pub struct Registered<'a> {
    disk: &'a Disk,
    suspend: *mut RawSuspend,
    debug: *mut RawDebug,
}

impl<'a> Registered<'a> {
    /// Registers a disk. PASSIVE_LEVEL.
    ///
    /// # Errors
    /// What the bus says.
    pub fn new(disk: &'a Disk) -> Result<Self> {
        let argument = core::ptr::from_ref(disk).cast_mut().cast::<c_void>();
        let mut registered = Self {
            disk,
            suspend: null_mut(),
            debug: null_mut(),
        };
        let interface = disk.bus.suspend.interface();
        // SAFETY: a method of an acquired table; the disk outlives the registration.
        Status::check(unsafe {
            (disk.bus.suspend.register)(
                interface,
                CALLBACK_LATE,
                resumed,
                argument,
                &raw mut registered.suspend,
            )
        })?;
        let interface = disk.bus.debug.interface();
        // SAFETY: a method of an acquired table; the disk outlives the registration.
        Status::check(unsafe {
            (disk.bus.debug.register)(
                interface,
                c"xenvbd".as_ptr().cast_mut(),
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
        let bus = &self.disk.bus;
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
