//! DEBUG: what children say when state is dumped (`xl debug-keys q`).

use core::ffi::{CStr, c_char, c_void};
use core::fmt;
use core::ptr::NonNull;
use core::sync::atomic::AtomicPtr;
use core::sync::atomic::Ordering::SeqCst;

use wdm::text::FormatBuffer;
use xenbus_interface::debug::{Callback, DebugV1, Function};
use xenbus_interface::{Interface, NtStatus};

use super::Providers;
use super::printf::{DEBUG_PRINTF, Text};
use super::registrations::Registrations;
use super::table::{Offer, References, Template, providers};

/// What the bus offers.
pub const OFFERS: [Offer; 1] = [Offer::of::<DebugV1>()];

/// Longest prefix and longest line, in bytes.
const PREFIX: usize = 64;
const LINE: usize = 256;

/// A registration.
struct Entry {
    prefix: FormatBuffer<PREFIX>,
    function: Function,
    argument: *mut c_void,
}

// SAFETY: the argument is the child's, which promises that its function may be called from any processor.
unsafe impl Send for Entry {}

/// State of the interface.
pub struct Provider {
    /// Its users.
    pub references: References,
    /// The registrations, in order. Held at DISPATCH_LEVEL while they run, so that none goes away meanwhile; a callback
    /// may therefore neither register nor deregister.
    entries: Registrations<Entry>,
    /// The registration that is running, for Printf.
    current: AtomicPtr<Entry>,
}

impl Default for Provider {
    fn default() -> Self {
        Self {
            references: References::new(),
            entries: Registrations::new(),
            current: AtomicPtr::new(core::ptr::null_mut()),
        }
    }
}

impl Provider {
    /// Runs all registrations. IRQL <= DISPATCH_LEVEL.
    pub fn trigger(&self) {
        self.run(None);
    }

    fn run(&self, only: Option<NonNull<Entry>>) {
        let entries = self.entries.lock();
        for entry in entries.iter() {
            let this = NonNull::from(entry.as_ref());
            if only.is_some_and(|only| only != this) {
                continue;
            }
            self.current.store(this.as_ptr(), SeqCst);
            // SAFETY: the child's function with its argument; not in a bug check.
            unsafe { (entry.function)(entry.argument, 0) };
        }
        self.current.store(core::ptr::null_mut(), SeqCst);
    }
}

impl Template for DebugV1 {
    fn template(interface: Interface) -> Self {
        Self {
            interface,
            acquire,
            release,
            register,
            printf: DEBUG_PRINTF,
            trigger,
            deregister,
        }
    }
}

unsafe extern "system" fn acquire(interface: *mut Interface) -> NtStatus {
    // SAFETY: called through a table of ours.
    let providers = unsafe { providers(interface) };
    providers.debug.references.acquire(providers)
}

unsafe extern "system" fn release(interface: *mut Interface) {
    // SAFETY: called through a table of ours.
    let providers = unsafe { providers(interface) };
    providers.debug.references.release("DEBUG");
}

unsafe extern "system" fn register(
    interface: *mut Interface,
    prefix: *const c_char,
    function: Function,
    argument: *mut c_void,
    handle: *mut *mut Callback,
) -> NtStatus {
    // SAFETY: called through a table of ours.
    let providers: &Providers = unsafe { providers(interface) };
    // SAFETY: the consumer passes a NUL-terminated string.
    let prefix = unsafe { CStr::from_ptr(prefix) };
    let prefix = FormatBuffer::format(format_args!("{}", Ascii(prefix.to_bytes())));
    let entry = Entry {
        prefix,
        function,
        argument,
    };
    // SAFETY: the consumer passes a place for the handle.
    unsafe { providers.debug.entries.add(entry, handle) }
}

unsafe extern "system" fn trigger(interface: *mut Interface, handle: *mut Callback) {
    // SAFETY: called through a table of ours.
    let providers: &Providers = unsafe { providers(interface) };
    providers.debug.run(NonNull::new(handle.cast()));
}

unsafe extern "system" fn deregister(interface: *mut Interface, handle: *mut Callback) {
    // SAFETY: called through a table of ours.
    let providers: &Providers = unsafe { providers(interface) };
    providers
        .debug
        .entries
        .remove(handle, "DEBUG.Deregister of a callback");
}

/// DEBUG.Printf, with its variable arguments behind a pointer.
///
/// # Safety
/// As for [`Text::print`].
pub unsafe extern "system" fn printf_va(
    interface: *mut Interface,
    template: *const c_char,
    arguments: *const c_void,
) {
    // SAFETY: called through a table of ours.
    let providers: &Providers = unsafe { providers(interface) };
    // SAFETY: the consumer's format and arguments.
    let text = unsafe { Text::<LINE>::print(template, arguments) };
    let current = NonNull::new(providers.debug.current.load(SeqCst));
    let prefix = current.map(|entry| {
        // SAFETY: Printf is called inside a callback: the entry that runs stays while it does.
        unsafe { entry.as_ref() }.prefix.as_str()
    });
    for line in text
        .bytes()
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
    {
        wdm::info!("{}|{}", prefix.unwrap_or("?"), Ascii(line));
    }
}

/// Bytes of a C string as text: what is not printable ASCII becomes `?`.
struct Ascii<'a>(&'a [u8]);

impl fmt::Display for Ascii<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| {
            let printable = byte.is_ascii_graphic() || *byte == b' ';
            fmt::Write::write_char(f, if printable { char::from(*byte) } else { '?' })
        })
    }
}
