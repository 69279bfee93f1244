//! The frontend of Xen's network protocol, without I/O of its own.
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;
#[cfg(test)]
extern crate std;
