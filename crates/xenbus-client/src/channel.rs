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

/// An open channel that a backend may bind. Closed when dropped, at PASSIVE_LEVEL; its DPC runs no more then.
pub struct Channel<C: Send + Sync + 'static> {
    bus: Shared<Bus>,
    channel: NonNull<Raw>,
    /// Queued by the channel's events, which find it by its address.
    dpc: Box<Dpc<C>>,
}

// SAFETY: a channel may be used from any thread, by the interface's contract.
unsafe impl<C: Send + Sync + 'static> Send for Channel<C> {}
// SAFETY: as above.
unsafe impl<C: Send + Sync + 'static> Sync for Channel<C> {}

/// An event: the DPC does the rest, and unmasks. DIRQL.
unsafe extern "system" fn event<C: Send + Sync + 'static>(
    _interrupt: *mut c_void,
    argument: *mut c_void,
) -> Boolean {
    // SAFETY: the DPC given to open, which outlives the open channel.
    let dpc = unsafe { &*argument.cast_const().cast::<Dpc<C>>() };
    u8::from(dpc.queue())
}

impl<C: Send + Sync + 'static> Channel<C> {
    /// Opens a channel for `domain` to bind. Each event masks it and has `routine` called with `context` in a DPC; whoever
    /// has seen to what the event was for unmasks it. It is masked at first. PASSIVE_LEVEL.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES.
    pub fn open(bus: Shared<Bus>, domain: u16, context: C, routine: fn(&C)) -> Result<Self> {
        let dpc = try_box(Dpc::new(context, routine)?)?;
        let interface = bus.evtchn.interface();
        let argument = (&raw const *dpc).cast_mut().cast::<c_void>();
        let masked: c_int = 1;
        // SAFETY: a method of an acquired table; an unbound channel takes the domain and whether it is masked.
        let channel = unsafe {
            (bus.evtchn.open)(
                interface,
                TYPE_UNBOUND,
                event::<C>,
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

    /// Lets the events arrive at a processor, where the DPC then runs too, whoever queues it: a thread that calls
    /// [`Self::again`] is on any. IRQL <= DISPATCH_LEVEL.
    ///
    /// # Errors
    /// What the bus says: the processor has no vector of its own, for one.
    pub fn bind(&self, group: u16, number: u8) -> Result {
        let interface = self.bus.evtchn.interface();
        // SAFETY: a method of an acquired table and an open channel.
        Status::check(unsafe {
            (self.bus.evtchn.bind)(interface, self.channel.as_ptr(), group, number)
        })?;
        self.dpc.set_processor(group, number)
    }

    /// Has the DPC run again. Any IRQL.
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

impl<C: Send + Sync + 'static> Drop for Channel<C> {
    fn drop(&mut self) {
        let interface = self.bus.evtchn.interface();
        // SAFETY: a method of an acquired table; the channel is not used afterwards.
        unsafe { (self.bus.evtchn.close)(interface, self.channel.as_ptr()) };
    }
}
