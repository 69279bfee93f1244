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
mod running;
mod shared_info;
mod store;
mod suspend;
mod table;
mod unplug;

use core::ffi::c_void;
use core::pin::Pin;
use core::sync::atomic::AtomicBool;
use core::sync::atomic::Ordering::SeqCst;

use alloc::boxed::Box;
use wdm::alloc::Once;
use wdm::status::{Result, Status};
use xenbus_interface::{Guid, NtStatus};

pub use running::{Running, StartInfo, Vector};
pub use store::Store;
pub use unplug::UnplugHost;

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
    running: Once<Box<Running>>,
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
