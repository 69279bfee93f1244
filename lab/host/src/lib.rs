//! The lab's host side: real Xen in QEMU.
//!
//! [`dom0::image`] makes what QEMU boots, out of Debian's packages.
#![forbid(unsafe_code)]

pub mod agent;
pub mod cache;
pub mod command;
pub mod disk;
pub mod dom0;
pub mod interrupt;
pub mod log;
pub mod packages;
mod qemu;
pub mod session;
