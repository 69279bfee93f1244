//! Grants, through the bus driver.

use core::cell::UnsafeCell;
use core::ffi::{CStr, c_void};
use core::ptr::{NonNull, null_mut};

use rust_alloc::boxed::Box;
use wdk_sys::ntddk::{KeAcquireSpinLockRaiseToDpc, KeReleaseSpinLock};
use wdk_sys::{KIRQL, KSPIN_LOCK};
use wdm::alloc::{Shared, try_box};
use wdm::status::{Result, Status};
use xenbus_interface::gnttab::{Cache, Entry};

use crate::bus::Bus;

/// The lock that the bus takes around a cache.
#[repr(C)]
struct Lock {
    lock: UnsafeCell<KSPIN_LOCK>,
    /// The IRQL before it was taken; written and read by the holder alone.
    irql: UnsafeCell<KIRQL>,
}

unsafe extern "system" fn take(argument: *mut c_void) {
    // SAFETY: the argument given to CreateCache, which outlives the cache.
    let lock = unsafe { &*argument.cast::<Lock>() };
    // SAFETY: an initialised spin lock, IRQL <= DISPATCH_LEVEL by the interface's contract.
    let irql = unsafe { KeAcquireSpinLockRaiseToDpc(lock.lock.get()) };
    // SAFETY: the lock is held.
    unsafe { *lock.irql.get() = irql };
}

unsafe extern "system" fn give(argument: *mut c_void) {
    // SAFETY: the argument given to CreateCache, which outlives the cache.
    let lock = unsafe { &*argument.cast::<Lock>() };
    // SAFETY: the lock is held.
    let irql = unsafe { *lock.irql.get() };
    // SAFETY: taken by take, at that IRQL before.
    unsafe { KeReleaseSpinLock(lock.lock.get(), irql) };
}

/// What a domain may do with a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read it.
    ReadOnly,
    /// Read and write it.
    ReadWrite,
}

/// A grant.
#[derive(Clone, Copy, Debug)]
pub struct Grant(NonNull<Entry>);

// SAFETY: an entry may be used from any thread, by the interface's contract.
unsafe impl Send for Grant {}

/// Makes and ends grants to one domain.
pub struct Granter {
    bus: Shared<Bus>,
    cache: NonNull<Cache>,
    _lock: Box<Lock>,
}

// SAFETY: the cache's methods may be called from any thread, by the interface's contract.
unsafe impl Send for Granter {}
// SAFETY: as above.
unsafe impl Sync for Granter {}

impl Granter {
    /// A cache of grants of its own, which keeps `reservation` references at hand. PASSIVE_LEVEL.
    ///
    /// # Errors
    /// What the bus says.
    pub fn new(bus: Shared<Bus>, name: &CStr, reservation: u32) -> Result<Self> {
        let lock = try_box(Lock {
            lock: UnsafeCell::new(0),
            irql: UnsafeCell::new(0),
        })?;
        let argument = (&raw const *lock).cast_mut().cast::<c_void>();
        let mut cache: *mut Cache = null_mut();
        let interface = bus.gnttab.interface();
        // SAFETY: a method of an acquired table; the lock outlives the cache, the rest the call.
        Status::check(unsafe {
            (bus.gnttab.create_cache)(
                interface,
                name.as_ptr(),
                reservation,
                0,
                take,
                give,
                argument,
                &raw mut cache,
            )
        })?;
        let cache = NonNull::new(cache).ok_or(Status::INTERNAL_ERROR)?;
        Ok(Self {
            bus,
            cache,
            _lock: lock,
        })
    }

    /// Grants a page frame to a domain. IRQL <= DISPATCH_LEVEL.
    pub fn grant(&self, domain: u16, frame: u64, access: Access) -> Option<Grant> {
        let frame = usize::try_from(frame).ok()?;
        let read_only = u8::from(access == Access::ReadOnly);
        let mut entry: *mut Entry = null_mut();
        let (interface, cache) = (self.bus.gnttab.interface(), self.cache.as_ptr());
        // SAFETY: a method of an acquired table and a cache of it; the receiving pointer outlives the call.
        let status = unsafe {
            (self.bus.gnttab.permit_foreign_access)(
                interface,
                cache,
                0,
                domain,
                frame,
                read_only,
                &raw mut entry,
            )
        };
        if Status::check(status).is_err() {
            None
        } else {
            NonNull::new(entry).map(Grant)
        }
    }

    /// The reference of a grant. IRQL <= DISPATCH_LEVEL.
    pub fn reference(&self, grant: Grant) -> u32 {
        let interface = self.bus.gnttab.interface();
        // SAFETY: a method of an acquired table and a grant of it.
        unsafe { (self.bus.gnttab.get_reference)(interface, grant.0.as_ptr()) }
    }

    /// Ends a grant. IRQL <= DISPATCH_LEVEL.
    ///
    /// # Errors
    /// The domain has the page mapped still; the grant goes on.
    pub fn end(&self, grant: Grant) -> Result {
        let (interface, cache) = (self.bus.gnttab.interface(), self.cache.as_ptr());
        // SAFETY: a method of an acquired table, a cache and a grant of it that is not used after a success.
        let status = unsafe {
            (self.bus.gnttab.revoke_foreign_access)(interface, cache, 0, grant.0.as_ptr())
        };
        Status::check(status)
    }
}

impl Drop for Granter {
    fn drop(&mut self) {
        let interface = self.bus.gnttab.interface();
        // SAFETY: a method of an acquired table; whoever drops the granter has ended its grants.
        unsafe { (self.bus.gnttab.destroy_cache)(interface, self.cache.as_ptr()) };
    }
}
