//! Remove locks: "Using Remove Locks". Tags are matched as Driver Verifier does (bug check 0xC4, D5 to D7), whatever form
//! of the lock the driver was built with.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::ffi::c_void;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicI32, Ordering};

use crate::check::violation;
use crate::ke::{KeInitializeEvent, KeSetEvent, KeWaitForSingleObject};
use crate::nt::base::NTSTATUS;
use crate::nt::io::IO_REMOVE_LOCK;
use crate::nt::status::*;
use crate::sync::Lock;

/// The tags held, by lock.
static HELD: Lock<BTreeMap<usize, Vec<usize>>> = Lock::new(BTreeMap::new());

unsafe fn io_count<'a>(lock: *mut IO_REMOVE_LOCK) -> &'a AtomicI32 {
    AtomicI32::from_ptr(&raw mut (*lock).IoCount)
}

/// IoInitializeRemoveLockEx: PASSIVE_LEVEL.
///
/// # Safety
/// As its page says.
pub unsafe extern "win64" fn IoInitializeRemoveLockEx(
    lock: *mut IO_REMOVE_LOCK,
    _tag: u32,
    _minutes: u32,
    _high: u32,
    _size: u32,
) {
    (*lock).Removed = 0;
    (*lock).IoCount = 1;
    KeInitializeEvent(&raw mut (*lock).RemoveEvent, 1, 0);
    HELD.lock().insert(lock as usize, Vec::new());
}

/// IoAcquireRemoveLockEx: `<= DISPATCH_LEVEL`.
///
/// # Safety
/// As its page says.
pub unsafe extern "win64" fn IoAcquireRemoveLockEx(
    lock: *mut IO_REMOVE_LOCK,
    tag: *mut c_void,
    _file: *const u8,
    _line: u32,
    _size: u32,
) -> NTSTATUS {
    let count = io_count(lock);
    count.fetch_add(1, Ordering::AcqRel);
    if (*lock).Removed != 0 {
        if count.fetch_sub(1, Ordering::AcqRel) == 1 {
            KeSetEvent(&raw mut (*lock).RemoveEvent, 0, 0);
        }
        return STATUS_DELETE_PENDING;
    }
    match HELD.lock().get_mut(&(lock as usize)) {
        Some(tags) => tags.push(tag as usize),
        None => violation(
            "remove lock",
            format_args!("{lock:p} was never initialised"),
        ),
    }
    STATUS_SUCCESS
}

unsafe fn drop_tag(lock: *mut IO_REMOVE_LOCK, tag: *mut c_void) {
    let known = match HELD.lock().get_mut(&(lock as usize)) {
        Some(tags) => match tags.iter().position(|t| *t == tag as usize) {
            Some(at) => {
                tags.swap_remove(at);
                true
            }
            None => false,
        },
        None => false,
    };
    if !known {
        violation(
            "0xC4/D6 remove lock released with a tag that is not held",
            format_args!("{lock:p} tag {tag:p}"),
        );
    }
}

/// IoReleaseRemoveLockEx: `<= DISPATCH_LEVEL`.
///
/// # Safety
/// As its page says.
pub unsafe extern "win64" fn IoReleaseRemoveLockEx(
    lock: *mut IO_REMOVE_LOCK,
    tag: *mut c_void,
    _size: u32,
) {
    drop_tag(lock, tag);
    if io_count(lock).fetch_sub(1, Ordering::AcqRel) == 1 {
        KeSetEvent(&raw mut (*lock).RemoveEvent, 0, 0);
    }
}

/// IoReleaseRemoveLockAndWaitEx: PASSIVE_LEVEL; waits for all who hold the lock, and lets no one in any more.
///
/// # Safety
/// As its page says.
pub unsafe extern "win64" fn IoReleaseRemoveLockAndWaitEx(
    lock: *mut IO_REMOVE_LOCK,
    tag: *mut c_void,
    _size: u32,
) {
    (*lock).Removed = 1;
    drop_tag(lock, tag);
    // One for the caller's own hold, one for what the lock began with.
    if io_count(lock).fetch_sub(2, Ordering::AcqRel) > 2 {
        KeWaitForSingleObject((&raw mut (*lock).RemoveEvent).cast(), 0, 0, 0, null_mut());
    }
    HELD.lock().remove(&(lock as usize));
}

crate::exports! {
    pub static EXPORTS;
    Ntoskrnl { IoInitializeRemoveLockEx, IoAcquireRemoveLockEx, IoReleaseRemoveLockEx, IoReleaseRemoveLockAndWaitEx }
}
