//! Calls into Xen: how ([`RawHypercall`], [`Native`]), and what ([`Guest`] and the `*Ops` traits).

mod guest;
mod native;
mod ops;

pub use guest::Guest;
pub use native::{Native, NoWay, RawHypercall, Way};
pub use ops::{
    ChannelState, EventChannelOps, GrantTableOps, HvmOps, MemoryOps, SchedOps, TableSize, VcpuOps,
    VersionOps,
};

#[cfg(test)]
mod tests;
