//! What the bus driver tells a disk of: a resume of the domain, and a request to show its state.

use core::ffi::c_void;
use core::sync::atomic::Ordering;

use wdm::status::Result;
use xenbus_client::notify::Registered;
use xenbus_interface::Boolean;

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

/// Registers a disk. PASSIVE_LEVEL.
///
/// # Errors
/// What the bus says.
pub fn register(disk: &Disk) -> Result<Registered<'_>> {
    let argument = core::ptr::from_ref(disk).cast_mut().cast::<c_void>();
    // SAFETY: the disk outlives the registration.
    unsafe { Registered::new(&disk.bus, c"xenvbd", resumed, dump, argument) }
}
