//! Event channels, through the bus driver.

use core::ffi::{c_int, c_void};
use core::ptr::NonNull;

use rust_alloc::boxed::Box;
use wdm::alloc::{Shared, try_box};
use wdm::dpc::Dpc;
use wdm::irql::Raised;
use wdm::status::{Result, Status};
use xenbus_interface::Boolean;
use xenbus_interface::evtchn::{Channel as Raw, TYPE_UNBOUND};

use crate::bus::Bus;
use crate::disk::Disk;

/// An open channel that a backend may bind. Closed when dropped, at PASSIVE_LEVEL; the disk's DPC runs no more then.
pub struct Channel {
    bus: Shared<Bus>,
    channel: NonNull<Raw>,
    /// Queued by the channel's events, which find it by its address.
    dpc: Box<Dpc<Pointer>>,
}

/// A disk, for a DPC. It outlives its channels.
struct Pointer(*const Disk);

// SAFETY: a disk is shared between threads.
unsafe impl Send for Pointer {}
// SAFETY: as above.
unsafe impl Sync for Pointer {}

// SAFETY: a channel may be used from any thread, by the interface's contract.
unsafe impl Send for Channel {}
// SAFETY: as above.
unsafe impl Sync for Channel {}

/// An event: the disk's DPC does the rest, and unmasks. DIRQL.
unsafe extern "system" fn event(_interrupt: *mut c_void, argument: *mut c_void) -> Boolean {
    // SAFETY: the DPC given to open, which outlives the open channel.
    let dpc = unsafe { &*argument.cast_const().cast::<Dpc<Pointer>>() };
    u8::from(dpc.queue())
}

impl Channel {
    /// Opens a channel for `domain` to bind; its events go to [`Disk::deferred`]. It is masked at first. PASSIVE_LEVEL.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES.
    ///
    /// # Safety
    /// The disk stays where it is for as long as the channel lives.
    pub unsafe fn open(bus: Shared<Bus>, domain: u16, disk: *const Disk) -> Result<Self> {
        let dpc = try_box(Dpc::new(Pointer(disk), |pointer: &Pointer| {
            // SAFETY: the disk outlives the channel, which waits for the DPC when it goes.
            unsafe { &*pointer.0 }.deferred();
        })?)?;
        let interface = bus.evtchn.interface();
        let argument = (&raw const *dpc).cast_mut().cast::<c_void>();
        let masked: c_int = 1;
        // SAFETY: a method of an acquired table; an unbound channel takes the domain and whether it is masked.
        let channel = unsafe {
            (bus.evtchn.open)(
                interface,
                TYPE_UNBOUND,
                event,
                argument,
                c_int::from(domain),
                masked,
            )
        };
        let channel = NonNull::new(channel).ok_or(Status::INSUFFICIENT_RESOURCES)?;
        Ok(Self { bus, channel, dpc })
    }

    /// The port's number.
    pub fn port(&self) -> u32 {
        let interface = self.bus.evtchn.interface();
        // SAFETY: a method of an acquired table and an open channel.
        unsafe { (self.bus.evtchn.get_port)(interface, self.channel.as_ptr()) }
    }

    /// Has the disk's DPC run again. Any IRQL.
    pub fn again(&self) {
        self.dpc.queue();
    }

    /// Lets events arrive; one that came while masked is raised anew. IRQL <= DIRQL.
    pub fn unmask(&self) {
        let interface = self.bus.evtchn.interface();
        // SAFETY: a method of an acquired table and an open channel.
        unsafe { (self.bus.evtchn.unmask)(interface, self.channel.as_ptr(), 0, 1) };
    }

    /// Sends the backend an event. IRQL <= DISPATCH_LEVEL.
    pub fn send(&self) {
        let _raised = Raised::to_dispatch();
        let interface = self.bus.evtchn.interface();
        // SAFETY: a method of an acquired table and an open channel, at DISPATCH_LEVEL.
        unsafe { (self.bus.evtchn.send)(interface, self.channel.as_ptr()) };
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        let interface = self.bus.evtchn.interface();
        // SAFETY: a method of an acquired table; the channel is not used afterwards.
        unsafe { (self.bus.evtchn.close)(interface, self.channel.as_ptr()) };
    }
}
