//! The command set of a direct-access SCSI disk, for drivers that make a disk of something else.
//!
//! [`command::parse`] turns a CDB into an [`Operation`] or into sense data; [`Operation::Respond`] is then answered by
//! [`response::write`], all others are the driver's to carry out. Nothing here does I/O, allocates or keeps state.
//!
//! Clauses are those of SPC-4 (r37) and SBC-3 (r36).
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod bytes;
pub mod command;
pub mod disk;
pub mod inquiry;
pub mod mode;
pub mod response;
pub mod sense;
pub mod unmap;

#[cfg(test)]
mod tests;

pub use command::{Extent, Operation, Response, parse};
pub use disk::{Discard, Disk, Identity};
pub use sense::Sense;
