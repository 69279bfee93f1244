//! What the bus driver tells an adapter of: a resume of the domain, and a request to show its state.

use core::ffi::c_void;
use core::sync::atomic::Ordering;

use wdm::status::Result;
use xenbus_client::notify::Registered;
use xenbus_interface::Boolean;

use crate::adapter::Adapter;

/// The domain runs again, somewhere else perhaps: the thread looks everything up anew. DISPATCH_LEVEL, all other
/// processors held.
unsafe extern "system" fn resumed(argument: *mut c_void) {
    // SAFETY: the adapter given to register, which outlives the registration.
    let adapter = unsafe { &*argument.cast_const().cast::<Adapter>() };
    adapter.resumed.store(true, Ordering::Release);
    adapter.wake.set();
}

/// Shows the adapter's state. Up to HIGH_LEVEL: no locks.
unsafe extern "system" fn dump(argument: *mut c_void, _crashing: Boolean) {
    // SAFETY: the adapter given to register, which outlives the registration.
    let adapter = unsafe { &*argument.cast_const().cast::<Adapter>() };
    let (received, sent) = adapter.statistics();
    let [other, same] = received.hashes;
    let interface = adapter.bus.debug.interface();
    let link = if adapter.is_linked() {
        c"link up"
    } else {
        c"link down"
    };
    // SAFETY: a method of an acquired table, within its callback; the format takes these arguments.
    unsafe {
        (adapter.bus.debug.printf)(
            interface,
            c"vif %u: %s, sent %llu frames, %llu discards, %llu errors, received %llu, %llu, %llu\n"
                .as_ptr(),
            adapter.vif,
            link.as_ptr(),
            sent.all_frames(),
            sent.discards,
            sent.errors,
            received.all_frames(),
            received.discards,
            received.errors,
        );
    }
    if same + other == 0 {
        return;
    }
    // SAFETY: as above.
    unsafe {
        (adapter.bus.debug.printf)(
            interface,
            c"vif %u: the backend's hashes of %llu frames are right, of %llu wrong\n".as_ptr(),
            adapter.vif,
            same,
            other,
        );
    }
}

/// Registers an adapter. PASSIVE_LEVEL.
///
/// # Errors
/// What the bus says.
pub fn register(adapter: &Adapter) -> Result<Registered<'_>> {
    let argument = core::ptr::from_ref(adapter).cast_mut().cast::<c_void>();
    // SAFETY: the adapter outlives the registration, which its thread holds.
    unsafe { Registered::new(&adapter.bus, c"xennet", resumed, dump, argument) }
}
