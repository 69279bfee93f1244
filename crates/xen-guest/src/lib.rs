//! A guest's side of Xen's services, without an operating system.
//!
//! What touches the machine stands behind small traits ([`cpuid::Cpu`], [`hypercall::RawHypercall`],
//! the `*Ops` traits of [`hypercall`], [`unplug::PortIo`], [`store::Link`]); everything else is state
//! (`&mut self`) and atomics in pages that Xen or a backend also writes ([`Shared`]). There are no
//! locks and no waits in here: the caller brings both.
//!
//! Whatever another domain wrote is copied once, checked, then used. All loops are bounded. Nothing
//! panics on what it reads. Memory is reserved when objects are made or grown, never on the I/O path,
//! and failing to get it is an error, not an abort.

#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod console;
pub mod cpuid;
mod error;
pub mod evtchn;
pub mod gnttab;
pub mod hypercall;
mod shared;
pub mod shared_info;
pub mod store;
pub mod unplug;

pub use error::XenError;
pub use shared::Shared;
