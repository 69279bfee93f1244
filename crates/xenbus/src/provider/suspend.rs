//! SUSPEND: who wants to be called when the domain resumes.
//!
//! Callbacks are kept in the order of their registration. The bus does not say `control/feature-suspend`, so the toolstack
//! does not suspend the domain through it, and `Trigger` refuses.

use core::ffi::c_void;
use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::SeqCst;

use rust_alloc::boxed::Box;
use rust_alloc::vec::Vec;
use wdm::alloc::try_box;
use wdm::status::Status;
use wdm::sync::SpinLock;
use xenbus_interface::suspend::{CALLBACK_EARLY, CALLBACK_LATE, Callback, Function, SuspendV1};
use xenbus_interface::{Interface, NtStatus};

use super::Providers;
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
    #[expect(clippy::vec_box, reason = "an entry's address is its handle")]
    entries: SpinLock<Vec<Box<Entry>>>,
    /// How often the domain was resumed.
    count: AtomicU32,
}

impl Default for Provider {
    fn default() -> Self {
        Self {
            references: References::new(),
            entries: SpinLock::new(Vec::new()),
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
    let Ok(entry) = try_box(Entry {
        kind,
        function,
        argument,
    }) else {
        return Status::NO_MEMORY.0;
    };
    let mut entries = providers.suspend.entries.lock();
    if entries.try_reserve(1).is_err() {
        return Status::NO_MEMORY.0;
    }
    // SAFETY: the consumer passes a place for the handle.
    unsafe { handle.write(core::ptr::from_ref(entry.as_ref()).cast_mut().cast()) };
    entries.push(entry);
    0
}

unsafe extern "system" fn deregister(interface: *mut Interface, handle: *mut Callback) {
    // SAFETY: called through a table of ours.
    let providers: &Providers = unsafe { providers(interface) };
    let mut entries = providers.suspend.entries.lock();
    let found = entries
        .iter()
        .position(|entry| core::ptr::from_ref(entry.as_ref()) == handle.cast_const().cast());
    let gone = found.map(|index| entries.remove(index));
    drop(entries);
    if gone.is_none() {
        wdm::error!("SUSPEND.Deregister of a callback that is not registered");
    }
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
