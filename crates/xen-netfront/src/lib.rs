//! The frontend of Xen's network protocol, without I/O of its own.
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
pub mod publication;
pub mod rx;
pub mod segment;
pub mod tx;

#[cfg(test)]
mod frames;
#[cfg(test)]
mod model;
