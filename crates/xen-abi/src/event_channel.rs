//! Event channels (`event_channel.h`).

use core::sync::atomic::AtomicU32;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::DomId;

open_enum! {
    /// What a port is connected to (`EVTCHNSTAT_*`).
    ChannelStatus(u32) {
        /// Not in use.
        CLOSED = 0 => "EVTCHNSTAT_closed";
        /// Waits for its peer.
        UNBOUND = 1 => "EVTCHNSTAT_unbound";
        /// Connected to another domain's port.
        INTERDOMAIN = 2 => "EVTCHNSTAT_interdomain";
        /// A physical interrupt.
        PIRQ = 3 => "EVTCHNSTAT_pirq";
        /// A virtual interrupt.
        VIRQ = 4 => "EVTCHNSTAT_virq";
        /// An interprocessor event.
        IPI = 5 => "EVTCHNSTAT_ipi";
    }
}

/// A port that `remote_dom` may bind to (`struct evtchn_alloc_unbound`).
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct AllocUnbound {
    /// In: owner of the port, [`DomId::SELF`].
    pub dom: u16,
    /// In: who may bind.
    pub remote_dom: u16,
    /// Out: the port.
    pub port: u32,
}

/// Connect to a port of another domain (`struct evtchn_bind_interdomain`).
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct BindInterdomain {
    /// In: the other domain.
    pub remote_dom: u16,
    /// Padding.
    pub pad: u16,
    /// In: its port.
    pub remote_port: u32,
    /// Out: ours.
    pub local_port: u32,
}

/// Bind a virtual interrupt (`struct evtchn_bind_virq`).
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct BindVirq {
    /// In: `VIRQ_*`.
    pub virq: u32,
    /// In: the vCPU.
    pub vcpu: u32,
    /// Out: the port.
    pub port: u32,
}

/// A bare port: `struct evtchn_close`, `struct evtchn_send` and `struct evtchn_unmask`.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Port {
    /// In: the port.
    pub port: u32,
}

/// Ask for a port's state (`struct evtchn_status`).
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Status {
    /// In: owner of the port.
    pub dom: u16,
    /// Padding.
    pub pad0: u16,
    /// In: the port.
    pub port: u32,
    /// Out: [`ChannelStatus`].
    pub status: u32,
    /// Out: the vCPU that is told.
    pub vcpu: u32,
    /// Out: the peer of an unbound or connected port; low half of `pirq` or `virq`.
    pub remote_dom: u16,
    /// Out: high half of `pirq` or `virq`.
    pub pad1: u16,
    /// Out: the peer's port of a connected one.
    pub remote_port: u32,
}

impl Status {
    /// A question about one of our own ports.
    pub const fn of_own(port: u32) -> Self {
        Self {
            dom: DomId::SELF.0,
            pad0: 0,
            port,
            status: 0,
            vcpu: 0,
            remote_dom: 0,
            pad1: 0,
            remote_port: 0,
        }
    }
}

/// Move a port to another vCPU (`struct evtchn_bind_vcpu`).
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct BindVcpu {
    /// In: the port.
    pub port: u32,
    /// In: the vCPU.
    pub vcpu: u32,
}

/// Close all ports (`struct evtchn_reset`). Ends the FIFO ABI as well.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Reset {
    /// In: [`DomId::SELF`].
    pub dom: u16,
}

/// Give Xen a vCPU's FIFO control block (`struct evtchn_init_control`).
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct InitControl {
    /// In: the page.
    pub control_gfn: u64,
    /// In: the block's offset within the page.
    pub offset: u32,
    /// In: the vCPU.
    pub vcpu: u32,
    /// Out: significant bits of a link.
    pub link_bits: u8,
    /// Padding.
    pub pad: [u8; 7],
}

/// Give Xen another page of event words (`struct evtchn_expand_array`).
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ExpandArray {
    /// In: the page.
    pub array_gfn: u64,
}

/// Set a port's priority (`struct evtchn_set_priority`).
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SetPriority {
    /// In: the port.
    pub port: u32,
    /// In: 0 (highest) to 15.
    pub priority: u32,
}

/// Queue heads of one vCPU (`struct evtchn_fifo_control_block`).
#[derive(Debug, Default)]
#[repr(C)]
pub struct FifoControlBlock {
    /// A bit for each queue that has become non-empty.
    pub ready: AtomicU32,
    /// Padding.
    pub reserved: AtomicU32,
    /// First port of each queue; index = priority.
    pub head: [AtomicU32; FIFO_MAX_QUEUES],
}

abi! {
    constants {
        /// [`BindInterdomain`].
        BIND_INTERDOMAIN: u32 = 0 => "EVTCHNOP_bind_interdomain";
        /// [`BindVirq`].
        BIND_VIRQ: u32 = 1 => "EVTCHNOP_bind_virq";
        /// [`Port`].
        CLOSE: u32 = 3 => "EVTCHNOP_close";
        /// [`Port`].
        SEND: u32 = 4 => "EVTCHNOP_send";
        /// [`Status`].
        STATUS: u32 = 5 => "EVTCHNOP_status";
        /// [`AllocUnbound`].
        ALLOC_UNBOUND: u32 = 6 => "EVTCHNOP_alloc_unbound";
        /// [`BindVcpu`].
        BIND_VCPU: u32 = 8 => "EVTCHNOP_bind_vcpu";
        /// [`Port`].
        UNMASK: u32 = 9 => "EVTCHNOP_unmask";
        /// [`Reset`].
        RESET: u32 = 10 => "EVTCHNOP_reset";
        /// [`InitControl`].
        INIT_CONTROL: u32 = 11 => "EVTCHNOP_init_control";
        /// [`ExpandArray`].
        EXPAND_ARRAY: u32 = 12 => "EVTCHNOP_expand_array";
        /// [`SetPriority`].
        SET_PRIORITY: u32 = 13 => "EVTCHNOP_set_priority";
        /// Ports of the two-level ABI.
        TWO_LEVEL_NR_CHANNELS: u32 = 4096 => "EVTCHN_2L_NR_CHANNELS";
        /// Highest priority.
        FIFO_PRIORITY_MAX: u32 = 0 => "EVTCHN_FIFO_PRIORITY_MAX";
        /// Priority of a port that asks for none.
        FIFO_PRIORITY_DEFAULT: u32 = 7 => "EVTCHN_FIFO_PRIORITY_DEFAULT";
        /// Lowest priority.
        FIFO_PRIORITY_MIN: u32 = 15 => "EVTCHN_FIFO_PRIORITY_MIN";
        /// Queues of a control block.
        FIFO_MAX_QUEUES: usize = 16 => "EVTCHN_FIFO_MAX_QUEUES";
        /// Bit number in an event word: an event waits.
        FIFO_PENDING: u32 = 31 => "EVTCHN_FIFO_PENDING";
        /// Bit number in an event word: the owner wants no upcall.
        FIFO_MASKED: u32 = 30 => "EVTCHN_FIFO_MASKED";
        /// Bit number in an event word: on a queue.
        FIFO_LINKED: u32 = 29 => "EVTCHN_FIFO_LINKED";
        /// Bit number in an event word: Xen is changing the link.
        FIFO_BUSY: u32 = 28 => "EVTCHN_FIFO_BUSY";
        /// Bits of a link.
        FIFO_LINK_BITS: u32 = 17 => "EVTCHN_FIFO_LINK_BITS";
        /// Mask of the link.
        FIFO_LINK_MASK: u32 = 0x1FFFF => "EVTCHN_FIFO_LINK_MASK";
        /// Ports of the FIFO ABI.
        FIFO_NR_CHANNELS: u32 = 0x20000 => "EVTCHN_FIFO_NR_CHANNELS";
    }
    layouts {
        AllocUnbound = "struct evtchn_alloc_unbound", 8 { dom @ 0, remote_dom @ 2, port @ 4 }
        BindInterdomain = "struct evtchn_bind_interdomain", 12 { remote_dom @ 0, remote_port @ 4, local_port @ 8 }
        BindVirq = "struct evtchn_bind_virq", 12 { virq @ 0, vcpu @ 4, port @ 8 }
        Port = "struct evtchn_close", 4 { port @ 0 }
        Port = "struct evtchn_send", 4 { port @ 0 }
        Port = "struct evtchn_unmask", 4 { port @ 0 }
        Status = "struct evtchn_status", 24 {
            dom @ 0, port @ 4, status @ 8, vcpu @ 12, remote_dom as "u.interdomain.dom" @ 16,
            remote_port as "u.interdomain.port" @ 20,
        }
        BindVcpu = "struct evtchn_bind_vcpu", 8 { port @ 0, vcpu @ 4 }
        Reset = "struct evtchn_reset", 2 { dom @ 0 }
        InitControl = "struct evtchn_init_control", 24 { control_gfn @ 0, offset @ 8, vcpu @ 12, link_bits @ 16 }
        ExpandArray = "struct evtchn_expand_array", 8 { array_gfn @ 0 }
        SetPriority = "struct evtchn_set_priority", 8 { port @ 0, priority @ 4 }
        FifoControlBlock = "struct evtchn_fifo_control_block", 72 { ready @ 0, reserved as "_rsvd" @ 4, head @ 8 }
    }
}

/// Event words in a page of the event array.
pub const FIFO_WORDS_PER_PAGE: usize = crate::PAGE_SIZE / size_of::<u32>();
