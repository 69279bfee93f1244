//! The class driver for disks: what disk.sys and classpnp do, as far as a disk's miniport can tell.
//!
//! It claims units whose compatible ids name a generic disk, asks them what they are ([`setup`]), and turns reads, writes
//! and flushes into SRBs ([`io`]), tried again by the table in [`sense`]. What runs in the guest talks to a disk through
//! [`client`], from the top of its device stack on.

pub mod sense;
pub mod transfer;

pub mod client;
pub(crate) mod command;
pub(crate) mod device;
pub(crate) mod io;
pub(crate) mod setup;

pub use device::driver_entry;
