//! The bus driver's interfaces, acquired for as long as a device runs.

use core::ffi::{CStr, c_char};
use core::ops::Deref;

use rust_alloc::boxed::Box;
use wdk_sys::DEVICE_OBJECT;
use wdm::alloc::try_box;
use wdm::query::query_interface;
use wdm::status::{Result, Status};
use xenbus_interface::debug::DebugV1;
use xenbus_interface::evtchn::EvtchnV9;
use xenbus_interface::gnttab::GnttabV4;
use xenbus_interface::store::StoreV2;
use xenbus_interface::suspend::SuspendV1;
use xenbus_interface::unplug::UnplugV3;
use xenbus_interface::{Interface, InterfaceVersion, NtStatus};

/// A table with the two methods that all have.
pub trait Counted: InterfaceVersion {
    /// Its `acquire`.
    fn acquire(&self) -> unsafe extern "system" fn(*mut Interface) -> NtStatus;
    /// Its `release`.
    fn release(&self) -> unsafe extern "system" fn(*mut Interface);
}

macro_rules! counted {
    ($($table:ty),*) => {$(
        impl Counted for $table {
            fn acquire(&self) -> unsafe extern "system" fn(*mut Interface) -> NtStatus {
                self.acquire
            }
            fn release(&self) -> unsafe extern "system" fn(*mut Interface) {
                self.release
            }
        }
    )*};
}

counted!(StoreV2, EvtchnV9, GnttabV4, UnplugV3, SuspendV1, DebugV1);

/// An acquired interface; released when dropped.
pub struct Acquired<T: Counted>(Box<T>);

// SAFETY: the methods may be called from any thread, by the interfaces' contract.
unsafe impl<T: Counted> Send for Acquired<T> {}
// SAFETY: as above.
unsafe impl<T: Counted> Sync for Acquired<T> {}

impl<T: Counted> Acquired<T> {
    /// Asks the bus for the interface and acquires it. PASSIVE_LEVEL.
    ///
    /// # Errors
    /// What the bus says; it is logged.
    ///
    /// # Safety
    /// `lower` is the device object that the driver's own is attached to.
    unsafe fn get(lower: *mut DEVICE_OBJECT) -> Result<Self> {
        // SAFETY: the caller's promise; the stack below is alive while a device is attached to it.
        let table = unsafe { query_interface::<T>(lower) };
        let acquired = table.and_then(try_box).and_then(|table| {
            let interface = (&raw const *table).cast_mut().cast();
            // SAFETY: a method of the table, with the table that it belongs to.
            Status::check(unsafe { table.acquire()(interface) })?;
            Ok(Self(table))
        });
        acquired.inspect_err(|status| {
            wdm::error!(
                "the bus has no {} version {}: {status}",
                T::NAME,
                T::VERSION
            );
        })
    }

    /// What every method takes first.
    pub fn interface(&self) -> *mut Interface {
        (&raw const *self.0).cast_mut().cast()
    }
}

impl<T: Counted> Deref for Acquired<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Counted> Drop for Acquired<T> {
    fn drop(&mut self) {
        // SAFETY: a method of the table; the reference that get took.
        unsafe { self.0.release()(self.interface()) };
    }
}

/// The interfaces that a frontend uses.
pub struct Bus {
    /// xenstore.
    pub store: Acquired<StoreV2>,
    /// Event channels.
    pub evtchn: Acquired<EvtchnV9>,
    /// Grants.
    pub gnttab: Acquired<GnttabV4>,
    /// Emulated twins.
    pub unplug: Acquired<UnplugV3>,
    /// Resume.
    pub suspend: Acquired<SuspendV1>,
    /// State dumps.
    pub debug: Acquired<DebugV1>,
}

impl Bus {
    /// Acquires everything. PASSIVE_LEVEL.
    ///
    /// # Errors
    /// The first interface that the bus does not have.
    ///
    /// # Safety
    /// `lower` is the device object that the driver's own is attached to.
    pub unsafe fn acquire(lower: *mut DEVICE_OBJECT) -> Result<Self> {
        Ok(Self {
            // SAFETY: the caller's promise.
            suspend: unsafe { Acquired::get(lower) }?,
            // SAFETY: the caller's promise.
            debug: unsafe { Acquired::get(lower) }?,
            // SAFETY: the caller's promise.
            store: unsafe { Acquired::get(lower) }?,
            // SAFETY: the caller's promise.
            evtchn: unsafe { Acquired::get(lower) }?,
            // SAFETY: the caller's promise.
            gnttab: unsafe { Acquired::get(lower) }?,
            // SAFETY: the caller's promise.
            unplug: unsafe { Acquired::get(lower) }?,
        })
    }

    /// Whether the emulated devices of a kind ([`xenbus_interface::unplug`]) were taken away on this boot. PASSIVE_LEVEL.
    pub fn is_unplugged(&self, kind: u32) -> bool {
        // SAFETY: a method of an acquired table.
        (unsafe { (self.unplug.is_requested)(self.unplug.interface(), kind) }) != 0
    }

    /// Asks for the emulated devices of a kind to be taken away at the next boot, or takes that back. PASSIVE_LEVEL.
    pub fn request_unplug(&self, kind: u32, make: bool) {
        // SAFETY: a method of an acquired table.
        unsafe { (self.unplug.request)(self.unplug.interface(), kind, u8::from(make)) };
    }

    /// Asks for a reboot on a driver's behalf. PASSIVE_LEVEL.
    pub fn request_reboot(&self, driver: &CStr) {
        let name: *const c_char = driver.as_ptr();
        // SAFETY: a method of an acquired table and a string that outlives the call.
        unsafe { (self.unplug.reboot)(self.unplug.interface(), name) };
    }
}
