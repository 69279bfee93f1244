//! RANGE_SET: sets of integers for children that hand out numbers.

use core::ffi::c_char;

use rust_alloc::boxed::Box;
use wdm::alloc::try_box;
use wdm::status::Status;
use wdm::sync::SpinLock;
use xenbus_core::range_set::{RangeSet as Numbers, RangeSetError};
use xenbus_interface::range_set::{RangeSet, RangeSetV1};
use xenbus_interface::{Interface, NtStatus};

use super::table::{Offer, References, Template, providers};

/// What the bus offers.
pub const OFFERS: [Offer; 1] = [Offer::of::<RangeSetV1>()];

/// State of the interface.
#[derive(Debug, Default)]
pub struct Provider {
    /// Its users.
    pub references: References,
}

/// A child's set. The lock is taken at DISPATCH_LEVEL for the length of one operation.
struct Set(SpinLock<Numbers>);

impl Template for RangeSetV1 {
    fn template(interface: Interface) -> Self {
        Self {
            interface,
            acquire,
            release,
            create,
            put,
            pop,
            get,
            destroy,
        }
    }
}

fn status(result: Result<(), RangeSetError>) -> NtStatus {
    match result {
        Ok(()) => 0,
        Err(RangeSetError::NoMemory) => Status::NO_MEMORY.0,
        Err(RangeSetError::BadRange | RangeSetError::Overlap) => Status::INVALID_PARAMETER.0,
        Err(RangeSetError::NotFound) => Status::INSUFFICIENT_RESOURCES.0,
    }
}

/// # Safety
/// The handle came from `create` and was not destroyed.
unsafe fn set<'a>(handle: *mut RangeSet) -> &'a Set {
    // SAFETY: the caller's promise.
    unsafe { &*handle.cast_const().cast::<Set>() }
}

unsafe extern "system" fn acquire(interface: *mut Interface) -> NtStatus {
    // SAFETY: called through a table of ours.
    let providers = unsafe { providers(interface) };
    providers.range_set.references.acquire(providers)
}

unsafe extern "system" fn release(interface: *mut Interface) {
    // SAFETY: called through a table of ours.
    let providers = unsafe { providers(interface) };
    providers.range_set.references.release("RANGE_SET");
}

unsafe extern "system" fn create(
    _interface: *mut Interface,
    _name: *const c_char,
    handle: *mut *mut RangeSet,
) -> NtStatus {
    match try_box(Set(SpinLock::new(Numbers::new()))) {
        Ok(set) => {
            // SAFETY: the consumer passes a place for the handle.
            unsafe { handle.write(Box::into_raw(set).cast()) };
            0
        }
        Err(why) => why.0,
    }
}

unsafe extern "system" fn put(
    _interface: *mut Interface,
    handle: *mut RangeSet,
    start: i64,
    count: u64,
) -> NtStatus {
    // SAFETY: the consumer's handle.
    let set = unsafe { set(handle) };
    status(set.0.lock().put(start, count))
}

unsafe extern "system" fn pop(
    _interface: *mut Interface,
    handle: *mut RangeSet,
    count: u64,
    start: *mut i64,
) -> NtStatus {
    // SAFETY: the consumer's handle.
    let set = unsafe { set(handle) };
    let taken = set.0.lock().pop(count);
    status(taken.map(|first| {
        // SAFETY: the consumer passes a place for the number.
        unsafe { start.write(first) };
    }))
}

unsafe extern "system" fn get(
    _interface: *mut Interface,
    handle: *mut RangeSet,
    start: i64,
    count: u64,
) -> NtStatus {
    // SAFETY: the consumer's handle.
    let set = unsafe { set(handle) };
    status(set.0.lock().get(start, count))
}

unsafe extern "system" fn destroy(_interface: *mut Interface, handle: *mut RangeSet) {
    // SAFETY: the consumer's handle, used for the last time.
    let set = unsafe { Box::from_raw(handle.cast::<Set>()) };
    let left = set.0.lock().len();
    if left != 0 {
        wdm::warn!("a range set was destroyed with {left} numbers in it");
    }
}
