//! The frontend of Xen's block protocol, without I/O of its own.
//!
//! - [`vdev`]: which disk a virtual device number is.
//! - [`keys`]: what a backend says in xenstore, parsed and checked.
//! - [`connection`]: the states that front and back end go through together; events in, actions out.
//! - [`ring`]: the shared ring, over memory that a trait gives.
//! - [`queue`]: transfers in, ring requests out; responses checked; everything kept that is needed to send a request
//!   again after a reconnect.
//! - [`grant`]: the grants and pages that a queue uses, behind a trait.
//!
//! The driver owns locks, threads and memory. Nothing here allocates after a queue is made, blocks, or panics on what a
//! backend says.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod base64;
pub mod connection;
pub mod grant;
pub mod identity;
pub mod keys;
pub mod queue;
pub mod ring;
pub mod vdev;

#[cfg(test)]
mod model;
#[cfg(test)]
mod queue_tests;
