//! Answering queries: a copy of the function table of the version that was asked for.

use core::ffi::c_void;
use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::SeqCst;

use wdm::status::Status;
use xenbus_interface::{Guid, Interface, InterfaceVersion, NtStatus};

use super::Providers;

/// A version of an interface that this bus offers.
pub trait Template: InterfaceVersion {
    /// The table, with this header.
    fn template(header: Interface) -> Self;
}

/// One row of the list of offers.
pub struct Offer {
    guid: Guid,
    version: u16,
    size: u16,
    write: unsafe fn(context: *mut c_void, table: *mut c_void),
}

impl Offer {
    /// The offer of a version.
    pub const fn of<T: Template>() -> Self {
        Self {
            guid: T::GUID,
            version: T::VERSION,
            size: size_of::<T>() as u16,
            write: write::<T>,
        }
    }

    /// Whether it is this version of this interface.
    pub fn is(&self, guid: &Guid, version: u16) -> bool {
        self.guid == *guid && self.version == version
    }
}

/// # Safety
/// `table` has room for a `T`; it need not be aligned.
unsafe fn write<T: Template>(context: *mut c_void, table: *mut c_void) {
    let header = Interface {
        size: size_of::<T>() as u16,
        version: T::VERSION,
        context,
        interface_reference: None,
        interface_dereference: None,
    };
    // SAFETY: the caller's promise.
    unsafe { table.cast::<T>().write_unaligned(T::template(header)) };
}

/// Answers a query for an interface; `None`: it is none of these.
///
/// # Safety
/// `table` has room for `size` bytes.
pub unsafe fn answer(
    offers: &[Offer],
    context: *mut c_void,
    guid: &Guid,
    version: u16,
    size: u16,
    table: *mut c_void,
) -> Option<NtStatus> {
    let mut versions = offers.iter().filter(|offer| offer.guid == *guid).peekable();
    versions.peek()?;
    Some(match versions.find(|offer| offer.version == version) {
        None => Status::NOT_SUPPORTED.0,
        Some(offer) if size < offer.size => Status::BUFFER_OVERFLOW.0,
        Some(offer) => {
            // SAFETY: the size was checked.
            unsafe { (offer.write)(context, table) };
            0
        }
    })
}

/// Counted users of one interface.
///
/// The bus brings up and takes down its services itself, so an `Acquire` only counts; it fails while
/// the services are not there.
#[derive(Debug, Default)]
pub struct References(AtomicU32);

impl References {
    /// No users.
    pub const fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// `Acquire`.
    pub fn acquire(&self, providers: &Providers) -> NtStatus {
        if !providers.is_up() {
            return Status::DEVICE_NOT_READY.0;
        }
        self.0.fetch_add(1, SeqCst);
        0
    }

    /// `Release`. One too many is the consumer's mistake; the count stays at zero.
    pub fn release(&self, name: &str) {
        if self
            .0
            .fetch_update(SeqCst, SeqCst, |count| count.checked_sub(1))
            .is_err()
        {
            wdm::error!("{name} was released more often than acquired");
        }
    }

    /// Users now.
    pub fn count(&self) -> u32 {
        self.0.load(SeqCst)
    }
}

/// The state behind a table.
///
/// # Safety
/// `interface` is a table that [`answer`] filled in, and the bus device that did so still exists.
pub unsafe fn providers<'a>(interface: *mut Interface) -> &'a Providers {
    // SAFETY: the caller's promise.
    let context = unsafe { (*interface).context };
    // SAFETY: `answer` is given the address of the pinned `Providers`.
    unsafe { &*context.cast_const().cast::<Providers>() }
}
