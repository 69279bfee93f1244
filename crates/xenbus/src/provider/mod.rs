//! The interface providers: what the bus lends its children, and uses itself.
//!
//! [`Providers`] is one pinned object a bus device, made with the device and dropped with it; every function table
//! points at it. [`Providers::start`] and [`Providers::stop`] bring Xen's services up and down ([`running`]).
//! What a stopped service leaves in memory stays there until the next start or the end of the device, so
//! that a child that calls when it may not any more meets nothing worse than a service that does not answer.

mod cache;
mod console;
mod debug;
mod evtchn;
mod gnttab;
mod memory;
mod printf;
mod range_set;
mod registrations;
mod running;
mod shared_info;
mod store;
mod suspend;
mod table;
mod unplug;

use core::ffi::c_void;
use core::pin::Pin;
use core::sync::atomic::Ordering::{Acquire, SeqCst};
use core::sync::atomic::{AtomicBool, AtomicPtr};

use rust_alloc::boxed::Box;
use wdm::status::{Result, Status};
use xenbus_interface::{Guid, NtStatus};

pub use running::{Running, StartInfo, Vector};
pub use store::{BusStore, Store};
pub use unplug::UnplugHost;

use table::References;

/// How the bus is to use Xen: from the registry, read once.
pub struct Config {
    /// Enter Xen through the hypercall page, even where the CPU's vendor is known.
    pub hypercall_page: bool,
    /// Use the FIFO event channel ABI where Xen has it.
    pub fifo: bool,
    /// Deliver events by a vector a processor where possible.
    pub upcall_vectors: bool,
    /// The machine's clock runs on local time (`RealTimeIsUniversal` is not set).
    pub local_time: bool,
    /// The unplug accounting.
    pub unplug: &'static dyn UnplugHost,
}

/// All providers of one bus device.
pub struct Providers {
    config: Config,
    up: AtomicBool,
    /// Owned; null before the first start.
    running: AtomicPtr<Running>,
    cache: cache::Provider,
    console: console::Provider,
    debug: debug::Provider,
    evtchn: evtchn::Provider,
    gnttab: gnttab::Provider,
    range_set: range_set::Provider,
    shared_info: shared_info::Provider,
    store: store::Provider,
    suspend: suspend::Provider,
    unplug: unplug::Provider,
}

impl Providers {
    /// The providers of a device that is not started. Touches no hypervisor. IRQL <= DISPATCH_LEVEL.
    ///
    /// # Errors
    /// `INSUFFICIENT_RESOURCES`.
    pub fn new(config: Config) -> Result<Pin<Box<Self>>> {
        let providers = wdm::alloc::try_box(Self {
            config,
            up: AtomicBool::new(false),
            running: AtomicPtr::new(core::ptr::null_mut()),
            cache: Default::default(),
            console: Default::default(),
            debug: Default::default(),
            evtchn: Default::default(),
            gnttab: Default::default(),
            range_set: Default::default(),
            shared_info: Default::default(),
            store: Default::default(),
            suspend: Default::default(),
            unplug: Default::default(),
        })?;
        Ok(Box::into_pin(providers))
    }

    /// Brings Xen's services up. The interrupts are connected already, to [`Providers::interrupt`]. PASSIVE_LEVEL.
    ///
    /// # Errors
    /// What is missing; a log line says more, and nothing is left behind.
    pub fn start(&self, info: &StartInfo) -> Result {
        self.discard()?;
        let running = Running::new(&self.config)?;
        self.running.store(Box::into_raw(running), SeqCst);
        let Some(running) = self.running() else {
            return Err(Status::INTERNAL_ERROR);
        };
        if let Err(status) = running.connect(self, &self.config, info) {
            self.stop();
            return Err(status);
        }
        self.up.store(true, SeqCst);
        Ok(())
    }

    /// Takes Xen's services down: all channels are closed, Xen's pages leave the guest's memory. The children
    /// are stopped by now. PASSIVE_LEVEL.
    pub fn stop(&self) {
        self.up.store(false, SeqCst);
        for (name, references) in self.references() {
            if references.count() != 0 {
                wdm::error!(
                    "{name} is still in use by {} children's calls to Acquire",
                    references.count()
                );
            }
        }
        if let Some(running) = self.running() {
            running.shut_down();
        }
    }

    /// Frees what the last run left. Who still holds an interface would look at it.
    fn discard(&self) -> Result {
        if self.up.load(SeqCst)
            || self
                .references()
                .iter()
                .any(|(_, references)| references.count() != 0)
        {
            return Err(Status::DEVICE_BUSY);
        }
        let old = self.running.swap(core::ptr::null_mut(), SeqCst);
        if !old.is_null() {
            // SAFETY: made by `Box::into_raw` in `start`; nobody uses it any more.
            drop(unsafe { Box::from_raw(old) });
        }
        Ok(())
    }

    fn references(&self) -> [(&'static str, &References); 10] {
        [
            ("CACHE", &self.cache.references),
            ("CONSOLE", &self.console.references),
            ("DEBUG", &self.debug.references),
            ("EVTCHN", &self.evtchn.references),
            ("GNTTAB", &self.gnttab.references),
            ("RANGE_SET", &self.range_set.references),
            ("SHARED_INFO", &self.shared_info.references),
            ("STORE", &self.store.references),
            ("SUSPEND", &self.suspend.references),
            ("UNPLUG", &self.unplug.references),
        ]
    }

    /// The services are there for children.
    pub fn is_up(&self) -> bool {
        self.up.load(SeqCst)
    }

    /// The services, from the first start on; stopped ones fail or do nothing.
    pub fn running(&self) -> Option<&Running> {
        // SAFETY: null, or made by `Box::into_raw` in `start` and freed only when nobody uses it any more.
        unsafe { self.running.load(Acquire).as_ref() }
    }

    /// Xenstore for the bus itself; its calls fail while the services do not run. PASSIVE to DISPATCH_LEVEL.
    pub fn store(&self) -> BusStore<'_> {
        BusStore::new(self.client())
    }

    fn client(&self) -> Option<&Store> {
        self.running().and_then(Running::store)
    }

    /// An interrupt came: the line's (`processor` 0), or a processor's own. True: there were events. DIRQL.
    pub fn interrupt(&self, processor: u32) -> bool {
        self.running()
            .is_some_and(|running| running.service(processor))
    }

    /// Runs the children's DEBUG functions. IRQL <= DISPATCH_LEVEL.
    pub fn dump(&self) {
        self.debug.trigger();
        self.suspend.dump();
        if let Some(running) = self.running() {
            running.dump();
        }
    }

    /// Answers `IRP_MN_QUERY_INTERFACE`: `NOT_SUPPORTED` for what this bus does not have. PASSIVE_LEVEL.
    ///
    /// # Safety
    /// `table` has room for `size` bytes, and this object outlives its use.
    pub unsafe fn query(
        &self,
        guid: &Guid,
        version: u16,
        size: u16,
        table: *mut c_void,
    ) -> NtStatus {
        let context = core::ptr::from_ref(self).cast_mut().cast::<c_void>();
        let answer = OFFERS.iter().find_map(|offers| {
            // SAFETY: the caller's promise.
            unsafe { table::answer(offers, context, guid, version, size, table) }
        });
        answer.unwrap_or(Status::NOT_SUPPORTED.0)
    }

    /// Whether an interface is answered in a version. Any IRQL.
    pub fn serves(&self, guid: &Guid, version: u16) -> bool {
        OFFERS
            .iter()
            .any(|offers| offers.iter().any(|offer| offer.is(guid, version)))
    }
}

impl Drop for Providers {
    fn drop(&mut self) {
        let old = self.running.load(SeqCst);
        if !old.is_null() {
            // SAFETY: made by `Box::into_raw` in `start`, owned by this object.
            drop(unsafe { Box::from_raw(old) });
        }
    }
}

/// Everything on offer, an interface a row.
const OFFERS: [&[table::Offer]; 10] = [
    &cache::OFFERS,
    &console::OFFERS,
    &debug::OFFERS,
    &evtchn::OFFERS,
    &gnttab::OFFERS,
    &range_set::OFFERS,
    &shared_info::OFFERS,
    &store::OFFERS,
    &suspend::OFFERS,
    &unplug::OFFERS,
];
