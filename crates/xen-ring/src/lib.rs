//! What all frontends have in common: their end of a shared ring (`io/ring.h`), and tables of small integer ids for what
//! is on it.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod front;
mod table;

pub use front::{FrontRing, RingError, RingMemory, Taken};
pub use table::{OutOfMemory, Table, reserve};
