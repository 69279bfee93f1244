//! The frontend of Xen's network protocol, without I/O of its own.
//!
//! - [`keys`]: what xenstore says of an interface, parsed and checked; how many queues to use.
//! - [`connection`]: the states that front and back end go through together; events in, actions out.
//! - [`publication`]: what the frontend writes for its backend.
//! - [`tx`]: packets in, transmit requests out: headers rewritten for offloads, memory granted or copied, responses
//!   checked. What is on the ring when a connection ends is lost, and said to be: TCP sends it again, and everybody else
//!   must expect loss; sent again by us it might arrive twice, after a migration also seconds late.
//! - [`rx`]: pages in, packets out: every response checked, a page handed up only when its grant is ended. A new
//!   connection gets the pages posted anew.
//! - [`multicast`]: which groups the backend is told to let through.
//! - [`ctrl`]: the control ring, by which the backend is told how to spread packets over queues.
//! - [`header`], [`checksum`], [`hash`], [`segment`]: what is known of a frame's headers, RFC 1071's sum, the Toeplitz
//!   hash, large packets cut into segments.
//! - [`count`], [`grant`]: statistics and small types that several of these use.
//!
//! The driver owns locks, threads and memory. A device has one [`tx::Queue`] and one [`rx::Queue`] a ring pair, which
//! share nothing, so that each can stand behind a lock of its own. Nothing here allocates after a queue is made, blocks,
//! or panics on what a backend says.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod checksum;
pub mod connection;
pub mod count;
pub mod ctrl;
pub mod grant;
pub mod hash;
pub mod header;
pub mod keys;
pub mod multicast;
pub mod publication;
pub mod rx;
pub mod segment;
pub mod tx;

#[cfg(test)]
mod frames;
#[cfg(test)]
mod model;
