//! What all frontends have in common: their end of a shared ring (`io/ring.h`), tables of small integer ids for what is
//! on it, and how values in xenstore are read.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod front;
pub mod keys;
mod table;

pub use front::{FrontRing, RingError, RingMemory, Taken};
pub use table::{OutOfMemory, Table, reserve};
