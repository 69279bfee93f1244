//! CONSOLE: the domain's console ring, shared by whoever reads and writes it.

use core::ffi::{c_char, c_void};

use xen_guest::console::{ConsoleError, ConsoleRing};
use xenbus_interface::console::{ConsoleV1, Wakeup};
use xenbus_interface::{Boolean, Interface, NtStatus};

use super::Providers;
use super::registrations::Registrations;
use super::table::{Offer, References, Template, providers};

/// What the bus offers.
pub const OFFERS: [Offer; 1] = [Offer::of::<ConsoleV1>()];

/// A registered event.
struct Entry(*mut c_void);

// SAFETY: a KEVENT may be signalled from any processor.
unsafe impl Send for Entry {}

/// State of the interface.
pub struct Provider {
    /// Its users.
    pub references: References,
    /// Events to signal when the ring has moved; taken at DISPATCH_LEVEL.
    wakeups: Registrations<Entry>,
}

impl Default for Provider {
    fn default() -> Self {
        Self {
            references: References::new(),
            wakeups: Registrations::new(),
        }
    }
}

impl Provider {
    /// The console's event came. IRQL <= DISPATCH_LEVEL.
    pub fn wake(&self) {
        for entry in self.wakeups.lock().iter() {
            // SAFETY: the child keeps its event until WakeupRemove, which takes the lock held here.
            unsafe { wdm::event::set_foreign(entry.0) };
        }
    }
}

impl Template for ConsoleV1 {
    fn template(interface: Interface) -> Self {
        Self {
            interface,
            acquire,
            release,
            can_read,
            read,
            can_write,
            write,
            wakeup_add,
            wakeup_remove,
        }
    }
}

unsafe extern "system" fn acquire(interface: *mut Interface) -> NtStatus {
    // SAFETY: called through a table of ours.
    let providers = unsafe { providers(interface) };
    providers.console.references.acquire(providers)
}

unsafe extern "system" fn release(interface: *mut Interface) {
    // SAFETY: called through a table of ours.
    let providers = unsafe { providers(interface) };
    providers.console.references.release("CONSOLE");
}

/// Does something with the ring. A ring that makes no sense is as good as an empty and full one.
///
/// # Safety
/// `interface` is a table of ours.
unsafe fn with_ring(
    interface: *mut Interface,
    operation: impl FnOnce(&mut ConsoleRing) -> Result<usize, ConsoleError>,
) -> usize {
    // SAFETY: the caller's promise.
    let providers: &Providers = unsafe { providers(interface) };
    let Some(ring) = providers.running().and_then(|running| running.console()) else {
        return 0;
    };
    operation(&mut ring.lock()).unwrap_or_else(|why| {
        wdm::warn!("console: {why}");
        0
    })
}

/// Tells the console daemon that bytes moved.
///
/// # Safety
/// `interface` is a table of ours.
unsafe fn notify(interface: *mut Interface, moved: usize) -> u32 {
    // SAFETY: the caller's promise.
    let providers: &Providers = unsafe { providers(interface) };
    if moved != 0
        && let Some(running) = providers.running()
    {
        running.notify_console();
    }
    // At most a ring's length.
    moved as u32
}

unsafe extern "system" fn can_read(interface: *mut Interface) -> Boolean {
    // SAFETY: called through a table of ours.
    let bytes = unsafe { with_ring(interface, |ring| ring.readable()) };
    (bytes != 0).into()
}

unsafe extern "system" fn can_write(interface: *mut Interface) -> Boolean {
    // SAFETY: called through a table of ours.
    let bytes = unsafe { with_ring(interface, |ring| ring.writable()) };
    (bytes != 0).into()
}

unsafe extern "system" fn read(interface: *mut Interface, data: *mut c_char, length: u32) -> u32 {
    // SAFETY: the consumer passes a buffer of that length, which the ring never is.
    let buffer = unsafe { core::slice::from_raw_parts_mut(data.cast::<u8>(), length as usize) };
    // SAFETY: called through a table of ours.
    let moved = unsafe { with_ring(interface, |ring| ring.read(buffer)) };
    // SAFETY: as above.
    unsafe { notify(interface, moved) }
}

unsafe extern "system" fn write(
    interface: *mut Interface,
    data: *const c_char,
    length: u32,
) -> u32 {
    // SAFETY: the consumer passes that many bytes.
    let bytes = unsafe { core::slice::from_raw_parts(data.cast::<u8>(), length as usize) };
    // SAFETY: called through a table of ours.
    let moved = unsafe { with_ring(interface, |ring| ring.write(bytes)) };
    // SAFETY: as above.
    unsafe { notify(interface, moved) }
}

unsafe extern "system" fn wakeup_add(
    interface: *mut Interface,
    event: *mut c_void,
    handle: *mut *mut Wakeup,
) -> NtStatus {
    // SAFETY: called through a table of ours.
    let providers: &Providers = unsafe { providers(interface) };
    let entry = Entry(event);
    // SAFETY: the consumer passes a place for the handle.
    unsafe { providers.console.wakeups.add(entry, handle) }
}

unsafe extern "system" fn wakeup_remove(interface: *mut Interface, handle: *mut Wakeup) {
    // SAFETY: called through a table of ours.
    let providers: &Providers = unsafe { providers(interface) };
    providers
        .console
        .wakeups
        .remove(handle, "CONSOLE.WakeupRemove of an event");
}
