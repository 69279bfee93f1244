//! An NT executive: enough of ntoskrnl, hal and storport, with Windows' documented semantics, to run Windows' drivers
//! without Windows.
//!
//! Routines bear their NT names and are reached by them from drivers and from each other. What the executive stands on
//! is a [`machine::Machine`].
#![no_std]
#![allow(non_snake_case, non_camel_case_types, non_upper_case_globals)]
#![allow(unsafe_op_in_unsafe_fn, clippy::multiple_unsafe_ops_per_block)]
#![allow(clippy::missing_safety_doc)]

extern crate alloc;
#[cfg(test)]
extern crate std;

#[macro_use]
pub mod exports;
pub mod machine;
pub mod nt;
pub mod sync;

pub mod check;
pub mod cm;
pub mod disk;
pub mod ex;
pub mod hal;
pub mod init;
pub mod io;
pub mod kd;
pub mod ke;
pub mod ksecdd;
pub mod ldr;
pub mod mm;
pub mod ndis;
pub mod net;
pub mod netio;
pub mod ob;
pub mod pnp;
pub mod po;
pub mod rtl;
pub mod run;
pub mod storport;
#[cfg(test)]
mod testing;
