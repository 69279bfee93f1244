//! Xen's operations, as far as a guest's drivers use them. Callable at any IRQL unless noted.

use xen_abi::DomId;
use xen_abi::event_channel::ChannelStatus;

use crate::XenError;

/// A port's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelState {
    /// What it is.
    pub status: ChannelStatus,
    /// The vCPU that is told.
    pub vcpu: u32,
    /// The peer, if it is unbound or connected.
    pub remote_dom: DomId,
    /// The peer's port, if it is connected.
    pub remote_port: u32,
}

/// `event_channel_op`.
pub trait EventChannelOps {
    /// A new port for `remote` to bind.
    fn alloc_unbound(&self, remote: DomId) -> Result<u32, XenError>;
    /// A new port, connected to `remote`'s.
    fn bind_interdomain(&self, remote: DomId, remote_port: u32) -> Result<u32, XenError>;
    /// A new port for a virtual interrupt of one vCPU.
    fn bind_virq(&self, virq: u32, vcpu: u32) -> Result<u32, XenError>;
    /// Lets a vCPU hear of the port's events.
    fn bind_vcpu(&self, port: u32, vcpu: u32) -> Result<(), XenError>;
    /// Gives the port back.
    fn close(&self, port: u32) -> Result<(), XenError>;
    /// Notifies the peer.
    fn send(&self, port: u32) -> Result<(), XenError>;
    /// Unmasks, and raises the upcall of the port's vCPU if the port is pending.
    fn unmask(&self, port: u32) -> Result<(), XenError>;
    /// What the port is connected to.
    fn status(&self, port: u32) -> Result<ChannelState, XenError>;
    /// Closes all ports and ends the FIFO ABI.
    fn reset(&self) -> Result<(), XenError>;
    /// Starts the FIFO ABI on a vCPU. The block is in frame `gfn` at `offset`. Returns the bits of a link.
    fn init_control(&self, gfn: u64, offset: u32, vcpu: u32) -> Result<u8, XenError>;
    /// Adds a page to the FIFO event array.
    fn expand_array(&self, gfn: u64) -> Result<(), XenError>;
    /// Sets a port's priority, 0 (highest) to 15.
    fn set_priority(&self, port: u32, priority: u32) -> Result<(), XenError>;
}

/// Size of a grant table in frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableSize {
    /// In use.
    pub frames: u32,
    /// At most.
    pub max_frames: u32,
}

/// `grant_table_op`.
pub trait GrantTableOps {
    /// Size of this domain's table.
    fn query_size(&self) -> Result<TableSize, XenError>;
    /// Chooses the entry format. Fails while grants are in use.
    fn set_version(&self, version: u32) -> Result<(), XenError>;
    /// The entry format in use.
    fn version(&self) -> Result<u32, XenError>;
    /// Maps `dom`'s grant at guest physical `address`. Returns a handle.
    fn map(
        &self,
        dom: DomId,
        reference: u32,
        address: u64,
        readonly: bool,
    ) -> Result<u32, XenError>;
    /// Undoes it.
    fn unmap(&self, handle: u32, address: u64) -> Result<(), XenError>;
}

/// `memory_op`.
pub trait MemoryOps {
    /// Places page `index` of a space (`SPACE_*`) at frame `gfn`.
    fn add_to_physmap(&self, space: u32, index: u64, gfn: u64) -> Result<(), XenError>;
    /// Empties frame `gfn`.
    fn remove_from_physmap(&self, gfn: u64) -> Result<(), XenError>;
    /// Gives memory back to Xen. Returns how many of the frames, from the first on, were done.
    fn decrease_reservation(&self, gfns: &[u64]) -> Result<usize, XenError>;
    /// Puts fresh memory at empty frames (Xen writes machine frames into `gfns` on some guests, so the
    /// slice is not to be used afterwards). Returns how many, from the first on, were done.
    fn populate_physmap(&self, gfns: &mut [u64]) -> Result<usize, XenError>;
}

/// `hvm_op`.
pub trait HvmOps {
    /// Reads a parameter (`PARAM_*`).
    fn param(&self, index: u32) -> Result<u64, XenError>;
    /// Writes a parameter.
    fn set_param(&self, index: u32, value: u64) -> Result<(), XenError>;
    /// Delivers a vCPU's events by an interrupt vector.
    fn set_upcall_vector(&self, vcpu: u32, vector: u8) -> Result<(), XenError>;
}

/// `sched_op`.
pub trait SchedOps {
    /// Lets others run.
    fn yield_cpu(&self);
    /// Ends or suspends the domain (`SHUTDOWN_*`). True: a suspend was cancelled, or the domain was
    /// only checkpointed, and nothing of it was recreated. PASSIVE_LEVEL or HIGH_LEVEL by the caller's protocol.
    fn shutdown(&self, reason: u32) -> Result<bool, XenError>;
    /// Records why the domain will end.
    fn shutdown_code(&self, reason: u32) -> Result<(), XenError>;
    /// Starts (`id` 0), renews or (0 seconds) stops a watchdog. Returns its id.
    fn watchdog(&self, id: u32, seconds: u32) -> Result<u32, XenError>;
}

/// `vcpu_op`.
pub trait VcpuOps {
    /// Moves the calling vCPU's `vcpu_info` to frame `gfn` at `offset`. Cannot be undone.
    fn register_vcpu_info(&self, vcpu: u32, gfn: u64, offset: u32) -> Result<(), XenError>;
}

/// `xen_version`.
pub trait VersionOps {
    /// Major and minor version.
    fn xen_version(&self) -> Result<(u16, u16), XenError>;
    /// One 32-bit word of feature bits.
    fn features(&self, word: u32) -> Result<u32, XenError>;
    /// What follows major.minor, up to a NUL.
    fn extra_version(&self) -> Result<[u8; 16], XenError>;
}
