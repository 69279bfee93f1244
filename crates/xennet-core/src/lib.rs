//! What the Xen network miniport decides, apart from NDIS and Xen: portable, so that it is tested on any host.
//!
//! - [`gate`]: who is on the way when a pause begins, and who ends it.
//! - [`filter`]: which received frames the stack asked for.
//! - [`settings`]: the keywords of the adapter's configuration; [`offload`], [`rss`]: what NDIS is told of and asks for.
//! - [`addresses`]: the stack's addresses, and the frames that announce them after a migration.
//! - [`statistics`]: counters, and NDIS' form of them.
//! - [`bytes`]: reading structures out of buffers that NDIS does not check.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod addresses;
pub mod bytes;
pub mod filter;
pub mod gate;
pub mod offload;
pub mod rss;
pub mod settings;
pub mod statistics;
