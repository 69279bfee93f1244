//! Event channels: the two ABIs by which Xen shows events, and the table of open channels.
//!
//! Everything here works on atomics through `&self`, so that an interrupt handler can run it while
//! another CPU opens or closes channels.

mod channels;
mod fifo;
mod reset;
mod two_level;

pub use channels::{ChannelId, Channels, Delivery, OpenChannel, reached};
pub use fifo::{EventPage, Fifo, FifoVcpu, VcpuBlock};
pub use reset::{Fixed, Rebound, reset_channels};
pub use two_level::TwoLevel;

#[cfg(test)]
mod tests;

/// Ports that are used: all of the two-level ABI. Xen hands out the lowest free port, so a guest meets
/// higher ones only with more than 4095 channels open, which [`Channels`] does not allow.
pub const MAX_PORTS: u32 = xen_abi::event_channel::TWO_LEVEL_NR_CHANNELS;

/// Outcome of a poll.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Polled {
    /// Events that were handed out.
    pub events: u32,
    /// The budget ran out: poll again, Xen will not raise another upcall for what is left.
    pub more: bool,
}

/// How Xen shows events.
#[derive(Debug)]
pub enum EventAbi {
    /// Bitmaps in the shared info page.
    TwoLevel(TwoLevel),
    /// Queues of event words.
    Fifo(Fifo),
}

impl EventAbi {
    /// Wants no upcall for the port. Any IRQL.
    pub fn mask(&self, port: u32) {
        match self {
            Self::TwoLevel(abi) => abi.mask(port),
            Self::Fifo(abi) => abi.mask(port),
        }
    }

    /// Wants upcalls again. False: an event already waits (or Xen is just changing the word), the port
    /// is still masked, and nobody else will tell. The caller then either looks at its ring after
    /// [`EventAbi::ack`], or lets Xen raise the event ([`crate::hypercall::EventChannelOps::unmask`]). Any IRQL.
    #[must_use]
    pub fn try_unmask(&self, port: u32) -> bool {
        match self {
            Self::TwoLevel(abi) => abi.try_unmask(port),
            Self::Fifo(abi) => abi.try_unmask(port),
        }
    }

    /// Takes note of the port's event, so that the next one shows. Any IRQL.
    pub fn ack(&self, port: u32) {
        match self {
            Self::TwoLevel(abi) => abi.ack(port),
            Self::Fifo(abi) => abi.ack(port),
        }
    }

    /// Unmasks whatever waits. True: an event waits, and no upcall will come for it. Any IRQL.
    pub fn unmask_raw(&self, port: u32) -> bool {
        match self {
            Self::TwoLevel(abi) => abi.unmask_raw(port),
            Self::Fifo(abi) => !abi.try_unmask(port),
        }
    }

    /// Makes the port look as if an event had come; the port is masked. [`EventChannelOps::unmask`] then lets Xen
    /// raise it where the port is bound to. Any IRQL.
    ///
    /// [`EventChannelOps::unmask`]: crate::hypercall::EventChannelOps::unmask
    pub fn pend(&self, port: u32) {
        self.mask(port);
        match self {
            Self::TwoLevel(abi) => abi.pend(port),
            Self::Fifo(abi) => abi.pend(port),
        }
    }

    /// An event waits. Any IRQL.
    pub fn is_pending(&self, port: u32) -> bool {
        match self {
            Self::TwoLevel(abi) => abi.is_pending(port),
            Self::Fifo(abi) => abi.is_pending(port),
        }
    }

    /// The port is masked. Any IRQL.
    pub fn is_masked(&self, port: u32) -> bool {
        match self {
            Self::TwoLevel(abi) => abi.is_masked(port),
            Self::Fifo(abi) => abi.is_masked(port),
        }
    }

    /// Hands out the ports of a vCPU that have unmasked events, highest priority first where the ABI knows
    /// priorities. `event` acknowledges each. At most `budget` calls. Any IRQL, one poll a vCPU at a time
    /// (a second one returns at once and makes the first look again).
    pub fn poll(&self, vcpu: u32, budget: u32, event: &mut dyn FnMut(u32)) -> Polled {
        match self {
            Self::TwoLevel(abi) => abi.poll(vcpu, event),
            Self::Fifo(abi) => abi.poll(vcpu, budget, event),
        }
    }

    /// True for a port number that the tables can hold.
    pub const fn is_valid(port: u32) -> bool {
        port != 0 && port < MAX_PORTS
    }
}
