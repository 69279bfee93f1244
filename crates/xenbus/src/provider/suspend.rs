//! SUSPEND: who wants to be called when the domain resumes.
//!
//! Callbacks are kept in the order of their registration. The bus does not say `control/feature-suspend`, so the toolstack
//! does not suspend the domain through it, and `Trigger` refuses.

use core::ffi::c_void;
use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::SeqCst;

use wdm::status::Status;
use xenbus_interface::suspend::{CALLBACK_EARLY, CALLBACK_LATE, Callback, Function, SuspendV1};
use xenbus_interface::{Interface, NtStatus};

use super::Providers;
use super::registrations::Registrations;
use super::table::{Offer, References, Template, providers};

/// What the bus offers.
pub const OFFERS: [Offer; 1] = [Offer::of::<SuspendV1>()];

/// A registration.
struct Entry {
    kind: u32,
    function: Function,
    argument: *mut c_void,
}

// SAFETY: the argument is the child's, which promises that its function may be called from any processor.
unsafe impl Send for Entry {}

/// State of the interface.
pub struct Provider {
    /// Its users.
    pub references: References,
    /// The registrations, in order; taken at DISPATCH_LEVEL.
    entries: Registrations<Entry>,
    /// How often the domain was resumed.
    count: AtomicU32,
}

impl Default for Provider {
    fn default() -> Self {
        Self {
            references: References::new(),
            entries: Registrations::new(),
            count: AtomicU32::new(0),
        }
    }
}

impl Provider {
    /// The registrations, for a state dump. IRQL <= DISPATCH_LEVEL.
    pub fn dump(&self) {
        for entry in self.entries.lock().iter() {
            let when = if entry.kind == CALLBACK_EARLY {
                "early"
            } else {
                "late"
            };
            wdm::info!(
                "resume: {when} {:p}({:p})",
                entry.function as *const (),
                entry.argument
            );
        }
    }
}

impl Template for SuspendV1 {
    fn template(interface: Interface) -> Self {
        Self {
            interface,
            acquire,
            release,
            register,
            deregister,
            trigger,
            get_count,
        }
    }
}

unsafe extern "system" fn acquire(interface: *mut Interface) -> NtStatus {
    // SAFETY: called through a table of ours.
    let providers = unsafe { providers(interface) };
    providers.suspend.references.acquire(providers)
}

unsafe extern "system" fn release(interface: *mut Interface) {
    // SAFETY: called through a table of ours.
    let providers = unsafe { providers(interface) };
    providers.suspend.references.release("SUSPEND");
}

unsafe extern "system" fn register(
    interface: *mut Interface,
    kind: u32,
    function: Function,
    argument: *mut c_void,
    handle: *mut *mut Callback,
) -> NtStatus {
    // SAFETY: called through a table of ours.
    let providers: &Providers = unsafe { providers(interface) };
    if !matches!(kind, CALLBACK_EARLY | CALLBACK_LATE) {
        return Status::INVALID_PARAMETER.0;
    }
    let entry = Entry {
        kind,
        function,
        argument,
    };
    // SAFETY: the consumer passes a place for the handle.
    unsafe { providers.suspend.entries.add(entry, handle) }
}

unsafe extern "system" fn deregister(interface: *mut Interface, handle: *mut Callback) {
    // SAFETY: called through a table of ours.
    let providers: &Providers = unsafe { providers(interface) };
    providers
        .suspend
        .entries
        .remove(handle, "SUSPEND.Deregister of a callback");
}

unsafe extern "system" fn trigger(_interface: *mut Interface) -> NtStatus {
    wdm::warn!("a suspend was asked for, which this version does not do");
    Status::NOT_SUPPORTED.0
}

unsafe extern "system" fn get_count(interface: *mut Interface) -> u32 {
    // SAFETY: called through a table of ours.
    let providers = unsafe { providers(interface) };
    providers.suspend.count.load(SeqCst)
}
